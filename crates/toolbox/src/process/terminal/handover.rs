//! What of the terminals goes over to the next program: their controlling ends, and whose they are.

use std::io;
use std::sync::{Arc, Mutex};

use rustix::process::Pid;
use tokio::sync::OnceCell;

use super::device::Device;
use super::{Reader, Running, Terminal, Terminals, feed, show};
use crate::process::Processes;
use crate::process::record::Process;
use crate::toolbox::Toolbox;
use crate::upgrade::{Busy, Packer, Unpacker, instant, nanoseconds, state};

/// Both lists: what is read, and what clients know.
type Saved = (Vec<state::Device>, Vec<state::Terminal>);

impl Terminals {
    pub(in crate::process) fn save(
        &self,
        processes: &Processes,
        packer: &mut Packer,
    ) -> Result<Saved, Busy> {
        let mut screens: Vec<(Arc<Process>, Arc<Device>)> = processes
            .screens
            .all()
            .iter()
            .map(|screen| (Arc::clone(&screen.process), Arc::clone(&screen.device)))
            .collect();
        let mut terminals = Vec::new();
        for terminal in self.list() {
            let device = match terminal.running.get() {
                Some(running) => Some(place(&mut screens, running)?),
                None => None,
            };
            terminals.push(terminal.save(device));
        }
        let devices = screens.iter().map(|(process, device)| state::Device {
            process: packer.process(process),
            controller: packer.fd(device.controller()),
        });
        Ok((devices.collect(), terminals))
    }

    pub(in crate::process) fn take_up(
        &self,
        toolbox: &Arc<Toolbox>,
        saved: &state::State,
        unpacker: &mut Unpacker,
    ) {
        let mut devices: Vec<_> = saved
            .devices
            .iter()
            .map(|device| device_of(toolbox, device, unpacker).ok())
            .collect();
        let mut all = self.lock();
        for terminal in &saved.terminals {
            let device = match terminal.device {
                Some(number) => match devices.get_mut(number).and_then(Option::take) {
                    Some(device) => Some(device),
                    // Nobody could see it any more.
                    None => continue,
                },
                None => None,
            };
            all.push(Terminal::take_up(toolbox, terminal, device));
        }
    }
}

/// Where its device is among those that are read; one that is not read any more is added.
fn place(screens: &mut Vec<(Arc<Process>, Arc<Device>)>, running: &Running) -> Result<usize, Busy> {
    if !running.process.is_awaited() {
        return Err(Busy("the shell of a terminal is ending"));
    }
    let known = screens
        .iter()
        .position(|(_, device)| Arc::ptr_eq(device, &running.device));
    Ok(known.unwrap_or_else(|| {
        screens.push((Arc::clone(&running.process), Arc::clone(&running.device)));
        screens.len() - 1
    }))
}

fn device_of(
    toolbox: &Toolbox,
    saved: &state::Device,
    unpacker: &mut Unpacker,
) -> io::Result<(Running, Reader)> {
    let process = unpacker.process(saved.process)?;
    let device = Arc::new(Device::over(unpacker.fd(saved.controller)?)?);
    let reader = show(toolbox, &process, &device);
    feed(toolbox, &process, &device);
    Ok((Running { process, device }, reader))
}

impl Terminal {
    fn save(&self, device: Option<usize>) -> state::Terminal {
        state::Terminal {
            id: self.id.clone(),
            cwd: self.cwd.clone(),
            envs: self.envs.clone(),
            created: nanoseconds(self.created),
            lazy_start: self.lazy_start,
            size: self.size(),
            device,
        }
    }

    fn take_up(
        toolbox: &Arc<Toolbox>,
        saved: &state::Terminal,
        device: Option<(Running, Reader)>,
    ) -> Arc<Self> {
        let (running, reader) = device.unzip();
        let terminal = Arc::new(Self {
            id: saved.id.clone(),
            cwd: saved.cwd.clone(),
            envs: saved.envs.clone(),
            created: instant(saved.created),
            lazy_start: saved.lazy_start,
            size: Mutex::new(saved.size),
            running: OnceCell::new_with(running),
        });
        if let (Some(process), Some(reader)) = (terminal.process(), reader)
            && let Some(pid) = process.pid().and_then(Pid::from_raw)
            && let Some(tree) = process.tree()
        {
            let child = toolbox.processes.adopt(pid, tree);
            terminal.watch(toolbox, process, reader, child);
        }
        terminal
    }
}
