//! Listening sockets and whose they are, from the kernel's tables.
//!
//! Must not: connect to anything; whoever listens is not disturbed.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::files::blocking;
use crate::http::error::Failure;

const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// State of a listening socket in the kernel's tables.
const LISTEN: &str = "0A";
/// Descriptors looked at for a socket's owner; a sandbox has some hundreds.
const DESCRIPTORS_MAX: usize = 200_000;
/// Looked at in one go on the thread that serves everybody: some tenths of a millisecond.
const DESCRIPTORS_AT_ONCE: usize = 256;

/// A listening socket and who has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listener {
    pub(super) port: u16,
    address: IpAddr,
    /// Of the first process that has the socket; absent when it is not one of the sandbox's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<String>,
}

/// A line of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Socket {
    pub(super) port: u16,
    pub(super) address: IpAddr,
    inode: u64,
}

/// All listeners by port, with their processes.
pub(super) async fn all() -> Result<Vec<Listener>, Failure> {
    let sockets = sockets();
    // The kernel lets a thread look into processes of those whom it acts as: most are the user's,
    // and only what is left is root's, which is whom this thread acts as.
    let mut search = Search::of(&sockets);
    let mut search = blocking(move || {
        while search.step() {}
        Ok::<_, Failure>(search)
    })
    .await?;
    search.begin_again();
    while search.step() {
        tokio::task::yield_now().await;
    }
    let found = search.found;
    let listeners = sockets.into_iter().map(|socket| {
        let pid = found.get(&socket.inode).copied();
        Listener {
            port: socket.port,
            address: socket.address,
            pid,
            process: pid.and_then(name),
        }
    });
    Ok(listeners.collect())
}

/// Every listening socket, by port.
pub(super) fn sockets() -> Vec<Socket> {
    let tables = TABLES
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok());
    let mut sockets: Vec<Socket> = tables.flat_map(|table| parse(&table)).collect();
    sockets.sort_unstable();
    sockets
}

pub(super) fn parse(table: &str) -> Vec<Socket> {
    table.lines().skip(1).filter_map(listening).collect()
}

fn listening(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (address, port) = fields.next()?.rsplit_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    if state != LISTEN {
        return None;
    }
    Some(Socket {
        port: u16::from_str_radix(port, 16).ok()?,
        address: parse_address(address)?,
        inode: inode.parse().ok()?,
    })
}

/// Words of 32 bits in the order of this machine.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (number, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(number * 8)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// Looks for the first process that has each of some sockets, as far as this thread may look.
#[derive(Debug)]
struct Search {
    /// Inodes of sockets that are not found yet.
    wanted: HashSet<u64>,
    found: HashMap<u64, u32>,
    /// The next process is the last.
    pids: Vec<u32>,
    open: Option<(u32, fs::ReadDir)>,
    descriptors_left: usize,
}

impl Search {
    fn of(sockets: &[Socket]) -> Self {
        let mut search = Self {
            wanted: sockets.iter().map(|socket| socket.inode).collect(),
            found: HashMap::new(),
            pids: Vec::new(),
            open: None,
            descriptors_left: 0,
        };
        search.begin_again();
        search
    }

    /// Goes on for what is not found yet, with all processes.
    fn begin_again(&mut self) {
        self.pids = if self.wanted.is_empty() {
            Vec::new()
        } else {
            pids()
        };
        self.open = None;
        self.descriptors_left = DESCRIPTORS_MAX;
    }

    /// Looks a little further; whether there is more to look at.
    fn step(&mut self) -> bool {
        for _ in 0..DESCRIPTORS_AT_ONCE {
            if self.wanted.is_empty() || self.descriptors_left == 0 {
                return false;
            }
            if let Some((pid, descriptors)) = &mut self.open
                && let Some(descriptor) = descriptors.next()
            {
                self.descriptors_left -= 1;
                let link = descriptor.and_then(|found| fs::read_link(found.path()));
                let inode = link.ok().and_then(|link| inode(link.to_str()?));
                if let Some(inode) = inode.filter(|inode| self.wanted.remove(inode)) {
                    self.found.insert(inode, *pid);
                }
                continue;
            }
            let Some(pid) = self.pids.pop() else {
                return false;
            };
            // What may not be looked into is not the sandbox's.
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
            self.open = descriptors.ok().map(|descriptors| (pid, descriptors));
        }
        true
    }
}

pub(super) fn inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

/// Processes, the oldest last, where the search begins: with a server, before the workers that
/// have its socket from it.
fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable_by(|one, other| other.cmp(one));
    pids
}

fn name(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_the_process_of_a_socket_and_then_has_nothing_left_to_look_at() {
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = own.local_addr().unwrap().port();
        let mut found = sockets();
        found.retain(|socket| socket.port == port);
        let mut search = Search::of(&found);
        while search.step() {}
        assert_eq!(search.found[&found[0].inode], std::process::id());
        search.begin_again();
        assert!(search.pids.is_empty() && !search.step());
        // Somebody else's: every process is looked at, and then no more.
        let mut search = Search::of(&[Socket {
            inode: 0,
            ..found[0]
        }]);
        while search.step() {}
        assert!(search.found.is_empty() && search.pids.is_empty());
    }

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 71 1\n\
            1: 0100007F:0BB9 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 72 1\n\
            2: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A \
            00000000:00000000 00:00000000 00000000     0        0 73 1\n";
        let found: Vec<_> = parse(table)
            .iter()
            .map(|socket| (socket.port, socket.address.to_string(), socket.inode))
            .collect();
        let expected = [(3000, "127.0.0.1", 71), (8080, "::1", 73)];
        assert_eq!(
            found,
            expected.map(|(port, address, inode)| (port, address.to_owned(), inode))
        );
    }
}
