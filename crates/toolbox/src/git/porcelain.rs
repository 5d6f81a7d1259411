//! Reads `git status --porcelain=v2 --branch -z`.
//!
//! Strict: an entry of a kind or length it does not know is an error, never a wrong answer.
//! Must not: run git. Next: `status`.

use serde::Serialize;

/// What git says about one side of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum State {
    Unmodified,
    Untracked,
    Modified,
    Added,
    Deleted,
    Renamed,
    Copied,
    #[serde(rename = "Updated but unmerged")]
    Unmerged,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct FileStatus {
    pub(super) name: String,
    /// Where a renamed or copied file comes from.
    pub(super) extra: String,
    pub(super) staging: State,
    pub(super) worktree: State,
}

/// What `HEAD` is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Head {
    #[default]
    Detached,
    Branch(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Porcelain {
    pub(super) head: Head,
    /// No commit yet.
    pub(super) unborn: bool,
    /// Configured, whether or not it exists.
    pub(super) upstream: Option<String>,
    /// Ahead and behind; only when the upstream exists.
    pub(super) distance: Option<(u64, u64)>,
    pub(super) files: Vec<FileStatus>,
}

/// `None` when it is not that format.
pub(super) fn read(bytes: &[u8]) -> Option<Porcelain> {
    let mut status = Porcelain::default();
    let mut records = bytes
        .split(|byte| *byte == 0)
        .map(|record| String::from_utf8_lossy(record).into_owned());
    while let Some(record) = records.next() {
        if record.is_empty() {
            continue;
        }
        let (kind, rest) = record.split_once(' ')?;
        match kind {
            "#" => header(&mut status, rest)?,
            "1" => status.files.push(changed(rest, 8, String::new())?),
            "2" => {
                let origin = records.next().filter(|origin| !origin.is_empty())?;
                status.files.push(changed(rest, 9, origin)?);
            }
            "u" => status
                .files
                .push(same(named(field(rest, 10)?)?, State::Unmerged)),
            "?" => status.files.push(same(named(rest)?, State::Untracked)),
            _ => return None,
        }
    }
    Some(status)
}

/// Headers that are not known, such as the stash, say nothing we need.
fn header(status: &mut Porcelain, text: &str) -> Option<()> {
    let (name, value) = text.split_once(' ')?;
    match name {
        "branch.oid" => status.unborn = value == "(initial)",
        "branch.head" if value == "(detached)" => status.head = Head::Detached,
        "branch.head" => status.head = Head::Branch(value.to_owned()),
        "branch.upstream" => status.upstream = Some(value.to_owned()),
        "branch.ab" => {
            let (ahead, behind) = value.split_once(' ')?;
            let ahead = ahead.strip_prefix('+')?.parse().ok()?;
            let behind = behind.strip_prefix('-')?.parse().ok()?;
            status.distance = Some((ahead, behind));
        }
        _ => {}
    }
    Some(())
}

/// The last of `count` fields, which may contain spaces.
fn field(text: &str, count: usize) -> Option<&str> {
    text.splitn(count, ' ').nth(count - 1)
}

/// No file is without a name.
fn named(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}

fn changed(text: &str, fields: usize, origin: String) -> Option<FileStatus> {
    let mut sides = text.chars();
    Some(FileStatus {
        staging: state(sides.next()?)?,
        worktree: state(sides.next()?)?,
        name: named(field(text, fields)?)?.to_owned(),
        extra: origin,
    })
}

fn same(name: &str, state: State) -> FileStatus {
    FileStatus {
        name: name.to_owned(),
        extra: String::new(),
        staging: state,
        worktree: state,
    }
}

const fn state(letter: char) -> Option<State> {
    match letter {
        '.' => Some(State::Unmodified),
        // A change of type, such as from file to link, is a change.
        'M' | 'T' => Some(State::Modified),
        'A' => Some(State::Added),
        'D' => Some(State::Deleted),
        'R' => Some(State::Renamed),
        'C' => Some(State::Copied),
        'U' => Some(State::Unmerged),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_record_is_understood() {
        let text = "# branch.oid 1234\0# branch.head feature/x\0# branch.upstream origin/x\0\
                    # branch.ab +2 -11\0# stash 3\0\
                    1 M. N... 100644 100644 100644 aa bb with space\0\
                    2 RM N... 100644 100644 100644 aa bb R100 new\nname\0old name\0\
                    u UU N... 100644 100644 100644 100644 aa bb cc both\0\
                    ? new? file\0";
        let status = read(text.as_bytes()).unwrap();
        assert_eq!(status.head, Head::Branch("feature/x".into()));
        assert_eq!(status.upstream.as_deref(), Some("origin/x"));
        assert_eq!(status.distance, Some((2, 11)));
        let short: Vec<_> = status
            .files
            .iter()
            .map(|f| (f.name.as_str(), f.extra.as_str(), f.staging, f.worktree))
            .collect();
        assert_eq!(
            short,
            [
                ("with space", "", State::Modified, State::Unmodified),
                ("new\nname", "old name", State::Renamed, State::Modified),
                ("both", "", State::Unmerged, State::Unmerged),
                ("new? file", "", State::Untracked, State::Untracked),
            ]
        );
    }

    #[test]
    fn what_is_not_understood_is_no_status() {
        for text in [
            "garbage\0",
            "9 x\0",
            "1 M.\0",
            "1 ZZ N... 1 1 1 a b name\0",
            "2 R. N... 1 1 1 a b R100 new",
            "# branch.ab 1 2\0",
            "? \0",
            "2 R. N... 1 1 1 a b R100 new\0",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text:?}");
        }
    }
}
