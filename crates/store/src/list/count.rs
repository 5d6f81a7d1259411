//! How many sandboxes a filter takes, for pages by number.
//!
//! A count has no page after which it may stop, so it must not read whole rows of them all: what is
//! asked for most (everything, by state, by label) is counted in an index alone.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use sebring_core::id::OrganizationId;
use sebring_core::lifecycle::Shown;

use super::{Filter, Query, SETTLED, SHOWN, UNSETTLED, settled_names, shown_names};
use crate::Error;

/// How many sandboxes the filter takes.
pub fn count(
    connection: &Connection,
    organization: OrganizationId,
    filter: &Filter,
) -> Result<u64, Error> {
    let others = Filter {
        states: None,
        ..filter.clone()
    };
    let without_labels = Filter {
        labels: BTreeMap::new(),
        ..others.clone()
    };
    if !filter.labels.is_empty() && without_labels == Filter::default() && filter.states.is_none() {
        return count_labelled(connection, organization, &filter.labels);
    }
    if filter.states.is_none() && others != Filter::default() {
        return counted(connection, query(connection, organization, filter)?);
    }
    let states = filter.states.as_deref();
    let settled = count_settled(
        connection,
        query(connection, organization, &others)?,
        states,
        others == Filter::default(),
    );
    let unsettled = count_unsettled(
        connection,
        query(connection, organization, &others)?,
        states,
    );
    Ok(settled? + unsettled?)
}

fn query(
    connection: &Connection,
    organization: OrganizationId,
    filter: &Filter,
) -> Result<Query, Error> {
    let mut query = Query::new(organization);
    query.narrow(connection, filter)?;
    Ok(query)
}

/// Sandboxes that are as they shall be.
fn count_settled(
    connection: &Connection,
    mut query: Query,
    states: Option<&[Shown]>,
    is_all: bool,
) -> Result<u64, Error> {
    query.and(SETTLED, []);
    if let Some(states) = states {
        let observed = settled_names(states);
        if observed.is_empty() {
            return Ok(0);
        }
        query.and(&format!("observed IN ({observed})"), []);
    }
    if is_all {
        query.source = "sandboxes INDEXED BY sandboxes_settled";
    }
    counted(connection, query)
}

/// The others, which are few.
fn count_unsettled(
    connection: &Connection,
    mut query: Query,
    states: Option<&[Shown]>,
) -> Result<u64, Error> {
    query.and(UNSETTLED, []);
    if let Some(states) = states {
        query.and(&format!("{SHOWN} IN ({})", shown_names(states)), []);
    }
    counted(connection, query)
}

/// Labels have rows of their own, which end with their sandbox.
fn count_labelled(
    connection: &Connection,
    organization: OrganizationId,
    labels: &BTreeMap<String, String>,
) -> Result<u64, Error> {
    let mut conditions = vec!["organization_id = ? AND key = ? AND value = ?".to_owned()];
    let other = "EXISTS (SELECT 1 FROM sandbox_labels AS other WHERE organization_id = ? \
                 AND key = ? AND value = ? AND sandbox_id = sandbox_labels.sandbox_id)";
    conditions.resize(labels.len(), other.to_owned());
    let sql = format!(
        "SELECT count(*) FROM sandbox_labels WHERE {}",
        conditions.join(" AND ")
    );
    let organization = organization.to_string();
    let arguments = labels
        .iter()
        .flat_map(|(key, value)| [&organization, key, value]);
    let count: i64 = connection
        .prepare_cached(&sql)?
        .query_row(params_from_iter(arguments), |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn counted(connection: &Connection, query: Query) -> Result<u64, Error> {
    let sql = format!(
        "SELECT count(*) FROM {} WHERE {}",
        query.source, query.conditions
    );
    let arguments: Vec<Value> = query.arguments;
    let count: i64 = connection
        .prepare_cached(&sql)?
        .query_row(params_from_iter(arguments), |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}
