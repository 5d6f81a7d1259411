//! Whatever a server does costs only the answers that were asked of it.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{alive, eventually};
use crate::project::{Project, assert_refused, names};

const GONE: &str = "LSP_SERVER_NOT_INITIALIZED";

/// Asks a server that misbehaves; it must be ended, and a new start must work.
fn assert_ends(misbehaviour: &str, reason: &str) {
    let project = Project::with(misbehaviour);
    project.start();
    project.write("a.py", "class One: pass\n");
    assert_refused(&project.symbols("a.py"), 400, GONE, reason);
    // Those who ask later hear it as well.
    assert_refused(&project.search("x"), 400, GONE, reason);
    for pid in project.pids() {
        eventually("it is gone", || !alive(&pid));
    }
    let reply = project.post("/env", &serde_json::json!({"set": {"MISBEHAVE": ""}}));
    assert_eq!(reply.status, 200);
    project.start();
    assert_eq!(names(&project.symbols("a.py")), ["One"]);
}

#[test]
fn a_death_is_told_with_code_and_last_words() {
    assert_ends(
        "death",
        "exited with code 3; its last words: Traceback: the end",
    );
}

#[test]
fn what_is_no_message_ends_the_server() {
    assert_ends("noise", "no message");
}

#[test]
fn a_head_without_end_ends_the_server() {
    assert_ends("an endless head", "no message");
}

#[test]
fn a_message_that_is_too_long_ends_the_server() {
    assert_ends("a huge message", "99999999999 bytes, more than 8388608");
}

#[test]
fn an_answer_nested_too_deeply_is_an_error_and_the_server_stays() {
    let project = Project::with("a deep message");
    project.start();
    project.write("a.py", "");
    let reply = project.symbols("a.py");
    assert_refused(&reply, 500, "INTERNAL_SERVER_ERROR", "makes no sense");
    assert!(project.pids().iter().all(|pid| alive(pid)));
}

#[test]
fn an_answer_that_makes_no_sense_is_an_error_and_the_server_stays() {
    let project = Project::with("nonsense");
    project.start();
    project.write("a.py", "class One: pass\n");
    let reply = project.complete("a.py", 0, 0);
    assert_refused(&reply, 500, "INTERNAL_SERVER_ERROR", "makes no sense");
    assert_eq!(names(&project.symbols("a.py")), ["One"]);
}

#[test]
fn a_refusal_is_told_in_the_servers_words() {
    let project = Project::with("a refusal");
    project.start();
    project.write("a.py", "");
    let reply = project.complete("a.py", 0, 0);
    assert_refused(&reply, 422, "UNPROCESSABLE_ENTITY", "not today");
}

#[test]
fn a_server_that_refuses_to_start_says_why() {
    let project = Project::with("a refused start");
    let reply = project.call("start", &serde_json::json!({}));
    assert_refused(&reply, 400, GONE, "it refused to start: no licence");
}

#[test]
fn a_flood_of_talk_and_questions_is_read_past() {
    let project = Project::with("a flood");
    project.start();
    project.write("a.py", "class One: pass\n");
    assert_eq!(names(&project.symbols("a.py")), ["One"]);
    let began = Instant::now();
    assert_eq!(project.get("/version").status, 200);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_server_that_reads_late_and_says_nothing_is_told_the_rest() {
    let project = Project::with("a nap");
    project.start();
    let names = ["a.py", "b.py", "c.py", "d.py", "e.py"];
    for name in names {
        project.write(name, &"x".repeat(3 << 20));
    }
    let opened = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for name in names {
                let uri = serde_json::json!({"uri": format!("file://{name}")});
                assert_eq!(project.call("did-open", &uri).status, 200);
                opened.fetch_add(1, Ordering::Relaxed);
            }
        });
        // No more than that is queued for it.
        eventually("the queue is full", || opened.load(Ordering::Relaxed) == 3);
        project.write("go", "");
    });
    assert_eq!(opened.load(Ordering::Relaxed), names.len());
}

#[test]
fn questions_that_nobody_waits_for_any_more_make_room() {
    let project = Project::with("forgetfulness");
    project.start();
    project.write("forgotten.py", "");
    project.write("a.py", "class One: pass\n");
    let (root, uri) = (project.root(), "file://forgotten.py");
    let query = format!("languageId=python&pathToProject={}", root.display());
    let head = format!("GET /lsp/document-symbols?{query}&uri={uri} HTTP/1.1\r\nHost: x\r\n\r\n");
    let clients: Vec<_> = (0..64).map(|_| project.connect()).collect();
    for mut client in &clients {
        client.write_all(head.as_bytes()).unwrap();
    }
    let asked = || {
        let methods = project.methods();
        let questions = methods.iter();
        questions
            .filter(|name| *name == "textDocument/documentSymbol")
            .count()
    };
    eventually("all have asked", || asked() == clients.len());
    drop(clients);
    assert_eq!(names(&project.symbols("a.py")), ["One"]);
}
