//! A few threads with reading connections. Readers never wait for the writer.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use parking_lot::Mutex;
use rusqlite::Connection;

use crate::Error;

/// More would only compete for the same cores; hot lookups do not come here.
const THREADS: usize = 2;
/// Queries that may wait; a page takes about a millisecond.
const QUEUE_MAX: usize = 1_024;

type Query = Box<dyn FnOnce(&Connection) + Send>;

#[derive(Debug)]
pub(crate) struct Readers {
    queue: SyncSender<Query>,
}

impl Readers {
    pub(crate) fn start(path: &Path) -> Result<Self, Error> {
        let (queue, queries) = sync_channel(QUEUE_MAX);
        let queries = Arc::new(Mutex::new(queries));
        for _ in 0..THREADS {
            let connection = crate::connect(path)?;
            connection.pragma_update(None, "query_only", true)?;
            let queries = Arc::clone(&queries);
            std::thread::Builder::new()
                .name("store-reader".into())
                .spawn(move || while answer_next(&connection, &queries) {})
                .map_err(|source| Error::Sync(Arc::new(source)))?;
        }
        Ok(Self { queue })
    }

    pub(crate) fn submit(&self, query: Query) -> Result<(), Error> {
        self.queue.try_send(query).map_err(|refused| match refused {
            TrySendError::Full(_) => Error::Overloaded,
            TrySendError::Disconnected(_) => Error::Closed,
        })
    }
}

/// False when nobody can ask any more.
fn answer_next(connection: &Connection, queries: &Mutex<Receiver<Query>>) -> bool {
    let next = queries.lock().recv();
    match next {
        Ok(query) => {
            query(connection);
            true
        }
        Err(_) => false,
    }
}
