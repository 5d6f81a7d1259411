//! For tests only: failing at chosen points, finding what a test left behind, a root filesystem
//! to start sandboxes from, a stand-in for the toolbox, and inputs for parsers.
//!
//! Must not: be a dependency of anything shipped.
#![forbid(unsafe_code)]

pub mod corpus;
pub mod fault;
pub mod leaks;
pub mod rootfs;
