//! The last changes of a watch, numbered, so that a client that lost its connection can go on
//! where it was.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use crate::files::random_hex;

/// A client that is further behind has lost changes.
pub(super) const CHANGES_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Created,
    Modified,
    /// Mode, owner or dates.
    Attributes,
    Removed,
    Renamed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    kind: Kind,
    path: String,
    /// Its name before; both are below what is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    is_dir: bool,
}

impl Change {
    pub(super) fn new(kind: Kind, path: &Path, is_dir: bool) -> Self {
        Self {
            kind,
            path: path.to_string_lossy().into_owned(),
            from: None,
            is_dir,
        }
    }

    pub(super) fn renamed(path: &Path, from: &Path, is_dir: bool) -> Self {
        Self {
            from: Some(from.to_string_lossy().into_owned()),
            ..Self::new(Kind::Renamed, path, is_dir)
        }
    }
}

#[derive(Debug)]
pub(super) struct History {
    /// Tells its numbers from those of an earlier watch.
    name: String,
    state: Mutex<State>,
    news: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    changes: VecDeque<Change>,
    /// Of the first of them.
    first: u64,
    ended: bool,
}

/// What comes after a number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    /// A change and its number.
    Change(u64, Change),
    /// There were more than are kept; the number to go on from.
    Lost(u64),
    /// None yet.
    Nothing,
    End,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            name: random_hex(),
            state: Mutex::default(),
            news: watch::Sender::new(()),
        }
    }

    pub(super) fn push(&self, change: Change) {
        let mut state = self.lock();
        // The kernel says so for every write; once until somebody has seen it is enough.
        if change.kind == Kind::Modified && state.changes.back() == Some(&change) {
            return;
        }
        if state.changes.len() == CHANGES_MAX {
            state.changes.pop_front();
            state.first += 1;
        }
        state.changes.push_back(change);
        drop(state);
        self.news.send_replace(());
    }

    /// Some changes are not known.
    pub(super) fn lose(&self) {
        let mut state = self.lock();
        // One number that nobody can ever be given, so that everybody notices.
        state.first += state.changes.len() as u64 + 1;
        state.changes.clear();
        drop(state);
        self.news.send_replace(());
    }

    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.news.send_replace(());
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// The number from which only what is still to come is told.
    pub(super) fn now(&self) -> u64 {
        let state = self.lock();
        state.first + state.changes.len() as u64
    }

    pub(super) fn after(&self, number: u64) -> After {
        let state = self.lock();
        let Some(at) = number.checked_sub(state.first) else {
            return After::Lost(state.first);
        };
        let change = usize::try_from(at)
            .ok()
            .and_then(|at| state.changes.get(at));
        match change {
            Some(change) => After::Change(number + 1, change.clone()),
            None if state.ended => After::End,
            None => After::Nothing,
        }
    }

    /// Subscribe before looking.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    pub(super) fn cursor(&self, number: u64) -> String {
        format!("{}.{number}", self.name)
    }

    /// The number of a cursor that is of this watch and not of its future.
    pub(super) fn number(&self, cursor: &str) -> Option<u64> {
        let number = cursor.strip_prefix(&self.name)?.strip_prefix('.')?;
        number.parse().ok().filter(|number| *number <= self.now())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: usize) -> Change {
        Change::new(Kind::Modified, Path::new(&name.to_string()), false)
    }

    #[test]
    fn a_client_goes_on_where_it_was_or_hears_that_it_cannot() {
        let history = History::new();
        let start = history.now();
        history.push(change(0));
        history.push(change(0));
        history.push(change(1));
        assert_eq!(history.after(start), After::Change(1, change(0)));
        assert_eq!(history.after(1), After::Change(2, change(1)));
        assert_eq!(history.after(2), After::Nothing);
        for name in 0..CHANGES_MAX {
            history.push(change(name));
        }
        assert_eq!(history.after(1), After::Lost(2));
        assert_eq!(history.after(2), After::Change(3, change(0)));
    }

    #[test]
    fn what_the_kernel_lost_is_lost_to_those_who_had_seen_all_too() {
        let history = History::new();
        history.push(change(0));
        let seen = history.now();
        history.lose();
        assert_eq!(history.after(seen), After::Lost(seen + 1));
        assert_eq!(history.after(seen + 1), After::Nothing);
        history.end();
        assert_eq!(history.after(seen + 1), After::End);
    }

    #[test]
    fn a_cursor_of_another_watch_or_of_the_future_is_none() {
        let history = History::new();
        let cursor = history.cursor(history.now());
        assert_eq!(history.number(&cursor), Some(0));
        assert_eq!(History::new().number(&cursor), None);
        assert_eq!(history.number(&history.cursor(1)), None);
        assert_eq!(history.number("nonsense"), None);
    }
}
