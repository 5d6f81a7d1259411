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

use super::history::{CHANGES_MAX, Change, History, Kind};
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
    /// There was more than anybody can be told.
    found_too_many: bool,
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
    /// The kernel has dropped some of what it had to say, directories that appeared among it.
    pub(super) lost: bool,
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
        let is_root = path == self.root;
        // All that is known is below the root, and found there again.
        let known = if is_root { 0 } else { self.directories.len() };
        let room = DIRECTORIES_MAX.saturating_sub(known);
        let depth = if self.is_recursive { usize::MAX } else { 0 };
        move || add(&inotify, &path, depth, room, is_root)
    }

    /// The same for all of it, when it is not known any more what there is.
    pub(super) fn anew(&self) -> impl FnOnce() -> Result<Added, Error> + Send + use<> {
        self.adder(self.root.clone())
    }

    /// Takes in what was added later; what was in there already is told as created.
    pub(super) fn took(&mut self, added: Added, history: &History) {
        self.directories.extend(added.directories);
        if added.found_too_many {
            history.lose();
        }
        for (path, is_dir) in added.found {
            history.push(Change::new(Kind::Created, &path, is_dir));
        }
    }

    /// Takes in all that there is; what happened before is lost.
    pub(super) fn took_anew(&mut self, added: Added, history: &History) {
        let found: HashMap<i32, PathBuf> = added.directories.into_iter().collect();
        for number in self.directories.keys() {
            if !found.contains_key(number) {
                // It may be gone by itself.
                let _gone = inotify::remove_watch(&self.inotify, *number);
            }
        }
        self.directories = found;
        // Only now: a client that looks around when it hears of it misses nothing after that.
        history.lose();
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
                self.moved(&event, to, history, &mut todo);
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
            todo.lost = true;
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

    fn moved(&mut self, event: &Event, to: Option<Event>, history: &History, todo: &mut Todo) {
        let Some(from) = self.path_of(event) else {
            return;
        };
        let is_dir = event.flags.contains(ReadFlags::ISDIR);
        let to = to.and_then(|to| self.path_of(&to));
        if is_dir {
            match &to {
                Some(to) => {
                    if !self.rename(&from, to) && self.is_recursive {
                        // It had its old name too briefly to be watched.
                        todo.new.push(to.clone());
                    }
                }
                None => self.forget(&from),
            }
        }
        history.push(match to {
            Some(to) => Change::renamed(&to, &from, is_dir),
            None => Change::new(Kind::Removed, &from, is_dir),
        });
    }

    /// Whether anything of that name is watched.
    fn rename(&mut self, from: &Path, to: &Path) -> bool {
        let mut is_watched = false;
        for path in self.directories.values_mut() {
            if let Ok(below) = path.strip_prefix(from) {
                is_watched = true;
                *path = if below.as_os_str().is_empty() {
                    to.to_owned()
                } else {
                    to.join(below)
                };
            }
        }
        is_watched
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

/// Adds all of it or nothing.
fn add(
    inotify: &OwnedFd,
    path: &Path,
    depth: usize,
    room: usize,
    is_root: bool,
) -> Result<Added, Error> {
    let mut added = Added::default();
    match add_below(inotify, path, depth, room, is_root, &mut added) {
        Ok(()) => Ok(added),
        Err(error) => {
            for (number, _) in added.directories {
                // It may be gone by itself.
                let _gone = inotify::remove_watch(inotify, number);
            }
            Err(error)
        }
    }
}

fn add_below(
    inotify: &OwnedFd,
    path: &Path,
    depth: usize,
    room: usize,
    is_root: bool,
    added: &mut Added,
) -> Result<(), Error> {
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
        // What is below the root was there before anybody looked.
        if !top && !is_root {
            added.find(entry.path(), is_dir);
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
    Ok(())
}

impl Added {
    /// Something that was there already. More than a history keeps is not even collected.
    fn find(&mut self, path: &Path, is_dir: bool) {
        if self.found_too_many {
            return;
        }
        if self.found.len() == CHANGES_MAX {
            self.found_too_many = true;
            self.found = Vec::new();
            return;
        }
        self.found.push((path.to_owned(), is_dir));
    }
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

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::history::After;
    use super::*;
    use crate::files::random_hex;

    struct Playground(PathBuf);

    impl Playground {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("sebring-watch-{}", random_hex()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn make(&self, name: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::create_dir_all(&path).unwrap();
            path
        }
    }

    impl Drop for Playground {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    /// Reads all that there is and does what is left to do, but for what was lost.
    fn catch_up(tree: &mut Tree, history: &History) -> Todo {
        let mut all = Todo::default();
        loop {
            let todo = tree.read(history).unwrap();
            all.lost |= todo.lost;
            for path in todo.new {
                let added = tree.adder(path)().unwrap();
                tree.took(added, history);
            }
            if !todo.more {
                return all;
            }
        }
    }

    fn is_watched(tree: &Tree, path: &Path) -> bool {
        tree.directories.values().any(|known| known == path)
    }

    #[test]
    fn directories_that_appear_while_the_kernel_drops_events_are_watched_afterwards() {
        let playground = Playground::new();
        let gone = playground.make("gone");
        let mut tree = Tree::open(playground.0.clone(), true).unwrap();
        let history = History::new();
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let limit: usize = limit.trim().parse().unwrap();
        let file = playground.0.join("file");
        fs::write(&file, "").unwrap();
        // Two kinds in turn, since equal ones that follow each other are one.
        for _ in 0..=limit / 2 {
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
            fs::write(&file, "x").unwrap();
        }
        let missed = playground.make("missed/deep");
        let elsewhere = Playground::new();
        fs::rename(&gone, elsewhere.0.join("gone")).unwrap();
        assert!(catch_up(&mut tree, &history).lost);
        let added = tree.anew()().unwrap();
        let before = history.now();
        tree.took_anew(added, &history);
        assert!(matches!(history.after(before), After::Lost(_)));
        assert!(is_watched(&tree, &missed));
        assert!(!is_watched(&tree, &gone), "it has left what is watched");
        let start = history.now();
        fs::write(elsewhere.0.join("gone/other"), "").unwrap();
        fs::create_dir(missed.join("new")).unwrap();
        catch_up(&mut tree, &history);
        let expected = Change::new(Kind::Created, &missed.join("new"), true);
        assert_eq!(history.after(start), After::Change(start + 1, expected));
    }

    #[test]
    fn a_directory_that_is_renamed_before_it_could_be_watched_is_watched() {
        let playground = Playground::new();
        let mut tree = Tree::open(playground.0.clone(), true).unwrap();
        let old = playground.make("old");
        let new = playground.0.join("new");
        fs::rename(&old, &new).unwrap();
        catch_up(&mut tree, &History::new());
        assert!(is_watched(&tree, &new) && !is_watched(&tree, &old));
    }

    #[test]
    fn of_more_than_a_history_keeps_only_the_loss_is_told() {
        let playground = Playground::new();
        let mut tree = Tree::open(playground.0.clone(), true).unwrap();
        let many = playground.make("many");
        for number in 0..=CHANGES_MAX {
            fs::write(many.join(number.to_string()), "").unwrap();
        }
        let (history, added) = (History::new(), tree.adder(many.clone())().unwrap());
        assert!(added.found.is_empty());
        tree.took(added, &history);
        assert!(matches!(history.after(0), After::Lost(_)));
        assert!(is_watched(&tree, &many));
    }

    #[test]
    fn where_there_are_too_many_directories_none_is_watched() {
        let playground = Playground::new();
        let tree = Tree::open(playground.0.clone(), true).unwrap();
        let new = playground.make("new");
        playground.make("new/deep");
        assert!(add(&tree.inotify, &new, usize::MAX, 1, false).is_err());
        fs::write(new.join("file"), "").unwrap();
        let (events, _) = tree.events().unwrap();
        let of_new = |event: &&Event| event.name.as_deref() == Some(Path::new("file"));
        assert_eq!(events.iter().filter(of_new).count(), 0);
    }
}
