//! The facts about a host that sandboxes depend on, each with the exact fix.
//!
//! Must not: change anything.

use std::fs;
use std::path::Path;

use super::{Finding, Verdict};

/// First kernel whose overlay file system accepts id-mapped layers.
const KERNEL_AT_LEAST: (u32, u32) = (5, 19);
/// The default snapshot, its build, and room for a few sandboxes.
const DISK_GIB_AT_LEAST: u64 = 4;
/// Two for each connection that the edge accepts, and some.
const DESCRIPTORS_ENOUGH: u64 = 20_000;
/// Below this the server, the build of the snapshot and one sandbox do not fit.
const MEMORY_MIB_AT_LEAST: u64 = 900;

pub(super) fn host() -> Vec<Finding> {
    vec![
        root(),
        kernel(),
        user_namespaces(),
        file_system("overlay"),
        file_system("btrfs"),
        loop_devices(),
        seccomp(),
        cgroups(),
        memory(),
        descriptors(),
    ]
}

fn finding(check: &'static str, good: bool, found: String, fix: &str) -> Finding {
    let verdict = if good {
        Verdict::Good
    } else {
        Verdict::Missing
    };
    Finding {
        check,
        verdict,
        found,
        fix: if good { String::new() } else { fix.to_owned() },
    }
}

fn root() -> Finding {
    let uid = rustix::process::geteuid().as_raw();
    finding(
        "root",
        uid == 0,
        format!("user id {uid}"),
        "run as root: sudo sebring up",
    )
}

fn kernel() -> Finding {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let good = sebring_runner::kernel().is_some_and(|found| found >= KERNEL_AT_LEAST);
    let (major, minor) = KERNEL_AT_LEAST;
    let fix = format!(
        "install kernel {major}.{minor} or newer (id-mapped overlay layers) and reboot; on Ubuntu \
         22.04: apt-get install linux-generic-hwe-22.04"
    );
    finding("kernel", good, release, &fix)
}

fn user_namespaces() -> Finding {
    let most = number("/proc/sys/user/max_user_namespaces").unwrap_or(0);
    let fix = "sysctl -w user.max_user_namespaces=65536";
    finding("user namespaces", most > 0, format!("at most {most}"), fix)
}

fn file_system(name: &'static str) -> Finding {
    let loaded = read("/proc/filesystems")
        .lines()
        .any(|line| line.ends_with(name));
    let good = loaded || module_exists(name);
    let check = if name == "overlay" {
        "overlay file system"
    } else {
        "btrfs file system"
    };
    let found = if loaded {
        "available"
    } else if good {
        "module present"
    } else {
        "absent"
    };
    let fix = format!("load or build the kernel module: modprobe {name}");
    finding(check, good, found.to_owned(), &fix)
}

fn module_exists(name: &str) -> bool {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let list = read(&format!("/lib/modules/{release}/modules.dep"));
    list.lines().any(|line| {
        line.split('/')
            .any(|part| part.starts_with(&format!("{name}.ko")))
    })
}

fn loop_devices() -> Finding {
    let good = Path::new("/dev/loop-control").exists();
    let found = if good { "available" } else { "absent" };
    finding("loop devices", good, found.to_owned(), "modprobe loop")
}

fn seccomp() -> Finding {
    let actions = read("/proc/sys/kernel/seccomp/actions_avail");
    let good = actions.contains("errno");
    let found = if good { "available" } else { "absent" };
    finding(
        "seccomp filters",
        good,
        found.to_owned(),
        "use a kernel with CONFIG_SECCOMP_FILTER",
    )
}

/// Limits need cpu, memory and pids, all of them in the unified hierarchy or all in the old one.
fn cgroups() -> Finding {
    let wanted = ["cpu", "memory", "pids"];
    let unified = read("/sys/fs/cgroup/cgroup.controllers");
    if wanted
        .iter()
        .all(|name| unified.split_whitespace().any(|found| found == *name))
    {
        return finding("cgroups", true, "unified (v2)".to_owned(), "");
    }
    let absent: Vec<&str> = wanted
        .into_iter()
        .filter(|name| {
            !Path::new("/sys/fs/cgroup")
                .join(name)
                .join("cgroup.procs")
                .exists()
        })
        .collect();
    if absent.is_empty() {
        return finding("cgroups", true, "hybrid (limits by v1)".to_owned(), "");
    }
    let found = format!("no controller for {}", absent.join(", "));
    let fix = "boot with cgroup_enable=memory systemd.unified_cgroup_hierarchy=1";
    Finding {
        check: "cgroups",
        verdict: Verdict::Missing,
        found,
        fix: fix.to_owned(),
    }
}

fn memory() -> Finding {
    let line = read("/proc/meminfo");
    let total_kib = line
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| {
            rest.trim()
                .trim_end_matches("kB")
                .trim()
                .parse::<u64>()
                .ok()
        })
        .unwrap_or(0);
    let total_mib = total_kib / 1024;
    let fix = format!("give the host at least {MEMORY_MIB_AT_LEAST} MiB of memory");
    finding(
        "memory",
        total_mib >= MEMORY_MIB_AT_LEAST,
        format!("{total_mib} MiB"),
        &fix,
    )
}

/// Every proxied connection takes two.
fn descriptors() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let most = limit.unwrap_or(u64::MAX);
    let good = most >= DESCRIPTORS_ENOUGH;
    let verdict = if good { Verdict::Good } else { Verdict::Weak };
    let fix =
        format!("for thousands of connections: ulimit -n {DESCRIPTORS_ENOUGH} before starting");
    let fix = if good { String::new() } else { fix };
    Finding {
        check: "file descriptors",
        verdict,
        found: format!("at most {most}"),
        fix,
    }
}

pub(super) fn disk_space(folder: &Path) -> Finding {
    let free_gib = rustix::fs::statvfs(folder)
        .map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) >> 30)
        .unwrap_or(0);
    let fix =
        format!("free at least {DISK_GIB_AT_LEAST} GiB, or choose another folder with --data-dir");
    let found = format!("{free_gib} GiB free at {}", folder.display());
    finding("disk", free_gib >= DISK_GIB_AT_LEAST, found, &fix)
}

fn number(path: &str) -> Option<u64> {
    read(path).trim().parse().ok()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_thing_always_comes_with_a_fix() {
        let missing = finding("loop devices", false, "absent".to_owned(), "modprobe loop");
        assert_eq!(missing.verdict, Verdict::Missing);
        assert!(missing.to_line().contains("modprobe loop"));
    }
}
