//! The socket of the terminal that people have in their browser: text both ways.
//!
//! What parses as JSON with `rows` and `cols` is a size; everything else was typed. The shell is in
//! the list of terminals like any other, but ends with its socket: nobody could come back to it.
//! Must not: be reachable but through the edge, which has admitted the caller.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::{NewTerminal, Size, Terminal};
use crate::environment::Variables;
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::websocket::{Gone, Sender, Socket, Upgrade};
use crate::process::record::Process;
use crate::process::session::uuid;
use crate::process::text::is_begun;
use crate::toolbox::Toolbox;

const READ_BYTES_MAX: usize = 32 << 10;
const CLOSE_DONE: u16 = 1000;
const CLOSE_FAILED: u16 = 1011;

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Resize {
    pub(super) rows: u64,
    pub(super) cols: u64,
}

impl Resize {
    /// Only an object: a list of two numbers is something that people type.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let is_object = message.trim_ascii_start().starts_with(b"{");
        is_object.then(|| serde_json::from_slice(message).ok())?
    }
}

pub(crate) async fn connect(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    let size = Size::new(query.number("cols")?, query.number("rows")?)?;
    upgrade.accept(move |socket| serve(toolbox, socket, size))
}

async fn serve(toolbox: Arc<Toolbox>, socket: Socket, size: Size) {
    // The shell could not be come back to.
    let _whole = toolbox.pause.hold();
    let new = NewTerminal {
        id: format!("web-{}", uuid()),
        cwd: Some(toolbox.user.home.to_string_lossy().into_owned()),
        envs: Variables::new(),
        size,
        lazy_start: false,
    };
    let terminals = &toolbox.processes.terminals;
    match terminals.create(&toolbox, new).await {
        Ok(terminal) => {
            join(socket, &terminal).await;
            // An error means that it has ended by itself.
            let _gone = terminals.delete(&terminal.id).await;
        }
        Err(error) => socket.close(CLOSE_FAILED, &error.to_string()).await,
    }
}

async fn join(mut socket: Socket, terminal: &Terminal) {
    let Some(process) = terminal.process() else {
        return;
    };
    let typing = async {
        while let Some(message) = socket.receiver.next().await {
            let bytes = message.into_bytes();
            if let Some(Resize { rows, cols }) = Resize::read(&bytes) {
                // A size that no screen has is not worth ending a session for.
                let _refused =
                    Size::new(Some(cols), Some(rows)).and_then(|size| terminal.resize(size));
            } else if terminal.write(bytes).await.is_err() {
                // The shell is ending; the end is told when all was shown.
                std::future::pending::<()>().await;
            }
        }
    };
    let shown = tokio::select! {
        // Dropped when the client has left.
        shown = show(&mut socket.sender, process) => shown,
        () = typing => Err(Gone),
    };
    if shown.is_ok() {
        let code = process.ended().await.exit.code();
        socket
            .close(CLOSE_DONE, &format!("The shell has ended ({code})."))
            .await;
    }
}

async fn show(sender: &mut Sender, process: &Process) -> Result<(), Gone> {
    let mut follower = process.log.follow(0);
    let mut text = Text::default();
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = follower.next(READ_BYTES_MAX) => chunk,
            gone = sender.keep_alive() => return Err(gone),
        };
        let Some(chunk) = chunk else {
            return Ok(());
        };
        let whole = text.take(&chunk.bytes);
        if !whole.is_empty() {
            sender.text(whole).await?;
        }
        // A flood must not keep others from their turn.
        tokio::task::yield_now().await;
    }
}

/// Bytes as text, a character that is cut in two kept for the next time.
#[derive(Debug, Default)]
pub(super) struct Text {
    half: Vec<u8>,
}

impl Text {
    pub(super) fn take(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.half);
        all.extend_from_slice(bytes);
        let mut chunks = all.utf8_chunks().peekable();
        let mut text = String::with_capacity(all.len());
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && is_begun(invalid) {
                self.half = invalid.to_vec();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_cut_in_two_comes_whole_and_nonsense_is_replaced() {
        let mut text = Text::default();
        let euro = "€".as_bytes();
        assert_eq!(text.take(&[b"a", &euro[..2]].concat()), "a");
        assert_eq!(text.take(&[&euro[2..], b"b\xff"].concat()), "€b\u{fffd}");
        assert_eq!(text.take(&euro[..1]), "");
        assert_eq!(text.take(b"x"), "\u{fffd}x");
    }
}
