//! The paths of computer use, and those about the desktop's programs.
//!
//! Next: `screen`, `input`, `access` and `recording` for the others' handlers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use http::StatusCode;
use sebring_api::boot::RECORDINGS_ROUTE;
use serde::Serialize;

use super::access::routes as access;
use super::desktop::{self, Means, Overall, Program};
use super::input::{keyboard, mouse};
use super::kit;
use super::recording::{page, routes as recording};
use super::screen::{displays, screenshot, windows};
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

pub(crate) fn routes() -> Router<Arc<Toolbox>> {
    Router::new()
        .merge(programs())
        .merge(screen())
        .merge(input())
        .merge(accessibility())
        .merge(recordings())
}

fn programs() -> Router<Arc<Toolbox>> {
    Router::new()
        .route("/computeruse/start", post(start))
        .route("/computeruse/stop", post(stop))
        .route("/computeruse/status", get(status))
        .route("/computeruse/process-status", get(status))
        .route("/computeruse/process/{name}/status", get(process_status))
        .route("/computeruse/process/{name}/restart", post(restart))
        .route("/computeruse/process/{name}/logs", get(logs))
        .route("/computeruse/process/{name}/errors", get(errors))
}

fn screen() -> Router<Arc<Toolbox>> {
    Router::new()
        .route("/computeruse/screenshot", get(screenshot::full))
        .route("/computeruse/screenshot/region", get(screenshot::part))
        .route(
            "/computeruse/screenshot/compressed",
            get(screenshot::full_compressed),
        )
        .route(
            "/computeruse/screenshot/region/compressed",
            get(screenshot::part_compressed),
        )
        .route("/computeruse/display/info", get(displays::info))
        .route("/computeruse/display/windows", get(windows::list))
}

fn input() -> Router<Arc<Toolbox>> {
    Router::new()
        .route("/computeruse/mouse/position", get(mouse::position))
        .route("/computeruse/mouse/move", post(mouse::go))
        .route("/computeruse/mouse/click", post(mouse::click))
        .route("/computeruse/mouse/drag", post(mouse::drag))
        .route("/computeruse/mouse/scroll", post(mouse::scroll))
        .route("/computeruse/mouse/down", post(mouse::down))
        .route("/computeruse/mouse/up", post(mouse::up))
        .route("/computeruse/keyboard/type", post(keyboard::type_text))
        .route("/computeruse/keyboard/key", post(keyboard::press))
        .route("/computeruse/keyboard/hotkey", post(keyboard::hotkey))
        .route("/computeruse/keyboard/down", post(keyboard::down))
        .route("/computeruse/keyboard/up", post(keyboard::up))
}

fn accessibility() -> Router<Arc<Toolbox>> {
    Router::new()
        .route("/computeruse/a11y/tree", get(access::tree))
        .route("/computeruse/a11y/find", post(access::find))
        .route("/computeruse/a11y/node/focus", post(access::focus))
        .route("/computeruse/a11y/node/invoke", post(access::invoke))
        .route("/computeruse/a11y/node/value", post(access::set_value))
}

fn recordings() -> Router<Arc<Toolbox>> {
    Router::new()
        .route("/computeruse/recordings", get(recording::list))
        .route("/computeruse/recordings/start", post(recording::start))
        .route("/computeruse/recordings/stop", post(recording::stop))
        .route(
            "/computeruse/recordings/{id}",
            get(recording::one).delete(recording::delete),
        )
        .route(
            "/computeruse/recordings/{id}/download",
            get(recording::download),
        )
        .route(RECORDINGS_ROUTE, get(recording::list).delete(page::delete))
        .route(&format!("{RECORDINGS_ROUTE}/{{name}}"), get(page::video))
}

#[derive(Debug, Serialize)]
struct Changed {
    message: &'static str,
    status: BTreeMap<&'static str, ProgramStatus>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProgramStatus {
    running: bool,
    priority: u32,
    auto_restart: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
}

#[derive(Debug, Serialize)]
struct Status {
    status: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct About<T: Serialize> {
    process_name: String,
    #[serde(flatten)]
    what: T,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Running(bool),
    Message(&'static str),
    Logs(String),
    Errors(String),
}

/// Runs to its end even when the client leaves, so that no half of a desktop stays.
async fn start(State(toolbox): State<Arc<Toolbox>>) -> Result<Json<Changed>, Failure> {
    let owner = Arc::clone(&toolbox);
    let started = toolbox.tasks.spawn("desktop start", async move {
        let desktop = &owner.computer.desktop;
        desktop.start(&owner.environment, &means(&owner)).await
    });
    finished(started.await)?;
    Ok(Json(changed(&toolbox, "the desktop is running")))
}

async fn stop(State(toolbox): State<Arc<Toolbox>>) -> Result<Json<Changed>, Failure> {
    kit::has_display_server(&toolbox.environment.get())?;
    let owner = Arc::clone(&toolbox);
    let stopped = toolbox.tasks.spawn("desktop stop", async move {
        // Films end before what they show.
        owner.computer.recordings.stop_all().await;
        owner.computer.desktop.stop().await;
        Ok(())
    });
    finished(stopped.await)?;
    Ok(Json(changed(&toolbox, "the desktop is stopped")))
}

async fn status(State(toolbox): State<Arc<Toolbox>>) -> Result<Json<Status>, Failure> {
    kit::has_display_server(&toolbox.environment.get())?;
    let status = match toolbox.computer.desktop.overall() {
        Overall::Active => "active",
        Overall::Partial => "partial",
        Overall::Inactive => "inactive",
    };
    Ok(Json(Status { status }))
}

async fn process_status(
    State(toolbox): State<Arc<Toolbox>>,
    Path(name): Path<String>,
) -> Result<Json<About<What>>, Failure> {
    let program = program(&toolbox, &name)?;
    let running = program.is_some_and(|program| program.pid().is_some());
    Ok(about(name, What::Running(running)))
}

async fn restart(
    State(toolbox): State<Arc<Toolbox>>,
    Path(name): Path<String>,
) -> Result<Json<About<What>>, Failure> {
    kit::has_display_server(&toolbox.environment.get())?;
    let (owner, asked) = (Arc::clone(&toolbox), name.clone());
    let restarted = toolbox.tasks.spawn("desktop restart", async move {
        owner.computer.desktop.restart(&asked).await
    });
    finished(restarted.await)?;
    Ok(about(name, What::Message("restarted")))
}

async fn logs(
    State(toolbox): State<Arc<Toolbox>>,
    Path(name): Path<String>,
) -> Result<Json<About<What>>, Failure> {
    let text = log(program(&toolbox, &name)?, false).await?;
    Ok(about(name, What::Logs(text)))
}

async fn errors(
    State(toolbox): State<Arc<Toolbox>>,
    Path(name): Path<String>,
) -> Result<Json<About<What>>, Failure> {
    let text = log(program(&toolbox, &name)?, true).await?;
    Ok(about(name, What::Errors(text)))
}

fn about(process_name: String, what: What) -> Json<About<What>> {
    Json(About { process_name, what })
}

fn program(toolbox: &Toolbox, name: &str) -> Result<Option<Arc<Program>>, Failure> {
    kit::has_display_server(&toolbox.environment.get())?;
    Ok(toolbox.computer.desktop.program(name)?)
}

/// Empty for what was never started.
async fn log(program: Option<Arc<Program>>, errors: bool) -> Result<String, Failure> {
    let Some(program) = program else {
        return Ok(String::new());
    };
    let read = tokio::task::spawn_blocking(move || program.log(errors));
    read.await
        .map_err(|_| Failure::internal("the log could not be read"))
}

fn means(toolbox: &Toolbox) -> Means {
    Means {
        processes: Arc::clone(&toolbox.processes),
        tasks: toolbox.tasks.clone(),
    }
}

fn changed(toolbox: &Toolbox, message: &'static str) -> Changed {
    let programs = toolbox.computer.desktop.programs();
    let status = programs.iter().map(|program| {
        let status = ProgramStatus {
            running: program.pid().is_some(),
            priority: program.part.priority,
            auto_restart: program.part.auto_restart,
            pid: program.pid(),
        };
        (program.part.name, status)
    });
    Changed {
        message,
        status: status.collect(),
    }
}

fn finished<E>(outcome: Result<Option<Result<(), desktop::Error>>, E>) -> Result<(), Failure> {
    match outcome {
        Ok(Some(done)) => done.map_err(Failure::from),
        _ => Err(Failure::internal(
            "the change of the desktop did not finish",
        )),
    }
}

impl From<desktop::Error> for Failure {
    fn from(error: desktop::Error) -> Self {
        use desktop::Error;
        match error {
            Error::Missing(missing) => missing.into(),
            Error::Layout(error) => error.into(),
            Error::Environment(error) => error.into(),
            Error::NotRunning => super::failure::not_running(),
            Error::Unknown { .. } => Self::bad_request(error.to_string()),
            Error::Folder(ref source) => Self::internal(format!("{error}: {source}")),
            Error::NotUp { ref log, .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "DESKTOP_START_FAILED",
                error.to_string(),
            )
            .with("details", log.clone()),
        }
    }
}
