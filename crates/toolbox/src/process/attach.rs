//! `/sebring/process/…/attach`: a WebSocket to a process, from any offset, as often as wanted.
//!
//! Binary frames to the client are one byte for the stream (1 output, 2 error) and the bytes;
//! those from it are input. Text frames are JSON: `attached` with the offset of the first byte,
//! `lost` with what is no longer kept, `refused` when input goes nowhere, and `exited` with how it
//! went before the close.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;
use tokio::sync::mpsc;

use super::log::{Chunk, Stream};
use super::record::{InputError, Process};
use super::routes;
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::websocket::{Gone, Sender, Socket, Upgrade};
use crate::toolbox::Toolbox;

const FRAME_BYTES_MAX: usize = 32 << 10;
const CLOSE_DONE: u16 = 1000;
/// For input of a client that has left to be taken.
const LAST_INPUT_WAIT: Duration = Duration::from_secs(5);

pub(crate) async fn attach(
    State(toolbox): State<Arc<Toolbox>>,
    Path(id): Path<String>,
    query: Query,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    let process = routes::find(&toolbox, &id)?;
    let offset = query.number("offset")?.unwrap_or(0);
    upgrade.accept(move |socket| async move { serve(socket, &process, offset).await })
}

async fn serve(mut socket: Socket, process: &Process, offset: u64) {
    let (refusals, refused) = mpsc::channel(1);
    let mut typing = Box::pin(async {
        while let Some(message) = socket.receiver.next().await {
            match process.write_patiently(message.into_bytes()).await {
                // Of the end it is told anyway.
                Ok(()) | Err(InputError::Ended) => {}
                // Already being told is as good.
                Err(error) => drop(refusals.try_send(error)),
            }
        }
    });
    let shown = tokio::select! {
        // Dropped when the client has left, which ends nothing but this connection.
        shown = show(&mut socket.sender, process, offset, refused) => shown,
        () = &mut typing => return,
    };
    if shown.is_err() {
        // What it sent before it left counts; that it left may be noticed first.
        let _late = tokio::time::timeout(LAST_INPUT_WAIT, typing).await;
        return;
    }
    drop(typing);
    process.ended().await;
    if say(&mut socket.sender, "exited", process).await.is_ok() {
        socket.close(CLOSE_DONE, "").await;
    }
}

async fn show(
    sender: &mut Sender,
    process: &Process,
    offset: u64,
    mut refused: mpsc::Receiver<InputError>,
) -> Result<(), Gone> {
    say(sender, "attached", process).await?;
    let mut follower = process.log.follow(offset);
    let mut next = offset;
    loop {
        let chunk = tokio::select! {
            // A flood must not hide refusals. Both channels keep what they have when dropped.
            biased;
            Some(error) = refused.recv() => {
                let words = json!({"type": "refused", "reason": format!("input: {error}")});
                sender.text(words.to_string()).await?;
                continue;
            }
            chunk = follower.next(FRAME_BYTES_MAX) => chunk,
            gone = sender.keep_alive() => return Err(gone),
        };
        let Some(chunk) = chunk else {
            return say_lost(sender, next, process.log.extent().begin).await;
        };
        say_lost(sender, next, chunk.at).await?;
        next = chunk.end();
        sender.binary(frame(&chunk)).await?;
        // A flood must not keep others from their turn.
        tokio::task::yield_now().await;
    }
}

/// Says which bytes are no longer kept, if any.
async fn say_lost(sender: &mut Sender, from: u64, to: u64) -> Result<(), Gone> {
    if from >= to {
        return Ok(());
    }
    let lost = json!({"type": "lost", "from": from, "to": to});
    sender.text(lost.to_string()).await
}

fn frame(chunk: &Chunk) -> Vec<u8> {
    let mut frame = Vec::with_capacity(chunk.bytes.len() + 1);
    frame.push(match chunk.stream {
        Stream::Output => 1,
        Stream::Error => 2,
    });
    frame.extend_from_slice(&chunk.bytes);
    frame
}

async fn say(sender: &mut Sender, what: &str, process: &Process) -> Result<(), Gone> {
    let mut words = routes::body(process);
    words["type"] = what.into();
    sender.text(words.to_string()).await
}
