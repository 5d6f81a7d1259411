//! What the runner says to the toolbox of a running sandbox.
//!
//! The other end is the sandbox's: it may answer anything, late, or never. Nothing depends on it.
//!
//! Must not: believe an answer, or wait for one beyond the deadline.

use std::io;
use std::path::Path;
use std::time::Duration;

use sebring_api::boot::{LIMITS_ROUTE, LimitsChange};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// A toolbox answers within a millisecond unless its sandbox is very busy.
const DEADLINE: Duration = Duration::from_millis(500);
const DONE: &[u8] = b"HTTP/1.1 204 ";

/// Tells the toolbox behind `socket` that its limits have changed.
pub(super) async fn limits(socket: &Path, change: &LimitsChange) -> io::Result<()> {
    tokio::time::timeout(DEADLINE, put(socket, LIMITS_ROUTE, change))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// One request on a connection of its own. Of the answer only the status is read: it is all that
/// is of interest, and all that has a bound.
async fn put(socket: &Path, route: &str, change: &LimitsChange) -> io::Result<()> {
    let body = serde_json::to_vec(change)?;
    let head = format!(
        "PUT {route} HTTP/1.1\r\nHost: toolbox\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    let mut status = [0; DONE.len()];
    stream.read_exact(&mut status).await?;
    if status == *DONE {
        Ok(())
    } else {
        Err(io::Error::other("the toolbox did not accept it"))
    }
}
