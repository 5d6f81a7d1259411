//! One network namespace per sandbox, with a way out but none to anything nearby.
//!
//! A *seat* is what a sandbox occupies on this host: a number from which its address, its
//! interface's name and its range of user ids follow, with the namespaces that carry them. Seats
//! are made ahead of need (`seats`), since a namespace with its interface costs milliseconds.
//! The floor under every policy is one static firewall table (`firewall`) that knows interfaces
//! by prefix; only allow lists add elements to it.
//!
//! ```text
//! sandbox            host
//! eth0 10.213.0.7/32 ── sb3fa10007 ── route 10.213.0.7/32 ── masquerade ── uplink
//!   default via 10.213.0.1 (on lo, nothing listens but name resolution)
//! ```
//!
//! Namespaces have no name in any file: they die with the last process and descriptor.
//!
//! Must not: start processes inside, or keep state that the kernel does not.

mod dns;
mod firewall;
mod netlink;
mod plan;
mod seats;

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use sebring_api::runner::NetworkSpec;
use sebring_tasks::Tasks;
use tracing::{info, warn};

pub(crate) use plan::{Plan, Slot};
pub(crate) use seats::Seat;

use firewall::Firewall;
use seats::Seats;

#[derive(Debug)]
pub(crate) struct Network {
    plan: Plan,
    firewall: Firewall,
    seats: Arc<Seats>,
}

/// What an already running sandbox occupies, as written down when it started.
#[derive(Clone, Debug)]
pub(crate) struct Occupied {
    pub(crate) slot: Slot,
    pub(crate) policy: NetworkSpec,
}

impl Network {
    /// Prepares the host. The firewall is in place, also for `occupied`, before anything else.
    pub(crate) fn open(
        data_dir: &Path,
        instance: &str,
        wanted: Option<&str>,
        occupied: &[Occupied],
        pool_size: usize,
    ) -> io::Result<Self> {
        let plan = Plan::load_or_choose(data_dir, instance, wanted, !occupied.is_empty())?;
        let firewall = Firewall::install(&plan, occupied)?;
        Plan::prepare_host()?;
        let slots = occupied.iter().map(|seat| seat.slot).collect::<Vec<_>>();
        let seats = Seats::start(plan.clone(), &slots, pool_size)?;
        info!(subnet = %plan.subnet(), "network is ready");
        Ok(Self {
            plan,
            firewall,
            seats,
        })
    }

    /// Answers the sandboxes' questions for names until `tasks` stop.
    pub(crate) async fn serve_names(&self, tasks: &Tasks) -> io::Result<()> {
        dns::serve(self.plan.gateway(), tasks).await
    }

    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.plan.gateway()
    }

    /// A seat whose policy is in force already.
    pub(crate) fn take(&self, policy: &NetworkSpec) -> io::Result<Seat> {
        let seat = match policy {
            NetworkSpec::BlockAll => self.seats.take_unconnected()?,
            NetworkSpec::Open | NetworkSpec::Allow { .. } => self.seats.take()?,
        };
        if let Err(error) = self.firewall.apply(seat.address(&self.plan), policy) {
            self.seats.give_back(seat.slot);
            return Err(error);
        }
        Ok(seat)
    }

    /// Changes the policy of a running sandbox, whose first process is `pid`.
    ///
    /// Fails closed: the new rules are in place before an interface appears, and the interface is
    /// gone before old rules are.
    pub(crate) fn change(
        &self,
        slot: Slot,
        pid: i32,
        old: &NetworkSpec,
        new: &NetworkSpec,
    ) -> io::Result<()> {
        let address = self.plan.address(slot);
        let blocked = |policy: &NetworkSpec| matches!(policy, NetworkSpec::BlockAll);
        if blocked(new) && !blocked(old) {
            seats::disconnect(&self.plan, slot)?;
        }
        self.firewall.apply(address, new)?;
        if blocked(old) && !blocked(new) {
            seats::connect_running(&self.plan, slot, pid)?;
        }
        Ok(())
    }

    /// The sandbox in `slot` has ended; its namespace may still be on its way out.
    pub(crate) fn give_back(&self, slot: Slot, policy: &NetworkSpec) {
        if !matches!(policy, NetworkSpec::Open)
            && let Err(error) = self
                .firewall
                .apply(self.plan.address(slot), &NetworkSpec::Open)
        {
            // The seat stays out of use: its next owner must not inherit rules.
            warn!(error = %error, slot = slot.0, "cannot remove firewall rules of a seat");
            return;
        }
        self.seats.give_back(slot);
    }

    /// Whether one more sandbox takes no seat that another would have to wait for.
    pub(crate) fn has_free_seats(&self) -> bool {
        self.seats.ready() > 0
    }

    /// Ready seats, for tests and `Host` facts.
    pub(crate) fn ready_seats(&self) -> usize {
        self.seats.ready()
    }

    /// Stops making seats. The table and routes stay: sandboxes may outlive us.
    pub(crate) fn stop(&self) {
        self.seats.stop();
    }

    /// Takes everything off the host. Only when no sandbox is left.
    pub(crate) fn close(&self) {
        self.seats.stop();
        if let Err(error) = self.firewall.remove() {
            warn!(error = %error, "cannot remove the firewall table");
        }
        if let Err(error) = self.plan.restore_host() {
            warn!(error = %error, "cannot remove the gateway address");
        }
    }
}
