//! The host's runner, as seen from here: commands down, observations up.
//!
//! Must not: decide; it carries `api::runner` messages and turns them into words of the domain.
//! Next: `client` for the calls, `observer` for the stream, `convert` for the words.

mod client;
mod convert;
mod observer;

pub(crate) use client::{Client, Error};
pub(crate) use convert::{command, report};
pub(crate) use observer::{chain, observe};
