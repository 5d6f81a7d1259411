//! Everything that a runner can leave on a host, listed, so that a test can compare before and
//! after.
//!
//! Looks at the kernel and the file system only, never asks the runner.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The kernel takes namespaces and groups down in the background.
const SETTLE_WAIT: Duration = Duration::from_secs(10);

/// Where one runner keeps its things.
#[derive(Clone, Debug)]
pub struct Place {
    pub data_dir: PathBuf,
    pub run_dir: PathBuf,
    pub instance: String,
}

/// One line per thing.
pub type Things = BTreeSet<String>;

impl Place {
    /// All that there is of this runner's sandboxes now. Ready seats are not sandboxes: their
    /// interfaces are left out; `interfaces` counts those.
    ///
    /// # Errors
    /// When the host cannot be looked at.
    pub fn things(&self) -> io::Result<Things> {
        let mut things = Things::new();
        self.groups(&mut things)?;
        self.processes(&mut things)?;
        self.mounts(&mut things)?;
        self.firewall_elements(&mut things)?;
        for dir in [
            self.data_dir.join("sandboxes"),
            self.data_dir.join("pool/sandboxes"),
            self.data_dir.join("pool/trash"),
            self.run_dir.join("sandboxes"),
        ] {
            for name in names(&dir)? {
                things.insert(format!("file {}/{name}", dir.display()));
            }
        }
        Ok(things)
    }

    /// Waits until there is nothing that `before` has not, and says what is left if it stays.
    ///
    /// # Errors
    /// The things that leaked, one per line.
    pub fn expect_no_more_than(&self, before: &Things) -> Result<(), String> {
        let deadline = Instant::now() + SETTLE_WAIT;
        loop {
            let now = self.things().map_err(|error| error.to_string())?;
            let leaked: Vec<_> = now.difference(before).cloned().collect();
            if leaked.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(leaked.join("\n"));
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Host ends of this instance's cables.
    ///
    /// # Errors
    /// When the host cannot be looked at.
    pub fn interfaces(&self) -> io::Result<usize> {
        let prefix = format!("sb{}", self.instance);
        Ok(names(Path::new("/sys/class/net"))?
            .iter()
            .filter(|n| n.starts_with(&prefix))
            .count())
    }

    /// Takes off the host what a failed test has left there, so that it does not fail the next
    /// one. Everything may be gone already.
    pub fn clean_up(&self) {
        let name = format!("sebring-{}", self.instance);
        for dir in ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"] {
            drop(fs::write(
                Path::new(dir).join(&name).join("cgroup.kill"),
                "1",
            ));
        }
        for group in self.group_dirs() {
            remove_groups(&group);
        }
        let table = format!("sebring_{}", self.instance);
        let table = Command::new("nft")
            .args(["delete", "table", "inet", &table])
            .output();
        // An instance that left by itself has given its subnet back, and another may have it now.
        if !table.is_ok_and(|deleted| deleted.status.success()) {
            return;
        }
        let chosen = fs::read_to_string(self.data_dir.join("network.json")).unwrap_or_default();
        if let Some(subnet) = chosen
            .split('"')
            .find_map(|word| word.strip_suffix(".0.0/16"))
        {
            let gateway = format!("{subnet}.0.1/32");
            drop(
                Command::new("ip")
                    .args(["addr", "del", &gateway, "dev", "lo"])
                    .output(),
            );
        }
    }

    /// This instance's own directory in every control group hierarchy.
    fn group_dirs(&self) -> Vec<PathBuf> {
        let name = format!("sebring-{}", self.instance);
        let mut dirs = Vec::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for line in mounts.lines().filter(|line| line.contains(" - cgroup")) {
            if let Some(mount) = line.split(' ').nth(4) {
                find_dirs(Path::new(mount), &name, 3, &mut |found| {
                    dirs.push(found.to_owned());
                });
            }
        }
        dirs
    }

    fn groups(&self, things: &mut Things) -> io::Result<()> {
        for dir in self.group_dirs() {
            for id in names(&dir)? {
                if dir.join(&id).is_dir() {
                    things.insert(format!("cgroup {}/{id}", dir.display()));
                }
            }
        }
        Ok(())
    }

    fn processes(&self, things: &mut Things) -> io::Result<()> {
        let name = format!("/sebring-{}/", self.instance);
        for pid in names(Path::new("/proc"))? {
            let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            if groups.contains(&name) {
                let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                things.insert(format!("process {pid} {}", program.trim()));
            }
        }
        Ok(())
    }

    fn mounts(&self, things: &mut Things) -> io::Result<()> {
        let pool = self.data_dir.join("pool");
        for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
            let Some(target) = line.split(' ').nth(4).map(Path::new) else {
                continue;
            };
            let ours = target.starts_with(&self.data_dir) || target.starts_with(&self.run_dir);
            if ours && target != pool {
                things.insert(format!("mount {}", target.display()));
            }
        }
        Ok(())
    }

    fn firewall_elements(&self, things: &mut Things) -> io::Result<()> {
        for set in ["restricted", "allowed"] {
            let table = format!("sebring_{}", self.instance);
            let output = Command::new("nft")
                .args(["list", "set", "inet", &table, set])
                .output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if let Some((_, elements)) = text.split_once("elements = ") {
                things.insert(format!(
                    "firewall {set} {}",
                    elements.replace(['\n', '\t'], " ")
                ));
            }
        }
        Ok(())
    }
}

fn remove_groups(dir: &Path) {
    for child in names(dir).unwrap_or_default() {
        let child = dir.join(child);
        if child.is_dir() {
            remove_groups(&child);
        }
    }
    // Busy until its processes have gone; then it stays, empty.
    drop(fs::remove_dir(dir));
}

fn find_dirs(dir: &Path, name: &str, depth: u32, found: &mut dyn FnMut(&Path)) {
    let wanted = dir.join(name);
    if wanted.is_dir() {
        found(&wanted);
    }
    if depth == 0 {
        return;
    }
    for child in names(dir).unwrap_or_default() {
        let child_dir = dir.join(&child);
        if !child.starts_with("sebring-") && child_dir.is_dir() {
            find_dirs(&child_dir, name, depth - 1, found);
        }
    }
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into())
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
