//! Output as text: bytes that arrive in pieces, cut anywhere.

/// Turns bytes into text; what is no UTF-8 becomes U+FFFD, the start of a character waits for the
/// rest of it.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// At most three bytes.
    partial: Vec<u8>,
}

impl Text {
    pub(super) const fn with(partial: Vec<u8>) -> Self {
        Self { partial }
    }

    pub(super) fn partial(&self) -> &[u8] {
        &self.partial
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut rest = all.as_slice();
        loop {
            let error = match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    return text;
                }
                Err(error) => error,
            };
            let (valid, after) = rest.split_at(error.valid_up_to());
            text.push_str(&String::from_utf8_lossy(valid));
            let Some(length) = error.error_len() else {
                self.partial = after.to_vec();
                return text;
            };
            text.push(char::REPLACEMENT_CHARACTER);
            rest = &after[length..];
        }
    }

    /// What is left of a character that was never finished.
    pub(super) fn finish(&mut self) -> String {
        let unfinished = std::mem::take(&mut self.partial);
        String::from_utf8_lossy(&unfinished).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_were_cut(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "\\PC{0,60}".prop_map(String::into_bytes),
            ],
            piece in 1_usize..9,
        ) {
            let mut text = Text::default();
            let mut whole: String = bytes.chunks(piece).map(|piece| text.push(piece)).collect();
            whole.push_str(&text.finish());
            prop_assert_eq!(whole, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
