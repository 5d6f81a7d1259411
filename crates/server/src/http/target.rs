//! Request targets that an HTTP parser would refuse although published clients send them, such as
//! `?labels={"a":"b"}` with raw quotes. The listener calls this on the bytes between the method
//! and the version, before it parses them.

use std::borrow::Cow;

/// The same target with every byte escaped that the parser does not take. Escaped bytes, and
/// targets that need nothing, are left as they are.
#[must_use]
pub fn encode_request_target(target: &[u8]) -> Cow<'_, [u8]> {
    if !target.iter().copied().any(needs_escape) {
        return Cow::Borrowed(target);
    }
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = Vec::with_capacity(target.len() + 32);
    for byte in target.iter().copied() {
        if needs_escape(byte) {
            let digit = |nibble: u8| HEX[usize::from(nibble)];
            encoded.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        } else {
            encoded.push(byte);
        }
    }
    Cow::Owned(encoded)
}

const fn needs_escape(byte: u8) -> bool {
    matches!(
        byte,
        b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80..
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_quotes_and_braces_become_escapes_that_parse() {
        let raw = br#"/api/sandbox/paginated?labels={"e2e":"true"}"#;
        let encoded = encode_request_target(raw);
        assert_eq!(
            encoded.as_ref(),
            b"/api/sandbox/paginated?labels=%7B%22e2e%22:%22true%22%7D"
        );
        assert!(http::Uri::try_from(encoded.as_ref()).is_ok());
    }

    #[test]
    fn what_parses_is_not_touched() {
        let plain = b"/api/snapshots/a%2Fb%3A1?x=%22&y=[]";
        assert!(matches!(encode_request_target(plain), Cow::Borrowed(_)));
    }
}
