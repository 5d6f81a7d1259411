//! Safe wrappers over Linux. The only crate with `unsafe`: one call per block, each with the
//! reason why it is sound.
//!
//! Must not: decide anything, log, or know what a sandbox is.
//! Next: `clone` for how a sandbox's first process is born, `mount` for what it sees, `child` for
//! the processes that the toolbox starts.
#![allow(unsafe_code, reason = "this crate exists so that no other needs to")]

pub mod btrfs;
pub mod child;
pub mod clone;
pub mod creds;
pub mod exec;
pub mod fds;
pub mod fs;
pub mod loopdev;
pub mod mount;
pub mod seccomp;
pub mod signal;
pub mod userns;
