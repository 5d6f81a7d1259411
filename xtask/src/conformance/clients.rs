//! The clients that are driven, and how each suite is run.
//!
//! Must not: look into results beyond the file that a suite writes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::environments::{Node, Python, suite};
use super::golang::Go;
use super::results::{self, Outcome};
use super::server::Server;
use crate::run;

/// One client in one mode: one run of a suite.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: &'static str,
    suite: Suite,
}

#[derive(Debug)]
enum Suite {
    /// Release (a file of `requirements/`), client mode, and the paths to collect.
    Python {
        release: Python,
        mode: &'static str,
        paths: &'static [&'static str],
    },
    /// Name of the npm package.
    Node { package: &'static str },
    /// The pages that people see, in a real browser; the newest npm package makes what they show.
    Browser,
    /// Release of the Go SDK.
    Go(Go),
}

/// One suite takes a minute or two; a hanging test fails by itself long before this.
const LIMIT: Duration = Duration::from_secs(10 * 60);

const NEWEST: Python = Python {
    requirements: "newest",
};
const NOVEMBER_2025: Python = Python {
    requirements: "november-2025",
};

/// Waiting is all that polling changes, so only what waits is run in that mode.
const WAITING: &[&str] = &[
    "sdk/test_lifecycle.py",
    "sdk/test_settings.py",
    "sdk/test_events.py",
];

pub(super) const ALL: &[Client] = &[
    python(
        "python newest sync, and the wire",
        NEWEST,
        "sync",
        &["wire", "sdk"],
    ),
    python("python newest async", NEWEST, "async", &["sdk"]),
    python("python newest polling", NEWEST, "polling", WAITING),
    python("python november 2025 sync", NOVEMBER_2025, "sync", &["sdk"]),
    python(
        "python november 2025 async",
        NOVEMBER_2025,
        "async",
        &["sdk"],
    ),
    Client {
        name: "node @daytona/sdk",
        suite: Suite::Node {
            package: "@daytona/sdk",
        },
    },
    Client {
        name: "node @daytonaio/sdk",
        suite: Suite::Node {
            package: "@daytonaio/sdk",
        },
    },
    Client {
        name: "browser",
        suite: Suite::Browser,
    },
    Client {
        name: "go newest",
        suite: Suite::Go(Go {
            module: "go.mod",
            tags: "",
        }),
    },
    Client {
        name: "go older",
        suite: Suite::Go(Go {
            module: "older.mod",
            tags: "older",
        }),
    },
];

const fn python(
    name: &'static str,
    release: Python,
    mode: &'static str,
    paths: &'static [&'static str],
) -> Client {
    Client {
        name,
        suite: Suite::Python {
            release,
            mode,
            paths,
        },
    }
}

impl Client {
    /// Whether these arguments for pytest, if any, choose from what this client is run with.
    pub(super) fn includes(&self, pytest: &[String]) -> bool {
        match &self.suite {
            Suite::Python { paths, .. } => selection(paths, pytest).is_some(),
            Suite::Node { .. } | Suite::Browser | Suite::Go(_) => pytest.is_empty(),
        }
    }

    /// Installs the packages, unless the cache has them.
    pub(super) fn prepare(&self) -> anyhow::Result<()> {
        match &self.suite {
            Suite::Python { release, .. } => release.prepare(),
            Suite::Node { .. } | Suite::Browser => Node::prepare(),
            Suite::Go(release) => release.prepare(),
        }
    }

    /// Runs the suite; a suite that ends badly without a failed test counts as one failure.
    pub(super) fn run(&self, server: &Server, pytest: &[String]) -> anyhow::Result<Vec<Outcome>> {
        let log = self.log();
        drop(std::fs::remove_file(&log));
        let mut command = match &self.suite {
            Suite::Python {
                release,
                mode,
                paths,
            } => {
                let mut command = release.pytest()?;
                command.args(["--sdk-mode", mode, "--results"]).arg(&log);
                command.args(["-q", "--tb=short", "--show-capture=no"]);
                // What is collected unless an argument names something else.
                command.args(["-o", &format!("testpaths={}", paths.join(" "))]);
                command.args(selection(paths, pytest).unwrap_or_default());
                command
            }
            Suite::Node { package } => {
                let mut command = Node::tests(&log, "tests")?;
                command.env("SEBRING_SDK", package);
                command
            }
            Suite::Browser => {
                let mut command = Node::tests(&log, "browser")?;
                command.env("SEBRING_CLIENT", "Chromium");
                command
            }
            Suite::Go(release) => release.tests(&log)?,
        };
        server.tell(&mut command);
        let success = run::watch(&mut command, LIMIT, |_| ())?;
        let mut outcomes = results::read(&log)?;
        if !success && !outcomes.iter().any(Outcome::failed) {
            outcomes.push(Outcome::suite_failure(self.name));
        }
        Ok(outcomes)
    }

    fn log(&self) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let file: String = self.name.chars().map(plain).collect();
        run::cache()
            .join("results")
            .join(file)
            .with_extension("jsonl")
    }
}

/// The arguments for a client that is run with `own` only: paths that lead elsewhere are left out,
/// because its release may lack what those files import. `None` when no path is left of some.
fn selection(own: &[&str], pytest: &[String]) -> Option<Vec<String>> {
    let named = |argument: &String| {
        let path = argument.split("::").next().unwrap_or_default();
        let is_path = !path.is_empty() && suite("python").join(path).exists();
        is_path.then(|| PathBuf::from(path))
    };
    let is_own = |path: &Path| {
        own.iter()
            .any(|own| path.starts_with(own) || Path::new(own).starts_with(path))
    };
    let kept: Vec<String> = pytest
        .iter()
        .filter(|argument| named(argument).is_none_or(|path| is_own(&path)))
        .cloned()
        .collect();
    let has_path = |arguments: &[String]| arguments.iter().any(|one| named(one).is_some());
    (has_path(&kept) || !has_path(pytest)).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(own: &[&str], arguments: &str) -> Option<String> {
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        selection(own, &arguments).map(|kept| kept.join(" "))
    }

    #[test]
    fn a_selection_never_leads_a_client_to_files_that_it_is_not_run_with() {
        let sdk = &["sdk"];
        let one = |text: &str| Some(text.to_owned());
        assert_eq!(selected(sdk, "-k files"), one("-k files"));
        assert_eq!(selected(sdk, "wire"), None);
        assert_eq!(selected(sdk, "wire/test_bodies.py::test_x -x"), None);
        assert_eq!(selected(sdk, "wire sdk -x"), one("sdk -x"));
        assert_eq!(
            selected(WAITING, "sdk/test_events.py::test_x"),
            one("sdk/test_events.py::test_x")
        );
        assert_eq!(selected(WAITING, "sdk/test_files.py"), None);
    }
}
