//! The controlling end of a pseudo-terminal.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::Size;
use crate::process::feed::with_buffer;
use crate::process::log::{Log, Stream};

#[derive(Debug)]
pub(super) struct Device {
    controller: AsyncFd<OwnedFd>,
    /// Keeps what several clients type from being mixed within a message.
    typing: Mutex<()>,
}

impl Device {
    /// Also returns the two descriptors that a shell needs for its end.
    pub(super) async fn open(size: Size) -> io::Result<(Self, [OwnedFd; 2])> {
        // On a thread that acts as the user, who then owns the device.
        let opened = spawn_blocking(move || open(size)).await;
        let (controller, end) = opened.map_err(io::Error::other)??;
        let copy = end.try_clone()?;
        Ok((Self::over(controller)?, [end, copy]))
    }

    /// Of a controlling end that does not block.
    #[expect(
        deprecated,
        reason = "unsound only for types that lie about what they own"
    )]
    pub(super) fn over(controller: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            controller: AsyncFd::new(controller)?,
            typing: Mutex::new(()),
        })
    }

    pub(super) fn controller(&self) -> BorrowedFd<'_> {
        self.controller.get_ref().as_fd()
    }

    pub(super) fn resize(&self, size: Size) -> io::Result<()> {
        // The kernel tells the programs in it.
        Ok(rustix::termios::tcsetwinsize(
            self.controller.get_ref(),
            winsize(size),
        )?)
    }

    /// Reads until the last process has closed its end.
    pub(super) async fn read_into(&self, log: &Log) {
        while let Ok(mut ready) = self.controller.readable().await {
            let more = with_buffer(|buffer| {
                let read = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut *buffer)?));
                match read {
                    Ok(Ok(0)) => false,
                    Ok(Ok(length)) => {
                        log.push(Stream::Output, &buffer[..length]);
                        true
                    }
                    // The end is reported as an input/output error.
                    Ok(Err(error)) => error.kind() == io::ErrorKind::Interrupted,
                    // It was not ready after all.
                    Err(_) => true,
                }
            });
            if !more {
                return;
            }
            // A flood must not keep others from their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Types all of it; waits while the program does not read.
    pub(super) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let _alone = self.typing.lock().await;
        while !bytes.is_empty() {
            let length = self.write_once(bytes).await?;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    /// Types the beginning; how much of it. What is left is the caller's to keep.
    pub(super) async fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let _alone = self.typing.lock().await;
        self.write_once(bytes).await
    }

    async fn write_once(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.controller.writable().await?;
            let written = ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref().as_fd(), bytes)?));
            match written {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(written) => return written,
                Err(_) => {}
            }
        }
    }
}

fn open(size: Size) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = rustix::pty::openpt(flags)?;
    rustix::pty::grantpt(&controller)?;
    rustix::pty::unlockpt(&controller)?;
    let end = rustix::pty::ioctl_tiocgptpeer(&controller, flags)?;
    rustix::termios::tcsetwinsize(&controller, winsize(size))?;
    rustix::io::ioctl_fionbio(&controller, true)?;
    Ok((controller, end))
}

const fn winsize(size: Size) -> Winsize {
    Winsize {
        ws_row: size.rows,
        ws_col: size.cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
