//! Language servers: completions and symbols of the sandbox's own code.
//!
//! A server is a process of the sandbox's user, named by its language and its project. Whatever it
//! does, slow, dead or hostile, costs only the answers that were asked of it.
//! Must not: install servers, or start one that nobody asked for.
//! Next: `routes` for what is served, `owner` for a server's life, `index` for what servers lack.

mod bounded;
mod completion;
mod document;
mod documents;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod index;
mod language;
mod message;
mod owner;
mod peer;
pub(crate) mod routes;
mod server;
mod symbols;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::process;
use crate::toolbox::Toolbox;
use crate::upgrade::state;
use language::Language;
use server::Server;

/// Running at one time; each takes some hundred megabytes.
const SERVERS_MAX: usize = 8;

/// All language servers of the sandbox.
#[derive(Debug, Default)]
pub(crate) struct LanguageServers {
    servers: Mutex<Vec<Arc<Server>>>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no {language} language server was started for {project}: POST /lsp/start first",
        language = .language.name(), project = .project.display())]
    NotStarted {
        language: Language,
        project: PathBuf,
    },
    #[error("the {language} language server for {project} is gone: {reason}; start it again",
        language = .language.name(), project = .project.display())]
    Ended {
        language: Language,
        project: PathBuf,
        reason: Arc<str>,
    },
    #[error("{SERVERS_MAX} language servers run, the maximum; stop one first")]
    TooMany,
    #[error("the language server did not answer {method} within {seconds} seconds")]
    TimedOut { method: &'static str, seconds: u64 },
    #[error("the language server refused: {}", .0.text())]
    Refused(message::Refusal),
    #[error("the language server's answer to {method} makes no sense: {source}")]
    Answer {
        method: &'static str,
        source: serde_json::Error,
    },
    #[error(transparent)]
    Documents(#[from] documents::TooMany),
    #[error("start {program}", program = .language.command()[0])]
    Start {
        language: Language,
        source: process::Error,
    },
    #[error("the language server was killed and does not end")]
    Stuck,
}

impl LanguageServers {
    /// Those that run. They do not go over to the next program, which only knows of them.
    pub(crate) fn save(&self) -> Vec<state::LanguageServer> {
        let servers = self.lock();
        let running = servers.iter().filter(|server| server.ended().is_none());
        let known = running.map(|server| state::LanguageServer {
            language: server.language.name().to_owned(),
            project: server.project.clone(),
        });
        known.collect()
    }

    pub(crate) fn take_up(&self, saved: &[state::LanguageServer]) {
        let mut servers = self.lock();
        for one in saved {
            if let Ok(language) = Language::parse(&one.language) {
                let gone = Server::gone(language, &one.project, "the toolbox was upgraded");
                servers.push(Arc::new(gone));
            }
        }
    }

    /// Ends all at once, without waiting.
    pub(crate) fn kill(&self) {
        self.lock().iter().for_each(|server| server.kill());
    }

    /// Starts a server unless it runs, and waits until it can be asked.
    async fn start(
        &self,
        toolbox: &Toolbox,
        language: Language,
        project: &Path,
    ) -> Result<(), Error> {
        let server = self.ensure(toolbox, language, project)?;
        server.ready().await
    }

    fn ensure(
        &self,
        toolbox: &Toolbox,
        language: Language,
        project: &Path,
    ) -> Result<Arc<Server>, Error> {
        let mut servers = self.lock();
        servers.retain(|server| server.ended().is_none());
        if let Some(running) = find(&servers, language, project) {
            return Ok(running);
        }
        if servers.len() >= SERVERS_MAX {
            return Err(Error::TooMany);
        }
        let started = Server::start(toolbox, language, project);
        let server = Arc::new(started.map_err(|source| Error::Start { language, source })?);
        servers.push(Arc::clone(&server));
        Ok(server)
    }

    /// The server, once it can be asked.
    async fn get(&self, language: Language, project: &Path) -> Result<Arc<Server>, Error> {
        let found = find(&self.lock(), language, project);
        let server = found.ok_or_else(|| not_started(language, project))?;
        server.ready().await?;
        Ok(server)
    }

    async fn stop(&self, language: Language, project: &Path) -> Result<(), Error> {
        let server = {
            let mut servers = self.lock();
            let found = find(&servers, language, project);
            let server = found.ok_or_else(|| not_started(language, project))?;
            servers.retain(|other| !Arc::ptr_eq(other, &server));
            server
        };
        if server.stop().await {
            Ok(())
        } else {
            Err(Error::Stuck)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Server>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(servers: &[Arc<Server>], language: Language, project: &Path) -> Option<Arc<Server>> {
    let mut servers = servers.iter();
    let found = servers.find(|server| server.language == language && server.project == project);
    found.map(Arc::clone)
}

fn not_started(language: Language, project: &Path) -> Error {
    Error::NotStarted {
        language,
        project: project.to_owned(),
    }
}
