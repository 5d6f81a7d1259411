//! Starts the roles, and starts them again when they die.
//!
//! Both children hold nothing that cannot be found again: sandboxes belong to the kernel, state to
//! the disk, and the listening socket to this process, so that connections made while the server
//! is away wait in its queue.
//!
//! Must not: give up. A role that keeps dying is retried with growing pauses and said so.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::HostChoices;
use super::prepare::ServiceUser;
use crate::config::Layout;

/// A role that is not ready by then has a reason in its log.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// What a role may take to finish what it is doing.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// First pause before a restart; it doubles up to `PAUSE_MAX`.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A role that ran this long was healthy: its next death starts at the shortest pause again.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// What the children need to know.
#[derive(Debug)]
pub(super) struct Roles {
    pub(super) layout: Layout,
    pub(super) host: HostChoices,
    pub(super) listener: TcpListener,
    pub(super) public_url: String,
    pub(super) preview_domain: String,
}

#[derive(Debug)]
pub(super) struct Supervisor {
    roles: Roles,
    runner: Role,
    server: Role,
}

#[derive(Debug)]
struct Role {
    name: &'static str,
    child: Child,
    started: Instant,
    pause: Duration,
}

impl Supervisor {
    /// Starts the runner, then the server, each until it says that it is ready.
    pub(super) async fn start(roles: Roles) -> anyhow::Result<Self> {
        let runner = Role::start("runner", roles.runner_command()?).await?;
        let server = Role::start("server", roles.server_command()?).await?;
        Ok(Self {
            roles,
            runner,
            server,
        })
    }

    /// Keeps both roles alive until SIGINT or SIGTERM, then stops them in reverse order.
    pub(super) async fn run_until_signal(&mut self) -> anyhow::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt()).context("watch SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("watch SIGTERM")?;
        loop {
            // Each branch only waits; dropping it loses nothing.
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                () = self.runner.died() => self.runner.restart(self.roles.runner_command()?).await,
                () = self.server.died() => self.server.restart(self.roles.server_command()?).await,
            }
        }
        self.server.stop().await;
        self.runner.stop().await;
        Ok(())
    }
}

impl Roles {
    fn itself(&self, role: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("find this executable")?);
        command
            .arg(role)
            .arg("--data-dir")
            .arg(&self.layout.data_dir);
        // The one line a role prints says that it is ready.
        command
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    fn runner_command(&self) -> anyhow::Result<Command> {
        let mut command = self.itself("runner")?;
        let user = ServiceUser::find()?;
        command.arg("--socket-group").arg(user.gid.to_string());
        if let Some(gib) = self.host.pool_gib {
            command.arg("--pool-gib").arg(gib.to_string());
        }
        if let Some(network) = &self.host.network {
            command.arg("--network").arg(network);
        }
        if let Some(spares) = self.host.warm_pool {
            command.arg("--warm-pool").arg(spares.to_string());
        }
        Ok(command)
    }

    /// The server gets the listening socket as its standard input.
    fn server_command(&self) -> anyhow::Result<Command> {
        let mut command = self.itself("server")?;
        let user = ServiceUser::find()?;
        let socket = self
            .listener
            .try_clone()
            .context("duplicate the listening socket")?;
        command
            .args([
                "--public-url",
                &self.public_url,
                "--preview-domain",
                &self.preview_domain,
            ])
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .uid(user.uid)
            .gid(user.gid);
        Ok(command)
    }
}

impl Role {
    async fn start(name: &'static str, command: Command) -> anyhow::Result<Self> {
        let child = spawn_ready(name, command).await?;
        Ok(Self {
            name,
            child,
            started: Instant::now(),
            pause: PAUSE_MIN,
        })
    }

    async fn died(&mut self) {
        let status = self.child.wait().await;
        warn!(role = self.name, ?status, "role ended by itself");
    }

    /// Tries until it runs again; every attempt waits longer.
    async fn restart(&mut self, command: Command) {
        if self.started.elapsed() >= HEALTHY_AFTER {
            self.pause = PAUSE_MIN;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        match spawn_ready(self.name, command).await {
            Ok(child) => {
                info!(role = self.name, "role restarted");
                self.child = child;
                self.started = Instant::now();
            }
            // `died` answers at once for the ended child, which brings us back here.
            Err(error) => warn!(
                role = self.name,
                error = format!("{error:#}"),
                "restart failed"
            ),
        }
    }

    async fn stop(&mut self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            // It may have ended this instant; `wait` below tells.
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        if tokio::time::timeout(STOP_WITHIN, self.child.wait())
            .await
            .is_err()
        {
            warn!(role = self.name, "role did not stop in time; killed");
            drop(self.child.kill().await);
        }
    }
}

async fn spawn_ready(name: &'static str, mut command: Command) -> anyhow::Result<Child> {
    let mut child = command
        .spawn()
        .with_context(|| format!("start the {name}"))?;
    let stdout = child.stdout.take().context("read from the role")?;
    let mut lines = BufReader::new(stdout).lines();
    match tokio::time::timeout(READY_WITHIN, lines.next_line()).await {
        Ok(Ok(Some(_))) => Ok(child),
        Ok(_) => {
            let status = child
                .wait()
                .await
                .with_context(|| format!("wait for the {name}"))?;
            bail!("the {name} ended before it was ready ({status}); its log says why")
        }
        Err(_) => {
            drop(child.kill().await);
            bail!(
                "the {name} was not ready within {} s",
                READY_WITHIN.as_secs()
            )
        }
    }
}
