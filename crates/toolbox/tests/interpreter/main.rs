//! The code interpreter against the real executable and this machine's Python.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod cells;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod contexts;
mod endings;
