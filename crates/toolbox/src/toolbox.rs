//! What all handlers share: who the sandbox's user is, where things are, and what runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sebring_tasks::Tasks;
use tokio::net::UnixListener;

use crate::claim::Unclaimed;
use crate::computer::Computer;
use crate::environment::Environment;
use crate::files::watch::Watches;
use crate::http::door::Door;
use crate::info::disk::DiskUse;
use crate::info::metrics::CpuMeter;
use crate::interpreter::Interpreter;
use crate::limits::Limits;
use crate::lsp::LanguageServers;
use crate::meminfo::MemInfo;
use crate::memory::Memory;
use crate::network::relay::Relays;
use crate::passwd::User;
use crate::process::Processes;
use crate::stand_in::CpuFiles;
use crate::sudo::Sudo;
use crate::upgrade::Pause;
use crate::upgrade::state::Places;

#[derive(Debug)]
pub(crate) struct Toolbox {
    pub(crate) user: User,
    pub(crate) work_dir: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) environment: Environment,
    pub(crate) watches: Watches,
    pub(crate) processes: Arc<Processes>,
    pub(crate) interpreter: Interpreter,
    pub(crate) language_servers: LanguageServers,
    pub(crate) memory: Memory,
    pub(crate) meminfo: MemInfo,
    pub(crate) cpu_files: CpuFiles,
    pub(crate) cpu: CpuMeter,
    pub(crate) computer: Computer,
    pub(crate) disk_use: DiskUse,
    pub(crate) tasks: Tasks,
    pub(crate) unclaimed: Unclaimed,
    pub(crate) sudo: Sudo,
    pub(crate) relays: Relays,
    pub(crate) listener: UnixListener,
    pub(crate) door: Arc<Door>,
    pub(crate) pause: Pause,
    pub(crate) places: Places,
}

impl Toolbox {
    /// Brings what programs read about the sandbox up to date. Call before one is run.
    pub(crate) fn refresh_stand_ins(&self) {
        self.meminfo
            .refresh(&self.memory, self.limits.get().memory_bytes);
    }

    /// A path as asked for: relative ones start at the working directory.
    pub(crate) fn resolve(&self, asked: &str) -> PathBuf {
        self.work_dir.join(Path::new(asked))
    }
}
