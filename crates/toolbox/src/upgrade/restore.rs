//! Going on from the state of the program that was here before.
//!
//! Nothing in here may end the process for the sake of one thing that cannot be taken up: the
//! sandbox would end with it. Such a thing is closed, which its other end is told by the kernel.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use sebring_api::boot::Upgraded;
use sebring_sys::creds::Credentials;
use tokio::net::UnixStream;

use super::exec::{self, Error};
use super::parcel::Unpacker;
use super::route;
use super::state::State;
use crate::boot::{Beginning, Next};
use crate::claim::Unclaimed;
use crate::environment::Environment;
use crate::info::disk::DiskUse;
use crate::meminfo::MemInfo;
use crate::network::relay;
use crate::passwd::User;
use crate::process::handover;
use crate::stand_in::{CpuFiles, StandIn};
use crate::sudo;
use crate::toolbox::Toolbox;

/// What is taken up once there is an event loop.
#[derive(Debug)]
pub(crate) struct Inherited {
    state: State,
    unpacker: Unpacker,
}

/// Reads the state in the descriptor of that number.
pub(crate) fn take_up(number: Option<&OsStr>) -> Result<Beginning, Error> {
    let number = number.and_then(|number| number.to_str());
    let number = number.and_then(|number| number.parse().ok());
    let file = sebring_sys::fds::inherited(number.ok_or(Error::Number)?);
    let state = exec::read(&File::from(file.map_err(Error::Read)?))?;
    let mut unpacker = Unpacker::new(state.bytes).map_err(Error::Read)?;
    let listener = unpacker.fd(state.ends.listener).map_err(Error::Read)?;
    let mut file = |number: Option<i32>| {
        let fd = number.and_then(|number| unpacker.fd(number).ok());
        fd.map(File::from)
    };
    let (ends, identity) = (&state.ends, &state.identity);
    let user = User {
        name: identity.user.name.clone(),
        uid: identity.user.uid,
        gid: identity.user.gid,
        home: identity.user.home.clone(),
        shell: identity.user.shell.clone(),
    };
    let groups = identity.groups.clone();
    Ok(Beginning {
        listener: UnixListener::from(listener),
        credentials: groups.map(|groups| Credentials {
            uid: user.uid,
            gid: user.gid,
            groups,
        }),
        user,
        environment: Environment::known(identity.variables.clone(), identity.login.clone()),
        limits: identity.limits,
        unclaimed: Unclaimed::new(identity.unclaimed.clone()),
        meminfo: MemInfo::over(StandIn::over(file(ends.meminfo))),
        cpu_files: CpuFiles::over(
            StandIn::over(file(ends.cpuinfo)),
            StandIn::over(file(ends.cpus_online)),
        ),
        disk_use: DiskUse::new(file(ends.disk_use)),
        places: state.places.clone(),
        next: Next::GoOn(Box::new(Inherited { state, unpacker })),
    })
}

impl Inherited {
    /// Starts every task that was there, and tells whoever asked. Call before anything is
    /// collected.
    pub(crate) fn go_on(self, toolbox: &Arc<Toolbox>) {
        let Self {
            state,
            mut unpacker,
        } = self;
        toolbox.processes.take_up(&state, &mut unpacker);
        handover::go_on(toolbox, &state, &mut unpacker);
        sudo::take_up(toolbox, &state, &mut unpacker);
        let interpreter = &toolbox.interpreter;
        interpreter.take_up(toolbox, &state.contexts, &mut unpacker);
        relay::take_up(toolbox, &state.relays, &mut unpacker);
        toolbox.language_servers.take_up(&state.language_servers);
        let answer = unpacker.fd(state.answer);
        let answer = answer.and_then(|answer| UnixStream::from_std(answer.into()));
        // Who asked sees the same from outside.
        let _unheard = answer.map(|answer| say_done(toolbox, answer));
    }
}

fn say_done(toolbox: &Toolbox, answer: UnixStream) {
    toolbox.tasks.spawn("upgraded", async move {
        let _unheard: io::Result<()> = route::say(&answer, &Upgraded::Done).await;
    });
}
