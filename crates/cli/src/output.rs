//! Printing for people: the only module of the command that writes to the terminal directly.
//!
//! Must not: be used by anything that another program links.

use std::io::{IsTerminal, Write};

/// One line on standard output. A closed pipe is the reader's choice, not an error.
pub(crate) fn line(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush()));
}

/// One line on standard error: progress and hints, never results.
pub(crate) fn note(text: impl AsRef<str>) {
    drop(writeln!(std::io::stderr().lock(), "{}", text.as_ref()));
}

/// A failure with its whole chain of causes.
pub(crate) fn error(error: &anyhow::Error) {
    note(format!("error: {error}"));
    for cause in error.chain().skip(1) {
        note(format!("  because: {cause}"));
    }
}

/// Whether someone is there to be asked.
pub(crate) fn interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a yes/no question; an empty answer is yes.
pub(crate) fn confirm(question: &str) -> bool {
    drop(write!(std::io::stderr().lock(), "{question} [Y/n] "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok()
        && matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "" | "y" | "yes"
        )
}
