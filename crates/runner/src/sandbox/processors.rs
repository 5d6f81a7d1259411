//! Which of the host's processors the processes of a sandbox see and use.
//!
//! The share of processor time is the control group's matter; this is what `nproc` and thread
//! pools go by. A process may choose among all processors by itself, so nothing relies on it.
//!
//! Must not: touch a process outside the sandbox, even if a number was given anew meanwhile.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::cgroups::Group;

/// Threads started while we look are found the next time. A sandbox that still has unchanged ones
/// after this many rounds changes them itself.
const ROUNDS_MAX: usize = 8;

/// Moves every thread of `group` from the processors `old` to `new`.
///
/// A thread that has chosen other processors keeps its choice if all of it is in the new share.
/// `false` when not everything could be moved.
pub(super) fn change(group: &Group, old: &[u32], new: &[u32]) -> io::Result<bool> {
    let (old, new) = (set_of(old), set_of(new));
    if old == new {
        return Ok(true);
    }
    for _ in 0..ROUNDS_MAX {
        let mut moved = 0;
        for thread in group.threads()? {
            let Some(now) = Pid::from_raw(thread)
                .and_then(|thread| sched_getaffinity(Some(thread)).ok())
                .filter(|now| *now != new && (*now == old || !is_within(now, &new)))
            else {
                continue;
            };
            moved += usize::from(move_thread(group, thread, &new, &now)?);
        }
        if moved == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Says whether it was moved; one that has ended was not.
fn move_thread(group: &Group, thread: i32, new: &CpuSet, before: &CpuSet) -> io::Result<bool> {
    if !is_member(group, thread) {
        return Ok(false);
    }
    match sched_setaffinity(Pid::from_raw(thread), new) {
        // Processors that the host has taken away meanwhile are left out by the kernel.
        Ok(()) => Ok(sched_getaffinity(Pid::from_raw(thread)).is_ok_and(|now| now != *before)),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the number still belongs to a thread of the sandbox.
fn is_member(group: &Group, thread: i32) -> bool {
    let Some(name) = group.name() else {
        return false;
    };
    let path = Path::new("/proc").join(thread.to_string()).join("cgroup");
    fs::read_to_string(path).is_ok_and(|text| {
        text.lines()
            .filter_map(|line| line.strip_prefix("0::"))
            .any(|path| path.split('/').any(|part| part == name))
    })
}

fn set_of(processors: &[u32]) -> CpuSet {
    let mut set = CpuSet::new();
    for &processor in processors {
        if let Ok(number) = usize::try_from(processor)
            && number < CpuSet::MAX_CPU
        {
            set.set(number);
        }
    }
    set
}

fn is_within(inner: &CpuSet, outer: &CpuSet) -> bool {
    (0..CpuSet::MAX_CPU).all(|number| !inner.is_set(number) || outer.is_set(number))
}
