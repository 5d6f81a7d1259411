//! Files that are mounted over those of the kernel which would show the host's share.
//!
//! They are kept open: a mount shows an inode, so it must be that one which is rewritten, whatever
//! the sandbox's owner does to its name.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sebring_api::boot::{CPUINFO, CPUS_ONLINE, LimitsChange};

#[derive(Debug)]
pub(crate) struct StandIn {
    /// `None` outside a sandbox.
    file: Option<File>,
}

impl StandIn {
    pub(crate) fn open(path: &Path) -> Self {
        Self {
            file: File::options().write(true).open(path).ok(),
        }
    }

    pub(crate) const fn over(file: Option<File>) -> Self {
        Self { file }
    }

    pub(crate) const fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    pub(crate) const fn exists(&self) -> bool {
        self.file.is_some()
    }

    /// Best effort: a reader that gets stale text is better off than one that gets none.
    pub(crate) fn rewrite(&self, text: &str) {
        if let Some(file) = &self.file {
            let _stale = file
                .write_all_at(text.as_bytes(), 0)
                .and_then(|()| file.set_len(text.len() as u64));
        }
    }
}

/// Those that tell of processors.
#[derive(Debug)]
pub(crate) struct CpuFiles {
    cpuinfo: StandIn,
    online: StandIn,
}

impl CpuFiles {
    pub(crate) const fn over(cpuinfo: StandIn, online: StandIn) -> Self {
        Self { cpuinfo, online }
    }

    pub(crate) const fn files(&self) -> [Option<&File>; 2] {
        [self.cpuinfo.file(), self.online.file()]
    }

    pub(crate) fn open(directory: &Path) -> Self {
        Self {
            cpuinfo: StandIn::open(&directory.join(CPUINFO)),
            online: StandIn::open(&directory.join(CPUS_ONLINE)),
        }
    }

    pub(crate) fn rewrite(&self, change: &LimitsChange) {
        self.cpuinfo.rewrite(&change.cpuinfo);
        self.online.rewrite(&change.cpus_online);
    }
}
