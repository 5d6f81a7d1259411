//! Computer use: a desktop that programs and people see, touch and record.
//!
//! ```text
//! desktop    Xvfb, window manager, VNC, its web page: started together, kept alive, stopped
//! display    one connection to the X server for one request, with a deadline
//! input      mouse and keyboard, by the server's test extension
//! screen     pictures, displays, windows
//! access     the accessibility tree, over its own message bus
//! recording  ffmpeg, one process for each film
//! ```
//!
//! Nothing here holds memory, a thread or a connection while nobody asks.
//! Must not: start a program for a single action; trust coordinates, names or sizes of clients.
//! Next: `routes` for what is served, `desktop` for what runs.

mod access;
mod desktop;
mod display;
mod failure;
mod input;
mod kit;
mod layout;
mod recording;
pub(crate) mod routes;
mod screen;

use std::sync::Arc;

use desktop::Desktop;
use input::keyboard::SpareKeys;
use recording::Recordings;
#[cfg(any(test, fuzzing))]
pub(crate) use recording::fuzz;

/// What computer use remembers between requests.
impl Computer {
    /// Whether there is anything that would end with this program.
    pub(crate) fn is_in_use(&self) -> bool {
        !self.desktop.is_over() || self.recordings.is_any_under_way()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Computer {
    desktop: Arc<Desktop>,
    recordings: Arc<Recordings>,
    /// Mouse and keyboard belong to one request at a time, or their presses would mix.
    input: Arc<tokio::sync::Mutex<()>>,
    spare_keys: Arc<SpareKeys>,
}
