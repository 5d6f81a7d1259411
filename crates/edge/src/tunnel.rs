//! After a switch of protocols: bytes pass both ways, unread, until one side closes.
//!
//! Must not: know what the protocol is. WebSocket frames, close codes and extensions are between
//! the two ends; the toolbox pings its own sockets.

use std::time::Duration;

use http::Response;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use sebring_tasks::Tasks;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::time::timeout;
use tracing::debug;

use crate::activity::OpenRequest;
use crate::reply::{Reply, ReplyBody};
use crate::upstream::Link;

/// Per direction. Terminals and logs come in less; thousands of them are open at once.
const BUFFER_SIZE: usize = 16 * 1024;
/// Both sides have only to finish writing what they already decided.
const SWITCH_TIME_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Ends {
    /// `None` when the client's connection cannot switch.
    pub(crate) client: Option<OnUpgrade>,
    pub(crate) upstream: Link,
    pub(crate) open: Option<OpenRequest>,
}

/// Answers the client as the sandbox did, and passes bytes in a task of its own.
pub(crate) fn start(tasks: &Tasks, ends: Ends, response: Response<Incoming>) -> Reply {
    let mut reply = Reply::new(ReplyBody::empty());
    *reply.status_mut() = response.status();
    *reply.headers_mut() = response.headers().clone();
    let stop = tasks.stop_token();
    tasks.spawn("edge tunnel", async move {
        // Safe to drop when stopping: both ends see their connection close.
        stop.run_until_cancelled(pass(ends, response)).await;
    });
    reply
}

async fn pass(ends: Ends, response: Response<Incoming>) {
    let Ends {
        client,
        upstream,
        open,
    } = ends;
    let Some(client) = client else { return };
    let switched = hyper::upgrade::on(response);
    let both = async { tokio::join!(client, switched, upstream.finish()) };
    let (client, upstream): (Upgraded, Upgraded) = match timeout(SWITCH_TIME_MAX, both).await {
        Ok((Ok(client), Ok(upstream), _)) => (client, upstream),
        Ok(_) | Err(_) => return,
    };
    let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
    let passed =
        copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER_SIZE, BUFFER_SIZE).await;
    if let Err(error) = passed {
        debug!(%error, "tunnel broke");
    }
    drop(open);
}
