//! Spares that fail on the way: nothing is left, and nobody has to notice.
//!
//! One test, because the armed point is one per process.

mod common;

use std::io::ErrorKind;

use common::{Fixture, deleted, running, spec};
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
    its_id_is_not_used_while_it_does_not_end().await;

    for point in ["bring_up.isolate", "bring_up.watch", "spare.warm_up"] {
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

/// What was killed and is still there would be taken for the new sandbox, or take it along.
async fn its_id_is_not_used_while_it_does_not_end() {
    let fixture = Fixture::with_spares(2).await;
    fixture.up(spec()).await;
    let spares = fixture.spares(2).await;
    let mut larger = spec();
    larger.resources.memory_gib = 2;
    fault::arm("spare.end");
    let (id, wanted) = (spares[0].id, running(1, larger.clone()));
    let seen = fixture.runner.command(id, wanted).await;
    let says_so = matches!(&seen.state, ObservedState::Failed { message, .. }
        if message.contains("does not end; try again"));
    assert!(says_so, "{seen:?}");
    let seen = fixture.runner.command(id, running(2, larger)).await;
    let is_running = matches!(seen.state, ObservedState::Running { .. });
    assert!(is_running, "{seen:?}");

    fault::arm("spare.end");
    let seen = fixture.runner.command(spares[1].id, deleted(1)).await;
    assert!(fault::armed().is_none(), "it has failed once");
    assert_eq!(seen.state, ObservedState::Absent, "and was tried again");
    fixture.close_with_spares().await;
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
