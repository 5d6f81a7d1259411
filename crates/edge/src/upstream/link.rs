//! One HTTP/1.1 connection and its only user.
//!
//! Must not: spawn, or be shared: whoever holds it drives it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Upload;
use super::stream::{SandboxStream, Watch};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

/// Also the largest single read of a response body. Beyond this a read costs cache, not calls.
const READ_BUFFER_MAX: usize = 512 * 1024;

/// The connection as a future: it ends when the connection does, or after a switch of protocols.
type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

pub(crate) struct Link {
    sender: SendRequest<Upload>,
    /// `None` once the connection has ended.
    driver: Option<Driver>,
    watch: Watch,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// A request that got no answer.
pub(crate) struct Failure {
    error: hyper::Error,
    unsent: Option<Request<Upload>>,
}

impl Failure {
    /// The request again when not a byte of it was sent.
    pub(crate) fn into_unsent(self) -> Result<Request<Upload>, hyper::Error> {
        self.unsent.ok_or(self.error)
    }

    pub(crate) fn into_error(self) -> hyper::Error {
        self.error
    }
}

impl Link {
    pub(super) async fn begin(stream: SandboxStream) -> hyper::Result<Self> {
        let watch = stream.watch();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_BUFFER_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self {
            sender,
            driver: Some(Box::pin(connection.with_upgrades())),
            watch,
        })
    }

    /// Lets the connection read and write what it can. Ready once it has ended.
    pub(super) fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let Some(driver) = &mut self.driver else {
            return Poll::Ready(Ok(()));
        };
        let ended = driver.as_mut().poll(cx);
        if ended.is_ready() {
            self.driver = None;
        }
        ended
    }

    /// Whether the next request can be sent now; only true after driving.
    pub(super) fn is_ready(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Whether this idle connection still stands, as far as can be known without waiting.
    pub(super) fn is_usable(&self) -> bool {
        self.is_ready() && self.watch.is_quiet()
    }

    /// Sends one request and drives the connection until the head of the answer is there.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, Failure> {
        let answer = self.sender.try_send_request(request);
        let mut answer = std::pin::pin!(answer);
        std::future::poll_fn(|cx| {
            // The connection first: it writes the request, and reads the answer for the second.
            // When it ends, the answer is settled one way or the other.
            let ended = self
                .driver
                .as_mut()
                .is_none_or(|driver| driver.as_mut().poll(cx).is_ready());
            if ended {
                self.driver = None;
            }
            answer.as_mut().poll(cx).map_err(|mut failure| Failure {
                unsent: failure.take_message(),
                error: failure.into_error(),
            })
        })
        .await
    }

    /// Drives the connection to its end: after a 101 it ends by handing its stream over.
    pub(crate) async fn finish(mut self) -> hyper::Result<()> {
        std::future::poll_fn(|cx| self.poll_drive(cx)).await
    }
}
