//! What of `sudo` goes over to the next program: its socket, and those who wait for a command.

use std::io;
use std::sync::Arc;

use rustix::process::Pid;
use tokio::net::{UnixListener, UnixStream};

use super::{Caller, Sudo, broker};
use crate::toolbox::Toolbox;
use crate::upgrade::{Busy, Packer, Unpacker, state};

impl Sudo {
    /// The number of the socket, and the callers.
    pub(crate) fn save(
        &self,
        toolbox: &Toolbox,
        packer: &mut Packer,
    ) -> Result<(Option<i32>, Vec<state::Sudo>), Busy> {
        let mut callers = Vec::new();
        for caller in self.callers.all() {
            if !toolbox.processes.awaits(caller.pid) {
                return Err(Busy("a command of sudo is ending"));
            }
            callers.push(state::Sudo {
                pid: caller.pid.as_raw_nonzero().get(),
                tree: packer.tree(&caller.tree),
                caller: packer.fd(&caller.stream),
            });
        }
        let listener = self.listener.get().map(|listener| packer.fd(&**listener));
        Ok((listener, callers))
    }
}

pub(crate) fn take_up(toolbox: &Arc<Toolbox>, saved: &state::State, unpacker: &mut Unpacker) {
    for caller in &saved.sudo {
        // Nobody waits any more; the command goes on.
        let _left = take_up_caller(toolbox, caller, unpacker);
    }
    let listener = saved.ends.sudo.map(|listener| open(listener, unpacker));
    match listener {
        Some(Ok(listener)) => broker::accept(toolbox, listener),
        Some(Err(_)) | None => broker::listen(toolbox, &saved.places.sudo_socket),
    }
}

fn open(number: i32, unpacker: &mut Unpacker) -> io::Result<UnixListener> {
    UnixListener::from_std(unpacker.fd(number)?.into())
}

fn take_up_caller(
    toolbox: &Arc<Toolbox>,
    saved: &state::Sudo,
    unpacker: &mut Unpacker,
) -> io::Result<()> {
    let pid = Pid::from_raw(saved.pid).ok_or(io::ErrorKind::InvalidData)?;
    let tree = unpacker.tree(saved.tree)?;
    let stream = UnixStream::from_std(unpacker.fd(saved.caller)?.into())?;
    let child = toolbox.processes.adopt(pid, Arc::clone(&tree));
    let caller = toolbox.sudo.callers.add(Caller { pid, tree, stream });
    toolbox.tasks.spawn("sudo command", async move {
        broker::attend(child, &caller).await;
    });
    Ok(())
}
