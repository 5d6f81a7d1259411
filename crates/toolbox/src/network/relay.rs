//! A raw stream between the host and a port of the sandbox: bytes both ways until both are done.
//!
//! Bytes that the one side did not take yet are kept where they can be handed over; an idle stream
//! keeps none.
//!
//! Must not: know what is said.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpStream, UnixStream};

use crate::process::registry::Registry;
use crate::toolbox::Toolbox;
use crate::upgrade::{Packer, Unpacker, state};

/// Read at once: large enough for bulk.
const READ_BYTES: usize = 32 << 10;

/// All streams of the sandbox.
#[derive(Debug, Default)]
pub(crate) struct Relays(Registry<Relay>);

#[derive(Debug)]
struct Relay {
    host: UnixStream,
    port: TcpStream,
    to_port: Mutex<Way>,
    to_host: Mutex<Way>,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// Read, and not taken yet.
    waiting: Vec<u8>,
    /// No more comes.
    ended: bool,
}

/// A side of a stream.
trait Side: AsFd {
    async fn readable(&self) -> io::Result<()>;
    async fn writable(&self) -> io::Result<()>;
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

macro_rules! side {
    ($stream:ty) => {
        impl Side for $stream {
            async fn readable(&self) -> io::Result<()> {
                Self::readable(self).await
            }

            async fn writable(&self) -> io::Result<()> {
                Self::writable(self).await
            }

            fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                Self::try_read(self, buffer)
            }

            fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                Self::try_write(self, bytes)
            }
        }
    };
}

side!(UnixStream);
side!(TcpStream);

/// Carries bytes both ways; `begun` came from the host already.
pub(super) fn begin(toolbox: &Toolbox, host: UnixStream, port: TcpStream, begun: &[u8]) {
    let to_port = Way {
        waiting: begun.to_vec(),
        ended: false,
    };
    carry_on(toolbox, host, port, [to_port, Way::default()]);
}

fn carry_on(toolbox: &Toolbox, host: UnixStream, port: TcpStream, ways: [Way; 2]) {
    let [to_port, to_host] = ways.map(Mutex::new);
    let relay = toolbox.relays.0.add(Relay {
        host,
        port,
        to_port,
        to_host,
    });
    toolbox.tasks.spawn("tcp stream", async move {
        let Relay {
            host,
            port,
            to_port,
            to_host,
        } = &*relay;
        // That either side breaks off is an ordinary end, of both directions.
        let _broken = tokio::try_join!(carry(host, port, to_port), carry(port, host, to_host));
    });
}

async fn carry(from: &impl Side, to: &impl Side, way: &Mutex<Way>) -> io::Result<()> {
    loop {
        let (is_waiting, ended) = {
            let way = lock(way);
            (!way.waiting.is_empty(), way.ended)
        };
        if is_waiting {
            to.writable().await?;
            lock(way).write(to)?;
        } else if ended {
            // Gone already is as good.
            let _gone = shut(to.as_fd());
            return Ok(());
        } else {
            from.readable().await?;
            lock(way).read(from, to)?;
            // A flood must not keep others from their turn.
            tokio::task::yield_now().await;
        }
    }
}

impl Way {
    fn read(&mut self, from: &impl Side, to: &impl Side) -> io::Result<()> {
        let mut buffer = [0; READ_BYTES];
        match from.try_read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(length) => {
                let bytes = &buffer[..length];
                let taken = unless_it_would_block(to.try_write(bytes))?;
                self.waiting = bytes[taken..].to_vec();
            }
            Err(error) => {
                unless_it_would_block(Err(error))?;
            }
        }
        Ok(())
    }

    fn write(&mut self, to: &impl Side) -> io::Result<()> {
        let taken = unless_it_would_block(to.try_write(&self.waiting))?;
        self.waiting.drain(..taken);
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
        Ok(())
    }

    fn save(&self, packer: &mut Packer) -> state::Way {
        state::Way {
            waiting: packer.bytes(&self.waiting),
            ended: self.ended,
        }
    }

    fn take_up(saved: &state::Way, unpacker: &Unpacker) -> io::Result<Self> {
        Ok(Self {
            waiting: unpacker.bytes(saved.waiting)?,
            ended: saved.ended,
        })
    }
}

impl Relays {
    pub(crate) fn save(&self, packer: &mut Packer) -> Vec<state::Relay> {
        let all: Vec<Arc<Relay>> = self.0.all();
        let saved = all.iter().map(|relay| state::Relay {
            host: packer.fd(&relay.host),
            port: packer.fd(&relay.port),
            to_port: lock(&relay.to_port).save(packer),
            to_host: lock(&relay.to_host).save(packer),
        });
        saved.collect()
    }
}

pub(crate) fn take_up(toolbox: &Toolbox, saved: &[state::Relay], unpacker: &mut Unpacker) {
    for relay in saved {
        // Both sides see one that cannot be taken up as broken.
        let _broken = take_up_one(toolbox, relay, unpacker);
    }
}

fn take_up_one(toolbox: &Toolbox, saved: &state::Relay, unpacker: &mut Unpacker) -> io::Result<()> {
    let host = UnixStream::from_std(unpacker.fd(saved.host)?.into())?;
    let port = TcpStream::from_std(unpacker.fd(saved.port)?.into())?;
    let ways = [
        Way::take_up(&saved.to_port, unpacker)?,
        Way::take_up(&saved.to_host, unpacker)?,
    ];
    carry_on(toolbox, host, port, ways);
    Ok(())
}

fn unless_it_would_block(done: io::Result<usize>) -> io::Result<usize> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

fn shut(side: BorrowedFd<'_>) -> io::Result<()> {
    rustix::net::shutdown(side, rustix::net::Shutdown::Write)?;
    Ok(())
}

fn lock(way: &Mutex<Way>) -> MutexGuard<'_, Way> {
    way.lock().unwrap_or_else(PoisonError::into_inner)
}
