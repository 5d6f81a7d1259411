//! `POST /files/replace`: a text for another, everywhere in the files given, each in one step.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use super::store::Writer;
use super::{Error, blocking, content};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

/// Read at once.
const CHUNK_BYTES: usize = 256 << 10;
const DIRECTORY_MODE: u32 = 0o755;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplaceRequest {
    files: Vec<String>,
    pattern: String,
    new_value: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Replaced {
    file: String,
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn replace(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<ReplaceRequest>,
) -> Result<Json<Vec<Replaced>>, Failure> {
    if request.pattern.is_empty() {
        return Err(Failure::bad_request("pattern: must not be empty"));
    }
    let Some(new_value) = request.new_value else {
        return Err(Failure::invalid_body("missing field `newValue`"));
    };
    blocking(move || {
        let finder = Finder::new(&request.pattern);
        let replaced = request.files.into_iter().map(|file| {
            let done = replace_in(&toolbox.resolve(&file), &finder, new_value.as_bytes());
            Replaced {
                success: done.is_ok(),
                error: done.err().map(|e| e.to_string()),
                file,
            }
        });
        Ok::<_, Failure>(Json(replaced.collect()))
    })
    .await
}

/// Streams the file through; one without the text is left alone. The new content is complete
/// elsewhere before the file is touched, since not every file can be replaced in one step.
fn replace_in(path: &Path, finder: &Finder<'_>, new_value: &[u8]) -> Result<(), Error> {
    let failed = Error::at(path);
    let mut readable = content::open(path)?;
    let mut staged: Option<File> = None;
    // Bytes already seen that may still be the beginning of a match.
    let mut window: Vec<u8> = readable.whole.take().unwrap_or_default();
    let mut unchanged = 0_u64;
    loop {
        let start = window.len();
        window.resize(start + CHUNK_BYTES, 0);
        let length = readable.file.read(&mut window[start..]);
        let length = length.map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        window.truncate(start + length);
        let mut from = 0;
        while let Some(at) = finder.find(&window[from..]) {
            let staged = match &mut staged {
                Some(staged) => staged,
                None => staged.insert(stage(path, unchanged)?),
            };
            staged
                .write_all(&window[from..from + at])
                .map_err(&failed)?;
            staged.write_all(new_value).map_err(&failed)?;
            from += at + finder.needle().len();
        }
        let last = length == 0;
        let keep = if last {
            0
        } else {
            (finder.needle().len() - 1).min(window.len() - from)
        };
        let settled = window.len() - keep;
        match &mut staged {
            Some(staged) => staged.write_all(&window[from..settled]).map_err(&failed)?,
            None => unchanged += (settled - from) as u64,
        }
        window.drain(..settled);
        if last {
            return staged.map_or(Ok(()), |staged| put(staged, path));
        }
    }
}

/// A nameless file with what of the old content was passed without a match.
fn stage(path: &Path, unchanged: u64) -> Result<File, Error> {
    let made = sebring_sys::fs::nameless(Path::new("/tmp"), 0o600)
        .or_else(|_| sebring_sys::fs::memory_file("replace", b""));
    let mut staged = made.map_err(Error::at(path))?;
    let source = content::open(path)?;
    io::copy(&mut source.file.take(unchanged), &mut staged).map_err(Error::at(path))?;
    Ok(staged)
}

fn put(mut staged: File, path: &Path) -> Result<(), Error> {
    staged.rewind().map_err(Error::at(path))?;
    let mut writer = Writer::open(path, DIRECTORY_MODE)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = staged.read(&mut buffer).map_err(Error::at(path))?;
        if length == 0 {
            return writer.commit();
        }
        writer.write(&buffer[..length])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(content: &[u8], pattern: &str, new_value: &str) -> Vec<u8> {
        let name = format!("sebring-replace-{}", super::super::random_hex());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        replace_in(&path, &Finder::new(pattern), new_value.as_bytes()).unwrap();
        let content = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        content
    }

    #[test]
    fn every_occurrence_is_replaced() {
        assert_eq!(replaced(b"aXbXXc", "X", "--"), b"a--b----c");
        assert_eq!(replaced(b"aaa", "aa", "b"), b"ba");
        assert_eq!(replaced(b"nothing here", "X", "Y"), b"nothing here");
        assert_eq!(replaced(b"", "X", "Y"), b"");
    }

    #[test]
    fn a_match_across_two_reads_is_found() {
        for offset in 0..8 {
            let mut content = vec![b'.'; 2 * CHUNK_BYTES - 4 + offset];
            content.extend_from_slice(b"needle");
            content.resize(3 * CHUNK_BYTES, b'.');
            let text = replaced(&content, "needle", "N");
            assert_eq!(text.len(), content.len() - 5);
            assert_eq!(text[2 * CHUNK_BYTES - 4 + offset], b'N');
        }
    }
}
