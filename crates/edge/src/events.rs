//! Socket.IO: every transition of an organization's sandboxes, to every client of it.
//!
//! A client proves who it is in its CONNECT packet and asks for nothing more: what it gets is
//! decided by its organization. Each socket has its own bounded queue and its own task.
//!
//! Must not: let a slow client slow another one, or keep one that has missed something; it must
//! reconnect and look again.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as ApiBody;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::Request;
use hyper::body::Incoming;
use parking_lot::Mutex;
use sebring_tasks::Tasks;
use serde::Deserialize;
use serde_json::json;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::service::SocketIoService;
use socketioxide::{SendError, SocketError, SocketIo};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::directory::{Directory, Event, Missed};
use crate::reply::{Reply, ReplyBody};

/// The published clients send their token at once; so does anyone who means it.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Packets waiting for one client. A burst of 100 creates makes 300 events.
const QUEUE_MAX: usize = 1024;
/// Clients send a token and pongs, nothing else.
const CLIENT_PAYLOAD_MAX: u64 = 64 * 1024;
/// How long a client whose queue is full may take to make room for the reason of its dismissal.
const FAREWELL_TRIES_MAX: u32 = 20;
const FAREWELL_PAUSE: Duration = Duration::from_millis(100);
/// Not among the events that the published clients know; they ignore it, people read it.
const FAREWELL_EVENT: &str = "connection.closing";

pub(crate) struct Events {
    /// Around an empty router, for paths that are none of Socket.IO's.
    service: SocketIoService<axum::Router>,
    io: SocketIo,
}

type EventStream = BoxStream<'static, Result<Event, Missed>>;

#[derive(Deserialize)]
struct Credentials {
    token: String,
}

/// Taken before the CONNECT is answered, so that nothing falls between answer and first event.
#[derive(Clone)]
struct Subscription(Arc<Mutex<Option<EventStream>>>);

impl Events {
    pub(crate) fn new(path: String, directory: Arc<dyn Directory>, tasks: Tasks) -> Self {
        let (service, io) = SocketIo::builder()
            .req_path(path)
            .connect_timeout(CONNECT_TIME_MAX)
            .max_buffer_size(QUEUE_MAX)
            .max_payload(CLIENT_PAYLOAD_MAX)
            .build_with_inner_svc(axum::Router::new());
        let welcome = move |socket: SocketRef| {
            let tasks = tasks.clone();
            async move { begin_forwarding(&socket, &tasks) }
        };
        let admit = move |socket: SocketRef, TryData(offered): TryData<Credentials>| {
            let directory = Arc::clone(&directory);
            async move {
                let token = offered.map_err(|_| "Invalid credentials: send {\"token\"}")?;
                subscribe(directory.as_ref(), &socket, &token.token).await
            }
        };
        io.ns("/", welcome.with(admit));
        Self { service, io }
    }

    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Reply {
        match self.service.clone().call(request).await {
            Ok(response) => response.map(|body| ReplyBody::Other(ApiBody::new(body))),
            Err(never) => match never {},
        }
    }

    /// Disconnects everyone.
    pub(crate) async fn close(&self) {
        self.io.close().await;
    }
}

async fn subscribe(
    directory: &dyn Directory,
    socket: &SocketRef,
    token: &str,
) -> Result<(), &'static str> {
    match directory.authenticate(token).await {
        Ok(Some(principal)) => {
            let events = directory.subscribe(principal.organization);
            let subscription = Subscription(Arc::new(Mutex::new(Some(events))));
            socket.extensions.insert(subscription);
            Ok(())
        }
        Ok(None) => Err("Invalid credentials"),
        Err(_) => Err("credentials cannot be checked right now; try again"),
    }
}

fn begin_forwarding(socket: &SocketRef, tasks: &Tasks) {
    let taken = socket
        .extensions
        .remove::<Subscription>()
        .and_then(|subscription| subscription.0.lock().take());
    let Some(events) = taken else { return };
    let gone = tasks.stop_token().child_token();
    let on_disconnect = gone.clone();
    socket.on_disconnect(move || {
        let gone = on_disconnect.clone();
        async move { gone.cancel() }
    });
    let socket = socket.clone();
    tasks.spawn("edge events", forward(socket, events, gone));
}

async fn forward(socket: SocketRef, mut events: EventStream, gone: CancellationToken) {
    // Safe to drop while waiting: the stream keeps what it has, and nobody is left to get it.
    while let Some(Some(event)) = gone.run_until_cancelled(events.next()).await {
        let sent = match event {
            Ok(event) => socket.emit(&event.name, &event.payload),
            Err(Missed) => return dismiss(socket).await,
        };
        match sent {
            Ok(()) => {}
            Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                return dismiss(socket).await;
            }
            Err(_) => return,
        }
    }
    if !gone.is_cancelled() {
        dismiss(socket).await;
    }
}

/// Says why, as soon as there is room to say it, and disconnects.
async fn dismiss(socket: SocketRef) {
    let why = json!({"message": "events were lost because this client read too slowly; reconnect and read the present state"});
    for _ in 0..FAREWELL_TRIES_MAX {
        match socket.emit(FAREWELL_EVENT, &why) {
            Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                tokio::time::sleep(FAREWELL_PAUSE).await;
            }
            Ok(()) | Err(_) => break,
        }
    }
    // Already closed is as good.
    socket.disconnect().ok();
}
