//! The few rtnetlink requests that a seat needs, written as bytes and answered one by one.
//!
//! Requests of one seat go out together; each costs a message, not a round trip. A general
//! library would bring its whole model of links for these six shapes.
//!
//! Must not: retry or know what a sandbox is. The socket belongs to the network namespace that
//! the calling thread is in when it opens it.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socket_with};

/// The kernel answers at once; this only keeps a bug from hanging a thread.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Index of the loopback interface in every network namespace.
const LOOPBACK: u32 = 1;
const ANSWER_BYTES_MAX: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    requests: Vec<u8>,
    waiting: u32,
}

/// Both ends of a cable.
#[derive(Debug)]
pub(super) struct Cable<'a> {
    /// Name and index of the end in the namespace of this socket.
    pub(super) here: (&'a str, u32),
    pub(super) here_mac: [u8; 6],
    pub(super) there: (&'a str, u32),
    pub(super) there_mac: [u8; 6],
    /// Network namespace of the other end.
    pub(super) namespace: BorrowedFd<'a>,
    pub(super) mtu: u32,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // Protocol zero is routing.
            None,
        )?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_WAIT))?;
        Ok(Self {
            socket,
            requests: Vec::new(),
            waiting: 0,
        })
    }

    /// Adds `address/32` to the loopback interface. Present is fine.
    pub(super) fn add_loopback_address(&mut self, address: Ipv4Addr) -> io::Result<()> {
        self.push(NEW_ADDRESS, CREATE, |body| {
            address_body(body, LOOPBACK, address);
        });
        ignore(self.send(), io::ErrorKind::AlreadyExists)
    }

    /// Absent is fine.
    pub(super) fn remove_loopback_address(&mut self, address: Ipv4Addr) -> io::Result<()> {
        self.push(DELETE_ADDRESS, 0, |body| {
            address_body(body, LOOPBACK, address);
        });
        ignore(self.send(), io::ErrorKind::AddrNotAvailable)
    }

    /// Adds to the batch: the interface comes up.
    pub(super) fn bring_up(&mut self, index: u32) {
        self.push(NEW_LINK, 0, |body| {
            body.extend(link_header(index, INTERFACE_UP, INTERFACE_UP));
        });
    }

    pub(super) fn bring_up_loopback(&mut self) {
        self.bring_up(LOOPBACK);
    }

    /// Adds to the batch: a pair of connected interfaces; this end is up, the other is not.
    pub(super) fn make_cable(&mut self, cable: &Cable<'_>) {
        self.push(NEW_LINK, CREATE, |body| {
            body.extend(link_header(cable.here.1, INTERFACE_UP, INTERFACE_UP));
            link_attributes(body, cable.here.0, cable.here_mac, cable.mtu);
            nest(body, 18, |info| {
                text(info, 1, "veth");
                nest(info, 2, |data| {
                    nest(data, 1, |peer| {
                        peer.extend(link_header(cable.there.1, 0, 0));
                        link_attributes(peer, cable.there.0, cable.there_mac, cable.mtu);
                        let fd = cable.namespace.as_raw_fd().unsigned_abs();
                        attribute(peer, 28, &fd.to_ne_bytes());
                    });
                });
            });
        });
    }

    pub(super) fn add_address(&mut self, index: u32, address: Ipv4Addr) {
        self.push(NEW_ADDRESS, CREATE, |body| {
            address_body(body, index, address);
        });
    }

    /// Adds to the batch: who answers for `address` is known for ever. Nobody asks, and the entry
    /// does not count against the size of the host's neighbour table.
    pub(super) fn add_neighbour(&mut self, index: u32, address: Ipv4Addr, mac: [u8; 6]) {
        self.push(NEW_NEIGHBOUR, REPLACE, |body| {
            body.extend([AF_INET, 0, 0, 0]);
            body.extend(index.to_ne_bytes());
            body.extend(NEIGHBOUR_PERMANENT.to_ne_bytes());
            body.extend([0, 0]);
            attribute(body, 1, &address.octets());
            attribute(body, 2, &mac);
        });
    }

    pub(super) fn add_route_to(&mut self, address: Ipv4Addr, index: u32) {
        self.push(NEW_ROUTE, REPLACE, |body| {
            body.extend(route_header(32, SCOPE_LINK, 0));
            attribute(body, 1, &address.octets());
            attribute(body, 4, &index.to_ne_bytes());
        });
    }

    /// Adds to the batch: everything else goes to `gateway`, which needs no subnet in common.
    pub(super) fn add_default_route(&mut self, gateway: Ipv4Addr, index: u32) {
        self.push(NEW_ROUTE, REPLACE, |body| {
            body.extend(route_header(0, SCOPE_UNIVERSE, ROUTE_ONLINK));
            attribute(body, 5, &gateway.octets());
            attribute(body, 4, &index.to_ne_bytes());
        });
    }

    /// Removes one interface, and with it its other end. Gone is fine.
    pub(super) fn remove_link(&mut self, name: &str) -> io::Result<()> {
        self.push(DELETE_LINK, 0, |body| {
            body.extend(link_header(0, 0, 0));
            text(body, 3, name);
        });
        match self.send() {
            Err(error) if error.raw_os_error() == Some(ENODEV) => Ok(()),
            other => other,
        }
    }

    /// Sends the batch and waits until the kernel has done all of it. The first failure is the
    /// answer; later requests of the batch were tried too.
    pub(super) fn send(&mut self) -> io::Result<()> {
        let requests = std::mem::take(&mut self.requests);
        let mut waiting = std::mem::take(&mut self.waiting);
        rustix::net::send(&self.socket, &requests, SendFlags::empty())?;
        let mut outcome = Ok(());
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        while waiting > 0 {
            let (_, length) = rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
            for error in answers(buffer.get(..length).unwrap_or_default()) {
                waiting = waiting.saturating_sub(1);
                if error != 0 && outcome.is_ok() {
                    outcome = Err(io::Error::from_raw_os_error(-error));
                }
            }
        }
        outcome
    }

    fn push(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.requests.len();
        self.requests.extend([0; 4]);
        self.requests.extend(kind.to_ne_bytes());
        self.requests
            .extend((flags | REQUEST | ACKNOWLEDGE).to_ne_bytes());
        self.requests.extend([0; 8]);
        body(&mut self.requests);
        let length = u32::try_from(self.requests.len() - start).unwrap_or(u32::MAX);
        self.requests[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        while !self.requests.len().is_multiple_of(4) {
            self.requests.push(0);
        }
        self.waiting += 1;
    }
}

/// Error numbers of all acknowledgements in a datagram: negative, or zero for success.
fn answers(mut datagram: &[u8]) -> Vec<i32> {
    let mut errors = Vec::new();
    while let (Some(length), Some(kind)) = (word(datagram, 0), datagram.get(4..6)) {
        if kind == ERROR.to_ne_bytes() {
            errors.push(word(datagram, 16).unwrap_or(0).cast_signed());
        }
        let length = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .max(16)
            .next_multiple_of(4);
        datagram = datagram.get(length..).unwrap_or_default();
    }
    errors
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn ignore(result: io::Result<()>, kind: io::ErrorKind) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        other => other,
    }
}

fn link_header(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut header = vec![0, 0, 0, 0];
    header.extend(index.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header.extend(change.to_ne_bytes());
    header
}

fn link_attributes(body: &mut Vec<u8>, name: &str, mac: [u8; 6], mtu: u32) {
    text(body, 3, name);
    attribute(body, 1, &mac);
    attribute(body, 4, &mtu.to_ne_bytes());
}

fn address_body(body: &mut Vec<u8>, index: u32, address: Ipv4Addr) {
    body.extend([AF_INET, 32, 0, 0]);
    body.extend(index.to_ne_bytes());
    attribute(body, 1, &address.octets());
    attribute(body, 2, &address.octets());
}

fn route_header(prefix: u8, scope: u8, flags: u32) -> Vec<u8> {
    let mut header = vec![
        AF_INET,
        prefix,
        0,
        0,
        MAIN_TABLE,
        PROTOCOL_STATIC,
        scope,
        UNICAST,
    ];
    header.extend(flags.to_ne_bytes());
    header
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    while !body.len().is_multiple_of(4) {
        body.push(0);
    }
}

fn text(body: &mut Vec<u8>, kind: u16, value: &str) {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    attribute(body, kind, &bytes);
}

fn nest(body: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    attribute(body, kind | NESTED, &inner);
}

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const NEW_NEIGHBOUR: u16 = 28;
const ERROR: u16 = 2;
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
/// Create, and fail when it exists.
const CREATE: u16 = 0x400 | 0x200;
/// Create or replace.
const REPLACE: u16 = 0x400 | 0x100;
const NESTED: u16 = 0x8000;
const AF_INET: u8 = 2;
const INTERFACE_UP: u32 = 1;
const NEIGHBOUR_PERMANENT: u16 = 0x80;
const MAIN_TABLE: u8 = 254;
const PROTOCOL_STATIC: u8 = 4;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const UNICAST: u8 = 1;
const ROUTE_ONLINK: u32 = 4;
const ENODEV: i32 = 19;
