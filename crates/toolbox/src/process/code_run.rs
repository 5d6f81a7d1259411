//! `POST /process/code-run`: a piece of source, run by the interpreter of its language.
//!
//! Interpreters are executed directly, with no shell between: arguments arrive as given. Source
//! for python and node comes from standard input, as a file in memory that is at its end once the
//! interpreter has read it, so that tracebacks say `<stdin>` and `input()` sees the end.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::http::reply::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::charts;
use super::execute::{not_started, response, timed_out};
use super::run::{self, Command, Ending, Outcome};
use super::shell::Invocation;
use crate::environment::{DEFAULT_PATH, Variables};
use crate::files::scratch::Scratch;
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::number::Seconds;
use crate::toolbox::Toolbox;

/// `node -` leaves the dash among the arguments; programs expect their first argument there. On
/// the source's first line, so that line numbers stay true.
const NODE_PRELUDE: &str = "process.argv.splice(1,1);";

#[derive(Debug, Deserialize)]
pub(crate) struct CodeRunRequest {
    code: String,
    language: String,
    argv: Option<Vec<String>>,
    envs: Option<Variables>,
    timeout: Option<Seconds>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Python,
    JavaScript,
    TypeScript,
}

impl Language {
    fn parse(text: &str) -> Result<Self, Failure> {
        match text.to_ascii_lowercase().as_str() {
            "python" => Ok(Self::Python),
            "javascript" => Ok(Self::JavaScript),
            "typescript" => Ok(Self::TypeScript),
            _ => Err(Failure::bad_request(format!(
                "language {text:?}: accepted are python, javascript, typescript"
            ))),
        }
    }
}

pub(crate) async fn code_run(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<CodeRunRequest>,
) -> Result<Response, Failure> {
    let language = Language::parse(&request.language)?;
    if request.code.trim().is_empty() {
        return Err(Failure::bad_request("code: must not be empty"));
    }
    let argv = request.argv.unwrap_or_default();
    if argv.iter().any(|argument| argument.contains('\0')) {
        return Err(Failure::bad_request("argv: must not contain NUL bytes"));
    }
    let env = toolbox
        .environment
        .with(&request.envs.unwrap_or_default())?;
    let timeout = request.timeout.and_then(Seconds::limit);
    let search = search_path(&env);
    let prepared = match language {
        Language::Python => python(&request.code, &argv, &search),
        Language::JavaScript => javascript(&request.code, &argv, &search),
        Language::TypeScript => typescript(request.code.clone(), argv, &search).await,
    };
    let Ok(Prepared {
        invocation,
        scratch,
    }) = prepared.map_err(|error| error.to_string())
    else {
        return Err(Failure::internal("prepare the source"));
    };
    let Some(invocation) = invocation else {
        return Ok(not_started(missing(language)));
    };
    toolbox.refresh_stand_ins();
    let command = Command {
        invocation,
        env: &env,
        cwd: &toolbox.work_dir,
        timeout,
    };
    let outcome = run::run(&toolbox, command).await;
    drop(scratch);
    match outcome {
        Ok(Outcome {
            output,
            ending: Ending::Exited(exit),
            out_of_memory,
        }) => {
            let mut answer = response(output, exit.code());
            match language {
                Language::Python if charts::may_show(&request.code) => {
                    (answer.result, answer.artifacts) = charts::extract(&answer.result);
                }
                Language::Python | Language::JavaScript => {}
                Language::TypeScript => answer.result = without_npm_notices(&answer.result),
            }
            if out_of_memory {
                answer.say_out_of_memory(toolbox.limits.get().memory_bytes);
            }
            Ok(Json(answer).into_response())
        }
        Ok(Outcome {
            output,
            ending: Ending::TimedOut,
            ..
        }) => Err(timed_out(output, timeout)),
        Err(super::Error::Stopping) => Err(Failure::stopping()),
        Err(error) => Ok(not_started(error.to_text())),
    }
}

/// What to run, and a file that must live as long as it runs.
struct Prepared {
    /// `None` when no interpreter is installed.
    invocation: Option<Invocation>,
    scratch: Option<Scratch>,
}

fn python(code: &str, argv: &[String], search: &[PathBuf]) -> io::Result<Prepared> {
    let interpreter = find(search, &["python3", "python"]);
    let argv = [&["python3", "-u", "-"].map(str::to_owned)[..], argv].concat();
    let collector = charts::may_show(code).then(|| charts::collector(code));
    from_stdin(
        interpreter,
        argv,
        collector.as_deref().unwrap_or(code).as_bytes(),
    )
}

fn javascript(code: &str, argv: &[String], search: &[PathBuf]) -> io::Result<Prepared> {
    let interpreter = find(search, &["node", "nodejs"]);
    let argv = [&["node", "-"].map(str::to_owned)[..], argv].concat();
    from_stdin(
        interpreter,
        argv,
        format!("{NODE_PRELUDE}{code}").as_bytes(),
    )
}

fn from_stdin(
    interpreter: Option<PathBuf>,
    argv: Vec<String>,
    source: &[u8],
) -> io::Result<Prepared> {
    let Some(interpreter) = interpreter else {
        return Ok(Prepared {
            invocation: None,
            scratch: None,
        });
    };
    let stdin = sebring_sys::fs::memory_file("source", source)?;
    Ok(Prepared {
        invocation: Some(invocation(&interpreter, argv, stdin)?),
        scratch: None,
    })
}

/// TypeScript needs a file with the right ending: in the temporary directory, under a name nobody
/// can guess, removed when the run ends however it ends.
async fn typescript(code: String, argv: Vec<String>, search: &[PathBuf]) -> io::Result<Prepared> {
    let compiler = find(search, &["ts-node"]).map(|path| (path, vec!["ts-node"]));
    let compiler =
        compiler.or_else(|| find(search, &["npx"]).map(|path| (path, vec!["npx", "ts-node"])));
    let Some((program, mut words)) = compiler else {
        return Ok(Prepared {
            invocation: None,
            scratch: None,
        });
    };
    let scratch = spawn_blocking(move || Scratch::create(".ts", code.as_bytes()))
        .await
        .map_err(io::Error::other)??;
    let file = scratch.path().to_string_lossy().into_owned();
    words.extend([
        "-T",
        "--ignore-diagnostics",
        "5107",
        "-O",
        r#"{"module":"CommonJS"}"#,
        &file,
    ]);
    let argv = [words.into_iter().map(str::to_owned).collect(), argv].concat();
    let stdin = File::open("/dev/null")?;
    Ok(Prepared {
        invocation: Some(invocation(&program, argv, stdin)?),
        scratch: Some(scratch),
    })
}

fn invocation(program: &Path, argv: Vec<String>, stdin: File) -> io::Result<Invocation> {
    let argv = argv
        .into_iter()
        .map(|word| CString::new(word).map_err(io::Error::other));
    Ok(Invocation {
        program: sebring_sys::fs::c_path(program)?,
        argv: argv.collect::<Result<_, _>>()?,
        stdin,
        reads_stdin: true,
    })
}

/// Directories in which the new process would look for programs.
fn search_path(env: &Variables) -> Vec<PathBuf> {
    let path = env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    std::env::split_paths(path).collect()
}

/// Every place in which a program of that name may be.
pub(crate) fn programs(name: &str, env: &Variables) -> Vec<CString> {
    let paths = if name.contains('/') {
        vec![PathBuf::from(name)]
    } else {
        search_path(env)
            .into_iter()
            .map(|directory| directory.join(name))
            .collect()
    };
    paths
        .iter()
        .filter_map(|path| sebring_sys::fs::c_path(path).ok())
        .collect()
}

fn find(search: &[PathBuf], names: &[&str]) -> Option<PathBuf> {
    names
        .iter()
        .flat_map(|name| search.iter().map(move |directory| directory.join(name)))
        .find(|path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok())
}

fn missing(language: Language) -> String {
    match language {
        Language::Python => "python3 is not installed in this sandbox",
        Language::JavaScript => "node is not installed in this sandbox",
        Language::TypeScript => "neither ts-node nor npx is installed in this sandbox",
    }
    .to_owned()
}

fn without_npm_notices(output: &str) -> String {
    output
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("npm notice"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_of_npm_are_left_out_and_nothing_else() {
        let text = "one\nnpm notice new version\nnpm is fine\nlast";
        assert_eq!(without_npm_notices(text), "one\nnpm is fine\nlast");
    }
}
