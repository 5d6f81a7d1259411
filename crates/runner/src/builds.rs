//! Snapshots that are made when somebody first needs them. There is one: `desktop`.
//!
//! ```text
//! Unbuilt ──needed──▶ Building ──▶ Ready
//!                        └──▶ Failed ──needed again──▶ Building
//! ```
//!
//! Everybody who needs it while it is built waits for the same build. A build that nobody waits
//! for any more goes on: the next one finds it done.
//! Must not: hold up a runner that stops. Next: `crate::recipe` for what a build does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use sebring_api::runner::{SnapshotFacts, SnapshotStage};
use sebring_core::clock::Timestamp;
use sebring_tasks::chain;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::recipe::run::LAYER_SECONDS_MAX;
use crate::recipe::{self, LAYER_PREFIX, Places, Progress, Recipe};
use crate::snapshots::{self, Snapshot, Snapshots};

/// The last instant at which a build that has begun can end: its steps have their own limit, and
/// measuring what it made takes seconds.
const BUILD_MAX: Duration = Duration::from_secs(LAYER_SECONDS_MAX as u64 + 60);

/// The snapshot with a desktop.
pub const DESKTOP: &str = "desktop";
/// Endings of a layer's name while it is built: the layer itself, and what overlay needs beside it.
const UNFINISHED: [&str; 3] = [".building", ".work", ".root"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Recipe(#[from] recipe::Error),
    #[error("the default snapshot's layer {layer} is missing; start the server with `sebring up`")]
    NoBase { layer: String },
    #[error("prepare the folder {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Snapshot(#[from] snapshots::Error),
}

/// Why waiting for a build ended without a snapshot.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the snapshot {DESKTOP} could not be built: {reason}; the next sandbox tries again")]
pub(crate) struct Failed {
    reason: String,
}

#[derive(Clone, Debug, Default)]
enum Stage {
    #[default]
    Unbuilt,
    Building {
        until_unix: i64,
    },
    Done,
    Failed(String),
}

/// A build to wait for.
#[derive(Debug)]
pub(crate) struct Build {
    /// When it has ended, one way or the other; seconds since 1970.
    pub(crate) until_unix: i64,
    stages: watch::Receiver<Stage>,
}

impl Build {
    pub(crate) async fn ended(mut self) -> Result<(), Failed> {
        let is_end = |stage: &Stage| matches!(stage, Stage::Done | Stage::Failed(_));
        match self.stages.wait_for(is_end).await.as_deref() {
            Ok(Stage::Failed(reason)) => Err(Failed {
                reason: reason.clone(),
            }),
            // The channel lives as long as the runner.
            Ok(Stage::Done | Stage::Unbuilt | Stage::Building { .. }) | Err(_) => Ok(()),
        }
    }
}

/// The builds of one runner.
#[derive(Debug)]
pub(crate) struct Builds {
    snapshots: Snapshots,
    stage: Mutex<watch::Sender<Stage>>,
}

impl Builds {
    pub(crate) fn new(snapshots: Snapshots) -> Self {
        Self {
            snapshots,
            stage: Mutex::default(),
        }
    }

    /// The build that `name` waits for; none when it can be used, or is not made here.
    pub(crate) fn needed(&self, name: &str) -> Option<Build> {
        let waits = name == DESKTOP && !is_built(&self.snapshots);
        waits.then(|| self.begin())
    }

    /// Joins the build under way or begins one.
    fn begin(&self) -> Build {
        let stage = self.stage.lock();
        if let Stage::Building { until_unix } = *stage.borrow() {
            let stages = stage.subscribe();
            return Build { until_unix, stages };
        }
        let until_unix = latest_end_unix();
        stage.send_replace(Stage::Building { until_unix });
        let (sender, snapshots) = (stage.clone(), self.snapshots.clone());
        // A thread that nothing waits for: what it runs ends with it, and it with the process.
        let thread = std::thread::Builder::new().name("build".to_owned());
        let spawned = thread.spawn(move || {
            info!(snapshot = DESKTOP, "building a snapshot");
            let mut said = |progress: Progress| {
                info!(
                    snapshot = DESKTOP,
                    percent = progress.percent,
                    doing = progress.doing,
                    "building"
                );
            };
            let built = Recipe::of_host()
                .map_err(Error::from)
                .and_then(|recipe| build_desktop(&snapshots, &recipe, &mut said));
            sender.send_replace(match built {
                Ok(()) => {
                    info!(snapshot = DESKTOP, "snapshot built");
                    Stage::Done
                }
                Err(error) => {
                    let reason = chain(&error);
                    warn!(snapshot = DESKTOP, error = reason, "snapshot not built");
                    Stage::Failed(reason)
                }
            });
        });
        if let Err(error) = spawned {
            stage.send_replace(Stage::Failed(format!("start a thread: {error}")));
        }
        let stages = stage.subscribe();
        Build { until_unix, stages }
    }

    /// What can be built here and is not there yet, with how far it is.
    pub(crate) fn offered(&self) -> Option<SnapshotFacts> {
        if is_built(&self.snapshots) {
            return None;
        }
        let recipe = Recipe::of_host().ok()?;
        let below = self.snapshots.layer_path(&recipe.layer_name());
        if !below.is_dir() {
            return None;
        }
        let stage = match &*self.stage.lock().borrow() {
            Stage::Unbuilt | Stage::Done => SnapshotStage::Unbuilt,
            Stage::Building { .. } => SnapshotStage::Building,
            Stage::Failed(reason) => SnapshotStage::Failed {
                reason: reason.clone(),
            },
        };
        Some(SnapshotFacts {
            name: DESKTOP.to_owned(),
            size_bytes: 0,
            entrypoint: Vec::new(),
            created_at: made_at(&below),
            stage,
        })
    }
}

/// When a build that begins now has ended.
#[expect(
    clippy::disallowed_methods,
    reason = "the server is told an instant; nothing is decided by it here"
)]
fn latest_end_unix() -> i64 {
    let since = (SystemTime::now() + BUILD_MAX).duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

/// Whether it can be used, be it of an older recipe.
fn is_built(snapshots: &Snapshots) -> bool {
    snapshots.load(DESKTOP).is_ok_and(|found| {
        let mut layers = found.layers.iter();
        layers.all(|layer| snapshots.layer_path(layer).is_dir())
    })
}

/// Makes the snapshot as this version has it, unless it is there. Blocking, for minutes.
///
/// # Errors
/// The failing step with the end of what it printed.
pub fn build_desktop(
    snapshots: &Snapshots,
    recipe: &Recipe,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    let (below, layer) = (recipe.layer_name(), recipe.desktop_layer_name());
    if !snapshots.layer_path(&below).is_dir() {
        return Err(Error::NoBase { layer: below });
    }
    let layers = vec![below.clone(), layer.clone()];
    let finished = snapshots.layer_path(&layer);
    if !finished.is_dir() {
        stack(snapshots, recipe, &below, &layer, progress)?;
    } else if snapshots
        .load(DESKTOP)
        .is_ok_and(|found| found.layers == layers)
    {
        return Ok(());
    }
    let size = tree_size(&finished) + tree_size(&snapshots.layer_path(&below));
    snapshots.save(&Snapshot {
        name: DESKTOP.to_owned(),
        layers,
        env: recipe.desktop_env(),
        user: None,
        work_dir: None,
        entrypoint: Vec::new(),
        size_bytes: size,
        created_at: made_at(&finished),
    })?;
    Ok(())
}

/// Builds beside the final place, so that an interrupted build is never taken for a layer.
fn stack(
    snapshots: &Snapshots,
    recipe: &Recipe,
    below: &str,
    layer: &str,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    remove_unfinished(snapshots)?;
    beside(snapshots, layer, |new, work, root| {
        let layers = snapshots.layer_path("");
        let places = Places {
            layers: &layers,
            below,
            new,
            work,
            root,
        };
        Ok(recipe.build_desktop(&places, progress)?)
    })
}

/// Lets `build` fill the first of three new folders, and makes it the layer. When it fails, none of
/// them is left: together they are a gigabyte and more.
fn beside(
    snapshots: &Snapshots,
    layer: &str,
    build: impl FnOnce(&str, &str, &str) -> Result<(), Error>,
) -> Result<(), Error> {
    let [new, work, root] = UNFINISHED.map(|what| format!("{layer}{what}"));
    let make = |name: &String| {
        let path = snapshots.layer_path(name);
        fs::create_dir(&path).map_err(at(&path))
    };
    let made = [&new, &work, &root].into_iter().try_for_each(make);
    let built = made.and_then(|()| build(&new, &work, &root));
    let finished = built.and_then(|()| {
        let finished = snapshots.layer_path(layer);
        fs::rename(snapshots.layer_path(&new), &finished).map_err(at(&finished))
    });
    let removed = remove_unfinished(snapshots);
    // The first failure is the one to tell.
    finished.and(removed)
}

/// What a build has left that was cut off or has failed, also one of another recipe.
fn remove_unfinished(snapshots: &Snapshots) -> Result<(), Error> {
    let layers = snapshots.layer_path("");
    let entries = fs::read_dir(&layers).map_err(at(&layers))?;
    let mut removed = Ok(());
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_unfinished = UNFINISHED.iter().any(|ending| name.ends_with(ending));
        if is_unfinished && name.starts_with(LAYER_PREFIX) {
            // One that cannot be removed saves none of the others.
            let this = remove_tree(&entry.path());
            removed = removed.and(this);
        }
    }
    removed
}
fn remove_tree(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(at(path)(source)),
        _ => Ok(()),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Folder {
        path: path.clone(),
        source,
    }
}

/// When a layer was finished, as its folder says.
fn made_at(layer: &Path) -> String {
    let modified = fs::metadata(layer).and_then(|found| found.modified());
    let since = modified
        .ok()
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let ms = since.map_or(0, |since| since.as_millis());
    Timestamp::from_unix_ms(i64::try_from(ms).unwrap_or(0)).to_string()
}

/// Bytes of all regular files below `folder`; what cannot be read counts as nothing.
#[must_use]
pub fn tree_size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => tree_size(&entry.path()),
            Ok(found) if found.is_file() => found.len(),
            Ok(_) | Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str) -> (PathBuf, Snapshots) {
        let pid = rustix::process::getpid().as_raw_nonzero();
        let pool = std::env::temp_dir().join(format!("sb-builds-{name}-{pid}"));
        for folder in ["snapshots", "layers"] {
            fs::create_dir_all(pool.join(folder)).unwrap();
        }
        let snapshots = Snapshots::new(&pool);
        (pool, snapshots)
    }

    #[tokio::test]
    async fn a_build_that_cannot_be_made_is_an_error_with_its_reason_and_tried_again() {
        let (pool, snapshots) = pool("fails");
        let builds = Builds::new(snapshots);
        for _ in 0..2 {
            let build = builds.needed(DESKTOP).unwrap();
            let failed = build.ended().await.unwrap_err().to_string();
            assert!(failed.contains("default snapshot's layer"), "{failed}");
        }
        assert_eq!(builds.offered(), None, "nothing to build it on");
        assert!(builds.needed("sebring-small").is_none());
        fs::remove_dir_all(pool).unwrap();
    }

    #[test]
    fn a_build_that_fails_leaves_nothing_and_tells_why() {
        let (pool, snapshots) = pool("leaves");
        let layers = pool.join("layers");
        let names = || {
            let entries = fs::read_dir(&layers).unwrap().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
            names.sort();
            names
        };
        fs::create_dir_all(layers.join("desktop-older.building/usr")).unwrap();
        fs::create_dir(layers.join("debian-x.building")).unwrap();
        let fill = |new: &str| fs::write(layers.join(new).join("big"), "x").unwrap();
        let failed = beside(&snapshots, "desktop-new", |new, _, _| {
            fill(new);
            let layer = "first".to_owned();
            Err(Error::NoBase { layer })
        });
        let why = failed.unwrap_err().to_string();
        assert!(why.contains("layer first is missing"), "{why}");
        assert_eq!(names(), ["debian-x.building"], "another's build goes on");
        let built = beside(&snapshots, "desktop-new", |new, _, _| {
            fill(new);
            Ok(())
        });
        built.unwrap();
        assert_eq!(names(), ["debian-x.building", "desktop-new"]);
        assert!(layers.join("desktop-new/big").exists());
        fs::remove_dir_all(pool).unwrap();
    }

    #[tokio::test]
    async fn whoever_needs_a_build_that_is_under_way_waits_for_the_same_one() {
        let (pool, snapshots) = pool("shared");
        let builds = Builds::new(snapshots);
        let stage = builds.stage.lock().clone();
        let until_unix = latest_end_unix();
        stage.send_replace(Stage::Building { until_unix });
        let both = [(); 2].map(|()| builds.needed(DESKTOP).unwrap());
        stage.send_replace(Stage::Failed("no network".to_owned()));
        for one in both {
            assert_eq!(one.until_unix, until_unix);
            let failed = one.ended().await.unwrap_err().to_string();
            assert!(failed.contains("no network"), "{failed}");
        }
        fs::remove_dir_all(pool).unwrap();
    }

    #[tokio::test]
    async fn a_snapshot_that_is_there_is_neither_offered_nor_built() {
        let (pool, snapshots) = pool("there");
        fs::create_dir(pool.join("layers/base")).unwrap();
        let snapshot = Snapshot {
            name: DESKTOP.into(),
            layers: vec!["base".into()],
            env: std::collections::BTreeMap::new(),
            user: None,
            work_dir: None,
            entrypoint: Vec::new(),
            size_bytes: 1,
            created_at: String::new(),
        };
        snapshots.save(&snapshot).unwrap();
        let builds = Builds::new(snapshots);
        assert!(builds.needed(DESKTOP).is_none());
        assert_eq!(builds.offered(), None);
        fs::remove_dir_all(pool).unwrap();
    }
}
