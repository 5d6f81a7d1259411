//! One connection to the X server, made for a request and closed with it.
//!
//! Everything that waits for the server ends at the connection's deadline. Blocking: use
//! [`with`] from handlers.
//! Must not: keep a connection between requests; an idle sandbox would pay for it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::time::Instant;
use x11rb::connection::Connection as _;
use x11rb::errors::{ConnectError, ConnectionError, ReplyError};
use x11rb::protocol::xproto::{ConnectionExt as _, Window};
use x11rb::rust_connection::{DefaultStream, PollMode, RustConnection, Stream};
use x11rb::utils::RawFdContainer;

/// What one request may wait for the X server, in all.
const TIME_MAX: Duration = Duration::from_secs(10);

/// A connection with a deadline.
pub(crate) type Connection = RustConnection<Timed>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the desktop is not running")]
    Absent,
    #[error("the display did not answer within {} s", TIME_MAX.as_secs())]
    Late,
    #[error("other input is under way")]
    Busy,
    #[error("{0}")]
    Invalid(String),
    #[error("the connection to the display broke: {0}")]
    Broken(String),
    #[error("the display refused: {0}")]
    Refused(String),
}

/// The display of one request.
#[derive(Debug)]
pub(crate) struct Display {
    pub(crate) x: Connection,
    pub(crate) root: Window,
    pub(crate) width: u16,
    pub(crate) height: u16,
}

/// Does `work` on a thread where waiting for the server delays nobody else.
pub(crate) async fn with<T: Send + 'static>(
    number: u16,
    work: impl FnOnce(&Display) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(move || work(&Display::open(number)?)).await;
    done.map_err(|_| Error::Broken("the work did not finish".to_owned()))?
}

/// Whether a server answers there.
pub(crate) async fn answers(number: u16) -> bool {
    with(number, |_| Ok(())).await.is_ok()
}

impl Display {
    /// Connects, and learns the present size of the screen.
    pub(crate) fn open(number: u16) -> Result<Self, Error> {
        let stream = connect(number).map_err(|_| Error::Absent)?;
        let (inner, _) = DefaultStream::from_unix_stream(stream).map_err(broken)?;
        let stream = Timed {
            inner,
            deadline: Instant::now() + TIME_MAX,
        };
        let x = RustConnection::connect_to_stream(stream, 0)?;
        let root = x
            .setup()
            .roots
            .first()
            .ok_or_else(|| broken("no screen"))?
            .root;
        let size = x.get_geometry(root)?.reply()?;
        Ok(Self {
            x,
            root,
            width: size.width,
            height: size.height,
        })
    }

    /// The number that a name has on this server.
    pub(crate) fn atom(&self, name: &str) -> Result<u32, Error> {
        Ok(self.x.intern_atom(false, name.as_bytes())?.reply()?.atom)
    }

    /// Waits until the server has done all that was sent.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        let _focus = self.x.get_input_focus()?.reply()?;
        Ok(())
    }
}

/// Never waits: a server that does not accept leaves no room in its queue at some point.
fn connect(number: u16) -> io::Result<UnixStream> {
    let path = format!("/tmp/.X11-unix/X{number}");
    let socket = || -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        Ok(socket?)
    };
    let file = socket()?;
    if rustix::net::connect(&file, &SocketAddrUnix::new(&path)?).is_ok() {
        return Ok(file.into());
    }
    // The socket's file is gone when somebody has cleaned /tmp; its abstract name stays.
    let nameless = socket()?;
    rustix::net::connect(
        &nameless,
        &SocketAddrUnix::new_abstract_name(path.as_bytes())?,
    )?;
    Ok(nameless.into())
}

/// A stream whose waits all end at one instant.
#[derive(Debug)]
pub(crate) struct Timed {
    inner: DefaultStream,
    deadline: Instant,
}

impl Stream for Timed {
    fn poll(&self, mode: PollMode) -> io::Result<()> {
        let mut flags = PollFlags::empty();
        if mode.readable() {
            flags |= PollFlags::IN;
        }
        if mode.writable() {
            flags |= PollFlags::OUT;
        }
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let left = Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            });
            match rustix::event::poll(
                &mut [PollFd::from_borrowed_fd(self.inner.as_fd(), flags)],
                Some(&left),
            ) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn read(&self, buffer: &mut [u8], fds: &mut Vec<RawFdContainer>) -> io::Result<usize> {
        self.inner.read(buffer, fds)
    }

    fn write(&self, buffer: &[u8], fds: &mut Vec<RawFdContainer>) -> io::Result<usize> {
        self.inner.write(buffer, fds)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken(reason: impl ToString) -> Error {
    Error::Broken(reason.to_string())
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::IoError(error) => from_io(&error),
            other => broken(other),
        }
    }
}

impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::IoError(error) => from_io(&error),
            other => broken(other),
        }
    }
}

impl From<ReplyError> for Error {
    fn from(error: ReplyError) -> Self {
        match error {
            ReplyError::ConnectionError(error) => error.into(),
            ReplyError::X11Error(error) => Self::Refused(format!("{:?}", error.error_kind)),
        }
    }
}

fn from_io(error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::TimedOut {
        Error::Late
    } else {
        broken(error)
    }
}
