//! A toolbox with a display of its own, and what the tests of computer use do with one.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    reason = "test code"
)]

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};

use crate::common::{Reply, Settings, Toolbox, eventually};

static DISPLAYS: AtomicU16 = AtomicU16::new(0);

/// A toolbox on a display and ports that no other test of this host uses.
pub fn toolbox() -> Toolbox {
    let disk = ("disk_used", "00000000000000000000");
    let toolbox = Toolbox::start_among(Settings::default(), &[disk]);
    let number =
        100 + std::process::id() % 700 + u32::from(DISPLAYS.fetch_add(1, Ordering::Relaxed));
    let (vnc, web) = (free_port(), free_port());
    let set = json!({"set": {
        "DISPLAY": format!(":{number}"), "VNC_PORT": vnc.to_string(),
        "NO_VNC_PORT": web.to_string(), "VNC_RESOLUTION": "800x600", "HOME": toolbox.home(),
    }});
    assert_eq!(toolbox.post("/env", &set).status, 200);
    toolbox
}

pub fn started() -> Toolbox {
    let toolbox = toolbox();
    ok(toolbox.post("/computeruse/start", &Value::Null));
    toolbox
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub fn ok(reply: Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

pub fn refused(reply: &Reply, status: u16, part: &str) {
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(reply.status, status, "{message}");
    assert!(
        message.contains(part),
        "{message:?} does not contain {part:?}"
    );
}

pub fn do_it(toolbox: &Toolbox, path: &str, body: Value) -> Value {
    ok(toolbox.post(&format!("/computeruse/{path}"), &body))
}

pub fn window(toolbox: &Toolbox, title: &str) -> Value {
    let mut found = Value::Null;
    eventually("the window is there and active", || {
        let windows = ok(toolbox.get("/computeruse/display/windows"));
        let windows = windows["windows"].as_array().unwrap().clone();
        let window = windows.into_iter().find(|one| one["title"] == title);
        found = window.unwrap_or_default();
        found["isActive"] == true || {
            eprintln!("{found}");
            false
        }
    });
    found
}
