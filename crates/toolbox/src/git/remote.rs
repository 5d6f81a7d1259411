//! A configured remote and who to be there: what `push`, `pull` and `fetch` share.
//!
//! Must not: change the repository. Next: `login` for how a login stays unseen.

use std::path::Path;

use super::address::Address;
use super::call::Call;
use super::login::Login;
use super::names::{Branch, RemoteName};
use super::{Error, Git, Reason, branches};

/// Where clones come from, and what clients mean when they name no remote.
const DEFAULT: &str = "origin";

/// Which of a remote's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Fetch,
    Push,
}

/// A remote that exists.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) name: String,
    access: Option<Access>,
}

#[derive(Debug)]
struct Access {
    login: Login,
    origins: Vec<String>,
    /// The address with a login that somebody stored, and the same without it.
    stale: Option<(String, String)>,
}

impl Remote {
    pub(super) async fn find(
        git: &Git,
        repository: &Path,
        name: Option<&RemoteName>,
        direction: Direction,
        login: Option<Login>,
    ) -> Result<Self, Error> {
        let name = name.map_or(DEFAULT, RemoteName::as_str);
        let url = git
            .at(repository, ["remote", "get-url"])
            .arg_if(direction == Direction::Push, "--push")
            .arg(name)
            .output()
            .await?;
        let url = String::from_utf8_lossy(&url);
        Ok(Self {
            name: name.to_owned(),
            access: access(url.trim_end_matches('\n'), login)?,
        })
    }

    /// Makes git remember where `branch` is at the remote, which it does only for branches that it
    /// fetches. A clone of one branch fetches that one, so what is pushed from it later would
    /// neither count as published nor have an upstream. Naming the new branch beside the old one
    /// was rejected: once it is merged and deleted, every `git fetch` would fail.
    pub(super) async fn track(
        &self,
        git: &Git,
        repository: &Path,
        branch: &str,
    ) -> Result<(), Error> {
        let remote = &self.name;
        let key = format!("remote.{remote}.fetch");
        let args = ["config", "--null", "--get-all"];
        let known = git.at(repository, args).arg(&key).run().await?;
        let known = String::from_utf8_lossy(&known.stdout);
        let known: Vec<&str> = known.split_terminator('\0').collect();
        let tracks = |refspec: &&str| {
            refspec.contains('*') || refspec.ends_with(&format!(":refs/remotes/{remote}/{branch}"))
        };
        // More than one is what somebody has thought about.
        if known.len() > 1 || known.iter().any(tracks) {
            return Ok(());
        }
        let all = format!("+refs/heads/*:refs/remotes/{remote}/*");
        let call = git.at(repository, ["config", "--replace-all"]);
        call.arg(key).arg(all).output().await?;
        Ok(())
    }

    /// The call with what it takes to be let in.
    pub(super) fn with_access(&self, call: Call) -> Call {
        let Some(access) = &self.access else {
            return call.remote(None);
        };
        let call = call.remote(Some((&access.login, &access.origins)));
        match &access.stale {
            // The login given now is the one that counts.
            Some((with, without)) => {
                call.unlisted_setting(&format!("url.{without}.insteadOf"), with)
            }
            None => call,
        }
    }
}

fn access(url: &str, login: Option<Login>) -> Result<Option<Access>, Error> {
    let Some(login) = login else {
        return Ok(None);
    };
    let parsed = Address::parse(url);
    let (address, stored) =
        parsed.map_err(|error| Error::refused(Reason::Invalid, error.to_string()))?;
    check_login(&address)?;
    Ok(Some(Access {
        origins: address.origins().to_vec(),
        stale: stored.map(|_| (url.to_owned(), address.as_str().to_owned())),
        login,
    }))
}

/// A password is for HTTP. One that cannot be used is refused instead of forgotten, except where
/// nobody would ask for it.
pub(super) fn check_login(address: &Address) -> Result<(), Error> {
    if address.origins().is_empty() && !address.is_local() {
        let message = format!(
            "username, password: {address} is not an http or https address; use ssh keys, or an \
             https address"
        );
        return Err(Error::refused(Reason::Invalid, message));
    }
    Ok(())
}

/// The branch asked for, or the one that is checked out.
pub(super) async fn branch_or_current(
    git: &Git,
    repository: &Path,
    asked: Option<&Branch>,
) -> Result<String, Error> {
    if let Some(branch) = asked {
        return Ok(branch.as_str().to_owned());
    }
    branches::current(git, repository).await?.ok_or_else(|| {
        let message = "branch: HEAD is detached; say which branch, or check one out";
        Error::refused(Reason::Invalid, message)
    })
}
