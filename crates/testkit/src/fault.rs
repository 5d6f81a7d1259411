//! Points in product code, by name, at which a test can make the next pass fail.
//!
//! The armed point is one per process: tests that use this run one after another.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;

#[derive(Debug, Default)]
struct State {
    armed: Option<String>,
    passed: BTreeSet<&'static str>,
}

static STATE: Mutex<State> = Mutex::new(State {
    armed: None,
    passed: BTreeSet::new(),
});

/// Product code passes here. Fails once when `point` is armed.
pub fn at(point: &'static str) -> io::Result<()> {
    let mut state = lock();
    state.passed.insert(point);
    if state.armed.as_deref() == Some(point) {
        state.armed = None;
        return Err(io::Error::other(format!("fault injected at {point}")));
    }
    Ok(())
}

/// The next pass of `point` fails.
pub fn arm(point: &str) {
    lock().armed = Some(point.to_owned());
}

/// What is armed and has not fired.
#[must_use]
pub fn armed() -> Option<String> {
    lock().armed.clone()
}

/// Disarms and says whether the fault was still waiting.
pub fn disarm() -> bool {
    lock().armed.take().is_some()
}

/// Every point that this process has passed, so that a test can fail at each in turn.
#[must_use]
pub fn passed() -> Vec<&'static str> {
    lock().passed.iter().copied().collect()
}

fn lock() -> std::sync::MutexGuard<'static, State> {
    STATE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
