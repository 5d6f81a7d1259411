//! Spares that fail on the way: nothing is left, and nobody has to notice.
//!
//! One test, because the armed point is one per process.

mod common;

use std::io::ErrorKind;

use common::{Fixture, running, spec};
use sebring_api::runner::ObservedState;
use sebring_core::id::SandboxId;
use sebring_testkit::fault;

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_that_cannot_be_handed_over_costs_only_a_cold_start() {
    let fixture = Fixture::with_spares(1).await;
    fixture.up(spec()).await;
    let spare = fixture.spares(1).await.remove(0);
    fault::arm("claim.tell");
    let seen = fixture.runner.command(spare.id, running(1, spec())).await;
    assert!(
        matches!(seen.state, ObservedState::Running { .. }),
        "{seen:?}"
    );
    assert!(
        seen.phases.iter().any(|phase| phase.name == "isolate"),
        "{seen:?}"
    );
    assert!(fault::armed().is_none(), "it has failed");
    fixture.close_with_spares().await;

    sandboxes_come_first().await;

    for point in ["bring_up.isolate", "bring_up.ready", "spare.warm_up"] {
        let fixture = Fixture::with_spares(1).await;
        let sandbox = fixture.up(spec()).await;
        let own = |thing: &String| {
            let id = sandbox.id.to_string();
            thing.contains(&id) || thing.starts_with("process")
        };
        fault::arm(point);
        common::eventually(point, || fault::armed().is_none().then_some(())).await;
        common::eventually(point, || {
            let things = fixture.dirs.place.things().unwrap();
            things.iter().all(own).then_some(())
        })
        .await;
        assert_eq!(*fixture.runner.spares().borrow(), [], "{point}");
        fixture.close_with_spares().await;
    }
}

/// A host without an address or a process left gives back what spares hold, and tries again.
async fn sandboxes_come_first() {
    for full in [ErrorKind::AddrNotAvailable, ErrorKind::WouldBlock] {
        let fixture = Fixture::with_spares(1).await;
        fixture.up(spec()).await;
        let spare = fixture.spares(1).await.remove(0);
        let mut other = spec();
        other.user = Some("root".into());
        fault::arm_as("bring_up.network", full);
        let id = SandboxId::random();
        let seen = fixture.runner.command(id, running(1, other)).await;
        let is_running = matches!(seen.state, ObservedState::Running { .. });
        assert!(is_running, "{full}: {seen:?}");
        let left = fixture.dirs.place.things();
        let left = left.expect("the host can be looked at");
        let of_it = |thing: &&String| thing.contains(&spare.id.to_string());
        assert_eq!(left.iter().find(of_it), None, "{full}: it was in the way");
        fixture.close_with_spares().await;
    }
}
