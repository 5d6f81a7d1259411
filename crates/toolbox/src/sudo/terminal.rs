//! A terminal of its own for a command that runs elsewhere, relayed to ours.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Termios};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

const BUFFER_BYTES: usize = 16 << 10;
/// For the command's last words; something it left behind may hold its terminal open for good.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(100);

/// Both ends of the new terminal, and how ours was before.
#[derive(Debug)]
pub(super) struct Relay {
    controller: Arc<OwnedFd>,
    /// The command's end; kept until the command has it.
    command: Option<OwnedFd>,
    before: Termios,
    output: Option<JoinHandle<()>>,
}

impl Relay {
    pub(super) fn open() -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&controller)?;
        rustix::pty::unlockpt(&controller)?;
        let command = rustix::pty::ioctl_tiocgptpeer(&controller, flags)?;
        let stdin = io::stdin();
        let before = rustix::termios::tcgetattr(&stdin)?;
        rustix::termios::tcsetattr(&command, OptionalActions::Now, &before)?;
        let size = rustix::termios::tcgetwinsize(&stdin)?;
        rustix::termios::tcsetwinsize(&command, size)?;
        Ok(Self {
            controller: Arc::new(controller),
            command: Some(command),
            before,
            output: None,
        })
    }

    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; 3] {
        let fd = self.command.as_ref().unwrap_or(&self.controller).as_fd();
        [fd, fd, fd]
    }

    /// The command has its end: from now on keys go there untouched.
    ///
    /// Threads carry the bytes: our terminal is shared with others and must stay blocking.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.command = None;
        let mut raw = self.before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        let controller = Arc::clone(&self.controller);
        self.output = Some(tokio::task::spawn_blocking(move || {
            // Reading fails once the last process has closed the command's end.
            while matches!(copy_once(&controller), Ok(1..)) {}
        }));
        let controller = Arc::clone(&self.controller);
        // Left reading at the end; the process ends with it.
        drop(tokio::task::spawn_blocking(move || input(&controller)));
        Ok(())
    }

    /// Passes on changes of the window's size until dropped.
    pub(super) async fn resize(&self) {
        let Ok(mut changed) = signal(SignalKind::window_change()) else {
            return;
        };
        while changed.recv().await.is_some() {
            if let Ok(size) = rustix::termios::tcgetwinsize(io::stdin()) {
                let _unsized = rustix::termios::tcsetwinsize(&self.controller, size);
            }
        }
    }

    /// Waits for the command's last words to be shown.
    pub(super) async fn finish(mut self) {
        if let Some(output) = self.output.take() {
            let _late = tokio::time::timeout(LAST_WORDS_WAIT, output).await;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to restore.
        let stdin = io::stdin();
        let _restored = rustix::termios::tcsetattr(stdin, OptionalActions::Drain, &self.before);
    }
}

fn copy_once(controller: &OwnedFd) -> io::Result<usize> {
    let mut buffer = [0; BUFFER_BYTES];
    let length = rustix::io::read(controller, &mut buffer)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&buffer[..length])?;
    stdout.flush()?;
    Ok(length)
}

fn input(controller: &OwnedFd) {
    let mut buffer = [0; BUFFER_BYTES];
    while let Ok(length @ 1..) = rustix::io::read(io::stdin(), &mut buffer) {
        let mut left = &buffer[..length];
        while !left.is_empty() {
            match rustix::io::write(controller, left) {
                Ok(written) => left = &left[written..],
                Err(_) => return,
            }
        }
    }
}
