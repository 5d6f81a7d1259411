//! The file that a request is about: found as clients name it, read as it is on disk now.
//!
//! Must not: be used on the main thread, except for names; files are opened as the user.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::language::Language;
use super::symbols::Position;
use crate::files::{self, content};
use crate::http::error::Failure;

/// Larger ones are generated, and servers take minutes for them.
pub(super) const TEXT_BYTES_MAX: u64 = 4 << 20;
const SCHEME: &str = "file://";
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[derive(Debug)]
pub(super) struct Document {
    pub(super) uri: String,
    pub(super) language: &'static str,
    pub(super) text: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    File(#[from] files::Error),
    #[error("{path}: has more than {TEXT_BYTES_MAX} bytes, too many for a language server", path = .0.display())]
    TooLarge(PathBuf),
    #[error("position.line {line}: the document has {lines} lines, counted from 0")]
    Line { line: u32, lines: usize },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::File(error) => error.into(),
            Error::TooLarge(_) | Error::Line { .. } => Self::bad_request(error.to_string()),
        }
    }
}

/// The paths that a client may mean: it puts `file://` in front of what it was given, which may be
/// relative to the project or to the working directory, and may or may not escape characters.
pub(super) fn candidates(asked: &str, project: &Path, work_dir: &Path) -> Vec<PathBuf> {
    let plain = asked.strip_prefix(SCHEME).unwrap_or(asked);
    let decoded = percent_decode_str(plain).decode_utf8_lossy();
    let mut found: Vec<PathBuf> = Vec::new();
    for text in [plain, &decoded] {
        for base in [project, work_dir] {
            // Without the parts that say nothing, so that one file has one name.
            let path: PathBuf = base.join(text).components().collect();
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

/// The first of the files that exists.
pub(super) fn read_first(paths: &[PathBuf], language: Language) -> Result<Document, Error> {
    let mut first_failure = None;
    for path in paths {
        match read(path, language) {
            Err(Error::File(error @ files::Error::NotFound { .. })) => {
                first_failure.get_or_insert(Error::File(error));
            }
            done => return done,
        }
    }
    Err(first_failure.unwrap_or_else(|| {
        let path = PathBuf::new();
        files::Error::NotFound { path }.into()
    }))
}

pub(super) fn read(path: &Path, language: Language) -> Result<Document, Error> {
    let too_large = || Error::TooLarge(path.to_owned());
    let readable = content::open(path)?;
    if readable.size > TEXT_BYTES_MAX {
        return Err(too_large());
    }
    let mut bytes = readable.whole.unwrap_or_default();
    if bytes.is_empty() {
        let mut bounded = readable.file.take(TEXT_BYTES_MAX + 1);
        let read = bounded.read_to_end(&mut bytes);
        read.map_err(files::Error::at(path))?;
    }
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(too_large());
    }
    Ok(Document {
        uri: uri(path),
        language: language.of_document(path),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    })
}

pub(super) fn uri(path: &Path) -> String {
    let path = percent_encode(path.as_os_str().as_encoded_bytes(), PLAIN);
    format!("{SCHEME}{path}")
}

impl Document {
    /// A position that exists: beyond the end of a line is its end, beyond the last line nothing.
    pub(super) fn clamp(&self, at: Position) -> Result<Position, Error> {
        let lines = || self.text.split('\n');
        let wanted = usize::try_from(at.line).unwrap_or(usize::MAX);
        let line = lines().nth(wanted).ok_or_else(|| Error::Line {
            line: at.line,
            lines: lines().count(),
        })?;
        let units = line.trim_end_matches('\r').encode_utf16().count();
        Ok(Position {
            character: at.character.min(u32::try_from(units).unwrap_or(u32::MAX)),
            ..at
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_relative_to_the_project_or_the_working_directory_and_escaped() {
        let found = |asked: &str| -> Vec<String> {
            let paths = candidates(asked, Path::new("/home/p"), Path::new("/home"));
            let shown = paths.iter().map(|path| path.display().to_string());
            shown.collect()
        };
        assert_eq!(found("file:///a/b.py"), ["/a/b.py"]);
        assert_eq!(found("file://p/b.py"), ["/home/p/p/b.py", "/home/p/b.py"]);
        assert_eq!(found("/a//./b%20c.py"), ["/a/b%20c.py", "/a/b c.py"]);
    }

    #[test]
    fn a_uri_escapes_what_is_special() {
        assert_eq!(uri(Path::new("/a b/ü#.py")), "file:///a%20b/%C3%BC%23.py");
    }

    #[test]
    fn positions_beyond_a_line_are_its_end_and_beyond_the_text_refused() {
        let document = Document {
            uri: String::new(),
            language: "python",
            text: "a😀\r\n\n".to_owned(),
        };
        let at = |line, character| document.clamp(Position { line, character });
        let position = |line, character| Position { line, character };
        assert_eq!(at(0, 2).unwrap(), position(0, 2));
        assert_eq!(at(0, 900).unwrap(), position(0, 3));
        assert_eq!(at(2, 0).unwrap(), position(2, 0));
        assert!(matches!(at(3, 0), Err(Error::Line { lines: 3, .. })));
    }
}
