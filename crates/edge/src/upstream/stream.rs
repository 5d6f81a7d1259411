//! The unix socket under a connection into a sandbox.
//!
//! It differs from a plain one in two ways. It can be asked whether the other side has hung up,
//! although hyper holds it. And once the other side stops reading, writes vanish instead of
//! failing: a server may answer before it has read a whole upload and close, and hyper would drop
//! that answer over the failed write.
//!
//! Must not: hide the end of the stream from reads; that is what tells a lost request.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

#[derive(Debug)]
pub(super) struct SandboxStream {
    socket: Arc<UnixStream>,
    is_reader_gone: bool,
}

/// Looks at the socket from outside.
#[derive(Debug)]
pub(super) struct Watch(Arc<UnixStream>);

impl SandboxStream {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            socket: Arc::new(socket),
            is_reader_gone: false,
        }
    }

    pub(super) fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.socket))
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        size: usize,
        write: impl Fn(&UnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.is_reader_gone {
                return Poll::Ready(Ok(size));
            }
            ready!(self.socket.poll_write_ready(cx))?;
            match write(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_hang_up(&error) => self.is_reader_gone = true,
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

impl Watch {
    /// Whether an idle connection still stands: nothing has come, not even an end.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = rustix::net::recv(&self.0, &mut byte, flags);
        matches!(peeked, Err(Errno::AGAIN))
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl AsyncRead for SandboxStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_read_ready(cx))?;
            // Without clearing the buffer first: it is large, and clearing costs as much as reading.
            match self.socket.try_read_buf(buf) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for SandboxStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, buf.len(), |socket| socket.try_write(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let size = bufs.iter().map(|buf| buf.len()).sum();
        self.poll_write_with(cx, size, |socket| socket.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write);
        Poll::Ready(match shut {
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        })
    }
}
