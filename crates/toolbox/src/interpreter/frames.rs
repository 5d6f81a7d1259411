//! What clients send and get over the WebSocket of an execution, as JSON.
//!
//! Published clients know `stdout`, `stderr`, `error` and `control`; they pass over the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cell::{Command, Event};
use super::protocol::Report;
use super::stream::Output;
use crate::environment::Variables;
use crate::http::number::Seconds;

/// The first message: what to run, and where.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) code: Option<String>,
    pub(super) context_id: Option<String>,
    pub(super) timeout: Option<Seconds>,
    pub(super) envs: Option<Variables>,
    /// Whether this client answers `input` messages. Others would wait for ever.
    pub(super) allow_input: Option<bool>,
}

/// A later message.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Later {
    Interrupt,
    Input { text: Option<String> },
}

/// A message to the client.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Frame<'a> {
    Stdout {
        text: &'a str,
    },
    Stderr {
        text: &'a str,
    },
    Error {
        name: &'a str,
        value: &'a str,
        traceback: &'a str,
    },
    Control {
        text: &'a str,
    },
    /// The value of the last expression, by media type; binary data is base64.
    Result {
        data: BTreeMap<&'a str, &'a str>,
    },
    /// The same for what the code displayed.
    Display {
        data: BTreeMap<&'a str, &'a str>,
    },
    /// The code waits for a line of input.
    Input {
        prompt: &'a str,
    },
}

/// Unknown messages are passed over, as clients do with ours.
pub(super) fn command(message: &[u8]) -> Option<Command> {
    match serde_json::from_slice(message).ok()? {
        Later::Interrupt => Some(Command::Interrupt),
        Later::Input { text } => Some(Command::Input(text)),
    }
}

/// The text of a message; `None` when there is nothing worth telling.
pub(super) fn text(event: &Event) -> Option<String> {
    let frame = match event {
        Event::Output(Output::Stdout, text) => Frame::Stdout { text },
        Event::Output(Output::Stderr, text) => Frame::Stderr { text },
        Event::Report(Report::Begun | Report::Done) => return None,
        Event::Report(Report::Error {
            name,
            value,
            traceback,
        }) => Frame::Error {
            name,
            value,
            traceback,
        },
        Event::Report(Report::Result(forms)) => Frame::Result { data: map(forms) },
        Event::Report(Report::Display(forms)) => Frame::Display { data: map(forms) },
        Event::Report(Report::Ask(prompt)) => Frame::Input { prompt },
        Event::Report(Report::Chart(chart)) => return chart_text(chart),
    };
    frame.to_text()
}

impl Frame<'_> {
    pub(super) fn to_text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

fn map(forms: &[(String, String)]) -> BTreeMap<&str, &str> {
    let forms = forms.iter();
    forms
        .map(|(name, data)| (name.as_str(), data.as_str()))
        .collect()
}

/// Charts are objects already; checked, and not taken apart, which would need many times the room.
fn chart_text(chart: &str) -> Option<String> {
    let is_object =
        chart.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(chart).is_ok();
    is_object.then(|| format!(r#"{{"type":"chart","chart":{chart}}}"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_escaped_and_named() {
        let event = Event::Output(Output::Stderr, "a\"\n\u{1}".to_owned());
        let expected = "{\"type\":\"stderr\",\"text\":\"a\\\"\\n\\u0001\"}";
        assert_eq!(text(&event).unwrap(), expected);
    }

    #[test]
    fn a_chart_that_is_no_object_is_not_passed_on() {
        let chart = |text: &str| text_of_chart(text);
        assert_eq!(
            chart("{\"a\":1}").unwrap(),
            r#"{"type":"chart","chart":{"a":1}}"#
        );
        for bad in ["", "1", "{", "{}}", "{},\"type\":\"error\"", "{\"a\":NaN}"] {
            assert!(chart(bad).is_none(), "{bad}");
        }
    }

    fn text_of_chart(chart: &str) -> Option<String> {
        text(&Event::Report(Report::Chart(chart.to_owned())))
    }

    #[test]
    fn unknown_messages_are_passed_over() {
        for message in [
            "",
            "7",
            "{}",
            r#"{"type":"dance"}"#,
            r#"{"type":"input","text":7}"#,
        ] {
            assert!(command(message.as_bytes()).is_none(), "{message}");
        }
        assert!(matches!(
            command(br#"{"type":"input"}"#),
            Some(Command::Input(None))
        ));
        assert!(matches!(
            command(br#"{"type":"interrupt","more":1}"#),
            Some(Command::Interrupt)
        ));
    }
}
