//! Sandboxes in rows. Every lookup by a caller is scoped by its organization.
//!
//! A sandbox that is gone has no row: its name was freed when it was asked to be deleted, and the
//! runner's inventory is what finds leftovers.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use sebring_core::clock::Timestamp;
use sebring_core::id::SandboxId;
use sebring_core::labels::Labels;
use sebring_core::lifecycle::{Observed, Record};
use sebring_core::name::Name;
use sebring_core::resources::Resources;
use sebring_core::sandbox::Sandbox;
use sebring_core::secret::Secret;
use sebring_core::timers::Timers;

use crate::columns::{
    auto_delete_column, generation_column, intent_columns, network_column, observed_columns,
    read_auto_delete, read_generation, read_instant, read_intent, read_network, read_observed,
};
use crate::{Change, Error, Tx};

const INSERT: &str = "
INSERT INTO sandboxes VALUES (
    :id, :organization_id, :name, :snapshot, :template, :user, :env, :labels, :public, :region,
    :cpus, :memory_gib, :disk_gib, :network, :auto_stop_minutes, :auto_archive_minutes,
    :auto_delete_minutes, :destroy_at, :auth_token, :signing_key, :intent, :intent_why,
    :from_cpus, :from_memory_gib, :from_disk_gib, :generation, :observed, :observed_why,
    :observed_text, :observed_unenforced, :observed_generation, :deadline, :created_at,
    :updated_at, :last_active_at
)";

/// Everything that can change; id, organization, name, snapshot, region and creation cannot.
const UPDATE: &str = "
UPDATE sandboxes SET
    user = :user, env = :env, labels = :labels, public = :public, cpus = :cpus,
    memory_gib = :memory_gib, disk_gib = :disk_gib, network = :network,
    auto_stop_minutes = :auto_stop_minutes, auto_archive_minutes = :auto_archive_minutes,
    auto_delete_minutes = :auto_delete_minutes, destroy_at = :destroy_at,
    auth_token = :auth_token, signing_key = :signing_key, intent = :intent,
    intent_why = :intent_why, from_cpus = :from_cpus, from_memory_gib = :from_memory_gib,
    from_disk_gib = :from_disk_gib, generation = :generation, observed = :observed,
    observed_why = :observed_why, observed_text = :observed_text,
    observed_unenforced = :observed_unenforced, observed_generation = :observed_generation,
    deadline = :deadline, updated_at = :updated_at, last_active_at = :last_active_at
WHERE id = :id";

impl Tx<'_> {
    /// Fails with `NameTaken` when the organization has a sandbox of this name.
    pub fn insert_sandbox(&mut self, sandbox: Sandbox) -> Result<Arc<Sandbox>, Error> {
        self.save(INSERT, &sandbox, Columns::All)?;
        self.insert_labels(&sandbox)?;
        let after = Arc::new(sandbox);
        self.changes.push(Change::Sandbox {
            before: None,
            after: Arc::clone(&after),
        });
        Ok(after)
    }

    /// The row as it is in this transaction.
    pub fn sandbox(&self, id: SandboxId) -> Result<Option<Sandbox>, Error> {
        let mut query = self
            .connection
            .prepare_cached("SELECT * FROM sandboxes WHERE id = ?1")?;
        let row = query.query_row([id.to_string()], |row| Ok(read_row(row)));
        row.optional()?.transpose()
    }

    /// Replaces `before` by `after`; one that is gone is removed instead.
    pub fn update_sandbox(
        &mut self,
        before: Sandbox,
        after: Sandbox,
    ) -> Result<Arc<Sandbox>, Error> {
        if before == after {
            return Ok(Arc::new(after));
        }
        if matches!(after.life.observed, Observed::Gone) {
            self.connection
                .prepare_cached("DELETE FROM sandboxes WHERE id = ?1")?
                .execute([after.id.to_string()])?;
        } else {
            self.save(UPDATE, &after, Columns::Changing)?;
            if before.labels != after.labels {
                self.connection
                    .prepare_cached("DELETE FROM sandbox_labels WHERE sandbox_id = ?1")?
                    .execute([after.id.to_string()])?;
                self.insert_labels(&after)?;
            }
        }
        let after = Arc::new(after);
        self.changes.push(Change::Sandbox {
            before: Some(Arc::new(before)),
            after: Arc::clone(&after),
        });
        Ok(after)
    }

    /// Proves that the database can be written.
    pub fn check_writable(&self) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE write_checks SET checks = checks + 1 WHERE id = 1")?
            .execute([])?;
        Ok(())
    }

    fn insert_labels(&self, sandbox: &Sandbox) -> Result<(), Error> {
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO sandbox_labels VALUES (?1, ?2, ?3, ?4)")?;
        let organization = sandbox.organization.to_string();
        let id = sandbox.id.to_string();
        for (key, value) in sandbox.labels.as_map() {
            insert.execute([&organization, key, value, &id])?;
        }
        Ok(())
    }

    fn save(&self, sql: &str, sandbox: &Sandbox, columns: Columns) -> Result<(), Error> {
        let intent = intent_columns(&sandbox.life.intent);
        let (observed, observed_why, observed_text) = observed_columns(&sandbox.life.observed);
        let unenforced = match &sandbox.life.observed {
            Observed::Running { unenforced, .. } => to_json(unenforced),
            Observed::Unseen
            | Observed::Building
            | Observed::Stopped(_)
            | Observed::Failed(_)
            | Observed::Gone => "[]".into(),
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        if columns == Columns::All {
            bind(
                &mut statement,
                ":organization_id",
                sandbox.organization.to_string(),
            )?;
            bind(&mut statement, ":name", sandbox.name.as_str())?;
            bind(&mut statement, ":snapshot", &sandbox.snapshot)?;
            bind(&mut statement, ":template", &sandbox.template)?;
            bind(&mut statement, ":region", &sandbox.region)?;
            bind(&mut statement, ":created_at", sandbox.created_at.unix_ms())?;
        }
        for (name, value) in [
            (":from_cpus", intent.from.map(|from| from.cpus)),
            (":from_memory_gib", intent.from.map(|from| from.memory_gib)),
            (":from_disk_gib", intent.from.map(|from| from.disk_gib)),
        ] {
            bind(&mut statement, name, value)?;
        }
        bind(&mut statement, ":user", &sandbox.user)?;
        bind(&mut statement, ":env", to_json(&sandbox.env))?;
        bind(&mut statement, ":labels", to_json(sandbox.labels.as_map()))?;
        bind(&mut statement, ":network", network_column(&sandbox.network))?;
        bind(&mut statement, ":auth_token", sandbox.auth_token.expose())?;
        bind(&mut statement, ":signing_key", sandbox.signing_key.expose())?;
        bind(&mut statement, ":observed_unenforced", unenforced)?;
        bind_rest(&mut statement, sandbox)?;
        for (name, value) in [
            (":id", sandbox.id.to_string().as_str()),
            (":intent", intent.intent),
            (":intent_why", intent.why),
            (":observed", observed),
            (":observed_why", observed_why),
            (":observed_text", observed_text),
        ] {
            bind(&mut statement, name, value)?;
        }
        statement.raw_execute()?;
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Columns {
    All,
    Changing,
}

fn bind(
    statement: &mut rusqlite::CachedStatement<'_>,
    name: &str,
    value: impl rusqlite::ToSql,
) -> Result<(), Error> {
    let index = statement
        .parameter_index(name)?
        .expect("every bound name is in the statement");
    Ok(statement.raw_bind_parameter(index, value)?)
}

fn bind_rest(
    statement: &mut rusqlite::CachedStatement<'_>,
    sandbox: &Sandbox,
) -> Result<(), Error> {
    let timers = &sandbox.timers;
    let life = &sandbox.life;
    let instant = |at: Option<Timestamp>| at.map(Timestamp::unix_ms);
    for (name, value) in [
        (":public", Some(i64::from(sandbox.public))),
        (":cpus", Some(i64::from(sandbox.resources.cpus))),
        (":memory_gib", Some(i64::from(sandbox.resources.memory_gib))),
        (":disk_gib", Some(i64::from(sandbox.resources.disk_gib))),
        (
            ":auto_stop_minutes",
            timers.auto_stop_minutes.map(i64::from),
        ),
        (
            ":auto_archive_minutes",
            Some(i64::from(timers.auto_archive_minutes)),
        ),
        (
            ":auto_delete_minutes",
            auto_delete_column(timers.auto_delete).map(i64::from),
        ),
        (":destroy_at", instant(timers.destroy_at)),
        (":generation", Some(generation_column(life.generation))),
        (
            ":observed_generation",
            Some(generation_column(life.observed_generation)),
        ),
        (":deadline", instant(life.deadline)),
        (":updated_at", Some(sandbox.updated_at.unix_ms())),
        (":last_active_at", Some(sandbox.last_active_at.unix_ms())),
    ] {
        bind(statement, name, value)?;
    }
    Ok(())
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("maps and lists of strings are JSON")
}

/// Every sandbox there is, for the server's start.
pub fn all(connection: &Connection) -> Result<Vec<Sandbox>, Error> {
    let mut query = connection.prepare("SELECT * FROM sandboxes")?;
    let rows = query.query_map([], |row| Ok(read_row(row)))?;
    rows.map(|row| row?).collect()
}

/// Writes many last-activity instants; activity is not an event, so listeners do not hear of it.
pub fn record_activity(tx: &mut Tx<'_>, activity: &[(SandboxId, Timestamp)]) -> Result<(), Error> {
    let mut update = tx.connection.prepare_cached(
        "UPDATE sandboxes SET last_active_at = max(last_active_at, :at) WHERE id = :id",
    )?;
    for (id, at) in activity {
        update.execute(named_params! {":id": id.to_string(), ":at": at.unix_ms()})?;
    }
    Ok(())
}

pub(crate) fn read_row(row: &Row<'_>) -> Result<Sandbox, Error> {
    let id: String = row.get("id")?;
    let corrupt = |what: &'static str| Error::Corrupt {
        what,
        of: id.clone(),
    };
    let organization: String = row.get("organization_id")?;
    let name: String = row.get("name")?;
    let network: String = row.get("network")?;
    Ok(Sandbox {
        id: id.parse().map_err(|_| corrupt("id"))?,
        organization: organization.parse().map_err(|_| corrupt("organization"))?,
        name: Name::parse(&name).map_err(|_| corrupt("name"))?,
        snapshot: row.get("snapshot")?,
        template: row.get("template")?,
        user: row.get("user")?,
        env: read_map(row, "env")?.ok_or_else(|| corrupt("env"))?,
        labels: read_map(row, "labels")?
            .and_then(|map| Labels::parse(map).ok())
            .ok_or_else(|| corrupt("labels"))?,
        public: row.get("public")?,
        region: row.get("region")?,
        resources: Resources {
            cpus: row.get("cpus")?,
            memory_gib: row.get("memory_gib")?,
            disk_gib: row.get("disk_gib")?,
        },
        network: read_network(&network).ok_or_else(|| corrupt("network"))?,
        timers: Timers {
            auto_stop_minutes: row.get("auto_stop_minutes")?,
            auto_archive_minutes: row.get("auto_archive_minutes")?,
            auto_delete: read_auto_delete(row.get("auto_delete_minutes")?),
            destroy_at: read_instant(row.get("destroy_at")?),
        },
        auth_token: Secret::new(row.get("auth_token")?),
        signing_key: Secret::new(row.get("signing_key")?),
        life: read_life(row)?.ok_or_else(|| corrupt("life"))?,
        created_at: Timestamp::from_unix_ms(row.get("created_at")?),
        updated_at: Timestamp::from_unix_ms(row.get("updated_at")?),
        last_active_at: Timestamp::from_unix_ms(row.get("last_active_at")?),
    })
}

fn read_life(row: &Row<'_>) -> Result<Option<Record>, Error> {
    let intent: String = row.get("intent")?;
    let why: String = row.get("intent_why")?;
    let from_cpus: Option<u32> = row.get("from_cpus")?;
    let from = match from_cpus {
        None => None,
        Some(cpus) => Some(Resources {
            cpus,
            memory_gib: row.get("from_memory_gib")?,
            disk_gib: row.get("from_disk_gib")?,
        }),
    };
    let observed: String = row.get("observed")?;
    let observed_why: String = row.get("observed_why")?;
    let unenforced: String = row.get("observed_unenforced")?;
    let unenforced = serde_json::from_str(&unenforced).unwrap_or_default();
    let observed = read_observed(
        &observed,
        &observed_why,
        row.get("observed_text")?,
        unenforced,
    );
    let (Some(intent), Some(observed)) = (read_intent(&intent, &why, from), observed) else {
        return Ok(None);
    };
    Ok(Some(Record {
        intent,
        generation: read_generation(row.get("generation")?),
        observed,
        observed_generation: read_generation(row.get("observed_generation")?),
        deadline: read_instant(row.get("deadline")?),
    }))
}

fn read_map(row: &Row<'_>, column: &str) -> Result<Option<BTreeMap<String, String>>, Error> {
    let text: String = row.get(column)?;
    Ok(serde_json::from_str(&text).ok())
}
