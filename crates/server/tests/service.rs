//! The exact forms of everything that is not a sandbox: keys, users, the server itself, and what is
//! not there yet.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

mod common;

use axum::body::Body;
use common::World;
use http::{Method, Request, StatusCode};
use serde_json::json;

#[tokio::test]
async fn keys_are_made_shown_once_used_and_removed() {
    let world = World::new().await;
    let body = json!({"name": "ci", "permissions": ["write:sandboxes"], "expiresAt": "2026-12-01T00:00:00Z"});
    let created = world.post_json("/api-keys", body.clone()).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let value = created.json()["value"].as_str().unwrap().to_owned();
    assert!(value.starts_with("dtn_") && value.len() == 68);
    world.post_json("/api-keys", body).await.refused(409);
    let current = world
        .call_as(&value, Method::GET, "/api-keys/current", None)
        .await
        .ok();
    assert_eq!(
        (&current["name"], &current["permissions"]),
        (&json!("ci"), &json!(["write:sandboxes"]))
    );
    assert!(
        current["value"].as_str().unwrap().contains("***") && current["lastUsedAt"].is_string()
    );
    // It cannot make a key, and nobody can make one for more than they have.
    let more = json!({"name": "x", "permissions": ["delete:sandboxes"]});
    world
        .call_as(&value, Method::POST, "/api-keys", Some(more))
        .await
        .refused(403);
    let unknown = json!({"name": "x", "permissions": ["fly"]});
    assert!(
        world
            .post_json("/api-keys", unknown)
            .await
            .refused(400)
            .contains("\"fly\"")
    );
    assert_eq!(
        world.get("/api-keys").await.ok().as_array().unwrap().len(),
        2
    );
    world.get("/api-keys/ci").await.ok();
    let removed = world.delete("/api-keys/ci").await;
    assert_eq!((removed.status.as_u16(), removed.text.as_str()), (204, ""));
    world
        .call_as(&value, Method::GET, "/api-keys/current", None)
        .await
        .refused(401);
    world.delete("/api-keys/ci").await.refused(404);
}

#[tokio::test]
async fn an_expired_key_is_nobodys() {
    let world = World::new().await;
    let body = json!({"name": "short", "permissions": [], "expiresAt": "2026-11-20T00:00:00Z"});
    let value = world.post_json("/api-keys", body).await.json()["value"]
        .as_str()
        .unwrap()
        .to_owned();
    world
        .call_as(&value, Method::GET, "/regions", None)
        .await
        .ok();
    world.advance(std::time::Duration::from_secs(400 * 24 * 3600));
    world
        .call_as(&value, Method::GET, "/regions", None)
        .await
        .refused(401);
    assert!(world.handle.authenticate(&value).is_none());
}

#[tokio::test]
async fn the_server_describes_itself() {
    let world = World::new().await;
    let anonymous = |path: &str| {
        Request::get(format!("/api{path}"))
            .body(Body::empty())
            .unwrap()
    };
    let config = world.send(anonymous("/config")).await.ok();
    for key in [
        "version",
        "oidc",
        "proxyTemplateUrl",
        "proxyToolboxUrl",
        "defaultSnapshot",
        "dashboardUrl",
        "maxAutoArchiveInterval",
        "maintananceMode",
        "environment",
    ] {
        assert!(config.get(key).is_some(), "{key}: {config}");
    }
    assert!(config["oidc"]["provider"].is_string());
    assert_eq!(
        world.send(anonymous("/health")).await.ok(),
        json!({"status": "ok"})
    );
    world.send(anonymous("/health/ready")).await.ok();
    world.runner.stop().await;
    let unready = world.send(anonymous("/health/ready")).await;
    assert_eq!(unready.status, StatusCode::SERVICE_UNAVAILABLE);
    let regions = world.send(anonymous("/shared-regions")).await.ok();
    assert_eq!(
        (&regions[0]["id"], &regions[0]["regionType"]),
        (&json!("us"), &json!("shared"))
    );
    let me = world.get("/users/me").await.ok();
    assert_eq!(me["id"], "daytona-admin");
    let organizations = world.get("/organizations").await.ok();
    let id = organizations[0]["id"].as_str().unwrap();
    assert_eq!(
        world.get(&format!("/organizations/{id}")).await.ok(),
        organizations[0]
    );
    let members = world.get(&format!("/organizations/{id}/users")).await.ok();
    assert_eq!(members[0]["role"], "owner");
}

#[tokio::test]
async fn what_is_not_there_yet_says_so() {
    let world = World::new().await;
    world.create(json!({"name": "box"})).await;
    for verb in [
        "pause",
        "fork",
        "archive",
        "snapshot",
        "ssh-access",
        "backup",
    ] {
        world
            .post_json(&format!("/sandbox/box/{verb}"), json!({"name": "x"}))
            .await
            .refused(422);
        world
            .post(&format!("/sandbox/none/{verb}"))
            .await
            .refused(404);
    }
    assert_eq!(world.get("/volumes").await.ok(), json!([]));
    world.get("/volumes/by-name/x").await.refused(404);
    world.get("/object-storage/push-access").await.refused(503);
    world.get("/sandbox/box/build-logs-url").await.refused(404);
    let unknown = world.get("/nothing").await.refused(404);
    assert_eq!(unknown, "Cannot GET /api/nothing");
    world.delete("/config").await.refused(405);
}

#[tokio::test]
async fn use_over_time_is_cut_to_what_was_asked_for() {
    let world = World::new().await;
    world.create(json!({"name": "box"})).await;
    let path = "/sandbox/box/telemetry/metrics";
    let cpu = "metricNames=daytona.sandbox.cpu.utilization&metricNames=unknown";
    let day = "from=1970-01-01T00:00:00Z&to=1970-01-02T00:00:00Z";
    let point = json!({"timestamp": "1970-01-01T00:00:30.000Z", "value": 50.0});
    let series = json!([{"metricName": "daytona.sandbox.cpu.utilization", "dataPoints": [point]}]);
    let seen = world.get(&format!("{path}?{day}&{cpu}")).await.ok();
    assert_eq!(seen["series"], series);
    let all = world.get(&format!("{path}?{day}")).await.ok();
    assert_eq!(all["series"].as_array().unwrap().len(), 7);
    let later = "from=1970-01-01T00:00:31Z&to=1970-01-02T00:00:00Z";
    let seen = world.get(&format!("{path}?{later}")).await.ok();
    assert_eq!(seen, json!({"series": []}));
    let asked = world.runner.usage_asked().unwrap();
    assert_eq!((asked.from_unix, asked.to_unix), (31, 86_400));

    let missing = world.get(path).await.refused(400);
    assert!(missing.contains("from is required"), "{missing}");
    let turned = "from=1970-01-02T00:00:00Z&to=1970-01-01T00:00:00Z";
    let turned = world.get(&format!("{path}?{turned}")).await.refused(400);
    assert!(turned.contains("must not be after to"), "{turned}");
    let nowhere = format!("/sandbox/none/telemetry/metrics?{day}");
    world.get(&nowhere).await.refused(404);
}

#[tokio::test]
async fn why_use_over_time_is_not_known_is_for_the_operator() {
    let world = World::new().await;
    world.create(json!({"name": "box"})).await;
    world.runner.fail_usage("open /var/lib/sebring: denied");
    let span = "from=1970-01-01T00:00:00Z&to=1970-01-02T00:00:00Z";
    let path = format!("/sandbox/box/telemetry/metrics?{span}");
    let answer = world.get(&path).await;
    assert_eq!(answer.json()["code"], "NO_RUNNER");
    let told = answer.refused(503);
    assert!(told.starts_with("No available runners"), "{told}");
}
