//! Lists of sandboxes: by cursor, and by page for older clients.

use std::collections::BTreeMap;

use http::Method;
use sebring_api::public::{ListSandboxes, PaginatedSandboxes, SandboxClass, SandboxState};
use sebring_core::id::OrganizationId;
use sebring_core::lifecycle::Shown;
use sebring_store::list::{Cursor, CursorValue, Filter, From, Order, SortKey, count, page};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::call::Call;
use super::error::ApiError;
use super::query::{Query, invalid};
use super::reply::Reply;
use super::table::{Access, Answer, QueryKind, QueryParameter, Route};
use crate::app::App;
use crate::snapshots;
use crate::view;

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 200;
/// Pages by number are walked from the start; beyond this, clients use the cursor.
const PAGE_MAX: u32 = 1_000_000;

pub(super) fn routes() -> Vec<Route> {
    let listed = Answer::Json(200, "ListSandboxes");
    let paginated = Answer::Json(200, "PaginatedSandboxes");
    let any = Access::AnyKey;
    vec![
        Route::new(Method::GET, "/sandbox", "listSandboxes", any, listed, list).query(CURSOR_QUERY),
        Route::new(
            Method::GET,
            "/sandbox/paginated",
            "listSandboxesPaginated",
            any,
            paginated,
            list_paginated,
        )
        .query(PAGE_QUERY),
    ]
}

const fn parameter(
    name: &'static str,
    kind: QueryKind,
    description: &'static str,
) -> QueryParameter {
    QueryParameter {
        name,
        kind,
        description,
    }
}

const CURSOR_QUERY: &[QueryParameter] = &[
    parameter(
        "cursor",
        QueryKind::Text,
        "`nextCursor` of the page before; the first page when left out.",
    ),
    parameter("limit", QueryKind::Integer, "1 to 200, 100 when left out."),
    parameter("id", QueryKind::Text, "Beginning of the id, in any case."),
    parameter(
        "name",
        QueryKind::Text,
        "Beginning of the name, in any case.",
    ),
    parameter(
        "labels",
        QueryKind::Text,
        "JSON object; all of it must be among the labels.",
    ),
    parameter(
        "includeErroredDeleted",
        QueryKind::Boolean,
        "Accepted; such sandboxes do not exist here.",
    ),
    parameter(
        "includeWarm",
        QueryKind::Boolean,
        "Accepted; such sandboxes do not exist here.",
    ),
    parameter("states", QueryKind::Texts, "Any state but `destroyed`."),
    parameter("snapshots", QueryKind::Texts, "Names or ids."),
    parameter("regionIds", QueryKind::Texts, ""),
    parameter("sandboxClasses", QueryKind::Texts, ""),
    parameter("minCpu", QueryKind::Integer, "Cores."),
    parameter("maxCpu", QueryKind::Integer, "Cores."),
    parameter("minMemoryGiB", QueryKind::Integer, ""),
    parameter("maxMemoryGiB", QueryKind::Integer, ""),
    parameter("minDiskGiB", QueryKind::Integer, ""),
    parameter("maxDiskGiB", QueryKind::Integer, ""),
    parameter("minGpu", QueryKind::Integer, ""),
    parameter("maxGpu", QueryKind::Integer, ""),
    parameter("isPublic", QueryKind::Boolean, ""),
    parameter("isRecoverable", QueryKind::Boolean, ""),
    parameter("createdAtAfter", QueryKind::Instant, ""),
    parameter("createdAtBefore", QueryKind::Instant, ""),
    parameter("lastEventAfter", QueryKind::Instant, ""),
    parameter("lastEventBefore", QueryKind::Instant, ""),
    parameter("autoDestroyAtAfter", QueryKind::Instant, ""),
    parameter("autoDestroyAtBefore", QueryKind::Instant, ""),
    parameter(
        "sort",
        QueryKind::Text,
        "name, cpu, memoryGib, diskGib, lastActivityAt (default) or createdAt.",
    ),
    parameter("order", QueryKind::Text, "asc or desc (default)."),
];

const PAGE_QUERY: &[QueryParameter] = &[
    parameter("page", QueryKind::Integer, "From 1."),
    parameter("limit", QueryKind::Integer, "1 to 200, 100 when left out."),
    parameter("id", QueryKind::Text, "Beginning of the id, in any case."),
    parameter(
        "name",
        QueryKind::Text,
        "Beginning of the name, in any case.",
    ),
    parameter(
        "labels",
        QueryKind::Text,
        "JSON object; all of it must be among the labels.",
    ),
    parameter(
        "includeErroredDeleted",
        QueryKind::Boolean,
        "Accepted; such sandboxes do not exist here.",
    ),
    parameter("states", QueryKind::Texts, "Any state but `destroyed`."),
    parameter("snapshots", QueryKind::Texts, "Names or ids."),
    parameter("regions", QueryKind::Texts, ""),
    parameter("minCpu", QueryKind::Integer, "Cores."),
    parameter("maxCpu", QueryKind::Integer, "Cores."),
    parameter("minMemoryGiB", QueryKind::Integer, ""),
    parameter("maxMemoryGiB", QueryKind::Integer, ""),
    parameter("minDiskGiB", QueryKind::Integer, ""),
    parameter("maxDiskGiB", QueryKind::Integer, ""),
    parameter("lastEventAfter", QueryKind::Instant, ""),
    parameter("lastEventBefore", QueryKind::Instant, ""),
    parameter(
        "sort",
        QueryKind::Text,
        "id, name, state, snapshot, region, updatedAt, createdAt (default) or lastActivityAt.",
    ),
    parameter("order", QueryKind::Text, "asc or desc (default)."),
];

async fn list(app: App, call: Call) -> Result<Reply, ApiError> {
    let organization = call.principal()?.organization;
    let query = &call.query;
    let sort = parse_sort(query, &CURSOR_SORTS, SortKey::LastActiveAt)?;
    let limit = query.integer_within("limit", 1..=LIMIT_MAX, LIMIT_DEFAULT)?;
    let from = match query.text("cursor") {
        Some(text) => From::After(decode_cursor(text, sort)?),
        None => From::Start,
    };
    let Some(filter) = parse_filter(&app, query, "regionIds").await? else {
        return Reply::json(&ListSandboxes {
            items: Vec::new(),
            next_cursor: None,
        });
    };
    let found = app
        .store
        .read(move |db| page(db, organization, &filter, sort, &from, limit));
    let found = found.await?;
    let urls = &app.config.urls;
    Reply::json(&ListSandboxes {
        items: found
            .sandboxes
            .iter()
            .map(|sandbox| view::list_item(sandbox, urls))
            .collect(),
        next_cursor: found.next.map(|cursor| encode_cursor(&cursor, sort)),
    })
}

async fn list_paginated(app: App, call: Call) -> Result<Reply, ApiError> {
    let organization = call.principal()?.organization;
    let query = &call.query;
    let sort = parse_sort(query, &PAGE_SORTS, SortKey::CreatedAt)?;
    let limit = query.integer_within("limit", 1..=LIMIT_MAX, LIMIT_DEFAULT)?;
    let number = query.integer_within("page", 1..=PAGE_MAX, 1)?;
    let (total, items) = match parse_filter(&app, query, "regions").await? {
        None => (0, Vec::new()),
        Some(filter) => numbered(&app, organization, filter, sort, (number, limit)).await?,
    };
    Reply::json(&PaginatedSandboxes {
        items,
        total,
        page: number,
        total_pages: total.div_ceil(limit.into()),
    })
}

async fn numbered(
    app: &App,
    organization: OrganizationId,
    filter: Filter,
    sort: (SortKey, Order),
    (number, limit): (u32, u32),
) -> Result<(u64, Vec<sebring_api::public::Sandbox>), ApiError> {
    let from = From::Offset((number - 1).saturating_mul(limit));
    let read = app.store.read(move |db| {
        let total = count(db, organization, &filter)?;
        let found = page(db, organization, &filter, sort, &from, limit)?;
        Ok::<_, sebring_store::Error>((total, found.sandboxes))
    });
    let (total, sandboxes) = read.await?;
    let urls = &app.config.urls;
    let items = sandboxes.iter().map(|sandbox| view::sandbox(sandbox, urls));
    Ok((total, items.collect()))
}

const CURSOR_SORTS: [(&str, SortKey); 6] = [
    ("name", SortKey::Name),
    ("cpu", SortKey::Cpus),
    ("memoryGib", SortKey::MemoryGib),
    ("diskGib", SortKey::DiskGib),
    ("lastActivityAt", SortKey::LastActiveAt),
    ("createdAt", SortKey::CreatedAt),
];

pub(super) const PAGE_SORTS: [(&str, SortKey); 8] = [
    ("id", SortKey::Id),
    ("name", SortKey::Name),
    ("state", SortKey::State),
    ("snapshot", SortKey::Snapshot),
    ("region", SortKey::Region),
    ("updatedAt", SortKey::UpdatedAt),
    ("createdAt", SortKey::CreatedAt),
    ("lastActivityAt", SortKey::LastActiveAt),
];

pub(super) fn parse_sort(
    query: &Query,
    known: &[(&str, SortKey)],
    default: SortKey,
) -> Result<(SortKey, Order), ApiError> {
    let key = match query.text("sort") {
        None => default,
        Some(text) => match known.iter().find(|(name, _)| *name == text) {
            Some((_, key)) => *key,
            None => {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                return Err(invalid(
                    "sort",
                    text,
                    &format!("one of {}", names.join(", ")),
                ));
            }
        },
    };
    let order = match query.text("order") {
        None | Some("desc") => Order::Descending,
        Some("asc") => Order::Ascending,
        Some(text) => return Err(invalid("order", text, "asc or desc")),
    };
    Ok((key, order))
}

/// `None` when nothing can match.
async fn parse_filter(app: &App, query: &Query, regions: &str) -> Result<Option<Filter>, ApiError> {
    query.boolean("includeErroredDeleted")?;
    query.boolean("includeWarm")?;
    let gpus = query.bounds("minGpu", "maxGpu", 0)?;
    let no_gpu = gpus.min.is_none_or(|min| min <= 0) && gpus.max.is_none_or(|max| max >= 0);
    let classes: Vec<SandboxClass> = names(query, "sandboxClasses")?;
    if !no_gpu || !(classes.is_empty() || classes.contains(&SandboxClass::Container)) {
        return Ok(None);
    }
    Ok(Some(Filter {
        id_prefix: query.text("id").map(str::to_ascii_lowercase),
        name_prefix: query.text("name").map(str::to_owned),
        labels: parse_labels(query)?,
        states: parse_states(query)?,
        snapshots: snapshot_names(app, query).await,
        regions: query
            .texts(regions)
            .into_iter()
            .map(str::to_owned)
            .collect(),
        cpus: query.bounds("minCpu", "maxCpu", 1)?,
        memory_gib: query.bounds("minMemoryGiB", "maxMemoryGiB", 1)?,
        disk_gib: query.bounds("minDiskGiB", "maxDiskGiB", 1)?,
        created_at: query.instants("createdAtAfter", "createdAtBefore")?,
        last_active_at: query.instants("lastEventAfter", "lastEventBefore")?,
        destroy_at: query.instants("autoDestroyAtAfter", "autoDestroyAtBefore")?,
        public: query.boolean("isPublic")?,
        recoverable: query.boolean("isRecoverable")?,
    }))
}

pub(super) fn parse_labels(query: &Query) -> Result<BTreeMap<String, String>, ApiError> {
    match query.text("labels") {
        None => Ok(BTreeMap::new()),
        // Old releases (0.115 for one) send a literal null when they filter by nothing.
        Some(text) => serde_json::from_str::<Option<BTreeMap<_, _>>>(text)
            .map(Option::unwrap_or_default)
            .map_err(|_| invalid("labels", text, "expected a JSON object of strings")),
    }
}

pub(super) fn parse_states(query: &Query) -> Result<Option<Vec<Shown>>, ApiError> {
    let states: Vec<SandboxState> = names(query, "states")?;
    if states.is_empty() {
        return Ok(None);
    }
    if states.contains(&SandboxState::Destroyed) {
        return Err(invalid("states", "destroyed", "any state but destroyed"));
    }
    Ok(Some(
        states.into_iter().filter_map(view::shown_as).collect(),
    ))
}

/// Names of an enum of the wire, refused when unknown.
fn names<T: DeserializeOwned>(query: &Query, name: &str) -> Result<Vec<T>, ApiError> {
    let texts = query.texts(name).into_iter();
    let parsed = texts.map(|text| {
        serde_json::from_value(Value::String(text.to_owned()))
            .map_err(|error| invalid(name, text, &error.to_string()))
    });
    parsed.collect()
}

/// Sandboxes keep the name of their snapshot, and clients may filter by its id.
async fn snapshot_names(app: &App, query: &Query) -> Vec<String> {
    let mut names = Vec::new();
    for reference in query.texts("snapshots") {
        if reference.parse::<uuid::Uuid>().is_ok()
            && let Some(found) = snapshots::find(app, reference).await
        {
            names.push(found.name);
        }
        names.push(reference.to_owned());
    }
    names
}

/// Opaque to clients: the sort and the last row's key, as hexadecimal JSON.
pub(super) fn encode_cursor(cursor: &Cursor, sort: (SortKey, Order)) -> String {
    let value = match &cursor.value {
        CursorValue::Integer(value) => json!(value),
        CursorValue::Text(value) => json!(value),
    };
    hex::encode(json!([sort_name(sort), value, cursor.id]).to_string())
}

pub(super) fn decode_cursor(text: &str, sort: (SortKey, Order)) -> Result<Cursor, ApiError> {
    let wrong = |why| Err(invalid("cursor", text, why));
    let decoded = hex::decode(text).ok();
    let decoded =
        decoded.and_then(|bytes| serde_json::from_slice::<(String, Value, String)>(&bytes).ok());
    let Some((name, value, id)) = decoded else {
        return wrong("not a cursor of this server");
    };
    if name != sort_name(sort) {
        return wrong("made with another sort or order");
    }
    let value = match (&value, value.as_i64()) {
        (_, Some(number)) => CursorValue::Integer(number),
        (Value::String(text), None) => CursorValue::Text(text.clone()),
        (_, None) => return wrong("not a cursor of this server"),
    };
    Ok(Cursor { value, id })
}

fn sort_name((key, order): (SortKey, Order)) -> String {
    let known = CURSOR_SORTS.iter().chain(&PAGE_SORTS);
    let mut names = known.filter(|(_, known)| *known == key);
    let name = names.next().map_or("", |(name, _)| name);
    match order {
        Order::Ascending => format!("{name} asc"),
        Order::Descending => format!("{name} desc"),
    }
}
