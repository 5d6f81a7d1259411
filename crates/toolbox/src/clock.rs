//! The one place that asks what time it is.

use std::time::SystemTime;

use time::OffsetDateTime;

/// Now, in UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "the toolbox's clock; everything else asks here"
)]
pub(crate) fn now() -> OffsetDateTime {
    SystemTime::now().into()
}

/// Now as RFC 3339 text.
pub(crate) fn now_text() -> String {
    rfc3339(now())
}

/// RFC 3339, as fine as known.
pub(crate) fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_else(|_| String::from("1970-01-01T00:00:00Z"))
}
