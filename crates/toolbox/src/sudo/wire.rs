//! What client and broker say to each other.
//!
//! The client sends one [`Request`] with its three standard descriptors, then one byte per signal
//! to pass on. The broker answers with one [`Answer`] when the command has ended, or cannot begin.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::UnixStream;

/// Environments and arguments are limited by the kernel to a few megabytes.
pub(super) const REQUEST_BYTES_MAX: usize = 8 << 20;
/// Standard input, output and error.
const DESCRIPTORS: usize = 3;

/// What to run, and as whom.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) user: Option<String>,
    /// Empty with a shell: an interactive one.
    pub(super) command: Vec<String>,
    pub(super) shell: WireShell,
    pub(super) keep_environment: bool,
    pub(super) keep: Vec<String>,
    pub(super) set: Vec<(String, String)>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: String,
    /// Standard input is a terminal made for this command.
    pub(super) terminal: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum WireShell {
    None,
    Plain,
    Login,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Exited(i32),
    Refused(String),
}

/// Sends the length with the descriptors attached; the request itself follows as plain bytes.
pub(super) fn send_head(
    to: impl AsFd,
    length: usize,
    descriptors: [BorrowedFd<'_>; DESCRIPTORS],
) -> io::Result<()> {
    let length = u32::try_from(length)
        .map_err(io::Error::other)?
        .to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for the descriptors"));
    }
    let sent = sendmsg(
        to,
        &[IoSlice::new(&length)],
        &mut control,
        SendFlags::empty(),
    )?;
    if sent == length.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// Receives a whole request.
pub(super) async fn receive(
    from: &mut UnixStream,
) -> io::Result<(Request, [OwnedFd; DESCRIPTORS])> {
    let (length, descriptors) = loop {
        from.readable().await?;
        match from.try_io(Interest::READABLE, || receive_head(&*from)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => break done?,
        }
    };
    if length > REQUEST_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; length];
    from.read_exact(&mut text).await?;
    Ok((serde_json::from_slice(&text)?, descriptors))
}

fn receive_head(from: &UnixStream) -> io::Result<(usize, [OwnedFd; DESCRIPTORS])> {
    let mut length = [0_u8; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(&mut length)];
    let received = recvmsg(from, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let descriptors =
        <[OwnedFd; DESCRIPTORS]>::try_from(descriptors).map_err(|_| io::ErrorKind::InvalidData)?;
    if received.bytes != length.len() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let length = u32::from_le_bytes(length);
    Ok((
        usize::try_from(length).map_err(io::Error::other)?,
        descriptors,
    ))
}
