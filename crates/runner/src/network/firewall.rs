//! One nftables table per instance: the floor under every policy, and two sets for allow lists.
//!
//! The table matches our interfaces by prefix, so a sandbox is behind it from the moment its
//! interface exists, and most sandboxes never change it.
//!
//! Must not: touch another table. Replacing ours is one transaction: there is no moment without.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::process::Stdio;

use parking_lot::Mutex;
use sebring_api::runner::NetworkSpec;
use std::collections::HashMap;

use super::Occupied;
use super::plan::Plan;
use crate::exec;

/// Where no sandbox may go, whatever its policy: this host, its neighbours, and what only looks
/// like the Internet. IPv6 is off in sandboxes and dropped besides.
const FLOOR: &str = "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, \
    172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3";

#[derive(Debug)]
pub(super) struct Firewall {
    table: String,
    /// Present elements per address, so that they can be taken out again one by one.
    allowed: Mutex<HashMap<Ipv4Addr, Vec<String>>>,
}

impl Firewall {
    /// Replaces the table by a fresh one with the allow lists of `occupied`.
    pub(super) fn install(plan: &Plan, occupied: &[Occupied]) -> io::Result<Self> {
        let table = format!("inet sebring_{}", plan.instance());
        let mut script = format!("add table {table}\ndelete table {table}\n");
        script.push_str(&static_table(&table, plan));
        let mut allowed = HashMap::new();
        for seat in occupied {
            if let NetworkSpec::Allow { cidrs } = &seat.policy {
                let address = plan.address(seat.slot);
                script.push_str(&change_elements("add", &table, address, cidrs));
                allowed.insert(address, cidrs.clone());
            }
        }
        run(&script)?;
        Ok(Self {
            table,
            allowed: Mutex::new(allowed),
        })
    }

    /// Makes `policy` hold for `address`. Costs nothing when no allow list is involved.
    pub(super) fn apply(&self, address: Ipv4Addr, policy: &NetworkSpec) -> io::Result<()> {
        let wanted = match policy {
            NetworkSpec::Allow { cidrs } => Some(cidrs),
            NetworkSpec::Open | NetworkSpec::BlockAll => None,
        };
        let mut allowed = self.allowed.lock();
        if allowed.get(&address) == wanted {
            return Ok(());
        }
        let mut script = String::new();
        if let Some(present) = allowed.get(&address) {
            script.push_str(&change_elements("delete", &self.table, address, present));
        }
        if let Some(cidrs) = wanted {
            script.push_str(&change_elements("add", &self.table, address, cidrs));
        }
        run(&script)?;
        match wanted {
            Some(cidrs) => allowed.insert(address, cidrs.clone()),
            None => allowed.remove(&address),
        };
        Ok(())
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        run(&format!("add table {0}\ndelete table {0}\n", self.table))
    }
}

/// `address` is restricted to `cidrs`. All in one transaction with whatever else is in the script.
fn change_elements(verb: &str, table: &str, address: Ipv4Addr, cidrs: &[String]) -> String {
    let mut script = format!("{verb} element {table} restricted {{ {address} }}\n");
    for cidr in cidrs {
        // Writing to a string cannot fail.
        let _ = writeln!(
            script,
            "{verb} element {table} allowed {{ {address} . {cidr} }}"
        );
    }
    script
}

fn static_table(table: &str, plan: &Plan) -> String {
    let ours = format!("\"{}*\"", plan.interface_prefix());
    let (subnet, gateway) = (plan.subnet(), plan.gateway());
    format!(
        "table {table} {{
  set floor {{ type ipv4_addr; flags interval; elements = {{ {FLOOR} }} }}
  set restricted {{ type ipv4_addr; }}
  set allowed {{ type ipv4_addr . ipv4_addr; flags interval; }}
  # A source address that does not belong to the interface is forged.
  chain source {{
    type filter hook prerouting priority raw; policy accept;
    iifname {ours} meta nfproto ipv6 drop
    iifname {ours} fib saddr . iif oif missing drop
  }}
  # Of the host, only name resolution at the gateway.
  chain to_host {{
    type filter hook input priority filter - 5; policy accept;
    iifname {ours} ip daddr {gateway} udp dport 53 accept
    iifname {ours} ip daddr {gateway} tcp dport 53 accept
    iifname {ours} drop
  }}
  chain through {{
    type filter hook forward priority filter - 5; policy accept;
    iifname {ours} jump from_sandbox
    oifname {ours} ct state established,related accept
    oifname {ours} drop
  }}
  chain from_sandbox {{
    oifname {ours} drop
    meta nfproto ipv6 drop
    ip daddr @floor drop
    ip saddr @restricted ip saddr . ip daddr @allowed accept
    ip saddr @restricted drop
    accept
  }}
  chain source_nat {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {subnet} oifname != {ours} masquerade
  }}
}}
"
    )
}

fn run(script: &str) -> io::Result<()> {
    let mut nft = exec::command("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("start nft: {error}")))?;
    if let Some(mut input) = nft.stdin.take() {
        input.write_all(script.as_bytes())?;
    }
    let output = nft.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "nft: {}",
        said.lines().next().unwrap_or("failed silently")
    )))
}
