//! What clients are told as it happens: one event for each visible change of a commit.
//!
//! Must not: be sent before the commit, or in another order than commits.

use std::sync::Arc;

use sebring_core::id::OrganizationId;
use sebring_core::sandbox::Sandbox;
use sebring_store::Change;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::config::PublicUrls;
use crate::view;

/// Events that a slow subscriber may be behind before it is told that it missed some. More than a
/// burst of a thousand creates makes.
const QUEUE_MAX: usize = 8_192;

/// One event for the clients of one organization.
#[derive(Clone, Debug)]
pub struct Event {
    pub organization: OrganizationId,
    /// `sandbox.created`, `sandbox.state.updated` or `sandbox.desired-state.updated`.
    pub name: &'static str,
    pub payload: Arc<Value>,
}

#[derive(Clone, Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<Event>,
    urls: PublicUrls,
}

impl Events {
    pub(crate) fn new(urls: PublicUrls) -> Self {
        Self {
            sender: broadcast::Sender::new(QUEUE_MAX),
            urls,
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }

    /// Called by the store's writer after each commit.
    pub(crate) fn announce(&self, changes: &[Change]) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        for change in changes {
            if let Change::Sandbox { before, after } = change {
                self.announce_sandbox(before.as_deref(), after);
            }
        }
    }

    fn announce_sandbox(&self, before: Option<&Sandbox>, after: &Sandbox) {
        let shown = || json!(view::sandbox(after, &self.urls));
        let Some(before) = before else {
            return self.send(after.organization, "sandbox.created", shown());
        };
        let desired = |sandbox| json!(view::desired_state(sandbox));
        if desired(before) != desired(after) {
            let payload = json!({
                "sandbox": shown(),
                "oldDesiredState": desired(before),
                "newDesiredState": desired(after),
            });
            self.send(after.organization, "sandbox.desired-state.updated", payload);
        }
        if before.shown() != after.shown() {
            let payload = json!({
                "sandbox": shown(),
                "oldState": before.shown().as_str(),
                "newState": after.shown().as_str(),
            });
            self.send(after.organization, "sandbox.state.updated", payload);
        }
    }

    fn send(&self, organization: OrganizationId, name: &'static str, payload: Value) {
        let event = Event {
            organization,
            name,
            payload: Arc::new(payload),
        };
        // Fails only when the last subscriber has just left.
        self.sender.send(event).ok();
    }
}
