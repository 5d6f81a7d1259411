//! The host's runner, as seen from here: commands down, observations up.
//!
//! Must not: decide; it carries `api::runner` messages and turns them into words of the domain.
//! Next: `client` for the calls, `observer` for the stream, `spares` for what it has ready, `convert`
//! for the words.

mod client;
mod convert;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod lines;
mod observer;
mod spares;

pub(crate) use client::{Client, Error};
pub(crate) use convert::{command, report, shape};
pub(crate) use observer::observe;
pub(crate) use spares::{Spares, follow as follow_spares};
