//! The toolbox replaces itself by another build of itself without ending anything it runs.
//!
//! ```text
//! door closes ─► tasks rest ─► state written ─► the new program reads it ─► exec ─► state taken up
//!      ▲                            │ not now         │ "cannot"              │ failed
//!      └────────────────────────────┴─────────────────┴───────────────────────┘ as before
//! ```
//!
//! Children, pipes, terminals, sockets and control groups belong to the process, which stays; only
//! its program changes. Bytes that were not read yet wait in the kernel, and so do exits. The new
//! program is never chosen here: it is what the runner has mounted where ours was.
//!
//! Must not: exec before the new program has read the whole state and said that it can go on from
//! it; a first process that ends takes the sandbox with it.
//! Next: `route` for how it is asked for, `state` for what goes over, `save` and `restore` for the
//! two ends, `exec` for the step between.

mod exec;
mod parcel;
mod pause;
mod restore;
pub(crate) mod route;
mod save;
pub(crate) mod state;

pub(crate) use exec::{Error, check_state};
pub(crate) use parcel::{Busy, Packer, Unpacker, instant, nanoseconds};
pub(crate) use pause::{Berth, Pause};
pub(crate) use restore::{Inherited, take_up};
