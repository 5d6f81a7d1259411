//! The control-plane routes: one table, from which the router, the permission of each route and
//! the OpenAPI document are made.
//!
//! A handler parses, calls one service function, and shapes the answer. Statuses of errors are
//! chosen in `error` only.
//!
//! Next: `table` for what a route is, `dispatch` for what happens around every handler.

mod call;
mod dispatch;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod keys;
mod later;
mod links;
mod list;
mod metrics;
mod network;
pub(crate) mod openapi;
mod organizations;
mod query;
mod reply;
mod sandboxes;
mod service;
mod settings;
mod snapshots;
mod table;
pub(crate) mod target;

use axum::Router;
use axum::routing::{MethodFilter, on};

use crate::app::App;
use table::Route;

/// Every route there is.
fn routes() -> Vec<Route> {
    [
        sandboxes::routes(),
        settings::routes(),
        network::routes(),
        links::routes(),
        snapshots::routes(),
        keys::routes(),
        organizations::routes(),
        service::routes(),
        later::routes(),
        metrics::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(crate) fn router(app: &App) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let filter = MethodFilter::try_from(route.method.clone())
            .expect("the table has ordinary methods only");
        let path = format!("{}{}", app.config.api_path, route.path);
        let app = app.clone();
        let handler = move |request| dispatch::dispatch(app.clone(), route.clone(), request);
        router = router.route(&path, on(filter, handler));
    }
    let (unknown, wrong_method) = (app.clone(), app.clone());
    router
        .fallback(move |request| dispatch::not_found(unknown.clone(), request))
        .method_not_allowed_fallback(move |request| {
            dispatch::wrong_method(wrong_method.clone(), request)
        })
}
