//! Which documents a server has open, and what it must be told so that they are as on disk.
//!
//! A client opens few and edits them behind the server's back, so each request shows the document
//! anew. Those that were opened only to answer a request are closed again, the oldest first.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Value, json};

use super::document::Document;
use super::message::notice;

/// Opened by clients at one time.
pub(super) const HELD_MAX: usize = 256;
/// Opened for requests.
const PASSING_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Documents {
    /// The least recently shown first.
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    uri: String,
    version: u32,
    digest: u64,
    /// Until a client closes it.
    held: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("{HELD_MAX} documents are open at this language server, the maximum; close one first")]
pub(super) struct TooMany;

impl Documents {
    /// What the server must be told before it is asked about the document.
    pub(super) fn show(&mut self, document: &Document, hold: bool) -> Result<Vec<Value>, TooMany> {
        let digest = digest(&document.text);
        let known = self.open.iter().position(|open| open.uri == document.uri);
        let newly_held = hold && !known.is_some_and(|at| self.open[at].held);
        if newly_held && self.open.iter().filter(|open| open.held).count() >= HELD_MAX {
            return Err(TooMany);
        }
        let mut notices = Vec::new();
        let entry = match known {
            Some(at) => {
                let mut entry = self.open.remove(at);
                entry.held |= hold;
                if entry.digest != digest {
                    entry.version += 1;
                    entry.digest = digest;
                    notices.push(did_change(document, entry.version));
                }
                entry
            }
            None => {
                notices.extend(self.make_room());
                notices.push(did_open(document));
                Open {
                    uri: document.uri.clone(),
                    version: 1,
                    digest,
                    held: hold,
                }
            }
        };
        self.open.push(entry);
        Ok(notices)
    }

    /// What the server must be told; nothing when it does not have it.
    pub(super) fn close(&mut self, uri: &str) -> Option<Value> {
        let at = self.open.iter().position(|open| open.uri == uri)?;
        self.open.remove(at);
        Some(did_close(uri))
    }

    fn make_room(&mut self) -> Option<Value> {
        let passing = || self.open.iter().filter(|open| !open.held);
        let oldest = passing().next().map(|open| open.uri.clone());
        let is_full = passing().count() >= PASSING_MAX;
        oldest.filter(|_| is_full).and_then(|uri| self.close(&uri))
    }
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn did_open(document: &Document) -> Value {
    notice(
        "textDocument/didOpen",
        &json!({"textDocument": {
            "uri": document.uri,
            "languageId": document.language,
            "version": 1,
            "text": document.text,
        }}),
    )
}

fn did_change(document: &Document, version: u32) -> Value {
    notice(
        "textDocument/didChange",
        &json!({
            "textDocument": {"uri": document.uri, "version": version},
            "contentChanges": [{"text": document.text}],
        }),
    )
}

fn did_close(uri: &str) -> Value {
    notice(
        "textDocument/didClose",
        &json!({"textDocument": {"uri": uri}}),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(name: &str, text: &str) -> Document {
        Document {
            uri: format!("file:///{name}"),
            language: "python",
            text: text.to_owned(),
        }
    }

    fn methods(notices: &[Value]) -> Vec<&str> {
        let all = notices.iter().map(|notice| notice["method"].as_str());
        all.flatten()
            .map(|method| &method["textDocument/".len()..])
            .collect()
    }

    #[test]
    fn a_document_is_opened_once_and_changed_only_when_it_did() {
        let mut documents = Documents::default();
        let mut show = |text: &str| {
            let notices = documents.show(&document("a", text), false).unwrap();
            methods(&notices).join(" ")
        };
        assert_eq!(show("1"), "didOpen");
        assert_eq!(show("1"), "");
        assert_eq!(show("2"), "didChange");
    }

    #[test]
    fn what_was_opened_for_requests_makes_room_and_what_clients_hold_stays() {
        let mut documents = Documents::default();
        documents.show(&document("held", ""), true).unwrap();
        for number in 0..PASSING_MAX {
            let passing = document(&number.to_string(), "");
            documents.show(&passing, false).unwrap();
        }
        let notices = documents.show(&document("one more", ""), false).unwrap();
        assert_eq!(methods(&notices), ["didClose", "didOpen"]);
        assert_eq!(notices[0]["params"]["textDocument"]["uri"], "file:///0");
    }

    #[test]
    fn clients_hold_no_more_than_the_limit() {
        let mut documents = Documents::default();
        for number in 0..HELD_MAX {
            let held = document(&number.to_string(), "");
            documents.show(&held, true).unwrap();
        }
        assert!(documents.show(&document("more", ""), true).is_err());
        assert!(documents.show(&document("0", "again"), true).is_ok());
        assert!(documents.close("file:///0").is_some());
        assert!(documents.close("file:///0").is_none());
        assert!(documents.show(&document("more", ""), true).is_ok());
    }
}
