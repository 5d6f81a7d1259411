//! Routes of snapshots: what is there to start from.

use http::Method;
use sebring_api::public::PaginatedSnapshots;

use super::call::Call;
use super::error::ApiError;
use super::query::invalid;
use super::reply::Reply;
use super::table::{Access, Answer, QueryKind, QueryParameter, Route};
use crate::app::App;
use crate::sandboxes::create::REGION;
use crate::snapshots::{self, Named};

pub(super) fn routes() -> Vec<Route> {
    let list = Answer::Json(200, "PaginatedSnapshots");
    let one = Answer::Json(200, "Snapshot");
    vec![
        Route::new(
            Method::GET,
            "/snapshots",
            "getAllSnapshots",
            Access::AnyKey,
            list,
            get_all,
        )
        .query(QUERY),
        Route::new(
            Method::GET,
            "/snapshots/{snapshotIdOrName}",
            "getSnapshot",
            Access::AnyKey,
            one,
            get_one,
        ),
    ]
}

const QUERY: &[QueryParameter] = &[
    QueryParameter {
        name: "page",
        kind: QueryKind::Integer,
        description: "From 1.",
    },
    QueryParameter {
        name: "limit",
        kind: QueryKind::Integer,
        description: "1 to 200, 100 when left out.",
    },
    QueryParameter {
        name: "name",
        kind: QueryKind::Text,
        description: "Part of the name, in any case.",
    },
    QueryParameter {
        name: "sourceSandboxId",
        kind: QueryKind::Text,
        description: "No snapshot was made from a sandbox, so nothing matches.",
    },
    QueryParameter {
        name: "sort",
        kind: QueryKind::Text,
        description: "name, state, lastUsedAt (default) or createdAt.",
    },
    QueryParameter {
        name: "order",
        kind: QueryKind::Text,
        description: "asc or desc (default).",
    },
];

async fn get_all(app: App, call: Call) -> Result<Reply, ApiError> {
    let query = &call.query;
    let limit = query.integer_within("limit", 1..=200, 100)?;
    let page = query.integer_within("page", 1..=1_000_000, 1)?;
    let mut found = snapshots::all(&app).await;
    if let Some(part) = query.text("name") {
        let part = part.to_lowercase();
        found.retain(|one| one.name.to_lowercase().contains(&part));
    }
    if query.text("sourceSandboxId").is_some() {
        found.clear();
    }
    sort(&mut found, query.text("sort"), query.text("order"))?;
    let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
    let skip = usize::try_from((page - 1).saturating_mul(limit)).unwrap_or(usize::MAX);
    let items = found.iter().skip(skip);
    let items = items.take(usize::try_from(limit).unwrap_or(usize::MAX));
    Reply::json(&PaginatedSnapshots {
        items: items.map(|one| one.view(REGION)).collect(),
        total,
        page,
        total_pages: total.div_ceil(limit.into()),
    })
}

fn sort(found: &mut [Named], sort: Option<&str>, order: Option<&str>) -> Result<(), ApiError> {
    let created = |one: &Named| one.facts.created_at.clone();
    match sort {
        None | Some("lastUsedAt" | "state" | "createdAt") => {
            found.sort_by_key(|one| (created(one), one.name.clone()));
        }
        Some("name") => found.sort_by(|a, b| a.name.cmp(&b.name)),
        Some(other) => {
            let known = "one of name, state, lastUsedAt, createdAt";
            return Err(invalid("sort", other, known));
        }
    }
    match order {
        None | Some("desc") => found.reverse(),
        Some("asc") => {}
        Some(other) => return Err(invalid("order", other, "asc or desc")),
    }
    Ok(())
}

async fn get_one(app: App, call: Call) -> Result<Reply, ApiError> {
    let reference = call.parameter("snapshotIdOrName");
    match snapshots::find(&app, reference).await {
        Some(found) => Reply::json(&found.view(REGION)),
        None => Err(ApiError::not_found(format!(
            "Snapshot with ID or name {reference} not found"
        ))),
    }
}
