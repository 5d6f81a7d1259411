//! Target: films' files, which programs can put anything into, and their names.

use std::io::Cursor;
use std::path::Path;

use super::library::{Entry, index_in, label};

/// An index is found, or not, in few steps; a label stays one part of a path in the folder.
pub fn recording(input: &[u8]) {
    let size = input.len() as u64;
    let found = index_in(Cursor::new(input), size);
    if found.is_ok_and(|found| found.is_some()) {
        assert!(memchr::memmem::find(input, b"moov").is_some());
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let folder = Path::new("/films");
    if let Ok(label) = label(Some(text)) {
        let film = Entry::new(folder, label);
        assert_eq!(film.path.parent(), Some(folder), "{label:?}");
        let read = Entry::parse(film.path.clone()).expect("our own name");
        assert_eq!((read.id, read.path), (film.id, film.path));
    }
    if let Some(found) = Entry::parse(folder.join(text)) {
        assert!(text.contains(&found.id));
    }
}
