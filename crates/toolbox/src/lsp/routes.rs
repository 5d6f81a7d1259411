//! `/lsp/…`: what clients ask of language servers.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::bounded::Bounded;
use super::completion::Completions;
use super::document::{self, Document};
use super::language::{Language, Unknown};
use super::server::Server;
use super::symbols::{self, Position, Symbol, Told};
use super::{Error, index};
use crate::files::blocking;
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::process;
use crate::toolbox::Toolbox;

/// By the client's own wish, when it does not say how a completion came about.
const INVOKED: u32 = 1;
/// Of a query for symbols; names are shorter.
const QUERY_CHARS_MAX: usize = 1000;

pub(crate) fn router() -> Router<Arc<Toolbox>> {
    Router::new()
        .route("/lsp/start", post(start))
        .route("/lsp/stop", post(stop))
        .route("/lsp/did-open", post(did_open))
        .route("/lsp/did-close", post(did_close))
        .route("/lsp/completions", post(completions))
        .route("/lsp/document-symbols", get(document_symbols))
        .route("/lsp/workspacesymbols", get(workspace_symbols))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerRequest {
    language_id: String,
    path_to_project: String,
}

#[derive(Debug, Deserialize)]
struct DocumentRequest {
    #[serde(flatten)]
    server: ServerRequest,
    uri: String,
}

#[derive(Debug, Deserialize)]
struct CompletionRequest {
    #[serde(flatten)]
    document: DocumentRequest,
    position: Position,
    context: Option<CompletionContext>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CompletionContext {
    trigger_kind: u32,
    trigger_character: Option<String>,
}

/// Which server is meant.
struct Key {
    language: Language,
    project: PathBuf,
}

impl Key {
    fn of(toolbox: &Toolbox, language: &str, project: &str) -> Result<Self, Failure> {
        if project.is_empty() || project.contains('\0') {
            return Err(Failure::bad_request(
                "pathToProject: must name a directory, without NUL bytes",
            ));
        }
        let project = project.strip_prefix("file://").unwrap_or(project);
        Ok(Self {
            language: Language::parse(language)?,
            // A trailing slash makes no other project.
            project: toolbox.resolve(project).components().collect(),
        })
    }

    fn of_request(toolbox: &Toolbox, request: &ServerRequest) -> Result<Self, Failure> {
        Self::of(toolbox, &request.language_id, &request.path_to_project)
    }

    fn of_query(toolbox: &Toolbox, query: &Query) -> Result<Self, Failure> {
        let language = query.required("languageId")?;
        Self::of(toolbox, language, query.required("pathToProject")?)
    }

    async fn server(&self, toolbox: &Toolbox) -> Result<Arc<Server>, Failure> {
        let found = toolbox.language_servers.get(self.language, &self.project);
        Ok(found.await?)
    }

    fn candidates(&self, toolbox: &Toolbox, uri: &str) -> Vec<PathBuf> {
        document::candidates(uri, &self.project, &toolbox.work_dir)
    }

    async fn document(&self, toolbox: &Toolbox, uri: &str) -> Result<Document, Failure> {
        let (paths, language) = (self.candidates(toolbox, uri), self.language);
        blocking(move || document::read_first(&paths, language)).await
    }
}

async fn start(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<ServerRequest>,
) -> Result<(), Failure> {
    let key = Key::of_request(&toolbox, &request)?;
    let servers = &toolbox.language_servers;
    Ok(servers.start(&toolbox, key.language, &key.project).await?)
}

async fn stop(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<ServerRequest>,
) -> Result<(), Failure> {
    let key = Key::of_request(&toolbox, &request)?;
    let servers = &toolbox.language_servers;
    Ok(servers.stop(key.language, &key.project).await?)
}

async fn did_open(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<DocumentRequest>,
) -> Result<(), Failure> {
    let key = Key::of_request(&toolbox, &request.server)?;
    let server = key.server(&toolbox).await?;
    let document = key.document(&toolbox, &request.uri).await?;
    Ok(server.open(document).await?)
}

/// The file itself may be gone, so it is not looked for.
async fn did_close(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<DocumentRequest>,
) -> Result<(), Failure> {
    let key = Key::of_request(&toolbox, &request.server)?;
    let server = key.server(&toolbox).await?;
    let paths = key.candidates(&toolbox, &request.uri);
    let uris = paths.iter().map(|path| document::uri(path)).collect();
    Ok(server.close(uris).await?)
}

async fn completions(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<CompletionRequest>,
) -> Result<Json<Completions>, Failure> {
    let key = Key::of_request(&toolbox, &request.document.server)?;
    let server = key.server(&toolbox).await?;
    let document = key.document(&toolbox, &request.document.uri).await?;
    let mut params = json!({
        "textDocument": {"uri": document.uri},
        "position": document.clamp(request.position)?,
    });
    let context = request.context;
    let kind = context.as_ref().map_or(INVOKED, |told| told.trigger_kind);
    params["context"] = json!({"triggerKind": kind});
    if let Some(character) = context.and_then(|told| told.trigger_character) {
        params["context"]["triggerCharacter"] = Value::String(character);
    }
    let method = "textDocument/completion";
    Ok(Json(server.ask(method, params, Some(document)).await?))
}

async fn document_symbols(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
) -> Result<Json<Vec<Symbol>>, Failure> {
    let key = Key::of_query(&toolbox, &query)?;
    let uri = query.required("uri")?;
    let server = key.server(&toolbox).await?;
    let document = key.document(&toolbox, uri).await?;
    let uri = document.uri.clone();
    let params = json!({"textDocument": {"uri": uri}});
    let method = "textDocument/documentSymbol";
    let told: Bounded<Told> = server.ask(method, params, Some(document)).await?;
    Ok(Json(symbols::flat(told, &uri)))
}

async fn workspace_symbols(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
) -> Result<Json<Vec<Symbol>>, Failure> {
    let key = Key::of_query(&toolbox, &query)?;
    let wanted = query.get("query").unwrap_or_default();
    if wanted.chars().count() > QUERY_CHARS_MAX {
        return Err(Failure::bad_request(format!(
            "query query: has more than {QUERY_CHARS_MAX} characters"
        )));
    }
    let server = key.server(&toolbox).await?;
    let told = match ask_workspace(&server, wanted, None).await {
        Err(Error::Refused(refusal)) if refusal.is_unknown_method() => {
            return Ok(Json(index::search(&server, wanted).await?));
        }
        Err(Error::Refused(refusal)) => {
            // Some know a project only once they have seen a file of it.
            let Some(path) = index::any_file(&server).await? else {
                return Err(Error::Refused(refusal).into());
            };
            let language = key.language;
            let document = blocking(move || document::read(&path, language)).await?;
            ask_workspace(&server, wanted, Some(document)).await?
        }
        told => told?,
    };
    Ok(Json(symbols::flat(told, &document::uri(&key.project))))
}

async fn ask_workspace(
    server: &Server,
    wanted: &str,
    about: Option<Document>,
) -> Result<Bounded<Told>, Error> {
    let params = json!({"query": wanted});
    server.ask("workspace/symbol", params, about).await
}

impl From<Unknown> for Failure {
    fn from(error: Unknown) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::NotStarted { .. } | Error::Ended { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "LSP_SERVER_NOT_INITIALIZED", text)
            }
            Error::TooMany => too_many(text),
            Error::Documents(_) => Self::new(StatusCode::CONFLICT, "CONFLICT", text),
            Error::TimedOut { .. } => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", text)
            }
            Error::Refused(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "UNPROCESSABLE_ENTITY",
                text,
            ),
            Error::Answer { .. } | Error::Stuck => Self::internal(text),
            Error::Start { language, source } => not_started(language, &source),
        }
    }
}

fn too_many(text: String) -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_PROCESSES", text)
}

fn not_started(language: Language, error: &process::Error) -> Failure {
    use process::Error;
    let text = error.to_text();
    match error {
        Error::Stopping => Failure::stopping(),
        Error::Directory { .. } => Failure::bad_request(format!("pathToProject: {text}")),
        Error::Execute { .. } => Failure::bad_request(format!(
            "{text}; where it is missing, install it: {}",
            language.remedy()
        )),
        Error::Exhausted | Error::TooMany(_) => too_many(text),
        Error::Start(_) => Failure::internal(text),
    }
}
