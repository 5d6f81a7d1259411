//! Which new sandboxes get the id of a spare.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

mod common;

use common::{World, eventually, id_of};
use sebring_api::runner::{Goal, ResourceSpec, Shape, Spare};
use sebring_core::id::SandboxId;
use serde_json::json;

fn spare(snapshot: &str) -> Spare {
    let resources = ResourceSpec {
        cpus: 1,
        memory_gib: 1,
        disk_gib: 3,
    };
    Spare {
        id: SandboxId::random(),
        shape: Shape {
            snapshot: snapshot.into(),
            resources,
        },
    }
}

async fn announced(world: &World, spares: &[Spare]) {
    world.runner.announce(spares.to_vec());
    eventually("heard", || world.handle.spares() == spares.len()).await;
}

#[tokio::test]
async fn a_new_sandbox_gets_the_id_of_a_spare_and_no_other_gets_it() {
    let world = World::new().await;
    let one = spare("sebring-small");
    announced(&world, std::slice::from_ref(&one)).await;
    let first = world.create(json!({"env": {"A": "1"}})).await;
    assert_eq!(first["id"], one.id.to_string());
    assert_eq!(first["name"], one.id.to_string());
    let spec = world.runner.spec(&id_of(&first));
    assert_eq!(spec.env["DAYTONA_SANDBOX_ID"], one.id.to_string());
    assert_eq!(spec.env["A"], "1");
    let commands = world.runner.commands(&id_of(&first));
    assert!(matches!(commands[0].goal, Goal::Running { .. }));
    let second = world.create(json!({})).await;
    assert_ne!(second["id"], first["id"]);
}

#[tokio::test]
async fn whoever_wants_something_else_gets_none() {
    let world = World::new().await;
    let one = spare("sebring-small");
    announced(&world, std::slice::from_ref(&one)).await;
    for body in [
        json!({"user": "daytona"}),
        json!({"networkBlockAll": true}),
        json!({"snapshot": "sebring-medium"}),
    ] {
        let other = world.create(body).await;
        assert_ne!(other["id"], one.id.to_string());
    }
    let fitting = world.create(json!({"name": "mine"})).await;
    assert_eq!(fitting["id"], one.id.to_string());
    assert_eq!(fitting["name"], "mine");
}

#[tokio::test]
async fn a_spare_is_not_lost_to_a_name_that_is_taken() {
    let world = World::new().await;
    world.create(json!({"name": "mine"})).await;
    let one = spare("sebring-small");
    announced(&world, std::slice::from_ref(&one)).await;
    let refused = world.post_json("/sandbox", json!({"name": "mine"})).await;
    refused.refused(409);
    let next = world.create(json!({})).await;
    assert_eq!(next["id"], one.id.to_string());
}

#[tokio::test]
async fn spares_are_no_sandboxes_and_a_restarted_server_gives_none_out_again() {
    let mut world = World::new().await;
    let (one, two) = (spare("sebring-small"), spare("sebring-small"));
    announced(&world, &[one.clone(), two.clone()]).await;
    let list = world.get("/sandbox").await.ok();
    assert!(!list.to_string().contains(&one.id.to_string()), "{list}");
    let first = id_of(&world.create(json!({})).await);
    world.restart().await;
    eventually("heard again", || world.handle.spares() == 2).await;
    let second = id_of(&world.create(json!({})).await);
    assert_ne!(first, second);
    let mut given = [first, second];
    given.sort();
    let mut expected = [one.id.to_string(), two.id.to_string()];
    expected.sort();
    assert_eq!(given, expected);
}

#[tokio::test]
async fn spares_of_a_runner_that_is_gone_are_forgotten() {
    let world = World::new().await;
    announced(&world, &[spare("sebring-small")]).await;
    world.runner.announce(Vec::new());
    eventually("forgotten", || world.handle.spares() == 0).await;
}
