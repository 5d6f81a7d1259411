//! Language servers against the real executable and a server that does what a test wants.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod lives;
mod misbehaviour;
mod project;
