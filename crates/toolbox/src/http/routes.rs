//! Every path of the toolbox API.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};
use http::{Method, StatusCode, header};
use sebring_api::boot::{CLAIM_ROUTE, LIMITS_ROUTE, TERMINAL_ROUTE, UPGRADE_ROUTE};

use super::error::Failure;
use crate::claim;
use crate::computer;
use crate::files::{
    bulk_download, bulk_upload, change, directories, download, find, info as file_info, list,
    replace, search, upload, watch,
};
use crate::git;
use crate::info;
use crate::interpreter;
use crate::lsp;
use crate::network::{ports, proxy, tcp};
use crate::process::session::{logs, routes as session};
use crate::process::terminal::{connect, routes as terminal, web};
use crate::process::{attach, code_run, execute, routes as process};
use crate::toolbox::Toolbox;
use crate::upgrade;

pub(super) fn router(toolbox: Arc<Toolbox>) -> Router {
    Router::new()
        .merge(about())
        .merge(files())
        .merge(network())
        .merge(git())
        .merge(processes())
        .merge(durable_processes())
        .merge(interpreter::routes::router())
        .merge(lsp::routes::router())
        .merge(computer::routes::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        // Bodies are bounded where they are read: JSON by its extractor, files by the disk.
        .layer(DefaultBodyLimit::disable())
        .with_state(toolbox)
}

fn about() -> Router<Arc<Toolbox>> {
    Router::new()
        .route("/init", post(info::init))
        .route("/version", get(info::version))
        .route("/user-home-dir", get(info::home_dir))
        // Deprecated, and always was the home.
        .route("/project-dir", get(info::home_dir))
        .route("/work-dir", get(info::work_dir))
        .route("/env", post(info::change_environment))
        .route("/system/metrics", get(info::metrics::metrics))
}

fn files() -> Router<Arc<Toolbox>> {
    Router::new()
        .route("/files", get(list::list).delete(change::delete))
        .route("/files/", get(list::list).delete(change::delete))
        .route("/files/folder", post(change::make_folder))
        .route("/files/move", post(change::rename))
        .route("/files/permissions", post(change::set_permissions))
        .route("/files/info", get(file_info::info))
        .route("/files/search", get(search::search))
        .route("/files/find", get(find::find))
        .route("/files/replace", post(replace::replace))
        .route("/files/download", get(download::download))
        .route("/files/bulk-download", post(bulk_download::bulk_download))
        .route("/files/bulk-upload", post(bulk_upload::bulk_upload))
        .route(
            "/sebring/files/tar",
            get(directories::download).put(directories::upload),
        )
        .route("/sebring/files/watch", get(watch::watch))
        .route("/files/upload", post(upload::upload))
        .route("/files/upload-v2", post(upload::upload_v2))
}

fn processes() -> Router<Arc<Toolbox>> {
    let command = "/process/session/{session}/command/{command}";
    Router::new()
        .route("/process/execute", post(execute::execute))
        .route("/process/code-run", post(code_run::code_run))
        .route("/process/session", get(session::list).post(session::create))
        .route("/process/session/entrypoint/logs", get(logs::entrypoint))
        .route(
            "/process/session/{session}",
            get(session::get).delete(session::delete),
        )
        .route("/process/session/{session}/exec", post(session::execute))
        .route(command, get(session::command))
        .route(&format!("{command}/input"), post(session::input))
        .route(&format!("{command}/logs"), get(logs::command))
        .route("/process/pty", get(terminal::list).post(terminal::create))
        .route("/process/pty/create-connect", get(connect::create_connect))
        .route(
            "/process/pty/{id}",
            get(terminal::get).delete(terminal::delete),
        )
        .route("/process/pty/{id}/resize", post(terminal::resize))
        .route("/process/pty/{id}/connect", get(connect::connect))
}

/// Ours alone: what processes are beyond what the clients above can say.
fn durable_processes() -> Router<Arc<Toolbox>> {
    let process = "/sebring/process/{id}";
    Router::new()
        .route("/sebring/process", get(process::list).post(process::start))
        .route(process, get(process::get).delete(process::delete))
        .route(&format!("{process}/output"), get(process::output))
        .route(&format!("{process}/input"), post(process::input))
        .route(&format!("{process}/signal"), post(process::signal))
        .route(&format!("{process}/wait"), get(process::wait))
        .route(&format!("{process}/attach"), get(attach::attach))
}

fn network() -> Router<Arc<Toolbox>> {
    Router::new()
        .route("/port", get(ports::list))
        .route("/port/{port}/in-use", get(ports::in_use))
        .route("/sebring/port/{port}/wait", get(ports::wait))
        .route("/proxy/{port}", any(proxy::proxy))
        .route("/proxy/{port}/", any(proxy::proxy))
        .route("/proxy/{port}/{*path}", any(proxy::proxy))
        .route("/_sebring/tcp/{port}", post(tcp::stream))
        .route(TERMINAL_ROUTE, get(web::connect))
        .route(LIMITS_ROUTE, put(info::limits::change))
        .route(CLAIM_ROUTE, put(claim::claim))
        .route(UPGRADE_ROUTE, post(upgrade::route::upgrade))
}

fn git() -> Router<Arc<Toolbox>> {
    use git::{branches, config, history, index, remotes};
    let branches = get(branches::list)
        .post(branches::create)
        .delete(branches::delete);
    Router::new()
        .route("/git/clone", post(git::clone::clone))
        .route("/git/init", post(git::init::init))
        .route("/git/status", get(git::status::status))
        .route("/git/history", get(history::history))
        .route("/git/add", post(index::add))
        .route("/git/reset", post(index::reset))
        .route("/git/restore", post(index::restore))
        .route("/git/commit", post(git::commit::commit))
        .route("/git/branches", branches)
        .route("/git/checkout", post(git::branches::checkout))
        .route("/git/push", post(git::push::push))
        .route("/git/pull", post(git::pull::pull))
        .route("/git/remotes", get(remotes::list).post(remotes::add))
        .route("/git/config", get(config::get).post(config::set))
        .route("/git/config/user", post(config::set_user))
        .route("/git/credentials", post(git::credentials::store))
}

/// A trailing slash is forgiven by a redirect; everything else is not found.
async fn unknown(OriginalUri(uri): OriginalUri, request: Request) -> Response {
    let trimmed = uri.path().trim_end_matches('/');
    if trimmed.is_empty() || trimmed.len() == uri.path().len() {
        let message = format!("no such route: {} {}", request.method(), uri.path());
        return Failure::not_found(message).into_response();
    }
    let status = if request.method() == Method::GET {
        StatusCode::MOVED_PERMANENTLY
    } else {
        StatusCode::TEMPORARY_REDIRECT
    };
    let target = match uri.query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
    };
    (status, [(header::LOCATION, target)]).into_response()
}

async fn wrong_method(request: Request) -> Failure {
    let message = format!(
        "{} is not served at {}",
        request.method(),
        request.uri().path()
    );
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        message,
    )
}
