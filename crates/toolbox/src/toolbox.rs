//! What all handlers share: who the sandbox's user is, where things are, and what runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sebring_api::boot::BootLimits;
use sebring_tasks::Tasks;

use crate::environment::Environment;
use crate::info::metrics::CpuMeter;
use crate::meminfo::MemInfo;
use crate::passwd::User;
use crate::process::Processes;

#[derive(Debug)]
pub(crate) struct Toolbox {
    pub(crate) user: User,
    pub(crate) work_dir: PathBuf,
    pub(crate) limits: BootLimits,
    pub(crate) environment: Environment,
    pub(crate) processes: Arc<Processes>,
    pub(crate) meminfo: MemInfo,
    pub(crate) cpu: CpuMeter,
    pub(crate) tasks: Tasks,
}

impl Toolbox {
    /// A path as asked for: relative ones start at the working directory.
    pub(crate) fn resolve(&self, asked: &str) -> PathBuf {
        self.work_dir.join(Path::new(asked))
    }
}
