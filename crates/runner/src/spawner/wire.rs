//! What runner and spawner say to each other: JSON with descriptors attached, one per packet.
//!
//! Must not: be used with anyone but our own other half.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// More than any request needs: paths and four small files.
const PACKET_BYTES_MAX: usize = 128 << 10;
const DESCRIPTORS_MAX: usize = 8;

/// The first packet: what the spawner shall not lose sight of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Introduction {
    /// Host paths whose mounts children need; all others are dropped from the spawner's view.
    pub(crate) keep: Vec<PathBuf>,
}

/// Everything about a new sandbox that its child needs besides descriptors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) hostname: String,
    /// First host id of the sandbox's range; its root.
    pub(crate) base_id: u32,
    /// Files of v1 groups to write `0` to.
    pub(crate) join_files: Vec<PathBuf>,
    /// The group that holds the memory limit, for the toolbox to look at.
    pub(crate) memory_group: Option<PathBuf>,
    /// Layer directories, bottom first.
    pub(crate) layers: Vec<PathBuf>,
    /// The sandbox's disk: holds `upper` and `work`.
    pub(crate) disk: PathBuf,
    /// See `crate::disk::showing`.
    pub(crate) disk_use: PathBuf,
    /// An empty directory of the host to mount things on; each child sees only its own.
    pub(crate) scratch: PathBuf,
    pub(crate) toolbox: PathBuf,
    pub(crate) memory_bytes: u64,
    /// Processors of the host it may run on.
    pub(crate) processors: Vec<u32>,
    pub(crate) files: StandIns,
    /// Step at which a test wants this to fail.
    pub(crate) fault: Option<String>,
}

/// Content of small files that stand in for the image's or the host's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StandIns {
    pub(crate) hosts: String,
    pub(crate) resolv_conf: String,
    pub(crate) meminfo: String,
    pub(crate) cpuinfo: String,
    pub(crate) cpus_online: String,
    pub(crate) boot_id: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The pidfd is attached.
    Cloned {
        pid: i32,
    },
    Refused {
        errno: i32,
    },
}

pub(crate) fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors for one packet"));
    }
    let sent = rustix::net::sendmsg(
        socket,
        &[IoSlice::new(&bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(io::Error::other("packet cut short"))
    }
}

/// Waits for the next packet. `UnexpectedEof` when the other side is gone.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut bytes = vec![0; PACKET_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    let message = serde_json::from_slice(&bytes[..received.bytes])?;
    Ok((message, fds))
}
