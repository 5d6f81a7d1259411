//! A sandbox and a git server that it can reach, and short words for what tests do with them.

use std::process::Command;

use serde_json::{Value, json};

use super::{GitServer, PASSWORD, USER};
use crate::common::{Reply, Toolbox};

pub struct Setup {
    pub toolbox: Toolbox,
    pub server: GitServer,
    /// The server's own working tree of `repo.git`.
    pub tree: std::path::PathBuf,
}

pub fn start() -> Setup {
    let toolbox = Toolbox::start();
    let home = toolbox.home();
    let env = json!({"set": {"HOME": home.to_str().unwrap()}});
    assert_eq!(toolbox.post("/env", &env).status, 200);
    let root = toolbox.directory.join("server");
    std::fs::create_dir(&root).unwrap();
    let server = GitServer::start(&root);
    let tree = server.repository("repo.git");
    Setup {
        toolbox,
        server,
        tree,
    }
}

impl Setup {
    pub fn clone(&self, url: &str, more: Value) -> Reply {
        let mut request = json!({"url": url, "path": "repo"});
        let fields = request.as_object_mut().unwrap();
        if let Value::Object(more) = more {
            fields.extend(more);
        }
        self.toolbox.post("/git/clone", &request)
    }

    pub fn open(&self) -> String {
        self.server.url("open/repo.git")
    }

    pub fn private(&self) -> String {
        self.server.url("private/repo.git")
    }

    pub fn shell(&self, command: &str) -> String {
        let request = json!({"command": command, "cwd": "repo"});
        let (code, output) = self.toolbox.execute_with(&request);
        assert_eq!(code, 0, "{command}: {output}");
        output.trim().to_owned()
    }

    pub fn commit(&self, name: &str) {
        self.shell(&format!("echo x > {name}"));
        let add = json!({"path": "repo", "files": ["."]});
        assert_eq!(self.toolbox.post("/git/add", &add).status, 200);
        let commit = json!({"path": "repo", "message": name, "author": "A", "email": "a@b"});
        assert_eq!(self.toolbox.post("/git/commit", &commit).status, 200);
    }

    pub fn push(&self, more: Value) -> Reply {
        self.with_path("/git/push", more)
    }

    pub fn pull(&self, more: Value) -> Reply {
        self.with_path("/git/pull", more)
    }

    pub fn with_path(&self, route: &str, mut body: Value) -> Reply {
        body["path"] = json!("repo");
        self.toolbox.post(route, &body)
    }

    pub fn status(&self) -> Value {
        self.toolbox.get("/git/status?path=repo").json()
    }

    /// Files in the sandbox that contain the password.
    pub fn traces(&self) -> String {
        let output = Command::new("grep")
            .args(["-rlaF", "s3cr3t"])
            .arg(self.toolbox.home())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

#[track_caller]
pub fn ok(reply: &Reply) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.body.is_empty());
}

#[track_caller]
pub fn refused(reply: &Reply, status: u16, code: &str) {
    let body = reply.json();
    assert_eq!(
        (reply.status, body["code"].as_str().unwrap()),
        (status, code),
        "{body}"
    );
}

pub fn login() -> Value {
    json!({"username": USER, "password": PASSWORD})
}
