//! A control plane that knows exactly what a test tells it.

use std::collections::HashMap;
use std::path::PathBuf;

use futures_util::FutureExt;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, ready};
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;
use sebring_core::id::{OrganizationId, SandboxId};
use sebring_edge::{
    Directory, Event, Missed, PreviewGrant, Principal, SandboxRoute, Secret, Unavailable,
};
use tokio::sync::{broadcast, watch};

pub(crate) const KEY: &str = "dtn_key";
pub(crate) const FOREIGN_KEY: &str = "dtn_foreign";
pub(crate) const TOKEN: &str = "preview-token";
pub(crate) const SIGNED_TOKEN: &str = "abcdefgh01234567";

/// How many events a subscriber may lag before it has missed some.
const EVENT_BUFFER: usize = 16;

pub(crate) struct Facts {
    pub(crate) organization: OrganizationId,
    pub(crate) foreign: OrganizationId,
    pub(crate) sandboxes: Mutex<HashMap<SandboxId, SandboxRoute>>,
    pub(crate) is_down: Mutex<bool>,
    /// The port that [`SIGNED_TOKEN`] opens.
    pub(crate) signed_port: Mutex<u16>,
    pub(crate) events: broadcast::Sender<Event>,
    touches: watch::Sender<Vec<SandboxId>>,
}

impl Facts {
    pub(crate) fn new() -> Self {
        Self {
            organization: OrganizationId::random(),
            foreign: OrganizationId::random(),
            sandboxes: Mutex::default(),
            is_down: Mutex::new(false),
            signed_port: Mutex::new(0),
            events: broadcast::channel(EVENT_BUFFER).0,
            touches: watch::channel(Vec::new()).0,
        }
    }

    /// A started, private sandbox of the organization of [`KEY`].
    pub(crate) fn add(&self, toolbox_socket: Option<PathBuf>) -> SandboxId {
        let id = SandboxId::random();
        let route = SandboxRoute {
            id,
            organization: self.organization,
            state: "started".into(),
            toolbox_socket,
            public: false,
            auth_token: Secret(TOKEN.into()),
            signing_key: Secret("k3y".into()),
        };
        self.sandboxes.lock().insert(id, route);
        id
    }

    pub(crate) fn change(&self, id: SandboxId, change: impl FnOnce(&mut SandboxRoute)) {
        change(self.sandboxes.lock().get_mut(&id).unwrap());
    }

    pub(crate) fn touches(&self, id: SandboxId) -> usize {
        self.touches.borrow().iter().filter(|&&t| t == id).count()
    }

    fn answer<T: Send + 'static>(&self, value: T) -> BoxFuture<'static, Result<T, Unavailable>> {
        let reason = "store".to_owned();
        let answer = if *self.is_down.lock() {
            Err(Unavailable { reason })
        } else {
            Ok(value)
        };
        ready(answer).boxed()
    }
}

impl Directory for Facts {
    fn authenticate<'a>(
        &'a self,
        token: &'a str,
    ) -> BoxFuture<'a, Result<Option<Principal>, Unavailable>> {
        let organization = match token {
            KEY => Some(self.organization),
            FOREIGN_KEY => Some(self.foreign),
            _ => None,
        };
        self.answer(organization.map(|organization| Principal {
            organization,
            user: "u".into(),
        }))
    }

    fn sandbox<'a>(
        &'a self,
        organization: Option<OrganizationId>,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<Option<SandboxRoute>, Unavailable>> {
        let sandboxes = self.sandboxes.lock();
        let by_id = reference.parse().ok().and_then(|id| sandboxes.get(&id));
        // Tests that use a name have one sandbox.
        let by_name = || sandboxes.values().find(|_| reference == "by-name");
        let found = match organization {
            Some(wanted) => by_id.or_else(by_name).filter(|r| r.organization == wanted),
            None => by_id,
        };
        self.answer(found.cloned())
    }

    fn preview_token<'a>(
        &'a self,
        token: &'a str,
    ) -> BoxFuture<'a, Result<Option<PreviewGrant>, Unavailable>> {
        let sandbox = self.sandboxes.lock().keys().next().copied();
        let port = *self.signed_port.lock();
        self.answer(
            sandbox
                .filter(|_| token == SIGNED_TOKEN)
                .map(|sandbox| PreviewGrant { sandbox, port }),
        )
    }

    fn touch(&self, sandbox: SandboxId) {
        self.touches.send_modify(|touches| touches.push(sandbox));
    }

    fn subscribe(&self, organization: OrganizationId) -> BoxStream<'static, Result<Event, Missed>> {
        if organization != self.organization {
            return stream::pending().boxed();
        }
        let events = self.events.subscribe();
        stream::unfold(events, |mut events| async move {
            match events.recv().await {
                Ok(event) => Some((Ok(event), events)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((Err(Missed), events)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
        .boxed()
    }
}
