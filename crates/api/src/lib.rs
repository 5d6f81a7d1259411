//! The shapes that cross process borders: the public API, the toolbox API, and the protocol
//! between server and runner.
//!
//! Must not: decide anything, touch the system, or leak its types into `sebring-core`.
//! Next: `runner` for what a host is told, `boot` for what a sandbox's first process is told.
#![forbid(unsafe_code)]

pub mod boot;
pub mod error;
pub mod public;
pub mod runner;
