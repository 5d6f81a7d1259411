//! What happens to sandboxes: the promises of the lifecycle, through the API.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

mod common;

use std::time::Duration;

use common::{World, eventually, id_of};
use http::Method;
use sebring_api::runner::{FailureCode, Goal, NetworkSpec, StopReason};
use sebring_core::id::SandboxId;
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn create_answers_started_with_a_timing_of_each_phase() {
    let world = World::new().await;
    let answer = world.post_json("/sandbox", json!({"name": "box"})).await;
    let timing = answer.headers["server-timing"].to_str().unwrap().to_owned();
    for phase in [
        "parse;",
        "store;",
        "run;",
        "runner-rootfs;dur=1.500",
        "sync;",
        "total;",
    ] {
        assert!(timing.contains(phase), "{timing}");
    }
    let sandbox = answer.ok();
    assert_eq!(sandbox["state"], "started");
    assert_eq!(sandbox["desiredState"], "started");
    assert_eq!(sandbox["name"], "box");
}

#[tokio::test]
async fn stop_start_and_delete_reach_their_state_before_they_answer() {
    let world = World::new().await;
    let sandbox = world.create(json!({"name": "box"})).await;
    let id = id_of(&sandbox);
    let stopped = world.post("/sandbox/box/stop?force=false").await.ok();
    assert_eq!(stopped["state"], "stopped");
    assert_eq!(stopped["errorReason"], json!(null));
    assert_eq!(
        world.post("/sandbox/box/stop").await.refused(400),
        "Sandbox is not in a stoppable state"
    );
    let started = world.post(&format!("/sandbox/{id}/start")).await.ok();
    assert_eq!(started["state"], "started");
    assert_eq!(
        world.post(&format!("/sandbox/{id}/start")).await.ok()["state"],
        "started"
    );
    let deleted = world.delete("/sandbox/box").await.ok();
    assert_eq!(deleted["state"], "destroyed");
    world.delete("/sandbox/box").await.refused(404);
    world.get(&format!("/sandbox/{id}")).await.refused(404);
    assert!(!world.runner.has(&id));
}

#[tokio::test]
async fn a_client_that_leaves_takes_nothing_with_it() {
    let world = World::new().await;
    world.runner.hold();
    {
        let create = world.post_json("/sandbox", json!({"name": "left"}));
        let impatient = tokio::time::timeout(Duration::from_millis(100), create).await;
        assert!(impatient.is_err());
    }
    assert_eq!(world.state_of("left").await, "creating");
    world.runner.release();
    world.reaches("left", "started").await;
}

#[tokio::test]
async fn a_wait_that_is_over_answers_the_true_state() {
    let mut world = World::with_wait(Duration::from_millis(50)).await;
    world.runner.start().await;
    eventually("up", || world.handle.is_runner_up()).await;
    world.runner.hold();
    let sandbox = world.post_json("/sandbox", json!({})).await.ok();
    assert_eq!(sandbox["state"], "creating");
    let id = id_of(&sandbox);
    world.restart().await;
    world.runner.release();
    world.reaches(&id, "started").await;
}

#[tokio::test]
async fn a_server_restart_in_the_middle_of_a_create_finishes_it() {
    let mut world = World::with_wait(Duration::from_millis(20)).await;
    let early = world.post_json("/sandbox", json!({})).await;
    assert!(early.refused(503).starts_with("No available runners"));
    world.runner.start().await;
    eventually("up", || world.handle.is_runner_up()).await;
    world.runner.hold();
    let id = id_of(&world.post_json("/sandbox", json!({})).await.ok());
    world.runner.stop().await;
    world.restart().await;
    assert_eq!(world.state_of(&id).await, "creating");
    world.runner.release();
    world.runner.start().await;
    world.reaches(&id, "started").await;
    assert_eq!(world.runner.ids(), vec![id]);
}

#[tokio::test]
async fn a_runner_restart_loses_nothing_and_unfinished_work_goes_on() {
    let world = World::new().await;
    let kept = id_of(&world.create(json!({})).await);
    world.runner.stop().await;
    eventually("the loss is noticed", || !world.handle.is_runner_up()).await;
    assert_eq!(world.state_of(&kept).await, "started");
    let path = format!("/sandbox/{kept}/stop");
    let stopping = world.post(&path);
    let restart = async {
        world.runner.start().await;
    };
    let (stopped, ()) = tokio::join!(stopping, restart);
    assert_eq!(stopped.ok()["state"], "stopped");
}

#[tokio::test]
async fn a_sandbox_that_ends_while_the_runner_is_away_is_found_ended() {
    let world = World::new().await;
    let id = id_of(&world.create(json!({})).await);
    world.runner.stop().await;
    eventually("the loss is noticed", || !world.handle.is_runner_up()).await;
    world.runner.end(&id, StopReason::HostLost);
    world.runner.start().await;
    world.reaches(&id, "stopped").await;
    let sandbox = world.get(&format!("/sandbox/{id}")).await.ok();
    assert!(
        sandbox["errorReason"]
            .as_str()
            .unwrap()
            .starts_with("host_lost")
    );
}

#[tokio::test]
async fn a_sandbox_that_the_runner_lost_is_an_error_and_can_be_deleted() {
    let world = World::new().await;
    let id = id_of(&world.create(json!({})).await);
    world.runner.stop().await;
    world.runner.forget(&id);
    world.runner.start().await;
    world.reaches(&id, "error").await;
    let sandbox = world.get(&format!("/sandbox/{id}")).await.ok();
    assert!(
        sandbox["errorReason"]
            .as_str()
            .unwrap()
            .starts_with("lost: ")
    );
    assert_eq!(sandbox["recoverable"], false);
    world.delete(&format!("/sandbox/{id}")).await.ok();
    world.reaches(&id, "absent").await;
}

#[tokio::test]
async fn what_nobody_owns_is_deleted_from_the_runner() {
    let world = World::without_runner().await;
    world.runner.plant(SandboxId::random());
    world.runner.start().await;
    eventually("the orphan is gone", || world.runner.ids().is_empty()).await;
}

#[tokio::test]
async fn a_sandbox_that_runs_out_of_memory_says_so_and_starts_again() {
    let world = World::new().await;
    let id = id_of(&world.create(json!({})).await);
    world.runner.end(&id, StopReason::OomKilled);
    world.reaches(&id, "stopped").await;
    let sandbox = world.get(&format!("/sandbox/{id}")).await.ok();
    assert!(
        sandbox["errorReason"]
            .as_str()
            .unwrap()
            .starts_with("oom_killed: ")
    );
    assert_eq!(sandbox["desiredState"], "stopped");
    let started = world.post(&format!("/sandbox/{id}/start")).await.ok();
    assert_eq!(started["errorReason"], json!(null));
}

#[tokio::test]
async fn an_ephemeral_sandbox_is_deleted_by_stop_and_by_its_own_end() {
    let world = World::new().await;
    let ephemeral = json!({"autoDeleteInterval": 0});
    let stopped = id_of(&world.create(ephemeral.clone()).await);
    let answer = world.post(&format!("/sandbox/{stopped}/stop")).await.ok();
    assert_eq!(answer["state"], "destroyed");
    let ended = id_of(&world.create(ephemeral).await);
    world.runner.end(&ended, StopReason::Exited);
    world.reaches(&ended, "absent").await;
    eventually("nothing is left", || world.runner.ids().is_empty()).await;
}

#[tokio::test]
async fn a_failed_start_says_what_happened_and_has_ways_out() {
    let world = World::new().await;
    world
        .runner
        .fail_next(FailureCode::DiskFull, "rootfs: no space left on the pool");
    let answer = world.post_json("/sandbox", json!({"name": "full"})).await;
    let message = answer.refused(507);
    assert!(
        message.starts_with("Sandbox failed to start: disk_full: rootfs"),
        "{message}"
    );
    let sandbox = world.get("/sandbox/full").await.ok();
    assert_eq!(
        (&sandbox["state"], &sandbox["recoverable"]),
        (&json!("error"), &json!(true))
    );
    let recovered = world
        .post("/sandbox/full/recover?skipStart=true")
        .await
        .ok();
    assert_eq!(recovered["state"], "stopped");
    world.post("/sandbox/full/recover").await.refused(400);

    world
        .runner
        .fail_next(FailureCode::HostError, "clone: EAGAIN");
    world.post("/sandbox/full/start").await.refused(500);
    assert_eq!(
        world.post("/sandbox/full/start").await.ok()["state"],
        "started"
    );

    world
        .runner
        .fail_next(FailureCode::OutOfAddresses, "no slot left");
    world
        .post_json("/sandbox", json!({"name": "second"}))
        .await
        .refused(503);
    world.delete("/sandbox/second").await.ok();
    world.reaches("second", "absent").await;
}

#[tokio::test]
async fn a_bring_up_that_takes_too_long_is_given_up_and_its_late_success_counts() {
    let mut world = World::with_wait(Duration::from_millis(20)).await;
    world.runner.start().await;
    eventually("up", || world.handle.is_runner_up()).await;
    world.runner.hold();
    let id = id_of(&world.post_json("/sandbox", json!({})).await.ok());
    world.advance(6 * MINUTE);
    world.reaches(&id, "error").await;
    world.restart().await;
    assert_eq!(world.state_of(&id).await, "error");
    world.runner.release();
    // The command that was under way is carried out after all.
    world.reaches(&id, "started").await;
}

#[tokio::test]
async fn delete_is_accepted_in_every_state_and_finishes() {
    let world = World::with_wait(Duration::from_millis(20)).await;
    world.runner.start().await;
    eventually("up", || world.handle.is_runner_up()).await;
    for state in [
        "creating", "started", "stopping", "stopped", "starting", "resizing", "error",
    ] {
        let id = bring_to(&world, state).await;
        assert_eq!(world.state_of(&id).await, state);
        let answer = world.delete(&format!("/sandbox/{id}")).await.ok();
        assert!(["destroying", "destroyed"].contains(&answer["state"].as_str().unwrap()));
        // Twice, in the middle.
        world.delete(&format!("/sandbox/{id}")).await;
        world.runner.release();
        world.reaches(&id, "absent").await;
        eventually("the runner has nothing left", || {
            world.runner.ids().is_empty()
        })
        .await;
    }
}

/// A sandbox in this state, with the runner held where the state is transitional.
async fn bring_to(world: &World, state: &str) -> String {
    if state == "creating" {
        world.runner.hold();
        return id_of(&world.post_json("/sandbox", json!({})).await.ok());
    }
    if state == "error" {
        world.runner.fail_next(FailureCode::HostError, "x");
        world
            .post_json("/sandbox", json!({"name": "failed"}))
            .await
            .refused(500);
        return id_of(&world.get("/sandbox/failed").await.ok());
    }
    let id = id_of(&world.create(json!({})).await);
    let path = format!("/sandbox/{id}");
    if ["stopped", "starting"].contains(&state) {
        world.post(&format!("{path}/stop")).await.ok();
        world.reaches(&id, "stopped").await;
    }
    match state {
        "stopping" => {
            world.runner.hold();
            world.post(&format!("{path}/stop")).await.ok();
        }
        "starting" => {
            world.runner.hold();
            world.post(&format!("{path}/start")).await.ok();
        }
        "resizing" => {
            world.runner.hold();
            world
                .post_json(&format!("{path}/resize"), json!({"cpu": 2}))
                .await
                .ok();
        }
        _ => {}
    }
    id
}

#[tokio::test]
async fn of_many_creates_with_one_name_exactly_one_wins() {
    let world = World::new().await;
    let creates = (0..20).map(|_| world.post_json("/sandbox", json!({"name": "same"})));
    let answers = futures_util::future::join_all(creates).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|one| one.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 19));
    for answer in lost {
        assert_eq!(answer.refused(409), "Sandbox with name same already exists");
    }
}

#[tokio::test]
async fn a_name_is_free_as_soon_as_its_sandbox_is_asked_to_be_deleted() {
    let world = World::with_wait(Duration::from_millis(20)).await;
    world.runner.start().await;
    eventually("up", || world.handle.is_runner_up()).await;
    let old = id_of(&world.create(json!({"name": "n"})).await);
    world.runner.hold();
    assert_eq!(world.delete("/sandbox/n").await.ok()["state"], "destroying");
    let new = id_of(&world.post_json("/sandbox", json!({"name": "n"})).await.ok());
    assert_ne!(old, new);
    assert_eq!(world.get("/sandbox/n").await.ok()["id"], json!(new));
    world.runner.release();
    world.reaches(&old, "absent").await;
    world.reaches("n", "started").await;
}

#[tokio::test]
async fn a_resize_is_applied_or_taken_back_as_a_whole() {
    let world = World::new().await;
    let id = id_of(&world.create(json!({})).await);
    let path = format!("/sandbox/{id}/resize");
    let bigger = world
        .post_json(&path, json!({"cpu": 2, "memory": 4.0}))
        .await
        .ok();
    assert_eq!((&bigger["cpu"], &bigger["memory"]), (&json!(2), &json!(4)));
    assert_eq!(bigger["state"], "started");
    assert_eq!(world.runner.spec(&id).resources.memory_gib, 4);

    world
        .runner
        .fail_next(FailureCode::DoesNotFit, "in use: 5 GiB");
    let refused = world
        .post_json(&path, json!({"memory": 8}))
        .await
        .refused(400);
    assert!(refused.contains("in use: 5 GiB"), "{refused}");
    world.reaches(&id, "started").await;
    assert_eq!(world.get(&format!("/sandbox/{id}")).await.ok()["memory"], 4);
    eventually("the runner has the old size", || {
        world.runner.spec(&id).resources.memory_gib == 4
    })
    .await;

    for (body, part) in [
        (json!({}), "nothing to resize"),
        (json!({"cpu": 2}), "nothing to resize"),
        (
            json!({"disk": 5}),
            "disk 5: the disk can be resized only while",
        ),
        (json!({"cpu": 1}), "cpu 1: the sandbox has 2"),
        (
            json!({"memory": 2048}),
            "memory 2048: maximum 16; memory is in GiB",
        ),
        (
            json!({"cpu": 1.5}),
            "cpu: invalid type: floating point `1.5`, expected a whole number",
        ),
    ] {
        let message = world.post_json(&path, body).await.refused(400);
        assert!(message.contains(part), "{message}");
    }
    world.post(&format!("/sandbox/{id}/stop")).await.ok();
    let resized = world
        .post_json(&path, json!({"disk": 5, "cpu": 1}))
        .await
        .ok();
    assert_eq!(
        (&resized["disk"], &resized["state"]),
        (&json!(5), &json!("stopped"))
    );
}

#[tokio::test]
async fn the_network_policy_reaches_the_runner_before_the_answer() {
    let world = World::new().await;
    let id = id_of(&world.create(json!({"networkBlockAll": true})).await);
    assert_eq!(world.runner.spec(&id).network, NetworkSpec::BlockAll);
    let path = format!("/sandbox/{id}/network-settings");
    let body = json!({"networkAllowList": "203.0.113.0/24, 1.1.1.1/32"});
    let sandbox = world.post_json(&path, body).await.ok();
    assert_eq!(sandbox["networkBlockAll"], false);
    assert_eq!(sandbox["networkAllowList"], "203.0.113.0/24,1.1.1.1/32");
    let cidrs = vec!["203.0.113.0/24".to_owned(), "1.1.1.1/32".to_owned()];
    assert_eq!(world.runner.spec(&id).network, NetworkSpec::Allow { cidrs });

    for (body, part) in [
        (json!({}), "give at least one"),
        (
            json!({"networkAllowList": "1.2.3.4"}),
            "not an IPv4 network",
        ),
        (json!({"domainAllowList": "x.org"}), "not available yet"),
    ] {
        let message = world.post_json(&path, body).await.refused(400);
        assert!(message.contains(part), "{message}");
    }
    world.post(&format!("/sandbox/{id}/stop")).await.ok();
    let before = world.runner.command_count();
    world
        .post_json(&path, json!({"networkBlockAll": true}))
        .await
        .ok();
    assert_eq!(world.runner.command_count(), before);
    world.post(&format!("/sandbox/{id}/start")).await.ok();
    assert_eq!(world.runner.spec(&id).network, NetworkSpec::BlockAll);
}

#[tokio::test]
async fn an_idle_sandbox_is_stopped_and_activity_puts_it_off() {
    let world = World::new().await;
    let id = id_of(&world.create(json!({"autoStopInterval": 10})).await);
    world.advance(9 * MINUTE);
    let path = format!("/sandbox/{id}/last-activity");
    let touched = world.post(&path).await;
    assert_eq!((touched.status.as_u16(), touched.text.as_str()), (201, ""));
    world.advance(9 * MINUTE);
    assert_eq!(world.state_of(&id).await, "started");
    world.advance(2 * MINUTE);
    world.reaches(&id, "stopped").await;
}

#[tokio::test]
async fn a_stopped_sandbox_is_deleted_after_its_interval_across_a_restart() {
    let mut world = World::new().await;
    let id = id_of(
        &world
            .create(json!({"autoStopInterval": 0, "autoDeleteInterval": 30}))
            .await,
    );
    world.advance(600 * MINUTE);
    assert_eq!(world.state_of(&id).await, "started");
    world.post(&format!("/sandbox/{id}/stop")).await.ok();
    world.advance(29 * MINUTE);
    world.restart().await;
    assert_eq!(world.state_of(&id).await, "stopped");
    world.advance(2 * MINUTE);
    world.reaches(&id, "absent").await;
}

#[tokio::test]
async fn a_time_to_live_ends_a_running_sandbox_and_can_be_anchored_anew() {
    let world = World::new().await;
    let id = id_of(
        &world
            .create(json!({"ttlMinutes": 10, "autoStopInterval": 0}))
            .await,
    );
    world.advance(9 * MINUTE);
    let sandbox = world.post(&format!("/sandbox/{id}/ttl/10")).await.ok();
    assert!(sandbox["autoDestroyAt"].is_string());
    world.advance(9 * MINUTE);
    assert_eq!(world.state_of(&id).await, "started");
    world.advance(2 * MINUTE);
    world.reaches(&id, "absent").await;
}

#[tokio::test]
async fn events_tell_every_visible_change_in_order() {
    let world = World::new().await;
    let mut events = world.handle.subscribe();
    let id = id_of(&world.create(json!({})).await);
    world.post(&format!("/sandbox/{id}/stop")).await.ok();
    world.delete(&format!("/sandbox/{id}")).await.ok();
    let mut heard = Vec::new();
    while heard.last().map(String::as_str) != Some("destroyed") {
        let event = tokio::time::timeout(Duration::from_secs(5), events.recv()).await;
        let event = event.unwrap().unwrap();
        heard.push(match event.name {
            "sandbox.created" => {
                assert_eq!(event.payload["id"], json!(id));
                "created".to_owned()
            }
            "sandbox.state.updated" => {
                assert_eq!(event.payload["sandbox"]["id"], json!(id));
                event.payload["newState"].as_str().unwrap().to_owned()
            }
            "sandbox.desired-state.updated" => "desired".to_owned(),
            other => panic!("{other}"),
        });
    }
    let expected = [
        "created",
        "started",
        "desired",
        "stopping",
        "stopped",
        "desired",
        "destroying",
        "destroyed",
    ];
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn commands_carry_rising_generations() {
    let world = World::new().await;
    let id = id_of(&world.create(json!({"env": {"A": "1"}})).await);
    world
        .post(&format!("/sandbox/{id}/stop?force=true"))
        .await
        .ok();
    world.post(&format!("/sandbox/{id}/start")).await.ok();
    let generations: Vec<u64> = world
        .runner
        .commands(&id)
        .iter()
        .map(|one| one.generation.0)
        .collect();
    assert_eq!(generations, vec![1, 2, 3]);
    assert!(
        matches!(&world.runner.commands(&id)[0].goal, Goal::Running { spec } if spec.env["A"] == "1")
    );
}

#[tokio::test]
async fn a_burst_of_creates_all_succeed() {
    let world = World::new().await;
    let creates = (0..200).map(|_| world.call(Method::POST, "/sandbox", Some(json!({}))));
    for answer in futures_util::future::join_all(creates).await {
        assert_eq!(answer.ok()["state"], "started");
    }
}
