//! The listening socket, which outlives every server that uses it.
//!
//! Must not: take an address from somebody else; it only waits for what is on its way out.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::thread::{Timespec, nanosleep};

/// The server of a supervisor that was killed ends by itself, a moment after it.
const FREE_WITHIN: Duration = Duration::from_secs(3);
/// Between two looks.
const LOOK_WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

pub(super) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    bind_within(address, FREE_WITHIN)
        .with_context(|| format!("listen on {address}; choose another address with --listen"))
}

fn bind_within(address: SocketAddr, within: Duration) -> io::Result<TcpListener> {
    let deadline = Instant::now() + within;
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                // Waking early only means looking sooner.
                let _ = nanosleep(&LOOK_WAIT);
            }
            bound => return bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_given_up_meanwhile_is_taken_and_another_is_not() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let refused = bind_within(address, Duration::ZERO).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        let waiter = std::thread::spawn(move || bind_within(address, Duration::from_secs(30)));
        drop(holder);
        assert_eq!(
            waiter.join().unwrap().unwrap().local_addr().unwrap(),
            address
        );
    }
}
