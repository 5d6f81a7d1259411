//! Target: query strings of clients.

use super::query::Query;

const NAMES: [&str; 4] = ["path", "offset", "recursive", "id"];

/// A value that is taken is what was sent, and never an empty one.
pub fn query(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let query = Query::parse(text);
    for name in NAMES {
        let value = query.get(name);
        assert!(value.is_none_or(|value| !value.is_empty()));
        assert_eq!(query.required(name).is_ok(), value.is_some());
        if let Ok(Some(number)) = query.number(name) {
            let value = value.expect("it was read").trim_start_matches(['+', '0']);
            let number = number.to_string();
            assert_eq!(if value.is_empty() { "0" } else { value }, number);
        }
        let _either = query.flag(name);
    }
    let pairs = NAMES.map(|name| (name, query.get(name).unwrap_or_default()));
    let again = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    let again = Query::parse(&again);
    assert!(NAMES.iter().all(|name| again.get(name) == query.get(name)));
}
