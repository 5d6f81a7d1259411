//! Makes commits durable, many at a time.
//!
//! With `synchronous=NORMAL` a commit appends to the write-ahead log without waiting for the disk.
//! This thread waits for the disk instead: one `fdatasync` of the log covers every commit made
//! before it, however many callers wait. It also copies the log back into the database when it
//! has grown, so that the writer never stalls on that.
//!
//! Must not: touch the database file's descriptor other than through SQLite; closing any
//! descriptor of it would drop the locks of this process. The log carries no locks.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::sync::watch;
use tracing::{error, warn};

use crate::{CommitNumber, Error};

/// Log size above which it is copied back, without ever making the writer wait.
const LOG_BYTES_COPIED: u64 = 4 << 20;
/// Log size above which the writer does wait, so that a steady load cannot grow it for ever.
const LOG_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug)]
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    synced: watch::Receiver<Synced>,
}

#[derive(Debug, Default)]
struct Shared {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wanted {
    committed: u64,
    requested: u64,
    closed: bool,
}

#[derive(Clone, Debug, Default)]
struct Synced {
    upto: u64,
    /// Set for good when the disk refused: what the page cache holds can no longer be trusted.
    broken: Option<Error>,
}

impl Syncer {
    pub(crate) fn start(path: &Path) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let (publish, synced) = watch::channel(Synced::default());
        let mut owner = Owner {
            log_path: log_path(path),
            log: None,
            connection: crate::connect(path)?,
            shared: Arc::clone(&shared),
        };
        std::thread::Builder::new()
            .name("store-syncer".into())
            .spawn(move || owner.run(&publish))
            .map_err(|source| Error::Sync(Arc::new(source)))?;
        Ok(Self { shared, synced })
    }

    pub(crate) fn committed(&self, at: CommitNumber) {
        self.shared.wanted.lock().committed = at.0;
    }

    pub(crate) fn request(&self, at: CommitNumber) {
        let mut wanted = self.shared.wanted.lock();
        if wanted.requested < at.0 {
            wanted.requested = at.0;
            self.shared.changed.notify_one();
        }
    }

    pub(crate) async fn wait(&self, at: CommitNumber) -> Result<(), Error> {
        self.request(at);
        let mut synced = self.synced.clone();
        let reached = synced
            .wait_for(|synced| synced.upto >= at.0 || synced.broken.is_some())
            .await
            .map_err(|_| Error::Closed)?;
        match &reached.broken {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.wanted.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

struct Owner {
    log_path: PathBuf,
    log: Option<File>,
    connection: Connection,
    shared: Arc<Shared>,
}

impl Owner {
    fn run(&mut self, publish: &watch::Sender<Synced>) {
        let mut synced = 0;
        while let Some(target) = self.next_target(synced) {
            if let Err(source) = self.sync() {
                error!(error = %source, "write-ahead log cannot be made durable");
                let broken = Some(Error::Sync(Arc::new(source)));
                publish.send_modify(|state| state.broken = broken);
                return;
            }
            synced = target;
            publish.send_modify(|state| state.upto = target);
            self.copy_back();
        }
    }

    /// Waits until someone wants durability; everything committed by then is covered.
    fn next_target(&self, synced: u64) -> Option<u64> {
        let mut wanted = self.shared.wanted.lock();
        while wanted.requested <= synced && !wanted.closed {
            self.shared.changed.wait(&mut wanted);
        }
        (wanted.requested > synced).then_some(wanted.committed)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        if self.log.is_none() {
            self.log = Some(File::open(&self.log_path)?);
            if let Some(directory) = self.log_path.parent() {
                File::open(directory)?.sync_all()?;
            }
        }
        self.log.as_ref().map_or(Ok(()), File::sync_data)
    }

    fn copy_back(&self) {
        let bytes = self
            .log
            .as_ref()
            .and_then(|log| log.metadata().ok())
            .map_or(0, |metadata| metadata.len());
        let how = match bytes {
            0..LOG_BYTES_COPIED => return,
            LOG_BYTES_COPIED..LOG_BYTES_MAX => "PRAGMA wal_checkpoint(PASSIVE)",
            LOG_BYTES_MAX.. => "PRAGMA wal_checkpoint(TRUNCATE)",
        };
        let copied = self.connection.query_row(how, [], |_| Ok(()));
        if let Err(error) = copied {
            warn!(%error, "write-ahead log was not copied back");
        }
    }
}

fn log_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}
