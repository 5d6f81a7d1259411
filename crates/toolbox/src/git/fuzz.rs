//! Targets: what git prints about repositories that anybody may have made, and what clients name.

use super::address::Address;
use super::call::Ended;
use super::login::{Login, scrub_addresses};
use super::names::{Branch, Commit, Key, Line, Location, RemoteName, Revision};
use super::porcelain::{self, State};
use super::{history, push, refusal, remotes};

/// What is understood is whole, and writing it down again gives the same.
pub fn git_status(input: &[u8]) {
    let Some(status) = porcelain::read(input) else {
        return;
    };
    let mut again = Vec::new();
    for file in &status.files {
        assert!(!file.name.is_empty() && !file.name.contains('\0'));
        again.extend(record(file).bytes());
        again.push(0);
    }
    let read = porcelain::read(&again).expect("our own form");
    assert_eq!(read.files, status.files);
}

fn record(file: &porcelain::FileStatus) -> String {
    let letter = |state| match state {
        State::Unmodified => '.',
        State::Untracked => '?',
        State::Modified => 'M',
        State::Added => 'A',
        State::Deleted => 'D',
        State::Renamed => 'R',
        State::Copied => 'C',
        State::Unmerged => 'U',
    };
    let (sides, name) = ([letter(file.staging), letter(file.worktree)], &file.name);
    let [staging, worktree] = sides;
    match (sides, file.extra.as_str()) {
        (['?', '?'], _) => format!("? {name}"),
        (_, "") => format!("1 {staging}{worktree} N... 1 1 1 a b {name}"),
        (_, origin) => format!("2 {staging}{worktree} N... 1 1 1 a b R100 {name}\0{origin}"),
    }
}

/// Histories are whole commits, remotes are told once, and no login is in what is shown.
pub fn git_output(input: &[u8]) {
    if let Some(commits) = history::read(input) {
        let fields = input.iter().filter(|byte| **byte == 0).count();
        assert_eq!(commits.len() * 5, fields);
    }
    let remotes = remotes::read(input);
    for (at, remote) in remotes.iter().enumerate() {
        let is_first = remotes[..at].iter().all(|other| other.name != remote.name);
        assert!(is_first, "{} is told twice", remote.name);
    }
    let text = String::from_utf8_lossy(input).into_owned();
    assert!(refusal::said(&text).len() <= text.len() + "\n...".len());
    let shown = scrub_addresses(&text);
    assert_eq!(scrub_addresses(&shown), shown, "scrubbed once is scrubbed");
    let _any = push::rejected(&Ended {
        code: 1,
        stdout: input.to_vec(),
        stderr: text,
    });
}

/// What git is given cannot be read as an option or another transport, and has no login in it.
pub fn git_names(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    address(text);
    names(text);
}

fn address(text: &str) {
    let Ok((address, login)) = Address::parse(text) else {
        return;
    };
    let shown = address.as_str();
    assert!(
        !shown.starts_with('-') && !shown.contains(char::is_control),
        "{shown}"
    );
    assert!(!shown.is_empty());
    let scheme = shown.split_once("://").map(|(scheme, _)| scheme);
    if matches!(scheme, Some("http" | "https")) {
        let authority = shown.split('/').nth(2).unwrap_or_default();
        let authority = authority.split(['?', '#']).next().unwrap_or_default();
        assert!(!authority.is_empty() && !authority.contains('@'), "{shown}");
        assert!(
            address
                .origins()
                .iter()
                .all(|origin| origin.ends_with(authority))
        );
    } else {
        assert!(login.is_none() && address.origins().is_empty());
    }
    let (again, _) = Address::parse(shown).expect("what was accepted");
    assert_eq!(again.as_str(), shown);
    if let Some(login) = login {
        let lines = login.lines();
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 2);
        assert!(!lines.contains(&0) && !lines.contains(&b'\r'));
    }
    for setting in Login::settings(address.origins()) {
        assert!(setting.starts_with("credential."), "{setting}");
    }
}

fn names(text: &str) {
    let text = || text.to_owned();
    let words = [
        Branch::try_from(text()).map(|name| name.as_str().to_owned()),
        Revision::try_from(text()).map(|name| name.as_str().to_owned()),
        Commit::try_from(text()).map(|name| name.as_str().to_owned()),
        RemoteName::try_from(text()).map(|name| name.as_str().to_owned()),
        Key::try_from(text()).map(|name| name.as_str().to_owned()),
    ];
    for word in words.iter().flatten() {
        assert!(
            !word.starts_with('-') && !word.contains(char::is_control),
            "{word:?}"
        );
        assert!(!word.is_empty());
    }
    if let Ok(branch) = &words[0] {
        let meaning = [':', '*', '^', '~', '?', '[', '\\', ' '];
        assert!(
            !branch.contains(meaning) && !branch.contains(".."),
            "{branch:?}"
        );
    }
    let lines = [
        Location::try_from(text()).map(|line| line.as_str().to_owned()),
        Line::try_from(text()).map(|line| line.as_str().to_owned()),
    ];
    for line in lines.iter().flatten() {
        assert!(
            !line.is_empty() && !line.contains(['\n', '\r', '\0']),
            "{line:?}"
        );
    }
}
