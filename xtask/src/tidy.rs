//! Rules about files that no compiler knows, checked like tests.
//!
//! Each rule is a function from a file to complaints. Must not: judge style that rustfmt or clippy
//! can judge; need anything but the file list of git.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use crate::{error_codes, run};

/// Longer than this, a file is about more than one thing.
const RUST_LINES_MAX: usize = 600;

/// Work that was left for later; put together so that this file does not break its own rule.
const LEFTOVERS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
];

/// The one crate that may contain `unsafe`.
const UNSAFE_CRATE: &str = "crates/sys/";

/// Text files that the rules read.
const TEXT_ENDINGS: [&str; 10] = [
    "rs", "py", "mjs", "md", "toml", "sh", "json", "txt", "ini", "sql",
];

/// One tracked file.
struct File {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

pub(crate) fn check() -> anyhow::Result<()> {
    let mut complaints = Vec::new();
    let files = files()?;
    for file in &files {
        for complaint in complain(file, &run::root()) {
            complaints.push(format!("{}: {complaint}", file.path));
        }
    }
    let texts = files
        .iter()
        .map(|file| (file.path.as_str(), file.text.as_str()));
    complaints.extend(error_codes::complaints(texts));
    for complaint in &complaints {
        run::line(complaint);
    }
    if !complaints.is_empty() {
        bail!("{} breaches of the rules about files", complaints.len());
    }
    Ok(())
}

/// Every text file that is, or would be, under version control.
fn files() -> anyhow::Result<Vec<File>> {
    let mut git = run::command("git");
    git.args([
        "-c",
        "safe.directory=*",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let mut files = Vec::new();
    for path in run::output(&mut git)?.lines() {
        let full = run::root().join(path);
        let is_text = TEXT_ENDINGS
            .iter()
            .any(|ending| path.ends_with(&format!(".{ending}")))
            || path.starts_with(".ci/");
        if is_text && full.is_file() {
            let text = fs::read_to_string(&full).with_context(|| format!("read {path}"))?;
            files.push(File {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(files)
}

fn complain(file: &File, root: &Path) -> Vec<String> {
    let rules = [
        module_header,
        no_unsafe,
        not_too_long,
        no_leftovers,
        lints,
        no_registry_hosts,
    ];
    let mut complaints: Vec<String> = rules.iter().filter_map(|rule| rule(file)).collect();
    complaints.extend(machine_path(file, root));
    complaints.extend(dead_links(file, root));
    complaints
}

fn module_header(file: &File) -> Option<String> {
    let is_module = file.path.ends_with(".rs") && file.path.contains("/src/");
    let opens = file.text.trim_start_matches('\u{feff}').starts_with("//!");
    (is_module && !opens).then(|| "does not open with what the module is for (`//!`)".to_owned())
}

fn no_unsafe(file: &File) -> Option<String> {
    let is_root = file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs");
    let lacks = !file.text.contains("#![forbid(unsafe_code)]");
    (is_root && lacks && !file.path.starts_with(UNSAFE_CRATE))
        .then(|| "a crate root without #![forbid(unsafe_code)]".to_owned())
}

fn not_too_long(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    (file.path.ends_with(".rs") && lines > RUST_LINES_MAX)
        .then(|| format!("{lines} lines; split it before {RUST_LINES_MAX}"))
}

fn no_leftovers(file: &File) -> Option<String> {
    let (number, line) = file
        .text
        .lines()
        .enumerate()
        .find(|(_, line)| LEFTOVERS.iter().any(|word| line.contains(word)))?;
    Some(format!(
        "line {}: do it or write it down elsewhere: {}",
        number + 1,
        line.trim()
    ))
}

fn lints(file: &File) -> Option<String> {
    let is_crate = file.path.ends_with("/Cargo.toml");
    let inherits = file.text.contains("[lints]\nworkspace = true");
    (is_crate && !inherits).then(|| "does not inherit the lints of the workspace".to_owned())
}

fn no_registry_hosts(file: &File) -> Option<String> {
    let is_lock = file.path.ends_with("package-lock.json");
    (is_lock && file.text.contains("\"resolved\""))
        .then(|| "names a registry; write it with omit-lockfile-registry-resolved".to_owned())
}

/// Where this checkout or somebody's home happens to be is nobody else's business.
fn machine_path(file: &File, root: &Path) -> Option<String> {
    let here = root.display().to_string();
    let mut lines = file.text.lines().enumerate();
    let (number, line) = lines.find(|(_, line)| {
        (here.len() > 1 && line.contains(&here)) || line.contains(concat!("/Us", "ers/"))
    })?;
    Some(format!(
        "line {}: a path of one machine: {}",
        number + 1,
        line.trim()
    ))
}

/// Relative links of Markdown files that lead nowhere.
fn dead_links(file: &File, root: &Path) -> Vec<String> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    let folder = root
        .join(&file.path)
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default();
    let mut complaints = Vec::new();
    for part in file.text.split("](").skip(1) {
        let target = part.split([')', '#', ' ']).next().unwrap_or_default();
        let elsewhere = target.contains("://") || target.starts_with("mailto:");
        if !target.is_empty() && !elsewhere && !folder.join(target).exists() {
            complaints.push(format!("links to {target}, which does not exist"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        let file = File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        complain(&file, Path::new("/somewhere/checkout")).len()
    }

    #[test]
    fn a_module_says_what_it_is_for() {
        assert_eq!(complaints("crates/a/src/b.rs", "//! For b.\n"), 0);
        assert_eq!(complaints("crates/a/src/b.rs", "use std::io;\n"), 1);
        assert_eq!(complaints("crates/a/tests/b.rs", "use std::io;\n"), 0);
    }

    #[test]
    fn every_crate_but_one_forbids_unsafe() {
        assert_eq!(complaints("crates/a/src/lib.rs", "//! A.\n"), 1);
        assert_eq!(
            complaints("crates/a/src/lib.rs", "//! A.\n#![forbid(unsafe_code)]\n"),
            0
        );
        assert_eq!(complaints("crates/sys/src/lib.rs", "//! Sys.\n"), 0);
    }

    #[test]
    fn long_files_and_leftovers_are_found() {
        let long = format!("//! Long.\n{}", "x\n".repeat(RUST_LINES_MAX));
        assert_eq!(complaints("crates/a/src/b.rs", &long), 1);
        let leftover = format!("//! B.\n// {} later\n", LEFTOVERS[0]);
        assert_eq!(complaints("crates/a/src/b.rs", &leftover), 1);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        assert_eq!(
            complaints("docs/a.md", "cd /somewhere/checkout/crates\n"),
            1
        );
        assert_eq!(complaints("docs/a.md", "cd /var/lib/sebring\n"), 0);
    }

    #[test]
    fn links_must_lead_somewhere() {
        assert_eq!(
            complaints(
                "docs/a.md",
                "[x](no-such-file.md#part) [y](https://a.test/b)\n"
            ),
            1
        );
    }
}
