//! Targets: what callers of the API write into the query.

use sebring_store::list::{Order, SortKey};

use super::list::{
    PAGE_SORTS, decode_cursor, encode_cursor, parse_labels, parse_sort, parse_states,
};
use super::query::Query;

/// What is taken can be shown again, is within the bounds that were asked for, and means the same
/// when it is written in our own form.
pub fn api_query(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let query = Query::parse(text);
    if let Ok(Some(at)) = query.instant("at") {
        let again = Query::parse(&format!("at={at}"));
        assert_eq!(again.instant("at"), Ok(Some(at)));
    }
    if let Ok(number) = query.integer_within("limit", 1..=200, 100) {
        assert!((1..=200).contains(&number));
    }
    if let Ok(bounds) = query.bounds("min", "max", 1) {
        assert!(bounds.min.is_none_or(|min| min >= 1) && bounds.max.is_none_or(|max| max >= 1));
    }
    if let Ok(Some(number)) = query.integer("min") {
        let again = Query::parse(&format!("min={number}"));
        assert_eq!(again.integer("min"), Ok(Some(number)));
    }
    assert!(query.texts("states").iter().all(|state| !state.is_empty()));
    let _either = (
        query.boolean("at"),
        parse_states(&query),
        parse_labels(&query),
    );
    let _either = parse_sort(&query, &PAGE_SORTS, SortKey::Id);
}

/// A cursor that is taken leads to the same place when we write it.
pub fn api_cursor(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let hexadecimal = hex::encode(text);
    for (_, key) in PAGE_SORTS {
        let sort = (key, Order::Ascending);
        for text in [text, &hexadecimal] {
            if let Ok(cursor) = decode_cursor(text, sort) {
                let again = decode_cursor(&encode_cursor(&cursor, sort), sort);
                assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, ()>(cursor)));
            }
        }
    }
}
