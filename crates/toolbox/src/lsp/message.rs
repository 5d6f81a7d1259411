//! What a language server says: answers, questions of its own, and talk.
//!
//! Only the envelope is read here; what an answer contains is read by whoever asked, into types
//! that bound it. Must not: build trees of unknown JSON. Next: `symbols`, `completion`.

use bytes::BytesMut;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A server's own ids are echoed; they are short.
const ID_BYTES_MAX: usize = 256;
/// Settings it asks for at once.
const ITEMS_MAX: usize = 1000;
/// Of a failure's text, which may hold a whole stack.
const TEXT_CHARS_MAX: usize = 500;
const METHOD_NOT_FOUND: i64 = -32601;

/// One message of a server.
#[derive(Debug)]
pub(super) enum Incoming {
    /// To the question of that number.
    Answer(u64),
    /// A question to us, with what we say to it.
    Question(Value),
    /// Nothing that we act upon.
    Talk,
}

#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Settings {
    items: Vec<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Answer<T> {
    result: Option<T>,
    error: Option<Refusal>,
}

/// A failure as a server reports it.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    code: i64,
    message: String,
}

impl Refusal {
    pub(super) fn is_unknown_method(&self) -> bool {
        self.code == METHOD_NOT_FOUND
    }

    /// The beginning of its message, without the stack that some append.
    pub(super) fn text(&self) -> String {
        self.message.chars().take(TEXT_CHARS_MAX).collect()
    }
}

/// Reads an envelope; the reason when it is none.
pub(super) fn read(body: &[u8]) -> Result<Incoming, String> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(body).map_err(|error| format!("its message is no JSON: {error}"))?;
    let Some(id) = envelope.id else {
        return Ok(Incoming::Talk);
    };
    if id.get().len() > ID_BYTES_MAX {
        return Err(format!("a message has an id of {} bytes", id.get().len()));
    }
    let Some(method) = envelope.method else {
        // Numbers that were never given out are looked for in vain.
        return Ok(id.get().parse().map_or(Incoming::Talk, Incoming::Answer));
    };
    let id: Value = serde_json::from_str(id.get()).unwrap_or_default();
    let method: String = serde_json::from_str(method.get()).unwrap_or_default();
    let params = envelope.params.map_or("null", RawValue::get);
    Ok(Incoming::Question(our_answer(&id, &method, params)))
}

/// What we say to a server's question: we have no settings, change nothing, and agree otherwise.
fn our_answer(id: &Value, method: &str, params: &str) -> Value {
    let result = match method {
        "workspace/configuration" => {
            let asked = serde_json::from_str(params).map_or(0, |asked: Settings| asked.items.len());
            json!(vec![Value::Null; asked.min(ITEMS_MAX)])
        }
        "workspace/applyEdit" => json!({"applied": false}),
        "client/registerCapability"
        | "client/unregisterCapability"
        | "window/workDoneProgress/create"
        | "window/showMessageRequest"
        | "workspace/workspaceFolders" => Value::Null,
        _ => {
            let error = json!({"code": METHOD_NOT_FOUND, "message": "not supported"});
            return json!({"jsonrpc": "2.0", "id": id, "error": error});
        }
    };
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

/// What an answer contains; nothing at all is the default.
pub(super) fn result<T: DeserializeOwned + Default>(
    body: &BytesMut,
) -> Result<Result<T, Refusal>, serde_json::Error> {
    let answer: Answer<T> = serde_json::from_slice(body)?;
    Ok(match answer.error {
        Some(refusal) => Err(refusal),
        None => Ok(answer.result.unwrap_or_default()),
    })
}

pub(super) fn question(id: u64, method: &str, params: &impl Serialize) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

pub(super) fn notice(method: &str, params: &impl Serialize) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_for_settings_is_answered_with_one_nothing_for_each() {
        let asked = br#"{"id":"a","method":"workspace/configuration","params":{"items":[{},{}]}}"#;
        let Ok(Incoming::Question(answer)) = read(asked) else {
            panic!("not a question");
        };
        assert_eq!(answer["result"], json!([null, null]));
        assert_eq!(answer["id"], "a");
    }

    #[test]
    fn an_unknown_question_is_answered_with_an_error() {
        let Ok(Incoming::Question(answer)) = read(br#"{"id":1,"method":"x/y"}"#) else {
            panic!("not a question");
        };
        assert_eq!(answer["error"]["code"], METHOD_NOT_FOUND);
    }

    #[test]
    fn nested_nonsense_is_refused_and_no_stack_overflows() {
        let deep = format!("{{\"id\":{}1", "[".repeat(1 << 20));
        assert!(read(deep.as_bytes()).is_err());
        let deep = format!("{{\"id\":{}{}}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert!(read(deep.as_bytes()).is_err());
        assert!(read(b"[]").is_err());
    }
}
