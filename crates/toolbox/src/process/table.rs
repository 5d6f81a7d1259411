//! Every process that is known, running or ended, oldest first.
//!
//! Must not: keep more than its bounds; the oldest ended ones make way, and the logs of ended ones
//! before the rest of what is known of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::Process;
use super::store;

/// Known at one time; those that run are never forgotten.
pub(crate) const PROCESSES_MAX: usize = 2000;

/// Of the sandbox's own disk, which is not ours to fill.
const LOGS_ON_DISK_BYTES_MAX: u64 = 512 << 20;

#[derive(Debug, Default)]
pub(crate) struct Table(Mutex<VecDeque<Arc<Process>>>);

/// All that are known run.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("processes: {PROCESSES_MAX} are running, the maximum; end some first")]
pub(crate) struct Full;

impl Table {
    /// Also returns the one that was forgotten for it.
    pub(super) fn insert(&self, process: Arc<Process>) -> Result<Option<Arc<Process>>, Full> {
        let mut all = self.lock();
        let mut forgotten = None;
        if all.len() >= PROCESSES_MAX {
            let ended = all.iter().position(|process| process.end().is_some());
            forgotten = all.remove(ended.ok_or(Full)?);
        }
        trim(&all, LOGS_ON_DISK_BYTES_MAX);
        all.push_back(process);
        Ok(forgotten)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Process>> {
        let all = self.lock();
        all.iter().find(|process| process.id == id).cloned()
    }

    pub(crate) fn remove(&self, id: &str) {
        self.lock().retain(|process| process.id != id);
    }

    pub(crate) fn list(&self) -> Vec<Arc<Process>> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Process>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of the oldest logs of ended processes until all take no more disk than this.
fn trim(all: &VecDeque<Arc<Process>>, on_disk_max: u64) {
    let ended = all.iter().filter(|process| process.end().is_some());
    for process in ended {
        if store::bytes_on_disk() <= on_disk_max {
            return;
        }
        process.log.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::Stream;
    use super::super::reaper::Exit;
    use super::super::record::{End, Kind};
    use super::*;

    #[test]
    fn the_oldest_ended_process_makes_way_and_a_running_one_never_does() {
        let table = Table::default();
        let new = |id: usize| Arc::new(Process::new(Kind::Process, id.to_string(), String::new()));
        for id in 0..PROCESSES_MAX {
            table.insert(new(id)).unwrap();
        }
        assert!(table.insert(new(9999)).is_err());
        table.get("7").unwrap().finish(End::now(Exit::Code(0)));
        table.insert(new(9999)).unwrap();
        assert!(table.get("7").is_none());
        assert!(table.get("0").is_some() && table.get("9999").is_some());
    }

    #[test]
    fn logs_on_disk_make_way_and_their_records_stay() {
        let new = |id: &str| {
            let process = Process::new(Kind::Process, id.to_owned(), String::new());
            process.log.push(Stream::Output, &[b'x'; 100_000]);
            Arc::new(process)
        };
        let all: VecDeque<_> = [new("ended"), new("running")].into();
        all[0].finish(End::now(Exit::Code(3)));
        assert!(store::bytes_on_disk() >= 200_000);
        trim(&all, 0);
        let extents = [all[0].log.extent(), all[1].log.extent()];
        assert_eq!(extents.map(|extent| extent.begin), [100_000, 0]);
        assert_eq!(extents.map(|extent| extent.end), [100_000; 2]);
    }
}
