//! Symbols as clients get them: one flat list, whichever of three shapes a server answers in.

use serde::{Deserialize, Serialize};

use super::bounded::{Bounded, ITEMS_MAX};

#[derive(Clone, Debug, Serialize)]
pub(super) struct Symbol {
    pub(super) kind: u32,
    pub(super) name: String,
    pub(super) location: Place,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Place {
    pub(super) uri: String,
    range: Range,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
struct Range {
    start: Position,
    end: Position,
}

/// Zero-based; `character` counts UTF-16 units.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: u32,
    pub(super) character: u32,
}

/// Any of the shapes: with a location, with one that lacks the range, or with children.
#[derive(Debug, Deserialize)]
pub(super) struct Told {
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: u32,
    location: Option<ToldPlace>,
    range: Option<Range>,
    #[serde(default)]
    children: Bounded<Self>,
}

#[derive(Debug, Deserialize)]
struct ToldPlace {
    uri: String,
    #[serde(default)]
    range: Range,
}

/// All symbols in the order in which they were told, children after their parents. `uri` is where
/// those are that do not say.
pub(super) fn flat(told: Bounded<Told>, uri: &str) -> Vec<Symbol> {
    let mut found = Vec::new();
    let mut open = vec![told.items.into_iter()];
    while let Some(level) = open.last_mut() {
        let Some(told) = level.next() else {
            open.pop();
            continue;
        };
        if found.len() == ITEMS_MAX {
            break;
        }
        let place = told.location.map_or_else(
            || Place {
                uri: uri.to_owned(),
                range: told.range.unwrap_or_default(),
            },
            |place| Place {
                uri: place.uri,
                range: place.range,
            },
        );
        found.push(Symbol {
            kind: told.kind,
            name: told.name,
            location: place,
        });
        open.push(told.children.items.into_iter());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, String)> {
        let symbols = flat(serde_json::from_str(text).unwrap(), "file:///asked");
        symbols
            .into_iter()
            .map(|symbol| (symbol.name, symbol.location.uri))
            .collect()
    }

    #[test]
    fn both_shapes_become_one_flat_list() {
        let nested = r#"[{"name":"A","kind":5,"range":{"start":{"line":1,"character":0},
            "end":{"line":2,"character":0}},"children":[{"name":"b","kind":6}]},{"name":"C"}]"#;
        let at = |name: &str, uri: &str| (name.to_owned(), uri.to_owned());
        let asked = "file:///asked";
        assert_eq!(
            names(nested),
            [at("A", asked), at("b", asked), at("C", asked)]
        );
        let placed = r#"[{"name":"A","kind":5,"containerName":null,
            "location":{"uri":"file:///there","range":{"start":{"line":1,"character":0},
            "end":{"line":2,"character":0}}}},{"name":"B","location":{"uri":"file:///here"}}]"#;
        assert_eq!(
            names(placed),
            [at("A", "file:///there"), at("B", "file:///here")]
        );
    }

    #[test]
    fn symbols_nested_too_deeply_are_refused() {
        let deep = format!("[{}]", "{\"children\":[".repeat(100_000));
        assert!(serde_json::from_str::<Bounded<Told>>(&deep).is_err());
    }
}
