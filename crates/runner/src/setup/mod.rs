//! From a fresh clone to the toolbox: what the first process of a sandbox does before exec.
//!
//! Runs as the host's root in new mount, process, IPC and host-name namespaces, in an ordinary
//! single-threaded process (see `sebring_sys::clone`), and gives everything up step by step. No
//! code of the image or the user has run yet, so order is a matter of need, not of trust:
//!
//! ```text
//! limits      join cgroups, own cgroup namespace, network namespace, processors
//! root        id-mapped layers and upper → overlay → pivot_root, host's tree detached
//! system      /proc /sys /dev /.sebring and the files bound over the image's
//! privileges  user namespace, nested namespaces forbidden, capabilities, no_new_privs, seccomp
//! exec        descriptors 0..=5, then the toolbox
//! ```
//!
//! Must not: trust any path inside the image before `pivot_root`; afterwards whatever a link
//! points at is the sandbox's own.
//! Next: `root`, `system`, `devices`, `privileges`.

mod devices;
mod privileges;
mod root;
mod system;

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::{CpuSet, LinkNameSpaceType};
use sebring_api::boot::TOOLBOX_PATH;
use sebring_sys::clone::SingleThreaded;

use crate::spawner::wire::Request;

/// All that the child was given.
#[derive(Debug)]
pub(crate) struct Birth<'a> {
    pub(crate) request: &'a Request,
    pub(crate) user: OwnedFd,
    pub(crate) network: OwnedFd,
    pub(crate) listener: OwnedFd,
    pub(crate) config: OwnedFd,
    pub(crate) log: OwnedFd,
}

/// The step that failed, by its name in this module.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) step: &'static str,
    pub(crate) source: io::Error,
}

/// Does it all. Returns only when something failed.
pub(crate) fn become_toolbox(proof: &SingleThreaded, birth: &Birth<'_>) -> Failure {
    match try_become_toolbox(proof, birth) {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

fn try_become_toolbox(
    proof: &SingleThreaded,
    birth: &Birth<'_>,
) -> Result<std::convert::Infallible, Failure> {
    let request = birth.request;
    let user = birth.user.as_fd();
    let step = Steps {
        fault: request.fault.as_deref(),
    };
    step.run("setup.signals", sebring_sys::signal::reset_for_exec)?;
    step.run("setup.limits", || join_limits(proof, birth))?;
    step.run("setup.mounts_private", || {
        let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        Ok(rustix::mount::mount_change("/", flags)?)
    })?;
    let toolbox = step.run("setup.toolbox", || {
        sebring_sys::mount::copy_executable(&request.toolbox)
    })?;
    let memory_group = step.run("setup.memory_group", || view_memory_group(request))?;
    let disk_use = step.run("setup.disk_use", || fs::File::open(&request.disk_use))?;
    step.run("setup.root", || root::enter(request, user))?;
    step.run("setup.own_directory", || {
        let memory_group = memory_group.as_ref().map(AsFd::as_fd);
        system::own_directory(request, toolbox.as_fd(), memory_group)
    })?;
    step.run("setup.devices", || devices::make(request))?;
    let settings = step.run("setup.proc", system::processes)?;
    step.run("setup.sys", system::devices_and_groups)?;
    step.run("setup.files", system::bind_files)?;
    step.run("setup.hostname", || {
        Ok(rustix::system::sethostname(request.hostname.as_bytes())?)
    })?;
    step.run("setup.user_namespace", || {
        privileges::enter_user_namespace(user)
    })?;
    step.run("setup.no_nesting", || {
        privileges::forbid_nested_namespaces(settings.as_fd())
    })?;
    step.run("setup.capabilities", privileges::drop_capabilities)?;
    step.run("setup.descriptors", || {
        arrange_descriptors(birth, &disk_use)
    })?;
    step.run("setup.seccomp", || {
        rustix::thread::set_no_new_privs(true)?;
        sebring_sys::seccomp::install(&crate::seccomp::program())
    })?;
    Err(Failure {
        step: "setup.exec",
        source: execute(),
    })
}

/// Names each step, so that a failure says which one it was and a test can choose one.
struct Steps<'a> {
    fault: Option<&'a str>,
}

impl Steps<'_> {
    fn run<T>(
        &self,
        step: &'static str,
        work: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, Failure> {
        if self.fault == Some(step) {
            let source = io::Error::from_raw_os_error(FAULT_ERRNO);
            return Err(Failure { step, source });
        }
        work().map_err(|source| Failure { step, source })
    }
}

fn join_limits(proof: &SingleThreaded, birth: &Birth<'_>) -> io::Result<()> {
    for file in &birth.request.join_files {
        fs::write(file, "0")?;
    }
    sebring_sys::clone::unshare_cgroup(proof)?;
    rustix::thread::move_into_link_name_space(
        birth.network.as_fd(),
        Some(LinkNameSpaceType::Network),
    )?;
    let mut processors = CpuSet::new();
    for &processor in &birth.request.processors {
        processors.set(usize::try_from(processor).unwrap_or(usize::MAX));
    }
    rustix::thread::sched_setaffinity(None, &processors)?;
    // A lower value than the host's own processes have would make those die first.
    fs::write("/proc/self/oom_score_adj", "0").or_else(ignore_permission)?;
    limit_resources()
}

/// A read-only view of what counts the sandbox's memory. It is above the sandbox's own group, or
/// in another hierarchy, so nothing that is mounted inside shows it.
fn view_memory_group(request: &Request) -> io::Result<Option<OwnedFd>> {
    use sebring_sys::mount::{Attributes, copy, set};
    let Some(group) = &request.memory_group else {
        return Ok(None);
    };
    let view = copy(group)?;
    let quiet = Attributes::NO_SUID
        .and(Attributes::NO_DEV)
        .and(Attributes::NO_EXEC);
    set(view.as_fd(), Attributes::READ_ONLY.and(quiet))?;
    Ok(Some(view))
}

/// Best effort: raising a hard limit needs a privilege that the runner may lack.
fn limit_resources() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for (resource, wanted) in [(Resource::Nofile, OPEN_FILES), (Resource::Core, 0)] {
        let hard = getrlimit(resource).maximum.unwrap_or(u64::MAX).min(wanted);
        setrlimit(
            resource,
            Rlimit {
                current: Some(hard),
                maximum: Some(hard),
            },
        )?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    Ok(())
}

fn arrange_descriptors(birth: &Birth<'_>, disk_use: &fs::File) -> io::Result<()> {
    let nothing = fs::File::open("/dev/null")?;
    sebring_sys::fds::arrange(&[
        nothing.as_fd(),
        birth.log.as_fd(),
        birth.log.as_fd(),
        birth.listener.as_fd(),
        birth.config.as_fd(),
        disk_use.as_fd(),
    ])
}

fn execute() -> io::Error {
    let program = CString::new(TOOLBOX_PATH).expect("no NUL in a constant");
    // No environment: what the toolbox shall know is in its configuration.
    sebring_sys::exec::exec(&program, std::slice::from_ref(&program), &[])
}

fn ignore_permission(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::PermissionDenied {
        Ok(())
    } else {
        Err(error)
    }
}

/// Makes `target` a real directory, whatever the image or an earlier life of the sandbox left.
fn ensure_dir(target: &Path) -> io::Result<()> {
    match fs::symlink_metadata(target) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => {
            fs::remove_file(target)?;
            fs::create_dir(target)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(target),
        Err(error) => Err(error),
    }
}

/// Mounts a fresh `kind` of file system. Never with set-uid programs, and with devices only where
/// `flags` are the caller's own choice.
fn mount_fresh(kind: &str, target: &Path, flags: MountFlags, options: &str) -> io::Result<()> {
    let options = CString::new(options).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(rustix::mount::mount(
        kind,
        target,
        kind,
        flags | MountFlags::NOSUID,
        options.as_c_str(),
    )?)
}

/// What distributions give a service; programs that close every possible descriptor one by one
/// take for ever with more.
const OPEN_FILES: u64 = 1 << 19;
/// Read in a report as "Operation canceled": nothing real answers with it here.
const FAULT_ERRNO: i32 = 125;
