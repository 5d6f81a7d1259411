//! One request from its head to its answer: find where it goes, send it there, and make whatever
//! comes back readable for the one who asked.
//!
//! Must not: hold anything between requests but the shared parts in [`Inner`].
//! Next: `toolbox`, `preview`, `events`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body as ApiBody;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use sebring_core::clock::Timestamp;
use sebring_tasks::Tasks;
use tower::ServiceExt;

use crate::Config;
use crate::access::CookieJar;
use crate::activity::Activity;
use crate::cors::{self, Cors, Sharing};
use crate::directory::Directory;
use crate::events::Events;
use crate::reply::{self, Asked, Reply, ReplyBody};
use crate::route::{self, Destination};
use crate::upstream::Upstreams;
use crate::{preview, toolbox};

/// What `Edge::new` was given, until there are tasks to run with.
pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) api: axum::Router,
}

impl Service {
    pub(crate) fn new(
        mut config: Config,
        directory: Arc<dyn Directory>,
        api: axum::Router,
    ) -> Self {
        config
            .api_path
            .truncate(config.api_path.trim_end_matches('/').len());
        config.preview_domain.make_ascii_lowercase();
        // Written with the listener's port in URLs; hosts are compared without.
        if let Some((domain, _)) = config.preview_domain.split_once(':') {
            config.preview_domain = domain.to_owned();
        }
        Self {
            config,
            directory,
            api,
        }
    }

    pub(crate) fn start(self, tasks: &Tasks) -> Arc<Inner> {
        let activity = Activity::default();
        activity.spawn_refresh(Arc::clone(&self.directory), tasks);
        let events_path = format!("{}/socket.io", self.config.api_path);
        Arc::new(Inner {
            events: Events::new(events_path, Arc::clone(&self.directory), tasks.clone()),
            upstreams: Upstreams::new(tasks.clone()),
            tasks: tasks.clone(),
            config: self.config,
            directory: self.directory,
            api: self.api,
            activity,
        })
    }
}

/// Shared by every connection.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) activity: Activity,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) tasks: Tasks,
    pub(crate) events: Events,
    api: axum::Router,
}

type Answering = Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>;

impl Inner {
    pub(crate) fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Answering {
        Box::pin(async move { Ok(self.reply_to(request, peer).await) })
    }

    async fn reply_to(self: Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Reply {
        let uri = request.uri().clone();
        let destination = route::destination(
            &self.config.api_path,
            &self.config.preview_domain,
            &uri,
            request.headers(),
        );
        let sharing = match &destination {
            Destination::Preview { .. } => Sharing::Preview,
            Destination::Toolbox { .. } => Sharing::Toolbox,
            Destination::Events | Destination::Api => Sharing::Api,
        };
        let cors = Cors::of(sharing, request.headers());
        let is_preflight = cors::is_preflight(request.method(), request.headers());
        // A preview's program may have a policy of its own, so it is asked first.
        if is_preflight && sharing != Sharing::Preview {
            return cors.preflight(request.headers());
        }
        let asked = Asked::by(request.method(), uri.path(), request.headers());
        let preflight = is_preflight.then(|| cors.preflight(request.headers()));

        let answer = match destination {
            Destination::Preview { port, label } => {
                preview::serve(&self, request, (port, &label), peer.ip()).await
            }
            Destination::Toolbox {
                sandbox,
                prefix,
                path,
            } => {
                let address = toolbox::Address {
                    sandbox,
                    prefix,
                    path,
                };
                toolbox::serve(&self, request, address).await
            }
            Destination::Events => Ok(self.events.answer(request).await),
            Destination::Api => Ok(self.ask_api(request, peer).await),
        };
        let mut reply = match (answer, preflight) {
            (Ok(reply), _) => reply,
            // The browser asks without credentials; the request itself will bring them.
            (Err(_), Some(preflight)) => return preflight,
            (Err(refusal), None) => reply::refuse(&refusal, &asked, self.now()),
        };
        cors.apply(reply.headers_mut());
        reply
    }

    async fn ask_api(&self, request: Request<Incoming>, peer: SocketAddr) -> Reply {
        let mut request = request.map(ApiBody::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        match self.api.clone().oneshot(request).await {
            Ok(response) => response.map(ReplyBody::Other),
            Err(never) => match never {},
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    pub(crate) fn jar(&self) -> CookieJar<'_> {
        CookieJar {
            key: &self.config.cookie_key.0,
            secure: self.config.previews_are_https,
            now: self.now(),
        }
    }

    pub(crate) const fn scheme(&self) -> &'static str {
        if self.config.previews_are_https {
            "https"
        } else {
            "http"
        }
    }
}
