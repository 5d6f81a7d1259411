//! A Python process that keeps the state of one context, and the ends of its three channels.
//!
//! Its program arrives through the control channel, so that nothing lies around in the sandbox
//! that a user could find in the way. Must not: know about clients. Next: `cell` for what it does
//! with one, `inside.py` for the program.

use std::ffi::CString;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::ending::Death;
use super::leftovers::Leftovers;
use super::protocol::{self, Decoder, Frame, Order};
use super::stream::{Output, Stream};
use crate::process::{Child, Error, Exit, Launch, Place, RunAs, charts, code_run};
use crate::toolbox::Toolbox;
use crate::upgrade::{Busy, Packer, Unpacker, state};

const PROGRAM: &str = include_str!("inside.py");
/// Reads the program from standard input and becomes it.
const LOADER: &str = "\
import os
def read(length):
    data = b''
    while len(data) < length:
        data += os.read(0, length - len(data)) or os._exit(0)
    return data
program = read(int.from_bytes(read(4), 'little'))
exec(compile(program, '<interpreter>', 'exec'), {'__name__': '<interpreter>'})
";
/// Read from the control channel at once.
const READ_BYTES: usize = 16 << 10;
/// For a process to take an order, which includes its start; interpreters start slowly where many
/// do at once.
pub(super) const ORDER_WAIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Python {
    child: Child,
    control: UnixStream,
    reports: Decoder,
    control_ended: bool,
    stdout: Stream,
    stderr: Stream,
    /// Looked at first; alternates, so that a flood on one does not silence the other.
    first: Output,
    exited: Option<Exit>,
    pub(super) leftovers: Leftovers,
}

/// What a process says next.
#[derive(Debug)]
pub(super) enum Said {
    Output(Output, String),
    Report(Frame),
    /// It does not keep to the protocol.
    Nonsense(protocol::Error),
    Exited(Exit),
}

impl Python {
    /// Starts one in `cwd`; call on the thread that collects. It gets ready by itself.
    pub(super) fn start(toolbox: &Toolbox, cwd: &Path) -> Result<Self, Error> {
        toolbox.refresh_stand_ins();
        let env = toolbox.environment.get();
        let (control, its_end) = std::os::unix::net::UnixStream::pair().map_err(Error::Start)?;
        let (stdout, stdout_writer) = Stream::open(Output::Stdout).map_err(Error::Start)?;
        let (stderr, stderr_writer) = Stream::open(Output::Stderr).map_err(Error::Start)?;
        let programs = ["python3", "python"].map(|name| code_run::programs(name, &env));
        let child = toolbox.processes.start(Launch {
            programs: programs.concat(),
            argv: arguments(),
            env: &env,
            cwd,
            stdin: OwnedFd::from(its_end),
            stdout: stdout_writer,
            stderr: Some(stderr_writer),
            run_as: RunAs::User,
            place: Place::OwnTree,
            terminal: false,
        })?;
        Ok(Self {
            child,
            control: send_program(control).map_err(Error::Start)?,
            reports: Decoder::default(),
            control_ended: false,
            stdout,
            stderr,
            first: Output::Stdout,
            exited: None,
            leftovers: Leftovers::default(),
        })
    }

    pub(super) fn save(&self, packer: &mut Packer) -> Result<state::Python, Busy> {
        if !self.child.is_awaited() {
            return Err(Busy("an interpreter is ending"));
        }
        let leftovers = self.leftovers.all().into_iter();
        let leftovers = leftovers.map(|(output, text)| (output == Output::Stderr, text));
        Ok(state::Python {
            protocol: protocol::VERSION,
            pid: self.child.pid.as_raw_nonzero().get(),
            tree: packer.tree(&self.child.tree),
            control: packer.fd(&self.control),
            unread: packer.bytes(self.reports.unread()),
            control_ended: self.control_ended,
            stdout: self.stdout.save(packer),
            stderr: self.stderr.save(packer),
            leftovers: leftovers.collect(),
        })
    }

    pub(super) fn take_up(
        toolbox: &Toolbox,
        saved: &state::Python,
        unpacker: &mut Unpacker,
    ) -> io::Result<Self> {
        if saved.protocol != protocol::VERSION {
            return Err(io::Error::other(
                "the toolbox was upgraded to one that it does not know",
            ));
        }
        let pid = Pid::from_raw(saved.pid).ok_or(io::ErrorKind::InvalidData)?;
        let tree = unpacker.tree(saved.tree)?;
        let control = UnixStream::from_std(unpacker.fd(saved.control)?.into())?;
        let mut reports = Decoder::default();
        reports
            .buffer()
            .extend_from_slice(&unpacker.bytes(saved.unread)?);
        let mut leftovers = Leftovers::default();
        for (is_error, text) in &saved.leftovers {
            let output = if *is_error {
                Output::Stderr
            } else {
                Output::Stdout
            };
            leftovers.push(output, text);
        }
        Ok(Self {
            control,
            reports,
            control_ended: saved.control_ended,
            stdout: Stream::take_up(Output::Stdout, &saved.stdout, unpacker)?,
            stderr: Stream::take_up(Output::Stderr, &saved.stderr, unpacker)?,
            first: Output::Stdout,
            exited: None,
            leftovers,
            child: toolbox.processes.adopt(pid, tree),
        })
    }

    /// Hands over an order. Fails when it is not taken in time, or by nobody.
    pub(super) async fn order(
        &mut self,
        order: Order,
        number: u32,
        fields: &[&str],
    ) -> io::Result<()> {
        let bytes = protocol::encode(order, number, fields);
        match timeout(ORDER_WAIT, self.control.write_all(&bytes)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// What it says next; in the end again and again that it has exited.
    ///
    /// Safe to drop at any await. Reports come before output: a process sends one only when all
    /// output before it was taken, and goes on only when the report was.
    pub(super) async fn next(&mut self) -> Said {
        loop {
            match self.reports.next() {
                Ok(Some(frame)) => return Said::Report(frame),
                Ok(None) => {}
                Err(error) => return Said::Nonsense(error),
            }
            if let Some(exit) = self.exited {
                return Said::Exited(exit);
            }
            let (first, second) = match self.first {
                Output::Stdout => (&mut self.stdout, &mut self.stderr),
                Output::Stderr => (&mut self.stderr, &mut self.stdout),
            };
            self.reports.buffer().reserve(READ_BYTES);
            let (output, text) = tokio::select! {
                // Each may be dropped: a oneshot keeps its state, and reads keep what they read.
                biased;
                read = self.control.read_buf(self.reports.buffer()), if !self.control_ended => {
                    self.control_ended = !matches!(read, Ok(1..));
                    continue;
                }
                exit = &mut self.child.exit => {
                    let exit = exit.unwrap_or(Exit::Code(-1));
                    self.exited = Some(exit);
                    return Said::Exited(exit);
                }
                text = first.read(), if !first.ended() => (first.output, text),
                text = second.read(), if !second.ended() => (second.output, text),
            };
            self.first = match output {
                Output::Stdout => Output::Stderr,
                Output::Stderr => Output::Stdout,
            };
            if !text.is_empty() {
                return Said::Output(output, text);
            }
        }
    }

    /// Output that has been written but not read yet.
    pub(super) fn drain(&mut self) -> [(Output, String); 2] {
        [&mut self.stdout, &mut self.stderr].map(|stream| {
            let mut text = stream.drain();
            text.push_str(&stream.finish());
            (stream.output, text)
        })
    }

    /// Reports that it sent before it ended.
    pub(super) fn last_reports(&mut self) -> Vec<Frame> {
        let mut buffer = vec![0; READ_BYTES];
        // Ends: nobody writes any more, and the socket holds little.
        while let Ok(length @ 1..) = rustix::io::read(&self.control, &mut *buffer) {
            self.reports.buffer().extend_from_slice(&buffer[..length]);
        }
        std::iter::from_fn(|| self.reports.next().ok().flatten()).collect()
    }

    /// As Ctrl-C would: the process and what it runs in the foreground.
    pub(super) fn interrupt(&self) {
        // Once it is known to be gone, its number may be another's.
        if self.exited.is_none() {
            let _gone = rustix::process::kill_process_group(self.child.pid, Signal::INT);
        }
    }

    /// Keeps what is written while no cell runs, until it is of no more use.
    pub(super) async fn idle(&mut self) -> Death {
        loop {
            match self.next().await {
                Said::Output(output, text) => self.leftovers.push(output, &text),
                // About a cell that is over.
                Said::Report(_) => {}
                Said::Nonsense(error) => return Death::Unusable(error.to_string()),
                Said::Exited(exit) => return Death::Exited(exit),
            }
        }
    }
}

fn arguments() -> Vec<CString> {
    ["python3", "-c", LOADER]
        .into_iter()
        .filter_map(|word| CString::new(word).ok())
        .collect()
}

/// The program and what looks into charts. Together they are far less than a socket holds, so
/// nothing waits here for the process to read.
fn send_program(mut control: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
    control.set_nonblocking(true)?;
    control.write_all(&protocol::length_bytes(PROGRAM.len()))?;
    control.write_all(PROGRAM.as_bytes())?;
    control.write_all(&protocol::encode(Order::Charts, 0, &[charts::DESCRIBE]))?;
    UnixStream::from_std(control)
}
