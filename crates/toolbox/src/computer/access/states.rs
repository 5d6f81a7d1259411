//! Names of the states that a node can be in, by their numbers on the bus.

const NAMES: [&str; 44] = [
    "invalid",
    "active",
    "armed",
    "busy",
    "checked",
    "collapsed",
    "defunct",
    "editable",
    "enabled",
    "expandable",
    "expanded",
    "focusable",
    "focused",
    "has-tooltip",
    "horizontal",
    "iconified",
    "modal",
    "multi-line",
    "multiselectable",
    "opaque",
    "pressed",
    "resizable",
    "selectable",
    "selected",
    "sensitive",
    "showing",
    "single-line",
    "stale",
    "transient",
    "vertical",
    "visible",
    "manages-descendants",
    "indeterminate",
    "required",
    "truncated",
    "animated",
    "invalid-entry",
    "supports-autocompletion",
    "selectable-text",
    "is-default",
    "visited",
    "checkable",
    "has-popup",
    "read-only",
];

/// The names of the set bits, lowest first. Bits that have no name are left out.
pub(super) fn names(words: &[u32]) -> Vec<&'static str> {
    let is_set = |number: usize| {
        let word = words.get(number / 32).copied().unwrap_or_default();
        word >> (number % 32) & 1 == 1
    };
    NAMES
        .iter()
        .enumerate()
        .filter(|(number, _)| is_set(*number))
        .map(|(_, name)| *name)
        .collect()
}

/// As clients may write a state: in any case, with either separator.
pub(super) fn normal(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace(['_', ' '], "-")
}

pub(super) fn is_known(name: &str) -> bool {
    NAMES.contains(&normal(name).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_named_across_words() {
        assert_eq!(
            names(&[1 << 1 | 1 << 12, 1 << 9]),
            ["active", "focused", "checkable"]
        );
        assert_eq!(names(&[0, 0, u32::MAX]), Vec::<&str>::new());
        assert!(is_known("Has_Tooltip") && !is_known("shiny"));
    }
}
