//! Organizations and the people in them.

use rusqlite::{Connection, OptionalExtension, Row};
use sebring_core::clock::Timestamp;
use sebring_core::id::OrganizationId;

use crate::{Error, Tx};

/// Owner of sandboxes, keys and everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    pub id: OrganizationId,
    pub name: String,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// Someone, or some program, that keys belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub organization: OrganizationId,
    pub name: String,
    pub email: String,
    pub created_at: Timestamp,
}

impl Tx<'_> {
    pub fn insert_organization(&mut self, organization: &Organization) -> Result<(), Error> {
        self.connection
            .prepare_cached("INSERT INTO organizations VALUES (?1, ?2, ?3, ?4)")?
            .execute((
                organization.id.to_string(),
                &organization.name,
                &organization.created_by,
                organization.created_at.unix_ms(),
            ))?;
        Ok(())
    }

    pub fn insert_user(&mut self, user: &User) -> Result<(), Error> {
        self.connection
            .prepare_cached("INSERT INTO users VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((
                &user.id,
                user.organization.to_string(),
                &user.name,
                &user.email,
                user.created_at.unix_ms(),
            ))?;
        Ok(())
    }

    /// The first organization made, which the first start makes.
    pub fn first_organization(&self) -> Result<Option<Organization>, Error> {
        all(self.connection).map(|all| all.into_iter().next())
    }
}

pub fn all(connection: &Connection) -> Result<Vec<Organization>, Error> {
    let mut query =
        connection.prepare_cached("SELECT * FROM organizations ORDER BY created_at, id")?;
    let rows = query.query_map([], |row| Ok(read(row)))?;
    rows.map(|row| row?).collect()
}

pub fn user(connection: &Connection, id: &str) -> Result<Option<User>, Error> {
    let mut query = connection.prepare_cached("SELECT * FROM users WHERE id = ?1")?;
    let row = query.query_row([id], |row| Ok(read_user(row)));
    row.optional()?.transpose()
}

pub fn users_of(connection: &Connection, organization: OrganizationId) -> Result<Vec<User>, Error> {
    let mut query = connection
        .prepare_cached("SELECT * FROM users WHERE organization_id = ?1 ORDER BY created_at, id")?;
    let rows = query.query_map([organization.to_string()], |row| Ok(read_user(row)))?;
    rows.map(|row| row?).collect()
}

fn read(row: &Row<'_>) -> Result<Organization, Error> {
    Ok(Organization {
        id: read_organization_id(row, "id")?,
        name: row.get("name")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp::from_unix_ms(row.get("created_at")?),
    })
}

fn read_user(row: &Row<'_>) -> Result<User, Error> {
    Ok(User {
        id: row.get("id")?,
        organization: read_organization_id(row, "organization_id")?,
        name: row.get("name")?,
        email: row.get("email")?,
        created_at: Timestamp::from_unix_ms(row.get("created_at")?),
    })
}

pub(crate) fn read_organization_id(row: &Row<'_>, column: &str) -> Result<OrganizationId, Error> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| Error::Corrupt {
        what: "organization id",
        of: text,
    })
}
