//! Ways out of a sandbox, tried from inside by its root. All must fail.
//!
//! Raw system calls go through perl, the smallest thing in the test image that can make them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod common;

use common::{Fixture, Sandbox, spec};

impl Sandbox {
    /// Runs a shell command that must fail.
    fn must_fail(&self, command: &str) {
        let (code, said) = self.sh(command);
        assert_ne!(code, 0, "{command} succeeded: {said}");
    }

    /// Makes a system call with numbers as arguments; it must fail with one of `errnos`.
    fn call_must_fail(&self, what: &str, call: i64, arguments: &str, errnos: &[i32]) {
        // Through variables, since perl may write to what it passes.
        let script = format!(
            "@a = ({arguments}); $r = syscall({call}, @a); print $r < 0 ? $! + 0 : \"success\""
        );
        let said = self.must(&format!("perl -e '{script}'"));
        let errno = said.trim().parse::<i32>();
        assert!(
            errno.is_ok_and(|errno| errnos.contains(&errno)),
            "{what}: {said}"
        );
    }
}

const EPERM: i32 = 1;
const ENOSPC: i32 = 28;
const ENOSYS: i32 = 38;
const EPROTONOSUPPORT: i32 = 93;
const EAFNOSUPPORT: i32 = 97;

/// What it would give, the call, its arguments, the error it must end with.
#[rustfmt::skip]
const CALLS: &[(&str, i64, &str, i32)] = &[
    ("mount", libc::SYS_mount, r#""none", "/mnt", "tmpfs", 0, 0"#, EPERM),
    ("umount", libc::SYS_umount2, r#""/proc/keys", 2"#, EPERM),
    ("pivot_root", libc::SYS_pivot_root, r#"".", ".""#, EPERM),
    ("fsopen", libc::SYS_fsopen, r#""tmpfs", 0"#, EPERM),
    ("open_tree", libc::SYS_open_tree, r#"-100, "/", 1"#, EPERM),
    ("mount_setattr", libc::SYS_mount_setattr, r#"-100, "/proc/sys", 0, 0, 0"#, EPERM),
    ("unshare a user namespace", libc::SYS_unshare, "0x10000000", EPERM),
    ("unshare a mount namespace", libc::SYS_unshare, "0x20000", EPERM),
    ("setns", libc::SYS_setns, "0, 0", EPERM),
    ("clone a user namespace", libc::SYS_clone, "0x10000011, 0, 0, 0, 0", EPERM),
    ("clone a network namespace", libc::SYS_clone, "0x40000011, 0, 0, 0, 0", EPERM),
    ("keyctl", libc::SYS_keyctl, "0, -3, 0", EPERM),
    ("add_key", libc::SYS_add_key, r#""user", "a", "b", 1, -3"#, EPERM),
    ("bpf", libc::SYS_bpf, "0, 0, 0", EPERM),
    ("userfaultfd", libc::SYS_userfaultfd, "0", EPERM),
    ("io_uring", libc::SYS_io_uring_setup, "1, 0", EPERM),
    ("perf_event_open", libc::SYS_perf_event_open, "0, 0, -1, -1, 0", EPERM),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, "0, 0, 0", EPERM),
    ("init_module", libc::SYS_init_module, "0, 0, 0", EPERM),
    ("kexec_load", libc::SYS_kexec_load, "0, 0, 0, 0", EPERM),
    ("reboot", libc::SYS_reboot, "0, 0, 0, 0", EPERM),
    ("syslog", libc::SYS_syslog, "3, 0, 0", EPERM),
    ("settimeofday", libc::SYS_settimeofday, "0, 0", EPERM),
    ("quotactl", libc::SYS_quotactl, "0, 0, 0, 0", EPERM),
    ("fanotify", libc::SYS_fanotify_init, "0, 0", EPERM),
    ("personality", libc::SYS_personality, "0x0400000", EPERM),
    ("a vsock", libc::SYS_socket, "40, 1, 0", EAFNOSUPPORT),
    ("a packet socket", libc::SYS_socket, "17, 3, 0", EAFNOSUPPORT),
    ("a netfilter socket", libc::SYS_socket, "16, 3, 12", EAFNOSUPPORT),
    ("a raw socket", libc::SYS_socket, "2, 3, 1", EPERM),
    ("a raw socket of any protocol", libc::SYS_socket, "2, 3, 255", EPROTONOSUPPORT),
    ("an SCTP socket", libc::SYS_socket, "2, 1, 132", EPROTONOSUPPORT),
    ("a UDP-Lite socket", libc::SYS_socket, "10, 2, 136", EPROTONOSUPPORT),
    ("a multipath TCP socket", libc::SYS_socket, "2, 1, 262", EPROTONOSUPPORT),
    ("a pair of TIPC sockets", libc::SYS_socketpair, r#"30, 5, 0, "12345678""#, EAFNOSUPPORT),
    ("a line discipline", libc::SYS_ioctl, r#"0, 0x5423, "1234""#, EPERM),
    ("input for a terminal", libc::SYS_ioctl, r#"0, 0x5412, "1""#, EPERM),
    ("asynchronous input and output", libc::SYS_io_setup, r#"1, "12345678""#, ENOSYS),
    ("a call of tomorrow", 999, "0", ENOSYS),
];

#[tokio::test(flavor = "multi_thread")]
async fn system_calls_that_lead_out_are_refused() {
    let fixture = Fixture::start().await;
    let sandbox = fixture.up(spec()).await;
    for (what, call, arguments, errno) in CALLS {
        sandbox.call_must_fail(what, *call, arguments, &[*errno]);
    }
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clone3_makes_processes_but_no_namespaces() {
    let fixture = Fixture::start().await;
    let sandbox = fixture.up(spec()).await;
    for (what, flag, errnos) in [
        ("user", 0x1000_0000_u64, &[ENOSPC, EPERM][..]),
        ("user and mount", 0x1002_0000, &[ENOSPC, EPERM]),
        ("mount", 0x2_0000, &[EPERM]),
        ("network", 0x4000_0000, &[EPERM]),
        ("time", 0x80, &[EPERM]),
    ] {
        let script = format!(
            "$a = pack(\"Q11\", {flag}, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0); \
             $r = syscall({}, $a, 88); exit 0 if $r == 0 && $$ != 1; print $r < 0 ? $! + 0 : \"made\"",
            libc::SYS_clone3
        );
        let said = sandbox.must(&format!("perl -e '{script}'"));
        assert!(
            said.trim()
                .parse()
                .is_ok_and(|errno| errnos.contains(&errno)),
            "{what}: {said}"
        );
    }
    sandbox.must_fail("echo 100 > /proc/sys/user/max_user_namespaces");
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_host_and_its_kernel_are_out_of_reach() {
    let fixture = Fixture::start().await;
    let sandbox = fixture.up(spec()).await;
    for command in [
        "mknod /tmp/disk b 254 0",
        "mknod /dev/mem2 c 1 1",
        "cat /dev/vda",
        "cat /proc/kcore | head -c1 | grep .",
        "cat /proc/kmsg | head -c1 | grep .",
        "grep . /proc/keys",
        "grep . /proc/cmdline",
        "grep . /proc/diskstats",
        "grep . /proc/partitions",
        "cat /sys/block/loop*/loop/backing_file",
        "ls /sys/devices/virtual/block | grep .",
        "ls /sys/fs/btrfs | grep .",
        "echo 1 > /proc/sys/kernel/core_pattern",
        "echo b > /proc/sysrq-trigger",
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        "echo 1 > /proc/sys/vm/drop_caches",
        "echo -1000 > /proc/1/oom_score_adj",
        "echo x > /sys/kernel/uevent_helper",
        "echo x > /sys/fs/cgroup/../uevent_helper",
        "mkdir /sys/fs/cgroup/../x",
        "ls /sys/firmware | grep .",
        "echo x > /.sebring/toolbox",
        "rm /.sebring/toolbox",
        "echo x > /.sebring/x",
        "echo x > /proc/1/exe",
        "cat /proc/1/root/../../var/lib/sebring",
        "hostname other",
        "date -s 2020-01-01",
        "nice -n -5 true 2>&1 | grep -v . ",
        "chroot /proc/1/cwd/.. ls /var/tmp/sebring-test-*",
        "swapoff -a && false",
    ] {
        sandbox.must_fail(command);
    }
    // The log is open in PID 1 but is the host's file.
    sandbox.must_fail("cat /proc/1/fd/1");
    fixture.close().await;
}

/// What the mount table shows of the host is listed in docs/threat-model.md.
#[tokio::test(flavor = "multi_thread")]
async fn the_mount_table_names_no_place_of_the_host() {
    let fixture = Fixture::start().await;
    let sandbox = fixture.up(spec()).await;
    let shown = sandbox.must("cat /proc/mounts /proc/self/mountinfo");
    for place in [&fixture.dirs.place.data_dir, &fixture.dirs.place.run_dir] {
        let place = place.display().to_string();
        assert!(!shown.contains(&place), "{place} in {shown}");
    }
    let id = sandbox.id.to_string();
    assert!(!shown.contains(&id), "its folder in the pool: {shown}");
    let of_the_pool: Vec<&str> = shown
        .lines()
        .filter(|line| line.contains(" btrfs "))
        .collect();
    assert_eq!(of_the_pool.len(), 2, "the executable, in both: {shown}");
    for line in of_the_pool {
        assert!(line.contains("/.sebring/toolbox"), "{line}");
    }
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_sees_and_signals_only_its_own_processes_and_groups() {
    let fixture = Fixture::start().await;
    let (one, other) = (fixture.up(spec()).await, fixture.up(spec()).await);
    let other_pid = common::eventually("the other's process shows on the host", || {
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .find_map(|entry| {
                let groups = std::fs::read_to_string(entry.path().join("cgroup")).ok()?;
                groups
                    .contains(&other.id.to_string())
                    .then(|| entry.file_name())
            })
    })
    .await;
    let pid = other_pid.to_str().unwrap();
    one.must_fail(&format!("kill -0 {pid}"));
    one.call_must_fail(
        "ptrace",
        libc::SYS_ptrace,
        &format!("16, {pid}, 0, 0"),
        &[EPERM, libc::ESRCH],
    );
    let seen = one.must("ls /proc | grep -c '^[0-9]'");
    assert!(seen.trim().parse::<u32>().unwrap() < 8, "{seen}");

    // Its own group is the root of what it sees, with nothing above.
    assert!(
        one.must("cat /proc/self/cgroup")
            .lines()
            .all(|line| line.ends_with(":/"))
    );
    one.must("mkdir /sys/fs/cgroup/mine && echo $$ > /sys/fs/cgroup/mine/cgroup.procs");
    one.must_fail("echo 1 > /sys/fs/cgroup/cgroup.freeze");
    one.must_fail("echo max > /sys/fs/cgroup/memory.max");
    let same_ids = |sandbox: &Sandbox| sandbox.must("cat /proc/self/uid_map");
    assert_ne!(same_ids(&one), same_ids(&other));
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sandbox_root_has_few_capabilities_and_no_way_to_more() {
    let fixture = Fixture::start().await;
    let sandbox = fixture.up(spec()).await;
    let status = sandbox.must("cat /proc/self/status");
    for (name, value) in [
        ("CapEff", "00000000800405fb"),
        ("CapBnd", "00000000800405fb"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        let line = format!("{name}:\t{value}");
        assert!(status.contains(&line), "{line} not in {status}");
    }
    let open = sandbox.must("ls -l /proc/self/fd | grep -c pool.img; true");
    assert_eq!(open.trim(), "0");
    assert_eq!(sandbox.must("ulimit -c").trim(), "0");
    fixture.close().await;
}

/// Takes all it can get of what the kernel counts per user or for the whole host, and keeps it.
const TAKE_EVERYTHING: &str = r#"perl -e '
    if (fork) { exit } close STDOUT; close STDERR;
    $n++ while syscall(253) >= 0;
    $room = "x" x (7 << 20); $locked = syscall(149, unpack("Q", pack("P", $room)), 7 << 20);
    $p++ while open($pty[$p], "+<", "/dev/ptmx");
    open $f, ">", "/tmp/taken.new"; print $f "$n $locked $p"; close $f;
    rename "/tmp/taken.new", "/tmp/taken"; sleep 1000'"#;
/// The same, one of each.
const TAKE_ONE: &str = r#"perl -e '
    syscall(253) >= 0 or die "inotify $!";
    $room = "x" x (7 << 20); syscall(149, unpack("Q", pack("P", $room)), 7 << 20) == 0 or die "mlock $!";
    open($pty, "+<", "/dev/ptmx") or die "pty $!"'"#;

#[tokio::test(flavor = "multi_thread")]
async fn one_sandbox_cannot_use_up_the_kernels_tables_for_others() {
    let fixture = Fixture::start().await;
    let (greedy, other) = (fixture.up(spec()).await, fixture.up(spec()).await);
    greedy.must(TAKE_EVERYTHING);
    let taken = common::eventually("it has all", || {
        let (code, said) = greedy.sh("cat /tmp/taken");
        (code == 0 && !said.is_empty()).then_some(said)
    })
    .await;
    let numbers: Vec<i64> = taken.split(' ').map(|n| n.parse().unwrap()).collect();
    assert!(
        numbers[0] > 0 && numbers[1] == 0 && numbers[2] > 0,
        "{taken}"
    );
    assert!(numbers[2] <= 256, "terminals: {taken}");
    greedy.must_fail(TAKE_ONE);
    other.must(TAKE_ONE);
    let watcher = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC);
    assert!(watcher.is_ok(), "the host's root has its own");
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_users_of_the_host_can_read_nothing_of_a_sandbox() {
    use std::os::unix::fs::MetadataExt;
    let fixture = Fixture::start().await;
    let _sandbox = fixture.up(spec()).await;
    let data_dir = &fixture.dirs.place.data_dir;
    for (name, what) in [
        ("pool.img", "every file of every sandbox"),
        ("sandboxes", "environments"),
        ("pool/sandboxes", "disks"),
        ("pool/snapshots", "environments"),
    ] {
        let mode = std::fs::metadata(data_dir.join(name)).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{name} ({what}) has mode {mode:o}");
    }
    fixture.close().await;
}
