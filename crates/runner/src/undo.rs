//! Undoing half of a multi-step effect when a later step fails.
//!
//! Must not: be relied on for what must happen even if the process is killed; the boot sweep
//! (`crate::adopt`) is for that.

use std::fmt;

/// Runs its closure when dropped, unless kept.
pub(crate) struct Undo<F: FnOnce()> {
    undo: Option<F>,
}

impl<F: FnOnce()> Undo<F> {
    pub(crate) const fn new(undo: F) -> Self {
        Self { undo: Some(undo) }
    }

    /// The effect stays.
    pub(crate) fn keep(mut self) {
        self.undo = None;
    }
}

impl<F: FnOnce()> Drop for Undo<F> {
    fn drop(&mut self) {
        if let Some(undo) = self.undo.take() {
            undo();
        }
    }
}

impl<F: FnOnce()> fmt::Debug for Undo<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undo").finish_non_exhaustive()
    }
}
