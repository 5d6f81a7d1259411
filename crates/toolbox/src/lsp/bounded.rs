//! Lists of a server, cut where they become absurd.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};

/// More than anybody looks at.
pub(super) const ITEMS_MAX: usize = 10_000;

/// The first [`ITEMS_MAX`] entries of a list; `null` is an empty one.
#[derive(Debug)]
pub(super) struct Bounded<T> {
    pub(super) items: Vec<T>,
    pub(super) is_cut: bool,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            is_cut: false,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bounded<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(List(PhantomData))
    }
}

/// Takes entries one by one and forgets those beyond the limit.
pub(super) fn take<'de, T, A>(mut list: A) -> Result<Bounded<T>, A::Error>
where
    T: Deserialize<'de>,
    A: SeqAccess<'de>,
{
    let mut taken = Bounded::default();
    while taken.items.len() < ITEMS_MAX {
        match list.next_element()? {
            Some(item) => taken.items.push(item),
            None => return Ok(taken),
        }
    }
    while list.next_element::<IgnoredAny>()?.is_some() {
        taken.is_cut = true;
    }
    Ok(taken)
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Bounded<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Bounded::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        take(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_at_the_limit() {
        let text = format!("[{}1]", "1,".repeat(ITEMS_MAX));
        let list: Bounded<u8> = serde_json::from_str(&text).unwrap();
        assert!(list.is_cut);
        assert_eq!(list.items.len(), ITEMS_MAX);
        let list: Bounded<u8> = serde_json::from_str("null").unwrap();
        assert!(!list.is_cut && list.items.is_empty());
    }
}
