//! `/process/interpreter/execute`: one WebSocket for one cell.
//!
//! The first message says what to run; messages follow as things happen; the end is a control
//! message and a close code, because some clients wait for the one and some for the other.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::cell::{Cell, Command, Event};
use super::context::{Context, Refusal};
use super::ending::{Ending, State as Kept};
use super::frames::{self, Frame, Request};
use crate::http::client::is_go_sdk;
use crate::http::error::Failure;
use crate::http::number::Seconds;
use crate::http::websocket::{Gone, Sender, Socket, Upgrade};
use crate::toolbox::Toolbox;

/// For the first message.
const REQUEST_WAIT: Duration = Duration::from_secs(30);
/// Of a cell, when the request names none.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);
/// For a client to take one message; one that reads nothing for so long is gone.
const SEND_WAIT: Duration = Duration::from_secs(60);
/// Between the process and the client.
const EVENTS_MAX: usize = 64;
/// Small pieces of output that wait for a slow client become one message of about this much.
const MERGED_BYTES: usize = 64 << 10;
/// Interrupts and input that were not acted on yet; more are passed over.
const COMMANDS_MAX: usize = 16;

const NORMAL: u16 = 1000;
const GONE: u16 = 1001;
const MALFORMED: u16 = 1002;
const REFUSED: u16 = 1008;
const BROKEN: u16 = 1011;
const TRY_LATER: u16 = 1013;
/// What published clients know as a timeout.
const TIMED_OUT: u16 = 4008;
/// What those for Go wait for instead.
const TIMED_OUT_FOR_GO: u16 = 4001;

/// A code and a reason to close with.
type Close = (u16, String);

pub(super) async fn execute(
    State(toolbox): State<Arc<Toolbox>>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    let is_go = is_go_sdk(&headers);
    upgrade.accept(move |socket| async move { serve(&toolbox, socket, is_go).await })
}

async fn serve(toolbox: &Arc<Toolbox>, mut socket: Socket, is_go: bool) {
    let first = timeout(REQUEST_WAIT, socket.receiver.next()).await;
    let answered = match first {
        Ok(Some(message)) => answer(toolbox, &mut socket, &message.into_bytes()).await,
        Ok(None) => Err(Gone),
        Err(_) => Ok((MALFORMED, format!("no request within {REQUEST_WAIT:?}"))),
    };
    if let Ok((code, reason)) = answered {
        let code = if is_go && code == TIMED_OUT {
            TIMED_OUT_FOR_GO
        } else {
            code
        };
        socket.close(code, &reason).await;
    }
}

async fn answer(
    toolbox: &Arc<Toolbox>,
    socket: &mut Socket,
    message: &Bytes,
) -> Result<Close, Gone> {
    let mut running = match submit(toolbox, message) {
        Ok(running) => running,
        Err(close) => return Ok(close),
    };
    running.relay(socket).await?;
    // Without an ending the task of the context is gone, and the context with it.
    let ending = running.ended.await.unwrap_or(Ending::Deleted);
    conclude(&mut socket.sender, ending).await
}

/// The client's ends of the channels to a cell. Dropping them tells the cell that it has left.
struct Running {
    events: mpsc::Receiver<Event>,
    /// Came before those that are still in the channel.
    held: Option<Event>,
    commands: mpsc::Sender<Command>,
    ended: oneshot::Receiver<Ending>,
}

fn submit(toolbox: &Arc<Toolbox>, message: &Bytes) -> Result<Running, Close> {
    let request: Request = serde_json::from_slice(message)
        .map_err(|error| (MALFORMED, format!("request: {error}")))?;
    let refused = |reason: &str| (REFUSED, reason.to_owned());
    let code = request.code.unwrap_or_default();
    if code.trim().is_empty() {
        return Err(refused("code: must not be empty"));
    }
    let envs = request.envs.unwrap_or_default();
    // Only checked here: the process adds them to what it has.
    if let Err(error) = toolbox.environment.with(&envs) {
        return Err(refused(&format!("envs: {error}")));
    }
    let id = request.context_id.as_deref();
    let context = toolbox
        .interpreter
        .find(toolbox, id)
        .ok_or_else(|| refused("contextId: no such context"))?;
    let (events_in, events) = mpsc::channel(EVENTS_MAX);
    let (commands, commands_out) = mpsc::channel(COMMANDS_MAX);
    let (ended_in, ended) = oneshot::channel();
    queue(
        &context,
        Cell {
            code,
            envs,
            timeout: request
                .timeout
                .map_or(Some(TIMEOUT_DEFAULT), Seconds::limit),
            answers: request.allow_input.unwrap_or_default(),
            events: events_in,
            commands: commands_out,
            ended: ended_in,
        },
    )?;
    Ok(Running {
        events,
        held: None,
        commands,
        ended,
    })
}

fn queue(context: &Context, cell: Cell) -> Result<(), Close> {
    context.submit(cell).map_err(|refusal| {
        let code = match refusal {
            Refusal::Full => TRY_LATER,
            Refusal::Ended => GONE,
        };
        (code, refusal.to_string())
    })
}

impl Running {
    /// Passes messages both ways until the cell is over.
    async fn relay(&mut self, socket: &mut Socket) -> Result<(), Gone> {
        loop {
            tokio::select! {
                // All may be dropped: a channel and a socket keep what was not taken yet.
                received = socket.receiver.next() => {
                    let message = received.ok_or(Gone)?.into_bytes();
                    if let Some(command) = frames::command(&message) {
                        let _full = self.commands.try_send(command);
                    }
                }
                event = next(&mut self.held, &mut self.events) => {
                    let Some(event) = event else {
                        return Ok(());
                    };
                    let event = self.merge(event);
                    tell(&mut socket.sender, frames::text(&event)).await?;
                }
                gone = socket.sender.keep_alive() => return Err(gone),
            }
        }
    }

    /// Joins output with more of the same that is there already: a message costs far more than
    /// what is in it.
    fn merge(&mut self, event: Event) -> Event {
        let Event::Output(output, mut text) = event else {
            return event;
        };
        while text.len() < MERGED_BYTES {
            match self.events.try_recv() {
                Ok(Event::Output(next, more)) if next == output => text.push_str(&more),
                Ok(other) => {
                    self.held = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        Event::Output(output, text)
    }
}

async fn next(held: &mut Option<Event>, events: &mut mpsc::Receiver<Event>) -> Option<Event> {
    match held.take() {
        Some(event) => Some(event),
        None => events.recv().await,
    }
}

async fn tell(sender: &mut Sender, text: Option<String>) -> Result<(), Gone> {
    let Some(text) = text else {
        return Ok(());
    };
    match timeout(SEND_WAIT, sender.text(text)).await {
        Ok(sent) => sent,
        Err(_) => Err(Gone),
    }
}

/// What the client hears last.
async fn conclude(sender: &mut Sender, ending: Ending) -> Result<Close, Gone> {
    let control = |text| Frame::Control { text }.to_text();
    match ending {
        Ending::Completed => {
            tell(sender, control("completed")).await?;
            Ok((NORMAL, String::new()))
        }
        Ending::Interrupted => {
            tell(sender, control("interrupted")).await?;
            Ok((NORMAL, String::new()))
        }
        // No control message: to some clients it would mean that all went well.
        Ending::TimedOut { limit, state } => Ok((TIMED_OUT, timed_out(limit, state))),
        Ending::Left(_) => Err(Gone),
        Ending::Died(death) => {
            let reason = format!("the interpreter is gone and its variables with it: {death}");
            fatal(sender, "InterpreterDied", &reason).await?;
            Ok((GONE, reason))
        }
        Ending::Deleted => {
            let reason = "the context was deleted";
            fatal(sender, "ContextDeleted", reason).await?;
            Ok((GONE, reason.to_owned()))
        }
        Ending::NotStarted(reason) => Ok((BROKEN, format!("start the interpreter: {reason}"))),
    }
}

/// Some clients take a close with 1001 for a good end; all of them show an error.
async fn fatal(sender: &mut Sender, name: &str, value: &str) -> Result<(), Gone> {
    let traceback = "";
    let frame = Frame::Error {
        name,
        value,
        traceback,
    };
    tell(sender, frame.to_text()).await
}

fn timed_out(limit: Duration, state: Kept) -> String {
    let seconds = limit.as_secs_f64();
    match state {
        Kept::Kept => format!("timeout: not finished after {seconds} s, interrupted"),
        Kept::Lost => format!(
            "timeout: not finished after {seconds} s, did not stop, ended; its variables are lost"
        ),
    }
}
