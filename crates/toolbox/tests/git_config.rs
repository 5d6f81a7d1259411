//! Configuration, remotes and stored credentials, against the real git.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use std::os::unix::fs::PermissionsExt as _;

use common::{Reply, Toolbox};
use serde_json::{Value, json};

fn start() -> Toolbox {
    let toolbox = Toolbox::start();
    let home = toolbox.home();
    let env = json!({"set": {"HOME": home.to_str().unwrap()}});
    assert_eq!(toolbox.post("/env", &env).status, 200);
    let init = json!({"path": "repo", "initial_branch": "main"});
    assert_eq!(toolbox.post("/git/init", &init).status, 201);
    toolbox
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    let body = reply.json();
    assert_eq!(
        (reply.status, body["code"].as_str().unwrap()),
        (status, code),
        "{body}"
    );
}

fn value(toolbox: &Toolbox, query: &str) -> Value {
    let reply = toolbox.get(&format!("/git/config?{query}"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["value"].clone()
}

#[test]
fn a_value_is_stored_in_its_scope_and_an_unset_one_is_null() {
    let toolbox = start();
    assert_eq!(value(&toolbox, "key=user.name"), Value::Null);
    let set = |body: Value| toolbox.post("/git/config", &body);
    assert_eq!(
        set(json!({"key": "user.name", "value": "-A\n\"ü\" ;#"})).status,
        200
    );
    assert_eq!(value(&toolbox, "key=user.name"), "-A\n\"ü\" ;#");
    assert_eq!(
        value(&toolbox, "key=user.name&scope=local&path=repo"),
        Value::Null
    );
    let local = json!({"key": "user.name", "value": "Here", "scope": "local", "path": "repo"});
    assert_eq!(set(local).status, 200);
    assert_eq!(
        value(&toolbox, "key=user.name&scope=local&path=repo"),
        "Here"
    );
    assert_eq!(
        value(&toolbox, "key=user.name&scope=global"),
        "-A\n\"ü\" ;#"
    );
    assert_eq!(set(json!({"key": "user.name", "value": ""})).status, 200);
    assert_eq!(value(&toolbox, "key=user.name"), "");
}

#[test]
fn scopes_and_keys_that_are_none_are_refused() {
    let toolbox = start();
    let set = |body: Value| toolbox.post("/git/config", &body);
    refused(
        &set(json!({"key": "a.b", "value": "x", "scope": "galaxy"})),
        400,
        "BAD_REQUEST",
    );
    refused(
        &set(json!({"key": "a.b", "value": "x", "scope": "local"})),
        400,
        "BAD_REQUEST",
    );
    refused(
        &set(json!({"key": "nokey", "value": "x"})),
        400,
        "INVALID_REQUEST_BODY",
    );
    refused(
        &set(json!({"key": "--unset", "value": "x"})),
        400,
        "INVALID_REQUEST_BODY",
    );
    refused(
        &set(json!({"key": "a.b_c", "value": "x"})),
        400,
        "BAD_REQUEST",
    );
    refused(&toolbox.get("/git/config?key=--list"), 400, "BAD_REQUEST");
    let elsewhere = json!({"key": "a.b", "value": "x", "scope": "local", "path": "/nowhere"});
    refused(&set(elsewhere), 404, "GIT_REPO_NOT_FOUND");
    let not_ours = json!({"key": "a.b", "value": "x", "scope": "system"});
    refused(&set(not_ours), 403, "FILE_ACCESS_DENIED");
}

#[test]
fn the_user_is_configured_in_one_call() {
    let toolbox = start();
    let user = json!({"name": "Ada", "email": "ada@example.org"});
    assert_eq!(toolbox.post("/git/config/user", &user).status, 200);
    assert_eq!(value(&toolbox, "key=user.name"), "Ada");
    assert_eq!(value(&toolbox, "key=user.email"), "ada@example.org");
    let empty = json!({"name": "", "email": "a@b"});
    refused(
        &toolbox.post("/git/config/user", &empty),
        400,
        "INVALID_REQUEST_BODY",
    );
}

#[test]
fn remotes_are_added_listed_and_replaced_only_on_request() {
    let toolbox = start();
    let list = || toolbox.get("/git/remotes?path=repo").json();
    assert_eq!(list(), json!({"remotes": []}));
    let add = |body: Value| toolbox.post("/git/remotes", &body);
    let first = json!({"path": "repo", "name": "origin", "url": "https://example.org/a.git"});
    assert_eq!(add(first.clone()).status, 201);
    refused(&add(first), 409, "CONFLICT");
    let second = json!({"path": "repo", "name": "origin", "url": "git@example.org:b.git", "overwrite": true});
    assert_eq!(add(second).status, 201);
    let third = json!({"path": "repo", "name": "up", "url": "../c", "overwrite": true});
    assert_eq!(add(third).status, 201);
    assert_eq!(
        list(),
        json!({"remotes": [{"name": "origin", "url": "git@example.org:b.git"}, {"name": "up", "url": "../c"}]})
    );
    for (name, url) in [
        ("x y", "https://example.org"),
        ("x", "ext::sh -c id"),
        ("x", "--upload-pack=id"),
        ("-x", "https://example.org"),
    ] {
        let reply = add(json!({"path": "repo", "name": name, "url": url}));
        assert_eq!(reply.status, 400, "{name} {url}: {}", reply.text());
    }
}

#[test]
fn a_remote_can_be_fetched_as_it_is_added() {
    let toolbox = start();
    let (code, output) = toolbox.execute(
        "git init -q -b main other && cd other && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m one",
    );
    assert_eq!(code, 0, "{output}");
    let home = toolbox.home();
    let url = format!("file://{}/other", home.display());
    let add = json!({"path": "repo", "name": "origin", "url": url, "fetch": true});
    assert_eq!(toolbox.post("/git/remotes", &add).status, 201);
    let (_, refs) = toolbox.execute("git -C repo for-each-ref --format='%(refname)'");
    assert_eq!(refs, "refs/remotes/origin/main\n");
    let gone = json!({"path": "repo", "name": "gone", "url": "/nowhere/x", "fetch": true});
    refused(
        &toolbox.post("/git/remotes", &gone),
        404,
        "GIT_REPO_NOT_FOUND",
    );
}

#[test]
fn stored_credentials_are_found_by_every_git_and_only_by_their_user() {
    let toolbox = start();
    let request = json!({"username": "me", "password": "tok/en", "host": "git.example.org:8443"});
    for _ in 0..2 {
        assert_eq!(toolbox.post("/git/credentials", &request).status, 200);
    }
    let fill = "printf 'protocol=https\\nhost=git.example.org:8443\\n\\n' | git credential fill";
    let (code, output) = toolbox.execute(fill);
    assert_eq!(code, 0, "{output}");
    assert!(
        output.contains("username=me\npassword=tok/en\n"),
        "{output}"
    );
    let file = toolbox.home().join(".git-credentials");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let (_, helpers) = toolbox.execute("git config --global --get-all credential.helper");
    assert_eq!(helpers, "store\n");
}

#[test]
fn credentials_cannot_smuggle_fields_into_the_store() {
    let toolbox = start();
    for bad in [
        json!({"username": "me", "password": "a\nhost=evil.example"}),
        json!({"username": "me\nhost=evil.example", "password": "a"}),
        json!({"username": "me", "password": "a", "host": "x/y"}),
        json!({"username": "me", "password": "a", "protocol": "ext"}),
        json!({"username": "me"}),
        json!({"password": "a"}),
    ] {
        assert_eq!(toolbox.post("/git/credentials", &bad).status, 400, "{bad}");
    }
    assert!(!toolbox.home().join(".git-credentials").exists());
}
