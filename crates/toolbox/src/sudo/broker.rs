//! The side of `sudo` that is root: checks who asks, and runs what they ask for.

use std::ffi::CString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::{UnixListener, UnixStream};

use super::Caller;
use super::wire::{self, Answer, Request, WireShell};
use crate::environment::{DEFAULT_PATH, Variables};
use crate::passwd::{self, User};
use crate::process::{Child, Exit, Launch, Place, RunAs, code_run};
use crate::toolbox::Toolbox;

/// A client that connects says what it wants at once.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (no descriptors left) the next try waits this long.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Kept from the caller's environment, as Debian's `sudo` keeps them.
const KEPT: [&str; 8] = [
    "COLORTERM",
    "DISPLAY",
    "LANG",
    "LANGUAGE",
    "LS_COLORS",
    "TERM",
    "TZ",
    "XAUTHORITY",
];

/// Serves `sudo` for the sandbox's life. Only root can make others root; else it is not offered.
pub(crate) fn listen(toolbox: &Arc<Toolbox>, name: &str) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    if let Ok(listener) = bind(name) {
        accept(toolbox, listener);
    }
}

/// Serves who comes to a socket that is bound.
pub(crate) fn accept(toolbox: &Arc<Toolbox>, listener: UnixListener) {
    let listener = Arc::new(listener);
    // There is one.
    let _first = toolbox.sudo.listener.set(Arc::clone(&listener));
    let serving = Arc::clone(toolbox);
    toolbox.tasks.spawn("sudo", async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let toolbox = Arc::clone(&serving);
                    serving.tasks.spawn("sudo command", serve(toolbox, stream));
                }
                Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
            }
        }
    });
}

fn bind(name: &str) -> io::Result<UnixListener> {
    let listener =
        std::os::unix::net::UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

async fn serve(toolbox: Arc<Toolbox>, mut stream: UnixStream) {
    let whole = toolbox.pause.hold();
    match start(&toolbox, &mut stream).await {
        Ok(child) => {
            let caller = toolbox.sudo.callers.add(Caller {
                pid: child.pid,
                tree: Arc::clone(&child.tree),
                stream,
            });
            drop(whole);
            attend(child, &caller).await;
        }
        Err(reason) => answer(&stream, &Answer::Refused(reason)).await,
    }
}

/// Waits for the end of the command, and tells it to whoever waits.
pub(super) async fn attend(child: Child, caller: &Caller) {
    // Nothing when the client left before.
    if let Some(exit) = follow(child, &caller.stream).await {
        answer(&caller.stream, &Answer::Exited(exit.code())).await;
    }
}

async fn answer(stream: &UnixStream, answer: &Answer) {
    let text = serde_json::to_vec(answer).unwrap_or_default();
    let mut rest = text.as_slice();
    while !rest.is_empty() && stream.writable().await.is_ok() {
        match stream.try_write(rest) {
            Ok(length) => rest = &rest[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // A client that is gone wants no answer.
            Err(_) => return,
        }
    }
}

/// Starts the command.
async fn start(toolbox: &Arc<Toolbox>, stream: &mut UnixStream) -> Result<Child, String> {
    let received = tokio::time::timeout(REQUEST_TIMEOUT, wire::receive(stream)).await;
    let (request, [stdin, stdout, stderr]) = match received {
        Ok(Ok(received)) => received,
        Ok(Err(error)) => return Err(format!("unreadable request: {error}")),
        Err(_) => return Err("no request".to_owned()),
    };
    // After reading, so that a refused client hears why instead of finding a closed socket.
    let peer = stream.peer_cred().map_err(|error| error.to_string())?;
    if peer.uid() != 0 && peer.uid() != toolbox.user.uid {
        return Err(format!(
            "user {} may not run sudo in this sandbox",
            peer.uid()
        ));
    }
    let user = passwd::user(request.user.as_deref().unwrap_or("root"));
    let user = user.map_err(|error| error.to_string())?;
    let env = environment(toolbox, &request, &user);
    let argv = argv(&request, &user);
    let name = argv
        .first()
        .map_or("", String::as_str)
        .trim_start_matches('-')
        .to_owned();
    let program = if request.shell == WireShell::None {
        name.as_str()
    } else {
        user.shell.as_str()
    };
    let programs = code_run::programs(program, &env);
    let argv: Result<Vec<CString>, _> = argv.into_iter().map(CString::new).collect();
    let credentials = passwd::credentials(&user);
    let cwd = match request.shell {
        WireShell::Login => user.home.clone(),
        WireShell::None | WireShell::Plain => PathBuf::from(&request.cwd),
    };
    let group = peer.pid().and_then(|pid| toolbox.processes.group_of(pid));
    let child = toolbox.processes.start(Launch {
        programs,
        argv: argv.map_err(|_| "an argument contains a NUL byte".to_owned())?,
        env: &env,
        cwd: &cwd,
        stdin,
        stdout,
        stderr: Some(stderr),
        run_as: RunAs::Other(&credentials),
        place: Place::Cgroup(group),
        terminal: request.terminal,
    });
    match child {
        Ok(child) => Ok(child),
        Err(crate::process::Error::Execute { source, .. })
            if source.kind() == io::ErrorKind::NotFound =>
        {
            Err(format!("{name}: command not found"))
        }
        Err(error) => Err(error.to_text()),
    }
}

/// Waits for the end, passing on signals. A client that leaves takes the command with it.
async fn follow(mut child: Child, stream: &UnixStream) -> Option<Exit> {
    loop {
        tokio::select! {
            // The exit first, so that a client that leaves just then is still answered. Both may
            // be dropped: a oneshot keeps its value, and nothing is read before it is ready.
            biased;
            exit = &mut child.exit => {
                child.release();
                return exit.ok();
            }
            readable = stream.readable() => {
                let mut number = [0];
                match readable.and_then(|()| stream.try_read(&mut number)) {
                    Ok(1..) => pass_on(&child, number[0]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Ok(0) | Err(_) => return None,
                }
            }
        }
    }
}

fn pass_on(child: &Child, number: u8) {
    let Some(signal) = Signal::from_named_raw(i32::from(number)) else {
        return;
    };
    // What a terminal sends goes to all in the foreground; the command leads a process group of
    // its own and so stands for them. What somebody sent to `sudo` is for the command alone.
    let _gone = match signal {
        Signal::HUP | Signal::INT | Signal::QUIT => {
            rustix::process::kill_process_group(child.pid, signal)
        }
        _ => rustix::process::kill_process(child.pid, signal),
    };
}

fn argv(request: &Request, user: &User) -> Vec<String> {
    let shell = Path::new(&user.shell)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let mut argv = match request.shell {
        WireShell::None => return request.command.clone(),
        WireShell::Plain => vec![shell.into_owned()],
        WireShell::Login => vec![format!("-{shell}")],
    };
    if !request.command.is_empty() {
        argv.push("-c".to_owned());
        argv.push(
            request
                .command
                .iter()
                .map(|word| quoted(word))
                .collect::<Vec<_>>()
                .join(" "),
        );
    }
    argv
}

/// Escaped as `sudo` does it: everything but letters, digits and a few harmless signs.
fn quoted(word: &str) -> String {
    let mut text = String::new();
    for c in word.chars() {
        if !c.is_alphanumeric() && !"_-$".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

fn environment(toolbox: &Toolbox, request: &Request, user: &User) -> Variables {
    let caller = &request.env;
    let mut env: Variables = caller
        .iter()
        .filter(|(name, _)| {
            let kept = KEPT.contains(&name.as_str()) || name.starts_with("LC_");
            let login = request.shell == WireShell::Login;
            kept || (!login && (request.keep_environment || request.keep.contains(name)))
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let home = user.home.to_string_lossy().into_owned();
    if request.keep_environment {
        env.entry("HOME".into()).or_insert(home);
    } else {
        env.insert("HOME".into(), home);
    }
    // The trusted places first, but what the caller finds is found here too.
    let path = match caller.get("PATH") {
        Some(path) if path != DEFAULT_PATH => format!("{DEFAULT_PATH}:{path}"),
        _ => DEFAULT_PATH.to_owned(),
    };
    let command = request.command.join(" ");
    for (name, value) in [
        ("PATH", path),
        ("SHELL", user.shell.clone()),
        ("USER", user.name.clone()),
        ("LOGNAME", user.name.clone()),
        ("SUDO_USER", toolbox.user.name.clone()),
        ("SUDO_UID", toolbox.user.uid.to_string()),
        ("SUDO_GID", toolbox.user.gid.to_string()),
        (
            "SUDO_COMMAND",
            if command.is_empty() {
                user.shell.clone()
            } else {
                command
            },
        ),
    ] {
        env.insert(name.into(), value);
    }
    env.extend(request.set.iter().cloned());
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell_between() {
        assert_eq!(quoted("a b;c"), "a\\ b\\;c");
        assert_eq!(quoted("plain-word_1"), "plain-word_1");
    }
}
