//! Films of a real desktop, made by a real ffmpeg.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    reason = "test code"
)]

mod common;
#[path = "common/desktop.rs"]
mod desktop;

use desktop::{do_it, ok, refused, started};
use serde_json::{Value, json};

#[test]
fn a_recording_is_a_film_that_can_be_played_fetched_and_deleted() {
    let toolbox = started();
    let reply = toolbox.send(
        "POST",
        "/computeruse/recordings/start",
        &[("Content-Type", "application/json")],
        b"",
    );
    assert_eq!(reply.status, 201, "{}", reply.text());
    let film = reply.json();
    let id = film["id"].as_str().unwrap().to_owned();
    assert_eq!(film["status"], "recording");
    assert!(
        film["fileName"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{id}_session_"))
    );
    let path = format!("/computeruse/recordings/{id}");
    for reply in [
        toolbox.delete(&path),
        toolbox.get(&format!("{path}/download")),
    ] {
        refused(&reply, 409, "stop it first");
        assert_eq!(reply.json()["code"], "RECORDING_STILL_ACTIVE");
    }
    let file = film["filePath"].as_str().unwrap().to_owned();
    do_it(&toolbox, "mouse/move", json!({"x": 300, "y": 200}));
    let stopped = do_it(&toolbox, "recordings/stop", json!({"id": id}));
    assert_eq!(stopped["status"], "completed", "{stopped}");
    assert!(stopped["durationSeconds"].as_f64().unwrap() > 0.0);
    let (code, said) = toolbox.execute(&format!(
        "ffprobe -v error -show_entries stream=codec_name,width,height -of csv=p=0 '{file}'"
    ));
    assert_eq!((code, said.trim()), (0, "h264,800,600"));
    let (_, said) = toolbox.execute(&format!(
        "ffprobe -v error -show_entries format=duration -of csv=p=0 '{file}'"
    ));
    let shown: f64 = said.trim().parse().unwrap();
    let told = stopped["durationSeconds"].as_f64().unwrap();
    assert!((shown - told).abs() < 0.01, "{shown} {told}");
    let body = toolbox.get(&format!("{path}/download")).body;
    assert_eq!(json!(body.len()), stopped["sizeBytes"]);
    assert_eq!(body, std::fs::read(&file).unwrap());
    let list = ok(toolbox.get("/computeruse/recordings"));
    assert_eq!(list["recordings"], json!([stopped]));
    assert_eq!(toolbox.delete(&path).status, 204);
    for reply in [toolbox.get(&path), toolbox.delete(&path)] {
        refused(&reply, 404, &id);
    }
    refused(
        &toolbox.post("/computeruse/recordings/stop", &json!({"id": id})),
        404,
        &id,
    );
    let label = json!({"label": "../escape"});
    refused(
        &toolbox.post("/computeruse/recordings/start", &label),
        400,
        "label",
    );
}

#[test]
fn stopping_the_desktop_completes_its_films() {
    let toolbox = started();
    let reply = toolbox.post(
        "/computeruse/recordings/start",
        &json!({"label": "last one"}),
    );
    assert_eq!(reply.status, 201, "{}", reply.text());
    do_it(&toolbox, "stop", Value::Null);
    let list = ok(toolbox.get("/computeruse/recordings"));
    assert_eq!(list["recordings"][0]["status"], "completed");
}
