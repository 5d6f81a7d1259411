//! Watched directories against the real executable.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use common::{Reply, Toolbox};
use serde_json::Value;

/// A client of a watch.
struct Client {
    lines: BufReader<UnixStream>,
    cursor: String,
}

impl Client {
    fn connect(toolbox: &Toolbox, query: &str) -> Self {
        let mut stream = toolbox.connect();
        let head = format!("GET /sebring/files/watch?{query} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        Self {
            lines: BufReader::new(stream),
            cursor: String::new(),
        }
    }

    /// One that hears all that happens from now on.
    fn ready(toolbox: &Toolbox, query: &str) -> Self {
        let mut client = Self::connect(toolbox, query);
        assert_eq!(
            client.next(),
            ("ready".to_owned(), serde_json::json!({"resumed": false}))
        );
        client
    }

    /// What kind of event, and its data.
    fn next(&mut self) -> (String, Value) {
        let mut kind = String::new();
        loop {
            let mut line = String::new();
            let length = self.lines.read_line(&mut line).unwrap();
            assert!(length > 0, "the stream ended");
            let line = line.trim_end();
            if let Some(cursor) = line.strip_prefix("id: ") {
                cursor.clone_into(&mut self.cursor);
            } else if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut kind);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (kind, serde_json::from_str(data).unwrap());
            }
        }
    }

    /// Kind and name of a change.
    fn change(&mut self) -> String {
        let (event, data) = self.next();
        assert_eq!(event, "change", "{data}");
        let name = |field: &str| {
            let path = data[field].as_str()?;
            Some(path.rsplit_once("/home/").unwrap().1.to_owned())
        };
        let from = name("from").map_or_else(String::new, |from| format!(" from {from}"));
        let kind = data["kind"].as_str().unwrap();
        format!("{kind} {}{from}", name("path").unwrap())
    }

    fn until(&mut self, last: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let change = self.change();
            let is_last = change == last;
            seen.push(change);
            if is_last {
                return seen;
            }
        }
    }
}

fn refused(reply: &Reply, status: u16) {
    assert_eq!(
        (reply.status, reply.json()["statusCode"].as_u64()),
        (status, Some(status.into()))
    );
}

#[test]
fn changes_are_told_in_order_with_names() {
    let toolbox = Toolbox::start();
    toolbox.execute("mkdir d");
    let mut client = Client::ready(&toolbox, "path=d");
    toolbox.execute("echo x > d/one; chmod 600 d/one; mv d/one d/two; mkdir d/deep; rm d/two");
    assert_eq!(
        client.until("removed d/two"),
        [
            "created d/one",
            "modified d/one",
            "attributes d/one",
            "renamed d/two from d/one",
            "created d/deep",
            "removed d/two",
        ]
    );
}

#[test]
fn an_upload_is_told_like_any_other_change() {
    let toolbox = Toolbox::start();
    toolbox.execute("mkdir d");
    let mut client = Client::ready(&toolbox, "path=d");
    let reply = toolbox.send("POST", "/files/upload-v2?path=d/file", &[], b"content");
    assert_eq!(reply.status, 200);
    assert_eq!(client.change(), "created d/file");
}

#[test]
fn only_a_recursive_watch_tells_of_what_is_below() {
    let toolbox = Toolbox::start();
    toolbox.execute("mkdir -p d/old");
    let mut flat = Client::ready(&toolbox, "path=d");
    let mut deep = Client::ready(&toolbox, "path=d&recursive=true");
    toolbox.execute("echo x > d/old/file; mkdir -p d/a/b/c; echo x > d/a/b/c/file; touch d/last");
    let seen = flat.until("created d/last");
    assert!(
        !seen.iter().any(|change| change.ends_with("file")),
        "{seen:?}"
    );
    let seen = deep.until("created d/a/b/c/file");
    assert!(seen.contains(&"created d/old/file".to_owned()), "{seen:?}");
    assert!(seen.contains(&"created d/a/b/c".to_owned()), "{seen:?}");
}

#[test]
fn a_renamed_directory_keeps_being_watched_under_its_new_name() {
    let toolbox = Toolbox::start();
    toolbox.execute("mkdir -p d/a/b out");
    let mut client = Client::ready(&toolbox, "path=d&recursive=true");
    toolbox.execute(
        "mv d/a d/z; echo x > d/z/b/file; mv d/z out; echo x > out/z/b/other; touch d/last",
    );
    let seen = client.until("created d/last");
    assert!(
        seen.contains(&"renamed d/z from d/a".to_owned()),
        "{seen:?}"
    );
    assert!(seen.contains(&"created d/z/b/file".to_owned()), "{seen:?}");
    assert!(seen.contains(&"removed d/z".to_owned()), "{seen:?}");
    assert!(
        !seen.iter().any(|change| change.contains("other")),
        "{seen:?}"
    );
}

#[test]
fn a_client_that_comes_back_with_its_cursor_has_missed_nothing() {
    let toolbox = Toolbox::start();
    toolbox.execute("mkdir d");
    let mut client = Client::ready(&toolbox, "path=d");
    toolbox.execute("mkdir d/one");
    assert_eq!(client.change(), "created d/one");
    let cursor = client.cursor.clone();
    drop(client);
    toolbox.execute("mkdir d/two");
    let mut again = Client::connect(&toolbox, &format!("path=d&cursor={cursor}"));
    assert_eq!(again.next().1["resumed"], true);
    assert_eq!(again.change(), "created d/two");
}

#[test]
fn a_client_that_missed_too_much_or_comes_from_elsewhere_is_told() {
    let toolbox = Toolbox::start();
    toolbox.execute("mkdir d e");
    let away = Client::ready(&toolbox, "path=d").cursor;
    let mut present = Client::ready(&toolbox, "path=d");
    toolbox.execute("for i in $(seq 5000); do : > d/$i; done");
    // It may have fallen behind as well.
    while !present.next().1["path"]
        .as_str()
        .is_some_and(|path| path.ends_with("/5000"))
    {}
    let mut again = Client::connect(&toolbox, &format!("path=d&cursor={away}"));
    assert_eq!(again.next().0, "ready");
    assert_eq!(again.next().0, "lost");
    again.until("created d/5000");
    let mut elsewhere = Client::connect(&toolbox, &format!("path=e&cursor={away}"));
    assert_eq!(elsewhere.next().1["resumed"], false);
    assert_eq!(elsewhere.next().0, "lost");
}

#[test]
fn a_watch_ends_with_its_directory_and_begins_with_a_new_one() {
    let toolbox = Toolbox::start();
    toolbox.execute("mkdir d");
    let mut client = Client::ready(&toolbox, "path=d");
    toolbox.execute("rmdir d");
    assert_eq!(client.change(), "removed d");
    assert_eq!(client.next().0, "end");
    toolbox.execute("mkdir d");
    let mut client = Client::ready(&toolbox, "path=d");
    toolbox.execute("touch d/file");
    assert_eq!(client.change(), "created d/file");
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let toolbox = Toolbox::start();
    toolbox.execute("touch file");
    refused(&toolbox.get("/sebring/files/watch?path=none"), 404);
    refused(&toolbox.get("/sebring/files/watch?path=file"), 400);
    refused(&toolbox.get("/sebring/files/watch?path=/root"), 403);
    refused(&toolbox.get("/sebring/files/watch"), 400);
}

#[test]
fn the_number_of_watches_is_bounded() {
    let toolbox = Toolbox::start();
    toolbox.execute("mkdir $(seq 17)");
    let held: Vec<_> = (1..=16)
        .map(|number| Client::ready(&toolbox, &format!("path={number}")))
        .collect();
    refused(&toolbox.get("/sebring/files/watch?path=17"), 409);
    assert_eq!(held.len(), 16);
}
