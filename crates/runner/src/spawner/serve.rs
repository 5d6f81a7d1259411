//! The spawner's own life: receive, clone, answer, until the runner is gone.
//!
//! Must not: start a thread, keep a descriptor of a sandbox, or outlive the runner.

use std::fs;
use std::io::{self, PipeWriter, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{MountPropagationFlags, UnmountFlags};
use sebring_sys::clone::{self, Namespaces, Side, SingleThreaded};
use sebring_sys::exec::leave;

use super::wire::{self, Answer, Introduction, Request};
use crate::setup;

/// Serves the runner on `socket` until it closes. Must run before anything starts a thread.
pub(crate) fn serve(socket: &OwnedFd) -> io::Result<()> {
    let proof = SingleThreaded::prove()?;
    sebring_sys::signal::reap_children_automatically()?;
    // Children copy this view of mounts: detached from the host's propagation here once, no
    // child has to announce its mounts to the host's peers.
    clone::unshare_mounts(&proof)?;
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags)?;
    let (introduction, _) = wire::receive::<Introduction>(socket.as_fd())?;
    drop_mounts_except(&introduction.keep)?;
    loop {
        let (request, fds) = match wire::receive::<Request>(socket.as_fd()) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        answer(&proof, socket.as_fd(), &request, fds)?;
    }
}

/// A view of a mount keeps its file system busy for everyone, and every child copies them all.
fn drop_mounts_except(keep: &[PathBuf]) -> io::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let targets: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .collect();
    for target in targets.into_iter().rev() {
        let needed =
            |path: &PathBuf| path.starts_with(target) || Path::new(target).starts_with(path);
        if !keep.iter().any(needed) {
            // Gone already with its parent, or not to be had: then it stays in view.
            rustix::mount::unmount(target, UnmountFlags::DETACH).ok();
        }
    }
    Ok(())
}

fn answer(
    proof: &SingleThreaded,
    socket: BorrowedFd<'_>,
    request: &Request,
    fds: Vec<OwnedFd>,
) -> io::Result<()> {
    let Ok([user, network, cgroup, listener, config, log, status]) = <[OwnedFd; 7]>::try_from(fds)
    else {
        return wire::send(socket, &Answer::Refused { errno: EBADF }, &[]);
    };
    match clone::fork_into(proof, Namespaces::SANDBOX, Some(cgroup.as_fd())) {
        Ok(Side::Parent { pid, pidfd }) => {
            wire::send(socket, &Answer::Cloned { pid }, &[pidfd.as_fd()])
        }
        Ok(Side::Child) => {
            let birth = setup::Birth {
                request,
                user,
                network,
                listener,
                config,
                log,
            };
            let failure = setup::become_toolbox(proof, &birth);
            report(status, &failure);
            leave(1)
        }
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(EBADF);
            wire::send(socket, &Answer::Refused { errno }, &[])
        }
    }
}

/// Closing the pipe without a word means success, so a failure always says something.
fn report(status: OwnedFd, failure: &setup::Failure) {
    let errno = failure.source.raw_os_error().unwrap_or(0);
    let mut pipe = PipeWriter::from(status);
    drop(write!(pipe, "{errno} {}", failure.step));
}

const EBADF: i32 = 9;
