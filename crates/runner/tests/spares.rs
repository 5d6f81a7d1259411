//! Spares on this host's kernel: made after a request, claimed once, ended with their reason.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Fixture, Sandbox, deleted, eventually, running, socket_of, spec, stopped};
use sebring_api::runner::{Observation, ObservedState, SandboxSpec, Shape, Spare, StopMode};
use sebring_core::id::SandboxId;

const SOON: Duration = Duration::from_secs(10);

async fn claim(fixture: &Fixture, spare: &Spare, spec: SandboxSpec) -> (Sandbox, Vec<String>) {
    let seen = fixture
        .runner
        .command(spare.id, running(1, spec.clone()))
        .await;
    let sandbox = Sandbox {
        id: spare.id,
        socket: socket_of(&seen),
        generation: 1,
        spec,
    };
    (sandbox, phases(&seen))
}

fn phases(seen: &Observation) -> Vec<String> {
    seen.phases.iter().map(|phase| phase.name.clone()).collect()
}

fn log_of(fixture: &Fixture, id: SandboxId) -> String {
    let pool = fixture.dirs.place.data_dir.join("pool/sandboxes");
    let log = std::fs::read_to_string(pool.join(id.to_string()).join("toolbox.log"));
    log.expect("the stand-in writes down what it is told")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_becomes_the_sandbox_that_its_id_is_wanted_for() {
    let fixture = Fixture::with_spares(1).await;
    fixture.up(spec()).await;
    let spare = fixture.spares(1).await.remove(0);
    assert_eq!(Some(&spare.shape), Shape::of(&spec()).as_ref());
    let listed = |id| {
        let inventory = fixture.runner.inventory().sandboxes;
        inventory.iter().any(|seen| seen.id == id)
    };
    assert!(!listed(spare.id), "a spare is no sandbox");

    let mut wanted = spec();
    wanted.env.insert("GREETING".into(), "hello".into());
    let (sandbox, phases) = claim(&fixture, &spare, wanted).await;
    assert_eq!(phases, ["claim", "record"]);
    assert!(listed(spare.id));
    assert_eq!(sandbox.must("hostname").trim(), spare.id.to_string());
    let log = log_of(&fixture, spare.id);
    let (born, claimed) = log.split_once('\n').unwrap();
    assert!(born.contains(r#""spare":true"#), "{born}");
    assert!(claimed.contains(r#""GREETING":"hello""#), "{claimed}");
    let next = fixture.spares(1).await.remove(0);
    assert_ne!(next.id, spare.id, "another takes its place");
    fixture.close_with_spares().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_is_claimed_once_and_stays_one_sandbox() {
    let fixture = Fixture::with_spares(1).await;
    fixture.up(spec()).await;
    let spare = fixture.spares(1).await.remove(0);
    let (first, second) = tokio::join!(
        fixture.runner.command(spare.id, running(1, spec())),
        fixture.runner.command(spare.id, running(1, spec())),
    );
    assert_eq!(first, second);
    let (_, said) = common::sh(&socket_of(&first), "echo kept > /mark; cat /mark");
    assert_eq!(said, "kept\n");
    let stop = stopped(2, spec(), StopMode::Force);
    fixture.runner.command(spare.id, stop).await;
    let again = fixture.runner.command(spare.id, running(3, spec())).await;
    assert!(phases(&again).contains(&"isolate".to_owned()), "{again:?}");
    let (_, said) = common::sh(&socket_of(&again), "cat /mark");
    assert_eq!(said, "kept\n", "its disk is a sandbox's");
    fixture.close_with_spares().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_that_does_not_fit_is_ended_and_its_id_comes_up_cold() {
    let fixture = Fixture::with_spares(1).await;
    fixture.up(spec()).await;
    let spare = fixture.spares(1).await.remove(0);
    let mut larger = spec();
    larger.resources.memory_gib = 2;
    let (sandbox, phases) = claim(&fixture, &spare, larger).await;
    assert!(phases.contains(&"isolate".to_owned()), "{phases:?}");
    assert!(
        sandbox
            .must("grep MemTotal /proc/meminfo")
            .contains("2097152 kB"),
        "it has what was asked for"
    );
    assert!(!log_of(&fixture, spare.id).contains(r#""spare":true"#));
    fixture.close_with_spares().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_whose_id_is_wanted_stopped_or_deleted_ends() {
    let fixture = Fixture::with_spares(2).await;
    fixture.up(spec()).await;
    let spares = fixture.spares(2).await;
    let stop = stopped(1, spec(), StopMode::Graceful);
    let seen = fixture.runner.command(spares[0].id, stop).await;
    assert!(
        matches!(seen.state, ObservedState::Stopped { .. }),
        "{seen:?}"
    );
    let seen = fixture.runner.command(spares[1].id, deleted(1)).await;
    assert_eq!(seen.state, ObservedState::Absent);
    let of_it = |things: BTreeSet<String>| {
        let id = spares[1].id.to_string();
        things.into_iter().find(|thing| thing.contains(&id))
    };
    eventually("nothing is left of it", || {
        of_it(fixture.dirs.place.things().unwrap())
            .is_none()
            .then_some(())
    })
    .await;
    fixture.close_with_spares().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_that_nobody_asks_for_any_more_gives_place_to_one_that_somebody_does() {
    let fixture = Fixture::with_spares(1).await;
    fixture.up(spec()).await;
    let old = fixture.spares(1).await.remove(0);
    let mut larger = spec();
    larger.resources.memory_gib = 2;
    let wanted = Shape::of(&larger).unwrap();
    fixture.up(larger).await;
    let mut spares = fixture.runner.spares();
    let is_new = |now: &Vec<Spare>| now.iter().any(|one| one.shape == wanted);
    let new = tokio::time::timeout(SOON, spares.wait_for(is_new)).await;
    assert_eq!(new.unwrap().unwrap().len(), 1);
    eventually("nothing is left of the old one", || {
        let things = fixture.dirs.place.things().unwrap();
        let of_it = |thing: &String| thing.contains(&old.id.to_string());
        (!things.iter().any(of_it)).then_some(())
    })
    .await;
    fixture.close_with_spares().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_come_up_takes_no_place_from_what_can() {
    let fixture = Fixture::with_spares(2).await;
    fixture.up(spec()).await;
    let spares = fixture.spares(2).await;
    let mut absent = spec();
    absent.snapshot = "nowhere".into();
    let id = SandboxId::random();
    let seen = fixture.runner.command(id, running(1, absent)).await;
    assert!(
        matches!(seen.state, ObservedState::Failed { .. }),
        "{seen:?}"
    );
    claim(&fixture, &spares[0], spec()).await;
    let both = fixture.spares(2).await;
    assert!(
        both.iter()
            .all(|one| Some(&one.shape) == Shape::of(&spec()).as_ref())
    );
    fixture.close_with_spares().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_that_dies_is_replaced_and_its_id_still_serves() {
    let fixture = Fixture::with_spares(1).await;
    fixture.up(spec()).await;
    let spare = fixture.spares(1).await.remove(0);
    let run_dir = fixture.dirs.place.run_dir.join("sandboxes");
    let socket = run_dir.join(spare.id.to_string()).join("toolbox.sock");
    // Its answer dies with it.
    common::send(&socket, "kill -TERM 1");
    let mut spares = fixture.runner.spares();
    let is_another = |now: &Vec<Spare>| now.iter().any(|one| one.id != spare.id);
    let another = tokio::time::timeout(SOON, spares.wait_for(is_another)).await;
    drop(another.unwrap().unwrap());
    let (sandbox, phases) = claim(&fixture, &spare, spec()).await;
    assert!(phases.contains(&"isolate".to_owned()), "{phases:?}");
    sandbox.must("true");
    fixture.close_with_spares().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_pool_there_is_no_spare() {
    let fixture = Fixture::with_spares(0).await;
    let sandbox = fixture.up(spec()).await;
    fixture.runner.command(sandbox.id, deleted(2)).await;
    assert_eq!(*fixture.runner.spares().borrow(), []);
    fixture.close().await;
}
