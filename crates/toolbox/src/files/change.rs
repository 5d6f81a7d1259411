//! Folders, deletion, moving and permissions.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use rustix::fs::{CWD, RenameFlags};
use walkdir::WalkDir;

use super::{Error, blocking};
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::passwd;
use crate::toolbox::Toolbox;

const FOLDER_MODE: u32 = 0o755;

/// `POST /files/folder`: like `mkdir -p`.
pub(crate) async fn make_folder(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(query.required("path")?);
    let mode = query.get("mode").map(mode).transpose()?;
    blocking(move || {
        let existed = path.is_dir();
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(&path)
            .map_err(Error::at(&path))?;
        if let Some(mode) = mode.filter(|_| !existed) {
            // Set afterwards: the mode given to mkdir would be masked.
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(&path, mode).map_err(Error::at(&path))?;
        }
        Ok::<_, Error>(StatusCode::CREATED)
    })
    .await
}

/// `DELETE /files`
pub(crate) async fn delete(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(query.required("path")?);
    let recursive = query.flag("recursive")?;
    blocking(move || {
        let facts = fs::symlink_metadata(&path).map_err(Error::at(&path))?;
        if !facts.is_dir() {
            fs::remove_file(&path)
        } else if recursive {
            fs::remove_dir_all(&path)
        } else {
            let reason = "it is a directory: deleting it needs recursive=true";
            return Err(Error::InvalidPath { path, reason });
        }
        .map_err(Error::at(&path))?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// `POST /files/move`
pub(crate) async fn rename(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
) -> Result<StatusCode, Failure> {
    let source = toolbox.resolve(query.required("source")?);
    let destination = toolbox.resolve(query.required("destination")?);
    blocking(move || move_path(&source, &destination)).await?;
    Ok(StatusCode::OK)
}

/// Never replaces anything. Falls back to copying where the kernel cannot rename: to another file
/// system, and for directories that come from an image.
fn move_path(source: &Path, destination: &Path) -> Result<(), Error> {
    fs::symlink_metadata(source).map_err(Error::at(source))?;
    if destination.symlink_metadata().is_ok() {
        return Err(Error::Exists {
            path: destination.to_owned(),
        });
    }
    let flags = RenameFlags::NOREPLACE;
    match rustix::fs::renameat_with(CWD, source, CWD, destination, flags) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::XDEV) => {
            copy_tree(source, destination).inspect_err(|_| {
                // The destination did not exist before; half a copy helps nobody.
                let _removed = remove(destination);
            })?;
            remove(source).map_err(Error::at(source))
        }
        Err(error) => Err(Error::at(destination)(error.into())),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

fn copy_tree(source: &Path, destination: &Path) -> Result<(), Error> {
    let mut directories = Vec::new();
    for entry in WalkDir::new(source) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(source).to_owned();
            Error::at(&path)(error.into())
        })?;
        let below = entry
            .path()
            .strip_prefix(source)
            .unwrap_or_else(|_| Path::new(""));
        let target = destination.join(below);
        // Joining nothing would add a slash, which a file's name must not have.
        let target = if below.as_os_str().is_empty() {
            destination
        } else {
            &target
        };
        let facts = entry
            .metadata()
            .map_err(|error| Error::at(entry.path())(error.into()))?;
        if facts.is_dir() {
            fs::create_dir(target).map_err(Error::at(target))?;
            directories.push((target.to_owned(), facts.permissions()));
        } else if facts.is_symlink() {
            let link = fs::read_link(entry.path()).map_err(Error::at(entry.path()))?;
            std::os::unix::fs::symlink(link, target).map_err(Error::at(target))?;
        } else {
            fs::copy(entry.path(), target).map_err(Error::at(target))?;
            let times = fs::FileTimes::new()
                .set_modified(facts.modified().map_err(Error::at(entry.path()))?);
            let kept = fs::File::options()
                .write(true)
                .open(target)
                .and_then(|file| file.set_times(times));
            // A read-only copy keeps its own time; that is no reason to fail.
            let _kept = kept;
        }
    }
    // Last, since a directory may forbid writing into it; deepest first.
    for (path, permissions) in directories.into_iter().rev() {
        fs::set_permissions(&path, permissions).map_err(Error::at(&path))?;
    }
    Ok(())
}

/// `POST /files/permissions`
pub(crate) async fn set_permissions(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(query.required("path")?);
    let mode = query.get("mode").map(mode).transpose()?;
    let owner = query.get("owner").map(str::to_owned);
    let group = query.get("group").map(str::to_owned);
    blocking(move || {
        let owner = owner
            .map(|name| passwd::user(&name).map(|user| user.uid))
            .transpose()?;
        let group = group.map(|name| passwd::group(&name)).transpose()?;
        fs::metadata(&path).map_err(Error::at(&path))?;
        if owner.is_some() || group.is_some() {
            std::os::unix::fs::chown(&path, owner, group).map_err(Error::at(&path))?;
        }
        if let Some(mode) = mode {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(&path, mode).map_err(Error::at(&path))?;
        }
        Ok::<_, Failure>(StatusCode::OK)
    })
    .await
}

fn mode(text: &str) -> Result<u32, Failure> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| {
            Failure::bad_request(format!("query mode {text:?}: must be octal, 0 to 7777"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_text() {
        assert_eq!(mode("755").unwrap(), 0o755);
        assert_eq!(mode("0644").unwrap(), 0o644);
        for bad in ["", "8", "rwx", "77777", "-1"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_copied_tree_keeps_links_modes_and_content() {
        let root =
            std::env::temp_dir().join(format!("sebring-copy-{}", super::super::random_hex()));
        let (from, to) = (root.join("from"), root.join("to"));
        fs::create_dir_all(from.join("closed")).unwrap();
        fs::write(from.join("closed/file"), b"content").unwrap();
        fs::set_permissions(from.join("closed/file"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(from.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
        std::os::unix::fs::symlink("closed/file", from.join("link")).unwrap();
        copy_tree(&from, &to).unwrap();
        assert_eq!(fs::read(to.join("link")).unwrap(), b"content");
        assert!(to.join("link").symlink_metadata().unwrap().is_symlink());
        let mode = |path: &str| fs::metadata(to.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("closed"), mode("closed/file")), (0o555, 0o755));
        fs::remove_dir_all(root).unwrap();
    }
}
