//! Films of the desktop: one ffmpeg for each, files in a folder of the user's.
//!
//! The folder is the truth about finished films; only those under way are remembered.
//! Must not: fill the disk: a film ends by itself at [`BYTES_MAX`] or [`TIME_MAX`], and takes at
//! most half of what the disk has left when those under way have had theirs.
//! Next: `film` for one under way, `library` for the files, `routes` and `page` for what is served.

mod film;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod library;
pub(crate) mod page;
pub(crate) mod routes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use film::Film;

use super::layout;

/// Each takes a processor's worth of work.
const FILMS_MAX: usize = 4;
/// An hour of a busy screen is about this.
const BYTES_MAX: u64 = 2 << 30;
/// What a film leaves free on the sandbox's disk when it begins.
const DISK_SPARE_BYTES: u64 = 64 << 20;
const TIME_MAX: Duration = Duration::from_secs(4 * 3600);

#[derive(Debug, Default)]
pub(crate) struct Recordings {
    films: Mutex<BTreeMap<String, Arc<Film>>>,
}

impl Recordings {
    fn film(&self, id: &str) -> Option<Arc<Film>> {
        self.films().get(id).cloned()
    }

    fn is_under_way(&self, id: &str) -> bool {
        self.film(id).is_some_and(|film| film.is_under_way())
    }

    fn films(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Film>>> {
        self.films.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finished films are the folder's affair.
    fn forget_finished(&self) {
        self.films().retain(|_, film| film.is_under_way());
    }

    pub(crate) fn is_any_under_way(&self) -> bool {
        self.films().values().any(|film| film.is_under_way())
    }

    pub(crate) async fn stop_all(&self) {
        let films: Vec<_> = self.films().values().cloned().collect();
        for film in &films {
            film.ask_to_stop();
        }
        for film in films {
            film.finished().await;
        }
        self.forget_finished();
    }
}
