//! Where identity and intent are kept: SQLite, one writer, many readers.
//!
//! Writes are closures that run one after another on a single thread, many to a transaction
//! ([`Store::write`]); a commit is visible at once and durable a moment later, which a caller that
//! must promise durability waits for with [`Store::durable`]. Work that overlaps the wait is free.
//!
//! Must not: decide anything about sandboxes, or let SQL be spoken elsewhere.
//! Next: `writer` for how closures become transactions, `schema` for the tables, `list` for the
//! one query that has to be fast at any size.
#![forbid(unsafe_code)]

mod columns;
mod error;
pub mod keys;
pub mod list;
pub mod organizations;
pub mod previews;
mod readers;
pub mod sandboxes;
mod schema;
mod sync;
mod writer;

use std::future::Future;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

pub use error::Error;
use rusqlite::Connection;
use tokio::sync::oneshot;
pub use writer::{Change, Listener, Tx};

/// Counts commits of this process; a later commit has a larger number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitNumber(u64);

/// What a write returned, and the commit that made it visible.
#[derive(Clone, Copy, Debug)]
pub struct Committed<T> {
    pub value: T,
    pub at: CommitNumber,
}

/// Cheap to clone. The threads end when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Arc<writer::Writer>,
    readers: Arc<readers::Readers>,
    syncer: Arc<sync::Syncer>,
}

impl Store {
    /// Opens or creates the database. `listener` hears of every change, in commit order, on the
    /// writer's thread, before the write's caller does.
    pub fn open(path: &Path, listener: Listener) -> Result<Self, Error> {
        create_private(path)?;
        let connection = open_patiently(path)?;
        let syncer = Arc::new(sync::Syncer::start(path)?);
        let readers = readers::Readers::start(path)?;
        let writer = writer::Writer::start(connection, listener, Arc::clone(&syncer))?;
        Ok(Self {
            writer: Arc::new(writer),
            readers: Arc::new(readers),
            syncer,
        })
    }

    /// Runs `job` in a transaction of its own fate: when it fails, nothing of it remains. The job
    /// is queued by the call itself, so two writes keep their order, and runs even when the
    /// returned future is dropped.
    pub fn write<T, E>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<Committed<T>, E>> + Send + 'static
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let answer = self.writer.submit(job);
        async move {
            match answer {
                Ok(answer) => answer.await.unwrap_or_else(|_| Err(Error::Closed.into())),
                Err(refused) => Err(refused.into()),
            }
        }
    }

    /// Runs `query` on a reader's connection. It sees every commit that was made before the call.
    pub async fn read<T, E>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.readers.submit(Box::new(move |connection| {
            // The asker may have left; the result is then of no use to anyone.
            answer.send(query(connection)).ok();
        }))?;
        answered.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    /// Starts making everything up to `at` durable, without waiting.
    pub fn begin_sync(&self, at: CommitNumber) {
        self.syncer.request(at);
    }

    /// Resolves when everything up to `at` survives a power cut.
    pub async fn durable(&self, at: CommitNumber) -> Result<(), Error> {
        self.syncer.wait(at).await
    }
}

/// A process that is just leaving may hold the database for a moment, and SQLite does not wait for
/// that by itself.
fn open_patiently(path: &Path) -> Result<Connection, Error> {
    const ATTEMPTS_MAX: u32 = 100;
    const WAIT: std::time::Duration = std::time::Duration::from_millis(20);
    let mut attempt = 1;
    loop {
        let opened = connect(path).and_then(|mut connection| {
            schema::migrate(&mut connection)?;
            Ok(connection)
        });
        match opened {
            Err(error) if error.is_busy() && attempt < ATTEMPTS_MAX => attempt += 1,
            done => return done,
        }
        std::thread::park_timeout(WAIT);
    }
}

/// The database holds tokens, so only its owner may read it.
fn create_private(path: &Path) -> Result<(), Error> {
    let io = |source| Error::File {
        path: path.to_owned(),
        source: Arc::new(source),
    };
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(io)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
        .map_err(io)
}

/// One connection, set up the same way whoever uses it.
fn connect(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path)?;
    // First of all: a connection that is just closing holds locks for a moment.
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // The syncer makes commits durable, in groups; see `sync`.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.set_prepared_statement_cache_capacity(128);
    list::register_functions(&connection)?;
    Ok(connection)
}
