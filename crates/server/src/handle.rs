//! What the control plane offers to the rest of the process: its router, and lookups for the edge
//! that answer from memory within microseconds.

use std::path::PathBuf;

use sebring_core::id::{OrganizationId, SandboxId};
use sebring_core::secret::Secret;
use tokio::sync::broadcast;

use crate::app::App;
use crate::auth::Principal;
use crate::directory::toolbox_socket;
use crate::events::Event;
use crate::http;
use crate::sandboxes::settings;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    app: App,
}

/// Everything needed to let a request into a sandbox and carry it there.
#[derive(Clone, Debug)]
pub struct Route {
    pub id: SandboxId,
    pub organization: OrganizationId,
    /// Shown state as clients see it: `started`, `stopped`…
    pub state: &'static str,
    /// The toolbox's unix socket; `None` while the sandbox does not run.
    pub toolbox_socket: Option<PathBuf>,
    /// Whether previews need no credential.
    pub public: bool,
    /// The preview token that clients send instead of a key.
    pub auth_token: Secret<String>,
    /// Key of signed file URLs, used as its UTF-8 text.
    pub signing_key: Secret<String>,
}

/// What a signed preview token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviewGrant {
    pub sandbox: SandboxId,
    pub port: u16,
}

impl Handle {
    pub(crate) const fn new(app: App) -> Self {
        Self { app }
    }

    /// All control-plane routes, under the configured API path.
    pub fn router(&self) -> axum::Router {
        http::router(&self.app)
    }

    /// The caller behind a bearer token; `None` for an unknown or expired one.
    #[must_use]
    pub fn authenticate(&self, bearer: &str) -> Option<Principal> {
        self.app.directory.keys.authenticate(bearer, self.app.now())
    }

    /// By id or name within an organization; `None` when there is none or it is another's.
    #[must_use]
    pub fn find_sandbox(&self, organization: OrganizationId, id_or_name: &str) -> Option<Route> {
        let found = self.app.directory.find(organization, id_or_name)?;
        Some(Route::of(&found))
    }

    /// By id, whoever owns it: for callers who prove themselves by the sandbox's own token or key.
    #[must_use]
    pub fn sandbox_by_id(&self, id: SandboxId) -> Option<Route> {
        self.app
            .directory
            .sandbox(id)
            .map(|found| Route::of(&found))
    }

    /// What a signed preview token opens; `None` when it is unknown, expired or revoked.
    #[must_use]
    pub fn preview_token(&self, token: &str) -> Option<PreviewGrant> {
        let found = self.app.directory.preview(token, self.app.now())?;
        Some(PreviewGrant {
            sandbox: found.sandbox,
            port: found.port,
        })
    }

    /// Notes activity; at most once in five seconds has an effect.
    pub fn touch(&self, id: SandboxId) {
        settings::touch(&self.app, id);
    }

    /// Events of all organizations from now on. A subscriber that lags too far is told so.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.app.events.subscribe()
    }

    /// Whether the runner is connected.
    #[must_use]
    pub fn is_runner_up(&self) -> bool {
        self.app.runner.is_up()
    }

    /// Sandboxes that the runner keeps ready for whoever creates one next.
    #[must_use]
    pub fn spares(&self) -> usize {
        self.app.spares.count()
    }

    /// Looks at all timers again; for clocks that are moved by hand.
    pub fn recheck_timers(&self) {
        self.app.timers.recheck();
    }
}

impl Route {
    fn of(sandbox: &sebring_core::sandbox::Sandbox) -> Self {
        Self {
            id: sandbox.id,
            organization: sandbox.organization,
            state: sandbox.shown().as_str(),
            toolbox_socket: toolbox_socket(sandbox),
            public: sandbox.public,
            auth_token: sandbox.auth_token.clone(),
            signing_key: sandbox.signing_key.clone(),
        }
    }
}
