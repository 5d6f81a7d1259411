//! Seats: numbers with their namespaces, made ahead of need by one low-priority thread.
//!
//! A seat's network namespace is used once and thrown away; its user namespace holds nothing but
//! a mapping and is kept for the number's next owner. A number whose interface is still on its
//! way out of the kernel is skipped and tried again later.
//!
//! Must not: hold a lock while asking the kernel for something slow.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::thread::LinkNameSpaceType;
use tracing::warn;

use super::netlink::{Cable, Netlink};
use super::plan::{IDS_PER_SANDBOX, Plan, Slot};

/// Attempts to find a number whose interface is free, per seat.
const ATTEMPTS_MAX: u32 = 64;
/// After the kernel refused a seat, before the next try ahead of need.
const RETRY_WAIT: Duration = Duration::from_millis(200);
/// How much the thread steps back behind sandboxes and requests.
const NICENESS: i32 = 10;
/// Inside a sandbox: the first after loopback, so it looks like everywhere else.
const INNER_NAME: &str = "eth0";
const INNER_INDEX: u32 = 2;
/// Locally administered addresses; one pair serves all, since no two share a link.
const INNER_MAC: [u8; 6] = [0x02, 0x5e, 0xb0, 0, 0, 2];
const OUTER_MAC: [u8; 6] = [0x02, 0x5e, 0xb0, 0, 0, 1];

/// A place for one sandbox.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) slot: Slot,
    pub(crate) user_namespace: Arc<OwnedFd>,
    pub(crate) network_namespace: OwnedFd,
}

impl Seat {
    pub(super) fn address(&self, plan: &Plan) -> Ipv4Addr {
        plan.address(self.slot)
    }
}

#[derive(Debug)]
pub(super) struct Seats {
    plan: Plan,
    target: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<Seat>,
    /// Oldest first: a number rests as long as possible between two owners.
    free: VecDeque<Slot>,
    user_namespaces: HashMap<Slot, Arc<OwnedFd>>,
    stopped: bool,
}

impl Seats {
    pub(super) fn start(plan: Plan, occupied: &[Slot], target: usize) -> io::Result<Arc<Self>> {
        let occupied: BTreeSet<Slot> = occupied.iter().copied().collect();
        let leftovers = leftover_interfaces(&plan, &occupied)?;
        let free = Slot::all()
            .filter(|slot| !occupied.contains(slot) && !leftovers.contains(slot))
            .collect();
        let state = State {
            ready: VecDeque::new(),
            free,
            user_namespaces: HashMap::new(),
            stopped: false,
        };
        let seats = Arc::new(Self {
            plan,
            target,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let filler = Arc::clone(&seats);
        thread::Builder::new()
            .name("seats".into())
            .spawn(move || filler.fill(&leftovers))?;
        Ok(seats)
    }

    /// A connected seat: a ready one, else one made on the spot.
    pub(super) fn take(&self) -> io::Result<Seat> {
        let ready = self.state.lock().ready.pop_front();
        self.changed.notify_one();
        match ready {
            Some(seat) => Ok(seat),
            None => self.make(true),
        }
    }

    /// A seat whose network has only its own loopback.
    pub(super) fn take_unconnected(&self) -> io::Result<Seat> {
        self.make(false)
    }

    pub(super) fn give_back(&self, slot: Slot) {
        self.state.lock().free.push_back(slot);
    }

    pub(super) fn ready(&self) -> usize {
        self.state.lock().ready.len()
    }

    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        // Their descriptors are all that keeps these namespaces.
        state.ready.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// The thread's life: first what a killed predecessor left, then one seat after the other.
    fn fill(&self, leftovers: &BTreeSet<Slot>) {
        // Best effort: without it seats are made all the same.
        let _ = rustix::process::nice(NICENESS);
        for slot in leftovers {
            match disconnect(&self.plan, *slot) {
                Ok(()) => self.give_back(*slot),
                Err(error) => {
                    warn!(error = %error, slot = slot.0, "cannot remove an old interface");
                }
            }
        }
        loop {
            let mut state = self.state.lock();
            while !state.stopped && state.ready.len() >= self.target {
                self.changed.wait(&mut state);
            }
            if state.stopped {
                return;
            }
            drop(state);
            match self.make(true) {
                Ok(seat) => {
                    let mut state = self.state.lock();
                    if !state.stopped {
                        state.ready.push_back(seat);
                    }
                }
                Err(error) => {
                    warn!(error = %error, "cannot make a seat ahead of need");
                    let mut state = self.state.lock();
                    if !state.stopped {
                        self.changed.wait_for(&mut state, RETRY_WAIT);
                    }
                }
            }
        }
    }

    fn make(&self, connected: bool) -> io::Result<Seat> {
        for _ in 0..ATTEMPTS_MAX {
            let slot = self
                .state
                .lock()
                .free
                .pop_front()
                .ok_or_else(out_of_seats)?;
            match self.make_at(slot, connected) {
                Ok(seat) => return Ok(seat),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.give_back(slot),
                Err(error) => {
                    self.give_back(slot);
                    return Err(error);
                }
            }
        }
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "interfaces of ended sandboxes linger",
        ))
    }

    fn make_at(&self, slot: Slot, connected: bool) -> io::Result<Seat> {
        let user_namespace = self.user_namespace(slot)?;
        let network_namespace = make_network(&self.plan, slot, connected)?;
        Ok(Seat {
            slot,
            user_namespace,
            network_namespace,
        })
    }

    fn user_namespace(&self, slot: Slot) -> io::Result<Arc<OwnedFd>> {
        if let Some(known) = self.state.lock().user_namespaces.get(&slot) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(sebring_sys::userns::create(
            slot.base_id(),
            IDS_PER_SANDBOX,
        )?);
        self.state
            .lock()
            .user_namespaces
            .insert(slot, Arc::clone(&made));
        Ok(made)
    }
}

/// Takes the cable of `slot` away, at once for everyone. Gone is fine.
pub(super) fn disconnect(plan: &Plan, slot: Slot) -> io::Result<()> {
    Netlink::open()?.remove_link(&plan.interface(slot))
}

/// Plugs a cable into the network namespace of a running process.
pub(super) fn connect_running(plan: &Plan, slot: Slot, pid: i32) -> io::Result<()> {
    let host = own_network_namespace()?;
    let theirs = File::open(format!("/proc/{pid}/ns/net"))?;
    in_network_namespace(theirs.as_fd(), || connect_inside(plan, slot, host.as_fd()))?;
    connect_outside(plan, slot)
}

/// A new network namespace, made by visiting it: the calling thread comes back in any case.
fn make_network(plan: &Plan, slot: Slot, connected: bool) -> io::Result<OwnedFd> {
    let host = own_network_namespace()?;
    sebring_sys::clone::unshare_thread_network()?;
    let inside: io::Result<File> = (|| {
        let namespace = own_network_namespace()?;
        prepare_inside()?;
        if connected {
            connect_inside(plan, slot, host.as_fd())?;
        }
        Ok(namespace)
    })();
    enter(host.as_fd())?;
    let namespace = inside?;
    if connected {
        connect_outside(plan, slot)?;
    }
    Ok(namespace.into())
}

/// Loopback and settings that every sandbox has.
fn prepare_inside() -> io::Result<()> {
    // Loopback keeps its IPv6 address, interfaces made later have none.
    write_if_there("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?;
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
    // Everyone in the sandbox may ping; ids count in the namespace's owner, which is the host.
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")?;
    let mut netlink = Netlink::open()?;
    netlink.bring_up_loopback();
    netlink.send()
}

fn connect_inside(plan: &Plan, slot: Slot, host: BorrowedFd<'_>) -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    netlink.make_cable(&Cable {
        here: (INNER_NAME, INNER_INDEX),
        here_mac: INNER_MAC,
        there: (&plan.interface(slot), plan.interface_index(slot)),
        there_mac: OUTER_MAC,
        namespace: host,
        mtu: plan.mtu(),
    });
    netlink.add_address(INNER_INDEX, plan.address(slot));
    netlink.add_neighbour(INNER_INDEX, plan.gateway(), OUTER_MAC);
    netlink.add_default_route(plan.gateway(), INNER_INDEX);
    netlink.send()
}

fn connect_outside(plan: &Plan, slot: Slot) -> io::Result<()> {
    let name = plan.interface(slot);
    // Before it comes up, so that the host never announces itself on it.
    write_if_there(&format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1")?;
    let index = plan.interface_index(slot);
    let mut netlink = Netlink::open()?;
    netlink.bring_up(index);
    netlink.add_route_to(plan.address(slot), index);
    netlink.add_neighbour(index, plan.address(slot), INNER_MAC);
    netlink.send()
}

/// Interfaces of ours that belong to no known sandbox: of a predecessor that was killed.
fn leftover_interfaces(plan: &Plan, occupied: &BTreeSet<Slot>) -> io::Result<BTreeSet<Slot>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/sys/class/net")? {
        let name = entry?.file_name();
        if let Some(slot) = name.to_str().and_then(|name| plan.slot_of(name))
            && !occupied.contains(&slot)
        {
            found.insert(slot);
        }
    }
    Ok(found)
}

fn own_network_namespace() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

fn in_network_namespace<T>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let back = own_network_namespace()?;
    enter(namespace)?;
    let outcome = work();
    enter(back.as_fd())?;
    outcome
}

fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::thread::move_into_link_name_space(
        namespace,
        Some(LinkNameSpaceType::Network),
    )?)
}

fn write_if_there(path: &str, value: &str) -> io::Result<()> {
    match fs::write(path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn out_of_seats() -> io::Error {
    io::Error::new(
        io::ErrorKind::AddrNotAvailable,
        "every address of the subnet is in use",
    )
}
