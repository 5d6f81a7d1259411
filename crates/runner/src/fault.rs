//! Named points at which a test makes a step fail. Compiled to nothing in a shipped build.

#[cfg(feature = "faults")]
pub(crate) use sebring_testkit::fault::{armed, at};

#[cfg(not(feature = "faults"))]
pub(crate) const fn at(_point: &'static str) -> std::io::Result<()> {
    Ok(())
}

#[cfg(not(feature = "faults"))]
pub(crate) const fn armed() -> Option<String> {
    None
}
