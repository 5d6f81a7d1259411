//! What git's refusals mean: the one place that reads messages made for people.
//!
//! Git has one exit code for almost everything, so its words decide. They are those of the C
//! locale, and only git's and ssh's own: what the remote says (`remote:`), advice (`hint:`) and
//! indented lists of files are shown, never judged. The tests in `tests/git.rs` hold each reason
//! against the real git.
//! Must not: choose statuses; `http::error` does.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::Error;
use super::call::Ended;

/// Shown of a refusal; a list of files may be long.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    AuthFailed,
    Forbidden,
    RepositoryNotFound,
    BranchNotFound,
    BranchExists,
    PushRejected,
    RemoteRejected,
    DirtyWorktree,
    MergeConflict,
    TransportFailed,
    /// The state of the repository does not allow it: a lock, a name that is taken.
    Conflict,
    AccessDenied,
    DiskFull,
    /// The caller asked for something that cannot be.
    Invalid,
    Other,
}

/// The first line of this table that matches decides. Texts are in lower case; all must occur.
const REASONS: &[(&[&str], Reason)] = &[
    (&["authentication failed for"], Reason::AuthFailed),
    (&["could not read username for"], Reason::AuthFailed),
    (&["could not read password for"], Reason::AuthFailed),
    (&["returned error: 401"], Reason::AuthFailed),
    (&["permission denied (publickey"], Reason::AuthFailed),
    (&["permission denied (password"], Reason::AuthFailed),
    (&["permission denied (keyboard"], Reason::AuthFailed),
    (&["returned error: 403"], Reason::Forbidden),
    (&["no space left on device"], Reason::DiskFull),
    (&["disk quota exceeded"], Reason::DiskFull),
    (&["detected dubious ownership"], Reason::AccessDenied),
    (
        &["remote branch", "not found in upstream"],
        Reason::BranchNotFound,
    ),
    (&["couldn't find remote ref"], Reason::BranchNotFound),
    (&["not our ref"], Reason::BranchNotFound),
    (&["invalid reference:"], Reason::BranchNotFound),
    (
        &["src refspec", "does not match any"],
        Reason::BranchNotFound,
    ),
    (&["unknown revision"], Reason::BranchNotFound),
    (&["bad revision"], Reason::BranchNotFound),
    (&["failed to resolve '"], Reason::BranchNotFound),
    (&["not a valid object name"], Reason::BranchNotFound),
    (&["does not have any commits yet"], Reason::BranchNotFound),
    (&["reference is not a tree"], Reason::BranchNotFound),
    (&["could not resolve host"], Reason::TransportFailed),
    (&["fatal: could not resolve "], Reason::BranchNotFound),
    (
        &["a branch named '", "already exists"],
        Reason::BranchExists,
    ),
    (&["not a valid branch name"], Reason::Invalid),
    (&["not a valid remote name"], Reason::Invalid),
    (&["invalid initial branch name"], Reason::Invalid),
    (&["did not match any file"], Reason::Invalid),
    (&["is outside repository"], Reason::Invalid),
    (&["ignored by one of your .gitignore"], Reason::Invalid),
    (&["does not contain a section"], Reason::Invalid),
    (&["error: invalid key"], Reason::Invalid),
    (&["fatal: transport '", "not allowed"], Reason::Invalid),
    (&["must be run in a work tree"], Reason::Invalid),
    (&["in submodule '"], Reason::Invalid),
    (&["is beyond a symbolic link"], Reason::Invalid),
    (
        &["cannot do a partial commit during a merge"],
        Reason::MergeConflict,
    ),
    (&["have unmerged files"], Reason::MergeConflict),
    (&["you have unmerged paths"], Reason::MergeConflict),
    (&["resolve your current index first"], Reason::MergeConflict),
    (&["error: path '", "is unmerged"], Reason::MergeConflict),
    (&["possible to fast-forward"], Reason::MergeConflict),
    (&["can't be fast-forwarded"], Reason::MergeConflict),
    (&["refusing to merge unrelated"], Reason::MergeConflict),
    (&["would be overwritten by"], Reason::DirtyWorktree),
    (&["would lose untracked files"], Reason::DirtyWorktree),
    (&["not uptodate. cannot merge"], Reason::DirtyWorktree),
    (&["cannot delete branch"], Reason::Conflict),
    (&["destination path", "already exists"], Reason::Conflict),
    (
        &["unable to create", ".lock': file exists"],
        Reason::Conflict,
    ),
    (&["could not lock", "file exists"], Reason::Conflict),
    (&["remote", "already exists"], Reason::Conflict),
    (&["cannot lock ref"], Reason::Conflict),
    (&["no such remote"], Reason::RepositoryNotFound),
    (&["not a git repository"], Reason::RepositoryNotFound),
    (
        &["does not appear to be a git repository"],
        Reason::RepositoryNotFound,
    ),
    (&["repository", "not found"], Reason::RepositoryNotFound),
    (
        &["repository '", "does not exist"],
        Reason::RepositoryNotFound,
    ),
    (&["returned error: 404"], Reason::RepositoryNotFound),
    (&["valid repository name"], Reason::RepositoryNotFound),
    (&["unable to access 'http"], Reason::TransportFailed),
    (
        &["could not read from remote repository"],
        Reason::TransportFailed,
    ),
    (&["rpc failed"], Reason::TransportFailed),
    (&["hung up unexpectedly"], Reason::TransportFailed),
    (&["unable to connect to"], Reason::TransportFailed),
    (&["early eof"], Reason::TransportFailed),
    (&["protocol error"], Reason::TransportFailed),
    (&["permission denied"], Reason::AccessDenied),
    (&["file name too long"], Reason::Invalid),
    (&["too many levels of symbolic links"], Reason::Invalid),
];

/// What a failed run means.
pub(super) fn of(what: &str, ended: &Ended) -> Error {
    let words = said(&ended.stderr);
    let message = if words.is_empty() {
        format!(
            "git {what} failed with exit code {} and no message",
            ended.code
        )
    } else {
        words
    };
    Error::refused(judge(&ended.stderr), message)
}

/// Git could not even be started in that directory.
pub(super) fn of_directory(path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::refused(
            Reason::RepositoryNotFound,
            format!("not a git repository: {path} does not exist or is no directory"),
        ),
        io::ErrorKind::PermissionDenied => {
            Error::refused(Reason::AccessDenied, format!("permission denied: {path}"))
        }
        _ => match Errno::from_io_error(error) {
            Some(Errno::NAMETOOLONG | Errno::LOOP) => {
                Error::refused(Reason::Invalid, format!("{path}: {error}"))
            }
            _ => Error::Run(format!("chdir {path}: {error}")),
        },
    }
}

pub(super) fn nul() -> Error {
    Error::refused(Reason::Invalid, "an argument contains a NUL byte")
}

fn judge(stderr: &str) -> Reason {
    let own: String = stderr
        .split(['\n', '\r'])
        .filter(|line| !line.starts_with(['\t', ' ']))
        .filter(|line| !line.starts_with("remote:") && !line.starts_with("hint:"))
        .map(|line| format!("{}\n", line.to_ascii_lowercase()))
        .collect();
    REASONS
        .iter()
        .find(|(texts, _)| texts.iter().all(|text| own.contains(text)))
        .map_or(Reason::Other, |(_, reason)| *reason)
}

/// What git said, for people: without advice about its own command line.
pub(super) fn said(stderr: &str) -> String {
    let lines = stderr
        .split(['\n', '\r'])
        .map(str::trim_end)
        .filter(|line| !line.is_empty() && !line.starts_with("hint:"))
        .map(|line| line.strip_prefix("fatal: ").unwrap_or(line))
        .map(|line| line.strip_prefix("error: ").unwrap_or(line));
    let mut text = String::new();
    for line in lines {
        if text.len() + line.len() > MESSAGE_BYTES_MAX {
            text.push_str("\n...");
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_remote_says_decides_nothing() {
        let stderr = "remote: Authentication failed for you\n\
                      error: The following untracked working tree files would be overwritten by merge:\n\
                      \trepository not found\nfatal: no";
        assert_eq!(judge(stderr), Reason::DirtyWorktree);
        assert_eq!(judge("remote: returned error: 403"), Reason::Other);
    }

    #[test]
    fn hosts_and_revisions_that_cannot_be_resolved_differ() {
        let host = "fatal: unable to access 'https://x/': Could not resolve host: x";
        assert_eq!(judge(host), Reason::TransportFailed);
        assert_eq!(
            judge("fatal: could not resolve nope"),
            Reason::BranchNotFound
        );
    }

    #[test]
    fn a_message_is_bounded_and_without_advice() {
        let stderr = format!("hint: try\nfatal: {}\nfatal: last", "x".repeat(3000));
        let text = said(&stderr);
        assert!(
            text.starts_with("xxx") && text.ends_with("\nlast"),
            "{text}"
        );
        let long = said(&"line\n".repeat(100_000));
        assert!(long.len() < MESSAGE_BYTES_MAX + 10 && long.ends_with("..."));
    }
}
