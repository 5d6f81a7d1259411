//! Clones and logins, against a real git server.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;
mod git_server;

use common::eventually;
use git_server::setup::{login, ok, refused, start};
use git_server::{USER, git};
use serde_json::json;

#[test]
fn a_clone_is_of_one_branch_and_follows_it() {
    let setup = start();
    ok(&setup.clone(&setup.open(), json!({})));
    assert_eq!(setup.shell("ls"), "README.md");
    let refs = setup.shell("git for-each-ref --format='%(refname)' refs/remotes");
    assert_eq!(refs, "refs/remotes/origin/HEAD\nrefs/remotes/origin/main");
    let status = setup.status();
    assert_eq!(
        (&status["branchPublished"], &status["upstream"]),
        (&json!(true), &json!("origin/main"))
    );
    refused(&setup.clone(&setup.open(), json!({})), 409, "CONFLICT");
}

#[test]
fn a_branch_a_depth_and_a_deep_target_are_taken() {
    let setup = start();
    let more = json!({"branch": "feature", "depth": 1, "path": "a/b/c", "username": "", "commit_id": null});
    ok(&setup.clone(&setup.open(), more));
    let request = json!({"command": "ls; git rev-list --count HEAD; git branch --show-current", "cwd": "a/b/c"});
    assert_eq!(
        setup.toolbox.execute_with(&request).1,
        "README.md\nfeature.txt\n1\nfeature\n"
    );
}

#[test]
fn a_commit_is_found_in_its_branch_by_its_beginning_and_elsewhere_by_its_hash() {
    let setup = start();
    let second = git_server::commit(&setup.tree, "README.md", "two\n", "two");
    git(&setup.tree, &["push", "-q", "origin", "main"]);
    let first = git(&setup.tree, &["rev-parse", "HEAD~1"]);
    ok(&setup.clone(&setup.open(), json!({"commit_id": &first[..10]})));
    assert_eq!(
        setup.shell("git rev-parse HEAD; cat README.md"),
        format!("{first}\nhello")
    );
    let status = setup.status();
    assert_eq!(
        (&status["currentBranch"], &status["fileStatus"]),
        (&json!("HEAD"), &json!([]))
    );
    let feature = git(&setup.tree, &["rev-parse", "feature"]);
    for (hash, path, depth) in [
        (&feature, "x", None),
        (&first, "y", Some(1)),
        (&second, "z", None),
    ] {
        ok(&setup.clone(
            &setup.open(),
            json!({"commit_id": hash, "path": path, "depth": depth}),
        ));
        let (_, head) = setup
            .toolbox
            .execute(&format!("git -C {path} rev-parse HEAD"));
        assert_eq!(head.trim(), hash);
    }
}

#[test]
fn a_clone_that_fails_leaves_nothing_behind() {
    let setup = start();
    for commit in ["abcdef1", &"1".repeat(40)] {
        let reply = setup.clone(&setup.open(), json!({"commit_id": commit}));
        refused(&reply, 404, "GIT_BRANCH_NOT_FOUND");
        assert!(!setup.toolbox.home().join("repo").exists());
    }
    setup.toolbox.execute("mkdir repo");
    let reply = setup.clone(&setup.open(), json!({"commit_id": "abcdef1"}));
    refused(&reply, 404, "GIT_BRANCH_NOT_FOUND");
    assert_eq!(setup.shell("ls -A"), "");
    setup.shell("echo precious > file");
    refused(&setup.clone(&setup.open(), json!({})), 409, "CONFLICT");
    assert_eq!(setup.shell("cat file"), "precious");
}

#[test]
fn a_client_that_leaves_takes_its_clone_with_it() {
    let setup = start();
    // A server that accepts and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/x", silent.local_addr().unwrap().port());
    let body = json!({"url": url, "path": "repo"}).to_string();
    let mut stream = setup.toolbox.connect();
    let head = format!(
        "POST /git/clone HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    std::io::Write::write_all(&mut stream, format!("{head}{body}").as_bytes()).unwrap();
    let (_held, _) = silent.accept().unwrap();
    assert!(setup.toolbox.home().join("repo").exists());
    drop(stream);
    let home = setup.toolbox.home();
    eventually("the clone is gone", || !home.join("repo").exists());
    eventually("git is gone", || {
        setup.toolbox.execute("pgrep -u nobody -x git").0 == 1
    });
}

#[test]
fn each_way_to_be_refused_has_its_code() {
    let setup = start();
    let url = |path: &str| setup.server.url(path);
    for (url, status, code) in [
        (url("private/repo.git"), 401, "GIT_AUTH_FAILED"),
        (url("forbidden/repo.git"), 403, "GIT_AUTH_FAILED"),
        (url("open/absent.git"), 404, "GIT_REPO_NOT_FOUND"),
        (url("nothing/here"), 404, "GIT_REPO_NOT_FOUND"),
        ("http://127.0.0.1:1/x".into(), 502, "GIT_TRANSPORT_FAILED"),
        (
            "https://nowhere.invalid/x".into(),
            502,
            "GIT_TRANSPORT_FAILED",
        ),
        ("git://127.0.0.1:1/x".into(), 502, "GIT_TRANSPORT_FAILED"),
        ("/nowhere/x".into(), 404, "GIT_REPO_NOT_FOUND"),
        ("ext::sh -c 'touch pwned'".into(), 400, "BAD_REQUEST"),
        ("--upload-pack=touch".into(), 400, "BAD_REQUEST"),
        ("ftp://127.0.0.1/x".into(), 400, "BAD_REQUEST"),
    ] {
        let reply = setup.clone(&url, json!({}));
        refused(&reply, status, code);
        assert!(!setup.toolbox.home().join("repo").exists(), "{url}");
    }
    let wrong = json!({"username": USER, "password": "wr0ng-one"});
    let reply = setup.clone(&setup.private(), wrong);
    refused(&reply, 401, "GIT_AUTH_FAILED");
    assert!(!reply.text().contains("wr0ng"), "{}", reply.text());
    refused(
        &setup.clone(&setup.open(), json!({"branch": "nope"})),
        404,
        "GIT_BRANCH_NOT_FOUND",
    );
    for bad in [
        json!({"branch": "--x"}),
        json!({"depth": 0}),
        json!({"commit_id": "HEAD~1"}),
    ] {
        refused(
            &setup.clone(&setup.open(), bad),
            400,
            "INVALID_REQUEST_BODY",
        );
    }
}

#[test]
fn a_repository_without_commits_can_be_cloned_and_filled() {
    let setup = start();
    let bare = setup.server.root.join("empty.git");
    git(
        &setup.server.root,
        &["init", "-q", "--bare", "-b", "trunk", "empty.git"],
    );
    ok(&setup.clone(&setup.server.url("open/empty.git"), json!({})));
    assert_eq!(setup.status()["currentBranch"], "trunk");
    refused(&setup.push(json!({})), 404, "GIT_BRANCH_NOT_FOUND");
    refused(&setup.pull(json!({})), 404, "GIT_BRANCH_NOT_FOUND");
    setup.commit("first");
    ok(&setup.push(json!({"set_upstream": true})));
    assert_eq!(git(&bare, &["log", "--format=%s", "trunk"]), "first");
    assert_eq!(setup.status()["upstream"], "origin/trunk");
}

#[test]
fn a_login_leaves_no_trace() {
    let setup = start();
    // A helper that would store whatever works.
    setup
        .toolbox
        .execute("git config --global credential.helper store");
    ok(&setup.clone(&setup.private(), login()));
    // While git talks to the server this hook sees what every process shows of itself.
    setup.shell(
        "printf '#!/bin/sh\\ncat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null > ../seen\\nenv >> ../seen\\n' \
         > .git/hooks/pre-push && chmod +x .git/hooks/pre-push",
    );
    setup.commit("more");
    ok(&setup.push(login()));
    ok(&setup.pull(login()));
    let seen = std::fs::read(setup.toolbox.home().join("seen")).unwrap();
    for there in [
        &b"remote-http"[..],
        b"--porcelain",
        b"credential.http://127.0.0.1",
    ] {
        assert!(common::find(&seen, there).is_some(), "{there:?}");
    }
    assert!(common::find(&seen, b"s3cr3t").is_none());
    assert_eq!(setup.traces(), "");
    assert!(!setup.toolbox.home().join(".git-credentials").exists());
}

#[test]
fn a_login_in_the_address_is_used_and_not_kept() {
    let setup = start();
    let url = setup
        .server
        .url_with("me:s3cr3t%2Fp%40ss%3Aw%20ord", "private/repo.git");
    ok(&setup.clone(&url, json!({})));
    let remotes = setup.toolbox.get("/git/remotes?path=repo").json();
    assert_eq!(remotes["remotes"][0]["url"], setup.private());
    assert_eq!(setup.traces(), "");
    let wrong = setup.server.url_with("me:s3cr3t-not", "private/repo.git");
    let reply = setup.clone(&wrong, json!({"path": "other"}));
    refused(&reply, 401, "GIT_AUTH_FAILED");
    assert!(!reply.text().contains("s3cr3t"), "{}", reply.text());
}

#[test]
fn a_login_in_the_address_of_a_remote_is_used_for_its_fetch_and_not_kept() {
    let setup = start();
    setup.with_path("/git/init", json!({"initial_branch": "main"}));
    let url = setup
        .server
        .url_with("me:s3cr3t%2Fp%40ss%3Aw%20ord", "private/repo.git");
    for more in [json!({}), json!({"overwrite": true})] {
        let mut request = json!({"name": "origin", "url": url, "fetch": true});
        let fields = request.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let reply = setup.with_path("/git/remotes", request);
        assert_eq!(reply.status, 201, "{}", reply.text());
        let remotes = setup.toolbox.get("/git/remotes?path=repo").json();
        assert_eq!(remotes["remotes"][0]["url"], setup.private());
    }
    assert_eq!(setup.shell("git log --format=%s origin/main"), "first");
    assert_eq!(setup.traces(), "");
}

#[test]
fn the_login_given_counts_where_a_stale_one_is_stored() {
    let setup = start();
    ok(&setup.clone(&setup.private(), login()));
    let stale = setup.server.url_with("me:expired", "private/repo.git");
    setup.shell(&format!("git remote set-url origin {stale}"));
    setup.commit("more");
    let reply = setup.push(json!({}));
    refused(&reply, 401, "GIT_AUTH_FAILED");
    assert!(!reply.text().contains("expired"), "{}", reply.text());
    ok(&setup.push(login()));
    ok(&setup.pull(login()));
    setup
        .toolbox
        .execute("git config --global credential.helper 'store'");
    setup
        .toolbox
        .execute("echo http://me:expired@127.0.0.1 > .git-credentials");
    ok(&setup.pull(login()));
}

#[test]
fn a_redirect_to_another_host_learns_no_login() {
    let setup = start();
    let reply = setup.clone(&setup.server.url("moved/repo.git"), login());
    refused(&reply, 401, "GIT_AUTH_FAILED");
    assert_eq!(setup.server.logins_seen(), Vec::<String>::new());
    ok(&setup.clone(&setup.private(), login()));
    let seen = setup.server.logins_seen();
    assert!(
        !seen.is_empty() && seen.iter().all(|seen| seen.starts_with("127.0.0.1:")),
        "{seen:?}"
    );
}

#[test]
fn a_login_that_the_address_has_no_use_for_is_refused() {
    let setup = start();
    let reply = setup.clone("git@127.0.0.1:x/y.git", login());
    refused(&reply, 400, "BAD_REQUEST");
    ok(&setup.clone(&setup.open(), login()));
}
