//! The variables that every new process starts with.
//!
//! `POST /env` changes them; running processes keep what they have.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::{Mutex, PoisonError};

use crate::passwd::User;

/// Where programs are looked for when the image does not say.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Name to value.
pub(crate) type Variables = BTreeMap<String, String>;

#[derive(Debug)]
pub(crate) struct Environment {
    variables: Mutex<Variables>,
    /// Beneath whatever is given.
    login: Variables,
}

/// A change as `POST /env` asks for it: removals first, then additions.
#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct Change {
    #[serde(default)]
    pub(crate) set: Option<Variables>,
    #[serde(default)]
    pub(crate) unset: Option<Vec<String>>,
    /// Drops every variable whose value starts so.
    #[serde(default, rename = "unsetValuePrefix")]
    pub(crate) unset_value_prefix: Option<String>,
}

/// A name or value that no process can be given.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Error {
    #[error("environment variable name {0:?}: letters, digits and _, not starting with a digit")]
    Name(String),
    #[error("environment variable {0}: its value contains a NUL byte")]
    Value(String),
}

impl Environment {
    /// What the sandbox was given, plus what any login would set and it does not. No language:
    /// loading one costs a shell a fifth of its start, and is the image's to choose.
    pub(crate) fn new(given: Variables, user: &User, hostname: &str) -> Self {
        let login = Variables::from(
            [
                ("HOME", user.home.to_string_lossy().as_ref()),
                ("HOSTNAME", hostname),
                ("LOGNAME", &user.name),
                ("PATH", DEFAULT_PATH),
                ("SHELL", &user.shell),
                ("USER", &user.name),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let environment = Self {
            variables: Mutex::default(),
            login,
        };
        environment.begin(given);
        environment
    }

    /// As it was before, and what any login would set.
    pub(crate) const fn known(variables: Variables, login: Variables) -> Self {
        Self {
            variables: Mutex::new(variables),
            login,
        }
    }

    pub(crate) const fn login(&self) -> &Variables {
        &self.login
    }

    /// Forgets everything but what any login would set, and starts from `given`.
    pub(crate) fn begin(&self, given: Variables) {
        let mut variables = self.login.clone();
        variables.extend(given);
        *self
            .variables
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = variables;
    }

    pub(crate) fn get(&self) -> Variables {
        self.variables
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Applies the change and returns all variables, or changes nothing.
    pub(crate) fn change(&self, change: Change) -> Result<Variables, Error> {
        let set = change.set.unwrap_or_default();
        check(&set)?;
        let mut variables = self
            .variables
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for name in change.unset.unwrap_or_default() {
            variables.remove(&name);
        }
        if let Some(prefix) = change
            .unset_value_prefix
            .filter(|prefix| !prefix.is_empty())
        {
            variables.retain(|_, value| !value.starts_with(&prefix));
        }
        variables.extend(set);
        Ok(variables.clone())
    }

    /// The variables with `extra` on top.
    pub(crate) fn with(&self, extra: &Variables) -> Result<Variables, Error> {
        check(extra)?;
        let mut all = self.get();
        all.extend(
            extra
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Ok(all)
    }
}

fn check(variables: &Variables) -> Result<(), Error> {
    for (name, value) in variables {
        let mut letters = name.bytes();
        let starts_well = letters
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !starts_well || !letters.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(Error::Name(name.clone()));
        }
        if value.contains('\0') {
            return Err(Error::Value(name.clone()));
        }
    }
    Ok(())
}

/// `NAME=value` strings for exec. Entries with NUL bytes cannot exist there and are left out.
pub(crate) fn block(variables: &Variables) -> Vec<CString> {
    variables
        .iter()
        .filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        let user = User {
            name: "daytona".into(),
            uid: 1000,
            gid: 1000,
            home: "/home/daytona".into(),
            shell: "/bin/bash".into(),
        };
        let given = [
            ("HOME", "/elsewhere"),
            ("TOKEN", "secret-1"),
            ("OTHER", "secret-2"),
        ];
        let given = given
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        Environment::new(given, &user, "box")
    }

    #[test]
    fn what_was_given_wins_over_the_defaults() {
        let variables = environment().get();
        assert_eq!(variables["HOME"], "/elsewhere");
        assert_eq!(variables["USER"], "daytona");
        assert_eq!(variables["PATH"], DEFAULT_PATH);
    }

    #[test]
    fn removals_come_before_additions() {
        let environment = environment();
        let variables = environment
            .change(Change {
                set: Some([("TOKEN".to_owned(), "secret-3".to_owned())].into()),
                unset: Some(vec!["TOKEN".into(), "ABSENT".into()]),
                unset_value_prefix: Some("secret".into()),
            })
            .unwrap();
        assert_eq!(variables["TOKEN"], "secret-3");
        assert!(!variables.contains_key("OTHER"));
    }

    #[test]
    fn a_bad_name_is_refused_and_changes_nothing() {
        let environment = environment();
        for name in ["", "1A", "A-B", "A B", "Ä"] {
            let set = Some([(name.to_owned(), String::new())].into());
            let change = Change {
                set,
                unset: Some(vec!["TOKEN".into()]),
                ..Change::default()
            };
            assert_eq!(
                environment.change(change),
                Err(Error::Name(name.to_owned()))
            );
        }
        assert_eq!(environment.get()["TOKEN"], "secret-1");
    }
}
