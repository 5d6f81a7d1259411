//! What `cargo xtask fuzz` runs of this crate: a function for each parser of bytes that a client,
//! or a program in the sandbox, chose. Each lives beside its parser and says what must hold.
//!
//! Must not: be built but for tests and for cargo-fuzz. Next: `fuzz/README.md`.

use sebring_testkit::corpus::Target;

pub use crate::computer::fuzz::recording;
pub use crate::files::directories::fuzz::{tar_entries, tar_unpack};
pub use crate::files::fuzz::{download, multipart};
pub use crate::git::fuzz::{git_names, git_output, git_status};
pub use crate::http::fuzz::query;
pub use crate::interpreter::fuzz::{interpreter, interpreter_client};
pub use crate::lsp::fuzz::lsp;
pub use crate::network::fuzz::{proc_net, proxy_path};
pub use crate::process::fuzz::{output, process_stat};
pub use crate::process::session::fuzz::session_answers;
pub use crate::process::terminal::fuzz::pty;
pub use crate::sudo::fuzz::sudo;
use crate::{memory, passwd as users};

/// All of them.
pub const TARGETS: &[Target] = sebring_testkit::targets![
    download,
    git_names,
    git_output,
    git_status,
    interpreter,
    interpreter_client,
    lsp,
    multipart,
    output,
    passwd,
    proc_net,
    process_stat,
    proxy_path,
    pty,
    query,
    recording,
    session_answers,
    sudo,
    tar_entries,
    tar_unpack,
];

/// Nobody is the user or group of the number that the kernel takes for "leave it as it is", and
/// everybody has a home and a shell. The image has written these files.
pub fn passwd(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let names = text
        .lines()
        .take(8)
        .flat_map(|line| line.split(':').take(3));
    for name in names {
        if let Some(user) = users::find_user(&text, name) {
            assert!(user.uid != u32::MAX && user.gid != u32::MAX, "{user:?}");
            assert!(!user.shell.is_empty() && !user.home.as_os_str().is_empty());
        }
        assert!(users::groups_of(&text, name).all(|group| group != u32::MAX));
        if let Some(value) = memory::field(&text, name) {
            assert!(
                text.contains(&value.to_string()) || text.contains(" +") || text.contains(" 0")
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_kept_input_holds() {
        sebring_testkit::corpus::replay(super::TARGETS);
    }
}
