//! Packing what must go over, and taking it out again.
//!
//! The packer borrows: until exec everything is still whose it was, so that giving up at any point
//! costs nothing. The unpacker owns: what it is not asked for is closed by the next exec at the
//! latest, as every descriptor is.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use time::OffsetDateTime;

use super::state;
use crate::process::Tree;
use crate::process::record::Process;

/// Logs in memory are bounded by less; what is larger is no state of ours.
const BYTES_MAX: usize = 64 << 20;

/// Why the toolbox cannot be replaced just now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Busy(pub(crate) &'static str);

#[derive(Debug, Default)]
pub(crate) struct Packer {
    fds: Vec<i32>,
    bytes: Vec<u8>,
    trees: Vec<state::Tree>,
    trees_known: HashMap<*const Tree, usize>,
    processes: Vec<Arc<Process>>,
    processes_known: HashMap<*const Process, usize>,
}

impl Packer {
    /// The number by which the next program finds this descriptor.
    pub(crate) fn fd(&mut self, fd: impl AsFd) -> i32 {
        let number = fd.as_fd().as_raw_fd();
        self.fds.push(number);
        number
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> state::Span {
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        state::Span {
            at,
            length: bytes.len() as u64,
        }
    }

    pub(crate) fn messages<'a>(
        &mut self,
        messages: impl Iterator<Item = &'a Bytes>,
    ) -> Vec<state::Span> {
        messages.map(|message| self.bytes(message)).collect()
    }

    pub(crate) fn tree(&mut self, tree: &Arc<Tree>) -> usize {
        if let Some(known) = self.trees_known.get(&Arc::as_ptr(tree)) {
            return *known;
        }
        let saved = tree.save(self);
        self.trees.push(saved);
        let number = self.trees.len() - 1;
        self.trees_known.insert(Arc::as_ptr(tree), number);
        number
    }

    pub(crate) fn process(&mut self, process: &Arc<Process>) -> usize {
        let next = self.processes.len();
        let number = *self
            .processes_known
            .entry(Arc::as_ptr(process))
            .or_insert(next);
        if number == next {
            self.processes.push(Arc::clone(process));
        }
        number
    }

    pub(crate) fn known_processes(&self) -> Vec<Arc<Process>> {
        self.processes.clone()
    }

    pub(super) fn into_parts(self) -> Result<(Packed, Vec<state::Tree>), Busy> {
        if self.bytes.len() > BYTES_MAX {
            return Err(Busy("there is too much to hand over"));
        }
        let packed = Packed {
            fds: self.fds,
            bytes: self.bytes,
        };
        Ok((packed, self.trees))
    }
}

/// What goes over beside the text.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) fds: Vec<i32>,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Unpacker {
    bytes: File,
    taken: HashSet<i32>,
    trees: Vec<Arc<Tree>>,
    processes: Vec<Arc<Process>>,
}

impl Unpacker {
    pub(super) fn new(bytes: i32) -> io::Result<Self> {
        Ok(Self {
            bytes: File::from(sebring_sys::fds::inherited(bytes)?),
            taken: HashSet::from([bytes]),
            trees: Vec::new(),
            processes: Vec::new(),
        })
    }

    /// The descriptor, once.
    pub(crate) fn fd(&mut self, number: i32) -> io::Result<OwnedFd> {
        if !self.taken.insert(number) {
            return Err(io::Error::other("a descriptor that has an owner already"));
        }
        sebring_sys::fds::inherited(number)
    }

    pub(crate) fn bytes(&self, span: state::Span) -> io::Result<Vec<u8>> {
        let length = usize::try_from(span.length).map_err(io::Error::other)?;
        if length > BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; length];
        self.bytes.read_exact_at(&mut bytes, span.at)?;
        Ok(bytes)
    }

    pub(crate) fn messages(&self, spans: &[state::Span]) -> io::Result<Vec<Bytes>> {
        let messages = spans.iter().map(|span| Ok(self.bytes(*span)?.into()));
        messages.collect()
    }

    pub(crate) fn set_trees(&mut self, trees: Vec<Arc<Tree>>) {
        self.trees = trees;
    }

    pub(crate) fn set_processes(&mut self, processes: Vec<Arc<Process>>) {
        self.processes = processes;
    }

    pub(crate) fn tree(&self, number: usize) -> io::Result<Arc<Tree>> {
        let tree = self.trees.get(number).map(Arc::clone);
        tree.ok_or_else(|| io::Error::other("a tree that was not handed over"))
    }

    pub(crate) fn process(&self, number: usize) -> io::Result<Arc<Process>> {
        let process = self.processes.get(number).map(Arc::clone);
        process.ok_or_else(|| io::Error::other("a process that was not handed over"))
    }
}

/// As far as the clock is fine; it is good for three centuries.
pub(crate) fn nanoseconds(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos()).unwrap_or(i64::MAX)
}

pub(crate) fn instant(nanoseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds.into())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
