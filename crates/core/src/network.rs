//! What a sandbox may reach. Beneath every policy lies the host's floor, which no policy lifts.

use std::fmt;
use std::net::Ipv4Addr;

pub const CIDRS_MAX: usize = 10;

/// The network policy of one sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Everything that the floor permits.
    #[default]
    Open,
    /// Loopback only.
    BlockAll,
    /// Only these, as far as the floor permits them. Never empty.
    Allow(Vec<Cidr>),
}

/// An IPv4 network. Printed as given, host bits included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: Ipv4Addr,
    prefix: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("networkAllowList {text:?}: not an IPv4 network with a prefix, such as 203.0.113.0/24")]
    NotACidr { text: String },
    #[error("networkAllowList: {count} networks given; at most {CIDRS_MAX}")]
    TooMany { count: usize },
    #[error("networkAllowList: networkBlockAll is true, so nothing can be allowed")]
    BlockedAndAllowed,
}

/// A comma-separated list of networks; empty text means none.
pub fn parse_allow_list(text: &str) -> Result<Vec<Cidr>, Error> {
    let parts: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    if parts.len() > CIDRS_MAX {
        return Err(Error::TooMany { count: parts.len() });
    }
    parts.into_iter().map(str::parse).collect()
}

impl std::str::FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
            let prefix: u8 = prefix.parse().ok().filter(|bits| *bits <= 32 && digits)?;
            Some(Self {
                address: address.parse().ok()?,
                prefix,
            })
        });
        parsed.ok_or_else(|| Error::NotACidr {
            text: text.to_owned(),
        })
    }
}

/// What a request says about the network; `None` leaves a setting unsaid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub block_all: Option<bool>,
    pub allow: Option<Vec<Cidr>>,
}

impl Policy {
    /// The policy after `change`: blocking clears the list, a list lifts the block, and lifting the
    /// block without a list clears the list.
    pub fn changed(&self, change: Change) -> Result<Self, Error> {
        let allow = change.allow.map(|list| {
            if list.is_empty() {
                Self::Open
            } else {
                Self::Allow(list)
            }
        });
        match (change.block_all, allow) {
            (Some(true), Some(Self::Allow(_))) => Err(Error::BlockedAndAllowed),
            (Some(true), _) => Ok(Self::BlockAll),
            (Some(false), allow) => Ok(allow.unwrap_or(Self::Open)),
            (None, Some(Self::Open)) => Ok(match self {
                Self::BlockAll => Self::BlockAll,
                Self::Open | Self::Allow(_) => Self::Open,
            }),
            (None, Some(allow)) => Ok(allow),
            (None, None) => Ok(self.clone()),
        }
    }

    /// The list as clients see it.
    #[must_use]
    pub fn allow_list(&self) -> Option<String> {
        match self {
            Self::Open | Self::BlockAll => None,
            Self::Allow(cidrs) => {
                let texts: Vec<String> = cidrs.iter().map(Cidr::to_string).collect();
                Some(texts.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(text: &str) -> Policy {
        Policy::Allow(parse_allow_list(text).unwrap())
    }

    #[test]
    fn a_list_is_read_and_printed_back() {
        let policy = allow("203.0.113.0/24, 1.1.1.1/32");
        assert_eq!(
            policy.allow_list().as_deref(),
            Some("203.0.113.0/24,1.1.1.1/32")
        );
    }

    #[test]
    fn what_is_not_an_ipv4_network_with_prefix_is_refused() {
        for text in [
            "1.2.3.4",
            "1.2.3.4/33",
            "1.2.3/24",
            "::/0",
            "x",
            "1.2.3.4/+8",
        ] {
            assert!(parse_allow_list(text).is_err(), "{text}");
        }
        assert!(parse_allow_list(&"1.1.1.1/32,".repeat(11)).is_err());
        assert_eq!(parse_allow_list(""), Ok(Vec::new()));
    }

    #[test]
    fn updates_follow_the_contract() {
        let list = parse_allow_list("1.1.1.1/32").unwrap();
        let change = |block_all, allow| Change { block_all, allow };
        let open = Policy::Open;
        let block = open.changed(change(Some(true), None)).unwrap();
        assert_eq!(block, Policy::BlockAll);
        let allowed = block.changed(change(None, Some(list.clone()))).unwrap();
        assert_eq!(allowed, Policy::Allow(list.clone()));
        assert_eq!(allowed.changed(change(Some(false), None)), Ok(Policy::Open));
        assert_eq!(
            allowed.changed(change(None, Some(vec![]))),
            Ok(Policy::Open)
        );
        assert_eq!(
            allowed.changed(change(Some(true), None)),
            Ok(Policy::BlockAll)
        );
        assert!(allowed.changed(change(Some(true), Some(list))).is_err());
        // Clearing a list never lifts a block that nobody asked to lift.
        assert_eq!(
            block.changed(change(None, Some(vec![]))),
            Ok(Policy::BlockAll)
        );
    }
}
