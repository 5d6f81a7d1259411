//! `/sebring/process`, `sudo` and what `execute` leaves behind.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Settings, Toolbox, alive, eventually};
use crate::{answer, ask, descriptors, place_another, upgrade};

fn start(toolbox: &Toolbox, body: &Value) -> String {
    let reply = toolbox.post("/sebring/process", body);
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    format!("/sebring/process/{id}")
}

fn wait(toolbox: &Toolbox, path: &str) -> Value {
    toolbox.get(&format!("{path}/wait?timeout=60")).json()
}

/// Everything that is in its log from an offset.
fn output(toolbox: &Toolbox, path: &str, mut offset: u64) -> String {
    let mut all = String::new();
    loop {
        let part = toolbox
            .get(&format!("{path}/output?offset={offset}"))
            .json();
        assert_eq!(part["offset"], offset, "nothing was lost");
        all.push_str(part["output"].as_str().unwrap());
        let next = part["nextOffset"].as_u64().unwrap();
        if next == offset {
            return all;
        }
        offset = next;
    }
}

#[test]
fn a_flood_goes_on_through_two_upgrades_without_a_gap_or_a_repeat() {
    let toolbox = Toolbox::start();
    let flood = "i=0; while [ -e going ]; do i=$((i+1)); echo $i; done; echo end";
    std::fs::write(toolbox.home().join("going"), "").unwrap();
    let path = start(&toolbox, &json!({"command": flood, "merged": true}));
    let written = || {
        let facts = toolbox.get(&format!("{path}/output?offset=100000000"));
        facts.json()["nextOffset"].as_u64().unwrap()
    };
    for _ in 0..2 {
        let before = written();
        eventually("more was written", || written() > before + 100_000);
        upgrade(&toolbox);
        let after = written();
        eventually("it goes on", || written() > after + 100_000);
    }
    std::fs::remove_file(toolbox.home().join("going")).unwrap();
    let end = wait(&toolbox, &path);
    assert_eq!(
        (&end["running"], &end["exitCode"]),
        (&json!(false), &json!(0))
    );
    let all = output(&toolbox, &path, 0);
    let lines = all.strip_suffix("end\n").unwrap().lines();
    let mut count = 0;
    for (line, expected) in lines.zip(1_u64..) {
        assert_eq!(line, expected.to_string());
        count = expected;
    }
    assert!(count > 50_000, "{count} lines");
}

#[test]
fn children_that_end_around_the_upgrade_are_collected_with_their_own_codes() {
    let toolbox = Toolbox::start();
    // From long before to some time after; each has its own code.
    let paths: Vec<String> = (0..60)
        .map(|code| {
            let command = format!("sleep {}; exit {code}", 0.3 + f64::from(code) * 0.02);
            start(&toolbox, &json!({"command": command}))
        })
        .collect();
    for _ in 0..3 {
        upgrade(&toolbox);
    }
    for (code, path) in paths.iter().enumerate() {
        let end = wait(&toolbox, path);
        assert_eq!(
            (&end["exitCode"], &end["running"]),
            (&json!(code), &json!(false))
        );
    }
    let own = format!("/proc/{0}/task/{0}/children", toolbox.pid());
    eventually("no zombie is left", || {
        std::fs::read_to_string(&own).unwrap().is_empty()
    });
}

#[test]
fn both_streams_input_time_limits_and_ended_processes_stay_what_they_were() {
    let toolbox = Toolbox::start();
    let ended = start(
        &toolbox,
        &json!({"command": "echo out; echo err >&2; exit 5"}),
    );
    let facts = wait(&toolbox, &ended);
    let long = "head -c 300000 /dev/zero | tr '\\0' x; exit 6";
    let on_disk = start(&toolbox, &json!({"command": long, "merged": true}));
    wait(&toolbox, &on_disk);
    let fed = start(
        &toolbox,
        &json!({"command": "cat; echo done >&2; exit 4", "input": true}),
    );
    let limited = start(
        &toolbox,
        &json!({"command": "sleep 1000 & echo $!; wait", "timeout": 1.5}),
    );
    let deaf = start(
        &toolbox,
        &json!({"command": "sleep 2; wc -c", "input": true}),
    );
    let send = |path: &str, bytes: &[u8], query: &str| {
        let path = format!("{path}/input{query}");
        assert_eq!(toolbox.send("POST", &path, &[], bytes).status, 204);
    };
    send(&fed, b"before\n", "");
    // More than a pipe holds, so that some of it waits here.
    send(&deaf, &vec![b'x'; 400_000], "");
    send(&deaf, b"y", "?close=true");
    eventually("it has answered", || {
        output(&toolbox, &fed, 0) == "before\n"
    });
    upgrade(&toolbox);
    send(&fed, b"after\n", "?close=true");
    assert_eq!(wait(&toolbox, &fed)["exitCode"], 4);
    let streams = toolbox.get(&format!("{fed}/output")).json();
    assert_eq!(streams["stdout"], "before\nafter\n");
    assert_eq!(streams["stderr"], "done\n");
    let late = wait(&toolbox, &limited);
    assert_eq!(
        (&late["timedOut"], &late["exitCode"]),
        (&json!(true), &json!(137))
    );
    let pid = output(&toolbox, &limited, 0);
    eventually("its whole tree is gone", || !alive(&pid));
    assert_eq!(wait(&toolbox, &ended), facts);
    let streams = toolbox.get(&format!("{ended}/output")).json();
    assert_eq!(
        (&streams["stdout"], &streams["stderr"]),
        (&json!("out\n"), &json!("err\n"))
    );
    assert_eq!(output(&toolbox, &on_disk, 0).len(), 300_000);
    assert_eq!(wait(&toolbox, &deaf)["exitCode"], 0);
    assert_eq!(output(&toolbox, &deaf, 0).trim(), "400001");
}

#[test]
fn the_entrypoint_and_what_a_command_has_left_behind_go_on() {
    let toolbox = Toolbox::start_with(Settings {
        entrypoint: &[
            "sh",
            "-c",
            "echo begun; while [ ! -e stop ]; do sleep 0.02; done; echo over",
        ],
        ..Settings::default()
    });
    let left = "(trap '' PIPE; while [ ! -e stop ]; do echo x || exit; sleep 0.02; done; \
        echo > fine) & echo $! > pid";
    toolbox.execute(left);
    let pid = std::fs::read_to_string(toolbox.home().join("pid")).unwrap();
    upgrade(&toolbox);
    assert!(alive(&pid));
    toolbox.execute("touch stop");
    eventually("nothing had closed its output", || {
        toolbox.home().join("fine").exists()
    });
    eventually("it is over", || {
        let reply = toolbox.get("/process/session/entrypoint/logs");
        reply.text().contains("begun") && reply.text().contains("over")
    });
}

#[test]
fn a_tree_is_still_ended_as_a_whole_and_nothing_is_left_open() {
    let toolbox = Toolbox::start();
    upgrade(&toolbox);
    // An orphan makes it look at groups that were not empty yet.
    let orphan = || toolbox.execute("(setsid true &)");
    orphan();
    let open = descriptors(&toolbox);
    let path = start(
        &toolbox,
        &json!({"command": "setsid sleep 1000 & echo $!; sleep 1001"}),
    );
    eventually("it has begun", || !output(&toolbox, &path, 0).is_empty());
    for _ in 0..5 {
        upgrade(&toolbox);
    }
    let pid = output(&toolbox, &path, 0);
    assert!(alive(&pid));
    assert_eq!(toolbox.delete(&path).status, 204);
    eventually("it is gone", || !alive(&pid));
    eventually("as many descriptors are open as before", || {
        orphan();
        descriptors(&toolbox) <= open
    });
}

#[test]
fn the_caller_of_sudo_gets_its_exit_code_across_the_upgrade() {
    let toolbox = Toolbox::start();
    let executable = toolbox.directory.join("toolbox");
    std::fs::copy(env!("CARGO_BIN_EXE_toolbox"), &executable).unwrap();
    std::os::unix::fs::symlink(&executable, toolbox.home().join("sudo")).unwrap();
    let name = toolbox.sudo_socket().to_owned();
    let command = format!(
        "export SEBRING_SUDO_SOCKET={name}; ./sudo sh -c 'id -u; touch {0}/begun; \
         while [ ! -e {0}/stop ]; do sleep 0.02; done; exit 9'; echo code $?; ./sudo id -u",
        toolbox.home().display()
    );
    let path = start(&toolbox, &json!({"command": command, "merged": true}));
    eventually("it runs", || toolbox.home().join("begun").exists());
    upgrade(&toolbox);
    toolbox.execute("touch stop");
    assert_eq!(wait(&toolbox, &path)["exitCode"], 0);
    assert_eq!(output(&toolbox, &path, 0), "0\ncode 9\n0\n");
}

#[test]
fn a_command_in_flight_is_answered_before_the_upgrade() {
    let toolbox = Toolbox::start();
    place_another(&toolbox);
    std::thread::scope(|threads| {
        let running = threads.spawn(|| toolbox.execute("touch begun; sleep 2; echo whole; exit 3"));
        eventually("it runs", || toolbox.home().join("begun").exists());
        assert_eq!(answer(ask(&toolbox)), json!({"outcome": "done"}));
        assert_eq!(running.join().unwrap(), (3, "whole\n".to_owned()));
    });
}

#[test]
fn requests_that_come_meanwhile_wait_and_are_answered() {
    let toolbox = Toolbox::start();
    place_another(&toolbox);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        let callers: Vec<_> = (0..4)
            .map(|number| {
                let (toolbox, stop) = (&toolbox, &stop);
                threads.spawn(move || {
                    let mut calls = 0_u32;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let (code, said) = toolbox.execute(&format!("echo {number} {calls}"));
                        assert_eq!((code, said), (0, format!("{number} {calls}\n")));
                        calls += 1;
                        // As a person would: with moments in between.
                        std::thread::park_timeout(Duration::from_millis(20));
                    }
                    calls
                })
            })
            .collect();
        for _ in 0..3 {
            let outcome = answer(ask(&toolbox));
            let outcome = outcome["outcome"].as_str().unwrap().to_owned();
            assert!(["done", "busy"].contains(&outcome.as_str()), "{outcome}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for caller in callers {
            assert!(caller.join().unwrap() > 0);
        }
    });
    assert_eq!(toolbox.execute("echo fine"), (0, "fine\n".to_owned()));
}
