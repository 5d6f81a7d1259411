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
use sebring_core::network::Cidr;
use std::collections::HashMap;

use super::Occupied;
use super::plan::Plan;
use crate::exec;

/// Where no sandbox may go, whatever its policy: this host, its neighbours, and what only looks
/// like the Internet. IPv6 is off in sandboxes and dropped besides.
const FLOOR: &str = "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, \
    172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3";
/// Flows of one sandbox that the host tracks at a time. The host's table has room for some ten
/// thousand to a few hundred thousand in all, and when it is full nobody gets out.
const FLOWS_MAX: u32 = 4096;

#[derive(Debug)]
pub(super) struct Firewall {
    table: String,
    /// Present elements per address, so that they can be taken out again one by one.
    allowed: Mutex<HashMap<Ipv4Addr, Vec<Cidr>>>,
}

impl Firewall {
    /// Replaces the table by a fresh one with the allow lists of `occupied`.
    pub(super) fn install(plan: &Plan, occupied: &[Occupied]) -> io::Result<Self> {
        let table = format!("inet sebring_{}", plan.instance());
        let mut script = format!("add table {table}\ndelete table {table}\n");
        script.push_str(&static_table(&table, plan));
        let mut allowed = HashMap::new();
        for seat in occupied {
            if let Some(cidrs) = allow_list(&seat.policy)? {
                let address = plan.address(seat.slot);
                script.push_str(&change_elements("add", &table, address, &cidrs));
                allowed.insert(address, cidrs);
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
        let wanted = allow_list(policy)?;
        let mut allowed = self.allowed.lock();
        if allowed.get(&address) == wanted.as_ref() {
            return Ok(());
        }
        let mut script = String::new();
        if let Some(present) = allowed.get(&address) {
            script.push_str(&change_elements("delete", &self.table, address, present));
        }
        if let Some(cidrs) = &wanted {
            script.push_str(&change_elements("add", &self.table, address, cidrs));
        }
        run(&script)?;
        match wanted {
            Some(cidrs) => allowed.insert(address, cidrs),
            None => allowed.remove(&address),
        };
        Ok(())
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        run(&format!("add table {0}\ndelete table {0}\n", self.table))
    }
}

/// Parsed before it becomes part of a script that root's firewall obeys: a server that was taken
/// over must not be able to say more than networks here.
fn allow_list(policy: &NetworkSpec) -> io::Result<Option<Vec<Cidr>>> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    match policy {
        NetworkSpec::Allow { cidrs } => {
            let parsed: Result<_, _> = cidrs.iter().map(|cidr| cidr.parse()).collect();
            parsed.map(Some).map_err(invalid)
        }
        NetworkSpec::Open | NetworkSpec::BlockAll => Ok(None),
    }
}

/// `address` is restricted to `cidrs`. All in one transaction with whatever else is in the script.
fn change_elements(verb: &str, table: &str, address: Ipv4Addr, cidrs: &[Cidr]) -> String {
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
  set flows {{ type ipv4_addr; flags dynamic; size 65536; }}
  # A source address that does not belong to the interface is forged.
  chain source {{
    type filter hook prerouting priority raw; policy accept;
    iifname {ours} meta nfproto ipv6 drop
    iifname {ours} fib saddr . iif oif missing drop
  }}
  # Of the host, only name resolution at the gateway.
  chain to_host {{
    type filter hook input priority filter - 5; policy accept;
    # Others in the host's network must not find a resolver there.
    iifname != {{ {ours}, \"lo\" }} ip daddr {gateway} drop
    iifname {ours} ct state new add @flows {{ ip saddr ct count over {FLOWS_MAX} }} drop
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
    ct state new add @flows {{ ip saddr ct count over {FLOWS_MAX} }} drop
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_network_never_becomes_part_of_a_script() {
        for text in [
            "1.1.1.1/32 } ; flush ruleset; #",
            "1.1.1.1/32\nflush ruleset",
            "1.1.1.1/32 }\ninclude \"/etc/shadow\"",
            "@floor",
            "",
        ] {
            let policy = NetworkSpec::Allow {
                cidrs: vec!["1.1.1.1/32".into(), text.into()],
            };
            assert!(allow_list(&policy).is_err(), "{text}");
        }
        let policy = NetworkSpec::Allow {
            cidrs: vec!["1.1.1.1/32".into()],
        };
        assert_eq!(allow_list(&policy).unwrap().unwrap().len(), 1);
    }
}
