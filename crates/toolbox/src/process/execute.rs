//! `POST /process/execute`: one command, its merged output, its exit code.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::http::reply::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::charts::Artifacts;
use super::output::Kept;
use super::run::{self, Command, Ending, Outcome};
use super::shell::{self, Shell};
use crate::environment::Variables;
use crate::http::body::JsonBody;
use crate::http::client::is_strict;
use crate::http::error::Failure;
use crate::http::number::Seconds;
use crate::toolbox::Toolbox;

#[derive(Debug, Deserialize)]
pub(crate) struct ExecuteRequest {
    command: String,
    cwd: Option<String>,
    envs: Option<Variables>,
    timeout: Option<Seconds>,
}

/// Both `execute` and `code-run` answer this.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExecuteResponse {
    pub(crate) result: String,
    pub(crate) exit_code: i32,
    /// Present when the middle of the output was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) truncated: Option<Truncated>,
    /// Present when the kernel killed it because the sandbox's memory was used up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    oom_killed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) artifacts: Option<Artifacts>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Truncated {
    dropped_bytes: u64,
}

pub(crate) async fn execute(
    State(toolbox): State<Arc<Toolbox>>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ExecuteRequest>,
) -> Result<Response, Failure> {
    if request.command.trim().is_empty() {
        return Err(Failure::bad_request("command: must not be empty"));
    }
    let env = toolbox
        .environment
        .with(&request.envs.unwrap_or_default())?;
    let cwd = directory(&toolbox, request.cwd.as_deref());
    let timeout = request.timeout.and_then(Seconds::limit);
    let invocation = match Shell::find().and_then(|shell| shell.script(&request.command)) {
        Ok(invocation) => invocation,
        Err(shell::Error::Nul) => {
            return Err(Failure::bad_request("command: must not contain NUL bytes"));
        }
        Err(error) => return Ok(not_started(error.to_string())),
    };
    toolbox.refresh_stand_ins();
    let command = Command {
        invocation,
        env: &env,
        cwd: &cwd,
        timeout,
    };
    match run::run(&toolbox, command).await {
        Ok(outcome) => answer(&toolbox, outcome, timeout, is_strict(&headers)),
        Err(super::Error::Stopping) => Err(Failure::stopping()),
        Err(error) => Ok(not_started(error.to_text())),
    }
}

/// Where a command runs: as asked, relative to the working directory.
pub(crate) fn directory(toolbox: &Toolbox, asked: Option<&str>) -> PathBuf {
    match asked {
        Some(path) if !path.is_empty() => toolbox.work_dir.join(path),
        _ => toolbox.work_dir.clone(),
    }
}

fn answer(
    toolbox: &Toolbox,
    outcome: Outcome,
    timeout: Option<Duration>,
    is_strict: bool,
) -> Result<Response, Failure> {
    match outcome.ending {
        Ending::Exited(exit) => {
            let mut answer = response(outcome.output, exit.code());
            if outcome.out_of_memory {
                answer.say_out_of_memory(toolbox.limits.get().memory_bytes);
            }
            if is_strict {
                // The text says both as well.
                answer.truncated = None;
                answer.oom_killed = false;
            }
            Ok(Json(answer).into_response())
        }
        Ending::TimedOut => Err(timed_out(outcome.output, timeout)),
    }
}

pub(crate) fn response(output: Kept, exit_code: i32) -> ExecuteResponse {
    let dropped_bytes = output.dropped();
    ExecuteResponse {
        result: output.into_text(),
        exit_code,
        truncated: (dropped_bytes > 0).then_some(Truncated { dropped_bytes }),
        oom_killed: false,
        artifacts: None,
    }
}

impl ExecuteResponse {
    /// In a field for programs, and as the last line for people, who see nothing else.
    pub(crate) fn say_out_of_memory(&mut self, limit_bytes: u64) {
        self.oom_killed = true;
        if !self.result.is_empty() && !self.result.ends_with('\n') {
            self.result.push('\n');
        }
        let limit = match limit_bytes {
            whole if whole.is_multiple_of(1 << 30) => format!("{} GiB", whole >> 30),
            other => format!("{} MiB", other >> 20),
        };
        let line = format!("killed: out of memory (the sandbox's limit is {limit})\n");
        self.result.push_str(&line);
    }
}

/// The contract's answer to a command that cannot even start: a result, not an error.
pub(crate) fn not_started(reason: String) -> Response {
    Json(ExecuteResponse {
        result: reason,
        exit_code: -1,
        truncated: None,
        oom_killed: false,
        artifacts: None,
    })
    .into_response()
}

pub(crate) fn timed_out(output: Kept, timeout: Option<Duration>) -> Failure {
    let seconds = timeout.unwrap_or_default().as_secs_f64();
    Failure::new(
        StatusCode::REQUEST_TIMEOUT,
        "PROCESS_EXECUTION_TIMEOUT",
        format!(
            "command execution timeout: not finished after {seconds} s, ended with all it started"
        ),
    )
    .with("result", output.into_text())
}
