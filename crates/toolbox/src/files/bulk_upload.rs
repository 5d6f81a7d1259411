//! `POST /files/bulk-upload`: many files in one form, each stored as it arrives.
//!
//! Fields are `files[i].path` and `files[i].file`; the index ties them together and the path
//! comes first. One bad file does not keep the others from being stored.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use serde::Serialize;
use serde_json::json;

use super::form::{self, Field, Form};
use super::sink::Sink;
use super::upload::broken;
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

const DIRECTORY_MODE: u32 = 0o755;
/// The kernel's own limit for a path.
const PATH_BYTES_MAX: usize = 4096;
/// Files of one request.
const FILES_MAX: usize = 100_000;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    files: Vec<Stored>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Stored {
    path: String,
    bytes: u64,
}

/// Which part of which file a field carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Path(usize),
    File(usize),
}

pub(crate) async fn bulk_upload(
    State(toolbox): State<Arc<Toolbox>>,
    request: Request,
) -> Result<Json<Answer>, Failure> {
    let mut form = Form::open(request).await?;
    let mut paths: HashMap<usize, String> = HashMap::new();
    let mut answer = Answer {
        files: Vec::new(),
        errors: Vec::new(),
    };
    loop {
        let mut field = match form.next_field().await {
            Ok(Some(field)) => field,
            Ok(None) => break,
            Err(error) => {
                answer.errors.push(cut_short(&error));
                break;
            }
        };
        if answer.files.len() + answer.errors.len() > FILES_MAX || paths.len() > FILES_MAX {
            answer
                .errors
                .push(format!("files: maximum {FILES_MAX} in one request"));
            break;
        }
        match receive(&toolbox, &mut paths, &mut field).await {
            Ok(Some(stored)) => answer.files.push(stored),
            Ok(None) => {}
            Err(error) => answer.errors.push(error),
        }
        if let Err(error) = field.skip().await {
            answer.errors.push(cut_short(&error));
            break;
        }
    }
    if answer.files.is_empty() && answer.errors.is_empty() {
        answer
            .errors
            .push("files[0].path and files[0].file: are required".to_owned());
    }
    if answer.errors.is_empty() {
        return Ok(Json(answer));
    }
    let failure = Failure::bad_request(answer.errors.join("; "));
    Err(failure
        .with("errors", answer.errors)
        .with("files", json!(answer.files)))
}

/// What came before is stored; what is missing must not look stored.
fn cut_short(error: &form::Error) -> String {
    broken(error).message().to_owned()
}

/// A path to remember, or a file to store.
async fn receive(
    toolbox: &Toolbox,
    paths: &mut HashMap<usize, String>,
    field: &mut Field<'_>,
) -> Result<Option<Stored>, String> {
    match field.name().and_then(part) {
        Some(Part::Path(index)) => {
            paths.insert(index, text(field).await?);
            Ok(None)
        }
        Some(Part::File(index)) => match paths.get(&index) {
            Some(path) => store(toolbox, path, field).await.map(Some),
            None => Err(format!(
                "files[{index}].path: must come before files[{index}].file"
            )),
        },
        None => Ok(None),
    }
}

fn part(name: &str) -> Option<Part> {
    let (index, kind) = name.strip_prefix("files[")?.split_once("].")?;
    let index = index.parse().ok()?;
    match kind {
        "path" => Some(Part::Path(index)),
        "file" => Some(Part::File(index)),
        _ => None,
    }
}

async fn text(field: &mut Field<'_>) -> Result<String, String> {
    let mut text = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(|error| error.to_string())? {
        if text.len() + piece.len() > PATH_BYTES_MAX {
            return Err(format!("path: maximum {PATH_BYTES_MAX} bytes"));
        }
        text.extend_from_slice(&piece);
    }
    match String::from_utf8(text) {
        Ok(path) if !path.is_empty() => Ok(path),
        Ok(_) => Err("path: must not be empty".to_owned()),
        Err(_) => Err("path: is not UTF-8".to_owned()),
    }
}

async fn store(toolbox: &Toolbox, path: &str, field: &mut Field<'_>) -> Result<Stored, String> {
    let mut sink = Sink::open(toolbox.resolve(path), DIRECTORY_MODE);
    let mut wanted = true;
    while let Some(piece) = field
        .chunk()
        .await
        .map_err(|error| format!("{path}: {error}"))?
    {
        wanted = wanted && sink.write(piece).await;
    }
    let bytes = sink.finish().await.map_err(|error| error.to_string())?;
    Ok(Stored {
        path: path.to_owned(),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_tied_together_by_their_index() {
        assert_eq!(part("files[12].path"), Some(Part::Path(12)));
        assert_eq!(part("files[0].file"), Some(Part::File(0)));
        assert_eq!(part("files[x].file"), None);
        assert_eq!(part("files[1].name"), None);
        assert_eq!(part("file"), None);
    }
}
