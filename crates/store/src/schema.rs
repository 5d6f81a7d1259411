//! The tables, as a list of steps that are only ever appended to.
//!
//! Shown state is not here: it is computed from intent and observation. Labels are kept twice, as
//! JSON for reading back and as rows for searching, written by the same function.

use rusqlite::Connection;

use crate::Error;

const STEPS: &[&str] = &[
    "
CREATE TABLE organizations (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
    hash BLOB PRIMARY KEY NOT NULL,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    masked TEXT NOT NULL,
    permissions TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE UNIQUE INDEX api_key_names ON api_keys (organization_id, user_id, name);

CREATE TABLE sandboxes (
    id TEXT PRIMARY KEY NOT NULL,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    snapshot TEXT NOT NULL,
    template TEXT NOT NULL,
    user TEXT,
    env TEXT NOT NULL,
    labels TEXT NOT NULL,
    public INTEGER NOT NULL,
    region TEXT NOT NULL,
    cpus INTEGER NOT NULL,
    memory_gib INTEGER NOT NULL,
    disk_gib INTEGER NOT NULL,
    network TEXT NOT NULL,
    auto_stop_minutes INTEGER,
    auto_archive_minutes INTEGER NOT NULL,
    auto_delete_minutes INTEGER,
    destroy_at INTEGER,
    auth_token TEXT NOT NULL,
    signing_key TEXT NOT NULL,
    intent TEXT NOT NULL,
    intent_why TEXT NOT NULL,
    from_cpus INTEGER,
    from_memory_gib INTEGER,
    from_disk_gib INTEGER,
    generation INTEGER NOT NULL,
    observed TEXT NOT NULL,
    observed_why TEXT NOT NULL,
    observed_text TEXT NOT NULL,
    observed_unenforced TEXT NOT NULL,
    observed_generation INTEGER NOT NULL,
    deadline INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    last_active_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX sandbox_names ON sandboxes (organization_id, name) WHERE intent <> 'deleted';
CREATE INDEX sandboxes_by_activity ON sandboxes (organization_id, last_active_at, id);
CREATE INDEX sandboxes_by_creation ON sandboxes (organization_id, created_at, id);
CREATE INDEX sandboxes_by_name ON sandboxes (organization_id, name COLLATE NOCASE, id);
CREATE INDEX sandboxes_by_state
    ON sandboxes (organization_id, observed, intent, last_active_at, id);
CREATE INDEX sandboxes_unsettled
    ON sandboxes (organization_id)
    WHERE NOT (intent = observed AND generation <= observed_generation);

CREATE TABLE sandbox_labels (
    organization_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
    PRIMARY KEY (organization_id, key, value, sandbox_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sandbox_labels_by_sandbox ON sandbox_labels (sandbox_id);

CREATE TABLE preview_tokens (
    token TEXT PRIMARY KEY NOT NULL,
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
    port INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX preview_tokens_by_sandbox ON preview_tokens (sandbox_id);

CREATE TABLE write_checks (
    id INTEGER PRIMARY KEY NOT NULL,
    checks INTEGER NOT NULL
) STRICT;
INSERT INTO write_checks VALUES (1, 0);
",
    // Counting everything, or by state, reads these few bytes for each and no row.
    "
CREATE INDEX sandboxes_settled
    ON sandboxes (organization_id, observed)
    WHERE intent = observed AND generation <= observed_generation;
",
];

pub(crate) fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let known = i64::try_from(STEPS.len()).expect("the list of steps is short");
    let transaction = connection.transaction()?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(Error::Newer { found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for step in &STEPS[done..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrating_twice_is_the_same_as_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
    }

    #[test]
    fn a_newer_database_is_refused_and_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(
            migrate(&mut connection),
            Err(Error::Newer { found: 99, .. })
        ));
    }
}
