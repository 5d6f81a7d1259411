//! Subvolumes and their quotas, by ioctl: a program per call would cost a hundred times more.
//!
//! Must not: know what a subvolume is for. Layouts are those of `linux/btrfs.h`.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

/// How the filesystem counts what each subvolume uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotas {
    /// Linux 6.7: counts at allocation, costs next to nothing.
    Simple,
    /// Walks back-references; dearer, on every kernel.
    Full,
}

/// Makes an empty subvolume `name` in `parent`.
pub fn create_subvolume(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    ioctl(parent, SUBVOL_CREATE, &mut VolArgs::named(name)?)
}

/// Makes `name` in `parent` a writable copy of the subvolume `source`, sharing all its data.
pub fn snapshot_subvolume(
    source: BorrowedFd<'_>,
    parent: BorrowedFd<'_>,
    name: &OsStr,
) -> io::Result<()> {
    let mut args = VolArgsV2 {
        fd: i64::from(source.as_raw_fd()),
        transid: 0,
        flags: 0,
        unused: [0; 4],
        name: [0; 4040],
    };
    copy_name(&mut args.name, name)?;
    ioctl(parent, SNAP_CREATE_V2, &mut args)
}

/// Removes the subvolume `name` of `parent` with all its files; space returns in the background.
pub fn delete_subvolume(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    ioctl(parent, SNAP_DESTROY, &mut VolArgs::named(name)?)
}

/// Number of the subvolume that the open directory belongs to; also the number of its quota group.
pub fn subvolume_id(dir: BorrowedFd<'_>) -> io::Result<u64> {
    let mut args = InoLookup {
        tree_id: 0,
        object_id: FIRST_FREE_OBJECT_ID,
        name: [0; 4080],
    };
    ioctl(dir, INO_LOOKUP, &mut args)?;
    Ok(args.tree_id)
}

/// Turns counting on; already on is fine.
pub fn enable_quotas(filesystem: BorrowedFd<'_>, quotas: Quotas) -> io::Result<()> {
    let command = match quotas {
        Quotas::Full => 1,
        Quotas::Simple => 4,
    };
    let mut args = QuotaControl { command, status: 0 };
    existing_is_fine(ioctl(filesystem, QUOTA_CTL, &mut args))
}

/// Makes a quota group that counts what its members use together; one that exists is fine.
///
/// A group's number has its level, 1 or more, in the upper 16 bits: see [`shared_group`].
pub fn create_group(filesystem: BorrowedFd<'_>, group: u64) -> io::Result<()> {
    let mut args = QgroupCreate { create: 1, group };
    existing_is_fine(ioctl(filesystem, QGROUP_CREATE, &mut args))
}

/// Number of a group that others can be members of.
#[must_use]
pub const fn shared_group(number: u32) -> u64 {
    (1 << 48) | number as u64
}

/// Makes the subvolume of `dir` a member of `group`; already being one is fine.
pub fn join_group(dir: BorrowedFd<'_>, group: u64) -> io::Result<()> {
    let mut args = QgroupAssign {
        assign: 1,
        member: subvolume_id(dir)?,
        group,
    };
    existing_is_fine(ioctl(dir, QGROUP_ASSIGN, &mut args))
}

fn existing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}

/// Limits what the subvolume of `dir` may refer to, in bytes.
pub fn limit_subvolume(dir: BorrowedFd<'_>, bytes: u64) -> io::Result<()> {
    // Zero means the subvolume of the descriptor.
    limit_group(dir, 0, bytes)
}

/// Limits what the members of `group` may refer to together, in bytes; `u64::MAX` is no limit.
pub fn limit_group(filesystem: BorrowedFd<'_>, group: u64, bytes: u64) -> io::Result<()> {
    let mut args = QgroupLimit {
        qgroup_id: group,
        flags: LIMIT_MAX_REFERENCED,
        max_referenced: bytes,
        max_exclusive: 0,
        reserved_referenced: 0,
        reserved_exclusive: 0,
    };
    ioctl(filesystem, QGROUP_LIMIT, &mut args)
}

/// Bytes that the quota group `id` refers to, a subvolume's or a shared one, as of the last
/// commit; 0 without one.
pub fn referenced_bytes(filesystem: BorrowedFd<'_>, id: u64) -> io::Result<u64> {
    let mut search = Search {
        // One key exactly: keys are ordered as (object, type, offset), so a range of types would
        // also take in the groups of other subvolumes.
        key: SearchKey {
            tree_id: QUOTA_TREE,
            min_object: 0,
            max_object: 0,
            min_offset: id,
            max_offset: id,
            min_transaction: 0,
            max_transaction: u64::MAX,
            min_type: QGROUP_INFO_KEY,
            max_type: QGROUP_INFO_KEY,
            items: 1,
            unused: [0; 9],
        },
        buffer: [0; 3992],
    };
    ioctl(filesystem, TREE_SEARCH, &mut search)?;
    if search.key.items == 0 {
        return Ok(0);
    }
    // A header of 32 bytes, then the item: its transaction, then what it refers to.
    Ok(u64_at(&search.buffer, 32 + 8).unwrap_or(0))
}

/// Gives blocks that are free back to the device, however they became free. Takes as long as there
/// is something to give back.
pub fn trim(filesystem: BorrowedFd<'_>) -> io::Result<()> {
    let mut args = TrimRange {
        start: 0,
        length: u64::MAX,
        min_length: 0,
    };
    ioctl(filesystem, TRIM, &mut args)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn ioctl<T>(fd: BorrowedFd<'_>, request: u32, args: &mut T) -> io::Result<()> {
    let (fd, args) = (fd.as_raw_fd(), std::ptr::from_mut(args));
    // SAFETY: each request number encodes the size of `T` (checked beside its constant), so the
    // kernel reads and writes within `args`, during the call only. The bare system call, because
    // the C libraries disagree on the type of the request.
    let answer = unsafe { libc::syscall(libc::SYS_ioctl, fd, libc::c_ulong::from(request), args) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn copy_name(into: &mut [u8], name: &OsStr) -> io::Result<()> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() >= NAME_MAX || bytes.contains(&b'/') {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    into[..bytes.len()].copy_from_slice(bytes);
    Ok(())
}

#[repr(C)]
struct VolArgs {
    fd: i64,
    name: [u8; 4088],
}

impl VolArgs {
    fn named(name: &OsStr) -> io::Result<Self> {
        let mut args = Self {
            fd: 0,
            name: [0; 4088],
        };
        copy_name(&mut args.name, name)?;
        Ok(args)
    }
}

#[repr(C)]
struct VolArgsV2 {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

#[repr(C)]
struct InoLookup {
    tree_id: u64,
    object_id: u64,
    name: [u8; 4080],
}

#[repr(C)]
struct QuotaControl {
    command: u64,
    status: u64,
}

#[repr(C)]
struct QgroupCreate {
    create: u64,
    group: u64,
}

#[repr(C)]
struct QgroupAssign {
    assign: u64,
    member: u64,
    group: u64,
}

#[repr(C)]
struct QgroupLimit {
    qgroup_id: u64,
    flags: u64,
    max_referenced: u64,
    max_exclusive: u64,
    reserved_referenced: u64,
    reserved_exclusive: u64,
}

#[repr(C)]
struct TrimRange {
    start: u64,
    length: u64,
    min_length: u64,
}

#[repr(C)]
struct SearchKey {
    tree_id: u64,
    min_object: u64,
    max_object: u64,
    min_offset: u64,
    max_offset: u64,
    min_transaction: u64,
    max_transaction: u64,
    min_type: u32,
    max_type: u32,
    items: u32,
    unused: [u32; 9],
}

#[repr(C)]
struct Search {
    key: SearchKey,
    buffer: [u8; 3992],
}

const NAME_MAX: usize = 255;
const FIRST_FREE_OBJECT_ID: u64 = 256;
const QUOTA_TREE: u64 = 8;
const QGROUP_INFO_KEY: u32 = 242;
const LIMIT_MAX_REFERENCED: u64 = 1;

const WRITE: u32 = 1;
const READ_WRITE: u32 = 3;

/// `_IOC` of the kernel for btrfs (magic 0x94): direction, size of the argument, number.
const fn request<T>(direction: u32, number: u32) -> u32 {
    let size = size_of::<MaybeUninit<T>>();
    assert!(
        size < 1 << 14,
        "the size field of an ioctl number has 14 bits"
    );
    #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
    let size = size as u32;
    (direction << 30) | (size << 16) | (0x94 << 8) | number
}

const SUBVOL_CREATE: u32 = request::<VolArgs>(WRITE, 14);
const SNAP_DESTROY: u32 = request::<VolArgs>(WRITE, 15);
const TREE_SEARCH: u32 = request::<Search>(READ_WRITE, 17);
const INO_LOOKUP: u32 = request::<InoLookup>(READ_WRITE, 18);
const SNAP_CREATE_V2: u32 = request::<VolArgsV2>(WRITE, 23);
const QUOTA_CTL: u32 = request::<QuotaControl>(READ_WRITE, 40);
const QGROUP_ASSIGN: u32 = request::<QgroupAssign>(WRITE, 41);
const QGROUP_CREATE: u32 = request::<QgroupCreate>(WRITE, 42);
const QGROUP_LIMIT: u32 = request::<QgroupLimit>(2, 43);

/// `FITRIM` of `linux/fs.h`, `_IOWR('X', 121, struct fstrim_range)`.
const TRIM: u32 = 0xc018_5879;
const _: () = assert!(size_of::<TrimRange>() == 0x18, "as the number says");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_numbers_are_those_of_the_kernel_headers() {
        assert_eq!(SUBVOL_CREATE, 0x5000_940e);
        assert_eq!(SNAP_DESTROY, 0x5000_940f);
        assert_eq!(TREE_SEARCH, 0xd000_9411);
        assert_eq!(INO_LOOKUP, 0xd000_9412);
        assert_eq!(SNAP_CREATE_V2, 0x5000_9417);
        assert_eq!(QUOTA_CTL, 0xc010_9428);
        assert_eq!(QGROUP_ASSIGN, 0x4018_9429);
        assert_eq!(QGROUP_CREATE, 0x4010_942a);
        assert_eq!(QGROUP_LIMIT, 0x8030_942b);
    }
}
