//! The edge's questions, answered by the control plane of the same process.
//!
//! Must not: decide; it only translates types.

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use sebring_core::id::{OrganizationId, SandboxId};
use sebring_edge::{
    Directory, Event, Missed, PreviewGrant, Principal, SandboxRoute, Secret, Unavailable,
};
use sebring_server::{Handle, Route};
use tokio::sync::broadcast::error::RecvError;

/// A control plane in the same process: every answer comes from memory.
#[derive(Debug)]
pub(super) struct Local {
    server: Handle,
}

impl Local {
    pub(super) const fn new(server: Handle) -> Self {
        Self { server }
    }
}

impl Directory for Local {
    fn authenticate<'a>(
        &'a self,
        token: &'a str,
    ) -> BoxFuture<'a, Result<Option<Principal>, Unavailable>> {
        let found = self.server.authenticate(token);
        let found = found.map(|caller| Principal {
            organization: caller.organization,
            user: caller.user_id,
        });
        Box::pin(std::future::ready(Ok(found)))
    }

    fn sandbox<'a>(
        &'a self,
        organization: Option<OrganizationId>,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<Option<SandboxRoute>, Unavailable>> {
        let found = match organization {
            Some(organization) => self.server.find_sandbox(organization, reference),
            None => reference
                .parse()
                .ok()
                .and_then(|id| self.server.sandbox_by_id(id)),
        };
        Box::pin(std::future::ready(Ok(found.map(route))))
    }

    fn preview_token<'a>(
        &'a self,
        token: &'a str,
    ) -> BoxFuture<'a, Result<Option<PreviewGrant>, Unavailable>> {
        let found = self.server.preview_token(token);
        let found = found.map(|grant| PreviewGrant {
            sandbox: grant.sandbox,
            port: grant.port,
        });
        Box::pin(std::future::ready(Ok(found)))
    }

    fn touch(&self, sandbox: SandboxId) {
        self.server.touch(sandbox);
    }

    fn subscribe(&self, organization: OrganizationId) -> BoxStream<'static, Result<Event, Missed>> {
        let events = stream::unfold(self.server.subscribe(), |mut events| async move {
            let next = match events.recv().await {
                Ok(event) => Ok(event),
                Err(RecvError::Lagged(_)) => Err(Missed),
                Err(RecvError::Closed) => return None,
            };
            Some((next, events))
        });
        let ours = events.filter_map(move |next| {
            std::future::ready(match next {
                Ok(event) if event.organization != organization => None,
                Ok(event) => Some(Ok(Event {
                    name: event.name.to_owned(),
                    payload: event.payload.as_ref().clone(),
                })),
                Err(missed) => Some(Err(missed)),
            })
        });
        ours.boxed()
    }
}

fn route(found: Route) -> SandboxRoute {
    SandboxRoute {
        id: found.id,
        organization: found.organization,
        state: found.state.to_owned(),
        toolbox_socket: found.toolbox_socket,
        public: found.public,
        auth_token: Secret(found.auth_token.expose().clone()),
        signing_key: Secret(found.signing_key.expose().clone()),
    }
}
