//! A language server as requests see it: something that is asked and answers by a deadline.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::BytesMut;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::Error;
use super::document::Document;
use super::documents::Documents;
use super::language::Language;
use super::message;
use super::owner::{FIRST_NUMBER, Order, Owner, Phase, Question};
use super::peer::Peer;
use crate::process::{self, Tree};
use crate::toolbox::Toolbox;

/// Orders that wait for the task.
const ORDERS_MAX: usize = 64;
/// For an answer; the first one about a large project takes long.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// For a stop, whose parts have shorter deadlines of their own.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Dropping the last handle stops the server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) language: Language,
    pub(super) project: PathBuf,
    orders: mpsc::Sender<Order>,
    stop: Arc<Notify>,
    phase: watch::Receiver<Phase>,
    tree: Weak<Tree>,
    next_number: AtomicU64,
}

impl Server {
    /// Starts the process; it gets ready by itself. Call on the thread that collects.
    pub(super) fn start(
        toolbox: &Toolbox,
        language: Language,
        project: &Path,
    ) -> Result<Self, process::Error> {
        let peer = Peer::start(toolbox, language, project)?;
        let tree = peer.tree();
        let (orders, received) = mpsc::channel(ORDERS_MAX);
        let (phase, watched) = watch::channel(Phase::Starting);
        let stop = Arc::new(Notify::new());
        let owner = Owner {
            peer,
            language,
            orders: received,
            stop: Arc::clone(&stop),
            phase,
            documents: Documents::default(),
            unanswered: std::collections::HashMap::new(),
        };
        toolbox
            .tasks
            .spawn("language server", owner.serve(project.to_owned()));
        Ok(Self {
            language,
            project: project.to_owned(),
            orders,
            stop,
            phase: watched,
            tree,
            next_number: AtomicU64::new(FIRST_NUMBER),
        })
    }

    /// One of which only its end is known.
    pub(super) fn gone(language: Language, project: &Path, reason: &str) -> Self {
        Self {
            language,
            project: project.to_owned(),
            orders: mpsc::channel(1).0,
            stop: Arc::new(Notify::new()),
            phase: watch::channel(Phase::Ended(reason.into())).1,
            tree: Weak::new(),
            next_number: AtomicU64::new(FIRST_NUMBER),
        }
    }

    /// At once, without waiting.
    pub(super) fn kill(&self) {
        if let Some(tree) = self.tree.upgrade() {
            tree.kill();
        }
    }

    /// Why it has ended, if so.
    pub(super) fn ended(&self) -> Option<Arc<str>> {
        match &*self.phase.borrow() {
            // Its task would have told why, unless it broke.
            Phase::Starting | Phase::Ready => {
                self.orders.is_closed().then(|| "it has ended".into())
            }
            Phase::Ended(reason) => Some(Arc::clone(reason)),
        }
    }

    /// Until it can be asked; its start has a deadline.
    pub(super) async fn ready(&self) -> Result<(), Error> {
        let mut phase = self.phase.clone();
        let reached = phase.wait_for(|phase| !matches!(phase, Phase::Starting));
        match reached.await.as_deref() {
            Ok(Phase::Ready | Phase::Starting) => Ok(()),
            Ok(Phase::Ended(_)) | Err(_) => Err(self.end()),
        }
    }

    /// Keeps a document open.
    pub(super) async fn open(&self, document: Document) -> Result<(), Error> {
        let (done, opened) = oneshot::channel();
        let order = Order::Open(document, done);
        Ok(self.order("textDocument/didOpen", order, opened).await??)
    }

    /// Closes those of the documents that are open.
    pub(super) async fn close(&self, uris: Vec<String>) -> Result<(), Error> {
        let (done, closed) = oneshot::channel();
        let order = Order::Close(uris, done);
        self.order("textDocument/didClose", order, closed).await
    }

    /// Asks, after the server was shown what the question is about.
    pub(super) async fn ask<T: DeserializeOwned + Default>(
        &self,
        method: &'static str,
        params: Value,
        about: Option<Document>,
    ) -> Result<T, Error> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let asked = Question {
            number,
            method,
            params,
            about,
            answer,
        };
        let body: Result<BytesMut, Error> = self.order(method, Order::Ask(asked), answered).await;
        if matches!(body, Err(Error::TimedOut { .. })) {
            // Where there is no room for that, the number is forgotten when room is needed.
            let _full = self.orders.try_send(Order::Forget(number));
        }
        match message::result(&body?) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(refusal)) => Err(Error::Refused(refusal)),
            Err(source) => Err(Error::Answer { method, source }),
        }
    }

    async fn order<T>(
        &self,
        method: &'static str,
        order: Order,
        done: oneshot::Receiver<T>,
    ) -> Result<T, Error> {
        let whole = async {
            self.orders.send(order).await.map_err(|_| self.end())?;
            done.await.map_err(|_| self.end())
        };
        match timeout(ANSWER_WAIT, whole).await {
            Ok(done) => done,
            Err(_) => Err(Error::TimedOut {
                method,
                seconds: ANSWER_WAIT.as_secs(),
            }),
        }
    }

    /// Ends it; whether it is gone.
    pub(super) async fn stop(&self) -> bool {
        self.stop.notify_one();
        let mut phase = self.phase.clone();
        let ended = phase.wait_for(|phase| matches!(phase, Phase::Ended(_)));
        timeout(STOP_WAIT, ended).await.is_ok()
    }

    fn end(&self) -> Error {
        let reason = self.ended().unwrap_or_else(|| "it has ended".into());
        Error::Ended {
            language: self.language,
            project: self.project.clone(),
            reason,
        }
    }
}
