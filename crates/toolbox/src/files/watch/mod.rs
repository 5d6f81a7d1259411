//! `GET /sebring/files/watch`: changes below a directory as server-sent events, with a cursor.
//!
//! One watch serves all who ask for the same; it outlives its last client for a while, so that one
//! whose connection broke can come back with its cursor and has missed nothing.
//! Must not: grow. Histories, watches, directories and clients are bounded; who falls behind is
//! told that changes were lost.
//! Next: `tree` for the kernel's part, `history` for cursors, `events` for what a client gets.

mod events;
mod history;
mod tree;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

use super::blocking;
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::toolbox::Toolbox;
use history::History;
use tree::{Todo, Tree};

/// At one time.
const WATCHES_MAX: usize = 16;
/// Of one watch.
const CLIENTS_MAX: usize = 32;
/// Without a client.
const KEPT: Duration = Duration::from_secs(60);
/// How often it is looked whether there are clients.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// All watches of the sandbox.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    all: Mutex<Vec<Weak<Watch>>>,
}

#[derive(Debug)]
struct Watch {
    root: PathBuf,
    is_recursive: bool,
    history: History,
    clients: AtomicUsize,
}

/// Somebody who gets the changes.
#[derive(Debug)]
struct Client(Arc<Watch>);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) async fn watch(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let root = toolbox.resolve(query.required("path")?);
    let root: PathBuf = root.components().collect();
    let is_recursive = query.flag("recursive")?;
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let cursor = query.get("cursor").or(resumed);
    let watch = match toolbox.watches.find(&root, is_recursive) {
        Some(watch) => watch,
        None => open(&toolbox, root, is_recursive).await?,
    };
    Ok(events::stream(client(watch)?, cursor))
}

async fn open(toolbox: &Toolbox, root: PathBuf, is_recursive: bool) -> Result<Arc<Watch>, Failure> {
    toolbox.watches.check_room()?;
    let opened = root.clone();
    let tree = blocking(move || Tree::open(opened, is_recursive)).await?;
    let notified =
        notified(tree.inotify()).map_err(|error| Failure::internal(format!("watch: {error}")))?;
    let watch = Arc::new(Watch {
        root,
        is_recursive,
        history: History::new(),
        clients: AtomicUsize::new(0),
    });
    // Somebody else may have been faster; theirs is as good.
    let kept = toolbox.watches.keep(&watch)?;
    if Arc::ptr_eq(&kept, &watch) {
        toolbox.tasks.spawn("watch", follow(watch, tree, notified));
    }
    Ok(kept)
}

#[expect(
    deprecated,
    reason = "its replacement is unsafe; a plain OwnedFd upholds its condition"
)]
fn notified(inotify: Arc<OwnedFd>) -> std::io::Result<AsyncFd<Arc<OwnedFd>>> {
    AsyncFd::new(inotify)
}

impl Watches {
    fn find(&self, root: &Path, is_recursive: bool) -> Option<Arc<Watch>> {
        let all = self.lock();
        let mut alive = all.iter().filter_map(Weak::upgrade);
        alive.find(|watch| {
            watch.root == root && watch.is_recursive == is_recursive && !watch.history.has_ended()
        })
    }

    fn keep(&self, new: &Arc<Watch>) -> Result<Arc<Watch>, Failure> {
        if let Some(other) = self.find(&new.root, new.is_recursive) {
            return Ok(other);
        }
        self.check_room()?;
        self.lock().push(Arc::downgrade(new));
        Ok(Arc::clone(new))
    }

    fn check_room(&self) -> Result<(), Failure> {
        let mut all = self.lock();
        all.retain(|watch| watch.strong_count() > 0);
        if all.len() < WATCHES_MAX {
            return Ok(());
        }
        let message = format!(
            "{WATCHES_MAX} directories are watched, the maximum; one ends {} seconds after its \
             last client has left",
            KEPT.as_secs()
        );
        Err(Failure::new(StatusCode::CONFLICT, "CONFLICT", message))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Watch>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn client(watch: Arc<Watch>) -> Result<Client, Failure> {
    let before = watch.clients.fetch_add(1, Ordering::Relaxed);
    let client = Client(watch);
    if before >= CLIENTS_MAX {
        let message = format!("{CLIENTS_MAX} clients watch this directory, the maximum");
        return Err(Failure::new(StatusCode::CONFLICT, "CONFLICT", message));
    }
    Ok(client)
}

/// Writes the history until nobody wants it, or what is watched is gone.
async fn follow(watch: Arc<Watch>, mut tree: Tree, notified: AsyncFd<Arc<OwnedFd>>) {
    let mut last_seen = Instant::now();
    let mut next_look = last_seen + LOOK_EVERY;
    while last_seen.elapsed() < KEPT {
        tokio::select! {
            // Both may be dropped: neither has done anything before it is ready.
            biased;
            () = sleep_until(next_look) => {
                next_look += LOOK_EVERY;
                if watch.clients.load(Ordering::Relaxed) > 0 {
                    last_seen = Instant::now();
                }
            }
            ready = notified.readable() => {
                let Ok(mut ready) = ready else { break };
                let Ok(todo) = tree.read(&watch.history) else { break };
                if todo.more {
                    tokio::task::yield_now().await;
                } else {
                    ready.clear_ready();
                }
                if todo.ended || !keep_up(&watch, &mut tree, todo).await {
                    break;
                }
            }
        }
    }
    watch.history.end();
}

/// Watches directories that appeared; false when the watch is of no more use.
async fn keep_up(watch: &Watch, tree: &mut Tree, todo: Todo) -> bool {
    if todo.lost {
        let added = blocking(tree.anew()).await;
        // Who asks for the watch again is told why it could not go on.
        return added.is_ok_and(|added| {
            tree.took_anew(added, &watch.history);
            true
        });
    }
    for path in todo.new {
        match blocking(tree.adder(path)).await {
            Ok(added) => tree.took(added, &watch.history),
            // More than can be watched: what happens in there is not known.
            Err(_) => watch.history.lose(),
        }
    }
    true
}
