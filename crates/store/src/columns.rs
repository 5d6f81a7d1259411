//! How enums of the domain are spelled in columns, both ways, without wildcard arms.

use sebring_core::clock::Timestamp;
use sebring_core::id::Generation;
use sebring_core::lifecycle::{
    Failure, FailureCode, Intent, Observed, Record, StopMode, StopReason, WhyRunning, WhyStopped,
};
use sebring_core::network::{Policy, parse_allow_list};
use sebring_core::resources::Resources;
use sebring_core::timers::AutoDelete;

/// An intent in columns.
pub(crate) struct IntentColumns {
    pub(crate) intent: &'static str,
    pub(crate) why: &'static str,
    pub(crate) from: Option<Resources>,
}

pub(crate) fn intent_columns(intent: &Intent) -> IntentColumns {
    let (intent, why, from) = match intent {
        Intent::Running(WhyRunning::Created) => ("running", "created", None),
        Intent::Running(WhyRunning::Started) => ("running", "started", None),
        Intent::Running(WhyRunning::Resized { from }) => ("running", "resized", Some(*from)),
        Intent::Running(WhyRunning::Adjusted) => ("running", "adjusted", None),
        Intent::Stopped(WhyStopped::Asked(StopMode::Graceful)) => ("stopped", "asked", None),
        Intent::Stopped(WhyStopped::Asked(StopMode::Force)) => ("stopped", "forced", None),
        Intent::Stopped(WhyStopped::Ended) => ("stopped", "ended", None),
        Intent::Stopped(WhyStopped::Resized { from }) => ("stopped", "resized", Some(*from)),
        Intent::Deleted => ("deleted", "", None),
    };
    IntentColumns { intent, why, from }
}

pub(crate) fn read_intent(intent: &str, why: &str, from: Option<Resources>) -> Option<Intent> {
    Some(match (intent, why, from) {
        ("running", "created", _) => Intent::Running(WhyRunning::Created),
        ("running", "started", _) => Intent::Running(WhyRunning::Started),
        ("running", "resized", Some(from)) => Intent::Running(WhyRunning::Resized { from }),
        ("running", "adjusted", _) => Intent::Running(WhyRunning::Adjusted),
        ("stopped", "asked", _) => Intent::Stopped(WhyStopped::Asked(StopMode::Graceful)),
        ("stopped", "forced", _) => Intent::Stopped(WhyStopped::Asked(StopMode::Force)),
        ("stopped", "ended", _) => Intent::Stopped(WhyStopped::Ended),
        ("stopped", "resized", Some(from)) => Intent::Stopped(WhyStopped::Resized { from }),
        ("deleted", _, _) => Intent::Deleted,
        (_, _, _) => return None,
    })
}

/// An observation in columns: its name, its reason or code, and its text.
pub(crate) fn observed_columns(observed: &Observed) -> (&'static str, &'static str, &str) {
    match observed {
        Observed::Unseen => ("unseen", "", ""),
        Observed::Building => ("building", "", ""),
        Observed::Running { toolbox_socket, .. } => ("running", "", toolbox_socket),
        Observed::Stopped(StopReason::Asked) => ("stopped", "asked", ""),
        Observed::Stopped(StopReason::Exited) => ("stopped", "exited", ""),
        Observed::Stopped(StopReason::OomKilled) => ("stopped", "oom_killed", ""),
        Observed::Stopped(StopReason::HostLost) => ("stopped", "host_lost", ""),
        Observed::Failed(failure) => ("failed", failure.code.as_str(), &failure.message),
        Observed::Gone => ("gone", "", ""),
    }
}

pub(crate) fn read_observed(
    observed: &str,
    why: &str,
    text: String,
    unenforced: Vec<String>,
) -> Option<Observed> {
    Some(match (observed, why) {
        ("unseen", _) => Observed::Unseen,
        ("building", _) => Observed::Building,
        ("running", _) => Observed::Running {
            toolbox_socket: text,
            unenforced,
        },
        ("stopped", "asked") => Observed::Stopped(StopReason::Asked),
        ("stopped", "exited") => Observed::Stopped(StopReason::Exited),
        ("stopped", "oom_killed") => Observed::Stopped(StopReason::OomKilled),
        ("stopped", "host_lost") => Observed::Stopped(StopReason::HostLost),
        ("failed", code) => Observed::Failed(Failure {
            code: *FailureCode::ALL
                .iter()
                .find(|known| known.as_str() == code)?,
            message: text,
        }),
        ("gone", _) => Observed::Gone,
        (_, _) => return None,
    })
}

/// A record that is good enough to compute the shown state from: texts and deadlines left out.
pub(crate) fn read_record_for_view(
    (intent, why): (&str, &str),
    generation: i64,
    (observed, observed_why): (&str, &str),
    observed_generation: i64,
) -> Option<Record> {
    const ANY: Resources = Resources {
        cpus: 1,
        memory_gib: 1,
        disk_gib: 1,
    };
    Some(Record {
        intent: read_intent(intent, why, Some(ANY))?,
        generation: read_generation(generation),
        observed: read_observed(observed, observed_why, String::new(), Vec::new())?,
        observed_generation: read_generation(observed_generation),
        deadline: None,
    })
}

pub(crate) fn read_generation(stored: i64) -> Generation {
    Generation(u64::try_from(stored).unwrap_or(0))
}

pub(crate) fn generation_column(generation: Generation) -> i64 {
    i64::try_from(generation.0).unwrap_or(i64::MAX)
}

pub(crate) fn network_column(policy: &Policy) -> String {
    match policy {
        Policy::Open => "open".into(),
        Policy::BlockAll => "block_all".into(),
        Policy::Allow(_) => policy.allow_list().unwrap_or_default(),
    }
}

pub(crate) fn read_network(text: &str) -> Option<Policy> {
    Some(match text {
        "open" => Policy::Open,
        "block_all" => Policy::BlockAll,
        list => Policy::Allow(
            parse_allow_list(list)
                .ok()
                .filter(|list| !list.is_empty())?,
        ),
    })
}

pub(crate) fn auto_delete_column(auto_delete: AutoDelete) -> Option<u32> {
    match auto_delete {
        AutoDelete::Never => None,
        AutoDelete::Ephemeral => Some(0),
        AutoDelete::AfterMinutes(minutes) => Some(minutes),
    }
}

pub(crate) fn read_auto_delete(minutes: Option<u32>) -> AutoDelete {
    match minutes {
        None => AutoDelete::Never,
        Some(0) => AutoDelete::Ephemeral,
        Some(minutes) => AutoDelete::AfterMinutes(minutes),
    }
}

pub(crate) fn read_instant(unix_ms: Option<i64>) -> Option<Timestamp> {
    unix_ms.map(Timestamp::from_unix_ms)
}
