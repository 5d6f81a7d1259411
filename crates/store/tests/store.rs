//! What a write promises, against real files.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;

use common::{NOW, World, labels, sandbox};
use sebring_core::lifecycle::{
    Failure, FailureCode, Intent, Observed, StopMode, StopReason, WhyRunning, WhyStopped,
};
use sebring_core::network::{Policy, parse_allow_list};
use sebring_core::resources::Resources;
use sebring_core::timers::AutoDelete;
use sebring_store::{Change, Error, Store};

#[tokio::test]
async fn a_sandbox_reads_back_exactly_whatever_its_life() {
    let world = World::new().await;
    let from = Resources {
        cpus: 4,
        memory_gib: 5,
        disk_gib: 6,
    };
    let intents = [
        Intent::Running(WhyRunning::Created),
        Intent::Running(WhyRunning::Started),
        Intent::Running(WhyRunning::Resized { from }),
        Intent::Running(WhyRunning::Adjusted),
        Intent::Stopped(WhyStopped::Asked(StopMode::Graceful)),
        Intent::Stopped(WhyStopped::Asked(StopMode::Force)),
        Intent::Stopped(WhyStopped::Ended),
        Intent::Stopped(WhyStopped::Resized { from }),
        Intent::Deleted,
    ];
    let mut observations = vec![
        Observed::Unseen,
        Observed::Running {
            toolbox_socket: "/run/t.sock".into(),
            unenforced: vec!["disk".into()],
        },
        Observed::Stopped(StopReason::Asked),
        Observed::Stopped(StopReason::Exited),
        Observed::Stopped(StopReason::OomKilled),
        Observed::Stopped(StopReason::HostLost),
    ];
    observations.extend(FailureCode::ALL.map(|code| {
        Observed::Failed(Failure {
            code,
            message: "why".into(),
        })
    }));
    for (at, intent) in intents.iter().enumerate() {
        for (with, observed) in observations.iter().enumerate() {
            let mut sandbox = sandbox(world.organization, &format!("{at}-{with}"));
            sandbox.life.intent = intent.clone();
            sandbox.life.observed = observed.clone();
            sandbox.network = Policy::Allow(parse_allow_list("1.1.1.1/32,10.0.0.0/8").unwrap());
            sandbox.timers.auto_delete = AutoDelete::AfterMinutes(7);
            sandbox.timers.destroy_at = Some(NOW);
            sandbox.labels = labels(&[("a", "b")]);
            sandbox.user = Some("root".into());
            let stored = world.insert(sandbox.clone()).await.unwrap();
            assert_eq!(*stored, sandbox);
            assert_eq!(world.stored(sandbox.id).await.unwrap(), sandbox);
        }
    }
}

#[tokio::test]
async fn an_update_changes_all_that_can_change() {
    let world = World::new().await;
    let before = sandbox(world.organization, "a");
    world.insert(before.clone()).await.unwrap();
    let mut after = before.clone();
    after.labels = labels(&[("x", "y")]);
    after.public = true;
    after.network = Policy::BlockAll;
    after.resources.cpus = 9;
    after.timers.auto_stop_minutes = None;
    after.life.intent = Intent::Stopped(WhyStopped::Ended);
    after.updated_at = NOW.after(std::time::Duration::from_secs(1));
    let expected = after.clone();
    let updated: Result<_, Error> = world
        .store
        .write(move |tx| tx.update_sandbox(before, after))
        .await;
    assert_eq!(*updated.unwrap().value, expected);
    assert_eq!(world.stored(expected.id).await.unwrap(), expected);
}

#[tokio::test]
async fn a_name_is_unique_in_an_organization_until_its_sandbox_is_asked_to_be_deleted() {
    let world = World::new().await;
    let first = sandbox(world.organization, "same");
    world.insert(first.clone()).await.unwrap();
    let second = world.insert(sandbox(world.organization, "same")).await;
    assert!(matches!(second, Err(Error::NameTaken)));

    let elsewhere = common::add_organization(&world.store).await;
    world.insert(sandbox(elsewhere, "same")).await.unwrap();

    let mut deleted = first.clone();
    deleted.life.intent = Intent::Deleted;
    let freed: Result<_, Error> = world
        .store
        .write(move |tx| tx.update_sandbox(first, deleted))
        .await;
    freed.unwrap();
    world
        .insert(sandbox(world.organization, "same"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_failed_write_leaves_nothing_and_its_neighbours_are_unaffected() {
    let world = World::new().await;
    let organization = world.organization;
    let kept = sandbox(organization, "kept");
    let undone = sandbox(organization, "undone");
    let (kept_id, undone_id) = (kept.id, undone.id);
    // Queued together, so that they share a transaction.
    let good = world.store.write(|tx| tx.insert_sandbox(kept));
    let bad = world.store.write(|tx| {
        tx.insert_sandbox(undone)?;
        Err::<(), _>(Error::Overloaded)
    });
    let panics = world.store.write::<(), Error>(|_| panic!("on purpose"));
    assert!(good.await.is_ok());
    assert!(matches!(bad.await, Err(Error::Overloaded)));
    assert!(panics.await.is_err());
    assert!(world.stored(kept_id).await.is_some());
    assert!(world.stored(undone_id).await.is_none());
    let heard: Vec<_> = world.changes.try_iter().collect();
    assert_eq!(heard.len(), 1, "listeners hear of committed changes only");
}

#[tokio::test]
async fn a_full_disk_refuses_the_write_keeps_nothing_and_heals() {
    let world = World::new().await;
    let limit = |pages: i64| {
        let pragma = format!("PRAGMA max_page_count = {pages}");
        world
            .store
            .write::<_, Error>(move |tx| tx.execute_for_test(&pragma))
    };
    limit(1).await.unwrap();
    let mut refused = sandbox(world.organization, "big");
    refused.env = [("A".to_owned(), "x".repeat(1 << 20))].into();
    let id = refused.id;
    let outcome = world.insert(refused.clone()).await;
    assert!(matches!(outcome, Err(Error::Full)), "{outcome:?}");
    assert!(world.stored(id).await.is_none());
    limit(1 << 20).await.unwrap();
    world.insert(refused).await.unwrap();
    assert!(world.stored(id).await.is_some());
}

#[tokio::test]
async fn a_thousand_concurrent_writes_all_become_durable() {
    let world = World::new().await;
    let writes: Vec<_> = (0..1_000)
        .map(|at| {
            let sandbox = sandbox(world.organization, &format!("s{at}"));
            world
                .store
                .write::<_, Error>(|tx| tx.insert_sandbox(sandbox))
        })
        .collect();
    for write in writes {
        let committed = write.await.unwrap();
        world.store.durable(committed.at).await.unwrap();
    }
    assert_eq!(world.changes.try_iter().count(), 1_000);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let world = World::new().await;
    let sandbox = sandbox(world.organization, "a");
    world.insert(sandbox.clone()).await.unwrap();
    let path = world.directory.path().join("sebring.db");
    drop(world.store);
    let reopened = Store::open(&path, Box::new(|_| {})).unwrap();
    let all = reopened.read(sebring_store::sandboxes::all).await.unwrap();
    assert_eq!(all, vec![sandbox]);
}

#[tokio::test]
async fn a_sandbox_that_is_gone_has_no_row() {
    let world = World::new().await;
    let before = sandbox(world.organization, "a");
    let id = before.id;
    world.insert(before.clone()).await.unwrap();
    let mut gone = before.clone();
    gone.life.observed = Observed::Gone;
    let removed: Result<_, Error> = world
        .store
        .write(move |tx| tx.update_sandbox(before, gone))
        .await;
    removed.unwrap();
    assert!(world.stored(id).await.is_none());
    let last = world.changes.try_iter().last();
    assert!(matches!(
        last,
        Some(Change::Sandbox {
            before: Some(_),
            ..
        })
    ));
}
