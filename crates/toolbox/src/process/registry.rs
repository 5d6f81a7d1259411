//! What tasks hold that nothing else refers to, known as long as it lives.
//!
//! Must not: keep anything alive. Next: `crate::upgrade`, which hands it over.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Dead entries are swept when there are this many, or twice as many as lived the last time.
const SWEEP_AT_LEAST: usize = 32;

#[derive(Debug)]
pub(crate) struct Registry<T>(Mutex<Entries<T>>);

#[derive(Debug)]
struct Entries<T> {
    all: Vec<Weak<T>>,
    sweep_at: usize,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            all: Vec::new(),
            sweep_at: SWEEP_AT_LEAST,
        }))
    }
}

impl<T> Registry<T> {
    pub(crate) fn add(&self, thing: T) -> Arc<T> {
        let thing = Arc::new(thing);
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.all.len() >= entries.sweep_at {
            entries.all.retain(|entry| entry.strong_count() > 0);
            entries.sweep_at = (2 * entries.all.len()).max(SWEEP_AT_LEAST);
        }
        entries.all.push(Arc::downgrade(&thing));
        thing
    }

    /// Those that live, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.all.iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_forgotten_and_costs_no_room_for_ever() {
        let registry = Registry::default();
        let kept = registry.add(7);
        for number in 0..10_000 {
            drop(registry.add(number));
        }
        assert_eq!(registry.all(), [Arc::clone(&kept)]);
        assert!(registry.0.lock().unwrap().all.len() <= SWEEP_AT_LEAST);
    }
}
