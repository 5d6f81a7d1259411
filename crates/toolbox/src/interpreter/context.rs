//! One context: a queue of cells, a process that keeps their state, and the task that owns it.
//!
//! Dropping the context ends its task, the process and all that cells have started. A process that
//! is gone is started anew for the next cell, with nothing of the old state.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::cell::{self, Cell};
use super::ending::{Death, Ending, State};
use super::python::Python;
use super::stream::Output;
use crate::clock;
use crate::process::{self, Exit};
use crate::toolbox::Toolbox;
use crate::upgrade::{Berth, Busy, Packer, Unpacker, state};

/// Cells that wait for the one that runs.
const QUEUE_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Context {
    pub(super) id: String,
    pub(super) cwd: PathBuf,
    pub(super) created_at: String,
    cells: mpsc::Sender<Cell>,
    active: Arc<AtomicBool>,
    berth: Arc<Berth<Resting>>,
    /// Its end is the task's.
    _alive: oneshot::Sender<()>,
}

/// Why a cell was not queued.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{QUEUE_MAX} executions wait for this context already, the maximum; try again later")]
    Full,
    #[error("this context has ended")]
    Ended,
}

impl Context {
    /// A context whose process starts with its first cell.
    pub(super) fn lazy(toolbox: &Arc<Toolbox>, id: String, cwd: &Path) -> Self {
        Self::with(toolbox, id, cwd, Resting::default())
    }

    /// A context whose process starts now; call on the thread that collects.
    pub(super) fn start(
        toolbox: &Arc<Toolbox>,
        id: String,
        cwd: &Path,
    ) -> Result<Self, process::Error> {
        let python = Python::start(toolbox, cwd)?;
        let resting = Resting {
            python: Some(python),
            ..Resting::default()
        };
        Ok(Self::with(toolbox, id, cwd, resting))
    }

    pub(super) fn save(
        &self,
        is_default: bool,
        packer: &mut Packer,
    ) -> Result<state::Context, Busy> {
        let berth = self.berth.lock();
        let queued = self.cells.max_capacity() - self.cells.capacity();
        let resting = berth.as_ref().filter(|_| queued == 0);
        let resting = resting.ok_or(Busy("an interpreter runs a cell"))?;
        let python = resting.python.as_ref();
        Ok(state::Context {
            id: self.id.clone(),
            is_default,
            cwd: self.cwd.clone(),
            created_at: self.created_at.clone(),
            number: resting.number,
            lost: resting.lost.as_ref().map(Death::to_string),
            python: python.map(|python| python.save(packer)).transpose()?,
        })
    }

    pub(super) fn take_up(
        toolbox: &Arc<Toolbox>,
        saved: &state::Context,
        unpacker: &mut Unpacker,
    ) -> Self {
        let python = saved.python.as_ref();
        let python = python.map(|python| Python::take_up(toolbox, python, unpacker));
        let lost = match &python {
            Some(Err(error)) => Some(Death::Unusable(error.to_string())),
            _ => saved.lost.clone().map(Death::Earlier),
        };
        let resting = Resting {
            python: python.and_then(Result::ok),
            number: saved.number,
            lost,
        };
        Self {
            created_at: saved.created_at.clone(),
            ..Self::with(toolbox, saved.id.clone(), &saved.cwd, resting)
        }
    }

    fn with(toolbox: &Arc<Toolbox>, id: String, cwd: &Path, resting: Resting) -> Self {
        let (cells, queue) = mpsc::channel(QUEUE_MAX);
        let (alive, stop) = oneshot::channel();
        let active = Arc::new(AtomicBool::new(resting.python.is_some()));
        let berth = Arc::new(Berth::default());
        let owner = Owner {
            toolbox: Arc::clone(toolbox),
            cwd: cwd.to_owned(),
            active: Arc::clone(&active),
            berth: Arc::clone(&berth),
            number: resting.number,
            lost: resting.lost,
            deleted: false,
        };
        let serving = owner.serve(queue, stop, resting.python);
        toolbox.tasks.spawn("interpreter context", serving);
        Self {
            id,
            cwd: cwd.to_owned(),
            created_at: clock::now_text(),
            cells,
            active,
            berth,
            _alive: alive,
        }
    }

    /// Puts a cell at the end of the queue.
    pub(super) fn submit(&self, cell: Cell) -> Result<(), Refusal> {
        self.cells.try_send(cell).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Full,
            mpsc::error::TrySendError::Closed(_) => Refusal::Ended,
        })
    }

    /// Whether a process keeps its state.
    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }
}

/// What goes over from one program to the next, or begins a context.
#[derive(Debug, Default)]
pub(super) struct Resting {
    python: Option<Python>,
    number: u32,
    lost: Option<Death>,
}

/// What the task of a context holds.
struct Owner {
    toolbox: Arc<Toolbox>,
    cwd: PathBuf,
    active: Arc<AtomicBool>,
    berth: Arc<Berth<Resting>>,
    /// Of the last cell; one number is never used for two cells of a context.
    number: u32,
    /// How the state was lost while nobody was there to be told.
    lost: Option<Death>,
    deleted: bool,
}

impl Owner {
    async fn serve(
        mut self,
        mut queue: mpsc::Receiver<Cell>,
        mut stop: oneshot::Receiver<()>,
        mut python: Option<Python>,
    ) {
        while !self.deleted {
            self.active.store(python.is_some(), Ordering::Relaxed);
            let oom_kills = self.toolbox.memory.oom_kills();
            let toolbox = Arc::clone(&self.toolbox);
            let cell = tokio::select! {
                // Each may be dropped: channels keep their state, and so does an idle process.
                biased;
                _ = &mut stop => return,
                () = toolbox.pause.begun() => {
                    python = self.rest(python).await;
                    continue;
                }
                cell = queue.recv() => cell,
                death = idle(python.as_mut()) => {
                    self.lost = Some(self.explain(death, oom_kills));
                    python = None;
                    continue;
                }
            };
            let Some(cell) = cell else {
                return;
            };
            // Who left the queue wants nothing done.
            if !cell.events.is_closed() {
                python = self.run(cell, python, &mut stop).await;
            }
        }
    }

    async fn rest(&mut self, python: Option<Python>) -> Option<Python> {
        let resting = Resting {
            python,
            number: self.number,
            lost: self.lost.take(),
        };
        let resting = self.berth.rest(resting, &self.toolbox.pause).await;
        self.lost = resting.lost;
        resting.python
    }

    /// Runs one cell; what it returns can run the next one.
    async fn run(
        &mut self,
        mut cell: Cell,
        python: Option<Python>,
        stop: &mut oneshot::Receiver<()>,
    ) -> Option<Python> {
        let oom_kills = self.toolbox.memory.oom_kills();
        let started = match python {
            Some(python) => Ok(python),
            None => self.start(),
        };
        let (python, ending) = match started {
            Ok(mut python) => {
                self.number = self.number.wrapping_add(1);
                let ending = match cell::run(&mut python, &mut cell, self.number, stop).await {
                    Ending::Died(death) => Ending::Died(self.explain(death, oom_kills)),
                    Ending::Left(Some(death)) => Ending::Left(Some(self.explain(death, oom_kills))),
                    other => other,
                };
                (Some(python).filter(|_| keeps_state(&ending)), ending)
            }
            Err(error) => (None, Ending::NotStarted(error.to_text())),
        };
        self.deleted = matches!(ending, Ending::Deleted);
        // Before the client hears of it, so that it sees what it was told.
        self.active.store(python.is_some(), Ordering::Relaxed);
        drop(cell.events);
        let left = matches!(ending, Ending::Left(_));
        let loss = ending.loss();
        let told = cell.ended.send(ending).is_ok() && !left;
        if !told && loss.is_some() {
            self.lost = loss;
        }
        python
    }

    fn start(&mut self) -> Result<Python, process::Error> {
        let mut python = Python::start(&self.toolbox, &self.cwd)?;
        self.active.store(true, Ordering::Relaxed);
        if let Some(death) = self.lost.take() {
            let note =
                format!("[the interpreter was started anew and has lost its variables: {death}]\n");
            python.leftovers.push(Output::Stderr, &note);
        }
        Ok(python)
    }

    /// Names memory as the reason when it is. That something else is killed for memory and the
    /// process for another reason at the same time is rare, and then memory is short all the same.
    fn explain(&self, death: Death, oom_kills_before: u64) -> Death {
        match death {
            Death::Exited(Exit::Signal(9))
                if self.toolbox.memory.oom_kills() > oom_kills_before =>
            {
                Death::OutOfMemory {
                    limit_bytes: self.toolbox.limits.get().memory_bytes,
                }
            }
            other => other,
        }
    }
}

async fn idle(python: Option<&mut Python>) -> Death {
    match python {
        Some(python) => python.idle().await,
        None => std::future::pending().await,
    }
}

const fn keeps_state(ending: &Ending) -> bool {
    match ending {
        Ending::Completed | Ending::Interrupted => true,
        Ending::TimedOut { state, .. } => matches!(state, State::Kept),
        Ending::Left(loss) => loss.is_none(),
        Ending::Died(_) | Ending::NotStarted(_) | Ending::Deleted => false,
    }
}
