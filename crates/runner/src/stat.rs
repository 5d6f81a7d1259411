//! What `/proc/<pid>/stat` says about a process of this host.
//!
//! Must not: be asked about a number that may have passed to another process; hold a pidfd and
//! look at that afterwards.

use std::fs;
use std::io;

/// The kernel has begun to take the process apart. Set before its descriptors are closed.
const PF_EXITING: u64 = 0x4;
/// A kill that was sent and has not been acted upon yet.
const SIGKILL_PENDING: u64 = 1 << 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    flags: u64,
    /// In clock ticks since boot: with the pid it names one process for ever.
    pub(crate) start_time: u64,
    pending: u64,
}

impl Stat {
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        let text = fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse(&text).ok_or_else(|| io::Error::other("stat is not as documented"))
    }

    /// Whether it is ending, or is killed as soon as it next runs.
    pub(crate) const fn is_doomed(self) -> bool {
        self.flags & PF_EXITING != 0 || self.pending & SIGKILL_PENDING != 0
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        // The second field is a name in brackets that may contain any bytes; the third follows it.
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&text[end + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self {
            flags: field(9)?,
            start_time: field(22)?,
            pending: field(31)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_moves_no_field() {
        let text = "7 (a) b (c) R 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 10 11 12 13 \
                    14 15 16 256 0 0 0";
        let stat = Stat::parse(text.as_bytes()).unwrap();
        assert_eq!((stat.flags, stat.start_time), (4_194_560, 4711));
        assert!(stat.is_doomed(), "a kill is pending");
    }

    #[test]
    fn this_process_is_not_doomed_and_a_dead_one_is() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!Stat::of(own).unwrap().is_doomed());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let pidfd = sebring_sys::userns::pidfd_of(pid).unwrap();
        let mut poll = [rustix::event::PollFd::new(
            &pidfd,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut poll, None).unwrap();
        assert!(Stat::of(pid).unwrap().is_doomed(), "not reaped yet");
        child.wait().unwrap();
    }
}
