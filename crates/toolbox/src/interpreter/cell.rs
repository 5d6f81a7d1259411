//! One cell from start to end: what it says goes to whoever asked for it, and its time is bounded.
//!
//! ```text
//! running ──done──────────────────────────────► completed, interrupted
//!    │ time is over, or the client has left: SIGINT
//!    ▼
//! ending ──done──► timed out, left (the state is kept)
//!    │ the grace is over: the process is ended
//!    ▼
//! timed out, left (the state is lost)
//! ```
//!
//! A process that exits, or a context that is deleted, ends a cell at any time.
//! Next: `context` for what happens between cells.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::protocol::{Frame, Order, Report};
use super::python::{Python, Said};
use super::stream::Output;
use crate::environment::Variables;
use crate::process::Exit;

/// Between SIGINT and the end of the process.
const INTERRUPT_GRACE: Duration = Duration::from_secs(2);
/// For a client to take the last events of a cell that is over.
const LAST_EVENTS_WAIT: Duration = Duration::from_secs(30);
/// What Python calls an interrupt.
const INTERRUPTED: &str = "KeyboardInterrupt";

/// A cell to run, and the ends of the channels to whoever asked.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) code: String,
    pub(super) envs: Variables,
    pub(super) timeout: Option<Duration>,
    /// Whether the client answers questions of `input()`.
    pub(super) answers: bool,
    /// Bounded: a client that is slow slows the cell.
    pub(super) events: mpsc::Sender<Event>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) ended: oneshot::Sender<Ending>,
}

/// What happens in a cell.
#[derive(Debug)]
pub(super) enum Event {
    Output(Output, String),
    Report(Report),
}

/// What the client wants meanwhile.
#[derive(Debug)]
pub(super) enum Command {
    Interrupt,
    /// A line of input, or the end of it.
    Input(Option<String>),
}

/// How a cell ended.
#[derive(Debug)]
pub(super) enum Ending {
    Completed,
    Interrupted,
    TimedOut {
        limit: Duration,
        state: State,
    },
    /// Nobody is left to be told.
    Left(State),
    /// The process is gone, and with it all state.
    Died(Death),
    /// The process could not be started.
    NotStarted(String),
    Deleted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Kept,
    Lost,
}

/// Why a process is of no more use.
#[derive(Debug)]
pub(super) enum Death {
    Exited(Exit),
    /// The kernel has killed it because this much memory, the sandbox's, was used up.
    OutOfMemory {
        limit_bytes: u64,
    },
    /// It did not keep to the protocol, or did not take the cell; why.
    Unusable(String),
}

impl std::fmt::Display for Death {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(Exit::Code(code)) => write!(to, "it exited with code {code}"),
            Self::Exited(Exit::Signal(signal)) => write!(to, "it was ended by signal {signal}"),
            Self::OutOfMemory { limit_bytes } => write!(
                to,
                "it was killed: out of memory (the sandbox's limit is {} MiB)",
                limit_bytes >> 20
            ),
            Self::Unusable(reason) => write!(to, "it had to be ended: {reason}"),
        }
    }
}

/// Why a cell shall end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Timeout(Duration),
    Left,
}

#[derive(Debug)]
enum Phase {
    Running(Option<Instant>),
    Ending(Why, Instant),
}

#[derive(Debug)]
enum Step {
    Said(Said),
    Command(Option<Command>),
    Late,
    Left,
    Stopped,
    Delivered,
}

/// A cell that runs.
struct Run<'a> {
    python: &'a mut Python,
    cell: &'a mut Cell,
    number: u32,
    phase: Phase,
    /// Not yet taken by the client; while there is any, no more is read.
    pending: VecDeque<Event>,
    commands_open: bool,
    asked_to_interrupt: bool,
    interrupted: bool,
}

/// Runs the cell on the process; `stop` resolves when the context is deleted. Unless the state was
/// kept the process is of no more use.
pub(super) async fn run(
    python: &mut Python,
    cell: &mut Cell,
    number: u32,
    stop: &mut oneshot::Receiver<()>,
) -> Ending {
    let mut run = Run {
        python,
        cell,
        number,
        phase: Phase::Running(None),
        pending: VecDeque::new(),
        commands_open: true,
        asked_to_interrupt: false,
        interrupted: false,
    };
    let ending = tokio::select! {
        // Either is the end of this cell; a process with half an order is thrown away.
        biased;
        _ = &mut *stop => return Ending::Deleted,
        begun = run.begin() => match begun {
            Ok(()) => run.follow(stop).await,
            Err(ending) => ending,
        },
    };
    run.deliver_rest().await;
    ending
}

impl Run<'_> {
    async fn begin(&mut self) -> Result<(), Ending> {
        for (output, text) in self.python.leftovers.take() {
            self.pending.push_back(Event::Output(output, text));
        }
        let may_ask = if self.cell.answers { "1" } else { "" };
        let mut fields = vec![may_ask, self.cell.code.as_str()];
        for (name, value) in &self.cell.envs {
            fields.extend([name.as_str(), value.as_str()]);
        }
        let taken = self.python.order(Order::Execute, self.number, &fields);
        if let Err(error) = taken.await {
            return Err(self.unusable(format!("it did not take the cell: {error}")));
        }
        let deadline = self.cell.timeout.map(|limit| Instant::now() + limit);
        self.phase = Phase::Running(deadline);
        Ok(())
    }

    async fn follow(&mut self, stop: &mut oneshot::Receiver<()>) -> Ending {
        loop {
            match self.step(stop).await {
                Step::Delivered => {}
                Step::Stopped => return Ending::Deleted,
                Step::Late => {
                    if let Some(ending) = self.late() {
                        return ending;
                    }
                }
                Step::Left => self.end_early(Why::Left),
                Step::Command(command) => self.obey(command).await,
                Step::Said(Said::Output(output, text)) => {
                    self.forward(Event::Output(output, text));
                }
                Step::Said(Said::Report(frame)) => {
                    if self.note(frame) == Progress::Done {
                        self.forward_rest();
                        return self.done();
                    }
                }
                Step::Said(Said::Nonsense(error)) => return self.unusable(error.to_string()),
                Step::Said(Said::Exited(exit)) => return self.exited(exit),
            }
        }
    }

    async fn step(&mut self, stop: &mut oneshot::Receiver<()>) -> Step {
        let (limit, running) = match self.phase {
            Phase::Running(limit) => (limit, true),
            Phase::Ending(_, limit) => (Some(limit), false),
        };
        let cell = &mut *self.cell;
        tokio::select! {
            // Ends before output, or a flood would hide them. All may be dropped: a timer and
            // channels keep their state, a permit is given back, `next` keeps what it read.
            biased;
            _ = stop => Step::Stopped,
            () = passed(limit) => Step::Late,
            () = cell.events.closed(), if running => Step::Left,
            command = cell.commands.recv(), if running && self.commands_open => {
                Step::Command(command)
            }
            permit = cell.events.reserve(), if !self.pending.is_empty() => {
                match (permit, self.pending.pop_front()) {
                    (Ok(permit), Some(event)) => permit.send(event),
                    _ => self.pending.clear(),
                }
                Step::Delivered
            }
            said = self.python.next(), if self.pending.is_empty() => Step::Said(said),
        }
    }

    /// The time of this phase is over.
    fn late(&mut self) -> Option<Ending> {
        match self.phase {
            Phase::Running(_) => {
                self.end_early(Why::Timeout(self.cell.timeout.unwrap_or_default()));
                None
            }
            Phase::Ending(Why::Timeout(limit), _) => Some(Ending::TimedOut {
                limit,
                state: State::Lost,
            }),
            Phase::Ending(Why::Left, _) => Some(Ending::Left(State::Lost)),
        }
    }

    fn end_early(&mut self, why: Why) {
        self.python.interrupt();
        self.phase = Phase::Ending(why, Instant::now() + INTERRUPT_GRACE);
        // From here on a client that is slow misses something; the process must be heard.
        for event in std::mem::take(&mut self.pending) {
            self.forward(event);
        }
    }

    async fn obey(&mut self, command: Option<Command>) {
        match command {
            None => self.commands_open = false,
            Some(Command::Interrupt) => {
                self.asked_to_interrupt = true;
                self.python.interrupt();
            }
            Some(Command::Input(line)) => {
                let fields: Vec<&str> = line.as_deref().into_iter().collect();
                let order = self.python.order(Order::Input, self.number, &fields);
                // A process that does not take it will be heard of otherwise.
                let _taken = order.await;
            }
        }
    }

    fn forward(&mut self, event: Event) {
        match self.phase {
            Phase::Running(_) => self.pending.push_back(event),
            Phase::Ending(..) => {
                let _full = self.cell.events.try_send(event);
            }
        }
    }

    fn note(&mut self, frame: Frame) -> Progress {
        if frame.number != self.number {
            return Progress::Running;
        }
        match frame.report {
            Report::Done => return Progress::Done,
            Report::Error { ref name, .. } if name == INTERRUPTED => {
                self.interrupted = true;
                // Of our own doing, and told in another way.
                if matches!(self.phase, Phase::Running(_)) {
                    self.forward(Event::Report(frame.report));
                }
            }
            report => self.forward(Event::Report(report)),
        }
        Progress::Running
    }

    fn done(&self) -> Ending {
        match self.phase {
            Phase::Running(_) if self.asked_to_interrupt && self.interrupted => Ending::Interrupted,
            Phase::Running(_) => Ending::Completed,
            Phase::Ending(Why::Timeout(limit), _) => Ending::TimedOut {
                limit,
                state: State::Kept,
            },
            Phase::Ending(Why::Left, _) => Ending::Left(State::Kept),
        }
    }

    fn exited(&mut self, exit: Exit) -> Ending {
        let mut progress = Progress::Running;
        for frame in self.python.last_reports() {
            progress = progress.max(self.note(frame));
        }
        self.forward_rest();
        match (progress, &self.phase) {
            // It finished the cell and then exited: both are true, and the second matters later.
            (Progress::Done, _) => self.done(),
            (Progress::Running, Phase::Running(_)) => Ending::Died(Death::Exited(exit)),
            (Progress::Running, Phase::Ending(Why::Timeout(limit), _)) => Ending::TimedOut {
                limit: *limit,
                state: State::Lost,
            },
            (Progress::Running, Phase::Ending(Why::Left, _)) => Ending::Left(State::Lost),
        }
    }

    fn unusable(&mut self, reason: String) -> Ending {
        Ending::Died(Death::Unusable(reason))
    }

    /// What was written before the cell ended and not read yet.
    fn forward_rest(&mut self) {
        for (output, text) in self.python.drain() {
            if !text.is_empty() {
                self.forward(Event::Output(output, text));
            }
        }
    }

    /// Gives the client what it has not taken yet, if it still takes anything.
    async fn deliver_rest(&mut self) {
        let deliver = async {
            while let Some(event) = self.pending.pop_front() {
                if self.cell.events.send(event).await.is_err() {
                    return;
                }
            }
        };
        let _late = timeout(LAST_EVENTS_WAIT, deliver).await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Running,
    Done,
}

async fn passed(limit: Option<Instant>) {
    match limit {
        Some(limit) => sleep_until(limit).await,
        None => std::future::pending().await,
    }
}
