//! Everything a host needs before the roles can start: packages, the service user, folders, the
//! disk pool, and the default snapshots.
//!
//! Must not: do anything twice; every step looks first, so that a prepared host is quick.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use sebring_core::clock::Clock;
use sebring_runner::builds::{self, tree_size};
use sebring_runner::disk::Pool;
use sebring_runner::recipe::{Progress, Recipe};
use sebring_runner::snapshots::{Snapshot, Snapshots};

use super::HostChoices;
use crate::clock::SystemClock;
use crate::config::Layout;
use crate::doctor::{self, Consent, Verdict};
use crate::output;

/// The system user that the server runs as.
const SERVICE_USER: &str = "sebring";
/// Names of the default snapshots. They share one layer; the server gives them their sizes.
const DEFAULT_SNAPSHOTS: [&str; 3] = ["sebring-small", "sebring-medium", "sebring-large"];

/// Ids of the unprivileged user that serves the network.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServiceUser {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl ServiceUser {
    /// Looks the user up; `host` has made it.
    pub(super) fn find() -> anyhow::Result<Self> {
        let table = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
        parse_user(&table).with_context(|| format!("the system user {SERVICE_USER} is missing"))
    }
}

fn parse_user(table: &str) -> Option<ServiceUser> {
    let line = table
        .lines()
        .find(|line| line.split(':').next() == Some(SERVICE_USER))?;
    let mut ids = line.split(':').skip(2).map(str::parse);
    Some(ServiceUser {
        uid: ids.next()?.ok()?,
        gid: ids.next()?.ok()?,
    })
}

/// Packages, then everything that only an operator can mend, then the service user.
pub(super) fn host(data_dir: &Path, consent: Consent) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("sandboxes need root on the host; try: sudo sebring up");
    }
    doctor::ensure_packages(consent)?;
    let findings = doctor::examine(data_dir);
    let missing: Vec<String> = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Missing)
        .map(doctor::Finding::to_line)
        .collect();
    if !missing.is_empty() {
        bail!(
            "this host cannot run sandboxes yet:\n{}",
            missing.join("\n")
        );
    }
    ensure_service_user()
}

fn ensure_service_user() -> anyhow::Result<()> {
    if ServiceUser::find().is_ok() {
        return Ok(());
    }
    let status = Command::new("useradd")
        .args([
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
        ])
        .args(["--shell", "/usr/sbin/nologin", SERVICE_USER])
        .status()
        .context("start useradd")?;
    if !status.success() {
        bail!("useradd {SERVICE_USER} failed: {status}");
    }
    Ok(())
}

/// Folders with the owners and modes that the roles rely on.
pub(super) fn folders(layout: &Layout) -> anyhow::Result<()> {
    folder(&layout.data_dir, 0o755, None)?;
    folder(&layout.log_dir(), 0o750, None)?;
    let top = layout
        .run_dir
        .parent()
        .context("the run folder has a parent")?;
    folder(top, 0o755, None)?;
    folder(&layout.run_dir, 0o755, None)
}

/// The two folders that the server may write; made once its user exists.
fn server_folders(layout: &Layout) -> anyhow::Result<()> {
    let user = ServiceUser::find()?;
    folder(&layout.server_dir(), 0o700, Some(user))?;
    folder(&layout.keys_dir(), 0o700, Some(user))
}

fn folder(path: &Path, mode: u32, owner: Option<ServiceUser>) -> anyhow::Result<()> {
    let (uid, gid) = owner.map_or((0, 0), |user| (user.uid, user.gid));
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .and_then(|()| chown(path, Some(uid), Some(gid)))
        .with_context(|| format!("prepare the folder {}", path.display()))
}

/// Mounts the pool and builds whatever default snapshot is not there or out of date.
pub(super) fn snapshots(
    layout: &Layout,
    host: &HostChoices,
    discard_sandboxes: bool,
) -> anyhow::Result<()> {
    server_folders(layout)?;
    let size = host.pool_gib.map(|gib| u64::from(gib) << 30);
    let pool = Pool::open(&layout.data_dir, size).context("open the disk pool")?;
    if !discard_sandboxes {
        let disks = pool.disks().context("list the disks in the pool")?;
        refuse_strangers(&layout.database(), disks.len())?;
    }
    let snapshots = Snapshots::new(pool.path());
    let recipe = Recipe::of_host()?;
    let layer = recipe.layer_name();
    let current = |name: &&str| -> bool {
        snapshots
            .load(name)
            .is_ok_and(|found| found.layers == [layer.clone()])
    };
    if snapshots.layer_path(&layer).exists() && DEFAULT_SNAPSHOTS.iter().all(current) {
        return desktop(&snapshots, &recipe, host.desktop);
    }
    if !snapshots.layer_path(&layer).exists() {
        build_layer(&recipe, &snapshots.layer_path(&layer))?;
    }
    let size_bytes = tree_size(&snapshots.layer_path(&layer));
    for name in DEFAULT_SNAPSHOTS {
        let snapshot = Snapshot {
            name: name.to_owned(),
            layers: vec![layer.clone()],
            env: recipe.env(),
            user: None,
            work_dir: None,
            entrypoint: Vec::new(),
            size_bytes,
            created_at: SystemClock.now().to_string(),
        };
        snapshots.save(&snapshot)?;
    }
    desktop(&snapshots, &recipe, host.desktop)
}

/// Without being asked for it is built when the first sandbox needs it.
fn desktop(snapshots: &Snapshots, recipe: &Recipe, is_wanted: bool) -> anyhow::Result<()> {
    if !is_wanted {
        return Ok(());
    }
    output::note("Looking after the desktop snapshot (built once, in a minute or two):");
    shown(|progress| builds::build_desktop(snapshots, recipe, progress))
        .context("build the desktop snapshot")
}

/// A server deletes what its database does not know. With a new one that is every sandbox there
/// is, and a database that was lost or not yet restored must not cost them too.
fn refuse_strangers(database: &Path, disks: usize) -> anyhow::Result<()> {
    if disks == 0 || database.exists() {
        return Ok(());
    }
    bail!(
        "the disk pool holds {disks} sandboxes, but their database {} is missing.\n\
         hint: put the database back from a backup; or move the pool (pool.img) away to keep it and \
         start anew; or delete the sandboxes with `sebring up --discard-sandboxes`",
        database.display()
    )
}

/// Builds beside the final place, so that an interrupted build is never taken for a layer.
fn build_layer(recipe: &Recipe, layer: &Path) -> anyhow::Result<()> {
    let unfinished = layer.with_extension("building");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("remove the interrupted build {}", unfinished.display()))?;
    }
    fs::create_dir_all(&unfinished).with_context(|| format!("create {}", unfinished.display()))?;
    output::note("Building the default snapshot (once, about a minute):");
    shown(|progress| recipe.build(&unfinished, progress)).context("build the default snapshot")?;
    fs::rename(&unfinished, layer).context("put the finished layer in its place")
}

/// Shows how far `build` is: a bar on a terminal, lines elsewhere.
fn shown<T>(build: impl FnOnce(&mut dyn FnMut(Progress)) -> T) -> T {
    let bar = progress_bar();
    let built = build(&mut |progress| {
        bar.set_position(progress.percent.into());
        bar.set_message(progress.doing.clone());
        if bar.is_hidden() {
            output::note(format!("  {:>3} % {}", progress.percent, progress.doing));
        }
    });
    bar.finish_and_clear();
    built
}

fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("  [{bar:30}] {percent:>3} % {msg} ({elapsed})");
    let bar = ProgressBar::new(100);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_with_sandboxes_is_not_served_from_a_new_database() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("sebring.db");
        assert!(refuse_strangers(&database, 0).is_ok());
        let refusal = refuse_strangers(&database, 2).unwrap_err().to_string();
        assert!(refusal.contains("2 sandboxes"), "{refusal}");
        fs::write(&database, "").unwrap();
        assert!(refuse_strangers(&database, 2).is_ok());
    }

    #[test]
    fn the_service_user_is_found_by_its_whole_name() {
        let table =
            "sebringx:x:7:7::/:/bin/sh\nsebring:x:995:993::/nonexistent:/usr/sbin/nologin\n";
        let user = parse_user(table).unwrap();
        assert_eq!((user.uid, user.gid), (995, 993));
        assert!(parse_user("root:x:0:0::/:/bin/sh").is_none());
    }
}
