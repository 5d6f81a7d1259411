//! What is written down about a sandbox, so that a restarted runner knows what it has.
//!
//! `{data_dir}/sandboxes/<uuid>/meta.json` outlives a reboot of the host;
//! `{run_dir}/sandboxes/<uuid>/running.json` says what is alive, and must not.
//! `spare`, beside the former, says that it was never anybody's (`crate::spares`), and in which boot:
//! after a power cut the file may be there again although it had been removed.
//! Neither is trusted over the kernel: a process must still be the one that was written down,
//! and a disk without a record is a stopped sandbox, never rubbish.
//!
//! Must not: hold anything that cannot be lost. Next: `crate::adopt` reads these.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sebring_api::runner::{SandboxSpec, StopReason};
use sebring_core::id::{Generation, SandboxId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cgroups::Group;
use crate::network::Slot;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The last goal that was reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) generation: Generation,
    pub(crate) spec: SandboxSpec,
    /// `None` while running.
    pub(crate) stopped: Option<StopReason>,
}

/// A process and what it occupies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) generation: Generation,
    pub(crate) spec: SandboxSpec,
    pub(crate) pid: i32,
    /// In clock ticks since boot: with the pid it names one process for ever.
    pub(crate) start_time: u64,
    pub(crate) slot: Slot,
    pub(crate) group: Group,
}

/// Both places, for all sandboxes of a runner.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    data: PathBuf,
    run: PathBuf,
    boot: String,
}

impl Records {
    pub(crate) fn open(data_dir: &Path, run_dir: &Path, group: Option<u32>) -> io::Result<Self> {
        let records = Self {
            data: data_dir.join("sandboxes"),
            run: run_dir.join("sandboxes"),
            boot: fs::read_to_string(BOOT_ID)?,
        };
        fs::create_dir_all(&records.data)?;
        // Specifications hold environments, and those hold their owners' secrets.
        super::door::let_group_in(&records.data, None, 0o700)?;
        fs::create_dir_all(&records.run)?;
        super::door::let_group_in(&records.run, group, 0o750)?;
        Ok(records)
    }

    pub(crate) fn data_dir(&self, id: SandboxId) -> PathBuf {
        self.data.join(id.to_string())
    }

    pub(crate) fn run_dir(&self, id: SandboxId) -> PathBuf {
        self.run.join(id.to_string())
    }

    pub(crate) fn save_meta(&self, id: SandboxId, meta: &Meta) -> io::Result<()> {
        write(&self.data_dir(id), "meta.json", meta)
    }

    pub(crate) fn save_running(&self, id: SandboxId, running: &Running) -> io::Result<()> {
        write(&self.run_dir(id), "running.json", running)
    }

    /// Before anything of it exists: from now on nothing of `id` is worth keeping.
    pub(crate) fn mark_spare(&self, id: SandboxId) -> io::Result<()> {
        fs::create_dir_all(self.data_dir(id))?;
        fs::write(self.spare_mark(id), &self.boot)
    }

    /// It is a sandbox now. Last of all records of a claim: until then nobody was told of it.
    pub(crate) fn unmark_spare(&self, id: SandboxId) -> io::Result<()> {
        match fs::remove_file(self.spare_mark(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Of another boot it says nothing; a disk without an owner is then the server's to delete.
    pub(crate) fn is_spare(&self, id: SandboxId) -> bool {
        fs::read_to_string(self.spare_mark(id)).is_ok_and(|boot| boot == self.boot)
    }

    fn spare_mark(&self, id: SandboxId) -> PathBuf {
        self.data_dir(id).join("spare")
    }

    pub(crate) fn meta(&self, id: SandboxId) -> Option<Meta> {
        read(&self.data_dir(id).join("meta.json"))
    }

    pub(crate) fn running(&self, id: SandboxId) -> Option<Running> {
        read(&self.run_dir(id).join("running.json"))
    }

    /// Nothing runs any more.
    pub(crate) fn forget_running(&self, id: SandboxId) -> io::Result<()> {
        remove_dir(&self.run_dir(id))
    }

    pub(crate) fn forget(&self, id: SandboxId) -> io::Result<()> {
        remove_dir(&self.run_dir(id))?;
        remove_dir(&self.data_dir(id))
    }

    /// Every sandbox that either place mentions.
    pub(crate) fn ids(&self) -> io::Result<Vec<SandboxId>> {
        let mut ids = Vec::new();
        for dir in [&self.data, &self.run] {
            for entry in fs::read_dir(dir)? {
                if let Some(id) = entry?
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse().ok())
                {
                    ids.push(id);
                }
            }
        }
        Ok(ids)
    }
}

/// A reader sees the old file or the new one. Not synced: after a power cut the sandbox is not
/// running anyway, and its disk speaks for itself.
fn write<T: Serialize>(dir: &Path, name: &str, value: &T) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let unfinished = dir.join(format!("{name}.new"));
    fs::write(&unfinished, serde_json::to_vec(value)?)?;
    fs::rename(unfinished, dir.join(name))
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spare_is_known_in_its_own_boot_until_it_is_claimed() {
        let dir = tempfile::tempdir().unwrap();
        let mut records =
            Records::open(&dir.path().join("data"), &dir.path().join("run"), None).unwrap();
        let (claimed, kept) = (SandboxId::random(), SandboxId::random());
        for id in [claimed, kept] {
            records.mark_spare(id).unwrap();
            assert!(records.is_spare(id));
        }
        records.unmark_spare(claimed).unwrap();
        assert!(!records.is_spare(claimed));
        records.unmark_spare(claimed).unwrap();
        records.boot = "another".into();
        assert!(!records.is_spare(kept), "it may be a sandbox by now");
    }
}
