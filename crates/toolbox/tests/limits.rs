//! What a sandbox says about its share of the host: as it was, changed, and used up.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use common::{Settings, Toolbox};
use serde_json::{Value, json};

const GIB: u64 = 1 << 30;

fn control_group(version: u32) -> [(&'static str, &'static str); 3] {
    match version {
        1 => [
            ("memory/memory.usage_in_bytes", "1000000\n"),
            ("memory/memory.stat", "cache 1\ntotal_cache 400000\n"),
            ("memory/memory.oom_control", "under_oom 0\noom_kill 2\n"),
        ],
        _ => [
            ("memory/memory.current", "1000000\n"),
            ("memory/memory.stat", "anon 1\nfile 400000\n"),
            ("memory/memory.events", "oom 1\noom_kill 2\n"),
        ],
    }
}

fn execute(toolbox: &Toolbox, command: &str) -> Value {
    let reply = toolbox.post("/process/execute", &json!({"command": command}));
    assert_eq!(reply.status, 200);
    reply.json()
}

fn metrics(toolbox: &Toolbox) -> Value {
    toolbox.get("/system/metrics").json()
}

#[test]
fn memory_in_use_is_what_the_control_group_counts() {
    for version in [1, 2] {
        let toolbox = Toolbox::start_among(Settings::default(), &control_group(version));
        let metrics = metrics(&toolbox);
        assert_eq!(metrics["memUsed"], 1_000_000);
        assert_eq!(metrics["memCache"], 400_000);
        assert_eq!(metrics["memTotal"], GIB);
    }
}

#[test]
fn new_limits_are_shown_at_once_and_in_the_very_same_files() {
    let old = [
        ("proc/meminfo", ""),
        ("proc/cpuinfo", "processor : 0\nprocessor : 1\n"),
        ("proc/cpus", "0-1\n"),
    ];
    let toolbox = Toolbox::start_among(Settings::default(), &old);
    let file = |name: &str| toolbox.directory.join("proc").join(name);
    // What a mount shows: a second name of the inode.
    for (name, _) in old {
        let name = name.strip_prefix("proc/").unwrap();
        std::fs::hard_link(file(name), file(&format!("{name}.mounted"))).unwrap();
    }
    let shown = |name: &str| std::fs::read_to_string(file(&format!("{name}.mounted"))).unwrap();
    execute(&toolbox, "true");
    assert!(shown("meminfo").starts_with("MemTotal:            1048576 kB\n"));
    let change = json!({
        "limits": {"cpus": 1, "memory_bytes": 2 * GIB, "disk_bytes": 5 * GIB, "pids": 512},
        "cpuinfo": "processor : 0\n",
        "cpus_online": "0\n",
    });
    let reply = toolbox.send(
        "PUT",
        sebring_api::boot::LIMITS_ROUTE,
        &[],
        change.to_string().as_bytes(),
    );
    assert_eq!(reply.status, 204);
    assert_eq!(shown("cpuinfo"), "processor : 0\n");
    assert_eq!(shown("cpus"), "0\n");
    assert!(shown("meminfo").starts_with("MemTotal:            2097152 kB\n"));
    let metrics = metrics(&toolbox);
    assert_eq!(metrics["cpuCount"], 1);
    assert_eq!(metrics["memTotal"], 2 * GIB);
    assert_eq!(metrics["diskTotal"], 5 * GIB);
}

#[test]
fn the_disk_use_shown_is_what_was_written_down_last() {
    let files = [("disk_used", "00000000000000005000\n")];
    let toolbox = Toolbox::start_among(Settings::default(), &files);
    assert_eq!(metrics(&toolbox)["diskUsed"], 5000);
    std::fs::write(
        toolbox.directory.join("disk_used"),
        "00000000000000000070\n",
    )
    .unwrap();
    // An open file, not a name: what takes the name's place is not ours.
    let other = toolbox.directory.join("other");
    std::fs::write(&other, "00000000000000000001\n").unwrap();
    std::fs::rename(&other, toolbox.directory.join("disk_used")).unwrap();
    let metrics = metrics(&toolbox);
    assert_eq!(metrics["diskUsed"], 70);
    assert!(metrics["diskFree"].as_u64() <= Some(10 * GIB - 70));
}

#[test]
fn a_command_that_was_killed_for_memory_says_so() {
    // May write the counter, and find any interpreter.
    let settings = Settings {
        user: "root",
        ..Settings::default()
    };
    let toolbox = Toolbox::start_among(settings, &control_group(1));
    let counter = toolbox.directory.join("memory/memory.oom_control");
    // As the kernel does it: counts, then kills.
    let counted = format!("printf grown; echo oom_kill 3 > {}", counter.display());
    let answer = execute(&toolbox, &format!("{counted}; kill -9 $$"));
    assert_eq!(answer["exitCode"], 137);
    assert_eq!(answer["oomKilled"], true);
    assert_eq!(
        answer["result"],
        "grown\nkilled: out of memory (the sandbox's limit is 1 GiB)\n"
    );
    let code = format!(
        "import os; open('{}', 'w').write('oom_kill 4'); os.kill(os.getpid(), 9)",
        counter.display()
    );
    let request = json!({"code": code, "language": "python"});
    let answer = toolbox.post("/process/code-run", &request).json();
    assert_eq!(answer["exitCode"], 137);
    assert_eq!(answer["oomKilled"], true);
}

#[test]
fn what_was_killed_for_another_reason_does_not_blame_memory() {
    let toolbox = Toolbox::start_among(Settings::default(), &control_group(2));
    let answer = execute(&toolbox, "kill -9 $$");
    assert_eq!(answer["exitCode"], 137);
    assert_eq!(answer.get("oomKilled"), None);
    assert_eq!(answer["result"], "");
}
