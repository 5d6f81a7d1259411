//! What of the processes goes over to the next program, and how it goes on with them.
//!
//! Exits that were not collected wait in the kernel; a process whose exit was collected is about
//! to be recorded, and nothing goes over before it is.
//!
//! Must not: end or start anything. Next: `session::handover`, `terminal::handover`.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Pid;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::time::Instant;

use super::feed::{self, Capture, Feed, Reader};
use super::input::Input;
use super::log::Log;
use super::record::{End, Process, Watch};
use super::tree::Group;
use super::{Child, Processes, Tree, durable, run};
use crate::toolbox::Toolbox;
use crate::upgrade::{Busy, Packer, Unpacker, instant, nanoseconds, state};

/// The readers of each process, by its number in the state.
pub(super) type Readers = HashMap<usize, Vec<Reader>>;

/// What is saved of processes; the rest of the state is others'.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) groups: state::Groups,
    pub(crate) processes: Vec<state::Process>,
    pub(crate) table: Vec<usize>,
    pub(crate) entrypoint: Option<usize>,
    pub(crate) captures: Vec<state::Capture>,
    pub(crate) discards: Vec<i32>,
    pub(crate) feeds: Vec<state::Feed>,
    pub(crate) sessions: Vec<state::Session>,
    pub(crate) devices: Vec<state::Device>,
    pub(crate) terminals: Vec<state::Terminal>,
}

impl Processes {
    /// Everything but what others have started through it.
    pub(crate) fn save(&self, packer: &mut Packer) -> Result<Saved, Busy> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(Busy("the sandbox is stopping"));
        }
        let table = self.table.list();
        let table = table
            .iter()
            .map(|process| packer.process(process))
            .collect();
        let entrypoint = self.entrypoint.get();
        let entrypoint = entrypoint.map(|process| packer.process(process));
        let sessions = self.sessions.save(packer)?;
        let (devices, terminals) = self.terminals.save(self, packer)?;
        let captures = self.captures.all();
        let captures = captures.iter().map(|capture| save_capture(capture, packer));
        let captures = captures.collect();
        let feeds = self.feeds.all();
        let fed: HashSet<*const Process> = feeds
            .iter()
            .map(|feed| Arc::as_ptr(&feed.process))
            .collect();
        let feeds = feeds.iter().map(|feed| save_feed(feed, packer)).collect();
        let discards = self.discards.all();
        let discards = discards.iter().map(|pipe| packer.fd(&**pipe)).collect();
        // Last: all that is referred to is known by now.
        let mut processes = Vec::new();
        for process in packer.known_processes() {
            let is_fed = fed.contains(&Arc::as_ptr(&process));
            processes.push(process.save(is_fed, packer)?);
        }
        let groups = self.groups.as_ref().map(|groups| groups.save(packer));
        Ok(Saved {
            groups: groups.unwrap_or_default(),
            processes,
            table,
            entrypoint,
            captures,
            discards,
            feeds,
            sessions,
            devices,
            terminals,
        })
    }

    /// Supplementary groups of the user, if processes can be given any.
    pub(crate) fn user_groups(&self) -> Option<Vec<u32>> {
        self.user.as_ref().map(|user| user.groups.clone())
    }

    /// Whether the exit of this child was not collected yet.
    pub(crate) fn awaits(&self, pid: Pid) -> bool {
        self.reaper.awaits(pid)
    }

    /// As if it had been started here. Call before anything is collected.
    pub(crate) fn adopt(&self, pid: Pid, tree: Arc<Tree>) -> Child {
        Child {
            pid,
            exit: self.reaper.watch(pid),
            tree,
        }
    }

    /// Trees and records, before any task refers to them.
    pub(crate) fn take_up(self: &Arc<Self>, saved: &state::State, unpacker: &mut Unpacker) {
        if let Some(groups) = &self.groups {
            groups.take_up(&saved.groups, unpacker);
        }
        let trees = saved.trees.iter();
        let trees = trees.map(|tree| Arc::new(Tree::take_up(self, tree, unpacker)));
        let trees = trees.collect();
        unpacker.set_trees(trees);
        let processes = saved.processes.iter();
        let processes = processes.map(|process| Arc::new(Process::take_up(process, unpacker)));
        let processes = processes.collect();
        unpacker.set_processes(processes);
        for number in &saved.table {
            if let Ok(process) = unpacker.process(*number) {
                // As many as fitted before fit again.
                let _full = self.table.insert(process);
            }
        }
        let entrypoint = saved.entrypoint.map(|number| unpacker.process(number));
        if let Some(Ok(process)) = entrypoint {
            let _first = self.entrypoint.set(process);
        }
        if let Some(groups) = &self.groups {
            groups.end_strangers(&names(saved));
        }
    }
}

/// Starts the tasks that go on with what was taken up.
pub(crate) fn go_on(toolbox: &Arc<Toolbox>, saved: &state::State, unpacker: &mut Unpacker) {
    let mut readers = Readers::new();
    for capture in &saved.captures {
        // A pipe that cannot be taken up is closed; whoever writes to it is told by the kernel.
        if let Ok(reader) = take_up_capture(toolbox, capture, unpacker) {
            readers.entry(capture.process).or_default().push(reader);
        }
    }
    for pipe in &saved.discards {
        let pipe = unpacker
            .fd(*pipe)
            .and_then(Receiver::from_owned_fd_unchecked);
        if let Ok(pipe) = pipe {
            run::discard(toolbox, pipe);
        }
    }
    for feed in &saved.feeds {
        let _closed = take_up_feed(toolbox, feed, unpacker);
    }
    for (number, process) in saved.processes.iter().enumerate() {
        let own = readers.get_mut(&number).map(std::mem::take);
        match (&process.watch, unpacker.process(number)) {
            (Some(watch), Ok(process)) => resume(toolbox, &process, watch, own.unwrap_or_default()),
            _ => {
                if let Some(own) = own {
                    readers.insert(number, own);
                }
            }
        }
    }
    let processes = &toolbox.processes;
    let sessions = &processes.sessions;
    sessions.take_up(toolbox, &saved.sessions, unpacker, &mut readers);
    processes.terminals.take_up(toolbox, saved, unpacker);
}

fn names(saved: &state::State) -> HashSet<String> {
    let trees = saved.trees.iter().filter_map(|tree| tree.group.as_ref());
    let groups = &saved.groups;
    let all = groups.spare.iter().chain(&groups.inhabited).chain(trees);
    all.map(|group| group.name.clone()).collect()
}

impl Child {
    /// Whether its exit was not collected yet.
    pub(crate) fn is_awaited(&self) -> bool {
        self.tree.processes.reaper.awaits(self.pid)
    }
}

impl Tree {
    pub(crate) fn save(&self, packer: &mut Packer) -> state::Tree {
        state::Tree {
            root: self.root.as_raw_nonzero().get(),
            group: self.group.as_ref().map(|group| group.save(packer)),
            armed: self.armed.load(Ordering::Relaxed),
        }
    }

    fn take_up(processes: &Arc<Processes>, saved: &state::Tree, unpacker: &mut Unpacker) -> Self {
        let group = saved.group.as_ref();
        Self {
            processes: Arc::clone(processes),
            root: Pid::from_raw(saved.root).unwrap_or(Pid::INIT),
            group: group.and_then(|group| Group::take_up(group, unpacker).ok()),
            armed: AtomicBool::new(saved.armed),
        }
    }
}

impl Process {
    /// Whether it runs and its exit was not collected yet.
    pub(super) fn is_awaited(&self) -> bool {
        let pid = self.pid().and_then(Pid::from_raw);
        match (pid, self.tree()) {
            (Some(pid), Some(tree)) => tree.processes.reaper.awaits(pid),
            _ => false,
        }
    }

    fn save(&self, is_fed: bool, packer: &mut Packer) -> Result<state::Process, Busy> {
        let end = self.end();
        let watch = self.watch().filter(|_| end.is_none());
        if watch.is_some() && !self.is_awaited() {
            return Err(Busy("a process is ending"));
        }
        let input = self.input().filter(|input| !is_fed && input.is_open());
        Ok(state::Process {
            id: self.id.clone(),
            kind: self.kind.clone(),
            command: self.command.clone(),
            started: nanoseconds(self.started),
            pid: self.pid(),
            tree: self.tree().map(|tree| packer.tree(&tree)),
            end: end.map(save_end),
            log: self.log.save(packer),
            input: input.map(|input| packer.messages(input.waiting().iter())),
            watch: watch.map(save_watch),
        })
    }

    fn take_up(saved: &state::Process, unpacker: &mut Unpacker) -> Self {
        let process = Self::known(
            saved.kind.clone(),
            saved.id.clone(),
            saved.command.clone(),
            instant(saved.started),
            Log::take_up(&saved.log, unpacker),
            saved.end.as_ref().map(|end| End {
                exit: end.exit,
                out_of_memory: end.out_of_memory,
                timed_out: end.timed_out,
                at: instant(end.at),
            }),
        );
        let tree = saved.tree.and_then(|tree| unpacker.tree(tree).ok());
        process.set_remains(saved.pid, tree);
        let input = saved.input.as_ref();
        if let Some(Ok(messages)) = input.map(|spans| unpacker.messages(spans)) {
            process.set_input(Arc::new(Input::with(messages)));
        }
        process
    }
}

fn save_end(end: End) -> state::End {
    state::End {
        exit: end.exit,
        out_of_memory: end.out_of_memory,
        timed_out: end.timed_out,
        at: nanoseconds(end.at),
    }
}

fn save_watch(watch: Watch) -> state::Watch {
    let left = watch.deadline.map(|deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    });
    state::Watch {
        time_left_ms: left,
        oom_kills: watch.oom_kills,
    }
}

fn resume(
    toolbox: &Arc<Toolbox>,
    process: &Arc<Process>,
    saved: &state::Watch,
    readers: Vec<Reader>,
) {
    let (Some(pid), Some(tree)) = (process.pid().and_then(Pid::from_raw), process.tree()) else {
        return;
    };
    let left = saved.time_left_ms.map(Duration::from_millis);
    let watch = Watch {
        deadline: left.and_then(|left| Instant::now().checked_add(left)),
        oom_kills: saved.oom_kills,
    };
    let child = toolbox.processes.adopt(pid, tree);
    durable::watch(toolbox, process, child, readers, watch);
}

fn save_capture(capture: &Capture, packer: &mut Packer) -> state::Capture {
    state::Capture {
        process: packer.process(&capture.process),
        stream: capture.stream,
        pipe: packer.fd(&capture.pipe),
    }
}

fn take_up_capture(
    toolbox: &Toolbox,
    saved: &state::Capture,
    unpacker: &mut Unpacker,
) -> io::Result<Reader> {
    let process = unpacker.process(saved.process)?;
    let pipe = Receiver::from_owned_fd_unchecked(unpacker.fd(saved.pipe)?)?;
    Ok(feed::capture(toolbox, &process, pipe, saved.stream))
}

fn save_feed(feed: &Feed, packer: &mut Packer) -> state::Feed {
    state::Feed {
        process: packer.process(&feed.process),
        pipe: packer.fd(&feed.pipe),
        messages: packer.messages(feed.input.waiting().iter()),
        open: feed.input.is_open(),
        lingers: feed.lingers,
    }
}

fn take_up_feed(toolbox: &Toolbox, saved: &state::Feed, unpacker: &mut Unpacker) -> io::Result<()> {
    let process = unpacker.process(saved.process)?;
    let pipe = Sender::from_owned_fd_unchecked(unpacker.fd(saved.pipe)?)?;
    let input = Arc::new(Input::with(unpacker.messages(&saved.messages)?));
    if saved.open {
        process.set_input(Arc::clone(&input));
    } else {
        input.finish();
    }
    let feed = Feed {
        process,
        input,
        pipe,
        lingers: saved.lingers,
    };
    feed::feed(toolbox, feed);
    Ok(())
}
