//! The sandbox's share of the host, which may change while it runs.
//!
//! Must not: enforce anything; the kernel does.
//! Next: `info::limits` for how a change arrives.

use std::sync::{Mutex, PoisonError};

use sebring_api::boot::BootLimits;

#[derive(Debug)]
pub(crate) struct Limits(Mutex<BootLimits>);

impl Limits {
    pub(crate) const fn new(limits: BootLimits) -> Self {
        Self(Mutex::new(limits))
    }

    pub(crate) fn get(&self) -> BootLimits {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, limits: BootLimits) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }
}
