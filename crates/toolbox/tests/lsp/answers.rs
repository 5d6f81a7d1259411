//! What is asked and what comes back, from a server that behaves.

use serde_json::{Value, json};

use crate::project::{Project, assert_refused, names};

#[test]
fn completions_are_a_list_that_says_whether_it_is_whole() {
    let project = Project::started();
    project.write("a.py", "import os\nos.\n");
    let reply = project.complete("a.py", 1, 3);
    let documentation = json!({"kind": "plaintext", "value": "text"});
    assert_eq!(
        reply.json(),
        json!({"isIncomplete": false, "items": [
            {"label": "one", "documentation": documentation}, {"label": "two", "kind": 3},
        ]})
    );
}

#[test]
fn a_server_hears_positions_and_why_it_is_asked() {
    let project = Project::started();
    project.write("a.py", "one\ntwo.\n");
    let context = json!({"triggerKind": 2, "triggerCharacter": "."});
    let position = json!({"line": 1, "character": 999});
    let extra = json!({"uri": "file://a.py", "position": position, "context": context});
    assert_eq!(project.call("completions", &extra).status, 200);
    let heard = project.heard();
    let asked = &heard.last().unwrap()["params"];
    assert_eq!(asked["position"], json!({"line": 1, "character": 4}));
    assert_eq!(asked["context"], context);
    let reply = project.complete("a.py", 3, 0);
    assert_refused(&reply, 400, "BAD_REQUEST", "position.line 3");
}

#[test]
fn symbols_of_a_document_are_one_flat_list_with_places() {
    let project = Project::started();
    project.write("a b.py", "class Greeter:\n    def greet(self): pass\n");
    let reply = project.symbols("a%2520b.py");
    assert_eq!(names(&reply), ["Greeter", "greet"]);
    let second = &reply.json()[1];
    let uri = second["location"]["uri"].as_str().unwrap();
    assert!(uri.ends_with("/project/a%20b.py"), "{uri}");
    assert_eq!(second["location"]["range"]["start"]["line"], 1);
    assert_eq!(project.symbols("a%20b.py").json(), reply.json());
}

#[test]
fn a_file_without_symbols_has_an_empty_list() {
    let project = Project::started();
    project.write("a.py", "");
    assert_eq!(project.symbols("a.py").json(), json!([]));
    assert_eq!(project.search("Greeter").json(), json!([]));
}

#[test]
fn a_server_that_cannot_search_is_searched_for() {
    let project = Project::started();
    project.write("a.py", "class Greeter:\n    def other(self): pass\n");
    project.write("b.py", "class Unrelated: pass\n");
    project.write("notes.txt", "class GreeterOfNotes: pass\n");
    std::fs::create_dir_all(project.root().join("node_modules")).unwrap();
    project.write("node_modules/c.py", "class GreeterOfOthers: pass\n");
    assert_eq!(names(&project.search("gREET")), ["Greeter"]);
    let asked = project.methods();
    let opened = asked.iter().filter(|method| method.ends_with("didOpen"));
    assert_eq!(opened.count(), 1, "only files with the text: {asked:?}");
}

#[test]
fn every_question_is_about_the_file_as_it_is_on_disk() {
    let project = Project::started();
    project.write("a.py", "class One: pass\n");
    let at = json!({"uri": "file://a.py"});
    assert_eq!(project.call("did-open", &at).status, 200);
    assert_eq!(names(&project.symbols("a.py")), ["One"]);
    project.write("a.py", "class Two: pass\n");
    assert_eq!(names(&project.symbols("a.py")), ["Two"]);
    assert_eq!(project.call("did-close", &at).status, 200);
    assert_eq!(names(&project.symbols("a.py")), ["Two"]);
    let methods = project.methods();
    let sent: Vec<_> = methods
        .iter()
        .map(|method| method.strip_prefix("textDocument/").unwrap())
        .collect();
    let symbol = "documentSymbol";
    let after = ["didChange", symbol, "didClose", "didOpen", symbol];
    assert_eq!(sent, [&["didOpen", symbol], &after[..]].concat());
}

#[test]
fn names_may_be_absolute_or_relative_to_the_project_or_the_home() {
    let project = Project::started();
    project.write("a.py", "class One: pass\n");
    let absolute = project.root().join("a.py").display().to_string();
    for name in ["a.py", "./a.py", "project/a.py", &absolute] {
        assert_eq!(names(&project.symbols(name)), ["One"], "{name}");
    }
    let opened = project.methods();
    let opened = opened.iter().filter(|method| method.ends_with("didOpen"));
    assert_eq!(opened.count(), 1);
}

#[test]
fn a_relative_project_is_the_same_as_its_absolute_name() {
    let project = Project::started();
    project.write("a.py", "class One: pass\n");
    for name in ["project", "./project/", "file://project"] {
        let query = format!("languageId=python&pathToProject={name}&uri=file://a.py");
        let reply = project.get(&format!("/lsp/document-symbols?{query}"));
        assert_eq!(names(&reply), ["One"], "{name}");
    }
    assert_eq!(project.pids().len(), 1);
}

#[test]
fn what_is_no_file_is_refused_and_the_server_not_bothered() {
    let project = Project::started();
    let missing = project.symbols("no.py");
    assert_refused(&missing, 404, "FILE_NOT_FOUND", "no.py");
    let fifo = project.execute("mkfifo project/pipe.py");
    assert_eq!(fifo.0, 0);
    let pipe = project.symbols("pipe.py");
    assert_eq!(pipe.status, 400, "{}", pipe.text());
    let huge = std::fs::File::create(project.root().join("huge.py")).unwrap();
    huge.set_len(5 << 20).unwrap();
    let huge = project.symbols("huge.py");
    assert_refused(&huge, 400, "BAD_REQUEST", "4194304");
    assert_eq!(project.methods(), Vec::<String>::new());
}

#[test]
fn wrong_requests_name_what_is_wrong() {
    let project = Project::new();
    let start = |body: &Value| project.post("/lsp/start", body);
    let reply = start(&json!({"languageId": "cobol", "pathToProject": "/"}));
    assert_refused(&reply, 400, "BAD_REQUEST", "typescript");
    let reply = start(&json!({"languageId": "python", "pathToProject": ""}));
    assert_refused(&reply, 400, "BAD_REQUEST", "pathToProject");
    let reply = start(&json!({"languageId": "python"}));
    assert_refused(&reply, 400, "INVALID_REQUEST_BODY", "pathToProject");
    let reply = start(&json!({"languageId": "python", "pathToProject": "/no/where"}));
    assert_refused(&reply, 400, "BAD_REQUEST", "/no/where");
    let reply = project.get("/lsp/document-symbols?languageId=python&pathToProject=/");
    assert_refused(&reply, 400, "BAD_REQUEST", "uri");
}
