//! The first start: an organization, its owner, and the admin key in a file that only the owner of
//! the file can read. Later starts find them and change nothing.
//!
//! There is never a default credential: the key is random, and only its hash is in the database.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sebring_core::clock::Timestamp;
use sebring_core::id::OrganizationId;
use sebring_core::permission::Permission;
use sebring_core::secret::Secret;
use sebring_store::organizations::{Organization, User};
use sebring_store::{Store, Tx};

use crate::auth::{self, NewKey};

pub const ADMIN_USER: &str = "daytona-admin";
const ADMIN_KEY_NAME: &str = "daytona-admin";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("read or write the admin key {path}")]
    KeyFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the admin key {path} is not a key; remove the file to have a new one made")]
    NotAKey { path: PathBuf },
    #[error("record the admin key")]
    Store(#[from] sebring_store::Error),
}

/// Where the admin key is.
#[must_use]
pub fn admin_key_path(keys_dir: &Path) -> PathBuf {
    keys_dir.join("admin.key")
}

/// Makes sure that the organization, its admin and the key in the file exist and belong together.
pub async fn bootstrap(store: &Store, keys_dir: &Path, now: Timestamp) -> Result<(), Error> {
    let path = admin_key_path(keys_dir);
    let (value, is_new) = match read_key(&path)? {
        Some(value) => (value, false),
        None => (auth::mint(), true),
    };
    let known = auth::hash(value.expose());
    let keys = store.read(sebring_store::keys::all).await?;
    if !keys.iter().any(|key| key.hash == known) {
        let recorded = value.clone();
        let replaced = keys
            .into_iter()
            .find(|key| key.user_id == ADMIN_USER && key.name == ADMIN_KEY_NAME);
        let written = store.write(move |tx| {
            if let Some(old) = replaced {
                tx.remove_key(old.hash)?;
            }
            record(tx, &recorded, now)
        });
        store.durable(written.await?.at).await?;
    }
    // Last, so that a key in the file is always a key that works.
    if is_new {
        write_key(&path, &value)?;
    }
    Ok(())
}

fn record(
    tx: &mut Tx<'_>,
    value: &Secret<String>,
    now: Timestamp,
) -> Result<(), sebring_store::Error> {
    let organization = match tx.first_organization()? {
        Some(organization) => organization.id,
        None => create_organization(tx, now)?,
    };
    let key = NewKey {
        organization,
        user_id: ADMIN_USER.into(),
        name: ADMIN_KEY_NAME.into(),
        permissions: Permission::ALL.iter().copied().collect(),
        expires_at: None,
    };
    tx.insert_key(key.record(value, now))
}

fn create_organization(
    tx: &mut Tx<'_>,
    now: Timestamp,
) -> Result<OrganizationId, sebring_store::Error> {
    let organization = Organization {
        id: OrganizationId::random(),
        name: "Personal".into(),
        created_by: ADMIN_USER.into(),
        created_at: now,
    };
    tx.insert_organization(&organization)?;
    tx.insert_user(&User {
        id: ADMIN_USER.into(),
        organization: organization.id,
        name: "Sebring admin".into(),
        email: String::new(),
        created_at: now,
    })?;
    Ok(organization.id)
}

fn read_key(path: &Path) -> Result<Option<Secret<String>>, Error> {
    match fs::read_to_string(path) {
        Ok(text) if auth::is_well_formed(text.trim()) => {
            Ok(Some(Secret::new(text.trim().to_owned())))
        }
        Ok(_) => Err(Error::NotAKey {
            path: path.to_owned(),
        }),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::KeyFile {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Written beside its place and renamed, so that a crash never leaves half a key.
fn write_key(path: &Path, value: &Secret<String>) -> Result<(), Error> {
    let beside = path.with_extension("new");
    let written = || {
        match fs::remove_file(&beside) {
            Err(source) if source.kind() != ErrorKind::NotFound => return Err(source),
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        writeln!(file, "{}", value.expose())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(|source| Error::KeyFile {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1);

    async fn start(dir: &Path) -> (Store, String) {
        let store = Store::open(&dir.join("db"), Box::new(|_| {})).unwrap();
        bootstrap(&store, dir, NOW).await.unwrap();
        let key = fs::read_to_string(admin_key_path(dir)).unwrap();
        (store, key.trim().to_owned())
    }

    async fn admin_hashes(store: &Store) -> Vec<sebring_store::keys::KeyHash> {
        let keys = store.read(sebring_store::keys::all).await.unwrap();
        keys.into_iter().map(|key| key.hash).collect()
    }

    #[tokio::test]
    async fn the_first_start_makes_a_private_key_and_later_ones_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let (store, first) = start(dir.path()).await;
        let mode = fs::metadata(admin_key_path(dir.path()))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        drop(store);
        let (store, second) = start(dir.path()).await;
        assert_eq!(first, second);
        assert_eq!(admin_hashes(&store).await, vec![auth::hash(&first)]);
    }

    #[tokio::test]
    async fn a_lost_key_file_gets_a_new_key_and_the_old_one_stops_working() {
        let dir = tempfile::tempdir().unwrap();
        let (store, first) = start(dir.path()).await;
        drop(store);
        fs::remove_file(admin_key_path(dir.path())).unwrap();
        let (store, second) = start(dir.path()).await;
        assert_ne!(first, second);
        assert_eq!(admin_hashes(&store).await, vec![auth::hash(&second)]);
    }

    #[tokio::test]
    async fn a_file_that_is_not_a_key_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(admin_key_path(dir.path()), "admin").unwrap();
        let store = Store::open(&dir.path().join("db"), Box::new(|_| {})).unwrap();
        let refused = bootstrap(&store, dir.path(), NOW).await;
        assert!(matches!(refused, Err(Error::NotAKey { .. })));
        assert_eq!(
            fs::read_to_string(admin_key_path(dir.path())).unwrap(),
            "admin"
        );
    }
}
