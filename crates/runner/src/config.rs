//! What the runner is told when it starts.
//!
//! Must not: read the environment or files; the command line does.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Everything that differs between two runners.
#[derive(Clone, Debug)]
pub struct RunnerConfig {
    /// Disks, records, the pool. Needs a filesystem with room, not tmpfs.
    pub data_dir: PathBuf,
    /// Sockets and what only lives until the host reboots. On tmpfs; its path must be short, see
    /// [`RUN_DIR_LENGTH_MAX`].
    pub run_dir: PathBuf,
    /// Four hex digits that every kernel object's name carries; see [`instance_name`].
    pub instance: String,
    /// Group that may connect to the runner's and the sandboxes' sockets; `None` is root only.
    pub server_group: Option<u32>,
    /// The static executable that becomes PID 1 of every sandbox.
    pub toolbox: Vec<u8>,
    /// `10.x.0.0/16`, or `None` to take what an earlier start chose, or a free one.
    pub subnet: Option<String>,
    /// What the pool of disks may grow to; `None` takes most of what is free.
    pub pool_bytes: Option<u64>,
    /// Network namespaces kept ready.
    pub seats_ready: usize,
    /// Sandboxes kept ready for whoever asks next; 0 for none, at most [`crate::SPARES_MAX`].
    pub warm_pool: usize,
    pub spawner: SpawnerProgram,
}

/// How to start the spawner: our own binary with the arguments that end in
/// [`crate::spawner_main`], whose socket is then its standard input.
#[derive(Clone, Debug)]
pub struct SpawnerProgram {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

/// A socket's path is limited to 107 bytes, `sandboxes/<uuid>/toolbox.sock` takes 60.
pub const RUN_DIR_LENGTH_MAX: usize = 46;
/// Covers a burst of creations while more are made.
pub const SEATS_READY: usize = 32;

/// The name of the instance that keeps its data in `data_dir`, which must exist.
pub fn instance_name(data_dir: &Path) -> io::Result<String> {
    use sha2::{Digest, Sha256};
    use std::os::unix::ffi::OsStrExt;
    let path = data_dir.canonicalize()?;
    Ok(hex::encode(
        &Sha256::digest(path.as_os_str().as_bytes())[..2],
    ))
}
