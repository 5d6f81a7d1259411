//! Symbols of a whole project for servers that cannot find them: its files are looked through for
//! the text, and the server is asked for the symbols of those that contain it.
//!
//! Also finds a first file for servers that know a project only once they have seen one.
//! Must not: go on for longer than a client waits; what was found by then is the answer.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout_at};
use walkdir::{DirEntry, WalkDir};

use super::Error;
use super::bounded::{Bounded, ITEMS_MAX};
use super::document;
use super::language::Language;
use super::server::Server;
use super::symbols::{self, Symbol, Told};
use crate::files::{blocking, content};
use crate::http::error::Failure;

/// Looked at before the rest of a project is left out.
const ENTRIES_MAX: usize = 50_000;
/// Files whose symbols are asked for.
const FILES_MAX: usize = 200;
/// Generated files are larger, and slow to understand.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// For all of it.
const WAIT: Duration = Duration::from_secs(20);
/// Directories with other people's code.
const FOREIGN: [&str; 4] = ["node_modules", "site-packages", "__pycache__", "venv"];

/// Symbols whose name contains `query`, whatever the case of letters.
pub(super) async fn search(server: &Arc<Server>, query: &str) -> Result<Vec<Symbol>, Failure> {
    let deadline = Instant::now() + WAIT;
    let query = query.to_lowercase();
    let (project, language, text) = (server.project.clone(), server.language, query.clone());
    let look = move || Ok::<_, Failure>(containing(&project, language, &text, deadline));
    let files = blocking(look).await?;
    let mut found: Vec<Symbol> = Vec::new();
    for file in files {
        let symbols = match timeout_at(deadline, of_file(server, file)).await {
            Ok(Ok(symbols)) => symbols,
            // What was found by now.
            Err(_) => break,
            Ok(Err(error @ Error::Ended { .. })) => return Err(error.into()),
            // A file that vanished, or that the server cannot make sense of.
            Ok(Err(_)) => continue,
        };
        let wanted = |symbol: &Symbol| symbol.name.to_lowercase().contains(&query);
        found.extend(symbols.into_iter().filter(wanted));
        if found.len() >= ITEMS_MAX {
            found.truncate(ITEMS_MAX);
            break;
        }
    }
    Ok(found)
}

async fn of_file(server: &Arc<Server>, path: PathBuf) -> Result<Vec<Symbol>, Error> {
    let uri = document::uri(&path);
    let language = server.language;
    let read = blocking(move || document::read(&path, language)).await;
    let Ok(document) = read else {
        return Ok(Vec::new());
    };
    let params = json!({"textDocument": {"uri": uri}});
    let told: Bounded<Told> = server
        .ask("textDocument/documentSymbol", params, Some(document))
        .await?;
    Ok(symbols::flat(told, &uri))
}

/// Some file of the project in its language.
pub(super) async fn any_file(server: &Server) -> Result<Option<PathBuf>, Failure> {
    let (project, language) = (server.project.clone(), server.language);
    let deadline = Instant::now() + WAIT;
    blocking(move || Ok::<_, Failure>(files(&project, language, deadline).next())).await
}

fn containing(project: &Path, language: Language, query: &str, deadline: Instant) -> Vec<PathBuf> {
    files(project, language, deadline)
        .filter(|path| query.is_empty() || contains(path, query))
        .take(FILES_MAX)
        .collect()
}

fn files(
    project: &Path,
    language: Language,
    deadline: Instant,
) -> impl Iterator<Item = PathBuf> + use<> {
    WalkDir::new(project)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(is_own)
        .take(ENTRIES_MAX)
        // Of all entries, since those that are not wanted take time as well.
        .take_while(move |_| Instant::now() < deadline)
        .filter_map(Result::ok)
        .filter(move |entry| entry.file_type().is_file() && language.wrote(entry.path()))
        .map(DirEntry::into_path)
}

/// Hidden directories and installed packages are not the project's.
fn is_own(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    entry.depth() == 0
        || !entry.file_type().is_dir()
        || !name.starts_with('.') && !FOREIGN.contains(&name.as_ref())
}

fn contains(path: &Path, query: &str) -> bool {
    // It may have become something that is not a file, which would be waited for.
    let Ok(readable) = content::open(path) else {
        return false;
    };
    let mut text = Vec::new();
    let read = readable.file.take(FILE_BYTES_MAX).read_to_end(&mut text);
    read.is_ok()
        && String::from_utf8_lossy(&text)
            .to_lowercase()
            .contains(query)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::files::random_hex;

    #[test]
    fn what_is_not_found_by_the_deadline_is_left_out() {
        let project = std::env::temp_dir().join(format!("sebring-index-{}", random_hex()));
        fs::create_dir(&project).unwrap();
        let file = project.join("a.py");
        fs::write(&file, "class One: pass").unwrap();
        let language = Language::parse("python").unwrap();
        let search = |deadline| containing(&project, language, "one", deadline);
        let (in_time, late) = (search(Instant::now() + WAIT), search(Instant::now()));
        fs::remove_dir_all(&project).unwrap();
        assert_eq!((in_time, late), (vec![file], vec![]));
    }
}
