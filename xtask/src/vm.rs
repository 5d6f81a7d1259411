//! The runner's tests on another kind of host: Debian 12 with its own kernel (6.1) and nothing but
//! cgroup v2, in a machine that is emulated, because not every host may run real ones.
//!
//! The root is made once per checkout; each run copies the test programs into it under the paths
//! that they were built for, and reads the second serial port. Must not: be part of `ci`, which has
//! no time for emulation.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use sebring_testkit::rootfs;

use crate::cargo_tests::count;
use crate::packages::{self, Need};
use crate::run;
use crate::tally::Tally;

const NEEDED: [Need; 3] = [
    ("mmdebstrap", "mmdebstrap"),
    ("mkfs.ext4", "e2fsprogs"),
    ("qemu-system-x86_64", "qemu-system-x86"),
];
/// What a host of Sebring has, and a kernel.
const ROOT_PACKAGES: &str = "systemd-sysv,linux-image-amd64,kmod,btrfs-progs,e2fsprogs,iproute2,\
                             mmdebstrap,nftables,procps,sudo";
const DISK_BYTES: u64 = 16 << 30;
const MEMORY_MIB: &str = "6144";
/// All of the tests take a quarter of an hour on two processors.
const LIMIT: Duration = Duration::from_secs(90 * 60);
/// The tests look for the host's own address, which a machine without a network lacks.
const SCRIPT: &str = "#!/bin/bash
exec > /dev/ttyS1 2>&1 < /dev/null
echo \"kernel $(uname -r), groups $(stat -fc %T /sys/fs/cgroup)\"
ip link add lan0 type dummy && ip link set lan0 up && ip address add 10.99.0.2/24 dev lan0
ip route add default via 10.99.0.1
for test in /tests/*; do
  echo \"== ${test##*/}\"
  timeout 1200 \"$test\" --test-threads 2
  echo \"== ${test##*/} ended with $?\"
done
systemctl poweroff
";
const UNIT: &str = "[Service]\nExecStart=/tests.sh\nDelegate=yes\n";
const UNIT_PATH: &str = "etc/systemd/system/tests.service";
const WANTED_BY: &str = "etc/systemd/system/multi-user.target.wants/tests.service";

pub(crate) fn run(names: &[String]) -> anyhow::Result<Tally> {
    packages::ensure_these(&NEEDED)?;
    let place = run::root().join(".cache/vm");
    let root = place.join("root");
    fs::create_dir_all(&place)?;
    run::step("a Debian with its own kernel", || bootstrap(&root))?;
    run::step("the tests", || fill(&root, names))?;
    run::step("a disk of it", || image(&place, &root))?;
    run::step("the tests in the machine", || boot(&place, &root))
}

fn bootstrap(root: &Path) -> anyhow::Result<()> {
    if root.exists() {
        return Ok(());
    }
    let unfinished = root.with_extension("new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    let include = format!("--include={ROOT_PACKAGES}");
    let mut command = run::command("mmdebstrap");
    command.args(["--variant=minbase", &include, "bookworm"]);
    run::check(command.arg(&unfinished))?;
    fs::write(
        unfinished.join("etc/fstab"),
        "/dev/vda / ext4 defaults 0 0\n",
    )?;
    fs::write(unfinished.join("tests.sh"), SCRIPT)?;
    run::check(
        run::command("chmod")
            .arg("755")
            .arg(unfinished.join("tests.sh")),
    )?;
    fs::write(unfinished.join(UNIT_PATH), UNIT)?;
    let wanted = unfinished.join(WANTED_BY);
    fs::create_dir_all(wanted.parent().context("has a folder")?)?;
    std::os::unix::fs::symlink("../tests.service", wanted)?;
    fs::rename(unfinished, root)?;
    Ok(())
}

/// Copies what the tests need to where they look for it.
fn fill(root: &Path, names: &[String]) -> anyhow::Result<()> {
    let tests = root.join("tests");
    if tests.exists() {
        fs::remove_dir_all(&tests)?;
    }
    fs::create_dir_all(&tests)?;
    let built = built_tests()?;
    for (name, program) in &built {
        if name == "runner-standalone" {
            copy_below(root, program)?;
        } else if names.is_empty() || names.contains(name) {
            fs::copy(program, tests.join(name))?;
        }
    }
    if fs::read_dir(&tests)?.next().is_none() {
        let known: Vec<_> = built.into_iter().map(|(name, _)| name).collect();
        bail!(
            "no test program named {names:?}; there are {}",
            known.join(", ")
        );
    }
    copy_below(root, &rootfs::debian()?)?;
    copy_below(root, &rootfs::stand_in_toolbox()?)?;
    copy_below(root, &run::root().join("crates/testkit/fixtures"))
}

/// Names and paths of the runner's test programs and of the runner that they start.
fn built_tests() -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut cargo = run::cargo();
    cargo.args(["test", "--package", "sebring-runner", "--no-run"]);
    let messages = run::output(cargo.arg("--message-format=json"))?;
    let mut built = Vec::new();
    for line in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let Some(program) = message["executable"].as_str() else {
            continue;
        };
        let is_test = message["profile"]["test"] == true;
        let name = message["target"]["name"]
            .as_str()
            .context("a target has a name")?;
        if is_test != (name == "runner-standalone") {
            built.push((name.to_owned(), program.into()));
        }
    }
    Ok(built)
}

fn copy_below(root: &Path, path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().context("not the root")?;
    let target = root.join(folder.strip_prefix("/")?);
    fs::create_dir_all(&target)?;
    let mut copy = run::command("cp");
    run::check(copy.args(["--archive", "--update"]).arg(path).arg(target))
}

fn image(place: &Path, root: &Path) -> anyhow::Result<()> {
    let disk = place.join("disk.img");
    if disk.exists() {
        fs::remove_file(&disk)?;
    }
    fs::File::create(&disk)?.set_len(DISK_BYTES)?;
    let mut format = run::command("mkfs.ext4");
    run::check(format.args(["-q", "-d"]).arg(root).arg(&disk))
}

fn boot(place: &Path, root: &Path) -> anyhow::Result<Tally> {
    let disk = format!(
        "file={},format=raw,if=virtio,cache=unsafe",
        place.join("disk.img").display()
    );
    let console = format!("file:{}", place.join("console.log").display());
    let mut machine = run::command("qemu-system-x86_64");
    machine
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"])
        .args([
            "-m",
            MEMORY_MIB,
            "-no-reboot",
            "-display",
            "none",
            "-nic",
            "none",
        ])
        .arg("-kernel")
        .arg(only_one(&root.join("boot"), "vmlinuz-")?)
        .arg("-initrd")
        .arg(only_one(&root.join("boot"), "initrd.img-")?)
        .args([
            "-append",
            "root=/dev/vda rw console=ttyS0 quiet mitigations=off",
        ])
        .args(["-device", "virtio-rng-pci", "-drive", &disk])
        .args(["-serial", &console, "-serial", "stdio"]);
    let mut tally = Tally::default();
    let mut ended = 0;
    let ok = run::watch(&mut machine, LIMIT, |line| {
        let line = line.trim_end_matches('\r');
        tally += count(line);
        ended += u32::from(line.starts_with("== ") && line.contains(" ended with 0"));
    })?;
    let expected = fs::read_dir(root.join("tests"))?.count();
    if !ok || (tally.failed == 0 && usize::try_from(ended)? != expected) {
        bail!("{ended} of {expected} test programs ended well; the console is in .cache/vm");
    }
    Ok(tally)
}

fn only_one(folder: &Path, prefix: &str) -> anyhow::Result<PathBuf> {
    fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        })
        .with_context(|| format!("{} has no {prefix}…", folder.display()))
}
