//! Collects every process that ends: our own children, whose exit somebody awaits, and the
//! orphans that the kernel hands to the first process of the sandbox.
//!
//! One place waits for all children, so nobody else in this process may.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    /// As a shell would report it: 128 plus the signal's number.
    pub(crate) const fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    fn from_status(status: WaitStatus) -> Option<Self> {
        let code = status.exit_status().map(Self::Code);
        code.or_else(|| status.terminating_signal().map(Self::Signal))
    }
}

/// What is known after collecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Children {
    Some,
    None,
}

#[derive(Debug)]
pub(crate) struct Reaper {
    awaited: Mutex<HashMap<Pid, oneshot::Sender<Exit>>>,
    children: watch::Sender<Children>,
    /// Counts orphans collected; each may have been the last of its process tree.
    orphans: watch::Sender<u64>,
    /// Counts everything collected.
    collected: watch::Sender<u64>,
}

impl Reaper {
    pub(crate) fn new() -> Self {
        Self {
            awaited: Mutex::default(),
            children: watch::Sender::new(Children::None),
            orphans: watch::Sender::new(0),
            collected: watch::Sender::new(0),
        }
    }

    /// The exit of a child that was just started.
    ///
    /// Call on the thread that collects, before it collects again, or the exit may be missed.
    pub(crate) fn watch(&self, pid: Pid) -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        self.awaited
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(pid, sender);
        self.children.send_replace(Children::Some);
        receiver
    }

    /// Whether the exit of this child is still to come.
    pub(crate) fn awaits(&self, pid: Pid) -> bool {
        let awaited = self.awaited.lock();
        awaited
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&pid)
    }

    /// Collects until dropped.
    pub(crate) async fn run(&self) -> io::Result<()> {
        let mut signals = signal(SignalKind::child())?;
        loop {
            self.collect();
            if signals.recv().await.is_none() {
                return Ok(());
            }
        }
    }

    /// Resolves when there is no child left, not even an orphan. Something must be collecting.
    pub(crate) async fn all_gone(&self) {
        self.collect();
        let mut children = self.children.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _seen = children
            .wait_for(|children| *children == Children::None)
            .await;
    }

    /// Resolves each time orphans were collected.
    pub(crate) fn orphans(&self) -> watch::Receiver<u64> {
        self.orphans.subscribe()
    }

    /// Resolves each time anything was collected.
    pub(crate) fn collected(&self) -> watch::Receiver<u64> {
        self.collected.subscribe()
    }

    fn collect(&self) {
        let mut orphans = 0;
        let mut collected = 0;
        let left = loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let Some(exit) = Exit::from_status(status) else {
                        continue;
                    };
                    collected += 1;
                    if !self.deliver(pid, exit) {
                        orphans += 1;
                    }
                }
                Ok(None) => break Children::Some,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break Children::None,
            }
        };
        self.children
            .send_if_modified(|now| std::mem::replace(now, left) != left);
        if collected > 0 {
            self.collected.send_modify(|count| *count += collected);
        }
        if orphans > 0 {
            self.orphans.send_modify(|count| *count += orphans);
        }
    }

    fn deliver(&self, pid: Pid, exit: Exit) -> bool {
        let awaited = self
            .awaited
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&pid);
        match awaited {
            Some(sender) => {
                // Nobody waits any more: the request is gone, and so is interest in the exit.
                let _unheard = sender.send(exit);
                true
            }
            None => false,
        }
    }
}
