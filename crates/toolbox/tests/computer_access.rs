//! The accessibility tree of a real GTK program on a real desktop.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    reason = "test code"
)]

mod common;
#[path = "common/desktop.rs"]
mod desktop;

use common::{Toolbox, eventually};
use desktop::{do_it, ok, refused, started, toolbox, window};
use serde_json::{Value, json};

/// A GTK program with a button that writes a file, and an entry.
const PROGRAM: &str = r#"
import gi, sys
gi.require_version("Gtk", "3.0")
from gi.repository import Gtk
window = Gtk.Window(title="Sebring test")
box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL)
entry = Gtk.Entry()
entry.get_accessible().set_name("Your name")
button = Gtk.Button(label="Press me")
button.connect("clicked", lambda _: open(sys.argv[1], "w").write(entry.get_text()))
box.add(entry)
box.add(button)
window.add(box)
window.show_all()
Gtk.main()
"#;

/// Opens the GTK program; its button in the tree.
fn program(toolbox: &Toolbox) -> Value {
    std::fs::write(toolbox.home().join("program.py"), PROGRAM).unwrap();
    let command = "/usr/bin/python3 program.py pressed > program.log 2>&1 & echo -n $!";
    let pid: u64 = toolbox.execute(command).1.parse().unwrap();
    window(toolbox, "Sebring test");
    let wanted = json!({"scope": "pid", "pid": pid, "role": "push button", "name": "press"});
    let mut found = Value::Null;
    eventually("the program is on the bus", || {
        let reply = toolbox.post("/computeruse/a11y/find", &wanted);
        found = reply.json()["matches"][0].take();
        found.is_object()
    });
    found
}

#[test]
fn a_program_is_read_and_worked_by_its_accessibility_tree() {
    let toolbox = started();
    let button = program(&toolbox);
    assert_eq!(button["name"], "Press me");
    assert!(button["bounds"]["width"].as_i64().unwrap() > 0);
    assert!(
        button["states"]
            .as_array()
            .unwrap()
            .contains(&json!("showing"))
    );
    let action = button["actions"][0].as_str().unwrap().to_owned();

    eventually("its window is the focused one", || {
        toolbox.get("/computeruse/a11y/tree").status == 200
    });
    let tree = ok(toolbox.get("/computeruse/a11y/tree"));
    assert_eq!(tree["root"]["name"], "Sebring test");
    assert_eq!(tree["truncated"], false);
    assert!(tree.to_string().contains("Press me"));
    let flat = ok(toolbox.get("/computeruse/a11y/tree?scope=all&maxDepth=1"));
    assert_eq!(flat["root"]["children"][0]["children"], json!([]));

    let entry = json!({"scope": "all", "name": "^Your n", "nameMatch": "regex", "limit": 1});
    let entry = do_it(&toolbox, "a11y/find", entry)["matches"][0].take();
    let (entry, button) = (&entry["id"], &button["id"]);
    do_it(
        &toolbox,
        "a11y/node/value",
        json!({"id": entry, "value": "Ada"}),
    );
    do_it(&toolbox, "a11y/node/focus", json!({"id": entry}));
    do_it(
        &toolbox,
        "a11y/node/invoke",
        json!({"id": button, "action": action}),
    );
    eventually("the button was pressed", || {
        std::fs::read_to_string(toolbox.home().join("pressed")).is_ok_and(|text| text == "Ada")
    });
}

#[test]
fn what_no_accessible_node_can_do_is_refused() {
    let toolbox = started();
    let button = program(&toolbox);
    let gone = json!({"id": ":1.9999:/org/a11y/atspi/accessible/1"});
    refused(
        &toolbox.post("/computeruse/a11y/node/focus", &gone),
        404,
        ":1.9999",
    );
    let button = &button["id"];
    for (path, body, status, part) in [
        ("find", json!({"scope": "near"}), 400, "scope"),
        ("find", json!({"scope": "pid"}), 400, "pid"),
        ("find", json!({"limit": 5001}), 400, "limit"),
        (
            "find",
            json!({"name": "(", "nameMatch": "regex"}),
            400,
            "name",
        ),
        ("find", json!({"states": ["shiny"]}), 400, "states"),
        (
            "find",
            json!({"scope": "pid", "pid": 1}),
            404,
            "process id 1",
        ),
        ("node/focus", json!({"id": "nonsense"}), 400, "id"),
        (
            "node/invoke",
            json!({"id": button, "action": "eat"}),
            400,
            "action",
        ),
        (
            "node/value",
            json!({"id": button, "value": "x"}),
            400,
            "value",
        ),
    ] {
        let reply = toolbox.post(&format!("/computeruse/a11y/{path}"), &body);
        refused(&reply, status, part);
    }
    refused(
        &toolbox.get("/computeruse/a11y/tree?maxDepth=-2"),
        400,
        "maxDepth",
    );
}

#[test]
fn without_a_desktop_accessibility_is_unavailable() {
    let reply = toolbox().get("/computeruse/a11y/tree");
    refused(&reply, 503, "/computeruse/start");
    assert_eq!(reply.json()["code"], "A11Y_UNAVAILABLE");
}
