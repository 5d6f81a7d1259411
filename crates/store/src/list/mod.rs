//! Pages of an organization's sandboxes: filters, sorts, cursor.
//!
//! Fast at any size by three habits. A page continues after a key, never after a count. Every sort
//! that clients use by default has an index. Where a filter picks few among many (a rare state, a
//! rare label), the query starts from those few instead of walking the sort index; which is the
//! case is asked of the index itself.
//!
//! The shown state is not a column: where stored facts do not settle it, filters on it call the same
//! `shown_state` as everything else, as a function inside SQLite.
//!
//! Next: `count` for how many there are in all.

mod count;

use std::collections::BTreeMap;

pub use count::count;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use sebring_core::clock::Timestamp;
use sebring_core::id::OrganizationId;
use sebring_core::lifecycle::{FailureCode, Shown, shown_state};
use sebring_core::sandbox::Sandbox;

use crate::Error;
use crate::columns::read_record_for_view;
use crate::sandboxes::read_row;

/// Below this many rows, starting from the filter beats walking the sort index.
const FEW: i64 = 2_000;

/// What a page is made of; an empty filter takes everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Lower-case beginning of the id.
    pub id_prefix: Option<String>,
    /// Beginning of the name, in any case.
    pub name_prefix: Option<String>,
    /// All of these must be among the sandbox's labels.
    pub labels: BTreeMap<String, String>,
    /// `Some` of nothing takes nothing.
    pub states: Option<Vec<Shown>>,
    pub snapshots: Vec<String>,
    pub regions: Vec<String>,
    pub cpus: Bounds,
    pub memory_gib: Bounds,
    pub disk_gib: Bounds,
    pub created_at: Bounds,
    pub last_active_at: Bounds,
    pub destroy_at: Bounds,
    pub public: Option<bool>,
    pub recoverable: Option<bool>,
}

/// Inclusive bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub min: Option<i64>,
    pub max: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    Id,
    Name,
    Cpus,
    MemoryGib,
    DiskGib,
    State,
    Snapshot,
    Region,
    CreatedAt,
    UpdatedAt,
    LastActiveAt,
}

impl SortKey {
    const fn expression(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name COLLATE NOCASE",
            Self::Cpus => "cpus",
            Self::MemoryGib => "memory_gib",
            Self::DiskGib => "disk_gib",
            Self::State => SHOWN,
            Self::Snapshot => "snapshot",
            Self::Region => "region",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::LastActiveAt => "last_active_at",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    Start,
    /// After the row with this key.
    After(Cursor),
    Offset(u32),
}

/// The sort key of the last row of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub value: CursorValue,
    pub id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorValue {
    Integer(i64),
    Text(String),
}

/// A page, and where the next one begins when there is one.
#[derive(Clone, Debug)]
pub struct Page {
    pub sandboxes: Vec<Sandbox>,
    pub next: Option<Cursor>,
}

const SHOWN: &str =
    "sebring_shown(intent, intent_why, generation, observed, observed_why, observed_generation)";

/// True of sandboxes that are as they shall be: shown started or stopped, as `observed` says, and
/// nobody needs to ask `shown_state`. With its opposite it splits all rows between two small indexes.
const SETTLED: &str = "(intent = observed AND generation <= observed_generation)";
const UNSETTLED: &str = "NOT (intent = observed AND generation <= observed_generation)";

/// Makes `shown_state` callable from SQL.
pub(crate) fn register_functions(connection: &Connection) -> Result<(), Error> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("sebring_shown", 6, flags, |row| {
        let text = |at| row.get_raw(at).as_str().unwrap_or_default();
        let record = read_record_for_view(
            (text(0), text(1)),
            row.get(2)?,
            (text(3), text(4)),
            row.get(5)?,
        );
        Ok(record.map(|record| shown_state(&record).as_str()))
    })?;
    Ok(())
}

/// One page of an organization's sandboxes.
pub fn page(
    connection: &Connection,
    organization: OrganizationId,
    filter: &Filter,
    sort: (SortKey, Order),
    from: &From,
    limit: u32,
) -> Result<Page, Error> {
    let mut query = Query::new(organization);
    query.narrow(connection, filter)?;
    let (key, order) = sort;
    let expression = key.expression();
    let (direction, after) = match order {
        Order::Ascending => ("ASC", ">"),
        Order::Descending => ("DESC", "<"),
    };
    if let From::After(cursor) = from {
        let value = match &cursor.value {
            CursorValue::Integer(value) => Value::Integer(*value),
            CursorValue::Text(value) => Value::Text(value.clone()),
        };
        query.and(
            &format!("({expression}, id) {after} (?, ?)"),
            [value, Value::Text(cursor.id.clone())],
        );
    }
    // One more than asked tells whether there is a next page.
    query.arguments.push(Value::Integer(i64::from(limit) + 1));
    let offset = match from {
        From::Offset(rows) => i64::from(*rows),
        From::Start | From::After(_) => 0,
    };
    query.arguments.push(Value::Integer(offset));
    // A `+` keeps SQLite from using that column's index, so it starts from the few.
    let plus = if query.sorts_afterwards { "+" } else { "" };
    let sql = format!(
        "SELECT * FROM {} WHERE {} ORDER BY {plus}{expression} {direction}, id {direction} \
         LIMIT ? OFFSET ?",
        query.source, query.conditions
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(query.arguments), |row| Ok(read_row(row)))?;
    let mut sandboxes: Vec<Sandbox> = rows.map(|row| row?).collect::<Result<_, Error>>()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = sandboxes.len() > limit;
    sandboxes.truncate(limit);
    let last = sandboxes.last().filter(|_| more);
    let next = last.map(|last| cursor_after(last, key));
    Ok(Page { sandboxes, next })
}

fn cursor_after(sandbox: &Sandbox, key: SortKey) -> Cursor {
    let value = match key {
        SortKey::Id => CursorValue::Text(sandbox.id.to_string()),
        SortKey::Name => CursorValue::Text(sandbox.name.to_string()),
        SortKey::Cpus => CursorValue::Integer(sandbox.resources.cpus.into()),
        SortKey::MemoryGib => CursorValue::Integer(sandbox.resources.memory_gib.into()),
        SortKey::DiskGib => CursorValue::Integer(sandbox.resources.disk_gib.into()),
        SortKey::State => CursorValue::Text(sandbox.shown().as_str().to_owned()),
        SortKey::Snapshot => CursorValue::Text(sandbox.snapshot.clone()),
        SortKey::Region => CursorValue::Text(sandbox.region.clone()),
        SortKey::CreatedAt => CursorValue::Integer(sandbox.created_at.unix_ms()),
        SortKey::UpdatedAt => CursorValue::Integer(sandbox.updated_at.unix_ms()),
        SortKey::LastActiveAt => CursorValue::Integer(sandbox.last_active_at.unix_ms()),
    };
    Cursor {
        value,
        id: sandbox.id.to_string(),
    }
}

/// A growing WHERE clause with its arguments.
struct Query {
    conditions: String,
    arguments: Vec<Value>,
    organization: String,
    /// Whether rows are found by another index than that of the sort.
    sorts_afterwards: bool,
    source: &'static str,
}

impl Query {
    fn new(organization: OrganizationId) -> Self {
        let organization = organization.to_string();
        Self {
            conditions: "organization_id = ?".into(),
            arguments: vec![Value::Text(organization.clone())],
            organization,
            sorts_afterwards: false,
            source: "sandboxes",
        }
    }

    fn and(&mut self, condition: &str, arguments: impl IntoIterator<Item = Value>) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self.arguments.extend(arguments);
    }

    fn narrow(&mut self, connection: &Connection, filter: &Filter) -> Result<(), Error> {
        if let Some(prefix) = &filter.id_prefix {
            // Ids are hexadecimal digits and dashes, all below the tilde.
            let end = format!("{prefix}~");
            self.and(
                "id >= ? AND id < ?",
                [Value::Text(prefix.clone()), Value::Text(end)],
            );
        }
        if let Some(prefix) = &filter.name_prefix {
            self.narrow_to_name(connection, prefix)?;
        }
        self.among("snapshot", &filter.snapshots);
        self.among("region", &filter.regions);
        self.between("cpus", filter.cpus);
        self.between("memory_gib", filter.memory_gib);
        self.between("disk_gib", filter.disk_gib);
        self.between("created_at", filter.created_at);
        self.between("last_active_at", filter.last_active_at);
        self.between("destroy_at", filter.destroy_at);
        if let Some(public) = filter.public {
            self.and("public = ?", [Value::Integer(public.into())]);
        }
        if let Some(recoverable) = filter.recoverable {
            self.narrow_to_recoverable(recoverable);
        }
        if let Some(states) = &filter.states {
            self.narrow_to_states(connection, states)?;
        }
        for (key, value) in &filter.labels {
            self.narrow_to_label(connection, key, value)?;
        }
        Ok(())
    }

    fn among(&mut self, column: &str, values: &[String]) {
        if values.is_empty() {
            return;
        }
        let marks = vec!["?"; values.len()].join(", ");
        let values = values.iter().cloned().map(Value::Text);
        self.and(&format!("{column} IN ({marks})"), values);
    }

    fn between(&mut self, column: &str, bounds: Bounds) {
        if let Some(min) = bounds.min {
            self.and(&format!("{column} >= ?"), [Value::Integer(min)]);
        }
        if let Some(max) = bounds.max {
            self.and(&format!("{column} <= ?"), [Value::Integer(max)]);
        }
    }

    fn narrow_to_recoverable(&mut self, recoverable: bool) {
        let codes: Vec<String> = FailureCode::ALL
            .iter()
            .filter(|code| code.is_recoverable())
            .map(|code| format!("'{}'", code.as_str()))
            .collect();
        let is = format!(
            "(observed = 'failed' AND observed_why IN ({}) AND {SHOWN} = 'error')",
            codes.join(", ")
        );
        self.and(&if recoverable { is } else { format!("NOT {is}") }, []);
    }

    fn narrow_to_states(&mut self, connection: &Connection, states: &[Shown]) -> Result<(), Error> {
        let unsettled = format!("{UNSETTLED} AND {SHOWN} IN ({})", shown_names(states));
        let settled = settled_names(states);
        if settled.is_empty() {
            self.source = "sandboxes INDEXED BY sandboxes_unsettled";
            self.and(&unsettled, []);
            return Ok(());
        }
        let settled = format!("{SETTLED} AND observed IN ({settled})");
        self.start_from_if_few(connection, &format!("{settled} OR {UNSETTLED}"), &[])?;
        self.and(&format!("({settled} OR {unsettled})"), []);
        Ok(())
    }

    fn narrow_to_name(&mut self, connection: &Connection, prefix: &str) -> Result<(), Error> {
        let pattern = Value::Text(like_prefix(prefix));
        let condition = "name LIKE ? ESCAPE '\\'";
        if self.start_from_if_few(connection, condition, std::slice::from_ref(&pattern))? {
            self.and(condition, [pattern]);
        } else {
            self.and(&format!("+{condition}"), [pattern]);
        }
        Ok(())
    }

    /// When few rows meet the condition, they are sorted after they were found; otherwise the sort
    /// index is walked until the page is full.
    fn start_from_if_few(
        &mut self,
        connection: &Connection,
        condition: &str,
        arguments: &[Value],
    ) -> Result<bool, Error> {
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM sandboxes \
             WHERE organization_id = ? AND ({condition}) LIMIT {FEW})"
        );
        let organization = Value::Text(self.organization.clone());
        let found: i64 = connection.prepare_cached(&sql)?.query_row(
            params_from_iter(std::iter::once(&organization).chain(arguments)),
            |row| row.get(0),
        )?;
        let few = found < FEW;
        self.sorts_afterwards |= few;
        Ok(few)
    }

    fn narrow_to_label(
        &mut self,
        connection: &Connection,
        key: &str,
        value: &str,
    ) -> Result<(), Error> {
        let few: i64 = connection
            .prepare_cached(
                "SELECT count(*) FROM (SELECT 1 FROM sandbox_labels \
                 WHERE organization_id = ? AND key = ? AND value = ? LIMIT ?)",
            )?
            .query_row((&self.organization, key, value, FEW), |row| row.get(0))?;
        let arguments = [&self.organization, key, value].map(|text| Value::Text(text.to_owned()));
        let condition = if few < FEW {
            "id IN (SELECT sandbox_id FROM sandbox_labels \
             WHERE organization_id = ? AND key = ? AND value = ?)"
        } else {
            "EXISTS (SELECT 1 FROM sandbox_labels \
             WHERE organization_id = ? AND key = ? AND value = ? AND sandbox_id = sandboxes.id)"
        };
        if few < FEW {
            self.conditions =
                self.conditions
                    .replacen("organization_id = ?", "+organization_id = ?", 1);
        }
        self.and(condition, arguments);
        Ok(())
    }
}

/// As `sebring_shown` names them, for `IN`.
fn shown_names(states: &[Shown]) -> String {
    let names = states.iter().map(|shown| format!("'{}'", shown.as_str()));
    names.collect::<Vec<_>>().join(", ")
}

/// What the runner has said of settled sandboxes that are shown so, for `IN`; empty for none.
fn settled_names(states: &[Shown]) -> String {
    let observed = states.iter().filter_map(|shown| match shown {
        Shown::Started => Some("'running'"),
        Shown::Stopped => Some("'stopped'"),
        Shown::Creating
        | Shown::BuildingSnapshot
        | Shown::Starting
        | Shown::Resizing
        | Shown::Stopping
        | Shown::Error
        | Shown::Destroying
        | Shown::Destroyed => None,
    });
    observed.collect::<Vec<_>>().join(", ")
}

fn like_prefix(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for letter in prefix.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// Bounds on instants, for callers that have them as such.
impl Bounds {
    #[must_use]
    pub fn of_instants(after: Option<Timestamp>, before: Option<Timestamp>) -> Self {
        Self {
            min: after.map(Timestamp::unix_ms),
            max: before.map(Timestamp::unix_ms),
        }
    }
}
