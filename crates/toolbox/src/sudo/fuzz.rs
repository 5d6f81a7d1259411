//! Target: the command line of `sudo`, and requests to its broker, which any process can send.

use super::arguments::{self, Asked};
use super::wire::Request;

/// The command is the end of what was given, word for word, and so are the variables before it.
pub fn sudo(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let words: Vec<String> = text.split('\n').map(str::to_owned).collect();
    if let Ok(Asked::Run(run)) = arguments::parse(words.clone()) {
        assert!(words.ends_with(&run.command), "{run:?}");
        for (name, value) in &run.set {
            assert!(words.contains(&format!("{name}={value}")), "{run:?}");
            assert!(!name.is_empty() && !name.contains(['=', '\0']));
        }
    }
    if let Ok(request) = serde_json::from_slice::<Request>(input) {
        let again = serde_json::to_vec(&request).expect("texts");
        let again: Request = serde_json::from_slice(&again).expect("our own form");
        assert_eq!(format!("{again:?}"), format!("{request:?}"));
    }
}
