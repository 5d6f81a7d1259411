//! Target: what clients of terminals say beside what is typed: the protocols that they offer, the
//! variables in one of them, and sizes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};
use sebring_testkit::corpus;

use super::Size;
use super::connect::{ENVS, envs};
use super::web::{Resize, Text};
use crate::http::websocket::{choose, offered};

pub fn pty(input: &[u8]) {
    let (longest, said) = corpus::choice(input);
    protocols(said);
    resize(said);
    shown(said, longest);
}

/// One of those offered is chosen, and variables are read as they were meant.
fn protocols(lines: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        if let Ok(line) = HeaderValue::from_bytes(line) {
            headers.append(header::SEC_WEBSOCKET_PROTOCOL, line);
        }
    }
    let offered = offered(&headers);
    let is_one = |token: &HeaderValue| {
        let token = token.as_bytes();
        !token.is_empty() && !token.contains(&b',') && token.trim_ascii() == token
    };
    assert!(offered.iter().all(is_one), "{offered:?}");
    assert_eq!(choose(&offered).is_some(), !offered.is_empty());
    assert!(choose(&offered).is_none_or(|chosen| offered.contains(chosen)));
    let words = || offered.iter().filter_map(|token| token.to_str().ok());
    if let Ok(variables) = envs(words()) {
        let json = serde_json::to_vec(&variables).expect("texts");
        let token = format!("{ENVS}{}", URL_SAFE_NO_PAD.encode(json));
        let again = envs(std::iter::once(token.as_str())).expect("our own form");
        assert_eq!(again, variables);
    }
}

/// Only an object with both numbers is a size; all else was typed.
fn resize(message: &[u8]) {
    let Some(resize) = Resize::read(message) else {
        return;
    };
    let json: serde_json::Value = serde_json::from_slice(message).expect("it was read");
    assert!(json.is_object(), "{json}");
    if let Ok(size) = Size::new(Some(resize.cols), Some(resize.rows)) {
        assert_eq!(
            (u64::from(size.cols), u64::from(size.rows)),
            (resize.cols, resize.rows)
        );
        assert!(size.cols > 0 && size.rows > 0);
    }
}

/// Text comes out the same however the bytes were cut, but for a character that is not complete.
fn shown(bytes: &[u8], longest: u8) {
    let mut text = Text::default();
    let pieces = corpus::pieces(bytes, longest);
    let shown: String = pieces.into_iter().map(|piece| text.take(piece)).collect();
    let whole = String::from_utf8_lossy(bytes);
    let held = whole.strip_prefix(&shown).expect("the beginning of it");
    assert!(
        held.is_empty() || held == "\u{fffd}",
        "{held:?} is held back"
    );
}
