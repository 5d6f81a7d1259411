//! Which distribution, release and package mirror the host itself uses.
//!
//! Must not: reach the network.

use std::path::Path;

use super::Error;

/// A package source to bootstrap from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirror {
    /// `debian` or `ubuntu`.
    pub(super) distribution: String,
    /// Release code name.
    pub(super) suite: String,
    /// One-line `deb` entries of the host for this release; empty means the tool's own default.
    pub(super) sources: Vec<String>,
}

impl Mirror {
    pub(super) fn of_host(root: &Path) -> Result<Self, Error> {
        let release = read(&root.join("etc/os-release"));
        let distribution = field(&release, "ID").unwrap_or_default();
        let suite = field(&release, "VERSION_CODENAME").unwrap_or_default();
        if !matches!(distribution.as_str(), "debian" | "ubuntu") || suite.is_empty() {
            return Err(Error::UnknownDistribution { id: distribution });
        }
        let sources = host_sources(root, &suite);
        Ok(Self {
            distribution,
            suite,
            sources,
        })
    }
}

/// The host's own entries for `suite` and its updates, whichever of the two formats holds them.
/// Entries of third parties (other suites) are left out.
fn host_sources(root: &Path, suite: &str) -> Vec<String> {
    let apt = root.join("etc/apt");
    let mut files = vec![apt.join("sources.list")];
    if let Ok(entries) = std::fs::read_dir(apt.join("sources.list.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let text = read(&file);
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("list") => found.extend(one_line_entries(&text, suite)),
            Some("sources") => found.extend(deb822_entries(&text, suite)),
            Some(_) | None => {}
        }
    }
    found
}

fn belongs(entry_suite: &str, suite: &str) -> bool {
    let rest = entry_suite.strip_prefix(suite);
    matches!(rest, Some("" | "-updates" | "-security"))
}

fn one_line_entries(text: &str, suite: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("deb") {
            continue;
        }
        let words: Vec<&str> = words.skip_while(|word| word.starts_with('[')).collect();
        if let [uri, entry_suite, components @ ..] = words.as_slice()
            && belongs(entry_suite, suite)
        {
            found.push(format!("deb {uri} {entry_suite} {}", components.join(" ")));
        }
    }
    found
}

fn deb822_entries(text: &str, suite: &str) -> Vec<String> {
    let mut found = Vec::new();
    for stanza in text.split("\n\n") {
        let words = |name: &str| -> Vec<String> {
            stanza
                .lines()
                .filter_map(|line| line.split_once(':'))
                .filter(|(key, _)| key.trim().eq_ignore_ascii_case(name))
                .flat_map(|(_, value)| value.split_whitespace().map(str::to_owned))
                .collect()
        };
        if !words("Types").iter().any(|kind| kind == "deb") {
            continue;
        }
        let components = words("Components").join(" ");
        for uri in words("URIs") {
            for entry_suite in words("Suites").iter().filter(|name| belongs(name, suite)) {
                found.push(format!("deb {uri} {entry_suite} {components}"));
            }
        }
    }
    found
}

fn field(os_release: &str, name: &str) -> Option<String> {
    os_release.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix('=')?;
        Some(value.trim_matches('"').to_owned())
    })
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deb822_stanza_gives_one_entry_per_suite_of_this_release() {
        let text = "# base\nTypes: deb\nURIs: http://mirror.test/debian\n\
                    Suites: bookworm bookworm-updates trixie\nComponents: main\n\n\
                    Types: deb-src\nURIs: http://mirror.test/src\nSuites: bookworm\n";
        assert_eq!(
            deb822_entries(text, "bookworm"),
            [
                "deb http://mirror.test/debian bookworm main",
                "deb http://mirror.test/debian bookworm-updates main"
            ]
        );
    }

    #[test]
    fn a_one_line_entry_of_a_third_party_is_left_out() {
        let text = "deb [arch=amd64 signed-by=/k] http://other.test nodistro main\n\
                    deb [signed-by=/k] http://mirror.test/ubuntu jammy-security main universe\n";
        assert_eq!(
            one_line_entries(text, "jammy"),
            ["deb http://mirror.test/ubuntu jammy-security main universe"]
        );
    }

    #[test]
    fn an_unknown_distribution_is_named_in_the_refusal() {
        let root = std::env::temp_dir().join(format!("mirror-{}", std::process::id()));
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/os-release"), "ID=plan9\n").unwrap();
        let refusal = Mirror::of_host(&root).unwrap_err();
        std::fs::remove_dir_all(&root).unwrap();
        assert!(refusal.to_string().contains("plan9"));
    }
}
