//! One thread that owns the writing connection and turns queued closures into transactions.
//!
//! All closures that are waiting when a transaction begins share it: each runs in a savepoint, so
//! one that fails leaves no trace and the others are unaffected. When the commit itself fails
//! (disk full), all of them fail and nothing is kept.
//!
//! Must not: run anything that waits for something other than the database.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use rusqlite::Connection;
use sebring_core::sandbox::Sandbox;
use tokio::sync::oneshot;
use tracing::error;

use crate::keys::{ApiKey, KeyHash};
use crate::previews::PreviewToken;
use crate::sync::Syncer;
use crate::{CommitNumber, Committed, Error};

/// Writes that may wait; more than a burst of a thousand creates with their observations.
const QUEUE_MAX: usize = 8_192;
/// Writes in one transaction: enough to spread the commit, few enough to answer soon.
const BATCH_MAX: usize = 256;

/// One committed change, as listeners hear of it.
#[derive(Clone, Debug)]
pub enum Change {
    Sandbox {
        before: Option<Arc<Sandbox>>,
        /// Its `observed` is `Gone` when this removed it.
        after: Arc<Sandbox>,
    },
    KeyAdded(Arc<ApiKey>),
    KeyRemoved(KeyHash),
    PreviewTokenAdded(PreviewToken),
    PreviewTokenRemoved(String),
}

pub type Listener = Box<dyn FnMut(&[Change]) + Send>;

/// What a write may use.
#[derive(Debug)]
pub struct Tx<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) changes: Vec<Change>,
}

impl Tx<'_> {
    /// Lets tests provoke what only the database's own settings can.
    #[doc(hidden)]
    pub fn execute_for_test(&mut self, sql: &str) -> Result<(), Error> {
        Ok(self.connection.execute_batch(sql)?)
    }
}

type Reply = Box<dyn FnOnce(Result<CommitNumber, Error>) + Send>;

/// What became of one job before the commit.
enum Ran {
    Kept(Reply),
    /// It refused or failed and has answered by itself once the savepoint is undone.
    Undone(Reply),
}

type Job = Box<dyn FnOnce(&mut Tx<'_>) -> Ran + Send>;

#[derive(Debug)]
pub(crate) struct Writer {
    queue: SyncSender<Job>,
}

impl Writer {
    pub(crate) fn start(
        connection: Connection,
        listener: Listener,
        syncer: Arc<Syncer>,
    ) -> Result<Self, Error> {
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let mut owner = Owner {
            connection,
            listener,
            syncer,
            commits: 0,
        };
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || owner.run(&jobs))
            .map_err(|source| Error::Sync(Arc::new(source)))?;
        Ok(Self { queue })
    }

    pub(crate) fn submit<T, E>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<Committed<T>, E>>, Error>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |tx| match job(tx) {
            Ok(value) => Ran::Kept(Box::new(move |outcome| {
                let outcome = outcome.map(|at| Committed { value, at });
                answer.send(outcome.map_err(E::from)).ok();
            })),
            Err(refusal) => Ran::Undone(Box::new(move |outcome| {
                // A failed transaction outranks what the job thought of it.
                answer
                    .send(Err(outcome.err().map_or(refusal, E::from)))
                    .ok();
            })),
        });
        self.queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => Error::Overloaded,
            TrySendError::Disconnected(_) => Error::Closed,
        })?;
        Ok(answered)
    }
}

struct Owner {
    connection: Connection,
    listener: Listener,
    syncer: Arc<Syncer>,
    commits: u64,
}

impl Owner {
    fn run(&mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            self.transact(first, jobs);
        }
        // The last word of this process: leave one file behind, not three.
        if let Err(error) = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        {
            error!(%error, "last checkpoint failed");
        }
    }

    fn transact(&mut self, first: Job, jobs: &Receiver<Job>) {
        let mut replies: Vec<Reply> = Vec::new();
        let mut changes: Vec<Change> = Vec::new();
        let outcome = self.batch(first, jobs, &mut replies, &mut changes);
        match &outcome {
            Ok(_) => (self.listener)(&changes),
            Err(_) if self.connection.is_autocommit() => {}
            Err(_) => {
                if let Err(error) = self.connection.execute_batch("ROLLBACK") {
                    error!(%error, "rollback failed");
                }
            }
        }
        for reply in replies {
            reply(outcome.clone());
        }
    }

    fn batch(
        &mut self,
        first: Job,
        jobs: &Receiver<Job>,
        replies: &mut Vec<Reply>,
        changes: &mut Vec<Change>,
    ) -> Result<CommitNumber, Error> {
        let begun = self.execute("BEGIN IMMEDIATE");
        let mut failed = begun.err();
        let mut next = Some(first);
        while let Some(job) = next {
            if let Err(error) = self.run_one(job, replies, changes, failed.clone()) {
                failed.get_or_insert(error);
            }
            let more = replies.len() < BATCH_MAX && failed.is_none();
            next = more.then(|| jobs.try_recv().ok()).flatten();
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.execute("COMMIT")?;
        self.commits += 1;
        let at = CommitNumber(self.commits);
        self.syncer.committed(at);
        Ok(at)
    }

    /// Runs one job in a savepoint. An error means that the whole transaction is lost.
    fn run_one(
        &self,
        job: Job,
        replies: &mut Vec<Reply>,
        changes: &mut Vec<Change>,
        failed: Option<Error>,
    ) -> Result<(), Error> {
        let mut tx = Tx {
            connection: &self.connection,
            changes: Vec::new(),
        };
        if failed.is_none() {
            self.execute("SAVEPOINT job")?;
        }
        let ran = catch_unwind(AssertUnwindSafe(|| job(&mut tx)));
        // SQLite ends the transaction by itself on a full disk and the like.
        let lost = self.connection.is_autocommit();
        match ran {
            Ok(Ran::Kept(reply)) => {
                replies.push(reply);
                changes.append(&mut tx.changes);
                if lost {
                    return Err(failed.unwrap_or(Error::Full));
                }
                self.execute("RELEASE job")
            }
            Ok(Ran::Undone(reply)) => {
                replies.push(reply);
                if lost {
                    return Err(failed.unwrap_or(Error::Full));
                }
                self.execute("ROLLBACK TO job")?;
                self.execute("RELEASE job")
            }
            // The job's answer was dropped with it, so its caller hears `Closed`.
            Err(_) => {
                error!("a write panicked");
                if lost {
                    return Err(Error::Panicked);
                }
                self.execute("ROLLBACK TO job")?;
                self.execute("RELEASE job")
            }
        }
    }

    fn execute(&self, sql: &str) -> Result<(), Error> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}
