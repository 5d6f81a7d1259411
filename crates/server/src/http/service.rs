//! Routes about the server itself: configuration, health, regions.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use sebring_api::public::{Configuration, Health, Oidc, Readiness, Region};
use sebring_core::timers::AUTO_ARCHIVE_MINUTES_MAX;
use sebring_store::Error as StoreError;
use sebring_tasks::chain;

use super::call::Call;
use super::error::ApiError;
use super::reply::Reply;
use super::table::{Access, Answer, Route};
use crate::app::App;
use crate::sandboxes::create::REGION;

pub(super) fn routes() -> Vec<Route> {
    let public = Access::Public;
    let regions = Answer::List("Region");
    vec![
        Route::new(
            Method::GET,
            "/config",
            "configControllerGetConfig",
            public,
            Answer::Json(200, "Configuration"),
            configuration,
        ),
        Route::new(
            Method::GET,
            "/health",
            "healthControllerLive",
            public,
            Answer::Json(200, "Health"),
            health,
        ),
        Route::new(
            Method::GET,
            "/health/ready",
            "healthControllerCheck",
            public,
            Answer::Json(200, "Readiness"),
            readiness,
        ),
        Route::new(
            Method::GET,
            "/shared-regions",
            "listSharedRegions",
            public,
            regions,
            list_regions,
        ),
        Route::new(
            Method::GET,
            "/regions",
            "listAvailableRegions",
            Access::AnyKey,
            regions,
            list_regions,
        ),
        Route::new(
            Method::GET,
            "/regions/{id}",
            "getRegionById",
            Access::AnyKey,
            Answer::Json(200, "Region"),
            get_region,
        ),
    ]
}

async fn configuration(app: App, _: Call) -> Result<Reply, ApiError> {
    let config = &app.config;
    Reply::json(&Configuration {
        version: env!("CARGO_PKG_VERSION").into(),
        oidc: Oidc::default(),
        linked_accounts_enabled: false,
        announcements: BTreeMap::new(),
        proxy_template_url: config.urls.preview_template.clone(),
        proxy_toolbox_url: config.urls.toolbox.clone(),
        default_snapshot: config.default_snapshot.clone(),
        dashboard_url: config.urls.dashboard.clone(),
        max_auto_archive_interval: AUTO_ARCHIVE_MINUTES_MAX,
        maintanance_mode: false,
        environment: "production".into(),
    })
}

async fn health(_: App, _: Call) -> Result<Reply, ApiError> {
    Reply::json(&Health {
        status: "ok".into(),
    })
}

/// Ready means that a sandbox could be created now: the runner answers and the store takes writes.
async fn readiness(app: App, _: Call) -> Result<Reply, ApiError> {
    let write = app
        .store
        .write::<_, StoreError>(|tx| tx.check_writable())
        .await;
    let host = app.runner.host().await;
    let is_ready = write.is_ok() && host.is_ok() && app.runner.is_up();
    let mut checks = BTreeMap::new();
    let store = write.map_or_else(|error| chain(&error), |_| "ok".into());
    checks.insert("store".to_owned(), store);
    let runner = match host {
        Ok(_) if !app.runner.is_up() => "connecting".into(),
        Ok(_) => "ok".into(),
        Err(error) => chain(&error),
    };
    checks.insert("runner".to_owned(), runner);
    let unenforced = app.catalog.unenforced();
    if !unenforced.is_empty() {
        checks.insert("unenforcedLimits".to_owned(), unenforced.join(", "));
    }
    let (status, text) = if is_ready {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "error")
    };
    Reply::json_with(
        status,
        &Readiness {
            status: text.into(),
            checks,
        },
    )
}

async fn list_regions(app: App, _: Call) -> Result<Reply, ApiError> {
    Reply::json(&[region(&app)])
}

async fn get_region(app: App, call: Call) -> Result<Reply, ApiError> {
    if call.parameter("id") != REGION {
        return Err(ApiError::not_found("Region not found"));
    }
    Reply::json(&region(&app))
}

fn region(app: &App) -> Region {
    let since = app.started_at.to_string();
    Region {
        id: REGION.into(),
        name: REGION.into(),
        organization_id: None,
        region_type: "shared".into(),
        created_at: since.clone(),
        updated_at: since,
        proxy_url: None,
        ssh_gateway_url: None,
        snapshot_manager_url: None,
        otel_endpoint: None,
    }
}
