//! A project in a sandbox whose language servers are ours.

use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::{Reply, Settings, Toolbox};

/// A toolbox, with the directory `project` in its home.
pub(crate) struct Project(Toolbox);

impl Deref for Project {
    type Target = Toolbox;

    fn deref(&self) -> &Toolbox {
        &self.0
    }
}

impl Project {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// The server misbehaves in that way.
    pub(crate) fn with(misbehaviour: &str) -> Self {
        let script = include_str!("server.py");
        let files = [
            ("bin/pylsp", script),
            ("bin/typescript-language-server", script),
        ];
        let toolbox = Toolbox::start_among(Settings::default(), &files);
        let bin = toolbox.directory.join("bin");
        for (name, _) in files {
            let executable = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(toolbox.directory.join(name), executable).unwrap();
        }
        let usual = toolbox.execute("printf %s \"$PATH\"").1;
        let path = format!("{}:{usual}", bin.display());
        let set = json!({"set": {"PATH": path, "MISBEHAVE": misbehaviour}});
        assert_eq!(toolbox.post("/env", &set).status, 200);
        assert_eq!(toolbox.execute("mkdir project").0, 0);
        Self(toolbox)
    }

    /// Its server is asked for by everybody as this.
    fn named(&self, extra: &Value) -> Value {
        let mut named = json!({"languageId": "python", "pathToProject": self.root()});
        let (fields, extra) = (named.as_object_mut().unwrap(), extra.as_object().unwrap());
        fields.extend(extra.clone());
        named
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.home().join("project")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.root().join(name), text).unwrap();
    }

    pub(crate) fn call(&self, what: &str, extra: &Value) -> Reply {
        self.post(&format!("/lsp/{what}"), &self.named(extra))
    }

    pub(crate) fn start(&self) {
        let reply = self.call("start", &json!({}));
        assert_eq!((reply.status, reply.text().as_str()), (200, ""));
    }

    pub(crate) fn started() -> Self {
        let project = Self::new();
        project.start();
        project
    }

    pub(crate) fn complete(&self, name: &str, line: u32, character: u32) -> Reply {
        let position = json!({"line": line, "character": character});
        let extra = json!({"uri": format!("file://{name}"), "position": position});
        self.call("completions", &extra)
    }

    pub(crate) fn symbols(&self, name: &str) -> Reply {
        self.query("document-symbols", &format!("uri=file://{name}"))
    }

    pub(crate) fn search(&self, text: &str) -> Reply {
        self.query("workspacesymbols", &format!("query={text}"))
    }

    fn query(&self, what: &str, rest: &str) -> Reply {
        let root = self.root();
        let root = root.display();
        self.get(&format!(
            "/lsp/{what}?languageId=python&pathToProject={root}&{rest}"
        ))
    }

    /// What the server has heard so far.
    pub(crate) fn heard(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.root().join("heard")).unwrap_or_default();
        // The last line may be half written.
        let lines = text
            .lines()
            .map_while(|line| serde_json::from_str(line).ok());
        lines.collect()
    }

    /// Methods of what it heard, without those that come with every start.
    pub(crate) fn methods(&self) -> Vec<String> {
        let heard = self.heard();
        let methods = heard.iter().filter_map(|each| each["method"].as_str());
        let own = methods.filter(|name| !matches!(*name, "initialize" | "initialized"));
        own.map(str::to_owned).collect()
    }

    /// Every process that a server told of.
    pub(crate) fn pids(&self) -> Vec<String> {
        let heard = self.heard();
        let told = heard.iter().filter_map(|each| each["pids"].as_array());
        told.flatten().map(ToString::to_string).collect()
    }
}

pub(crate) fn names(reply: &Reply) -> Vec<String> {
    let list = reply.json();
    let all = list.as_array().unwrap().iter();
    all.map(|symbol| symbol["name"].as_str().unwrap().to_owned())
        .collect()
}

/// A refusal that says why.
pub(crate) fn assert_refused(reply: &Reply, status: u16, code: &str, text: &str) {
    let body = reply.json();
    assert_eq!(
        (reply.status, body["code"].as_str()),
        (status, Some(code)),
        "{body}"
    );
    let message = body["message"].as_str().unwrap();
    assert!(message.contains(text), "{message}");
}
