//! A runner is killed at any moment; the next one finds what lives and sweeps the rest.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod common;

use std::time::{Duration, Instant};

use common::process::{Process, put};
use common::{Dirs, deleted, running, sh, socket_of, spec};
use sebring_api::runner::{NetworkSpec, ObservedState};
use sebring_core::id::SandboxId;

#[tokio::test(flavor = "multi_thread")]
async fn sandboxes_outlive_a_killed_runner_and_are_adopted() {
    let dirs = Dirs::new();
    let process = Process::start(&dirs).await;
    dirs.add_snapshot();
    let mut restricted = spec();
    restricted.network = NetworkSpec::Allow {
        cidrs: vec!["192.0.2.0/28".into()],
    };
    let mut ids = Vec::new();
    for wanted in [spec(), restricted, spec()] {
        let id = SandboxId::random();
        let seen = process.command(id, &running(7, wanted));
        sh(&socket_of(&seen), "echo alive > /mark");
        ids.push((id, socket_of(&seen)));
    }
    let before = process.inventory().unwrap().incarnation;
    let things = dirs.place.things().unwrap();
    process.kill();
    let (_, ended_meanwhile) = ids.pop().unwrap();
    for (_, socket) in &ids {
        assert_eq!(sh(socket, "cat /mark").1, "alive\n", "without a runner");
    }
    common::send(&ended_meanwhile, "kill -TERM 1");

    let process = Process::start(&dirs).await;
    let inventory = process.inventory().unwrap();
    assert_ne!(inventory.incarnation, before);
    for (id, socket) in &ids {
        let seen = inventory
            .sandboxes
            .iter()
            .find(|seen| seen.id == *id)
            .unwrap();
        assert_eq!((socket_of(seen), seen.generation.0), (socket.clone(), 7));
        assert_eq!(sh(socket, "cat /mark").1, "alive\n");
        let again = process.command(*id, &running(7, spec()));
        assert_eq!(again.state, seen.state, "the goal is known to be reached");
    }
    let states = inventory.sandboxes.iter().map(|seen| &seen.state);
    let stopped = states
        .filter(|state| matches!(state, ObservedState::Stopped { .. }))
        .count();
    assert_eq!(stopped, 1, "the one that ended while nobody looked");
    dirs.place.expect_no_more_than(&things).unwrap();

    process.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_killed_while_it_creates_leaves_only_what_it_answers_for() {
    let dirs = Dirs::new();
    let mut process = Process::start(&dirs).await;
    dirs.add_snapshot();
    for wait_ms in [3, 8, 15, 25, 40, 60] {
        std::thread::scope(|threads| {
            for _ in 0..12 {
                threads.spawn(|| put(&dirs, SandboxId::random(), &running(1, spec())));
            }
            let deleter = process.inventory().unwrap().sandboxes;
            threads.spawn(|| {
                for seen in deleter {
                    put(&dirs, seen.id, &deleted(seen.generation.0 + 1));
                }
            });
            std::thread::park_timeout(Duration::from_millis(wait_ms));
            process.kill();
        });
        process = Process::start(&dirs).await;
        let inventory = process.inventory().unwrap();
        for seen in &inventory.sandboxes {
            match &seen.state {
                ObservedState::Running { .. } => {
                    assert_eq!(sh(&socket_of(seen), "echo yes").1, "yes\n");
                }
                ObservedState::Stopped { .. } => {
                    let next = running(seen.generation.0 + 1, spec());
                    let up = process.command(seen.id, &next);
                    assert_eq!(sh(&socket_of(&up), "echo yes").1, "yes\n");
                }
                ObservedState::Absent
                | ObservedState::Building { .. }
                | ObservedState::Failed { .. } => panic!("{seen:?}"),
            }
        }
        let known: Vec<String> = inventory
            .sandboxes
            .iter()
            .map(|seen| seen.id.to_string())
            .collect();
        let leaked = || {
            let owned = |thing: &String| {
                thing.starts_with("process")
                    || thing.starts_with("mount")
                    || known.iter().any(|id| thing.contains(id))
            };
            let things = dirs.place.things().unwrap().into_iter();
            things.filter(|thing| !owned(thing)).collect::<Vec<_>>()
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        while !leaked().is_empty() && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        assert_eq!(leaked(), Vec::<String>::new());
    }
    process.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn spares_of_a_killed_runner_are_swept_whether_complete_or_not() {
    let dirs = Dirs::new();
    let mut process = Process::start_with_spares(&dirs, 3).await;
    dirs.add_snapshot();
    // Spares are begun 50 ms after the create, and take about ten each.
    for wait_ms in [50, 53, 56, 60, 65, 75, 90, 200] {
        let id = SandboxId::random();
        process.command(id, &running(1, spec()));
        std::thread::park_timeout(Duration::from_millis(wait_ms));
        process.kill();
        process = Process::start_with_spares(&dirs, 3).await;
        let sandboxes = process.inventory().unwrap().sandboxes;
        assert_eq!(
            sandboxes.iter().map(|seen| seen.id).collect::<Vec<_>>(),
            [id]
        );
        let own = |thing: &String| {
            let of_it = thing.contains(&id.to_string());
            of_it || thing.starts_with("process") || thing.starts_with("mount")
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        while !dirs.place.things().unwrap().iter().all(own) && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        let things = dirs.place.things().unwrap().into_iter();
        let left: Vec<_> = things.filter(|thing| !own(thing)).collect();
        assert_eq!(left, Vec::<String>::new(), "killed after {wait_ms} ms");
        process.command(id, &deleted(2));
        // Nothing was asked of this runner, so it has no spares.
        dirs.place
            .expect_no_more_than(&std::collections::BTreeSet::new())
            .unwrap();
    }
    process.finish();
}
