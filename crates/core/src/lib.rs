//! The pure domain of Sebring: what things are called, how they are measured, and every decision
//! about them that needs no effect to make.
//!
//! Must not: do I/O, spawn, be async, read a clock, or hold a serializable type other than ids.
//! Next: `lifecycle` for what happens to a sandbox, `sebring-api` for the shapes on the wire.
#![forbid(unsafe_code)]

pub mod clock;
pub mod id;
pub mod labels;
pub mod lifecycle;
pub mod name;
pub mod network;
pub mod permission;
pub mod resources;
pub mod sandbox;
pub mod secret;
pub mod timers;
