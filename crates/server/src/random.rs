//! Secrets, all from the operating system's generator by way of `rand`'s.

use rand::RngExt;

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Characters that need no escaping in hosts, headers and queries.
pub(crate) fn token(characters: usize) -> String {
    let mut rng = rand::rng();
    (0..characters)
        .map(|_| char::from(LOWER[rng.random_range(0..LOWER.len())]))
        .collect()
}

/// Hexadecimal text of so many random bytes.
pub(crate) fn hex<const BYTES: usize>() -> String {
    hex::encode(rand::rng().random::<[u8; BYTES]>())
}
