//! Push and pull, against a real git server.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;
mod git_server;

use git_server::git;
use git_server::setup::{Setup, login, ok, refused, start};
use serde_json::json;

/// With a clone of the open repository at `repo`.
fn cloned() -> Setup {
    let setup = start();
    ok(&setup.clone(&setup.open(), json!({})));
    setup
}

/// Somebody else's commit on `main`.
fn advance(setup: &Setup, name: &str) -> String {
    git(&setup.tree, &["pull", "-q", "--rebase", "origin", "main"]);
    let hash = git_server::commit(&setup.tree, name, "theirs\n", name);
    git(&setup.tree, &["push", "-q", "origin", "main"]);
    hash
}

#[test]
fn a_push_publishes_the_current_branch() {
    let setup = cloned();
    setup.commit("mine");
    assert_eq!(setup.status()["ahead"], 1);
    ok(&setup.push(json!({})));
    ok(&setup.push(json!({})));
    let bare = setup.server.root.join("repo.git");
    assert_eq!(git(&bare, &["log", "-1", "--format=%s", "main"]), "mine");
    assert_eq!(setup.status()["ahead"], 0);
}

#[test]
fn a_new_branch_is_published_and_followed_only_when_asked() {
    let setup = cloned();
    let branch = json!({"name": "topic"});
    assert_eq!(setup.with_path("/git/branches", branch).status, 201);
    setup.commit("mine");
    assert_eq!(setup.status()["branchPublished"], false);
    ok(&setup.push(json!({"remote": "origin", "branch": "topic"})));
    let status = setup.status();
    assert_eq!(
        (&status["branchPublished"], &status["upstream"]),
        (&json!(true), &json!(""))
    );
    setup.commit("more");
    assert_eq!(setup.status()["ahead"], 1);
    ok(&setup.push(json!({"set_upstream": true})));
    let status = setup.status();
    assert_eq!(
        (&status["ahead"], &status["upstream"]),
        (&json!(0), &json!("origin/topic"))
    );
}

#[test]
fn a_push_that_would_lose_commits_is_rejected() {
    let setup = cloned();
    advance(&setup, "theirs");
    setup.commit("mine");
    refused(&setup.push(json!({})), 409, "GIT_PUSH_REJECTED");
}

#[test]
fn a_remote_that_declines_is_told_apart_from_one_that_is_ahead() {
    let setup = cloned();
    let hook = setup.server.root.join("repo.git/hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\necho policy says no\nexit 1\n").unwrap();
    let made = std::process::Command::new("chmod")
        .arg("+x")
        .arg(&hook)
        .status();
    assert!(made.unwrap().success());
    setup.commit("mine");
    let reply = setup.push(json!({}));
    refused(&reply, 422, "GIT_REMOTE_REJECTED");
    assert!(reply.text().contains("policy says no"), "{}", reply.text());
}

#[test]
fn pushing_what_does_not_exist_says_what() {
    let setup = cloned();
    refused(
        &setup.push(json!({"branch": "nope"})),
        404,
        "GIT_BRANCH_NOT_FOUND",
    );
    refused(
        &setup.push(json!({"remote": "nope"})),
        404,
        "GIT_REPO_NOT_FOUND",
    );
    refused(
        &setup.push(json!({"branch": "main:other"})),
        400,
        "INVALID_REQUEST_BODY",
    );
    refused(
        &setup.push(json!({"remote": "--all"})),
        400,
        "INVALID_REQUEST_BODY",
    );
    setup.shell("git checkout -q --detach");
    refused(&setup.push(json!({})), 400, "BAD_REQUEST");
}

#[test]
fn a_pull_moves_forward() {
    let setup = cloned();
    let theirs = advance(&setup, "theirs");
    ok(&setup.pull(json!({})));
    assert_eq!(setup.shell("git rev-parse HEAD"), theirs);
    ok(&setup.pull(json!({})));
    assert_eq!(setup.status()["behind"], 0);
    // Another branch of the same remote, although the clone is of one.
    git(&setup.tree, &["push", "-q", "-f", "origin", "main:feature"]);
    ok(&setup.pull(json!({"branch": "feature"})));
    refused(
        &setup.pull(json!({"branch": "nope"})),
        404,
        "GIT_BRANCH_NOT_FOUND",
    );
    refused(
        &setup.pull(json!({"remote": "nope"})),
        404,
        "GIT_REPO_NOT_FOUND",
    );
}

#[test]
fn a_pull_follows_the_upstream_of_the_branch() {
    let setup = cloned();
    setup.shell("git checkout -q -b local && git config branch.local.remote origin && git config branch.local.merge refs/heads/feature");
    ok(&setup.pull(json!({})));
    assert_eq!(setup.shell("cat feature.txt"), "feature");
}

#[test]
fn a_pull_that_is_no_fast_forward_changes_nothing() {
    let setup = cloned();
    advance(&setup, "theirs");
    setup.commit("mine");
    setup.shell("git config pull.rebase true && git config merge.ff false");
    let before = setup.shell("git rev-parse HEAD");
    refused(&setup.pull(json!({})), 409, "GIT_MERGE_CONFLICT");
    assert_eq!(setup.shell("git rev-parse HEAD"), before);
    assert_eq!(setup.status()["fileStatus"], json!([]));
}

#[test]
fn a_pull_never_overwrites_changes() {
    let setup = cloned();
    advance(&setup, "theirs");
    setup.shell("echo mine > theirs");
    refused(&setup.pull(json!({})), 409, "GIT_DIRTY_WORKTREE");
    assert_eq!(setup.shell("cat theirs"), "mine");
    setup.shell("git add theirs");
    refused(&setup.pull(json!({})), 409, "GIT_DIRTY_WORKTREE");
}

#[test]
fn during_a_conflict_files_are_unmerged_and_nothing_is_committed() {
    let setup = cloned();
    git_server::commit(&setup.tree, "README.md", "theirs\n", "theirs");
    git(&setup.tree, &["push", "-q", "origin", "main"]);
    setup.shell("git config user.name x && git config user.email x@y && echo mine > README.md && git commit -qam mine");
    setup.shell("git fetch -q origin && ! git merge -q origin/main");
    assert_eq!(
        setup.status()["fileStatus"],
        json!([{"name": "README.md", "extra": "", "staging": "Updated but unmerged", "worktree": "Updated but unmerged"}])
    );
    let commit = json!({"message": "m", "author": "A", "email": "a@b"});
    refused(
        &setup.with_path("/git/commit", commit),
        409,
        "GIT_MERGE_CONFLICT",
    );
    refused(&setup.pull(json!({})), 409, "GIT_MERGE_CONFLICT");
}

#[test]
fn a_private_remote_needs_a_login_each_time() {
    let setup = start();
    ok(&setup.clone(&setup.private(), login()));
    setup.commit("mine");
    refused(&setup.push(json!({})), 401, "GIT_AUTH_FAILED");
    refused(&setup.pull(json!({})), 401, "GIT_AUTH_FAILED");
    ok(&setup.push(login()));
    ok(&setup.pull(login()));
}
