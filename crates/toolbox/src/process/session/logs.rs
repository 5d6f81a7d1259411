//! `…/logs`: what a command has written so far, or, over a WebSocket, what it writes until it ends.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::json;

use super::routes;
use super::wire::{Client, Form};
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::http::websocket::{Gone, Sender, Socket, Upgrade};
use crate::process::record::Process;
use crate::process::text::{self, Marker};
use crate::toolbox::Toolbox;

/// Some clients fail on frames a little larger than this.
const FRAME_BYTES_MAX: usize = (32 << 10) - 3;
/// Normal end of a WebSocket.
const CLOSE_DONE: u16 = 1000;

pub(crate) async fn command(
    State(toolbox): State<Arc<Toolbox>>,
    Path((session, command)): Path<(String, String)>,
    query: Query,
    headers: HeaderMap,
    upgrade: Option<Upgrade>,
) -> Result<Response, Failure> {
    let process = routes::find(&toolbox, &session, &command)?;
    answer(process, &query, Client::of(&headers), upgrade)
}

pub(crate) async fn entrypoint(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
    headers: HeaderMap,
    upgrade: Option<Upgrade>,
) -> Result<Response, Failure> {
    let process = routes::entrypoint(&toolbox)?;
    let mut client = Client::of(&headers);
    if client.form == Form::Plain {
        // This log was always marked.
        client.form = Form::Marked;
    }
    answer(process, &query, client, upgrade)
}

fn answer(
    process: Arc<Process>,
    query: &Query,
    client: Client,
    upgrade: Option<Upgrade>,
) -> Result<Response, Failure> {
    let offset = query.number("offset")?;
    if let Some(upgrade) = upgrade {
        return upgrade.accept(move |socket| async move {
            follow(socket, &process, offset.unwrap_or(0)).await;
        });
    }
    let from = offset.unwrap_or(0);
    // Asked before reading: what an ended process wrote is all there.
    let running = process.end().is_none();
    let plain = |bytes: Vec<u8>| {
        let text = "text/plain; charset=utf-8";
        ([(CONTENT_TYPE, text)], bytes).into_response()
    };
    Ok(match client.form {
        Form::Plain => plain(text::merged(&process.log, from)),
        Form::Marked => plain(text::marked(&process.log, from)),
        Form::Split => {
            let texts = text::texts(&process.log, from, client.joined(), running);
            let mut body = json!({
                "output": texts.merged, "stdout": texts.output, "stderr": texts.errors,
            });
            if offset.is_some() {
                body["nextOffset"] = texts.next.into();
            }
            Json(body).into_response()
        }
    })
}

async fn follow(mut socket: Socket, process: &Process, from: u64) {
    let sent = tokio::select! {
        // Dropped when the client has left; it hears nothing more anyway.
        sent = send(&mut socket.sender, process, from) => sent,
        () = async { while socket.receiver.next().await.is_some() {} } => Err(Gone),
    };
    if sent.is_ok() {
        socket.close(CLOSE_DONE, "").await;
    }
}

async fn send(sender: &mut Sender, process: &Process, from: u64) -> Result<(), Gone> {
    let mut follower = process.log.follow(from);
    let mut marker = Marker::default();
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = follower.next(FRAME_BYTES_MAX) => chunk,
            gone = sender.keep_alive() => return Err(gone),
        };
        let Some(chunk) = chunk else {
            return Ok(());
        };
        let frame = marker.frame(&chunk);
        if !frame.is_empty() {
            sender.binary(frame).await?;
        }
        // A flood must not keep others from their turn.
        tokio::task::yield_now().await;
    }
}
