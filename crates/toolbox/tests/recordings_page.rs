//! What the page of recordings asks for, with files that look like films; no desktop is needed.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "test code")]

mod common;

use std::path::PathBuf;

use common::{Settings, Toolbox};
use serde_json::{Value, json};

const ROUTE: &str = "/_sebring/recordings";

/// A toolbox with these films.
fn toolbox(films: &[&str]) -> (Toolbox, PathBuf) {
    let disk = ("disk_used", "00000000000000000000");
    let toolbox = Toolbox::start_among(Settings::default(), &[disk]);
    let folder = toolbox.home().join("films");
    // By the user of the sandbox, who owns what is deleted.
    assert_eq!(toolbox.execute("mkdir films").0, 0);
    for film in films {
        let made = toolbox.execute(&format!("printf 0123456789 > 'films/{film}'"));
        assert_eq!(made.0, 0, "{}", made.1);
    }
    let set = json!({"set": {"DAYTONA_RECORDINGS_DIR": folder}});
    assert_eq!(toolbox.post("/env", &set).status, 200);
    (toolbox, folder)
}

fn id(digit: char) -> String {
    let part = |length| String::from(digit).repeat(length);
    [8, 4, 4, 4, 12].map(part).join("-")
}

fn film(digit: char) -> String {
    format!("{}_my film_20261121_101112.mp4", id(digit))
}

fn delete(toolbox: &Toolbox, body: &Value) -> Value {
    let body = body.to_string();
    let reply = toolbox.send("DELETE", ROUTE, &[], body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[test]
fn a_film_is_given_to_a_player_in_ranges_by_the_exact_name_of_its_file() {
    let (toolbox, _) = toolbox(&[&film('1')]);
    let name = film('1').replace(' ', "%20");
    let ask = |range: &str| {
        let target = format!("{ROUTE}/{name}");
        toolbox.send("GET", &target, &[("Range", range)], b"")
    };
    let part = ask("bytes=2-4");
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    assert_eq!(part.header("content-type"), Some("video/mp4"));
    assert_eq!(part.header("content-disposition"), None);
    assert_eq!(ask("bytes=10-").status, 416);
    for other in ["..", "%2Fetc%2Fpasswd", "..%2Ffilms%2Fx", &id('1')] {
        let reply = toolbox.get(&format!("{ROUTE}/{other}"));
        assert_eq!(reply.status, 404, "{other}: {}", reply.text());
    }
}

#[test]
fn many_are_deleted_at_once_and_one_that_cannot_be_keeps_no_other() {
    let (toolbox, folder) = toolbox(&[&film('1'), &film('2'), &film('3'), "holiday.mp4"]);
    let said = delete(
        &toolbox,
        &json!({"ids": [id('1'), "../x", id('3'), id('3')]}),
    );
    assert_eq!(said["reasons"]["../x"], "no recording \"../x\"", "{said}");
    assert_eq!(said["deleted"], json!([id('1'), id('3')]));
    assert_eq!(said["failed"], json!(["../x"]));
    let mut left: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [film('2'), "holiday.mp4".to_owned()]);
    let list = toolbox.get(ROUTE).json();
    assert_eq!(list["recordings"][0]["id"], id('2'));
    assert_eq!(list["recordings"].as_array().unwrap().len(), 1);
}

#[test]
fn a_request_that_names_none_is_refused() {
    let (toolbox, _) = toolbox(&[]);
    for body in [
        "",
        "{}",
        r#"{"ids": []}"#,
        r#"{"ids": "x"}"#,
        r#"{"ids": [1]}"#,
    ] {
        let reply = toolbox.send("DELETE", ROUTE, &[], body.as_bytes());
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.text().contains("ids"), "{}", reply.text());
    }
}
