//! Points in product code, by name, at which a test can make the next pass fail.
//!
//! The armed point is one per process: tests that use this run one after another.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;

#[derive(Debug, Default)]
struct State {
    armed: Option<(String, io::ErrorKind)>,
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
    match state.armed.take_if(|(armed, _)| armed == point) {
        Some((_, kind)) => Err(io::Error::new(kind, format!("fault injected at {point}"))),
        None => Ok(()),
    }
}

/// The next pass of `point` fails.
pub fn arm(point: &str) {
    arm_as(point, io::ErrorKind::Other);
}

/// The same, as the kernel would say it for a certain reason.
pub fn arm_as(point: &str, kind: io::ErrorKind) {
    lock().armed = Some((point.to_owned(), kind));
}

/// What is armed and has not fired.
#[must_use]
pub fn armed() -> Option<String> {
    let state = lock();
    state.armed.as_ref().map(|(point, _)| point.clone())
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
