//! The state of this program as the next one needs it.
//!
//! Must not: await. Between its first look and exec nothing else may happen.

use std::os::fd::AsFd;

use super::parcel::{Busy, Packed, Packer};
use super::state::{Ends, Identity, State, User, VERSION};
use crate::toolbox::Toolbox;

/// All there is but the file of bytes, whose number only the next step knows.
pub(super) fn save(toolbox: &Toolbox, answer: impl AsFd) -> Result<(State, Packed), Busy> {
    if toolbox.pause.is_held() {
        return Err(Busy("something is being done that must not be cut"));
    }
    if toolbox.computer.is_in_use() {
        return Err(Busy("the desktop runs, or a recording"));
    }
    let mut packer = Packer::default();
    let (sudo, callers) = toolbox.sudo.save(toolbox, &mut packer)?;
    let ends = ends(toolbox, sudo, &mut packer);
    let contexts = toolbox.interpreter.save(&mut packer)?;
    let processes = toolbox.processes.save(&mut packer)?;
    let relays = toolbox.relays.save(&mut packer);
    let answer = packer.fd(answer);
    let (packed, trees) = packer.into_parts()?;
    let state = State {
        version: VERSION,
        bytes: -1,
        bytes_length: packed.bytes.len() as u64,
        answer,
        ends,
        places: toolbox.places.clone(),
        identity: identity(toolbox),
        groups: processes.groups,
        trees,
        processes: processes.processes,
        table: processes.table,
        entrypoint: processes.entrypoint,
        captures: processes.captures,
        discards: processes.discards,
        feeds: processes.feeds,
        sessions: processes.sessions,
        devices: processes.devices,
        terminals: processes.terminals,
        sudo: callers,
        relays,
        contexts,
        language_servers: toolbox.language_servers.save(),
    };
    Ok((state, packed))
}

fn ends(toolbox: &Toolbox, sudo: Option<i32>, packer: &mut Packer) -> Ends {
    let [cpuinfo, cpus_online] = toolbox.cpu_files.files();
    let mut pack = |file: Option<&std::fs::File>| file.map(|file| packer.fd(file));
    Ends {
        disk_use: pack(toolbox.disk_use.file()),
        meminfo: pack(toolbox.meminfo.file()),
        cpuinfo: pack(cpuinfo),
        cpus_online: pack(cpus_online),
        listener: packer.fd(&toolbox.listener),
        sudo,
    }
}

fn identity(toolbox: &Toolbox) -> Identity {
    let user = &toolbox.user;
    Identity {
        user: User {
            name: user.name.clone(),
            uid: user.uid,
            gid: user.gid,
            home: user.home.clone(),
            shell: user.shell.clone(),
        },
        groups: toolbox.processes.user_groups(),
        variables: toolbox.environment.get(),
        login: toolbox.environment.login().clone(),
        limits: toolbox.limits.get(),
        unclaimed: toolbox.unclaimed.get(),
    }
}
