//! What the runner says to the toolbox of a running sandbox.
//!
//! The other end is the sandbox's: it may answer anything, late, or never. Nothing depends on it,
//! but for a spare, which is nobody's yet: one that does not answer is not used.
//!
//! Must not: believe an answer, or wait for one beyond the deadline.

use std::io;
use std::path::Path;
use std::time::Duration;

use sebring_api::boot::{
    CLAIM_ROUTE, Claim, LIMITS_ROUTE, LimitsChange, UPGRADE_PROTOCOL, UPGRADE_ROUTE,
    UPGRADE_TIME_MAX, Upgraded,
};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::UnixStream;

/// A toolbox answers within a millisecond unless its sandbox is very busy.
const DEADLINE: Duration = Duration::from_millis(500);
/// A fresh sandbox has a shell to look up and start first.
const WARM_UP_DEADLINE: Duration = Duration::from_secs(5);
/// What a toolbox says of an upgrade, and the head before it.
const UPGRADED_BYTES_MAX: u64 = 8 << 10;
const SWITCHING: &[u8] = b"HTTP/1.1 101 ";
const WARM_UP: &[u8] = br#"{"command":"true"}"#;
const DONE: &[u8; 13] = b"HTTP/1.1 204 ";
const ANSWERED: &[u8; 13] = b"HTTP/1.1 200 ";

/// Tells the toolbox behind `socket` that its limits have changed.
pub(super) async fn limits(socket: &Path, change: &LimitsChange) -> io::Result<()> {
    let request = request("PUT", LIMITS_ROUTE, &serde_json::to_vec(change)?);
    within(DEADLINE, ask(socket, request, DONE)).await
}

/// Tells the toolbox of a spare whose it is now.
pub(super) async fn claim(socket: &Path, claim: &Claim) -> io::Result<()> {
    let request = request("PUT", CLAIM_ROUTE, &serde_json::to_vec(claim)?);
    within(DEADLINE, ask(socket, request, DONE)).await
}

/// Asks the toolbox to become the program that is at its place by now, and hears what became of it.
/// It gives up when this is dropped.
pub(crate) async fn upgrade(socket: &Path) -> io::Result<Upgraded> {
    within(UPGRADE_TIME_MAX, async {
        let mut stream = UnixStream::connect(socket).await?;
        let request = format!(
            "POST {UPGRADE_ROUTE} HTTP/1.1\r\nHost: toolbox\r\nConnection: upgrade\r\n\
             Upgrade: {UPGRADE_PROTOCOL}\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = BufReader::new((&mut stream).take(UPGRADED_BYTES_MAX));
        let mut line = Vec::new();
        answer.read_until(b'\n', &mut line).await?;
        if !line.starts_with(SWITCHING) {
            return Err(io::Error::other("the toolbox does not know how"));
        }
        while !matches!(line.as_slice(), b"\r\n" | b"") {
            line.clear();
            answer.read_until(b'\n', &mut line).await?;
        }
        line.clear();
        answer.read_until(b'\n', &mut line).await?;
        Ok(serde_json::from_slice(&line)?)
    })
    .await
}

/// Runs nothing in a spare, by the way in which its owner will run something: what the kernel
/// looks up and reads for a first command, it has then.
pub(super) async fn warm_up(socket: &Path) -> io::Result<()> {
    let request = request("POST", "/process/execute", WARM_UP);
    within(WARM_UP_DEADLINE, ask(socket, request, ANSWERED)).await
}

async fn within<T>(
    deadline: Duration,
    asked: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::time::timeout(deadline, asked)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn request(method: &str, route: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {route} HTTP/1.1\r\nHost: toolbox\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// One request on a connection of its own. Of the answer only the status is read: it is all that
/// is of interest, and all that has a bound.
async fn ask<const N: usize>(
    socket: &Path,
    request: Vec<u8>,
    expected: &[u8; N],
) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(&request).await?;
    is_answered(stream, expected).await
}

/// Whether this answer is the one to an order.
#[cfg(any(test, fuzzing))]
pub(crate) fn is_done(answer: &[u8]) -> bool {
    use futures_util::FutureExt as _;
    let asked = is_answered(answer, DONE).now_or_never();
    asked.is_some_and(|asked| asked.is_ok())
}

async fn is_answered<const N: usize>(
    mut stream: impl AsyncRead + Unpin,
    expected: &[u8; N],
) -> io::Result<()> {
    let mut status = [0; N];
    stream.read_exact(&mut status).await?;
    if status == *expected {
        Ok(())
    } else {
        Err(io::Error::other("the toolbox did not accept it"))
    }
}
