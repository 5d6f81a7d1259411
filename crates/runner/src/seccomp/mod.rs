//! Which system calls a sandbox may make, and why not the others.
//!
//! Everything the kernel knows today is allowed but for the table below; whatever is newer than
//! this table does not exist (`ENOSYS`, so that libraries fall back). Most refusals repeat what
//! missing capabilities refuse already: the point is to keep the code behind them out of reach.
//!
//! Must not: be the only wall for anything. Next: `assemble` turns the table into a program.

mod assemble;

use sebring_sys::seccomp::Instruction;

use assemble::{Action, Check, Range};

/// The filter, ready to be installed. Pure: the same on every call.
pub(crate) fn program() -> Vec<Instruction> {
    assemble::assemble(&ranges())
}

/// Highest number known when this was written (Linux 6.17, `file_setattr`). The numbers above
/// 423 are the same on every architecture.
const KNOWN_MAX: u32 = 469;
/// Numbers between the old, per-architecture ones and the common ones do not exist.
#[cfg(target_arch = "x86_64")]
const HOLE: (u32, u32) = (335, 424);
#[cfg(target_arch = "aarch64")]
const HOLE: (u32, u32) = (295, 424);

const REFUSE: Action = Action::Refuse(libc_errno::EPERM);
const UNKNOWN: Action = Action::Refuse(libc_errno::ENOSYS);

mod libc_errno {
    pub(super) const EPERM: u16 = 1;
    pub(super) const ENOSYS: u16 = 38;
    pub(super) const EPROTONOSUPPORT: u16 = 93;
    pub(super) const EAFNOSUPPORT: u16 = 97;
}

/// Number, what happens, why.
type Entry = (i64, Action, &'static str);

#[rustfmt::skip]
const TABLE: &[Entry] = &[
    (libc::SYS_clone, Action::Check(Check::CloneFlags), "namespaces bring capabilities over kernel code that expects the host's root"),
    (libc::SYS_unshare, REFUSE, "the same as clone's flags"),
    (libc::SYS_setns, REFUSE, "another namespace is another sandbox or the host"),
    (libc::SYS_mount, REFUSE, "what is mounted is the runner's choice"),
    (libc::SYS_umount2, REFUSE, "uncovers masked files"),
    (libc::SYS_pivot_root, REFUSE, "changes what masks cover"),
    (libc::SYS_open_tree, REFUSE, "mounts by descriptor"),
    (libc::SYS_move_mount, REFUSE, "mounts by descriptor"),
    (libc::SYS_fsopen, REFUSE, "file system parsers are a favourite way into the kernel"),
    (libc::SYS_fsconfig, REFUSE, "as fsopen"),
    (libc::SYS_fsmount, REFUSE, "as fsopen"),
    (libc::SYS_fspick, REFUSE, "as fsopen"),
    (libc::SYS_mount_setattr, REFUSE, "would make read-only mounts writable"),
    (OPEN_TREE_ATTR, REFUSE, "open_tree and mount_setattr in one"),
    (libc::SYS_keyctl, REFUSE, "keyrings are not in any namespace of ours"),
    (libc::SYS_add_key, REFUSE, "as keyctl"),
    (libc::SYS_request_key, REFUSE, "runs a helper of the host"),
    (libc::SYS_bpf, REFUSE, "programs in the kernel"),
    (libc::SYS_userfaultfd, REFUSE, "stops the kernel in the middle of a copy; the core of many exploits"),
    (libc::SYS_io_uring_setup, REFUSE, "a second system call table that this filter does not see"),
    (libc::SYS_io_uring_enter, REFUSE, "as io_uring_setup"),
    (libc::SYS_io_uring_register, REFUSE, "as io_uring_setup"),
    (libc::SYS_perf_event_open, REFUSE, "measures the host and other sandboxes"),
    (libc::SYS_kexec_load, REFUSE, "another kernel"),
    (libc::SYS_kexec_file_load, REFUSE, "another kernel"),
    (libc::SYS_init_module, REFUSE, "code in the kernel"),
    (libc::SYS_finit_module, REFUSE, "code in the kernel"),
    (libc::SYS_delete_module, REFUSE, "code out of the kernel"),
    (libc::SYS_open_by_handle_at, REFUSE, "opens any file of a file system by number, past every mount"),
    (libc::SYS_quotactl, REFUSE, "the disk limit is the runner's"),
    (libc::SYS_quotactl_fd, REFUSE, "as quotactl"),
    (libc::SYS_fanotify_init, REFUSE, "watches file systems that others share"),
    (libc::SYS_fanotify_mark, REFUSE, "as fanotify_init"),
    (libc::SYS_syslog, REFUSE, "messages of the host's kernel"),
    (libc::SYS_reboot, REFUSE, "stopping a sandbox is done through the API"),
    (libc::SYS_swapon, REFUSE, "the host's memory"),
    (libc::SYS_swapoff, REFUSE, "the host's memory"),
    (libc::SYS_settimeofday, REFUSE, "one clock for all"),
    (libc::SYS_clock_settime, REFUSE, "one clock for all"),
    (libc::SYS_clock_adjtime, REFUSE, "one clock for all"),
    (libc::SYS_adjtimex, REFUSE, "one clock for all"),
    (libc::SYS_acct, REFUSE, "writes a record of every process of the host"),
    (libc::SYS_vhangup, REFUSE, "needs no sandbox"),
    (libc::SYS_lookup_dcookie, REFUSE, "profiling of the host"),
    (libc::SYS_nfsservctl, REFUSE, "gone from the kernel, kept off"),
    (libc::SYS_mbind, REFUSE, "memory placement is the host's"),
    (libc::SYS_set_mempolicy, REFUSE, "memory placement is the host's"),
    (libc::SYS_migrate_pages, REFUSE, "memory placement is the host's"),
    (libc::SYS_move_pages, REFUSE, "memory placement is the host's"),
    (libc::SYS_set_mempolicy_home_node, REFUSE, "memory placement is the host's"),
    (libc::SYS_pidfd_getfd, REFUSE, "takes descriptors out of the toolbox"),
    (libc::SYS_personality, Action::Check(Check::Personality), "old personalities switch protections off"),
    (libc::SYS_io_setup, UNKNOWN, "contexts are counted for the whole host: one sandbox could use up everybody's"),
    (libc::SYS_socket, Action::Check(Check::Socket), "families without a namespace, such as vsock, reach the host; rare ones are loaded on demand"),
    (libc::SYS_socketpair, Action::Check(Check::SocketPair), "makes sockets of any family, as socket does"),
    (libc::SYS_ioctl, Action::Check(Check::Ioctl), "pushing input into a terminal acts as whoever reads it next; line disciplines are drivers"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_iopl, REFUSE, "hardware"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_ioperm, REFUSE, "hardware"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_modify_ldt, REFUSE, "16-bit segments, a source of exploits, wanted by nobody"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_uselib, REFUSE, "gone from C libraries for decades"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_ustat, REFUSE, "statistics of the host's file systems"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_sysfs, REFUSE, "lists the kernel's file systems"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS__sysctl, UNKNOWN, "gone from the kernel"),
];

/// Not in libc yet.
const OPEN_TREE_ATTR: i64 = 467;

/// The table as ranges that cover every number once, in order.
fn ranges() -> Vec<Range> {
    let mut special: Vec<(u32, Action)> = TABLE
        .iter()
        .map(|(number, action, _)| (u32::try_from(*number).unwrap_or(u32::MAX), *action))
        .collect();
    special.sort_by_key(|(number, _)| *number);
    let mut ranges = vec![Range {
        start: 0,
        action: Action::Allow,
    }];
    for (number, action) in special {
        push(&mut ranges, number, action);
        push(&mut ranges, number + 1, Action::Allow);
    }
    let hole = |range: &Range| (HOLE.0..HOLE.1).contains(&range.start);
    ranges.retain(|range| !hole(range) && range.start <= KNOWN_MAX);
    push(&mut ranges, HOLE.0, UNKNOWN);
    if !ranges.iter().any(|range| range.start == HOLE.1) {
        push(&mut ranges, HOLE.1, Action::Allow);
    }
    push(&mut ranges, KNOWN_MAX + 1, UNKNOWN);
    ranges.sort_by_key(|range| range.start);
    ranges.dedup_by(|later, earlier| later.action == earlier.action);
    ranges
}

/// From `start` on, `action` holds. A range that would be empty is replaced.
fn push(ranges: &mut Vec<Range>, start: u32, action: Action) {
    ranges.retain(|range| range.start != start);
    ranges.push(Range { start, action });
}

#[cfg(test)]
mod tests {
    use super::assemble::{Data, Verdict, run};
    use super::*;

    fn verdict(number: i64, arguments: [u64; 6]) -> Verdict {
        run(
            &program(),
            &Data::native(u32::try_from(number).unwrap(), arguments),
        )
    }

    #[test]
    fn every_entry_of_the_table_is_decided_by_its_action() {
        for (number, action, why) in TABLE {
            let expected = match action {
                Action::Refuse(errno) => Verdict::Errno(*errno),
                Action::Allow | Action::Check(_) => continue,
            };
            assert_eq!(verdict(*number, [0; 6]), expected, "{number}: {why}");
        }
    }

    #[test]
    fn ordinary_calls_are_allowed() {
        for number in [
            libc::SYS_read,
            libc::SYS_openat,
            libc::SYS_execve,
            libc::SYS_clone3,
            libc::SYS_ptrace,
            libc::SYS_chroot,
            libc::SYS_memfd_create,
            libc::SYS_close_range,
            libc::SYS_faccessat2,
            libc::SYS_futex_waitv,
            libc::SYS_pidfd_open,
        ] {
            assert_eq!(verdict(number, [0; 6]), Verdict::Allow, "{number}");
        }
    }

    #[test]
    fn unknown_newer_and_foreign_calls_do_not_exist() {
        for number in [
            HOLE.0,
            HOLE.1 - 1,
            KNOWN_MAX + 1,
            1000,
            0x4000_0000,
            0x4000_0003,
            u32::MAX,
        ] {
            let data = Data::native(number, [0; 6]);
            assert_eq!(
                run(&program(), &data),
                Verdict::Errno(libc_errno::ENOSYS),
                "{number}"
            );
        }
        let mut foreign = Data::native(0, [0; 6]);
        foreign.architecture ^= 1;
        assert_eq!(run(&program(), &foreign), Verdict::Kill);
    }

    #[test]
    fn arguments_decide_where_a_call_is_both_needed_and_dangerous() {
        let refused = Verdict::Errno(libc_errno::EPERM);
        let new_user = 0x1000_0000;
        assert_eq!(
            verdict(libc::SYS_clone, [new_user | 17, 0, 0, 0, 0, 0]),
            refused
        );
        assert_eq!(
            verdict(libc::SYS_clone, [0x003d_0f00, 0, 0, 0, 0, 0]),
            Verdict::Allow
        );
        for family in [1, 2, 10] {
            assert_eq!(
                verdict(libc::SYS_socket, [family, 1, 0, 0, 0, 0]),
                Verdict::Allow
            );
        }
        assert_eq!(
            verdict(libc::SYS_socket, [16, 3, 0, 0, 0, 0]),
            Verdict::Allow
        );
        let unsupported = Verdict::Errno(libc_errno::EAFNOSUPPORT);
        for (family, protocol) in [(16, 12), (17, 0), (38, 0), (40, 0)] {
            assert_eq!(
                verdict(libc::SYS_socket, [family, 3, protocol, 0, 0, 0]),
                unsupported
            );
        }
        let unsupported_protocol = Verdict::Errno(libc_errno::EPROTONOSUPPORT);
        for (family, protocol) in [(2, 132), (2, 33), (10, 115), (2, 136), (10, 262), (2, 255)] {
            assert_eq!(
                verdict(libc::SYS_socket, [family, 1, protocol, 0, 0, 0]),
                unsupported_protocol
            );
        }
        for (family, protocol) in [(2, 6), (10, 17), (2, 1), (10, 58), (1, 1)] {
            assert_eq!(
                verdict(libc::SYS_socket, [family, 1, protocol, 0, 0, 0]),
                Verdict::Allow
            );
        }
        // Makes sockets of any family too, TIPC's (30) even usable ones.
        assert_eq!(
            verdict(libc::SYS_socketpair, [30, 5, 0, 0, 0, 0]),
            unsupported
        );
        assert_eq!(
            verdict(libc::SYS_socketpair, [1, 1, 0, 0, 0, 0]),
            Verdict::Allow
        );
        for request in [0x5412, 0x541c, 0x5423] {
            assert_eq!(verdict(libc::SYS_ioctl, [0, request, 0, 0, 0, 0]), refused);
        }
        // The kernel looks at 32 bits of the request; so must we.
        assert_eq!(
            verdict(libc::SYS_ioctl, [0, 0xffff_0000_0000_5412, 0, 0, 0, 0]),
            refused
        );
        assert_eq!(
            verdict(libc::SYS_ioctl, [0, 0x5413, 0, 0, 0, 0]),
            Verdict::Allow
        );
        assert_eq!(
            verdict(libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0, 0]),
            Verdict::Allow
        );
        assert_eq!(
            verdict(libc::SYS_personality, [0x0040_0000, 0, 0, 0, 0, 0]),
            refused
        );
    }

    #[test]
    fn the_program_is_short_and_every_call_takes_few_steps() {
        let program = program();
        assert!(program.len() < 400, "{} instructions", program.len());
        let longest = (0..KNOWN_MAX)
            .map(|number| assemble::steps(&program, &Data::native(number, [0; 6])))
            .max();
        assert!(longest <= Some(24), "{longest:?} steps");
    }
}
