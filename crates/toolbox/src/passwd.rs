//! Users and groups as the image's `/etc/passwd` and `/etc/group` have them.
//!
//! Read by hand: the C library's lookups load plug-ins from the image, which a static executable
//! must not do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sebring_sys::creds::Credentials;

/// Larger files are not a user database.
const DATABASE_BYTES_MAX: u64 = 4 << 20;

/// One line of `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: PathBuf,
    pub(crate) shell: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("user {0} is not in /etc/passwd")]
    UnknownUser(String),
    #[error("group {0} is not in /etc/group")]
    UnknownGroup(String),
    #[error("read {path}", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The user of that name, or of that number when it is one.
pub(crate) fn user(name: &str) -> Result<User, Error> {
    let text = read(Path::new("/etc/passwd"))?;
    if let Some(user) = find_user(&text, name) {
        return Ok(user);
    }
    if name == "root" || name == "0" {
        return Ok(numbered("root", 0));
    }
    match number(name) {
        Some(uid) => Ok(numbered(name, uid)),
        None => Err(Error::UnknownUser(name.to_owned())),
    }
}

/// Whether the image knows a user of that name.
pub(crate) fn user_exists(name: &str) -> bool {
    read(Path::new("/etc/passwd")).is_ok_and(|text| find_user(&text, name).is_some())
}

/// Number of the group of that name, or the number itself.
pub(crate) fn group(name: &str) -> Result<u32, Error> {
    let text = read(Path::new("/etc/group"))?;
    let named = lines(&text).find(|fields| fields.first() == Some(&name));
    named
        .and_then(|fields| number(fields.get(2)?))
        .or_else(|| number(name))
        .ok_or_else(|| Error::UnknownGroup(name.to_owned()))
}

/// What a process of this user runs as, with the groups that list it as a member.
pub(crate) fn credentials(user: &User) -> Credentials {
    let text = read(Path::new("/etc/group")).unwrap_or_default();
    let mut groups = vec![user.gid];
    groups.extend(groups_of(&text, &user.name).filter(|gid| *gid != user.gid));
    Credentials {
        uid: user.uid,
        gid: user.gid,
        groups,
    }
}

fn numbered(name: &str, uid: u32) -> User {
    let home = if uid == 0 { "/root" } else { "/" };
    User {
        name: name.to_owned(),
        uid,
        gid: uid,
        home: home.into(),
        shell: "/bin/sh".into(),
    }
}

pub(crate) fn find_user(text: &str, name: &str) -> Option<User> {
    let by_name = lines(text).find(|fields| fields.first() == Some(&name));
    let fields = by_name.or_else(|| lines(text).find(|fields| fields.get(2) == Some(&name)))?;
    Some(User {
        name: (*fields.first()?).to_owned(),
        uid: number(fields.get(2)?)?,
        gid: number(fields.get(3)?)?,
        home: fields
            .get(5)
            .filter(|home| !home.is_empty())
            .unwrap_or(&"/")
            .into(),
        shell: fields
            .get(6)
            .filter(|shell| !shell.is_empty())
            .unwrap_or(&"/bin/sh")
            .to_string(),
    })
}

pub(crate) fn groups_of<'a>(text: &'a str, member: &'a str) -> impl Iterator<Item = u32> + 'a {
    lines(text)
        .filter(move |fields| {
            fields
                .get(3)
                .is_some_and(|members| members.split(',').any(|name| name == member))
        })
        .filter_map(|fields| number(fields.get(2)?))
}

/// To the kernel the largest number is nobody: whoever was to become that user would stay root.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number != u32::MAX)
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

fn read(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(failed(error)),
        Ok(facts) if facts.len() > DATABASE_BYTES_MAX || !facts.is_file() => {
            return Err(failed(io::ErrorKind::InvalidData.into()));
        }
        Ok(_) => {}
    }
    let bytes = fs::read(path).map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        broken line\n\
        daytona:x:1000:1001::/home/daytona:/bin/zsh\n\
        bare:x:7:8:::\n";

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let user = find_user(PASSWD, "daytona").unwrap();
        assert_eq!((user.uid, user.gid), (1000, 1001));
        assert_eq!(user.home, Path::new("/home/daytona"));
        assert_eq!(find_user(PASSWD, "1000"), Some(user));
        assert_eq!(find_user(PASSWD, "nobody"), None);
    }

    #[test]
    fn empty_fields_get_the_traditional_defaults() {
        let user = find_user(PASSWD, "bare").unwrap();
        assert_eq!(user.home, Path::new("/"));
        assert_eq!(user.shell, "/bin/sh");
    }

    #[test]
    fn membership_is_by_whole_names() {
        let text = "sudo:x:27:daytona,ops\ndocker:x:99:daytonas\nvideo:x:44:ops,daytona\n";
        assert_eq!(groups_of(text, "daytona").collect::<Vec<_>>(), [27, 44]);
    }
}
