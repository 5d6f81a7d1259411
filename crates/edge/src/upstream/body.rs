//! Bodies on their way: a client's upload, and a sandbox's answer together with the connection
//! that brings it.
//!
//! Must not: buffer. A frame is asked of one side only when the other side has taken the last.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sebring_tasks::Tasks;

use super::{Link, Target, Upstreams};

/// How long an upload may go on after its answer is complete. Nobody needs the rest; reading it
/// only lets the client finish sending, so that it gets to read the answer instead of a reset.
const LATE_UPLOAD_TIME_MAX: Duration = Duration::from_secs(30);

/// The body of a request into a sandbox.
#[derive(Debug)]
pub(crate) enum Upload {
    Nothing,
    Client(ClientUpload),
}

#[derive(Debug)]
pub(crate) struct ClientUpload {
    /// `None` once it has ended.
    incoming: Option<Incoming>,
    tasks: Tasks,
}

impl Upload {
    pub(crate) fn from_client(incoming: Incoming, tasks: &Tasks) -> Self {
        if incoming.is_end_stream() {
            return Self::Nothing;
        }
        Self::Client(ClientUpload {
            incoming: Some(incoming),
            tasks: tasks.clone(),
        })
    }

    const fn incoming(&self) -> Option<&Incoming> {
        match self {
            Self::Nothing => None,
            Self::Client(upload) => upload.incoming.as_ref(),
        }
    }
}

impl Drop for ClientUpload {
    fn drop(&mut self) {
        let Some(mut incoming) = self.incoming.take() else {
            return;
        };
        if incoming.is_end_stream() {
            return;
        }
        let stop = self.tasks.stop_token();
        self.tasks.spawn("edge late upload", async move {
            let rest = async { while let Some(Ok(_)) = incoming.frame().await {} };
            // Safe to drop: the connection closes, as it would without this task.
            let read = stop.run_until_cancelled(rest);
            tokio::time::timeout(LATE_UPLOAD_TIME_MAX, read).await.ok();
        });
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Client(upload) = &mut *self else {
            return Poll::Ready(None);
        };
        let Some(incoming) = &mut upload.incoming else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(incoming).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            upload.incoming = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// The body of a sandbox's answer. Dropped before its end, it closes the connection, so the
/// sandbox learns that the client is gone.
#[derive(Debug)]
pub(crate) struct UpstreamBody {
    incoming: Incoming,
    lease: Option<Lease>,
}

#[derive(Debug)]
struct Lease {
    link: Link,
    target: Target,
    upstreams: Arc<Upstreams>,
}

impl UpstreamBody {
    pub(super) const fn new(
        incoming: Incoming,
        link: Link,
        target: Target,
        upstreams: Arc<Upstreams>,
    ) -> Self {
        Self {
            incoming,
            lease: Some(Lease {
                link,
                target,
                upstreams,
            }),
        }
    }

    fn give_back(&mut self, cx: &mut Context<'_>) {
        let Some(Lease {
            mut link,
            target,
            upstreams,
        }) = self.lease.take()
        else {
            return;
        };
        // A connection that is still taking an upload is not worth keeping.
        if link.poll_drive(cx).is_pending() && link.is_ready() {
            upstreams.put_back(target, link);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let mut polled = Pin::new(&mut this.incoming).poll_frame(cx);
        if polled.is_pending()
            && let Some(lease) = &mut this.lease
        {
            // Nothing was waiting, so read more. What the read brought is there on asking again;
            // that also registers us for what comes later.
            let ended = lease.link.poll_drive(cx).is_ready();
            polled = Pin::new(&mut this.incoming).poll_frame(cx);
            if ended {
                this.lease = None;
            }
        }
        match &polled {
            Poll::Ready(None) => this.give_back(cx),
            Poll::Ready(Some(Err(_))) => this.lease = None,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        // An answer without a body, or whose length was reached, is never asked for its end.
        if self.lease.is_some() && self.incoming.is_end_stream() {
            self.give_back(&mut Context::from_waker(Waker::noop()));
        }
    }
}
