//! What `cargo xtask fuzz` runs of this crate: a function for each parser of what callers and
//! runners say. Each lives beside its parser and says what must hold.
//!
//! Must not: be built but for tests and for cargo-fuzz. Next: `fuzz/README.md`.

use sebring_testkit::corpus::Target;

pub use crate::http::fuzz::{api_cursor, api_query};
pub use crate::runner::fuzz::runner_answers;

/// All of them.
pub const TARGETS: &[Target] = sebring_testkit::targets![api_cursor, api_query, runner_answers];

#[cfg(test)]
mod tests {
    #[test]
    fn every_kept_input_holds() {
        sebring_testkit::corpus::replay(super::TARGETS);
    }
}
