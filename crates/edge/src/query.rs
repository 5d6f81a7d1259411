//! Reading and cutting a raw query string without re-encoding what stays.
//!
//! Must not: decode and encode again; signatures and upstream parsers see the client's bytes.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The decoded value of the only parameter called `name`. `Err` when it is there twice: the
/// sandbox might read another one than we checked.
pub(crate) fn only<'q>(query: &'q str, name: &str) -> Result<Option<Cow<'q, str>>, Repeated> {
    let (mut found, mut is_there) = (None, false);
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decoded(key).is_some_and(|key| key == name) {
            // Counts although its value is no text: the sandbox makes something of that, too.
            if is_there {
                return Err(Repeated);
            }
            is_there = true;
            found = decoded(value);
        }
    }
    Ok(found)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeated;

/// Form decoding: `+` is a space. `None` when the bytes are no UTF-8.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        let plain = percent_decode_str(&spaced).decode_utf8().ok()?;
        Some(Cow::Owned(plain.into_owned()))
    } else {
        percent_decode_str(text).decode_utf8().ok()
    }
}

/// `query` without any pair called `name`, everything else byte for byte; `None` when nothing is
/// left.
pub(crate) fn without<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    let is_named = |pair: &&str| {
        let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
        decoded(key).is_some_and(|key| key == name)
    };
    if !query.split('&').any(|pair| is_named(&pair)) {
        return Some(Cow::Borrowed(query));
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_named(pair)).collect();
    if kept.is_empty() {
        None
    } else {
        Some(Cow::Owned(kept.join("&")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_decoded_as_a_form() {
        assert_eq!(only("p=a+b%20c%2B", "p").unwrap().unwrap(), "a b c+");
        assert_eq!(only("x=1", "p").unwrap(), None);
    }

    #[test]
    fn a_repeated_parameter_is_an_error_even_when_its_name_is_encoded() {
        assert_eq!(only("path=a&p%61th=b", "path"), Err(Repeated));
        assert_eq!(only("path=%FF&path=b", "path"), Err(Repeated));
    }

    #[test]
    fn cutting_a_pair_leaves_the_rest_byte_for_byte() {
        assert_eq!(
            without("a=%7e+&KEY=s&b=%2F", "KEY").unwrap(),
            "a=%7e+&b=%2F"
        );
        assert_eq!(without("KEY=s", "KEY"), None);
        assert_eq!(without("a=1", "KEY").unwrap(), "a=1");
    }
}
