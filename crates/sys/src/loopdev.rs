//! Loop devices: a file as a disk.
//!
//! Must not: mount, or remember devices; the kernel's table is the ledger.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Times that a free device may be snatched by someone else before we give up.
const ATTEMPTS_MAX: u32 = 64;

/// Attaches `backing` to a free device that goes away by itself with its last user, bypassing the
/// page cache of the backing file where that filesystem can.
///
/// The device must be mounted while the returned descriptor is open.
pub fn attach(backing: &File) -> io::Result<(PathBuf, File)> {
    let control = open(Path::new("/dev/loop-control"))?;
    for _ in 0..ATTEMPTS_MAX {
        // SAFETY: takes no argument and returns a number.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = open(&path)?;
        match configure(&device, backing, LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO) {
            Ok(()) => return Ok((path, device)),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                configure(&device, backing, LO_FLAGS_AUTOCLEAR)?;
                return Ok((path, device));
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from(io::ErrorKind::ResourceBusy))
}

/// Tells the device that its backing file has grown.
pub fn grow(device: &File) -> io::Result<()> {
    // SAFETY: takes no argument.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_CAPACITY) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn configure(device: &File, backing: &File, flags: u32) -> io::Result<()> {
    let config = LoopConfig {
        fd: backing.as_raw_fd().unsigned_abs(),
        block_size: 4096,
        info: LoopInfo {
            flags,
            ..LoopInfo::default()
        },
        reserved: [0; 8],
    };
    // SAFETY: `config` is a valid loop_config, read by the kernel during the call only.
    let answer = unsafe {
        libc::ioctl(
            device.as_raw_fd(),
            LOOP_CONFIGURE,
            std::ptr::from_ref(&config),
        )
    };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC)
        .open(path)
}

#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// `loop_info64` of the kernel's ABI.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl Default for LoopInfo {
    fn default() -> Self {
        Self {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: 0,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        }
    }
}

const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
const LOOP_SET_CAPACITY: libc::Ioctl = 0x4C07;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;
