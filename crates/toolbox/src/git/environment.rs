//! The variables that git runs with: the sandbox's, without those that would point git elsewhere,
//! and with those that keep it from asking anybody.

use std::path::Path;

use super::address::ALLOWED_PROTOCOLS;
use crate::environment::Variables;

/// They say where a repository is and how it is configured; here the request does.
const LOCAL: [&str; 15] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Variables for a call in `repository`, or in none.
pub(super) fn variables(sandbox: Variables, repository: Option<&Path>) -> Variables {
    let mut variables = sandbox;
    variables.retain(|name, _| {
        let traces = name.starts_with("GIT_TRACE") || name == "GIT_CURL_VERBOSE";
        !traces && !LOCAL.contains(&name.as_str())
    });
    for (name, value) in [
        // Messages are read by `refusal`, in the language they were written in.
        ("LC_ALL", "C"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("SSH_ASKPASS_REQUIRE", "never"),
        ("GIT_ALLOW_PROTOCOL", ALLOWED_PROTOCOLS),
        // A file named `*.rs` or `:(top)` is that file. The default of the SDKs, `.`, is a folder.
        ("GIT_LITERAL_PATHSPECS", "1"),
        ("GIT_PAGER", "cat"),
        ("GIT_EDITOR", "true"),
        ("GIT_MERGE_AUTOEDIT", "no"),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    // The path asked for is the repository: a mistyped subdirectory of another one must not reset
    // that one.
    let ceiling = repository.and_then(Path::parent).and_then(Path::to_str);
    if let Some(ceiling) = ceiling.filter(|ceiling| !ceiling.contains(':')) {
        variables.insert("GIT_CEILING_DIRECTORIES".to_owned(), ceiling.to_owned());
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_points_git_elsewhere_is_dropped_and_the_rest_is_kept() {
        let given = [
            ("GIT_DIR", "/elsewhere"),
            ("GIT_TRACE_CURL", "1"),
            ("GIT_SSL_CAINFO", "/etc/ca"),
            ("LC_ALL", "de_DE.UTF-8"),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = variables(given.into(), Some(Path::new("/home/me/repo")));
        assert!(!variables.contains_key("GIT_DIR"));
        assert!(!variables.contains_key("GIT_TRACE_CURL"));
        assert_eq!(variables["GIT_SSL_CAINFO"], "/etc/ca");
        assert_eq!(variables["LC_ALL"], "C");
        assert_eq!(variables["GIT_CEILING_DIRECTORIES"], "/home/me");
    }
}
