//! How cells end: in time, interrupted, left, crashed.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Cell, contexts, create, output, run, run_with};
use crate::common::{Settings, Toolbox, alive, eventually};

#[test]
fn a_cell_over_its_time_is_interrupted_and_the_state_is_kept() {
    let toolbox = Toolbox::start();
    run(&toolbox, "x = 5");
    let code = "print('begun', flush=True)\nimport subprocess\nsubprocess.run(['sleep', '1000'])";
    let began = Instant::now();
    let answer = run_with(&toolbox, &json!({"code": code, "timeout": 1}));
    assert_eq!(
        (answer.code, &*answer.stdout()),
        (4008, "begun\n"),
        "{answer:?}"
    );
    assert!(
        answer.reason.contains("not finished after 1 s"),
        "{answer:?}"
    );
    // Some clients would take either for a good end.
    let told = |frame: &Value| frame["type"] == "control" || frame["type"] == "error";
    assert!(!answer.frames.iter().any(told), "{answer:?}");
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(output(&toolbox, "print(x)"), "5\n");
}

#[test]
fn a_timeout_has_the_code_that_go_clients_know() {
    let toolbox = Toolbox::start();
    for source in ["sdk-go", "go-sdk"] {
        let mut cell = Cell::open_as(&toolbox, source);
        cell.send(&json!({"code": "while True: pass", "timeout": 0.2}));
        assert_eq!(cell.finish().code, 4001, "{source}");
    }
}

#[test]
fn a_cell_that_does_not_stop_is_ended_with_all_it_started() {
    let toolbox = Toolbox::start();
    let code = "import os, signal, subprocess\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n\
                print(os.getpid(), subprocess.Popen(['setsid', 'sleep', '1000']).pid)\nwhile True: pass";
    let answer = run_with(&toolbox, &json!({"code": code, "timeout": 0.5}));
    assert_eq!(answer.code, 4008, "{answer:?}");
    assert!(
        answer.reason.ends_with("its variables are lost"),
        "{answer:?}"
    );
    for pid in answer.stdout().split_whitespace() {
        eventually("the tree is gone", || !alive(pid));
    }
    assert_eq!(output(&toolbox, "print('x' in globals())"), "False\n");
}

/// A toolbox whose Python takes a second before it knows what an interrupt is.
fn slow_to_start() -> Toolbox {
    let slow = "#!/bin/sh\nsleep 1\nPATH=${PATH#*:}\nexec python3 \"$@\"\n";
    let toolbox = Toolbox::start_among(Settings::default(), &[("bin/python3", slow)]);
    let bin = toolbox.directory.join("bin");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bin.join("python3"), executable).unwrap();
    let usual = toolbox.execute("printf %s \"$PATH\"").1;
    let set = json!({"set": {"PATH": format!("{}:{usual}", bin.display())}});
    assert_eq!(toolbox.post("/env", &set).status, 200);
    toolbox
}

#[test]
fn the_time_of_a_cell_begins_with_the_cell() {
    let toolbox = slow_to_start();
    let answer = run_with(&toolbox, &json!({"code": "print('on')", "timeout": 0.5}));
    assert_eq!((answer.code, &*answer.stdout()), (1000, "on\n"));
}

#[test]
fn an_interrupt_before_the_cell_has_begun_is_not_lost() {
    let toolbox = slow_to_start();
    let mut cell = Cell::start(&toolbox, &json!({"code": "while True: pass"}));
    cell.send(&json!({"type": "interrupt"}));
    let answer = cell.finish();
    assert_eq!(
        (answer.code, &*answer.text_of("control")),
        (1000, "interrupted"),
        "{answer:?}"
    );
    assert_eq!(output(&toolbox, "print(1)"), "1\n");
}

#[test]
fn a_state_that_was_lost_when_the_client_had_left_is_told_to_the_next() {
    let toolbox = Toolbox::start();
    let code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('on')\n\
                while True: pass";
    let mut cell = Cell::start(&toolbox, &json!({"code": code}));
    cell.wait_for("stdout");
    drop(cell);
    let answer = run(&toolbox, "print('signal' in globals())");
    assert_eq!((answer.code, &*answer.stdout()), (1000, "False\n"));
    let told = answer.stderr();
    assert!(
        told.contains("has lost its variables") && told.contains("did not stop"),
        "{answer:?}"
    );
    assert_eq!(output(&toolbox, "print('once')"), "once\n");
}

#[test]
fn an_interrupt_ends_the_cell_and_keeps_the_state() {
    let toolbox = Toolbox::start();
    let code = "x = 1\nprint('ready')\nwhile True: pass";
    let mut cell = Cell::start(&toolbox, &json!({"code": code}));
    cell.wait_for("stdout");
    cell.send(&json!({"type": "interrupt"}));
    let answer = cell.finish();
    assert_eq!(
        (answer.code, &*answer.text_of("control")),
        (1000, "interrupted")
    );
    assert_eq!(answer.of("error")["name"], "KeyboardInterrupt");
    assert_eq!(output(&toolbox, "print(x)"), "1\n");
}

#[test]
fn a_client_that_leaves_interrupts_its_cell() {
    let toolbox = Toolbox::start();
    let code = "x = 1\ntry:\n  print('ready')\n  while True: pass\nexcept KeyboardInterrupt: x = 2";
    let mut cell = Cell::start(&toolbox, &json!({"code": code, "timeout": 0}));
    cell.wait_for("stdout");
    drop(cell);
    assert_eq!(output(&toolbox, "print(x)"), "2\n");
}

#[test]
fn a_crash_is_told_and_the_context_starts_anew() {
    let toolbox = Toolbox::start();
    for (code, expected) in [
        (
            "import os\nprint('last words')\nos._exit(7)",
            "exited with code 7",
        ),
        (
            "import ctypes\nprint('last words')\nctypes.string_at(0)",
            "ended by signal 11",
        ),
    ] {
        let answer = run(&toolbox, code);
        assert_eq!(answer.code, 1001, "{answer:?}");
        assert!(answer.reason.contains(expected), "{answer:?}");
        assert_eq!(answer.of("error")["name"], "InterpreterDied");
        assert!(
            answer.of("error")["value"]
                .as_str()
                .unwrap()
                .contains(expected)
        );
        assert_eq!(answer.stdout(), "last words\n");
        assert_eq!(output(&toolbox, "print('again')"), "again\n");
    }
    // Also when nobody was there to be told.
    let context = create(&toolbox, &json!({}));
    let id = context["id"].as_str().unwrap();
    let code = "import os, threading\nthreading.Timer(0.01, lambda: os._exit(9)).start()";
    run_with(&toolbox, &json!({"code": code, "contextId": id}));
    eventually("it is gone", || contexts(&toolbox)[0]["active"] == false);
    let answer = run_with(&toolbox, &json!({"code": "print(1)", "contextId": id}));
    assert_eq!((answer.code, &*answer.stdout()), (1000, "1\n"));
    assert!(
        answer.stderr().contains("it exited with code 9"),
        "{answer:?}"
    );
    assert_eq!(contexts(&toolbox)[0]["active"], true);
}

#[test]
fn a_process_that_talks_nonsense_is_ended() {
    let toolbox = Toolbox::start();
    let code = "import os, socket, stat\nfor fd in range(3, 99):\n  try:\n    \
                if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, b'\\xff' * 100)\n  \
                except OSError: pass\nwhile True: pass";
    let answer = run(&toolbox, code);
    assert_eq!(answer.code, 1001, "{answer:?}");
    assert!(answer.reason.contains("had to be ended"), "{answer:?}");
    assert_eq!(output(&toolbox, "print('again')"), "again\n");
}

#[test]
fn a_flood_to_a_client_that_does_not_read_is_held_back_and_ends_in_time() {
    let toolbox = Toolbox::start();
    let code = "while True: print('x' * 1000)";
    let mut cell = Cell::start(&toolbox, &json!({"code": code, "timeout": 1}));
    cell.wait_for("stdout");
    // Nothing is read meanwhile; another context is not disturbed.
    let other = create(&toolbox, &json!({}));
    let answer = run_with(
        &toolbox,
        &json!({"code": "import time; time.sleep(2)", "contextId": other["id"]}),
    );
    assert_eq!(answer.code, 1000);
    assert_eq!(cell.finish().code, 4008);
    assert_eq!(output(&toolbox, "print('alive')"), "alive\n");
}

#[test]
fn a_cell_that_closes_every_descriptor_is_heard_of() {
    let toolbox = Toolbox::start();
    let answer = run(&toolbox, "x = 1\nimport os\nos.closerange(0, 100)");
    assert_eq!(answer.code, 1001, "{answer:?}");
    assert_eq!(output(&toolbox, "print('x' in globals())"), "False\n");
}

#[test]
fn what_one_cell_does_to_interrupts_does_not_last() {
    let toolbox = Toolbox::start();
    run(
        &toolbox,
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nx = 1",
    );
    let answer = run_with(
        &toolbox,
        &json!({"code": "while True: pass", "timeout": 0.2}),
    );
    assert_eq!(answer.code, 4008, "{answer:?}");
    assert_eq!(output(&toolbox, "print(x)"), "1\n");
}
