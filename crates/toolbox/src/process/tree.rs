//! All processes that one command started, so that they can be ended together.
//!
//! Where the sandbox has a delegated cgroup directory each tree is born in a cgroup of its own:
//! nothing leaves it, whatever forks, sessions or parents it changes. Elsewhere the tree is the
//! descendants plus every session one of them leads; a process that leaves its session *and*
//! loses its parent escapes that.
//!
//! Cgroups are reused: an empty one is kept for the next tree, since making and removing one
//! costs more than everything else that is done here for a command. Not one that was killed: in
//! some kernels (6.18) whatever is born in it later is killed as well.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::process::{Pid, Signal};

use crate::upgrade::{Packer, Unpacker, state};

/// Empty cgroups kept for reuse; more than a few are only needed in bursts.
const SPARE_MAX: usize = 8;
/// Each round ends all that the last one saw; what forks faster is caught by the next.
const KILL_ROUNDS_MAX: usize = 16;
/// `statfs` type of a cgroup v2 directory.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// Makes, reuses and removes the cgroups of process trees.
#[derive(Debug)]
pub(crate) struct Groups {
    directory: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    made: u64,
    spare: Vec<Group>,
    /// Given back while processes of it were still alive.
    inhabited: Vec<Group>,
}

/// One cgroup.
#[derive(Debug)]
pub(crate) struct Group {
    name: String,
    fd: OwnedFd,
    killed: AtomicBool,
}

impl Groups {
    /// `None` when the directory is no cgroup v2 that we may change.
    pub(crate) fn open(directory: &Path) -> Option<Self> {
        let kind = rustix::fs::statfs(directory).ok()?.f_type;
        let writable = rustix::fs::accessat(
            CWD,
            directory,
            rustix::fs::Access::WRITE_OK,
            AtFlags::EACCESS,
        );
        (kind == CGROUP2_MAGIC && writable.is_ok()).then(|| Self {
            directory: directory.to_owned(),
            state: Mutex::default(),
        })
    }

    pub(super) fn save(&self, packer: &mut Packer) -> state::Groups {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state::Groups {
            made: state.made,
            spare: state.spare.iter().map(|group| group.save(packer)).collect(),
            inhabited: state
                .inhabited
                .iter()
                .map(|group| group.save(packer))
                .collect(),
        }
    }

    pub(super) fn take_up(&self, saved: &state::Groups, unpacker: &mut Unpacker) {
        let mut take = |groups: &[state::Group]| {
            let groups = groups.iter();
            let taken = groups.filter_map(|group| Group::take_up(group, unpacker).ok());
            taken.collect::<Vec<_>>()
        };
        let (spare, inhabited) = (take(&saved.spare), take(&saved.inhabited));
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State {
            made: saved.made,
            spare,
            inhabited,
        };
    }

    /// Ends what is in cgroups of ours that nobody has handed over: it was of a request that was
    /// cut, and ends with it.
    pub(super) fn end_strangers(&self, known: &HashSet<String>) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            if !name.starts_with("p-") || known.contains(&name) {
                continue;
            }
            let Ok(fd) = open_directory(&self.directory.join(&name)) else {
                continue;
            };
            let group = Group {
                name,
                fd,
                killed: AtomicBool::new(true),
            };
            // An old kernel cannot; then it lives on as any process that was left behind.
            let _unkillable = group.kill();
            self.put_back(group);
        }
    }

    /// An empty cgroup.
    pub(crate) fn take(&self) -> io::Result<Group> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = state.spare.pop() {
            return Ok(group);
        }
        state.made += 1;
        let name = format!("p-{}", state.made);
        drop(state);
        let path = self.directory.join(&name);
        fs::create_dir(&path)?;
        Ok(Group {
            name,
            fd: open_directory(&path)?,
            killed: AtomicBool::new(false),
        })
    }

    /// The cgroup that a process of one of our trees lives in.
    pub(crate) fn of(&self, pid: i32) -> Option<OwnedFd> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
        let (_, name) = path.rsplit_once('/')?;
        name.starts_with("p-")
            .then(|| open_directory(&self.directory.join(name)).ok())
            .flatten()
    }

    /// Takes a cgroup back, whether or not processes still live in it.
    pub(crate) fn put_back(&self, group: Group) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.shelve(&mut state, group);
    }

    /// Looks again at those that were inhabited. Call when an orphan was collected.
    pub(crate) fn sweep(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for group in std::mem::take(&mut state.inhabited) {
            self.shelve(&mut state, group);
        }
    }

    fn shelve(&self, state: &mut State, group: Group) {
        if group.is_inhabited() {
            state.inhabited.push(group);
        } else if state.spare.len() < SPARE_MAX && !group.killed.load(Ordering::Relaxed) {
            state.spare.push(group);
        } else if fs::remove_dir(self.directory.join(&group.name)).is_err() {
            // A process entered it meanwhile, or is still on its way out.
            state.inhabited.push(group);
        }
    }
}

impl Group {
    pub(super) fn save(&self, packer: &mut Packer) -> state::Group {
        state::Group {
            name: self.name.clone(),
            directory: packer.fd(&self.fd),
            killed: self.killed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn take_up(saved: &state::Group, unpacker: &mut Unpacker) -> io::Result<Self> {
        Ok(Self {
            name: saved.name.clone(),
            fd: unpacker.fd(saved.directory)?,
            killed: AtomicBool::new(saved.killed),
        })
    }

    pub(crate) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Signals every process in it.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.fd, c"cgroup.procs", flags, Mode::empty())?;
        let members = io::read_to_string(fs::File::from(file))?;
        for pid in members.lines().filter_map(|line| line.parse().ok()) {
            // It may be gone already. Zero stands for somebody outside our namespace.
            let _gone = Pid::from_raw(pid).map(|pid| rustix::process::kill_process(pid, signal));
        }
        Ok(())
    }

    pub(crate) fn is_inhabited(&self) -> bool {
        let mut text = [0; 64];
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.fd, c"cgroup.events", flags, Mode::empty())
            .and_then(|file| rustix::io::read(file, &mut text))
            .map_or(true, |length| !text[..length].starts_with(b"populated 0"))
    }

    pub(crate) fn kill(&self) -> io::Result<()> {
        self.killed.store(true, Ordering::Relaxed);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.fd, c"cgroup.kill", flags, Mode::empty())?;
        rustix::io::write(file, b"1")?;
        Ok(())
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Ends `root`, all its descendants, and the sessions they lead. Without a cgroup.
pub(crate) fn kill_descendants(root: Pid) {
    for _ in 0..KILL_ROUNDS_MAX {
        let members = members_of(root, &processes());
        if members.is_empty() {
            return;
        }
        // Stopped first, all of them, so that no parent reacts to the end of its child.
        for signal in [Signal::STOP, Signal::KILL] {
            for member in &members {
                // It may be gone already.
                let _gone = rustix::process::kill_process(*member, signal);
            }
        }
    }
}

/// Signals all descendants of this process, not itself.
pub(crate) fn signal_descendants(signal: Signal) {
    let own = rustix::process::getpid();
    for member in members_of(own, &processes()) {
        if member != own {
            let _gone = rustix::process::kill_process(member, signal);
        }
    }
}

/// Signals `root`, its descendants, and the sessions they lead. Without a cgroup.
pub(crate) fn signal_tree(root: Pid, signal: Signal) {
    for member in members_of(root, &processes()) {
        let _gone = rustix::process::kill_process(member, signal);
    }
}

/// Whether nothing of the tree is alive. Without a cgroup.
pub(crate) fn is_gone(root: Pid) -> bool {
    members_of(root, &processes()).is_empty()
}

/// Parent and session of a live process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kin {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) session: i32,
}

fn members_of(root: Pid, all: &[Kin]) -> Vec<Pid> {
    let root = root.as_raw_nonzero().get();
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut children: HashMap<i32, Vec<Kin>> = HashMap::new();
    let mut sessions: HashMap<i32, Vec<Kin>> = HashMap::new();
    for kin in all {
        children.entry(kin.parent).or_default().push(*kin);
        sessions.entry(kin.session).or_default().push(*kin);
    }
    let mut members: HashSet<i32> = HashSet::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        if !members.insert(pid) {
            continue;
        }
        let led = if pid == own { None } else { sessions.get(&pid) };
        let next = children
            .get(&pid)
            .into_iter()
            .flatten()
            .chain(led.into_iter().flatten());
        open.extend(next.map(|kin| kin.pid));
    }
    let alive: HashSet<i32> = all.iter().map(|kin| kin.pid).collect();
    members
        .intersection(&alive)
        .filter_map(|pid| Pid::from_raw(*pid))
        .collect()
}

/// Every process that is visible and not yet a zombie.
fn processes() -> Vec<Kin> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| kin(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

pub(super) fn kin(pid: i32, stat: &[u8]) -> Option<Kin> {
    // The name before the last parenthesis may contain anything.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    (state != "Z" && state != "X").then_some(Kin {
        pid,
        parent,
        session,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_does_not_confuse_the_reader() {
        let stat = b"7 (a) R 1 (b) S 5 6 4 0 -1 4194304";
        let kin = kin(7, stat).unwrap();
        assert_eq!((kin.parent, kin.session), (5, 4));
        assert!(super::kin(7, b"7 (dead) Z 5 6 4 0").is_none());
    }

    #[test]
    fn members_are_descendants_and_the_sessions_they_lead() {
        let kin = |pid, parent, session| Kin {
            pid,
            parent,
            session,
        };
        let all = [
            kin(10, 1, 10),
            kin(11, 10, 10),
            kin(12, 11, 12),
            // Orphans of session 12 and of session 10.
            kin(13, 1, 12),
            kin(14, 1, 10),
            kin(20, 1, 20),
        ];
        let mut members: Vec<i32> = members_of(Pid::from_raw(10).unwrap(), &all)
            .into_iter()
            .map(|pid| pid.as_raw_nonzero().get())
            .collect();
        members.sort_unstable();
        assert_eq!(members, [10, 11, 12, 13, 14]);
    }
}
