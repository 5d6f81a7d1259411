//! A runner in a process of its own, which can be killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};

use sebring_api::runner::{Command, Inventory, Observation};
use sebring_core::id::SandboxId;
use sebring_testkit::rootfs;

use super::{Dirs, PROGRAM, deleted, eventually, expect_empty_host, request};

pub(crate) struct Process<'a> {
    child: Child,
    dirs: &'a Dirs,
}

impl<'a> Process<'a> {
    pub(crate) async fn start(dirs: &'a Dirs) -> Self {
        Self::start_with_spares(dirs, 0).await
    }

    pub(crate) async fn start_with_spares(dirs: &'a Dirs, spares: usize) -> Self {
        let toolbox = rootfs::stand_in_toolbox().unwrap();
        Self::start_with(dirs, &toolbox, spares).await
    }

    pub(crate) async fn start_with_toolbox(dirs: &'a Dirs, toolbox: &Path) -> Self {
        Self::start_with(dirs, toolbox, 0).await
    }

    async fn start_with(dirs: &'a Dirs, toolbox: &Path, spares: usize) -> Self {
        let mut log = fs::File::options();
        let log = log.create(true).append(true).open(log_of(dirs)).unwrap();
        let child = Program::new(PROGRAM)
            .arg(&dirs.place.data_dir)
            .arg(&dirs.place.run_dir)
            .arg(toolbox)
            .arg(spares.to_string())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let process = Self { child, dirs };
        eventually("the runner answers", || process.inventory()).await;
        process
    }

    pub(crate) fn inventory(&self) -> Option<Inventory> {
        let body = request(&self.dirs.place.run_dir, "GET", "/v1/sandboxes", "")?;
        serde_json::from_str(&body).ok()
    }

    pub(crate) fn command(&self, id: SandboxId, command: &Command) -> Observation {
        put(self.dirs, id, command).unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Deletes everything and expects an empty host.
    pub(crate) fn finish(mut self) {
        for seen in self.inventory().unwrap().sandboxes {
            let gone = self.command(seen.id, &deleted(1000));
            assert_eq!(gone.state, sebring_api::runner::ObservedState::Absent);
        }
        let nothing = std::collections::BTreeSet::new();
        self.dirs.place.expect_no_more_than(&nothing).unwrap();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        expect_empty_host(&self.dirs.place);
    }
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(log_of(self.dirs)).unwrap_or_default();
            eprintln!("the runner's log:\n{log}");
        }
        // Has ended already unless the test has failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `None` when the runner ends before it answers.
pub(crate) fn put(dirs: &Dirs, id: SandboxId, command: &Command) -> Option<Observation> {
    let body = serde_json::to_string(command).unwrap();
    let path = format!("/v1/sandboxes/{id}");
    let answer = request(&dirs.place.run_dir, "PUT", &path, &body)?;
    serde_json::from_str(&answer).ok()
}

pub(crate) fn log_of(dirs: &Dirs) -> PathBuf {
    dirs.place.data_dir.join("runner.log")
}
