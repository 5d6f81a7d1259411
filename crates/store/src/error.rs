//! What can go wrong in the store, told apart by who can help.

use std::path::PathBuf;
use std::sync::Arc;

/// Cloneable, because one failed commit fails every write that was in it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Nothing of the write was kept.
    #[error("the database's disk is full")]
    Full,
    #[error("too many requests wait for the database")]
    Overloaded,
    #[error("the database is closed")]
    Closed,
    #[error("a write panicked")]
    Panicked,
    #[error("the name is taken")]
    NameTaken,
    #[error("the database was written by a newer version: schema {found}, this one knows {known}")]
    Newer { found: i64, known: i64 },
    #[error("the stored {what} of {of} is not readable")]
    Corrupt { what: &'static str, of: String },
    #[error("open {path}")]
    File {
        path: PathBuf,
        source: Arc<std::io::Error>,
    },
    #[error("make the write-ahead log durable")]
    Sync(#[source] Arc<std::io::Error>),
    #[error("database")]
    Sql(#[source] Arc<rusqlite::Error>),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            Some(rusqlite::ErrorCode::ConstraintViolation) if is_unique(&error) => Self::NameTaken,
            _ => Self::Sql(Arc::new(error)),
        }
    }
}

impl Error {
    /// Whether someone else holds the database at the moment.
    pub(crate) fn is_busy(&self) -> bool {
        let Self::Sql(cause) = self else {
            return false;
        };
        cause.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
    }
}

/// Every uniqueness in the schema but the random ids is one of names.
fn is_unique(error: &rusqlite::Error) -> bool {
    const UNIQUE: i32 = rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE;
    matches!(error, rusqlite::Error::SqliteFailure(failure, _) if failure.extended_code == UNIQUE)
}
