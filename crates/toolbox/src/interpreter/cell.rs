//! One cell from start to end: what it says goes to whoever asked for it, and its time is bounded.
//!
//! ```text
//! ordered ──the process never says that it has begun──► died
//!    │ it has begun: the cell's time runs, and SIGINT reaches the cell
//!    ▼
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
//! Next: `context` for what happens between cells, `ending` for what a cell may come to.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::ending::{Death, Ending, State};
use super::protocol::{Frame, Order, Report};
use super::python::{ORDER_WAIT, Python, Said};
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

/// Why a cell shall end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Timeout(Duration),
    Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Here,
    Left,
}

#[derive(Debug)]
enum Phase {
    /// A process that starts is not interrupted: it would die of that, or take no notice.
    Ordered(Instant),
    Running(Option<Instant>),
    Ending(Why, Instant),
}

#[derive(Debug)]
enum Step {
    Said(Said),
    Command(Command),
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
    client: Client,
    /// The cell waits for a line of input.
    wants_input: bool,
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
        phase: Phase::Ordered(Instant::now() + ORDER_WAIT),
        pending: VecDeque::new(),
        client: Client::Here,
        wants_input: false,
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
            return Err(unusable(format!("it did not take the cell: {error}")));
        }
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
                Step::Left => self.left(),
                Step::Command(command) => {
                    if let Some(ending) = self.obey(command, stop).await {
                        return ending;
                    }
                }
                Step::Said(Said::Output(output, text)) => {
                    self.forward(Event::Output(output, text));
                }
                Step::Said(Said::Report(frame)) => {
                    if self.note(frame) == Progress::Done {
                        self.forward_rest();
                        return self.done();
                    }
                }
                Step::Said(Said::Nonsense(error)) => return unusable(error.to_string()),
                Step::Said(Said::Exited(exit)) => return self.exited(exit),
            }
        }
    }

    async fn step(&mut self, stop: &mut oneshot::Receiver<()>) -> Step {
        let limit = self.phase.limit();
        let heeds = self.client == Client::Here && !matches!(self.phase, Phase::Ending(..));
        let cell = &mut *self.cell;
        tokio::select! {
            // Ends before output, or a flood would hide them. All may be dropped: a timer and
            // channels keep their state, a permit is given back, `next` keeps what it read.
            biased;
            _ = stop => Step::Stopped,
            () = passed(limit) => Step::Late,
            () = cell.events.closed(), if heeds => Step::Left,
            command = cell.commands.recv(), if heeds => command.map_or(Step::Left, Step::Command),
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
            Phase::Ordered(_) => Some(unusable("it did not begin the cell in time")),
            Phase::Running(_) => {
                self.end_early(Why::Timeout(self.cell.timeout.unwrap_or_default()));
                None
            }
            Phase::Ending(why, _) => Some(did_not_stop(why)),
        }
    }

    /// The cell has begun: what had to wait for that.
    fn begun(&mut self) {
        if !matches!(self.phase, Phase::Ordered(_)) {
            return;
        }
        let deadline = self.cell.timeout.map(|limit| Instant::now() + limit);
        self.phase = Phase::Running(deadline);
        if self.client == Client::Left {
            self.end_early(Why::Left);
        } else if self.asked_to_interrupt {
            self.python.interrupt();
        }
    }

    fn left(&mut self) {
        self.client = Client::Left;
        if matches!(self.phase, Phase::Running(_)) {
            self.end_early(Why::Left);
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

    async fn obey(&mut self, command: Command, stop: &mut oneshot::Receiver<()>) -> Option<Ending> {
        match command {
            Command::Interrupt => {
                self.asked_to_interrupt = true;
                if matches!(self.phase, Phase::Running(_)) {
                    self.python.interrupt();
                }
            }
            Command::Input(line) if self.cell.answers && self.wants_input => {
                self.wants_input = false;
                return self.hand_over(line.as_deref(), stop).await;
            }
            // Nobody reads it, so it would wait in the way of the next order.
            Command::Input(_) => {}
        }
        None
    }

    /// Gives the cell the line that it asked for.
    async fn hand_over(
        &mut self,
        line: Option<&str>,
        stop: &mut oneshot::Receiver<()>,
    ) -> Option<Ending> {
        let limit = self.phase.limit();
        let fields: Vec<&str> = line.into_iter().collect();
        tokio::select! {
            // Each but the last is the end of the process, which then has half an order.
            biased;
            _ = stop => Some(Ending::Deleted),
            () = passed(limit) => {
                let limit = self.cell.timeout.unwrap_or_default();
                Some(did_not_stop(Why::Timeout(limit)))
            }
            () = self.cell.events.closed() => Some(did_not_stop(Why::Left)),
            taken = self.python.order(Order::Input, self.number, &fields) => {
                let error = taken.err()?;
                Some(unusable(format!("it did not take input: {error}")))
            }
        }
    }

    fn forward(&mut self, event: Event) {
        match self.phase {
            Phase::Ordered(_) | Phase::Running(_) => self.pending.push_back(event),
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
            Report::Begun => self.begun(),
            Report::Done => return Progress::Done,
            Report::Error { ref name, .. } if name == INTERRUPTED => {
                self.interrupted = true;
                // Of our own doing, and told in another way.
                if !matches!(self.phase, Phase::Ending(..)) {
                    self.forward(Event::Report(frame.report));
                }
            }
            Report::Ask(_) => {
                self.wants_input = true;
                self.forward(Event::Report(frame.report));
            }
            report => self.forward(Event::Report(report)),
        }
        Progress::Running
    }

    fn done(&self) -> Ending {
        match self.phase {
            Phase::Running(_) if self.asked_to_interrupt && self.interrupted => Ending::Interrupted,
            Phase::Ordered(_) | Phase::Running(_) => Ending::Completed,
            Phase::Ending(Why::Timeout(limit), _) => Ending::TimedOut {
                limit,
                state: State::Kept,
            },
            Phase::Ending(Why::Left, _) => Ending::Left(None),
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
            (Progress::Running, Phase::Ordered(_) | Phase::Running(_)) => {
                Ending::Died(Death::Exited(exit))
            }
            (Progress::Running, Phase::Ending(Why::Timeout(limit), _)) => Ending::TimedOut {
                limit: *limit,
                state: State::Lost,
            },
            (Progress::Running, Phase::Ending(Why::Left, _)) => {
                Ending::Left(Some(Death::Exited(exit)))
            }
        }
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

impl Phase {
    /// When it is over.
    const fn limit(&self) -> Option<Instant> {
        match *self {
            Self::Ordered(limit) | Self::Ending(_, limit) => Some(limit),
            Self::Running(limit) => limit,
        }
    }
}

fn unusable(reason: impl Into<String>) -> Ending {
    Ending::Died(Death::Unusable(reason.into()))
}

/// The process has to be ended.
fn did_not_stop(why: Why) -> Ending {
    match why {
        Why::Timeout(limit) => Ending::TimedOut {
            limit,
            state: State::Lost,
        },
        Why::Left => Ending::Left(Some(Death::did_not_stop())),
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
