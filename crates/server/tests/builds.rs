//! Sandboxes that wait for their snapshot to be built: what is shown of them, and for how long.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;

use std::time::Duration;

use common::{World, eventually, id_of};
use sebring_core::clock::Clock as _;
use serde_json::json;

/// A world whose runner builds `desktop`, until that many seconds from now at the latest, and a
/// sandbox that waits for it.
async fn building(seconds: i64) -> (World, String) {
    let world = World::with_wait(Duration::from_millis(50)).await;
    world.runner.start().await;
    eventually("up", || world.handle.is_runner_up()).await;
    world.runner.hold();
    world
        .runner
        .build(world.clock.now().unix_ms() / 1_000 + seconds);
    let waiting = world.post_json("/sandbox", json!({"snapshot": "desktop"}));
    let id = id_of(&waiting.await.ok());
    world.reaches(&id, "building_snapshot").await;
    (world, id)
}

#[tokio::test]
async fn a_sandbox_whose_snapshot_is_being_built_is_shown_so_in_answers_lists_and_filters() {
    let (world, id) = building(60).await;
    let snapshot = world.get("/snapshots/desktop").await.ok();
    assert_eq!(
        (&snapshot["state"], &snapshot["mem"]),
        (&json!("building"), &json!(4))
    );
    let other = id_of(&world.post_json("/sandbox", json!({})).await.ok());
    for route in ["/sandbox", "/sandbox/paginated"] {
        let shown = async |state: &str| {
            let found = world.get(&format!("{route}?states={state}")).await.ok();
            let items = found["items"].as_array().unwrap().clone();
            items.iter().map(id_of).collect::<Vec<_>>()
        };
        assert_eq!(shown("building_snapshot").await, [id.as_str()], "{route}");
        assert_eq!(shown("creating").await, [other.as_str()], "{route}");
    }
    let started = world.post(&format!("/sandbox/{id}/start")).await.ok();
    assert_eq!(started["state"], "building_snapshot");
    world.runner.release();
    world.reaches(&id, "started").await;
}

#[tokio::test]
async fn a_build_is_told_in_events_before_and_after() {
    let world = World::with_wait(Duration::from_millis(50)).await;
    world.runner.start().await;
    eventually("up", || world.handle.is_runner_up()).await;
    world.runner.hold();
    world.runner.build(world.clock.now().unix_ms() / 1_000 + 60);
    let mut events = world.handle.subscribe();
    let body = json!({"snapshot": "desktop"});
    let id = id_of(&world.post_json("/sandbox", body).await.ok());
    world.reaches(&id, "building_snapshot").await;
    world.runner.release();
    let mut heard = Vec::new();
    while heard.last() != Some(&json!("started")) {
        let event = tokio::time::timeout(Duration::from_secs(5), events.recv()).await;
        let event = event.unwrap().unwrap();
        if event.name == "sandbox.state.updated" {
            assert_eq!(
                event.payload["sandbox"]["state"], event.payload["newState"],
                "one place decides"
            );
            heard.push(event.payload["oldState"].clone());
            heard.push(event.payload["newState"].clone());
        }
    }
    let expected = [
        "creating",
        "building_snapshot",
        "building_snapshot",
        "started",
    ];
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn a_build_that_takes_long_is_not_the_sandboxs_time_but_one_without_end_is() {
    let (world, id) = building(1_200).await;
    let other = id_of(&world.post_json("/sandbox", json!({})).await.ok());
    world.advance(Duration::from_secs(301));
    world.reaches(&other, "error").await;
    assert_eq!(world.state_of(&id).await, "building_snapshot");
    world.advance(Duration::from_secs(1_200));
    world.reaches(&id, "error").await;
    let sandbox = world.get(&format!("/sandbox/{id}")).await.ok();
    assert!(
        sandbox["errorReason"]
            .as_str()
            .unwrap()
            .starts_with("timeout: ")
    );
    world.runner.release();
    world.reaches(&id, "started").await;
}

#[tokio::test]
async fn a_server_restart_in_the_middle_of_a_build_goes_on_waiting() {
    let (mut world, id) = building(1_200).await;
    let other = id_of(&world.post_json("/sandbox", json!({})).await.ok());
    world.restart().await;
    assert_eq!(world.state_of(&id).await, "building_snapshot");
    world.advance(Duration::from_secs(301));
    world.reaches(&other, "error").await;
    assert_eq!(world.state_of(&id).await, "building_snapshot");
    world.runner.release();
    world.reaches(&id, "started").await;
}
