//! `GET /port` and `/port/{port}/in-use`: who listens, as the kernel's tables say.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;

use axum::extract::Path;
use serde::Serialize;

use crate::http::error::Failure;
use crate::http::reply::Json;

/// The contract's window: below are system services, above are ephemeral ports.
const SHOWN: RangeInclusive<u16> = 3000..=9999;
/// State of a listening socket in the kernel's tables.
const LISTEN: &str = "0A";

#[derive(Debug, Serialize)]
pub(crate) struct Ports {
    ports: Vec<u16>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InUse {
    is_in_use: bool,
}

pub(crate) async fn list() -> Json<Ports> {
    Json(Ports {
        ports: listening()
            .into_iter()
            .filter(|port| SHOWN.contains(port))
            .collect(),
    })
}

pub(crate) async fn in_use(Path(port): Path<String>) -> Result<Json<InUse>, Failure> {
    let port = port
        .parse()
        .ok()
        .filter(|port| SHOWN.contains(port))
        .ok_or_else(|| {
            Failure::bad_request(format!("port {port:?}: must be a number from 3000 to 9999"))
        })?;
    Ok(Json(InUse {
        is_in_use: listening().contains(&port),
    }))
}

/// Every TCP port that somebody listens on, IPv4 and IPv6.
pub(crate) fn listening() -> Vec<u16> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let ports: BTreeSet<u16> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| parse(&table))
        .collect();
    ports.into_iter().collect()
}

fn parse(table: &str) -> Vec<u16> {
    table.lines().skip(1).filter_map(listening_port).collect()
}

fn listening_port(line: &str) -> Option<u16> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?;
    let state = fields.nth(1)?;
    let (_, port) = local.rsplit_once(':')?;
    (state == LISTEN)
        .then(|| u16::from_str_radix(port, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st\n\
            0: 0100007F:0BB8 00000000:0000 0A 0:0\n\
            1: 0100007F:0BB9 0100007F:1F90 01 0:0\n\
            2: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A\n";
        assert_eq!(parse(table), [3000, 8080]);
    }
}
