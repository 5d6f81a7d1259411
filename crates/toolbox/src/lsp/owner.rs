//! The task that owns one language server: it tells, asks, hears and ends it.
//!
//! Everything that is said to a server passes through here in one order, so a question never
//! overtakes the document it is about. Must not: wait for a server without a deadline.
//! Next: `server` for how requests reach it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::document::{self, Document};
use super::documents::{Documents, TooMany};
use super::language::Language;
use super::message::{self, Incoming, notice, question};
use super::peer::{Event, Peer};

/// Starting Node or Python takes a second; a minute on a host where many do.
const INITIALIZE_WAIT: Duration = Duration::from_secs(60);
/// For its answer to a polite shutdown, and again for its exit.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(2);
/// Questions that it may owe an answer to.
const UNANSWERED_MAX: usize = 64;
/// How often it is looked whether somebody has given up waiting, where too many wait.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Numbers of our own questions; those of requests count from [`FIRST_NUMBER`].
const INITIALIZE: u64 = 0;
const SHUTDOWN: u64 = 1;
pub(super) const FIRST_NUMBER: u64 = 2;

/// How far a server is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Starting,
    Ready,
    Ended(Arc<str>),
}

/// What is asked of the task.
#[derive(Debug)]
pub(super) enum Order {
    /// Keep the document open until it is closed.
    Open(Document, oneshot::Sender<Result<(), TooMany>>),
    /// Close those of the documents that are open.
    Close(Vec<String>, oneshot::Sender<()>),
    Ask(Question),
    /// Nobody waits for that answer any more.
    Forget(u64),
}

#[derive(Debug)]
pub(super) struct Question {
    pub(super) number: u64,
    pub(super) method: &'static str,
    pub(super) params: Value,
    /// Shown to the server first.
    pub(super) about: Option<Document>,
    pub(super) answer: oneshot::Sender<BytesMut>,
}

#[derive(Debug)]
pub(super) struct Owner {
    pub(super) peer: Peer,
    pub(super) language: Language,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) stop: Arc<Notify>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) documents: Documents,
    pub(super) unanswered: HashMap<u64, oneshot::Sender<BytesMut>>,
}

#[derive(Debug, Default, Deserialize)]
struct Initialized {}

impl Owner {
    /// Runs until the server has ended or was asked to stop.
    pub(super) async fn serve(mut self, project: std::path::PathBuf) {
        let stop = Arc::clone(&self.stop);
        let worked = async {
            match self.initialize(&project).await {
                Ok(()) => self.work().await,
                Err(reason) => Some(reason),
            }
        };
        let failure = tokio::select! {
            // The work may be dropped: what it has changed is all in the owner.
            biased;
            () = stop.notified() => None,
            failure = worked => failure,
        };
        if failure.is_none() {
            self.say_goodbye().await;
        }
        let Self {
            peer,
            phase,
            unanswered,
            orders,
            ..
        } = self;
        peer.kill().await;
        let reason = failure.unwrap_or_else(|| "it was stopped".to_owned());
        // Before those who wait hear that there is no answer, so that they can tell why.
        phase.send_replace(Phase::Ended(reason.into()));
        drop((unanswered, orders));
    }

    async fn initialize(&mut self, project: &Path) -> Result<(), String> {
        let uri = document::uri(project);
        let name = project.file_name().unwrap_or_default().to_string_lossy();
        let params = json!({
            "processId": null,
            "clientInfo": {"name": "sebring"},
            "rootUri": uri,
            "rootPath": project.to_string_lossy(),
            "workspaceFolders": [{"uri": uri, "name": name}],
            "initializationOptions": self.language.options(),
            "capabilities": {
                "workspace": {"configuration": true, "workspaceFolders": true},
                "textDocument": {
                    "synchronization": {"dynamicRegistration": false},
                    "completion": {"completionItem": {"documentationFormat": ["plaintext"]}},
                    "documentSymbol": {"hierarchicalDocumentSymbolSupport": false},
                },
            },
        });
        self.peer.tell(&question(INITIALIZE, "initialize", &params));
        let body = match timeout(INITIALIZE_WAIT, self.await_answer(INITIALIZE)).await {
            Ok(answered) => answered?,
            Err(_) => {
                return Err(format!(
                    "it was not ready within {} seconds",
                    INITIALIZE_WAIT.as_secs()
                ));
            }
        };
        match message::result::<Initialized>(&body) {
            Ok(Ok(_)) => {}
            Ok(Err(refusal)) => return Err(format!("it refused to start: {}", refusal.text())),
            Err(error) => return Err(format!("its first answer makes no sense: {error}")),
        }
        self.peer.tell(&notice("initialized", &json!({})));
        self.phase.send_replace(Phase::Ready);
        Ok(())
    }

    /// Hears until the answer of that number comes, or the server's end.
    async fn await_answer(&mut self, number: u64) -> Result<BytesMut, String> {
        loop {
            match self.peer.next().await {
                Event::End(reason) => return Err(reason),
                Event::Room => {}
                Event::Message(body) => {
                    if self.hear(&body)? == Some(number) {
                        return Ok(body);
                    }
                }
            }
        }
    }

    /// Until it ends, with the reason; or until nobody holds it any more.
    async fn work(&mut self) -> Option<String> {
        loop {
            if self.unanswered.len() >= UNANSWERED_MAX {
                self.unanswered.retain(|_, asker| !asker.is_closed());
            }
            let may_ask = self.peer.has_room() && self.unanswered.len() < UNANSWERED_MAX;
            tokio::select! {
                // Each may be dropped: channels and the peer keep what they have, and time passes.
                biased;
                order = self.orders.recv(), if may_ask => self.carry_out(order?),
                event = self.peer.next() => match event {
                    Event::End(reason) => return Some(reason),
                    Event::Room => {}
                    Event::Message(body) => match self.hear(&body) {
                        Err(reason) => return Some(reason),
                        Ok(number) => self.hand_over(number, body),
                    },
                },
                // A server that says nothing would keep everybody out for ever.
                () = sleep(LOOK_EVERY), if !may_ask => {}
            }
        }
    }

    /// Answers what the server asks; the number of what it answers.
    fn hear(&mut self, body: &[u8]) -> Result<Option<u64>, String> {
        match message::read(body)? {
            Incoming::Answer(number) => return Ok(Some(number)),
            // One that asks and asks and reads no answers gets none.
            Incoming::Question(answer) if self.peer.has_room() => self.peer.tell(&answer),
            Incoming::Question(_) | Incoming::Talk => {}
        }
        Ok(None)
    }

    fn hand_over(&mut self, number: Option<u64>, body: BytesMut) {
        if let Some(asker) = number.and_then(|number| self.unanswered.remove(&number)) {
            // Who asked may have left.
            let _left = asker.send(body);
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Open(document, done) => {
                let shown = self.show(&document, true);
                let _left = done.send(shown);
            }
            Order::Close(uris, done) => {
                for notice in uris.iter().filter_map(|uri| self.documents.close(uri)) {
                    self.peer.tell(&notice);
                }
                let _left = done.send(());
            }
            Order::Ask(asked) => self.ask(asked),
            Order::Forget(number) => {
                if self.unanswered.remove(&number).is_some() {
                    let params = json!({"id": number});
                    self.peer.tell(&notice("$/cancelRequest", &params));
                }
            }
        }
    }

    fn ask(&mut self, asked: Question) {
        // Who left the queue wants no answer.
        if asked.answer.is_closed() {
            return;
        }
        if let Some(document) = &asked.about {
            // Only holding a document can be refused.
            let _shown = self.show(document, false);
        }
        let message = question(asked.number, asked.method, &asked.params);
        self.peer.tell(&message);
        self.unanswered.insert(asked.number, asked.answer);
    }

    fn show(&mut self, document: &Document, hold: bool) -> Result<(), TooMany> {
        for notice in self.documents.show(document, hold)? {
            self.peer.tell(&notice);
        }
        Ok(())
    }

    /// Asks it to end by itself, as the protocol has it.
    async fn say_goodbye(&mut self) {
        self.peer
            .tell(&question(SHUTDOWN, "shutdown", &Value::Null));
        let deadline = Instant::now() + SHUTDOWN_WAIT;
        let said = tokio::select! {
            // Both may be dropped: what follows does not depend on how far they were.
            answer = self.await_answer(SHUTDOWN) => answer.is_ok(),
            () = sleep_until(deadline) => false,
        };
        if said {
            self.peer.tell(&notice("exit", &Value::Null));
            let ended = async { while self.await_answer(SHUTDOWN).await.is_ok() {} };
            // Where this passes it is killed.
            let _late = timeout(SHUTDOWN_WAIT, ended).await;
        }
    }
}
