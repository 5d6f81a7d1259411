//! A client connection whose request targets are repaired before hyper parses them, and whose
//! request heads must arrive within a deadline.
//!
//! Must not: change or delay any byte outside a request line, or copy bodies.
//! Next: `super::framing` knows where request lines are.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::framing::Framing;

/// From the first byte of a request head to its last. Long enough for a phone on a bad line, short
/// enough that slow heads cannot hold every connection.
const HEAD_TIME_MAX: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct RepairedStream {
    inner: TcpStream,
    framing: Framing,
    /// Bytes already repaired that did not fit where they were read; almost always empty.
    spill: BytesMut,
    /// Runs only while a head is incomplete.
    head_deadline: Option<Pin<Box<Sleep>>>,
}

impl RepairedStream {
    pub(super) const fn new(inner: TcpStream, spill: BytesMut) -> Self {
        Self {
            inner,
            framing: Framing::new(),
            spill,
            head_deadline: None,
        }
    }

    /// Repairs what was just read into `buf` after `start`.
    fn repair(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        let Some(first) = self.framing.advance(&buf.filled()[start..]) else {
            return;
        };
        let fresh = &buf.filled()[start..];
        let mut rest = &fresh[first..];
        let mut next = Some(0);
        while let Some(at) = next {
            self.spill.extend_from_slice(&rest[..at]);
            self.spill.extend_from_slice(&percent_encoded(rest[at]));
            rest = &rest[at + 1..];
            next = self.framing.advance(rest);
        }
        self.spill.extend_from_slice(rest);
        buf.set_filled(start + first);
    }

    fn poll_head_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let deadline = self.head_deadline.get_or_insert_with(|| {
            Box::pin(tokio::time::sleep_until(Instant::now() + HEAD_TIME_MAX))
        });
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

pub(super) fn percent_encoded(byte: u8) -> [u8; 3] {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    [
        b'%',
        HEX[usize::from(byte >> 4)],
        HEX[usize::from(byte & 15)],
    ]
}

impl AsyncRead for RepairedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.spill.is_empty() {
                let count = this.spill.len().min(buf.remaining());
                buf.put_slice(&this.spill[..count]);
                this.spill.advance(count);
                return Poll::Ready(Ok(()));
            }
            let start = buf.filled().len();
            if Pin::new(&mut this.inner).poll_read(cx, buf)?.is_pending() {
                if this.framing.inside_head() {
                    return this.poll_head_deadline(cx);
                }
                return Poll::Pending;
            }
            if buf.filled().len() == start {
                return Poll::Ready(Ok(()));
            }
            this.repair(buf, start);
            if !this.framing.inside_head() {
                this.head_deadline = None;
            }
            // When the very first byte needed repair everything went to the spill: an empty read
            // would look like the end of the stream.
            if buf.filled().len() > start {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for RepairedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
