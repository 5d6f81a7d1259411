//! Contexts: many, isolated, bounded, and quick.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Cell, contexts, create, output, run, run_with};
use crate::common::{Toolbox, eventually};

#[test]
fn contexts_are_isolated_listed_and_deleted() {
    let toolbox = Toolbox::start();
    std::fs::create_dir(toolbox.home().join("sub")).unwrap();
    let first = create(&toolbox, &json!({"cwd": "sub"}));
    let second = create(&toolbox, &json!({"language": "python", "cwd": null}));
    assert_eq!(first["cwd"], json!(toolbox.home().join("sub")));
    assert_eq!(
        (&first["language"], &first["active"]),
        (&json!("python"), &json!(true))
    );
    assert_eq!(contexts(&toolbox), [first.clone(), second.clone()]);
    let code = "import os\nprint(os.getcwd(), 'x' in globals())\nx = 1";
    for context in [&first, &second] {
        let answer = run_with(&toolbox, &json!({"code": code, "contextId": context["id"]}));
        let expected = format!("{} False\n", context["cwd"].as_str().unwrap());
        assert_eq!(answer.stdout(), expected);
    }
    let path = format!(
        "/process/interpreter/context/{}",
        first["id"].as_str().unwrap()
    );
    let waiting =
        json!({"code": "print('on')\nimport time\ntime.sleep(1000)", "contextId": first["id"]});
    let mut cell = Cell::start(&toolbox, &waiting);
    cell.wait_for("stdout");
    let queued = Cell::start(&toolbox, &waiting);
    let reply = toolbox.delete(&path);
    assert_eq!(reply.status, 200);
    assert!(reply.json()["message"].is_string());
    for cell in [cell, queued] {
        let answer = cell.finish();
        assert_eq!(answer.of("error")["name"], "ContextDeleted");
        assert_eq!(answer.code, 1001);
    }
    assert_eq!(toolbox.delete(&path).status, 404);
    assert_eq!(contexts(&toolbox), [second]);
    assert_eq!(
        toolbox
            .delete("/process/interpreter/context/default")
            .status,
        400
    );
}

#[test]
fn cells_of_one_context_run_in_turn_and_of_two_beside_each_other() {
    let toolbox = Toolbox::start();
    run(&toolbox, "order = []");
    let mut cells: Vec<Cell> = Vec::new();
    for number in 0..5 {
        let code = format!("print('on')\norder.append({number})\nimport time\ntime.sleep(0.05)");
        cells.push(Cell::start(&toolbox, &json!({"code": code})));
        if number == 0 {
            cells[0].wait_for("stdout");
        }
    }
    let other = create(&toolbox, &json!({}));
    let answer = run_with(
        &toolbox,
        &json!({"code": "print('here')", "contextId": other["id"]}),
    );
    assert_eq!(answer.stdout(), "here\n");
    for cell in cells {
        assert_eq!(cell.finish().code, 1000);
    }
    assert_eq!(
        output(&toolbox, "print(sorted(order), order[0], len(order))"),
        "[0, 1, 2, 3, 4] 0 5\n"
    );
}

#[test]
fn what_the_background_writes_between_cells_comes_with_the_next_one() {
    let toolbox = Toolbox::start();
    let code = "import subprocess\nchild = subprocess.Popen('while ! [ -e go ]; do :; done; echo late; touch gone', \
                shell=True)\nprint('on')";
    assert_eq!(output(&toolbox, code), "on\n");
    std::fs::write(toolbox.home().join("go"), "").unwrap();
    eventually("it has written", || toolbox.home().join("gone").exists());
    assert_eq!(output(&toolbox, "print('next')"), "late\nnext\n");
}

#[test]
fn requests_that_cannot_run_are_refused_with_a_reason() {
    let toolbox = Toolbox::start();
    for (request, code, reason) in [
        (json!({"code": " \n"}), 1008, "code"),
        (json!({}), 1008, "code"),
        (json!({"code": "1", "contextId": "nope"}), 1008, "contextId"),
        (json!({"code": "1", "envs": {"A-B": "x"}}), 1008, "A-B"),
        (json!({"code": "1", "timeout": -1}), 1002, "seconds"),
        (json!({"code": 7}), 1002, "request"),
        (json!([]), 1002, "request"),
    ] {
        let answer = run_with(&toolbox, &request);
        assert_eq!(answer.code, code, "{request}: {answer:?}");
        assert!(answer.reason.contains(reason), "{request}: {answer:?}");
        assert!(answer.frames.is_empty());
    }
    for (request, expected) in [
        (json!({"language": "ruby"}), "ruby"),
        (json!({"cwd": "/no/where"}), "/no/where"),
        (json!({"cwd": "a\0b"}), "cwd"),
        (json!({"cwd": 7}), "cwd"),
    ] {
        let reply = toolbox.post("/process/interpreter/context", &request);
        assert_eq!(reply.status, 400, "{request}");
        assert!(
            reply.json()["message"].as_str().unwrap().contains(expected),
            "{request}"
        );
    }
    assert_eq!(
        toolbox.delete("/process/interpreter/context/nope").status,
        404
    );
    assert_eq!(toolbox.get("/process/interpreter/execute").status, 400);
}

#[test]
fn the_number_of_contexts_is_bounded() {
    let toolbox = Toolbox::start();
    // Each is started and then told to wait for ever by nobody: no cell ever runs.
    let made: Vec<Value> = (0..32).map(|_| create(&toolbox, &json!({}))).collect();
    let reply = toolbox.post("/process/interpreter/context", &json!({}));
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (503, &json!("TOO_MANY_PROCESSES"))
    );
    assert!(reply.json()["message"].as_str().unwrap().contains("32"));
    let path = format!(
        "/process/interpreter/context/{}",
        made[0]["id"].as_str().unwrap()
    );
    assert_eq!(toolbox.delete(&path).status, 200);
    create(&toolbox, &json!({}));
}

/// Not a promise, a figure: run with `--nocapture`.
#[test]
fn a_first_cell_and_a_warm_one_are_quick() {
    let toolbox = Toolbox::start();
    let began = Instant::now();
    output(&toolbox, "x = 1");
    let first = began.elapsed();
    let mut warm: Vec<Duration> = (0..100)
        .map(|_| {
            let began = Instant::now();
            run(&toolbox, "1+1");
            began.elapsed()
        })
        .collect();
    warm.sort_unstable();
    println!(
        "first cell {first:?}, 1+1 warm p50 {:?} p99 {:?}",
        warm[50], warm[98]
    );
    assert!(warm[50] < Duration::from_millis(50), "{:?}", warm[50]);
}
