//! Who has which number: addresses, names and id ranges, all following from a slot.
//!
//! Must not: make any of it, but the gateway's address, which is how a subnet is taken, and what
//! `prepare_host` does for the whole instance.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::netlink::Netlink;

/// Sandboxes on one host at most. Bounded by id ranges: each has 65536 of the 2^30 ids we use.
const SLOTS_MAX: u16 = 16_384;
/// First host id of the first range: far above what distributions and other tools give out.
const ID_BASE: u32 = 0x4000_0000;
/// Ids per sandbox; images expect to find `nobody` at 65534.
pub(crate) const IDS_PER_SANDBOX: u32 = 65_536;
/// Subnets that are tried, `10.x.0.0/16`.
const SECOND_OCTETS: std::ops::RangeInclusive<u8> = 200..=249;
const FIRST_TRY: u8 = 213;
/// Starts the indexes of our interfaces: above all that the kernel counts up to by itself.
const INTERFACE_INDEX_BASE: u32 = 0x4000_0000;

/// Number of a seat, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Slot(pub(crate) u16);

impl Slot {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS_MAX).map(Self)
    }

    /// Host id that is root in the sandbox.
    pub(crate) const fn base_id(self) -> u32 {
        ID_BASE + self.0 as u32 * IDS_PER_SANDBOX
    }
}

/// `a.b.0.0/16` of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    instance: String,
    octets: [u8; 2],
    mtu: u32,
}

#[derive(Serialize, Deserialize)]
struct Chosen {
    subnet: String,
}

impl Plan {
    /// The `wanted` subnet, that of an earlier start, or one that nothing on this host uses.
    ///
    /// That of an earlier start may have got another owner while nothing of ours was on the host;
    /// with `live` sandboxes in it there is no choice. Instances that start at the same moment take
    /// turns, and the gateway's address is there before the next one looks.
    pub(super) fn load_or_choose(
        data_dir: &Path,
        instance: &str,
        wanted: Option<&str>,
        live: bool,
    ) -> io::Result<Self> {
        let turn = File::create("/run/sebring-subnet.lock")?;
        turn.lock()?;
        let path = data_dir.join("network.json");
        let stored = fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        let octets = match (wanted, stored) {
            (Some(wanted), _) => parse(wanted)?,
            (None, Some(Chosen { subnet })) => {
                let octets = parse(&subnet)?;
                if live || !is_used(octets)? || left_behind(instance)? {
                    octets
                } else {
                    warn!(%subnet, "something else on this host uses our subnet; taking another");
                    choose()?
                }
            }
            (None, None) => choose()?,
        };
        let plan = Self {
            instance: instance.to_owned(),
            octets,
            mtu: uplink_mtu(),
        };
        Netlink::open()?.add_loopback_address(plan.gateway())?;
        fs::write(
            &path,
            serde_json::to_vec(&Chosen {
                subnet: plan.subnet(),
            })?,
        )?;
        Ok(plan)
    }

    pub(crate) fn subnet(&self) -> String {
        format!("{}.{}.0.0/16", self.octets[0], self.octets[1])
    }

    pub(crate) const fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(self.octets[0], self.octets[1], 0, 1)
    }

    /// Slot 0 is the first address after the gateway.
    pub(crate) fn address(&self, slot: Slot) -> Ipv4Addr {
        let [high, low] = (slot.0 + 2).to_be_bytes();
        Ipv4Addr::new(self.octets[0], self.octets[1], high, low)
    }

    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    pub(crate) fn interface_prefix(&self) -> String {
        format!("sb{}", self.instance)
    }

    /// Name of the host's end of the sandbox's cable.
    pub(crate) fn interface(&self, slot: Slot) -> String {
        format!("sb{}{:04x}", self.instance, slot.0)
    }

    /// Index of the same, known beforehand so that nobody has to ask for it.
    pub(crate) fn interface_index(&self, slot: Slot) -> u32 {
        let instance = u32::from_str_radix(&self.instance, 16).unwrap_or(0) & 0xffff;
        INTERFACE_INDEX_BASE | (instance << 14) | u32::from(slot.0)
    }

    pub(crate) const fn mtu(&self) -> u32 {
        self.mtu
    }

    /// The slot of one of our interface names.
    pub(crate) fn slot_of(&self, interface: &str) -> Option<Slot> {
        let rest = interface.strip_prefix(&self.interface_prefix())?;
        u16::from_str_radix(rest, 16)
            .ok()
            .filter(|slot| *slot < SLOTS_MAX)
            .map(Slot)
    }

    /// What the whole instance needs besides its address, which is there since it was chosen.
    pub(super) fn prepare_host() -> io::Result<()> {
        let switch = Path::new("/proc/sys/net/ipv4/ip_forward");
        if fs::read_to_string(switch)?.trim() == "0" {
            warn!("turning on IPv4 forwarding on this host (net.ipv4.ip_forward)");
            fs::write(switch, "1")?;
        }
        Ok(())
    }

    /// Forwarding stays on: someone else may have come to need it.
    pub(super) fn restore_host(&self) -> io::Result<()> {
        Netlink::open()?.remove_loopback_address(self.gateway())
    }
}

fn parse(subnet: &str) -> io::Result<[u8; 2]> {
    let refused = || io::Error::other(format!("subnet {subnet}: must look like 10.213.0.0/16"));
    let address = subnet.strip_suffix("/16").ok_or_else(refused)?;
    match address.parse::<Ipv4Addr>().map_err(|_| refused())?.octets() {
        [10, second, 0, 0] => Ok([10, second]),
        _ => Err(refused()),
    }
}

/// Looks at every route and address of the host.
fn choose() -> io::Result<[u8; 2]> {
    let order = (FIRST_TRY..=*SECOND_OCTETS.end()).chain(*SECOND_OCTETS.start()..FIRST_TRY);
    for second in order {
        let octets = [10, second];
        if !is_used(octets)? {
            return Ok(octets);
        }
    }
    Err(io::Error::other(
        "every subnet from 10.200.0.0/16 to 10.249.0.0/16 is in use",
    ))
}

fn is_used([first, second]: [u8; 2]) -> io::Result<bool> {
    let used = fs::read_to_string("/proc/net/fib_trie")?;
    Ok(used.contains(&format!(" {first}.{second}.")))
}

/// Whether an earlier run of this instance was cut off before it could leave the host: then what
/// is in use is its own.
fn left_behind(instance: &str) -> io::Result<bool> {
    let table = format!("sebring_{instance}");
    let found = crate::exec::command("nft")
        .args(["list", "table", "inet", &table])
        .output()?;
    Ok(found.status.success())
}

/// Of the interface with the default route; the standard size when there is none.
fn uplink_mtu() -> u32 {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    routes
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (name, destination) = (fields.next()?, fields.next()?);
            (destination == "00000000").then_some(name)
        })
        .find_map(|name| {
            let path = PathBuf::from(format!("/sys/class/net/{name}/mtu"));
            fs::read_to_string(path).ok()?.trim().parse().ok()
        })
        .unwrap_or(1500)
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            instance: "3fa1".into(),
            octets: [10, 213],
            mtu: 1500,
        }
    }

    #[test]
    fn every_slot_has_its_own_address_name_index_and_ids_and_none_the_gateways() {
        let plan = plan();
        let mut seen = std::collections::HashSet::new();
        for slot in Slot::all() {
            assert!(seen.insert(plan.address(slot).to_string()));
            assert!(seen.insert(plan.interface(slot)));
            assert!(seen.insert(plan.interface_index(slot).to_string()));
            assert!(seen.insert(slot.base_id().to_string() + "id"));
            assert_eq!(plan.slot_of(&plan.interface(slot)), Some(slot));
            assert!(plan.interface(slot).len() <= 15);
        }
        assert!(!seen.contains(&plan.gateway().to_string()));
        assert!(i32::try_from(plan.interface_index(Slot(16_383))).is_ok());
    }

    #[test]
    fn only_subnets_of_the_documented_form_are_taken() {
        assert_eq!(parse("10.7.0.0/16").unwrap(), [10, 7]);
        for bad in [
            "10.7.0.0/24",
            "192.168.0.0/16",
            "10.7.1.0/16",
            "10.7.0.0",
            "x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
