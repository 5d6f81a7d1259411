//! From a sparse file to a mounted filesystem.
//!
//! Must not: touch a device that is not ours. A device is recognized by the inode of its backing
//! file, never by its number.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::MountFlags;
use sebring_sys::loopdev;

use super::Error;
use crate::exec;

/// Where btrfs keeps its magic: absent means the file was never formatted, or not to the end.
const MAGIC_OFFSET: u64 = 0x1_0040;
const MAGIC: &[u8; 8] = b"_BHRfS_M";
/// How long the kernel may take to put an earlier mount of the image away.
const LEAVING_WAIT: Duration = Duration::from_secs(5);

/// Whether something other than the parent's filesystem is mounted at `path`.
pub(super) fn is_mounted(path: &Path) -> Result<bool, Error> {
    let device = |path: &Path| {
        fs::metadata(path)
            .map(|meta| meta.dev())
            .map_err(|source| Error::Io {
                what: "look at",
                path: path.to_owned(),
                source,
            })
    };
    Ok(device(path)? != device(path.parent().unwrap_or_else(|| Path::new("/")))?)
}

/// Mounts the filesystem in `image` at `target`, making and growing the file as needed.
pub(super) fn mount_image(image: &Path, target: &Path, size_bytes: u64) -> Result<(), Error> {
    let failed = |what| {
        move |source| Error::Io {
            what,
            path: image.to_owned(),
            source,
        }
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(image)
        .map_err(failed("open"))?;
    // Every file of every sandbox is in there, whatever their own modes say.
    file.set_permissions(Permissions::from_mode(0o600))
        .map_err(failed("close to others"))?;
    let present = file.metadata().map_err(failed("look at"))?.len();
    if present < size_bytes {
        // Never shrink: what is stored may be anywhere.
        file.set_len(size_bytes).map_err(failed("grow"))?;
    }
    if !is_formatted(&mut file).map_err(failed("read"))? {
        format(image)?;
    }
    let deadline = Instant::now() + LEAVING_WAIT;
    loop {
        let (device, _open) = match attached_device(&file).map_err(failed("find the device of"))? {
            Some(device) => (device, None),
            None => {
                let (device, open) = loopdev::attach(&file).map_err(failed("attach"))?;
                (device, Some(open))
            }
        };
        match mount(&device, target) {
            Ok(()) => return Ok(()),
            Err(errno) if is_leaving(errno) && Instant::now() < deadline => exec::pause(),
            Err(errno) => {
                return Err(Error::Io {
                    what: "mount",
                    path: target.to_owned(),
                    source: errno.into(),
                });
            }
        }
    }
}

/// Whether an earlier mount of the same image is on its way out: its last user has just ended, and
/// the kernel still has its filesystem while the device it was on is no longer shown, or no longer
/// answers.
const fn is_leaving(errno: Errno) -> bool {
    matches!(errno, Errno::EXIST | Errno::BUSY | Errno::NXIO)
}

fn mount(device: &Path, target: &Path) -> Result<(), Errno> {
    let options = c"discard=async,nodatasum";
    match rustix::mount::mount(device, target, "btrfs", MountFlags::NOATIME, options) {
        // A kernel that lacks one of the options still mounts without them.
        Err(Errno::INVAL) => {
            rustix::mount::mount(device, target, "btrfs", MountFlags::NOATIME, None)
        }
        mounted => mounted,
    }
}

fn format(image: &Path) -> Result<(), Error> {
    let failed = |output| Error::Format {
        path: image.to_owned(),
        output,
    };
    let output = exec::command("mkfs.btrfs")
        .args([
            "--quiet",
            "--force",
            "--nodiscard",
            "--metadata",
            "single",
            "--data",
            "single",
        ])
        .arg(image)
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}

fn is_formatted(file: &mut File) -> io::Result<bool> {
    let mut magic = [0; 8];
    file.seek(SeekFrom::Start(MAGIC_OFFSET))?;
    match file.read_exact(&mut magic) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
        Ok(()) => Ok(&magic == MAGIC),
    }
}

/// The loop device that has `image` attached already: sandboxes of an earlier run keep it alive
/// after the pool was unmounted. A second device on the same file would corrupt it.
fn attached_device(image: &File) -> io::Result<Option<PathBuf>> {
    let wanted = image.metadata()?;
    for entry in fs::read_dir("/sys/block")? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with("loop")) else {
            continue;
        };
        let file = format!("/sys/block/{name}/loop/backing_file");
        let Ok(backing) = fs::read_to_string(file) else {
            continue;
        };
        let Ok(found) = fs::metadata(backing.trim_end()) else {
            continue;
        };
        if (found.dev(), found.ino()) == (wanted.dev(), wanted.ino()) {
            return Ok(Some(Path::new("/dev").join(name)));
        }
    }
    Ok(None)
}
