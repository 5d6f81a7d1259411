//! What of a session goes over to the next program: its shell, the command that runs, those that
//! wait, and all that have ended.

use std::io;
use std::sync::{Arc, Mutex};

use rustix::process::Pid;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};

use super::shell::{Answers, Current, Job, Resting, Running, Said};
use super::{Command, Session, Sessions, WAITING_MAX};
use crate::process::handover::Readers;
use crate::toolbox::Toolbox;
use crate::upgrade::{Berth, Busy, Packer, Unpacker, state};

impl Sessions {
    pub(in crate::process) fn save(
        &self,
        packer: &mut Packer,
    ) -> Result<Vec<state::Session>, Busy> {
        self.list()
            .iter()
            .map(|session| session.save(packer))
            .collect()
    }

    pub(in crate::process) fn take_up(
        &self,
        toolbox: &Arc<Toolbox>,
        saved: &[state::Session],
        unpacker: &mut Unpacker,
        readers: &mut Readers,
    ) {
        let mut all = self.lock();
        for session in saved {
            // One that cannot be taken up is gone, and the others are not.
            all.extend(Session::take_up(toolbox, session, unpacker, readers));
        }
    }
}

impl Session {
    fn save(&self, packer: &mut Packer) -> Result<state::Session, Busy> {
        let ended = *self.ended.borrow();
        let berth = self.berth.lock();
        if ended.is_none() && berth.is_none() {
            return Err(Busy("a session's shell is starting or ending a command"));
        }
        if let Some(resting) = &*berth
            && !resting.shell.child.is_awaited()
        {
            return Err(Busy("a session's shell is ending"));
        }
        let commands = self.commands();
        let commands = commands.iter().map(|command| state::Command {
            process: packer.process(&command.process),
            suppress_input_echo: command.suppress_input_echo,
        });
        let commands = commands.collect();
        let current = berth.as_ref().and_then(|resting| resting.current.as_ref());
        Ok(state::Session {
            id: self.id.clone(),
            tree: packer.tree(&self.tree),
            commands,
            ended,
            shell: berth.as_ref().map(|resting| resting.save(packer)),
            current: current.map(|current| current.save(packer)),
        })
    }

    fn take_up(
        toolbox: &Arc<Toolbox>,
        saved: &state::Session,
        unpacker: &mut Unpacker,
        readers: &mut Readers,
    ) -> io::Result<Arc<Self>> {
        let tree = unpacker.tree(saved.tree)?;
        let commands = saved.commands.iter().map(|command| {
            Ok(Arc::new(Command {
                process: unpacker.process(command.process)?,
                suppress_input_echo: command.suppress_input_echo,
            }))
        });
        let commands = commands.collect::<io::Result<Vec<_>>>()?;
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let session = Arc::new(Self {
            id: saved.id.clone(),
            tree: Arc::clone(&tree),
            commands: Mutex::new(commands),
            jobs,
            ended: watch::Sender::new(saved.ended),
            berth: Berth::default(),
        });
        let Some(shell) = &saved.shell else {
            return Ok(session);
        };
        let shell = Running::take_up(toolbox, shell, &tree, unpacker)?;
        let current = match &saved.current {
            Some(current) => Some(Current::take_up(current, unpacker, readers)?),
            None => None,
        };
        session.submit_again(current.as_ref());
        session.run(toolbox, shell, current, waiting);
        Ok(session)
    }

    /// Those that have not begun, in their order.
    fn submit_again(&self, current: Option<&Current>) {
        for command in self.commands() {
            let process = &command.process;
            let runs = current.is_some_and(|current| Arc::ptr_eq(&current.process, process));
            if !runs && process.end().is_none() {
                let job = Job {
                    process: Arc::clone(process),
                    input: process.input(),
                };
                // There is room for as many as there was.
                let _full = self.jobs.try_send(job);
            }
        }
    }
}

impl Resting {
    fn save(&self, packer: &mut Packer) -> state::Shell {
        let shell = &self.shell;
        state::Shell {
            pid: shell.child.pid.as_raw_nonzero().get(),
            orders: packer.fd(&shell.orders),
            answers: packer.fd(&shell.answers.pipe),
            token: packer.bytes(&shell.answers.said.token),
            unread: packer.bytes(&shell.answers.said.unread),
        }
    }
}

impl Running {
    fn take_up(
        toolbox: &Arc<Toolbox>,
        saved: &state::Shell,
        tree: &Arc<crate::process::Tree>,
        unpacker: &mut Unpacker,
    ) -> io::Result<Self> {
        let pid = Pid::from_raw(saved.pid).ok_or(io::ErrorKind::InvalidData)?;
        let orders = pipe::Sender::from_owned_fd_unchecked(unpacker.fd(saved.orders)?)?;
        let answers = pipe::Receiver::from_owned_fd_unchecked(unpacker.fd(saved.answers)?)?;
        let said = Said {
            token: unpacker.bytes(saved.token)?,
            unread: unpacker.bytes(saved.unread)?,
        };
        let answers = Answers::new(answers, said);
        let child = toolbox.processes.adopt(pid, Arc::clone(tree));
        Ok(Self::new(toolbox, child, orders, answers))
    }
}

impl Current {
    fn save(&self, packer: &mut Packer) -> state::Current {
        let [output, errors] = &self.writers;
        state::Current {
            process: packer.process(&self.process),
            scratch: self.scratch.clone(),
            writers: [packer.fd(output), packer.fd(errors)],
            oom_kills: self.oom_kills,
        }
    }

    fn take_up(
        saved: &state::Current,
        unpacker: &mut Unpacker,
        readers: &mut Readers,
    ) -> io::Result<Self> {
        let [output, errors] = saved.writers;
        Ok(Self {
            process: unpacker.process(saved.process)?,
            scratch: saved.scratch.clone(),
            writers: [unpacker.fd(output)?, unpacker.fd(errors)?],
            readers: readers.remove(&saved.process).unwrap_or_default(),
            oom_kills: saved.oom_kills,
        })
    }
}
