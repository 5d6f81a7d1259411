//! API keys. Only the SHA-256 of a key is kept; the key itself is shown once, when it is made.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, Row};
use sebring_core::clock::Timestamp;
use sebring_core::id::OrganizationId;
use sebring_core::permission::Permission;

use crate::columns::read_instant;
use crate::organizations::read_organization_id;
use crate::{Change, Error, Tx};

/// SHA-256 of the whole key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub hash: KeyHash,
    pub organization: OrganizationId,
    pub user_id: String,
    pub name: String,
    /// First and last characters, for recognizing it in a list.
    pub masked: String,
    pub permissions: BTreeSet<Permission>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

impl Tx<'_> {
    /// Fails with `NameTaken` when the user has a key of this name in the organization.
    pub fn insert_key(&mut self, key: ApiKey) -> Result<(), Error> {
        let permissions: Vec<&str> = key.permissions.iter().map(|one| one.as_str()).collect();
        self.connection
            .prepare_cached("INSERT INTO api_keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
            .execute((
                key.hash.0,
                key.organization.to_string(),
                &key.user_id,
                &key.name,
                &key.masked,
                permissions.join(" "),
                key.created_at.unix_ms(),
                key.expires_at.map(Timestamp::unix_ms),
                key.last_used_at.map(Timestamp::unix_ms),
            ))?;
        self.changes.push(Change::KeyAdded(Arc::new(key)));
        Ok(())
    }

    pub fn remove_key(&mut self, hash: KeyHash) -> Result<(), Error> {
        self.connection
            .prepare_cached("DELETE FROM api_keys WHERE hash = ?1")?
            .execute([hash.0])?;
        self.changes.push(Change::KeyRemoved(hash));
        Ok(())
    }

    /// Notes uses of keys; not a change that listeners hear of.
    pub fn record_key_uses(&mut self, uses: &[(KeyHash, Timestamp)]) -> Result<(), Error> {
        let mut update = self
            .connection
            .prepare_cached("UPDATE api_keys SET last_used_at = ?2 WHERE hash = ?1")?;
        for (hash, at) in uses {
            update.execute((hash.0, at.unix_ms()))?;
        }
        Ok(())
    }
}

pub fn all(connection: &Connection) -> Result<Vec<ApiKey>, Error> {
    let mut query = connection.prepare("SELECT * FROM api_keys")?;
    let rows = query.query_map([], |row| Ok(read(row)))?;
    rows.map(|row| row?).collect()
}

fn read(row: &Row<'_>) -> Result<ApiKey, Error> {
    let permissions: String = row.get("permissions")?;
    Ok(ApiKey {
        hash: KeyHash(row.get("hash")?),
        organization: read_organization_id(row, "organization_id")?,
        user_id: row.get("user_id")?,
        name: row.get("name")?,
        masked: row.get("masked")?,
        // A permission that this version does not know grants nothing.
        permissions: permissions
            .split_whitespace()
            .filter_map(|text| text.parse().ok())
            .collect(),
        created_at: Timestamp::from_unix_ms(row.get("created_at")?),
        expires_at: read_instant(row.get("expires_at")?),
        last_used_at: read_instant(row.get("last_used_at")?),
    })
}
