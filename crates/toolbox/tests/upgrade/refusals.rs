//! When it cannot be, or must not: the program that is there goes on as if nobody had asked.

use std::time::Duration;

use serde_json::json;

use crate::common::{Toolbox, eventually, signal};
use crate::{answer, ask, descriptors, place, place_another, program_of, upgrade};

#[test]
fn a_program_that_cannot_go_on_is_not_executed_and_says_why() {
    let toolbox = Toolbox::start();
    toolbox.post("/process/session", &json!({"sessionId": "s"}));
    let run = |command: &str| {
        let body = json!({"command": command});
        let reply = toolbox.post("/process/session/s/exec", &body);
        reply.json()["exitCode"].as_i64()
    };
    assert_eq!(run("A=7"), Some(0));
    let (before, open) = (program_of(&toolbox), descriptors(&toolbox));
    let refusing = b"#!/bin/sh\ntest \"$1\" = --check-state || exit 0\n\
        grep -q '\"version\":1' || exit 0\necho state version 1 is too new; exit 1\n";
    let programs: [(&[u8], &str); 4] = [
        (
            refusing,
            "the new program cannot go on from here: state version 1 is too new",
        ),
        (
            b"no program at all",
            "start the new program: Exec format error (os error 8)",
        ),
        (
            b"#!/bin/sh\nkill -9 $$\n",
            "the new program cannot go on from here: ",
        ),
        (
            b"#!/bin/sh\nexec sleep 1000\n",
            "the new program cannot go on from here: it did not answer in time",
        ),
    ];
    for (program, reason) in programs {
        place(&toolbox, program);
        let expected = json!({"outcome": "refused", "reason": reason});
        assert_eq!(answer(ask(&toolbox)), expected);
        assert_eq!(program_of(&toolbox), before);
        assert_eq!(run("(exit $A)"), Some(7), "after: {reason}");
    }
    eventually("nothing is left open", || descriptors(&toolbox) <= open + 1);
    upgrade(&toolbox);
    assert_eq!(run("(exit $A)"), Some(7));
}

#[test]
fn without_another_program_nothing_happens() {
    let toolbox = Toolbox::start();
    let refused = answer(ask(&toolbox));
    let reason = "start the new program: No such file or directory (os error 2)";
    assert_eq!(refused, json!({"outcome": "refused", "reason": reason}));
    assert_eq!(toolbox.execute("echo fine").1, "fine\n");
}

#[test]
fn a_command_that_takes_long_puts_it_off_and_is_not_touched() {
    let toolbox = Toolbox::start();
    place_another(&toolbox);
    std::thread::scope(|threads| {
        let long = "echo $$ > pid; while [ ! -e stop ]; do sleep 0.02; done; echo whole";
        let running = threads.spawn(|| toolbox.execute(long));
        eventually("it runs", || toolbox.home().join("pid").exists());
        let busy = answer(ask(&toolbox));
        let expected = json!({"outcome": "busy", "reason": "a request is being answered"});
        assert_eq!(busy, expected);
        toolbox.execute("touch stop");
        assert_eq!(running.join().unwrap(), (0, "whole\n".to_owned()));
    });
    assert_eq!(answer(ask(&toolbox)), json!({"outcome": "done"}));
}

#[test]
fn who_hangs_up_wants_it_no_more() {
    let toolbox = Toolbox::start();
    place_another(&toolbox);
    let before = program_of(&toolbox);
    std::thread::scope(|threads| {
        let running = threads.spawn(|| toolbox.execute("touch begun; sleep 1; echo whole"));
        eventually("it runs", || toolbox.home().join("begun").exists());
        drop(ask(&toolbox));
        assert_eq!(running.join().unwrap().1, "whole\n");
    });
    assert_eq!(toolbox.execute("echo fine").1, "fine\n");
    assert_eq!(program_of(&toolbox), before);
}

#[test]
fn a_plain_request_is_told_what_is_missing() {
    let toolbox = Toolbox::start();
    let reply = toolbox.post("/_sebring/upgrade", &json!(null));
    assert_eq!(reply.status, 400, "{}", reply.text());
}

#[test]
fn a_request_to_end_is_heard_by_whichever_program_is_there() {
    let mut toolbox = Toolbox::start();
    upgrade(&toolbox);
    toolbox.execute("(setsid sleep 1000 &)");
    assert!(toolbox.stop() < Duration::from_secs(5));
    let mut toolbox = Toolbox::start();
    place_another(&toolbox);
    let asked = ask(&toolbox);
    signal("-TERM", toolbox.pid());
    drop(asked);
    assert!(toolbox.stop() < Duration::from_secs(5));
}
