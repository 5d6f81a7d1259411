//! Every process that is known, running or ended, oldest first.
//!
//! Must not: keep more than its bounds; the oldest ended ones make way, and the logs of ended ones
//! before the rest of what is known of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::{Kind, Process};
use super::store;

/// Known at one time; those that run are never forgotten.
pub(crate) const PROCESSES_MAX: usize = 2000;

/// Their commands together: two of the longest that can be sent.
const COMMAND_BYTES_MAX: usize = 32 << 20;

/// Of the sandbox's own disk, which is not ours to fill.
const LOGS_ON_DISK_BYTES_MAX: u64 = 512 << 20;

#[derive(Debug, Default)]
pub(crate) struct Table(Mutex<VecDeque<Arc<Process>>>);

/// All that are known run, or wait to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("processes: {PROCESSES_MAX} are running, the maximum; end some first")]
    Processes,
    #[error(
        "command: with it the commands of what runs would be more than {COMMAND_BYTES_MAX} bytes, \
         the maximum; end some first, or put it in a file"
    )]
    Commands,
}

impl Table {
    /// Also returns those that were forgotten for it.
    pub(super) fn insert(&self, process: Arc<Process>) -> Result<Vec<Arc<Process>>, Full> {
        let mut all = self.lock();
        check_room(&all, &process)?;
        let mut bytes: usize = all.iter().map(|process| process.command.len()).sum();
        bytes += process.command.len();
        let mut forgotten = Vec::new();
        while all.len() >= PROCESSES_MAX || bytes > COMMAND_BYTES_MAX {
            let ended = all.iter().position(|process| process.end().is_some());
            let Some(oldest) = ended.and_then(|oldest| all.remove(oldest)) else {
                break;
            };
            bytes -= oldest.command.len();
            forgotten.push(oldest);
        }
        trim(&all, LOGS_ON_DISK_BYTES_MAX);
        all.push_back(process);
        Ok(forgotten)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Process>> {
        let all = self.lock();
        all.iter().find(|process| process.id == id).cloned()
    }

    pub(super) fn remove(&self, process: &Arc<Process>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, process));
    }

    /// All that were run in the session of this id.
    pub(super) fn remove_session(&self, id: &str) {
        let is_its = |process: &Process| matches!(&process.kind, Kind::Session(of) if of == id);
        self.lock().retain(|process| !is_its(process));
    }

    pub(crate) fn list(&self) -> Vec<Arc<Process>> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Process>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there is room for one more beside those that run. Asked first, so that none is
/// forgotten for one that is refused.
fn check_room(all: &VecDeque<Arc<Process>>, more: &Process) -> Result<(), Full> {
    let running = || all.iter().filter(|process| process.end().is_none());
    let bytes: usize = running().map(|process| process.command.len()).sum();
    if running().count() >= PROCESSES_MAX {
        Err(Full::Processes)
    } else if bytes + more.command.len() > COMMAND_BYTES_MAX {
        Err(Full::Commands)
    } else {
        Ok(())
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
    use super::super::record::End;
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
    fn long_commands_of_ended_processes_make_way_and_those_of_running_ones_are_bounded() {
        let table = Table::default();
        let new = |id: &str| {
            let command = "x".repeat(COMMAND_BYTES_MAX / 4);
            Arc::new(Process::new(Kind::Process, id.to_owned(), command))
        };
        for id in ["0", "1", "2", "3"] {
            assert!(table.insert(new(id)).unwrap().is_empty());
        }
        assert_eq!(table.insert(new("4")).unwrap_err(), Full::Commands);
        for id in ["2", "3"] {
            table.get(id).unwrap().finish(End::now(Exit::Code(0)));
        }
        let forgotten = table.insert(new("4")).unwrap();
        assert_eq!(forgotten.len(), 1);
        assert_eq!(forgotten[0].id, "2");
        let left: Vec<String> = table.list().iter().map(|it| it.id.clone()).collect();
        assert_eq!(left, ["0", "1", "3", "4"]);
    }

    #[test]
    fn a_session_takes_all_of_its_own_with_it() {
        let table = Table::default();
        for (id, session) in [("0", "mine"), ("1", "other"), ("2", "mine")] {
            let kind = Kind::Session(session.to_owned());
            let process = Process::new(kind, id.to_owned(), String::new());
            table.insert(Arc::new(process)).unwrap();
        }
        table.remove_session("mine");
        let left: Vec<String> = table.list().iter().map(|it| it.id.clone()).collect();
        assert_eq!(left, ["1"]);
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
