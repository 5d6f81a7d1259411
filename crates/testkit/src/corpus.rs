//! Inputs for parsers of hostile bytes: those kept in `fuzz/corpus`, and cutting them up as a
//! network or a pipe would.
//!
//! A target is a function that takes any bytes and fails when something is not as it must be.
//! `cargo xtask fuzz` looks for bytes that make it fail; [`replay`] is how ordinary tests run the
//! ones that were kept.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Its name, which is that of its folder in `fuzz/corpus`, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// A list of targets from the names of their functions.
#[macro_export]
macro_rules! targets {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        &[$($(#[$attribute])* (stringify!($name), $name as fn(&[u8]))),*]
    };
}

/// Runs every kept input through its target.
///
/// # Panics
/// When a target fails or has no inputs; says which ones.
pub fn replay(targets: &[Target]) {
    let mut failed = Vec::new();
    for (name, target) in targets {
        for path in inputs(name) {
            let input = fs::read(&path).expect("an input can be read");
            if catch_unwind(|| target(&input)).is_err() {
                failed.push(path);
            }
        }
    }
    assert!(failed.is_empty(), "targets fail on {failed:#?}");
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let entries = fs::read_dir(root.join(target)).expect("every target has a folder of inputs");
    let paths: Result<Vec<_>, _> = entries
        .map(|entry| entry.map(|found| found.path()))
        .collect();
    let mut paths = paths.expect("the folder can be read");
    paths.sort();
    assert!(!paths.is_empty(), "{target} has no inputs");
    paths
}

/// The first byte, by which a target chooses, and the rest.
#[must_use]
pub fn choice(input: &[u8]) -> (u8, &[u8]) {
    match input.split_first() {
        Some((first, rest)) => (*first, rest),
        None => (0, &[]),
    }
}

/// The same bytes in pieces of at most `longest + 1`, whose lengths vary.
#[must_use]
pub fn pieces(mut bytes: &[u8], longest: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut step = usize::from(longest);
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(bytes.len().min(step % (usize::from(longest) + 1) + 1));
        pieces.push(piece);
        bytes = rest;
        step = step.wrapping_mul(31).wrapping_add(7);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_short_and_together_the_whole() {
        let bytes: Vec<u8> = (0..=255).collect();
        for longest in [0, 1, 9, 255] {
            let pieces = pieces(&bytes, longest);
            let fits = |piece: &&[u8]| (1..=usize::from(longest) + 1).contains(&piece.len());
            assert!(pieces.iter().all(fits), "{longest}");
            assert_eq!(pieces.concat(), bytes);
        }
    }
}
