//! The git routes that need no remote, against the real executable and the real git.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use common::{Reply, Toolbox};
use serde_json::{Value, json};

/// A toolbox with a repository `repo` on `main`, without commits.
fn start() -> Toolbox {
    let toolbox = Toolbox::start();
    let home = toolbox.home();
    let env = json!({"set": {"HOME": home.to_str().unwrap()}});
    assert_eq!(toolbox.post("/env", &env).status, 200);
    let init = json!({"path": "repo", "initial_branch": "main"});
    assert_eq!(toolbox.post("/git/init", &init).status, 201);
    toolbox
}

fn ok(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert!(reply.body.is_empty(), "{}", reply.text());
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    let body = reply.json();
    assert_eq!(
        (reply.status, body["code"].as_str().unwrap()),
        (status, code),
        "{body}"
    );
    assert_eq!(body["source"], "DAYTONA_DAEMON");
    assert!(!body["message"].as_str().unwrap().is_empty());
}

fn write(toolbox: &Toolbox, name: &str, content: &str) {
    let request = json!({
        "command": "mkdir -p \"$(dirname \"$NAME\")\" && printf %s \"$CONTENT\" > \"$NAME\"",
        "cwd": "repo",
        "envs": {"NAME": name, "CONTENT": content},
    });
    assert_eq!(toolbox.execute_with(&request), (0, String::new()));
}

fn shell(toolbox: &Toolbox, command: &str) -> String {
    let request = json!({"command": command, "cwd": "repo"});
    let (code, output) = toolbox.execute_with(&request);
    assert_eq!(code, 0, "{command}: {output}");
    output.trim().to_owned()
}

fn add(toolbox: &Toolbox, files: &[&str]) -> Reply {
    toolbox.post("/git/add", &json!({"path": "repo", "files": files}))
}

fn commit(toolbox: &Toolbox, message: &str) -> Reply {
    toolbox.post(
        "/git/commit",
        &json!({"path": "repo", "message": message, "author": "Ada Löve", "email": "ada@example.org"}),
    )
}

/// Writes, adds and commits a file; the commit's hash.
fn record(toolbox: &Toolbox, name: &str, content: &str) -> String {
    write(toolbox, name, content);
    ok(&add(toolbox, &["."]), 200);
    let reply = commit(toolbox, &format!("write {name}"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["hash"].as_str().unwrap().to_owned()
}

fn status(toolbox: &Toolbox) -> Value {
    let reply = toolbox.get("/git/status?path=repo");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[test]
fn a_repository_without_commits_has_a_status_branches_and_a_history() {
    let toolbox = start();
    assert_eq!(
        status(&toolbox),
        json!({"currentBranch": "main", "fileStatus": [], "branchPublished": false, "ahead": 0,
               "behind": 0, "detached": false, "upstream": ""})
    );
    let branches = toolbox.get("/git/branches?path=repo").json();
    assert_eq!(branches, json!({"branches": [], "current": "main"}));
    assert_eq!(toolbox.get("/git/history?path=repo").json(), json!([]));
}

#[test]
fn status_names_every_file_once_whatever_its_name() {
    let toolbox = start();
    record(&toolbox, "old name", "the same content, long enough\n");
    record(&toolbox, "gone", "gone\n");
    record(&toolbox, "changed", "one\n");
    shell(&toolbox, "git mv 'old name' 'new\nname' && rm gone");
    write(&toolbox, "changed", "two\n");
    write(&toolbox, "ünï \"q\"", "x");
    write(&toolbox, "sub/deep", "x");
    write(&toolbox, "staged", "x");
    ok(&add(&toolbox, &["staged"]), 200);
    let file = |name: &str, extra: &str, staging: &str, worktree: &str| json!({"name": name, "extra": extra, "staging": staging, "worktree": worktree});
    assert_eq!(
        status(&toolbox)["fileStatus"],
        json!([
            file("changed", "", "Unmodified", "Modified"),
            file("gone", "", "Unmodified", "Deleted"),
            file("new\nname", "old name", "Renamed", "Unmodified"),
            file("staged", "", "Added", "Unmodified"),
            file("sub/deep", "", "Untracked", "Untracked"),
            file("ünï \"q\"", "", "Untracked", "Untracked"),
        ])
    );
}

#[test]
fn a_commit_carries_its_author_and_history_is_newest_first() {
    let toolbox = start();
    let first = record(&toolbox, "a", "1");
    write(&toolbox, "b", "2");
    ok(&add(&toolbox, &["b"]), 200);
    let message = "subject\n\n# not a comment\nbody";
    let second = commit(&toolbox, message).json()["hash"].clone();
    let history = toolbox.get("/git/history?path=repo").json();
    assert_eq!(history[0]["hash"], second);
    assert_eq!(history[1]["hash"].as_str().unwrap(), first);
    assert_eq!(history[0]["author"], "Ada Löve");
    assert_eq!(history[0]["email"], "ada@example.org");
    assert_eq!(history[0]["message"], message);
    assert!(history[0]["timestamp"].as_str().unwrap().contains('T'));
    assert_eq!(
        shell(&toolbox, "git log -1 --format='%cn <%ce>'"),
        "Ada Löve <ada@example.org>"
    );
    let page = toolbox.get("/git/history?path=repo&limit=1&skip=1").json();
    assert_eq!(page.as_array().unwrap().len(), 1);
    assert_eq!(page[0]["hash"].as_str().unwrap(), first);
}

#[test]
fn a_commit_of_nothing_is_a_conflict_unless_it_may_be_empty() {
    let toolbox = start();
    refused(&commit(&toolbox, "nothing"), 409, "CONFLICT");
    record(&toolbox, "a", "1");
    write(&toolbox, "untracked", "x");
    refused(&commit(&toolbox, "nothing staged"), 409, "CONFLICT");
    let empty = json!({"path": "repo", "message": "empty", "author": "A", "email": "a@b", "allow_empty": true});
    assert_eq!(toolbox.post("/git/commit", &empty).status, 200);
    let blank = json!({"path": "repo", "message": " ", "author": "A", "email": "a@b"});
    refused(&toolbox.post("/git/commit", &blank), 400, "BAD_REQUEST");
}

#[test]
fn a_hook_that_says_no_is_no_empty_commit() {
    let toolbox = start();
    let hook = "printf '#!/bin/sh\\necho no way >&2\\nexit 1\\n' > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit";
    shell(&toolbox, hook);
    write(&toolbox, "a", "1");
    ok(&add(&toolbox, &["a"]), 200);
    let reply = commit(&toolbox, "refused by the hook");
    refused(&reply, 422, "UNPROCESSABLE_ENTITY");
    assert_eq!(reply.json()["message"], "no way");
}

#[test]
fn branches_are_made_listed_switched_and_deleted() {
    let toolbox = start();
    let first = record(&toolbox, "a", "1");
    let request = json!({"path": "repo", "name": "feature/x"});
    ok(&toolbox.post("/git/branches", &request), 201);
    let branches = toolbox.get("/git/branches?path=repo").json();
    assert_eq!(
        branches,
        json!({"branches": ["feature/x", "main"], "current": "feature/x"})
    );
    refused(
        &toolbox.post("/git/branches", &request),
        409,
        "GIT_BRANCH_EXISTS",
    );
    let delete = |name: &str| {
        let body = json!({"path": "repo", "name": name}).to_string();
        toolbox.send("DELETE", "/git/branches", &[], body.as_bytes())
    };
    refused(&delete("feature/x"), 409, "CONFLICT");
    let checkout =
        |branch: &str| toolbox.post("/git/checkout", &json!({"path": "repo", "branch": branch}));
    ok(&checkout("main"), 200);
    ok(&delete("feature/x"), 204);
    refused(&delete("feature/x"), 404, "GIT_BRANCH_NOT_FOUND");
    refused(&checkout("feature/x"), 404, "GIT_BRANCH_NOT_FOUND");
    refused(&checkout("a"), 404, "GIT_BRANCH_NOT_FOUND");
    ok(&checkout(&first), 200);
    let detached = status(&toolbox);
    assert_eq!(
        (&detached["currentBranch"], &detached["detached"]),
        (&json!("HEAD"), &json!(true))
    );
    assert_eq!(toolbox.get("/git/branches?path=repo").json()["current"], "");
}

#[test]
fn a_checkout_never_overwrites_changes() {
    let toolbox = start();
    record(&toolbox, "a", "1");
    let branch = json!({"path": "repo", "name": "other"});
    ok(&toolbox.post("/git/branches", &branch), 201);
    record(&toolbox, "a", "2");
    write(&toolbox, "a", "3");
    let checkout = json!({"path": "repo", "branch": "main"});
    refused(
        &toolbox.post("/git/checkout", &checkout),
        409,
        "GIT_DIRTY_WORKTREE",
    );
    assert_eq!(shell(&toolbox, "cat a"), "3");
}

#[test]
fn reset_moves_what_its_mode_says() {
    let toolbox = start();
    let first = record(&toolbox, "a", "1");
    record(&toolbox, "a", "2");
    let reset = |body: Value| toolbox.post("/git/reset", &body);
    ok(
        &reset(json!({"path": "repo", "mode": "soft", "target": "HEAD~1"})),
        200,
    );
    assert_eq!(status(&toolbox)["fileStatus"][0]["staging"], "Modified");
    ok(&reset(json!({"path": "repo"})), 200);
    assert_eq!(status(&toolbox)["fileStatus"][0]["worktree"], "Modified");
    ok(&add(&toolbox, &["a"]), 200);
    ok(&reset(json!({"path": "repo", "files": ["a"]})), 200);
    assert_eq!(status(&toolbox)["fileStatus"][0]["staging"], "Unmodified");
    refused(
        &reset(json!({"path": "repo", "mode": "keep", "target": "nope"})),
        404,
        "GIT_BRANCH_NOT_FOUND",
    );
    ok(
        &reset(json!({"path": "repo", "mode": "hard", "target": first})),
        200,
    );
    assert_eq!(status(&toolbox)["fileStatus"], json!([]));
    for bad in [
        json!({"path": "repo", "mode": "gentle"}),
        json!({"path": "repo", "mode": "hard", "files": ["a"]}),
        json!({"path": "repo", "target": "--hard"}),
    ] {
        assert_eq!(reset(bad.clone()).status, 400, "{bad}");
    }
}

#[test]
fn reset_keep_does_not_lose_changes() {
    let toolbox = start();
    record(&toolbox, "a", "1");
    record(&toolbox, "a", "2");
    write(&toolbox, "a", "3");
    for mode in ["keep", "merge"] {
        let request = json!({"path": "repo", "mode": mode, "target": "HEAD~1"});
        refused(
            &toolbox.post("/git/reset", &request),
            409,
            "GIT_DIRTY_WORKTREE",
        );
    }
    assert_eq!(shell(&toolbox, "cat a"), "3");
}

#[test]
fn restore_is_of_the_working_tree_unless_asked_otherwise() {
    let toolbox = start();
    write(&toolbox, "new", "x");
    ok(&add(&toolbox, &["new"]), 200);
    let restore = |body: Value| toolbox.post("/git/restore", &body);
    ok(
        &restore(json!({"path": "repo", "files": ["new"], "staged": true})),
        200,
    );
    assert_eq!(status(&toolbox)["fileStatus"][0]["staging"], "Untracked");
    record(&toolbox, "a", "1");
    record(&toolbox, "a", "2");
    write(&toolbox, "a", "3");
    ok(&add(&toolbox, &["a"]), 200);
    ok(
        &restore(json!({"path": "repo", "files": ["a"], "staged": true})),
        200,
    );
    assert_eq!(status(&toolbox)["fileStatus"][0]["worktree"], "Modified");
    ok(&restore(json!({"path": "repo", "files": ["a"]})), 200);
    assert_eq!(shell(&toolbox, "cat a"), "2");
    ok(
        &restore(json!({"path": "repo", "files": ["a"], "source": "HEAD~1"})),
        200,
    );
    assert_eq!(shell(&toolbox, "cat a"), "1");
    ok(
        &restore(json!({"path": "repo", "files": ["."], "staged": true, "worktree": true})),
        200,
    );
    assert_eq!(status(&toolbox)["fileStatus"], json!([]));
    refused(
        &restore(json!({"path": "repo", "files": ["nope"]})),
        400,
        "BAD_REQUEST",
    );
    refused(
        &restore(json!({"path": "repo", "files": []})),
        400,
        "BAD_REQUEST",
    );
    refused(
        &restore(json!({"path": "repo", "files": ["a"], "source": "nope"})),
        404,
        "GIT_BRANCH_NOT_FOUND",
    );
}

#[test]
fn files_are_named_literally_and_never_as_options() {
    let toolbox = start();
    for name in ["*", "--all", ":(top)x", "plain"] {
        write(&toolbox, &format!("./{name}"), "x");
    }
    ok(&add(&toolbox, &["*", "--all", ":(top)x"]), 200);
    let staged = shell(&toolbox, "git diff --cached --name-only | sort");
    assert_eq!(staged, "*\n--all\n:(top)x");
    refused(&add(&toolbox, &["absent"]), 400, "BAD_REQUEST");
    refused(&add(&toolbox, &["../outside"]), 400, "BAD_REQUEST");
    refused(&add(&toolbox, &[]), 400, "BAD_REQUEST");
}

#[test]
fn a_list_of_files_longer_than_a_command_line_is_staged() {
    let toolbox = start();
    let names: Vec<String> = (0..3000).map(|n| format!("{n:0>200}")).collect();
    shell(
        &toolbox,
        "for n in $(seq 0 2999); do : > $(printf %0200d $n); done",
    );
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    ok(&add(&toolbox, &names), 200);
    assert_eq!(
        shell(&toolbox, "git diff --cached --name-only | wc -l"),
        "3000"
    );
}

#[test]
fn only_the_very_path_is_a_repository() {
    let toolbox = start();
    record(&toolbox, "sub/a", "1");
    for path in ["repo/sub", "/nowhere/at/all", "repo/sub/a", "."] {
        let reply = toolbox.get(&format!("/git/status?path={path}"));
        refused(&reply, 404, "GIT_REPO_NOT_FOUND");
        for route in ["branches", "history", "remotes"] {
            let reply = toolbox.get(&format!("/git/{route}?path={path}"));
            refused(&reply, 404, "GIT_REPO_NOT_FOUND");
        }
        let reset = json!({"path": path, "mode": "hard"});
        refused(
            &toolbox.post("/git/reset", &reset),
            404,
            "GIT_REPO_NOT_FOUND",
        );
    }
    refused(&toolbox.get("/git/status"), 400, "BAD_REQUEST");
}

#[test]
fn a_path_that_can_be_none_is_the_callers_mistake() {
    let toolbox = start();
    shell(&toolbox, "ln -s loop loop");
    let (name, path) = ("x".repeat(300), "x/".repeat(3000));
    for path in ["repo%00", "a%0Ab", "repo/loop", &name, &path] {
        for route in ["status?", "branches?", "history?", "remotes?"] {
            let reply = toolbox.get(&format!("/git/{route}path={path}"));
            refused(&reply, 400, "BAD_REQUEST");
        }
        let reply = toolbox.get(&format!("/git/config?scope=local&key=a.b&path={path}"));
        refused(&reply, 400, "BAD_REQUEST");
    }
    for (path, code) in [
        ("repo/loop/deep", "BAD_REQUEST"),
        (&name, "BAD_REQUEST"),
        (&path, "INVALID_REQUEST_BODY"),
    ] {
        let reply = toolbox.post("/git/init", &json!({"path": path}));
        refused(&reply, 400, code);
    }
}

#[test]
fn a_repository_of_somebody_else_is_refused_with_the_remedy() {
    let toolbox = start();
    let theirs = toolbox.directory.join("theirs");
    let made = std::process::Command::new("git")
        .args(["init", "-q"])
        .arg(&theirs)
        .status();
    assert!(made.unwrap().success());
    let reply = toolbox.get(&format!("/git/status?path={}", theirs.display()));
    refused(&reply, 403, "FILE_ACCESS_DENIED");
    assert!(reply.text().contains("safe.directory"), "{}", reply.text());
}

#[test]
fn variables_of_the_sandbox_do_not_lead_git_elsewhere() {
    let toolbox = start();
    record(&toolbox, "a", "1");
    let env = json!({"set": {"GIT_DIR": "/nowhere", "GIT_INDEX_FILE": "/nowhere", "LC_ALL": "de_DE.UTF-8"}});
    assert_eq!(toolbox.post("/env", &env).status, 200);
    assert_eq!(status(&toolbox)["fileStatus"], json!([]));
}

#[test]
fn an_image_without_git_says_so() {
    let toolbox = start();
    let env = json!({"set": {"PATH": "/nonexistent"}});
    assert_eq!(toolbox.post("/env", &env).status, 200);
    let reply = toolbox.get("/git/status?path=repo");
    refused(&reply, 503, "GIT_NOT_INSTALLED");
    assert!(reply.text().contains("git is not installed"));
}

#[test]
fn a_bare_repository_is_made_and_has_no_status() {
    let toolbox = start();
    let init = json!({"path": "deep/er/bare.git", "bare": true});
    ok(&toolbox.post("/git/init", &init), 201);
    assert!(toolbox.home().join("deep/er/bare.git/HEAD").exists());
    ok(&toolbox.post("/git/init", &init), 201);
    refused(
        &toolbox.get("/git/status?path=deep/er/bare.git"),
        400,
        "BAD_REQUEST",
    );
    let bad = json!({"path": "x", "initial_branch": "a b"});
    refused(
        &toolbox.post("/git/init", &bad),
        400,
        "INVALID_REQUEST_BODY",
    );
}

#[test]
fn old_go_clients_get_no_field_they_do_not_know() {
    let toolbox = start();
    let headers = [
        ("X-Daytona-Source", "sdk-go"),
        ("X-Daytona-SDK-Version", "0.187.0"),
    ];
    let status = toolbox
        .send("GET", "/git/status?path=repo", &headers, b"")
        .json();
    assert_eq!(status.as_object().unwrap().len(), 5, "{status}");
    let branches = toolbox.send("GET", "/git/branches?path=repo", &headers, b"");
    assert_eq!(branches.json(), json!({"branches": []}));
}
