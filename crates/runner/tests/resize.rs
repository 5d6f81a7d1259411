//! A sandbox that runs is given more, or less, of the host.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use common::{Fixture, Sandbox, running, socket_of, spec};

/// Processors that the process with number `pid` in the sandbox may run on.
fn allowed(sandbox: &Sandbox, pid: &str) -> usize {
    let status = sandbox.must(&format!("grep Cpus_allowed: /proc/{pid}/status"));
    let mask = status.split_whitespace().nth(1).unwrap().replace(',', "");
    usize::try_from(u128::from_str_radix(&mask, 16).unwrap().count_ones()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn processors_change_for_what_runs_already_and_for_what_comes() {
    let fixture = Fixture::start().await;
    let host = std::thread::available_parallelism().unwrap().get();
    let sandbox = fixture.up(spec()).await;
    let quiet = "< /dev/null > /dev/null 2>&1 &";
    let pids = sandbox.must(&format!(
        "sleep 1000 {quiet} echo $!; setsid sleep 1001 {quiet} echo $!"
    ));
    let pids: Vec<&str> = pids.split_whitespace().collect();
    let mut larger = spec();
    larger.resources.cpus = 2;
    let steps = [(2, larger, host.min(2)), (3, spec(), 1)];
    for (generation, wanted, processors) in steps {
        // The stand-in toolbox knows no limits route: a resize does not depend on it.
        let seen = fixture
            .runner
            .command(sandbox.id, running(generation, wanted))
            .await;
        socket_of(&seen);
        assert_eq!(sandbox.must("nproc").trim(), processors.to_string());
        for pid in pids.iter().copied().chain(["1"]) {
            assert_eq!(allowed(&sandbox, pid), processors, "process {pid}");
        }
    }
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_sees_its_memory_group_and_cannot_change_it() {
    let fixture = Fixture::start().await;
    let sandbox = fixture.up(spec()).await;
    let group = "/.sebring/memory";
    let limit = format!("cat {group}/memory.limit_in_bytes {group}/memory.max 2> /dev/null; true");
    assert_eq!(sandbox.must(&limit).trim(), (1_u64 << 30).to_string());
    let used = format!("cat {group}/memory.usage_in_bytes {group}/memory.current 2> /dev/null");
    let used: u64 = sandbox.sh(&used).1.trim().parse().unwrap();
    assert!((1..1 << 30).contains(&used), "{used}");
    for attempt in [
        "echo 9999999999 > $group/memory.limit_in_bytes",
        "echo 9999999999 > $group/memory.max",
        "echo $$ > $group/cgroup.procs",
        "mkdir $group/own",
        "mount -o remount,rw $group",
        "umount $group",
        "rmdir $group",
        "mv $group /tmp/moved",
    ] {
        let (code, said) = sandbox.sh(&format!("group={group}; {attempt}"));
        assert_ne!(code, 0, "{attempt}: {said}");
    }
    assert_eq!(sandbox.must(&limit).trim(), (1_u64 << 30).to_string());
    fixture.close().await;
}
