//! The same thing done with `runc` on the same root file system, for a ratio in the same run.
//!
//! What is compared: from the start of `runc run` to its exit after `echo hello`, with all
//! namespaces and a read-only root; against a create and a first command of ours, which also make
//! a writable disk, limits, a network and an API.
//!
//! Must not: leave containers or bundles behind.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use sebring_runner::snapshots::Snapshots;

use super::stats::{Row, Samples};
use crate::config::Layout;
use crate::roles::DEFAULT_SNAPSHOT;

/// runc is slow enough that more samples only cost patience.
pub(super) const COUNT_MAX: usize = 100;

pub(super) fn run_hello(layout: &Layout, count: usize) -> anyhow::Result<Row> {
    let snapshots = Snapshots::new(&layout.data_dir.join("pool"));
    let snapshot = snapshots.load(DEFAULT_SNAPSHOT)?;
    let layer = snapshot
        .layers
        .first()
        .context("the default snapshot has a layer")?;
    let root = snapshots.layer_path(layer);
    let bundle = layout.run_dir.join("bench-runc");
    std::fs::create_dir_all(&bundle).with_context(|| format!("create {}", bundle.display()))?;
    let measured = measure(&bundle, &root, &layout.instance, count);
    std::fs::remove_dir_all(&bundle).with_context(|| format!("remove {}", bundle.display()))?;
    measured
}

fn measure(bundle: &Path, root: &Path, instance: &str, count: usize) -> anyhow::Result<Row> {
    write_config(bundle, root)?;
    let mut samples = Samples::default();
    for number in 0..count {
        let start = Instant::now();
        let ran = Command::new("runc")
            .args(["run", "--bundle"])
            .arg(bundle)
            .arg(format!("sebring-{instance}-bench-{number}"))
            .stdin(Stdio::null())
            .output()
            .context("start runc; apt-get install runc")?;
        if ran.status.success() && ran.stdout == b"hello\n" {
            samples.add(start.elapsed());
        } else {
            samples.fail(&String::from_utf8_lossy(&ran.stderr));
        }
    }
    Ok(samples.row("runc run … echo hello"))
}

/// Takes runc's own template and changes only what differs.
fn write_config(bundle: &Path, root: &Path) -> anyhow::Result<()> {
    let path = bundle.join("config.json");
    drop(std::fs::remove_file(&path));
    let made = Command::new("runc")
        .arg("spec")
        .current_dir(bundle)
        .status();
    if !made.context("start runc; apt-get install runc")?.success() {
        bail!("runc spec failed");
    }
    let text = std::fs::read_to_string(&path).context("read the template of runc")?;
    let mut config: serde_json::Value = serde_json::from_str(&text)?;
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = serde_json::json!(["/bin/sh", "-c", "echo hello"]);
    config["root"] = serde_json::json!({"path": root, "readonly": true});
    std::fs::write(&path, config.to_string()).context("write the configuration of runc")
}
