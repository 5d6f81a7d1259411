//! Bring-up and tear-down fail at every step in turn, once and twice, and nothing is left behind.
//!
//! One test, because the armed point is one per process.

mod common;

use std::collections::BTreeSet;

use common::{Fixture, deleted, running, spec, stopped};
use sebring_api::runner::{FailureCode, ObservedState, StopMode};
use sebring_core::id::SandboxId;
use sebring_testkit::fault;

/// Steps of the child's own set-up; the spawner is told of them.
const SETUP: [&str; 17] = [
    "setup.signals",
    "setup.limits",
    "setup.mounts_private",
    "setup.toolbox",
    "setup.memory_group",
    "setup.disk_use",
    "setup.root",
    "setup.own_directory",
    "setup.devices",
    "setup.proc",
    "setup.sys",
    "setup.files",
    "setup.hostname",
    "setup.user_namespace",
    "setup.no_nesting",
    "setup.capabilities",
    "setup.descriptors",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_step_leaves_nothing_and_the_next_try_succeeds() {
    let fixture = Fixture::start().await;
    let empty = BTreeSet::new();
    pass_all_points(&fixture).await;
    let mut points = fault::passed();
    assert!(points.len() >= 9, "{points:?}");
    points.extend(SETUP);
    points.push("setup.seccomp");
    for point in points {
        let bring_up = point.starts_with("bring_up") || point.starts_with("setup");
        fault::arm(point);
        let id = SandboxId::random();
        let seen = fixture.runner.command(id, running(1, spec())).await;
        if bring_up {
            let ObservedState::Failed { code, message } = seen.state else {
                panic!("{point}: {seen:?}")
            };
            assert_eq!(code, FailureCode::HostError, "{point}: {message}");
            fault::disarm();
            fixture
                .dirs
                .place
                .expect_no_more_than(&empty)
                .unwrap_or_else(|left| {
                    panic!("{point} leaves\n{left}");
                });
            let seen = fixture.runner.command(id, running(2, spec())).await;
            assert!(
                matches!(seen.state, ObservedState::Running { .. }),
                "{point}: {seen:?}"
            );
        }
        let seen = fixture.runner.command(id, deleted(3)).await;
        assert_eq!(seen.state, ObservedState::Absent, "{point}");
        // Most of the way down comes after the answer.
        common::eventually(point, || fault::armed().is_none().then_some(())).await;
        fixture
            .dirs
            .place
            .expect_no_more_than(&empty)
            .unwrap_or_else(|left| {
                panic!("{point} leaves\n{left}");
            });
    }
    old_overlay_syntax_works(&fixture).await;
    fixture.close().await;
}

/// Kernels before 6.8 do not know the option that gives layers one by one.
async fn old_overlay_syntax_works(fixture: &Fixture) {
    fault::arm("setup.old_kernel_overlay");
    let id = SandboxId::random();
    let seen = fixture.runner.command(id, running(1, spec())).await;
    assert!(fault::disarm(), "the child takes its own copy");
    assert!(
        matches!(seen.state, ObservedState::Running { .. }),
        "{seen:?}"
    );
    fixture.runner.command(id, deleted(2)).await;
}

/// So that every point is known by name.
async fn pass_all_points(fixture: &Fixture) {
    let sandbox = fixture.up(spec()).await;
    fixture
        .runner
        .command(sandbox.id, stopped(2, spec(), StopMode::Force))
        .await;
    fixture.runner.command(sandbox.id, deleted(3)).await;
}
