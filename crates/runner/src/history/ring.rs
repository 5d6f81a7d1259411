//! A file of slots, each for the same few seconds of any day, so that it never grows beyond a
//! day's worth and needs no tidying. A slot says when it was written; an old one is no sample.
//!
//! Must not: be made by anything but a bring-up: deleting a sandbox must not meet a file that has
//! just come to be.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use sebring_api::runner::{UsageSample, UsageSpan};

use super::{KEPT, SAMPLE_EVERY};

const NAME: &str = "usage";
const FIELDS: usize = 5;
const SLOT_BYTES: usize = FIELDS * size_of::<u64>();

pub(super) fn create(dir: &Path) -> io::Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(dir.join(NAME))?;
    Ok(())
}

pub(super) fn write(dir: &Path, sample: &UsageSample) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(dir.join(NAME))?;
    file.write_all_at(&to_bytes(sample), slot(sample.at_unix) * SLOT_BYTES as u64)
}

pub(super) fn read(dir: &Path, span: UsageSpan, now_unix: u64) -> io::Result<Vec<UsageSample>> {
    let bytes = match fs::read(dir.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let (slots, _half) = bytes.as_chunks::<SLOT_BYTES>();
    let is_recent = |sample: &UsageSample| {
        sample.at_unix <= now_unix && now_unix - sample.at_unix < KEPT.as_secs()
    };
    let until_end = slots
        .iter()
        .map(from_bytes)
        .filter(|sample| is_recent(sample) && sample.at_unix <= span.to_unix);
    let (mut samples, before): (Vec<_>, Vec<_>) =
        until_end.partition(|sample| sample.at_unix >= span.from_unix);
    samples.extend(before.into_iter().max_by_key(|sample| sample.at_unix));
    samples.sort_unstable_by_key(|sample| sample.at_unix);
    Ok(samples)
}

const fn slot(at_unix: u64) -> u64 {
    at_unix % KEPT.as_secs() / SAMPLE_EVERY.as_secs()
}

fn to_bytes(sample: &UsageSample) -> [u8; SLOT_BYTES] {
    let fields = [
        sample.at_unix,
        sample.cpu_us,
        sample.memory_bytes,
        sample.memory_cache_bytes,
        sample.disk_bytes,
    ];
    let mut bytes = [0; SLOT_BYTES];
    for (place, field) in bytes.as_chunks_mut().0.iter_mut().zip(fields) {
        *place = field.to_le_bytes();
    }
    bytes
}

fn from_bytes(bytes: &[u8; SLOT_BYTES]) -> UsageSample {
    let mut fields = [0; FIELDS];
    for (field, place) in fields.iter_mut().zip(bytes.as_chunks().0) {
        *field = u64::from_le_bytes(*place);
    }
    let [
        at_unix,
        cpu_us,
        memory_bytes,
        memory_cache_bytes,
        disk_bytes,
    ] = fields;
    UsageSample {
        at_unix,
        cpu_us,
        memory_bytes,
        memory_cache_bytes,
        disk_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_700_000_000;
    const EVER: UsageSpan = UsageSpan {
        from_unix: 0,
        to_unix: u64::MAX,
    };

    fn at(at_unix: u64) -> UsageSample {
        UsageSample {
            at_unix,
            cpu_us: at_unix + 1,
            memory_bytes: 2,
            memory_cache_bytes: 3,
            disk_bytes: u64::MAX,
        }
    }

    #[test]
    fn samples_come_back_whole_and_in_order_over_midnight() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path()).unwrap();
        let midnight = NOON - NOON % KEPT.as_secs();
        let samples = [midnight - 30, midnight - 15, midnight + 1].map(at);
        for sample in &samples {
            write(dir.path(), sample).unwrap();
        }
        assert_eq!(read(dir.path(), EVER, midnight + 2).unwrap(), samples);
    }

    #[test]
    fn a_part_of_the_day_comes_with_the_sample_before_it() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path()).unwrap();
        let times = [0, 15, 30, 45, 60].map(|seconds| NOON + seconds);
        for at_unix in times {
            write(dir.path(), &at(at_unix)).unwrap();
        }
        let seen = |from_unix, to_unix| {
            let span = UsageSpan { from_unix, to_unix };
            let samples = read(dir.path(), span, NOON + 60).unwrap();
            samples.iter().map(|one| one.at_unix).collect::<Vec<_>>()
        };
        assert_eq!(seen(NOON + 30, NOON + 45), times[1..=3]);
        assert_eq!(seen(NOON, NOON), times[..1]);
        assert_eq!(seen(NOON + 100, NOON + 200), times[4..]);
        assert!(seen(0, NOON - 1).is_empty());
    }

    #[test]
    fn what_is_a_day_old_is_gone_and_the_file_never_grows_beyond_a_day() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path()).unwrap();
        let end = NOON + 2 * KEPT.as_secs();
        for at_unix in (NOON..end).step_by(15) {
            write(dir.path(), &at(at_unix)).unwrap();
        }
        let samples = read(dir.path(), EVER, end).unwrap();
        assert!(
            samples
                .iter()
                .all(|sample| sample.at_unix > end - KEPT.as_secs())
        );
        assert_eq!(
            samples.len(),
            5_760 - 1,
            "the one of a day ago does not count any more"
        );
        let length = fs::metadata(dir.path().join(NAME)).unwrap().len();
        assert_eq!(length, 5_760 * SLOT_BYTES as u64);
    }

    #[test]
    fn making_the_file_again_keeps_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path()).unwrap();
        write(dir.path(), &at(NOON)).unwrap();
        create(dir.path()).unwrap();
        assert_eq!(read(dir.path(), EVER, NOON).unwrap(), [at(NOON)]);
    }

    #[test]
    fn a_sandbox_that_is_gone_gets_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let refused = write(dir.path(), &at(NOON)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
        assert_eq!(read(dir.path(), EVER, NOON).unwrap(), []);
    }
}
