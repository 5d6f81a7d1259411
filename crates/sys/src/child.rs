//! Starting processes quickly and exactly.
//!
//! The child shares our memory until it has executed its program (`CLONE_VM | CLONE_VFORK`): no
//! page tables are copied, and what went wrong on the way is left in a variable instead of being
//! sent through a pipe. Measured against a plain fork of the same small process it saves about
//! half of the time until `exec`. In return the code between clone and exec must not allocate,
//! lock, log or unwind; everything it needs is prepared by the parent.
//!
//! Where `clone3` works the child is born in its cgroup: joining one later makes the kernel wait
//! for a grace period, some 6 ms on an idle host. Where it does not (a seccomp filter cannot look
//! into its arguments, so some answer `ENOSYS`) the plain `clone` is used and the cgroup is left
//! alone.
//!
//! Must not: choose identities, shells or directories. Next: `creds`.

use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Gid, Pid, Uid};

use crate::creds::Credentials;
use crate::fs::above_stdio;

/// Enough for a dozen system calls; the kernel needs none of it.
const STACK_BYTES: usize = 64 * 1024;
const STACK_WORDS: usize = STACK_BYTES / size_of::<u128>();

/// Once `clone3` was refused it is not asked again.
static CLONE3_REFUSED: AtomicBool = AtomicBool::new(false);

/// A process to be. All of it is read by the child before it executes the program.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// Paths to try in order; one that is missing or not executable makes way for the next.
    pub programs: &'a [CString],
    pub argv: &'a [CString],
    pub env: &'a [CString],
    pub cwd: &'a CStr,
    pub stdio: [BorrowedFd<'a>; 3],
    /// `None` keeps our own.
    pub credentials: Option<&'a Credentials>,
    /// Directory of the cgroup v2 to be born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Standard input becomes the terminal that controls the new session.
    pub controlling_terminal: bool,
    /// How readily the kernel shall choose it when memory is out; children before us.
    pub oom_score_adj: Option<&'a CStr>,
}

/// A process that now runs its program.
#[derive(Clone, Copy, Debug)]
pub struct Spawned {
    pub pid: Pid,
    /// Whether it was born in the cgroup asked for.
    pub in_cgroup: bool,
}

/// Where a child got stuck before its program ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Session,
    Terminal,
    Stdio,
    Identity,
    Directory,
    Execute,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no new process")]
    Clone(#[source] io::Error),
    #[error("child stuck at {step:?}")]
    Child {
        step: Step,
        #[source]
        source: io::Error,
    },
}

/// What parent and child share while the child has not executed yet.
struct Plan<'a> {
    spawn: &'a Spawn<'a>,
    stdio: [&'a OwnedFd; 3],
    gids: Vec<Gid>,
    programs: Vec<*const c_char>,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    reset_handlers: bool,
    outcome: Option<(Step, rustix::io::Errno)>,
}

/// Starts a process in a session of its own, with default signals and umask 022.
///
/// Returns when its program has been executed. The caller must reap it.
///
/// # Errors
/// [`Error::Child`] when it got stuck before its program; such a child is reaped here.
pub fn spawn(spawn: &Spawn<'_>) -> Result<Spawned, Error> {
    let [stdin, stdout, stderr] = spawn.stdio;
    let stdin = above_stdio(stdin).map_err(Error::Clone)?;
    let stdout = above_stdio(stdout).map_err(Error::Clone)?;
    let stderr = above_stdio(stderr).map_err(Error::Clone)?;
    let mut plan = Plan {
        spawn,
        stdio: [&stdin, &stdout, &stderr],
        gids: spawn.credentials.map(Credentials::gids).unwrap_or_default(),
        programs: spawn.programs.iter().map(|path| path.as_ptr()).collect(),
        argv: null_terminated(spawn.argv),
        env: null_terminated(spawn.env),
        reset_handlers: false,
        outcome: None,
    };
    let blocked = SignalsBlocked::all();
    let cloned = clone_child(&mut plan);
    drop(blocked);
    let spawned = cloned.map_err(Error::Clone)?;
    match plan.outcome {
        None => Ok(spawned),
        Some((step, errno)) => {
            let _status =
                rustix::process::waitpid(Some(spawned.pid), rustix::process::WaitOptions::empty());
            Err(Error::Child {
                step,
                source: errno.into(),
            })
        }
    }
}

fn null_terminated(strings: &[CString]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|text| text.as_ptr())
        .chain([ptr::null()])
        .collect()
}

/// Arguments of `clone3`, as the kernel reads them.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_VM: u64 = 0x100;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn clone_child(plan: &mut Plan<'_>) -> io::Result<Spawned> {
    let mut stack: Vec<u128> = Vec::with_capacity(STACK_WORDS);
    let bottom = stack.as_mut_ptr();
    if !CLONE3_REFUSED.load(Ordering::Relaxed) {
        match clone3_child(plan, bottom as u64) {
            Err(refused) if refused.raw_os_error() == Some(libc::ENOSYS) => {
                CLONE3_REFUSED.store(true, Ordering::Relaxed);
            }
            other => return other,
        }
    }
    plan.reset_handlers = true;
    let flags = CLONE_VM | CLONE_VFORK | u64::from(libc::SIGCHLD.cast_unsigned());
    let top = bottom as u64 + STACK_BYTES as u64;
    // SAFETY: the stack outlives the child's use of it because the parent sleeps (CLONE_VFORK)
    // until the child has executed or exited; `plan` likewise; `child_main` never returns.
    let result = unsafe { clone_onto(libc::SYS_clone, flags, top, ptr::from_mut(plan).cast()) };
    Ok(Spawned {
        pid: pid_of(result)?,
        in_cgroup: false,
    })
}

fn clone3_child(plan: &mut Plan<'_>, bottom: u64) -> io::Result<Spawned> {
    let mut args = CloneArgs {
        flags: CLONE_VM | CLONE_VFORK | CLONE_CLEAR_SIGHAND,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        stack: bottom,
        stack_size: STACK_BYTES as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = plan.spawn.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    let at = ptr::from_mut(&mut args) as u64;
    let size = size_of::<CloneArgs>() as u64;
    // SAFETY: as in `clone_child`; `args` is a valid clone_args of the size given.
    let result = unsafe { clone_onto(libc::SYS_clone3, at, size, ptr::from_mut(plan).cast()) };
    Ok(Spawned {
        pid: pid_of(result)?,
        in_cgroup: plan.spawn.cgroup.is_some(),
    })
}

fn pid_of(result: i64) -> io::Result<Pid> {
    let raw = i32::try_from(result).map_err(io::Error::other)?;
    if raw < 0 {
        return Err(io::Error::from_raw_os_error(-raw));
    }
    Pid::from_raw(raw).ok_or_else(|| io::Error::other("the child has no pid"))
}

/// Issues a clone system call; the child continues in [`child_main`] on its new stack.
///
/// # Safety
/// The arguments must describe a `CLONE_VM | CLONE_VFORK` child with a stack of its own, and
/// `plan` must point to a [`Plan`] that lives until the call returns.
#[cfg(target_arch = "x86_64")]
unsafe fn clone_onto(call: i64, first: u64, second: u64, plan: *mut libc::c_void) -> i64 {
    let result: i64;
    // SAFETY: the child must not return into this frame: it calls `child_main`, which never does.
    // The parent sees an ordinary system call that clobbers rcx and r11.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, {plan}",
            "and rsp, -16",
            "call {entry}",
            "ud2",
            "2:",
            plan = in(reg) plan,
            entry = in(reg) child_main as extern "C" fn(*mut libc::c_void) -> !,
            inlateout("rax") call => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") 0_u64,
            in("r10") 0_u64,
            in("r8") 0_u64,
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

/// As for x86-64.
///
/// # Safety
/// As for x86-64.
#[cfg(target_arch = "aarch64")]
unsafe fn clone_onto(call: i64, first: u64, second: u64, plan: *mut libc::c_void) -> i64 {
    let result: i64;
    // SAFETY: as for x86-64; the call clobbers nothing but x0.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, {plan}",
            "blr {entry}",
            "brk 1",
            "2:",
            plan = in(reg) plan,
            entry = in(reg) child_main as extern "C" fn(*mut libc::c_void) -> !,
            in("x8") call,
            inlateout("x0") first => result,
            in("x1") second,
            in("x2") 0_u64,
            in("x3") 0_u64,
            in("x4") 0_u64,
            out("x30") _,
        );
    }
    result
}

/// The child's whole life before its program. Runs on borrowed memory: see the module's header.
extern "C" fn child_main(plan: *mut libc::c_void) -> ! {
    // SAFETY: `clone_onto` was given a live plan, and the parent sleeps while we use it.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    if let Err(stuck) = prepare_and_execute(plan) {
        plan.outcome = Some(stuck);
    }
    // SAFETY: ends only this process, without running handlers that belong to the parent.
    unsafe { libc::_exit(127) }
}

fn prepare_and_execute(plan: &Plan<'_>) -> Result<(), (Step, rustix::io::Errno)> {
    let at = |step| move |errno| (step, errno);
    rustix::process::setsid().map_err(at(Step::Session))?;
    rustix::stdio::dup2_stdin(plan.stdio[0]).map_err(at(Step::Stdio))?;
    rustix::stdio::dup2_stdout(plan.stdio[1]).map_err(at(Step::Stdio))?;
    rustix::stdio::dup2_stderr(plan.stdio[2]).map_err(at(Step::Stdio))?;
    if plan.spawn.controlling_terminal {
        rustix::process::ioctl_tiocsctty(plan.stdio[0]).map_err(at(Step::Terminal))?;
    }
    if let Some(adjustment) = plan.spawn.oom_score_adj {
        // Best effort: a /proc that is hidden or read-only must not keep commands from running.
        let _written = rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY, Mode::empty())
            .and_then(|file| rustix::io::write(&file, adjustment.to_bytes()));
    }
    if let Some(credentials) = plan.spawn.credentials {
        become_user(credentials, &plan.gids).map_err(at(Step::Identity))?;
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::process::chdir(plan.spawn.cwd).map_err(at(Step::Directory))?;
    default_signals(plan.reset_handlers);
    Err((Step::Execute, execute(plan)))
}

fn become_user(who: &Credentials, gids: &[Gid]) -> rustix::io::Result<()> {
    let (uid, gid): (Uid, Gid) = who.uid_gid();
    rustix::thread::set_thread_groups(gids)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

/// Handlers are gone after exec anyway, but ignored signals stay ignored (ours: SIGPIPE), and a
/// handler of the parent must not run here once signals are let in again.
fn default_signals(reset_handlers: bool) {
    let last = if reset_handlers { 64 } else { 0 };
    for signal in (1..=last).chain([libc::SIGPIPE]) {
        // SAFETY: setting the default action needs no handler; refused numbers are of no interest.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    set_mask(&signal_set(false), None);
}

fn execute(plan: &Plan<'_>) -> rustix::io::Errno {
    let mut last = rustix::io::Errno::NOENT;
    for program in &plan.programs {
        // SAFETY: all three are NUL-terminated and live; the call returns only when it failed.
        unsafe { libc::execve(*program, plan.argv.as_ptr(), plan.env.as_ptr()) };
        let errno = errno();
        if errno != rustix::io::Errno::NOENT && errno != rustix::io::Errno::NOTDIR {
            last = errno;
            if errno != rustix::io::Errno::ACCESS {
                break;
            }
        }
    }
    last
}

fn errno() -> rustix::io::Errno {
    let raw = io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EINVAL);
    rustix::io::Errno::from_raw_os_error(raw)
}

fn signal_set(full: bool) -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    if full {
        // SAFETY: the pointer is valid for a signal set.
        unsafe { libc::sigfillset(set.as_mut_ptr()) };
    }
    // SAFETY: all zeroes is the empty set, and `sigfillset` initialises the other.
    unsafe { set.assume_init() }
}

fn set_mask(to: &libc::sigset_t, before: Option<&mut libc::sigset_t>) {
    let before = before.map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: both pointers are null or point to live signal sets.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, to, before) };
}

/// No signal is delivered to this thread while this lives: a handler that ran in a child which
/// shares our memory would run twice.
struct SignalsBlocked {
    before: libc::sigset_t,
}

impl SignalsBlocked {
    fn all() -> Self {
        let mut before = signal_set(false);
        set_mask(&signal_set(true), Some(&mut before));
        Self { before }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        set_mask(&self.before, None);
    }
}

/// Keeps every descriptor but the standard three from processes started later, also those that
/// this process was started with by accident.
///
/// # Errors
/// On kernels before 5.11.
pub fn keep_descriptors() -> io::Result<()> {
    let (first, last) = (3, libc::c_uint::MAX);
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: only sets a flag on descriptors of this process.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Signals every process we may signal except ourselves. As PID 1: the whole sandbox.
///
/// # Errors
/// `ESRCH` when there is none.
pub fn signal_everyone(signal: rustix::process::Signal) -> io::Result<()> {
    // SAFETY: takes two integers.
    if unsafe { libc::kill(-1, signal.as_raw()) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use rustix::process::{WaitOptions, waitpid};

    use super::*;

    fn c(text: &str) -> CString {
        CString::new(text).unwrap()
    }

    fn run(
        script: &str,
        credentials: Option<&Credentials>,
        cwd: &CStr,
    ) -> Result<(i32, String), Error> {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let spawned = spawn(&Spawn {
            programs: &[c("/nowhere/sh"), c("/bin/sh")],
            argv: &[c("sh"), c("-c"), c(script)],
            env: &[c("PATH=/usr/bin:/bin"), c("GREETING=hello")],
            cwd,
            stdio: [null.as_fd(), writer.as_fd(), writer.as_fd()],
            credentials,
            cgroup: None,
            controlling_terminal: false,
            oom_score_adj: Some(c"500"),
        })?;
        drop(writer);
        let mut output = String::new();
        reader.read_to_string(&mut output).unwrap();
        let (_, status) = waitpid(Some(spawned.pid), WaitOptions::empty())
            .unwrap()
            .unwrap();
        Ok((status.exit_status().unwrap_or(-1), output))
    }

    #[test]
    fn a_child_gets_its_environment_directory_and_a_session_of_its_own() {
        let script = "echo $GREETING; pwd; umask; cat /proc/self/oom_score_adj; \
            read -r pid _ _ _ _ session _ < /proc/self/stat; test $$ = $session; exit $?";
        let (code, output) = run(script, None, c"/usr").unwrap();
        assert_eq!(output, "hello\n/usr\n0022\n500\n");
        assert_eq!(code, 0);
    }

    #[test]
    fn a_child_blocks_no_signal_and_does_not_ignore_sigpipe_as_we_do() {
        let (_, output) = run("grep -E 'Sig(Blk|Ign)' /proc/self/status", None, c"/").unwrap();
        let numbers: Vec<u64> = output
            .split_whitespace()
            .filter_map(|word| u64::from_str_radix(word, 16).ok())
            .collect();
        assert_eq!(numbers[0], 0, "{output}");
        assert_eq!(numbers[1] & (1 << (libc::SIGPIPE - 1)), 0, "{output}");
    }

    #[test]
    fn a_child_is_who_it_was_told_to_be() {
        let who = Credentials {
            uid: 4242,
            gid: 4243,
            groups: vec![4244],
        };
        let (_, output) = run("id -u; id -g; id -G", Some(&who), c"/").unwrap();
        assert_eq!(output, "4242\n4243\n4243 4244\n");
    }

    #[test]
    fn a_missing_directory_is_reported_as_such() {
        let Err(Error::Child { step, source }) = run("true", None, c"/no/such/place") else {
            panic!("it ran");
        };
        assert_eq!(step, Step::Directory);
        assert_eq!(source.raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn the_plain_clone_does_the_same_as_clone3() {
        CLONE3_REFUSED.store(true, Ordering::Relaxed);
        let (code, output) = run("echo $GREETING; exit 7", None, c"/").unwrap();
        CLONE3_REFUSED.store(false, Ordering::Relaxed);
        assert_eq!((code, output.as_str()), (7, "hello\n"));
    }
}
