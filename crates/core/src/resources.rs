//! What a sandbox may use of its host, and the limits on that.
//!
//! Units are those of the public API: cores and GiB.

use std::fmt;

/// The share of a host that one sandbox has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    pub cpus: u32,
    pub memory_gib: u32,
    pub disk_gib: u32,
}

/// The most that one sandbox may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub cpus_max: u32,
    pub memory_gib_max: u32,
    pub disk_gib_max: u32,
}

/// More than this is more than one host's pool should promise to one sandbox by default.
pub const DISK_GIB_MAX_DEFAULT: u32 = 100;

const GIB: u64 = 1 << 30;

impl Limits {
    /// A sandbox may have the whole host, but no more.
    #[must_use]
    pub fn of_host(cpus: u32, memory_bytes: u64) -> Self {
        Self {
            cpus_max: cpus.max(1),
            memory_gib_max: u32::try_from(memory_bytes.div_ceil(GIB))
                .unwrap_or(u32::MAX)
                .max(1),
            disk_gib_max: DISK_GIB_MAX_DEFAULT,
        }
    }
}

/// A resource as named on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Cpu,
    Memory,
    Disk,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
        })
    }
}

impl Kind {
    const fn unit(self) -> &'static str {
        match self {
            Self::Cpu => "cores",
            Self::Memory | Self::Disk => "GiB",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{kind} {asked}: minimum 1; {kind} is in {}", kind.unit())]
    TooSmall { kind: Kind, asked: i64 },
    #[error("{kind} {asked}: maximum {maximum}; {kind} is in {}", kind.unit())]
    TooLarge {
        kind: Kind,
        asked: i64,
        maximum: u32,
    },
    #[error("disk {asked}: the sandbox has {present} already, and a disk cannot shrink")]
    DiskShrinks { present: u32, asked: u32 },
    #[error("disk {asked}: the disk can be resized only while the sandbox is stopped")]
    DiskWhileRunning { asked: u32 },
    #[error("{kind} {asked}: the sandbox has {present}; stop it to shrink {kind}")]
    ShrinksWhileRunning {
        kind: Kind,
        present: u32,
        asked: u32,
    },
    #[error("nothing to resize: give cpu, memory or disk a new value")]
    NothingChanges,
}

/// Checks one asked amount against its limit.
pub fn check(kind: Kind, asked: i64, limits: &Limits) -> Result<u32, Error> {
    let maximum = match kind {
        Kind::Cpu => limits.cpus_max,
        Kind::Memory => limits.memory_gib_max,
        Kind::Disk => limits.disk_gib_max,
    };
    if asked < 1 {
        return Err(Error::TooSmall { kind, asked });
    }
    match u32::try_from(asked) {
        Ok(amount) if amount <= maximum => Ok(amount),
        Ok(_) | Err(_) => Err(Error::TooLarge {
            kind,
            asked,
            maximum,
        }),
    }
}

/// What a resize asks for; `None` leaves an amount as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    pub cpus: Option<u32>,
    pub memory_gib: Option<u32>,
    pub disk_gib: Option<u32>,
}

/// Whether processes may be hurt by a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum While {
    Running,
    Stopped,
}

/// The resources after a resize, or why it cannot be.
pub fn resized(present: Resources, resize: Resize, state: While) -> Result<Resources, Error> {
    let new = Resources {
        cpus: resize.cpus.unwrap_or(present.cpus),
        memory_gib: resize.memory_gib.unwrap_or(present.memory_gib),
        disk_gib: resize.disk_gib.unwrap_or(present.disk_gib),
    };
    if new == present {
        return Err(Error::NothingChanges);
    }
    if new.disk_gib < present.disk_gib {
        return Err(Error::DiskShrinks {
            present: present.disk_gib,
            asked: new.disk_gib,
        });
    }
    if state == While::Stopped {
        return Ok(new);
    }
    if new.disk_gib != present.disk_gib {
        return Err(Error::DiskWhileRunning {
            asked: new.disk_gib,
        });
    }
    for (kind, present, asked) in [
        (Kind::Cpu, present.cpus, new.cpus),
        (Kind::Memory, present.memory_gib, new.memory_gib),
    ] {
        if asked < present {
            return Err(Error::ShrinksWhileRunning {
                kind,
                present,
                asked,
            });
        }
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        cpus_max: 4,
        memory_gib_max: 16,
        disk_gib_max: 100,
    };
    const PRESENT: Resources = Resources {
        cpus: 2,
        memory_gib: 4,
        disk_gib: 8,
    };

    fn resize(cpus: u32, memory_gib: u32, disk_gib: u32) -> Resize {
        Resize {
            cpus: Some(cpus),
            memory_gib: Some(memory_gib),
            disk_gib: Some(disk_gib),
        }
    }

    #[test]
    fn a_refusal_names_field_value_limit_and_unit() {
        let text = |kind, asked| check(kind, asked, &LIMITS).unwrap_err().to_string();
        assert_eq!(
            text(Kind::Memory, 2048),
            "memory 2048: maximum 16; memory is in GiB"
        );
        assert_eq!(text(Kind::Cpu, 0), "cpu 0: minimum 1; cpu is in cores");
        assert_eq!(
            text(Kind::Disk, i64::MAX),
            format!("disk {}: maximum 100; disk is in GiB", i64::MAX)
        );
    }

    #[test]
    fn a_running_sandbox_grows_but_never_shrinks() {
        assert!(resized(PRESENT, resize(3, 5, 8), While::Running).is_ok());
        assert!(resized(PRESENT, resize(1, 4, 8), While::Running).is_err());
        assert!(resized(PRESENT, resize(2, 3, 8), While::Running).is_err());
        assert!(resized(PRESENT, resize(2, 4, 9), While::Running).is_err());
    }

    #[test]
    fn a_stopped_sandbox_may_shrink_all_but_its_disk() {
        assert!(resized(PRESENT, resize(1, 1, 9), While::Stopped).is_ok());
        assert!(resized(PRESENT, resize(2, 4, 7), While::Stopped).is_err());
    }

    #[test]
    fn a_resize_to_the_same_is_refused() {
        assert_eq!(
            resized(PRESENT, resize(2, 4, 8), While::Stopped),
            Err(Error::NothingChanges)
        );
    }
}
