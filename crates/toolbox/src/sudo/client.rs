//! The program `sudo`: asks the toolbox to run a command, and ends as the command ends.
//!
//! When its input is a terminal the command gets one of its own that this process relays, so
//! that job control and `Ctrl+C` work for a command that is no child of ours.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::ExitCode;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::arguments::{self, Asked, Run, Shell};
use super::terminal::Relay;
use super::wire::{self, Answer, Request, WireShell};
use super::{SOCKET_NAME, SOCKET_VARIABLE};

/// What `sudo` ends with when it could not run anything.
const FAILED: u8 = 1;
/// Longest answer: one error text.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("reach the toolbox")]
    Connect(#[source] io::Error),
    #[error("ask the toolbox")]
    Ask(#[source] io::Error),
    #[error("prepare a terminal")]
    Terminal(#[source] io::Error),
    #[error("{0}")]
    Refused(String),
}

pub(crate) fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args = args.map(|arg| arg.to_string_lossy().into_owned());
    let run = match arguments::parse(args) {
        Ok(Asked::Run(run)) => run,
        Ok(Asked::Nothing) => return ExitCode::SUCCESS,
        Ok(Asked::List) => {
            return say("User may run the following commands:\n    (ALL) NOPASSWD: ALL\n");
        }
        Ok(Asked::Version) => return say("Sudo of the Sebring toolbox\n"),
        Err(error) => {
            eprintln!("sudo: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime.map_err(Error::Ask).and_then(|runtime| {
        let ended = runtime.block_on(ask(run));
        // A read from the terminal may still be under way; it ends with us.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(code) => ExitCode::from(u8::try_from(code & 0xff).unwrap_or(FAILED)),
        Err(error) => {
            eprintln!("sudo: {}", sebring_tasks::chain(&error));
            ExitCode::from(FAILED)
        }
    }
}

fn say(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(FAILED),
    }
}

async fn ask(run: Run) -> Result<i32, Error> {
    let stream = connect().map_err(Error::Connect)?;
    let relay = if io::stdin().is_terminal() {
        Some(Relay::open().map_err(Error::Terminal)?)
    } else {
        None
    };
    let request = request(run, relay.is_some()).map_err(Error::Ask)?;
    let text = serde_json::to_vec(&request).map_err(|error| Error::Ask(error.into()))?;
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let descriptors = match &relay {
        Some(relay) => relay.descriptors(),
        None => [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
    };
    wire::send_head(&stream, text.len(), descriptors).map_err(Error::Ask)?;
    stream.set_nonblocking(true).map_err(Error::Ask)?;
    let mut stream = tokio::net::UnixStream::from_std(stream).map_err(Error::Ask)?;
    stream.write_all(&text).await.map_err(Error::Ask)?;
    let Some(mut relay) = relay else {
        return follow(stream).await;
    };
    relay.begin().map_err(Error::Terminal)?;
    let ended = tokio::select! {
        // Both are dropped only when there is an answer; bytes are carried by threads.
        ended = follow(stream) => ended,
        never = async { relay.resize().await; std::future::pending().await } => never,
    };
    relay.finish().await;
    ended
}

fn connect() -> io::Result<UnixStream> {
    #[expect(clippy::disallowed_methods, reason = "the one setting of this program")]
    let name = std::env::var(SOCKET_VARIABLE).unwrap_or_else(|_| SOCKET_NAME.to_owned());
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)
}

fn request(run: Run, terminal: bool) -> io::Result<Request> {
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let cwd = match run.directory {
        Some(directory) => directory,
        None => std::env::current_dir()?.to_string_lossy().into_owned(),
    };
    Ok(Request {
        user: run.user,
        command: run.command,
        shell: match run.shell {
            Shell::None => WireShell::None,
            Shell::Plain => WireShell::Plain,
            Shell::Login => WireShell::Login,
        },
        keep_environment: run.keep_environment,
        keep: run.keep,
        set: run.set,
        env,
        cwd,
        terminal,
    })
}

/// Waits for the answer, passing signals on meanwhile.
async fn follow(stream: tokio::net::UnixStream) -> Result<i32, Error> {
    let (from, mut to) = stream.into_split();
    let mut from = from.take(ANSWER_BYTES_MAX);
    let mut signals = Signals::new().map_err(Error::Ask)?;
    let mut text = Vec::new();
    loop {
        tokio::select! {
            // `read_to_end` keeps what it has read when dropped; signals are not lost either.
            ended = from.read_to_end(&mut text) => {
                ended.map_err(Error::Ask)?;
                break;
            }
            number = signals.next() => {
                // A broker that is gone has answered or never will; the read above tells.
                let _gone = to.write_all(&[number]).await;
            }
        }
    }
    match serde_json::from_slice(&text) {
        Ok(Answer::Exited(code)) => Ok(code),
        Ok(Answer::Refused(reason)) => Err(Error::Refused(reason)),
        Err(_) => Err(Error::Ask(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// The signals that concern the command rather than us.
struct Signals(Vec<(u8, Signal)>);

impl Signals {
    fn new() -> io::Result<Self> {
        let numbers: [u8; 6] = [1, 2, 3, 10, 12, 15];
        let signals = numbers
            .into_iter()
            .map(|number| Ok((number, signal(SignalKind::from_raw(i32::from(number)))?)));
        signals.collect::<io::Result<_>>().map(Self)
    }

    async fn next(&mut self) -> u8 {
        std::future::poll_fn(|context| {
            for (number, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}
