//! `/process/pty/…/connect` and `create-connect`: what a terminal and its clients say.
//!
//! Output goes out as binary frames, words about the terminal as text. Several clients may be
//! connected; each is sent the log at its own pace, so a slow one slows nobody else.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde_json::json;

use super::{NewTerminal, Size, Terminal};
use crate::environment::Variables;
use crate::http::client::is_go_sdk;
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::websocket::{Gone, PTY_EXIT_CONTROL, Sender, Socket, Upgrade};
use crate::process::reaper::Exit;
use crate::process::record::Process;
use crate::toolbox::Toolbox;

const FRAME_BYTES_MAX: usize = 32 << 10;
/// A subprotocol by which variables travel.
pub(super) const ENVS: &str = "X-Daytona-Pty-Envs~";
const CLOSE_DONE: u16 = 1000;
const CLOSE_FAILED: u16 = 1011;

pub(crate) async fn create_connect(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    let new = NewTerminal {
        id: query.required("id")?.to_owned(),
        cwd: query.get("cwd").map(str::to_owned),
        envs: envs(upgrade.offered())?,
        size: Size::new(query.number("cols")?, query.number("rows")?)?,
        lazy_start: false,
    };
    // Running before the client knows, which waits a tenth of a second for the first word.
    let terminal = toolbox.processes.terminals.create(&toolbox, new).await?;
    attach(upgrade, &headers, terminal, 0)
}

pub(crate) async fn connect(
    State(toolbox): State<Arc<Toolbox>>,
    Path(id): Path<String>,
    query: Query,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    let offset = query.number("offset")?.unwrap_or(0);
    let found = match toolbox.processes.terminals.get(&id) {
        Ok(terminal) => terminal.start(&toolbox).await.map(|()| terminal),
        Err(error) => Err(error),
    };
    match found {
        Ok(terminal) => attach(upgrade, &headers, terminal, offset),
        // Clients of this route expect to be told on the socket.
        Err(error) => upgrade.accept(move |socket| refuse(socket, error.to_string())),
    }
}

async fn refuse(mut socket: Socket, reason: String) {
    let error = format!("Failed to connect to PTY session: {reason}");
    let words = json!({"type": "control", "status": "error", "error": error});
    if socket.sender.text(words.to_string()).await.is_ok() {
        socket.close(CLOSE_FAILED, &error).await;
    }
}

pub(super) fn envs<'u>(mut offered: impl Iterator<Item = &'u str>) -> Result<Variables, Failure> {
    let Some(text) = offered.find_map(|token| token.strip_prefix(ENVS)) else {
        return Ok(Variables::new());
    };
    let json = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
    json.ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| {
            Failure::bad_request(format!(
                "subprotocol {ENVS}: must be followed by a JSON object of strings as base64url"
            ))
        })
}

fn attach(
    upgrade: Upgrade,
    headers: &HeaderMap,
    terminal: Arc<Terminal>,
    offset: u64,
) -> Result<Response, Failure> {
    let goodbye = Goodbye {
        in_words: upgrade.offered().any(|token| token == PTY_EXIT_CONTROL),
        always_done: is_go_sdk(headers),
    };
    upgrade.accept(move |socket| async move {
        if let Some(process) = terminal.process() {
            serve(socket, &terminal, process, offset, goodbye).await;
        }
    })
}

async fn serve(
    mut socket: Socket,
    terminal: &Terminal,
    process: &Process,
    offset: u64,
    goodbye: Goodbye,
) {
    let typing = async {
        while let Some(message) = socket.receiver.next().await {
            if terminal.write(message.into_bytes()).await.is_err() {
                // The shell is ending; the end is told when all was shown.
                std::future::pending::<()>().await;
            }
        }
    };
    let shown = tokio::select! {
        // Dropped when the client has left, which ends nothing but this connection.
        shown = show(&mut socket.sender, process, offset) => shown,
        () = typing => Err(Gone),
    };
    if shown.is_ok() {
        let exit = process.ended().await.exit;
        goodbye.say(socket, exit).await;
    }
}

async fn show(sender: &mut Sender, process: &Process, offset: u64) -> Result<(), Gone> {
    let offset = offset.max(process.log.extent().begin);
    let words = json!({"type": "control", "status": "connected", "offset": offset});
    sender.text(words.to_string()).await?;
    let mut follower = process.log.follow(offset);
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = follower.next(FRAME_BYTES_MAX) => chunk,
            gone = sender.keep_alive() => return Err(gone),
        };
        let Some(chunk) = chunk else {
            return Ok(());
        };
        sender.binary(chunk.bytes).await?;
        // A flood must not keep others from their turn.
        tokio::task::yield_now().await;
    }
}

/// How a client is told of the end.
#[derive(Clone, Copy, Debug)]
struct Goodbye {
    /// By a message as well; the close's reason is for those who did not ask for one.
    in_words: bool,
    /// Closed as done whatever the exit code: some read the reason of no other close.
    always_done: bool,
}

impl Goodbye {
    async fn say(self, mut socket: Socket, exit: Exit) {
        let (code, reason) = (exit.code(), reason(exit));
        if self.in_words {
            let mut words = json!({"type": "control", "status": "exited", "exitCode": code});
            if !reason.is_empty() {
                words["exitReason"] = reason.clone().into();
            }
            if socket.sender.text(words.to_string()).await.is_err() {
                return;
            }
        }
        let words = json!({"exitCode": code, "exitReason": reason}).to_string();
        let is_done = code == 0 || self.always_done;
        let close = if is_done { CLOSE_DONE } else { CLOSE_FAILED };
        socket.close(close, &words).await;
    }
}

fn reason(exit: Exit) -> String {
    match exit {
        Exit::Code(0) => String::new(),
        Exit::Signal(9) | Exit::Code(137) => "SIGKILL".to_owned(),
        Exit::Signal(15) | Exit::Code(143) => "SIGTERM".to_owned(),
        Exit::Signal(2) | Exit::Code(130) => "Ctrl+C".to_owned(),
        Exit::Signal(number) => format!("signal {number}"),
        Exit::Code(_) => "non-zero exit".to_owned(),
    }
}
