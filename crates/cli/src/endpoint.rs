//! Where a running server can be reached, as it wrote down itself at start.
//!
//! Must not: hold the key; that is read from its own 0600 file.

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::config::Layout;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// What clients set as `DAYTONA_API_URL`.
    pub(crate) api_url: String,
    /// Process id of the supervisor.
    pub(crate) supervisor_pid: u32,
}

impl Endpoint {
    pub(crate) fn write(&self, layout: &Layout) -> anyhow::Result<()> {
        let path = layout.endpoint_file();
        let text = serde_json::to_string(self).context("encode the endpoint")?;
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    pub(crate) fn read(layout: &Layout) -> anyhow::Result<Self> {
        let path = layout.endpoint_file();
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "no server is running from {}; start one with `sebring up`",
                layout.data_dir.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
    }
}

/// The key that was made at first start.
pub(crate) fn admin_key(layout: &Layout) -> anyhow::Result<String> {
    let path = layout.admin_key();
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("read the admin key {} (are you root?)", path.display()))?;
    Ok(text.trim().to_owned())
}
