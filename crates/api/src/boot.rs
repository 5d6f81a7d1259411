//! What the runner tells the toolbox: at the birth of a sandbox, when a spare becomes somebody's,
//! and when its limits change.
//!
//! The toolbox is PID 1. It finds an already listening unix stream socket at [`LISTENER_FD`] and
//! this configuration as JSON in a sealed memory file at [`CONFIG_FD`]. Everything else about its
//! world (mounts, limits, user namespace, seccomp) is in place before it is executed.
//!
//! Must not: carry anything the sandbox's owner may not read; sandbox root can see it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Descriptor of the listening unix socket on which the toolbox API is served.
pub const LISTENER_FD: i32 = 3;
/// Descriptor of the memory file that holds [`BootConfig`] as JSON.
pub const CONFIG_FD: i32 = 4;
/// Descriptor of a read-only file of [`DISK_USE_DIGITS`] decimal digits and a line end: the bytes
/// that the sandbox's disk uses. The runner rewrites it in place.
pub const DISK_USE_FD: i32 = 5;
/// Enough for any number of 64 bits, with zeros in front.
pub const DISK_USE_DIGITS: usize = 20;
/// Where the toolbox executable itself is visible inside every sandbox (read-only).
pub const TOOLBOX_PATH: &str = "/.sebring/toolbox";
/// Directory of small files that stand in for /proc files which must show the sandbox's share.
/// Root of the sandbox owns them; the toolbox rewrites them in place.
pub const PROC_DIR: &str = "/.sebring/proc";
/// In [`PROC_DIR`], shown at `/proc/meminfo`.
pub const MEMINFO: &str = "meminfo";
/// In [`PROC_DIR`], shown at `/proc/cpuinfo`.
pub const CPUINFO: &str = "cpuinfo";
/// In [`PROC_DIR`], shown at `/sys/devices/system/cpu/online`.
pub const CPUS_ONLINE: &str = "cpus";
/// The control group that holds the sandbox's memory limit, read-only; of version 1 or 2. Absent
/// where the host counts no memory.
pub const MEMORY_DIR: &str = "/.sebring/memory";
/// Every route under this path is ours alone: the edge refuses it to clients.
pub const INTERNAL_SEGMENT: &str = "_sebring";
/// WebSocket of the terminal in a browser, `?cols=&rows=`; text both ways.
pub const TERMINAL_ROUTE: &str = "/_sebring/terminal";
/// The page of recordings: `GET` lists them, `DELETE` takes some away; below it, by its file's
/// name, one to play.
pub const RECORDINGS_ROUTE: &str = "/_sebring/recordings";
/// `PUT` with [`LimitsChange`]; answered with 204.
pub const LIMITS_ROUTE: &str = "/_sebring/limits";
/// `PUT` with [`Claim`]; answered with 204, and with 409 by a toolbox that is no spare.
pub const CLAIM_ROUTE: &str = "/_sebring/claim";
/// `POST` with `Upgrade:` [`UPGRADE_PROTOCOL`]: the toolbox becomes the program that is at
/// [`TOOLBOX_PATH`] by now, without ending what it runs. After the 101 it says one [`Upgraded`] as
/// JSON and a line end; when it was done, the new program says so. Whoever hangs up before that
/// wants it no more.
pub const UPGRADE_ROUTE: &str = "/_sebring/upgrade";
/// See [`UPGRADE_ROUTE`].
pub const UPGRADE_PROTOCOL: &str = "sebring-upgrade";
/// How long the answer of [`UPGRADE_ROUTE`] may take.
pub const UPGRADE_TIME_MAX: Duration = Duration::from_secs(30);
/// Delegated cgroup v2 directory: the toolbox makes one child per process tree in it.
pub const CGROUP_DIR: &str = "/sys/fs/cgroup";
/// Value of the `Upgrade` header for a raw TCP stream to a port inside the sandbox: the edge asks
/// `POST /_sebring/tcp/{port}` and speaks to that port after the 101.
pub const TCP_UPGRADE: &str = "sebring-tcp";

/// First words of the runner to the toolbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootConfig {
    /// UUID text; also the hostname.
    pub sandbox_id: String,
    /// Name of the user that processes run as; `None` means the image's default: `daytona` when
    /// the image has that user, else root.
    pub user: Option<String>,
    /// Environment of every process. Already merged: image first, then the sandbox's own.
    pub env: BTreeMap<String, String>,
    /// Working directory; `None` means the user's home.
    pub work_dir: Option<String>,
    /// Argument vector of the entrypoint process. Never empty.
    pub entrypoint: Vec<String>,
    pub limits: BootLimits,
    /// Nobody's yet: `env` lacks what its owner will add, and the entrypoint waits for [`Claim`].
    #[serde(default)]
    pub spare: bool,
}

/// A spare has become somebody's sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// In place of [`BootConfig::env`], for every process from now on.
    pub env: BTreeMap<String, String>,
}

/// What became of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Upgraded {
    Done,
    /// Something must not be cut just now; nothing has changed.
    Busy {
        reason: String,
    },
    /// The new program cannot go on from here; nothing has changed.
    Refused {
        reason: String,
    },
}

/// The share of the host that this sandbox has, for metrics and stand-in /proc files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootLimits {
    pub cpus: u32,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub pids: u32,
}

/// The share of a running sandbox has changed. The kernel holds it to the new one already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsChange {
    pub limits: BootLimits,
    /// New content of [`CPUINFO`].
    pub cpuinfo: String,
    /// New content of [`CPUS_ONLINE`].
    pub cpus_online: String,
}
