//! A typed client for the public API and the toolbox API of one server.
//!
//! Covers what the `sebring` command itself needs so far: the life of a sandbox, running commands,
//! and moving files. Plain HTTP only; a server behind TLS needs a proxy in front of this client.
//!
//! Must not: retry on its own (a caller knows what is safe), or print.
//! Next: `transport` for how a request travels, `sandbox` for the calls.
#![forbid(unsafe_code)]

mod sandbox;
mod transport;

pub use sandbox::{Executed, NewSandbox, Sandbox};
pub use transport::{Client, Error, Reply};
