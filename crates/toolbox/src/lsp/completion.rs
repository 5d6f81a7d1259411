//! Completions as clients get them: always a list that says whether it is whole.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::bounded::{self, Bounded};

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Completions {
    is_incomplete: bool,
    items: Vec<Completion>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Completion {
    label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    documentation: Option<Documentation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort_text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    insert_text: Option<String>,
}

/// Told as text or as text with its kind, and always sent as the latter: published Python clients
/// refuse a bare text.
#[derive(Debug, Deserialize, Serialize)]
#[serde(from = "Told")]
struct Documentation {
    kind: String,
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Told {
    Text(String),
    Marked { kind: String, value: String },
}

impl From<Told> for Documentation {
    fn from(told: Told) -> Self {
        match told {
            Told::Text(value) => Self {
                kind: "plaintext".to_owned(),
                value,
            },
            Told::Marked { kind, value } => Self { kind, value },
        }
    }
}

impl From<Bounded<Completion>> for Completions {
    fn from(list: Bounded<Completion>) -> Self {
        Self {
            is_incomplete: list.is_cut,
            items: list.items,
        }
    }
}

impl<'de> Deserialize<'de> for Completions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Shape)
    }
}

struct Shape;

impl<'de> Visitor<'de> for Shape {
    type Value = Completions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("completions")
    }

    fn visit_unit<E>(self) -> Result<Completions, E> {
        Ok(Completions::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Completions, A::Error> {
        bounded::take(list).map(Completions::from)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Completions, A::Error> {
        let (mut said_incomplete, mut list) = (false, Bounded::default());
        while let Some(name) = fields.next_key::<String>()? {
            match name.as_str() {
                "isIncomplete" => said_incomplete = fields.next_value()?,
                "items" => list = fields.next_value()?,
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        let mut completions = Completions::from(list);
        completions.is_incomplete |= said_incomplete;
        Ok(completions)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(value: serde_json::Value) -> serde_json::Value {
        let completions: Completions = serde_json::from_value(value).unwrap();
        serde_json::to_value(completions).unwrap()
    }

    #[test]
    fn a_bare_list_becomes_one_that_says_it_is_whole() {
        assert_eq!(
            told(json!([{"label": "a", "data": {"x": [1]}}])),
            json!({"isIncomplete": false, "items": [{"label": "a"}]})
        );
        assert_eq!(
            told(json!(null)),
            json!({"isIncomplete": false, "items": []})
        );
    }

    #[test]
    fn documentation_is_always_an_object() {
        let list = json!({"isIncomplete": true, "itemDefaults": {}, "items": [
            {"label": "a", "documentation": "text"},
            {"label": "b", "documentation": {"kind": "markdown", "value": "*b*"}},
        ]});
        let list = told(list);
        assert_eq!(list["isIncomplete"], true);
        assert_eq!(
            list["items"][0]["documentation"],
            json!({"kind": "plaintext", "value": "text"})
        );
        assert_eq!(list["items"][1]["documentation"]["value"], "*b*");
    }
}
