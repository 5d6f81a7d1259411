//! Signed preview tokens: each opens one port of one sandbox until it expires.

use rusqlite::Connection;
use sebring_core::clock::Timestamp;
use sebring_core::id::SandboxId;

use crate::{Change, Error, Tx};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewToken {
    pub token: String,
    pub sandbox: SandboxId,
    pub port: u16,
    pub expires_at: Timestamp,
}

impl Tx<'_> {
    pub fn insert_preview_token(&mut self, token: PreviewToken) -> Result<(), Error> {
        self.connection
            .prepare_cached("INSERT INTO preview_tokens VALUES (?1, ?2, ?3, ?4)")?
            .execute((
                &token.token,
                token.sandbox.to_string(),
                token.port,
                token.expires_at.unix_ms(),
            ))?;
        self.changes.push(Change::PreviewTokenAdded(token));
        Ok(())
    }

    pub fn remove_preview_token(&mut self, token: &str) -> Result<(), Error> {
        self.connection
            .prepare_cached("DELETE FROM preview_tokens WHERE token = ?1")?
            .execute([token])?;
        self.changes
            .push(Change::PreviewTokenRemoved(token.to_owned()));
        Ok(())
    }
}

pub fn all(connection: &Connection) -> Result<Vec<PreviewToken>, Error> {
    let mut query = connection.prepare("SELECT * FROM preview_tokens")?;
    let rows = query.query_map([], |row| {
        let sandbox: String = row.get("sandbox_id")?;
        Ok((
            sandbox,
            row.get("token")?,
            row.get("port")?,
            row.get("expires_at")?,
        ))
    })?;
    rows.map(|row| {
        let (sandbox, token, port, expires_at) = row?;
        Ok(PreviewToken {
            sandbox: sandbox.parse().map_err(|_| Error::Corrupt {
                what: "preview token",
                of: sandbox,
            })?,
            token,
            port,
            expires_at: Timestamp::from_unix_ms(expires_at),
        })
    })
    .collect()
}
