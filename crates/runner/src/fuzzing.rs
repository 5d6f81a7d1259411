//! What `cargo xtask fuzz` runs of this crate: a function for each parser of what a sandbox, or the
//! server on a caller's behalf, says.
//!
//! Must not: be built but for tests and for cargo-fuzz. Next: `fuzz/README.md`.

use std::path::{Component, Path};

use sebring_api::runner::Command;
use sebring_testkit::corpus::Target;

use crate::snapshots::Snapshots;
use crate::stat::Stat;
use crate::{cgroups, sandbox};

/// All of them.
pub const TARGETS: &[Target] =
    sebring_testkit::targets![commands, host_stat, snapshot_names, toolbox_answers];

/// Whatever a sandbox's first process calls itself, it is the process that it was.
pub fn host_stat(name: &[u8]) {
    let fields = b") R 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 10 11 12 13 14 15 16 0 0";
    let stat = Stat::parse(&[b"7 (", name, fields].concat()).expect("the kernel's own form");
    assert_eq!(stat.start_time, 4711);
    assert!(!stat.is_doomed());
    let _no_panic = Stat::parse(name);
    let text = String::from_utf8_lossy(name);
    let events = format!("oom {text}\noom_kill 7\n");
    if !text.contains('\n') && !text.contains('\r') {
        assert_eq!(cgroups::field(&events, "oom_kill"), Some(7));
    }
}

/// A snapshot's file is in the folder of snapshots, whatever its name, and no two share one.
pub fn snapshot_names(input: &[u8]) {
    let Ok(name) = std::str::from_utf8(input) else {
        return;
    };
    let snapshots = Snapshots::new(Path::new("/pool"));
    let file = snapshots.file_of(name);
    assert_eq!(
        file.parent(),
        Some(Path::new("/pool/snapshots")),
        "{}",
        file.display()
    );
    assert!(matches!(
        file.components().next_back(),
        Some(Component::Normal(_))
    ));
    let text = file
        .file_name()
        .and_then(|name| name.to_str())
        .expect("plain");
    let encoded = text.strip_suffix(".json").expect("its ending");
    let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8_lossy();
    assert_eq!(decoded, name);
}

/// A command that is understood is understood again.
pub fn commands(input: &[u8]) {
    if let Ok(command) = serde_json::from_slice::<Command>(input) {
        let text = serde_json::to_vec(&command).expect("plain data");
        let again: Command = serde_json::from_slice(&text).expect("our own form");
        assert_eq!(again, command);
    }
}

/// Only the one status counts, and nothing beyond it is waited for.
pub fn toolbox_answers(input: &[u8]) {
    let is_done = sandbox::tell::is_done(input);
    assert_eq!(is_done, input.starts_with(b"HTTP/1.1 204 "));
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_kept_input_holds() {
        sebring_testkit::corpus::replay(super::TARGETS);
    }
}
