//! The interpreter, variables, facts, and what does not go over.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};

use serde_json::json;

use crate::client::{Cell, contexts, create, run, run_with};
use crate::common::{Settings, Toolbox};
use crate::{answer, ask, place_another, switch, upgrade};

#[test]
fn interpreters_keep_their_variables_and_what_they_wrote_meanwhile() {
    let toolbox = Toolbox::start();
    let made = create(&toolbox, &json!({}));
    run(&toolbox, "x = 41\nimport threading, time");
    run_with(
        &toolbox,
        &json!({"code": "y = ['made']", "contextId": made["id"]}),
    );
    let listed = contexts(&toolbox);
    let later = "def later():\n    time.sleep(0.3)\n    print('later')\n\
        t = threading.Thread(target=later); t.start()";
    run(&toolbox, later);
    upgrade(&toolbox);
    upgrade(&toolbox);
    assert_eq!(contexts(&toolbox), listed);
    let answer = run(&toolbox, "t.join(); print(x + 1)");
    assert_eq!(answer.stdout(), "later\n42\n");
    let answer = run_with(
        &toolbox,
        &json!({"code": "print(y)", "contextId": made["id"]}),
    );
    assert_eq!(answer.stdout(), "['made']\n");
}

#[test]
fn a_cell_that_runs_is_not_cut() {
    let toolbox = Toolbox::start();
    place_another(&toolbox);
    run(&toolbox, "import os, time");
    let code = "print('on', flush=True)\n\
        while not os.path.exists('stop'): time.sleep(0.02)\nprint('whole')";
    let mut cell = Cell::start(&toolbox, &json!({"code": code}));
    cell.wait_for("stdout");
    let busy = answer(ask(&toolbox));
    assert_eq!(busy["outcome"], "busy");
    assert_eq!(busy["reason"], "an interpreter runs a cell");
    toolbox.execute("touch stop");
    let told = cell.finish();
    assert!(told.stdout().ends_with("whole\n"));
    assert_eq!(answer(ask(&toolbox)), json!({"outcome": "done"}));
}

#[test]
fn variables_and_the_user_stay_what_they_were() {
    let toolbox = Toolbox::start_with(Settings {
        user: "daemon",
        ..Settings::default()
    });
    toolbox.post(
        "/env",
        &json!({"set": {"ADDED": "later"}, "unset": ["GREETING"]}),
    );
    let look =
        "id; echo $ADDED-$GREETING-$HOSTNAME; pwd; umask; ulimit -n; cat /proc/self/oom_score_adj";
    let before = toolbox.execute(look);
    let work_dir = toolbox.get("/work-dir").json();
    upgrade(&toolbox);
    assert_eq!(toolbox.execute(look), before);
    assert_eq!(toolbox.get("/work-dir").json(), work_dir);
    let owner = toolbox.execute("touch mine; stat -c %U mine").1;
    assert_eq!(owner, "daemon\n");
    let made = toolbox.post("/files/folder?path=made&mode=755", &json!(null));
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(toolbox.execute("stat -c %U made").1, "daemon\n");
}

#[test]
fn a_stream_to_a_port_loses_no_byte_in_either_direction() {
    const BYTES: u64 = 3 << 20;
    let toolbox = Toolbox::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut host = switch(&toolbox, &format!("/_sebring/tcp/{port}"), "sebring-tcp");
    let (mut inside, _) = listener.accept().unwrap();
    host.write_all(b"before").unwrap();
    let mut word = [0; 6];
    inside.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"before");
    let byte = |at: u64| u8::try_from(at * 31 % 251).unwrap();
    std::thread::scope(|threads| {
        // More than any buffer on the way holds, and nobody reads yet.
        let mut writer = inside.try_clone().unwrap();
        threads.spawn(move || {
            let bytes: Vec<u8> = (0..BYTES).map(byte).collect();
            writer.write_all(&bytes).unwrap();
        });
        upgrade(&toolbox);
        let mut all = vec![0; usize::try_from(BYTES).unwrap()];
        host.read_exact(&mut all).unwrap();
        assert!((0..).zip(&all).all(|(at, found)| *found == byte(at)));
    });
    upgrade(&toolbox);
    host.write_all(b"after").unwrap();
    host.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    inside.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "after");
    inside.write_all(b"bye").unwrap();
    drop(inside);
    let mut rest = String::new();
    host.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "bye");
}
