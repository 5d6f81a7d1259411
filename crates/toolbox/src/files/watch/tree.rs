//! The directories that the kernel watches for us, and what it says about them.
//!
//! Directories are added on threads that act as the user, who must be able to read them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use walkdir::WalkDir;

use super::history::{Change, History, Kind};
use crate::files::Error;

/// Each takes about a kilobyte of the kernel.
const DIRECTORIES_MAX: usize = 10_000;
/// Read at once.
const BUFFER_BYTES: usize = 64 << 10;
/// Read before others have their turn.
const EVENTS_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct Tree {
    inotify: Arc<OwnedFd>,
    root: PathBuf,
    is_recursive: bool,
    /// By the kernel's number.
    directories: HashMap<i32, PathBuf>,
}

/// What was added, and what was in there already.
#[derive(Debug, Default)]
pub(super) struct Added {
    directories: Vec<(i32, PathBuf)>,
    found: Vec<(PathBuf, bool)>,
}

/// What the kernel says.
#[derive(Debug)]
struct Event {
    directory: i32,
    flags: ReadFlags,
    cookie: u32,
    name: Option<PathBuf>,
}

/// What is left to do after a read.
#[derive(Debug, Default)]
pub(super) struct Todo {
    /// Directories that appeared.
    pub(super) new: Vec<PathBuf>,
    /// What was watched is gone.
    pub(super) ended: bool,
    /// There may be more to read.
    pub(super) more: bool,
}

impl Tree {
    /// Watches `root`. Call on a thread that acts as the user.
    pub(super) fn open(root: PathBuf, is_recursive: bool) -> Result<Self, Error> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        let failed = Error::at(&root);
        let mut tree = Self {
            inotify: Arc::new(inotify.map_err(|error| failed(error.into()))?),
            root,
            is_recursive,
            directories: HashMap::new(),
        };
        let added = tree.adder(tree.root.clone())()?;
        for (number, path) in added.directories {
            tree.directories.insert(number, path);
        }
        Ok(tree)
    }

    pub(super) fn inotify(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.inotify)
    }

    /// Adds a directory, and all below where that is asked for. To be run as the user.
    pub(super) fn adder(
        &self,
        path: PathBuf,
    ) -> impl FnOnce() -> Result<Added, Error> + Send + use<> {
        let inotify = Arc::clone(&self.inotify);
        let room = DIRECTORIES_MAX.saturating_sub(self.directories.len());
        let depth = if self.is_recursive { usize::MAX } else { 0 };
        let is_root = path == self.root;
        move || add(&inotify, &path, depth, room, is_root)
    }

    /// Takes in what was added later; what was in there already is told as created.
    pub(super) fn took(&mut self, added: Added, history: &History) {
        self.directories.extend(added.directories);
        for (path, is_dir) in added.found {
            history.push(Change::new(Kind::Created, &path, is_dir));
        }
    }

    /// Reads what there is.
    pub(super) fn read(&mut self, history: &History) -> io::Result<Todo> {
        let (events, more) = self.events()?;
        let mut todo = Todo {
            more,
            ..Todo::default()
        };
        let mut events = events.into_iter().peekable();
        while let Some(event) = events.next() {
            if event.flags.contains(ReadFlags::MOVED_FROM) {
                let to = events.next_if(|next| {
                    next.flags.contains(ReadFlags::MOVED_TO) && next.cookie == event.cookie
                });
                self.moved(&event, to, history);
            } else {
                self.happened(&event, history, &mut todo);
            }
        }
        Ok(todo)
    }

    /// Some events, and whether there may be more.
    fn events(&self) -> io::Result<(Vec<Event>, bool)> {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(&*self.inotify, &mut buffer);
        let mut events = Vec::new();
        while events.len() < EVENTS_MAX || !reader.is_buffer_empty() {
            match reader.next() {
                Ok(event) => events.push(Event {
                    directory: event.wd(),
                    flags: event.events(),
                    cookie: event.cookie(),
                    name: event
                        .file_name()
                        .map(|name| OsStr::from_bytes(name.to_bytes()).into()),
                }),
                Err(Errno::AGAIN) => return Ok((events, false)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((events, true))
    }

    fn path_of(&self, event: &Event) -> Option<PathBuf> {
        let directory = self.directories.get(&event.directory)?;
        Some(
            event
                .name
                .as_ref()
                .map_or_else(|| directory.clone(), |name| directory.join(name)),
        )
    }

    fn happened(&mut self, event: &Event, history: &History, todo: &mut Todo) {
        if event.flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            history.lose();
            return;
        }
        let Some(path) = self.path_of(event) else {
            return;
        };
        if event.flags.contains(ReadFlags::IGNORED) {
            self.directories.remove(&event.directory);
            return;
        }
        let is_dir = event.flags.contains(ReadFlags::ISDIR);
        let kind = if event.name.is_none() {
            // Of a directory itself; that of all but the root is told by its parent.
            let gone = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
            if path != self.root || !event.flags.intersects(gone) {
                return;
            }
            todo.ended = true;
            Kind::Removed
        } else if event
            .flags
            .intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO)
        {
            if is_dir && self.is_recursive {
                todo.new.push(path.clone());
            }
            Kind::Created
        } else if event.flags.contains(ReadFlags::DELETE) {
            Kind::Removed
        } else if event.flags.contains(ReadFlags::MODIFY) {
            Kind::Modified
        } else {
            Kind::Attributes
        };
        history.push(Change::new(kind, &path, is_dir));
    }

    fn moved(&mut self, event: &Event, to: Option<Event>, history: &History) {
        let Some(from) = self.path_of(event) else {
            return;
        };
        let is_dir = event.flags.contains(ReadFlags::ISDIR);
        let to = to.and_then(|to| self.path_of(&to));
        if is_dir {
            match &to {
                Some(to) => self.rename(&from, to),
                None => self.forget(&from),
            }
        }
        history.push(match to {
            Some(to) => Change::renamed(&to, &from, is_dir),
            None => Change::new(Kind::Removed, &from, is_dir),
        });
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        for path in self.directories.values_mut() {
            if let Ok(below) = path.strip_prefix(from) {
                *path = if below.as_os_str().is_empty() {
                    to.to_owned()
                } else {
                    to.join(below)
                };
            }
        }
    }

    /// It has left what is watched.
    fn forget(&mut self, path: &Path) {
        let inotify = &self.inotify;
        self.directories.retain(|number, known| {
            let stays = !known.starts_with(path);
            if !stays {
                // It may be gone by itself.
                let _gone = inotify::remove_watch(inotify, *number);
            }
            stays
        });
    }
}

fn add(
    inotify: &OwnedFd,
    path: &Path,
    depth: usize,
    room: usize,
    is_root: bool,
) -> Result<Added, Error> {
    let mut added = Added::default();
    for entry in WalkDir::new(path).max_depth(depth) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if is_root && error.depth() == 0 => {
                let cause = error.into_io_error();
                return Err(Error::at(path)(cause.unwrap_or_else(|| Errno::LOOP.into())));
            }
            // Gone again, or not to be read.
            Err(_) => continue,
        };
        let top = entry.depth() == 0;
        let is_dir = entry.file_type().is_dir();
        if !top {
            added.found.push((entry.path().to_owned(), is_dir));
        }
        if !(is_dir || top && is_root) {
            continue;
        }
        if added.directories.len() == room {
            return Err(too_many());
        }
        match watch(inotify, entry.path(), top && is_root) {
            Ok(number) => added.directories.push((number, entry.path().to_owned())),
            Err(Errno::NOSPC) => return Err(too_many()),
            Err(error) if top && is_root => return Err(Error::at(path)(error.into())),
            Err(_) => {}
        }
    }
    if is_root {
        // It was there before anybody looked.
        added.found.clear();
    }
    Ok(added)
}

fn watch(inotify: &OwnedFd, path: &Path, follow: bool) -> Result<i32, Errno> {
    let mut flags = WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MODIFY
        | WatchFlags::ATTRIB
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::EXCL_UNLINK
        | WatchFlags::ONLYDIR;
    if !follow {
        flags |= WatchFlags::DONT_FOLLOW;
    }
    inotify::add_watch(inotify, path, flags)
}

fn too_many() -> Error {
    Error::TooMany {
        what: "directories to watch",
        limit: DIRECTORIES_MAX,
    }
}
