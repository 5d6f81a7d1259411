//! How servers begin and end.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::{Settings, Toolbox, alive, eventually};
use crate::project::{Project, assert_refused, names};

#[test]
fn nothing_is_asked_of_a_server_that_was_not_started() {
    let project = Project::new();
    project.write("a.py", "");
    let code = "LSP_SERVER_NOT_INITIALIZED";
    for reply in [
        project.symbols("a.py"),
        project.search("x"),
        project.complete("a.py", 0, 0),
        project.call("did-open", &json!({"uri": "file://a.py"})),
        project.call("did-close", &json!({"uri": "file://a.py"})),
        project.call("stop", &json!({})),
    ] {
        assert_refused(&reply, 400, code, "start");
    }
    assert_eq!(project.pids().len(), 0);
}

#[test]
fn many_starts_at_once_make_one_server() {
    let project = Project::new();
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| project.start());
        }
    });
    assert_eq!(project.pids().len(), 1);
}

#[test]
fn each_language_and_project_has_a_server_of_its_own() {
    let project = Project::started();
    for (language, root) in [("typescript", "project"), ("python", ".")] {
        let body = json!({"languageId": language, "pathToProject": root});
        assert_eq!(project.post("/lsp/start", &body).status, 200);
    }
    project.write("a.py", "class One: pass\n");
    assert_eq!(project.call("stop", &json!({})).status, 200);
    let query = "languageId=python&pathToProject=.&uri=file://project/a.py";
    let reply = project.get(&format!("/lsp/document-symbols?{query}"));
    assert_eq!(names(&reply), ["One"]);
}

#[test]
fn the_number_of_servers_is_bounded() {
    let project = Project::new();
    let start = |number: usize| {
        let root = format!("p{number}");
        assert_eq!(project.execute(&format!("mkdir -p {root}")).0, 0);
        let body = json!({"languageId": "python", "pathToProject": root});
        project.post("/lsp/start", &body)
    };
    for number in 0..8 {
        assert_eq!(start(number).status, 200);
    }
    assert_refused(&start(8), 503, "TOO_MANY_PROCESSES", "stop one first");
    let first = json!({"languageId": "python", "pathToProject": "p0"});
    assert_eq!(project.post("/lsp/stop", &first).status, 200);
    assert_eq!(start(8).status, 200);
}

#[test]
fn stop_says_goodbye_and_ends_the_server() {
    let project = Project::started();
    let began = Instant::now();
    assert_eq!(project.call("stop", &json!({})).status, 200);
    assert!(began.elapsed() < Duration::from_secs(1), "{began:?}");
    assert_eq!(project.methods(), ["shutdown", "exit"]);
    for pid in project.pids() {
        assert!(!alive(&pid), "{pid} lives");
    }
    let reply = project.search("x");
    assert_refused(&reply, 400, "LSP_SERVER_NOT_INITIALIZED", "start");
    project.start();
    assert_eq!(project.pids().len(), 2);
}

#[test]
fn a_server_that_does_not_want_to_stop_is_ended_with_what_it_started() {
    let project = Project::with("stubbornness");
    project.start();
    let pids = project.pids();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| alive(pid)));
    assert_eq!(project.call("stop", &json!({})).status, 200);
    for pid in pids {
        eventually("it is gone", || !alive(&pid));
    }
}

#[test]
fn who_waits_for_a_server_that_is_stopped_is_told() {
    let project = Project::with("silence");
    project.start();
    project.write("a.py", "");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| project.symbols("a.py"));
        let has_it = || project.methods().contains(&"silent".to_owned());
        eventually("the server has the question", has_it);
        assert_eq!(project.call("stop", &json!({})).status, 200);
        let reply = waits.join().unwrap();
        assert_refused(&reply, 400, "LSP_SERVER_NOT_INITIALIZED", "it was stopped");
    });
}

#[test]
fn a_server_that_is_not_installed_is_named_with_the_remedy() {
    let toolbox = Toolbox::start_with(Settings::default());
    let set = json!({"set": {"PATH": "/none"}});
    assert_eq!(toolbox.post("/env", &set).status, 200);
    for (language, remedy) in [
        ("python", "pip install python-lsp-server"),
        ("javascript", "npm install --global typescript"),
    ] {
        let body = json!({"languageId": language, "pathToProject": "."});
        let reply = toolbox.post("/lsp/start", &body);
        assert_refused(&reply, 400, "BAD_REQUEST", remedy);
    }
}

#[test]
fn no_server_outlives_the_toolbox() {
    let mut toolbox = Toolbox::start_with(Settings {
        cgroup: false,
        ..Settings::default()
    });
    let script = "mkdir bin\ncat > bin/pylsp <<'end'\n#!/bin/sh\ntrap '' TERM\necho $$ > pid\n\
                  sleep 1000\nend\nchmod 755 bin/pylsp";
    assert_eq!(toolbox.execute(script).0, 0);
    let path = format!("{}/bin:/usr/bin:/bin", toolbox.home().display());
    toolbox.post("/env", &json!({"set": {"PATH": path}}));
    let body = r#"{"languageId":"python","pathToProject":"."}"#;
    // It is never ready, and whether the start is answered at last is not the point.
    let mut client = toolbox.connect();
    let length = body.len();
    let head = format!("POST /lsp/start HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    client.write_all((head + body).as_bytes()).unwrap();
    let told = || std::fs::read_to_string(toolbox.home().join("pid")).unwrap_or_default();
    eventually("the server runs", || told().ends_with('\n'));
    let pid = told();
    assert!(alive(&pid));
    toolbox.stop();
    assert!(!alive(&pid), "{pid} lives");
}
