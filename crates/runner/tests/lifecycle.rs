//! What a runner does with goals, on this host's kernel.

mod common;

use common::{Fixture, deleted, eventually, running, socket_of, spec, stopped};
use sebring_api::runner::{
    FailureCode, NetworkSpec, ObservedState, SandboxSpec, StopMode, StopReason,
};
use sebring_core::id::{Generation, SandboxId};

#[tokio::test(flavor = "multi_thread")]
async fn a_running_goal_gives_a_sandbox_that_answers_on_its_socket() {
    let fixture = Fixture::start().await;
    let mut wanted = spec();
    wanted.env.insert("GREETING".into(), "hello".into());
    let sandbox = fixture.up(wanted).await;
    assert_eq!(sandbox.must("hostname").trim(), sandbox.id.to_string());
    assert_eq!(sandbox.must("id -u").trim(), "0");
    assert_eq!(sandbox.must("nproc").trim(), "1");
    let log = fixture
        .dirs
        .place
        .data_dir
        .join(format!("pool/sandboxes/{}/toolbox.log", sandbox.id));
    let config = std::fs::read_to_string(log).unwrap();
    assert!(config.contains(r#""GREETING":"hello""#), "{config}");
    assert!(
        config.contains(r#""entrypoint":["sleep","infinity"]"#),
        "{config}"
    );
    fixture.close().await;
}

/// Here the build fails at once: there is no layer beneath it.
#[tokio::test(flavor = "multi_thread")]
#[allow(
    clippy::disallowed_methods,
    reason = "compared with what the runner read from the same clock"
)]
async fn a_goal_that_waits_for_a_build_says_so_at_once_and_is_answered_when_that_has_ended() {
    let fixture = Fixture::start().await;
    let mut observations = fixture.runner.observations();
    let desktop = SandboxSpec {
        snapshot: "desktop".into(),
        ..spec()
    };
    let id = SandboxId::random();
    let answer = fixture.runner.command(id, running(3, desktop)).await;
    let said = observations.recv().await.unwrap();
    assert_eq!((said.id, said.generation), (id, Generation(3)));
    let ObservedState::Building { until_unix } = said.state else {
        panic!("{said:?}");
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let left = until_unix - i64::try_from(now.unwrap().as_secs()).unwrap();
    assert!((1_200..1_300).contains(&left), "{left} s");
    assert!(matches!(answer.state, ObservedState::Failed { .. }));
    assert_eq!(observations.recv().await.unwrap(), answer);
    fixture.runner.command(id, deleted(4)).await;
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_sent_twice_or_late_changes_nothing() {
    let fixture = Fixture::start().await;
    let sandbox = fixture.up(spec()).await;
    sandbox.must("echo here > /mark");
    let again = fixture.runner.command(sandbox.id, running(1, spec())).await;
    assert_eq!(socket_of(&again), sandbox.socket);
    let late = fixture.runner.command(sandbox.id, deleted(0)).await;
    assert!(matches!(late.state, ObservedState::Running { .. }));
    assert_eq!(sandbox.must("cat /mark").trim(), "here");

    let gone = fixture.runner.command(sandbox.id, deleted(5)).await;
    assert_eq!(gone.state, ObservedState::Absent);
    let back = fixture.runner.command(sandbox.id, running(4, spec())).await;
    assert_eq!(
        (back.state, back.generation),
        (ObservedState::Absent, Generation(5))
    );
    let twice = fixture.runner.command(sandbox.id, deleted(6)).await;
    assert_eq!(twice.state, ObservedState::Absent);
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_keeps_the_disk_and_starting_brings_it_back() {
    let fixture = Fixture::start().await;
    let sandbox = fixture.up(spec()).await;
    sandbox.must("echo kept > /root/file; chown 1000:1000 /root/file");
    for (generation, mode) in [(2, StopMode::Graceful), (4, StopMode::Force)] {
        let seen = fixture
            .runner
            .command(sandbox.id, stopped(generation, spec(), mode))
            .await;
        assert_eq!(
            seen.state,
            ObservedState::Stopped {
                why: StopReason::Asked
            }
        );
        let disk = fixture
            .dirs
            .place
            .data_dir
            .join(format!("pool/sandboxes/{}", sandbox.id));
        let on_disk = std::fs::metadata(disk.join("upper/root/file")).unwrap();
        assert_eq!(
            std::os::unix::fs::MetadataExt::uid(&on_disk),
            1000,
            "owners are unshifted"
        );
        let seen = fixture
            .runner
            .command(sandbox.id, running(generation + 1, spec()))
            .await;
        let (_, said) = common::sh(&socket_of(&seen), "cat /root/file; stat -c %u /root/file");
        assert_eq!(said, "kept\n1000\n");
    }
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_process_that_ends_is_observed_without_asking() {
    let fixture = Fixture::start().await;
    let sandbox = fixture.up(spec()).await;
    let mut changes = fixture.runner.observations();
    // Its answer dies with it.
    common::send(&sandbox.socket, "kill -TERM 1");
    let mut seen = changes.recv().await.unwrap();
    // What was said when it came up may still be on its way.
    while matches!(seen.state, ObservedState::Running { .. }) {
        seen = changes.recv().await.unwrap();
    }
    assert_eq!(seen.id, sandbox.id);
    assert_eq!(
        seen.state,
        ObservedState::Stopped {
            why: StopReason::Exited
        }
    );
    let seen = fixture.runner.command(sandbox.id, running(2, spec())).await;
    socket_of(&seen);
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_snapshot_is_named_and_leaves_nothing() {
    let fixture = Fixture::start().await;
    let mut wanted = spec();
    wanted.snapshot = "no/such:1".into();
    let seen = fixture
        .runner
        .command(SandboxId::random(), running(1, wanted))
        .await;
    let ObservedState::Failed { code, message } = seen.state else {
        panic!("{seen:?}")
    };
    assert_eq!(code, FailureCode::SnapshotMissing);
    assert!(message.contains("no/such:1"), "{message}");
    let nothing = std::collections::BTreeSet::new();
    fixture.dirs.place.expect_no_more_than(&nothing).unwrap();
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_change_while_processes_run_and_never_below_what_is_used() {
    let fixture = Fixture::start().await;
    let sandbox = fixture.up(spec()).await;
    sandbox.must("head -c 600M /dev/urandom > /big");
    let mut larger = spec();
    larger.resources.memory_gib = 2;
    larger.resources.disk_gib = 2;
    let seen = fixture
        .runner
        .command(sandbox.id, running(2, larger.clone()))
        .await;
    assert_eq!(socket_of(&seen), sandbox.socket);
    sandbox.must("head -c 700M /dev/urandom >> /big && sync");
    let seen = fixture.runner.command(sandbox.id, running(3, spec())).await;
    let ObservedState::Failed { code, .. } = seen.state else {
        panic!("{seen:?}")
    };
    assert_eq!(code, FailureCode::DoesNotFit);
    sandbox.must("true");
    let seen = fixture.runner.command(sandbox.id, running(4, larger)).await;
    socket_of(&seen);
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_cuts_a_graceful_stop_short() {
    let fixture = Fixture::start().await;
    let sandbox = fixture.up(spec()).await;
    // Frozen, it will not follow SIGTERM.
    let group = format!(
        "/sys/fs/cgroup/unified/sebring-{}/{}",
        fixture.dirs.place.instance, sandbox.id
    );
    let freeze = std::path::Path::new(&group).join("cgroup.freeze");
    if std::fs::write(&freeze, "1").is_err() {
        std::fs::write(group.replace("/unified", "") + "/cgroup.freeze", "1").unwrap();
    }
    let runner = fixture.runner.clone();
    let id = sandbox.id;
    let started = std::time::Instant::now();
    let stop = async {
        runner
            .command(id, stopped(2, spec(), StopMode::Graceful))
            .await
    };
    let delete = async {
        tokio::task::yield_now().await;
        fixture.runner.command(id, deleted(3)).await
    };
    let (_, gone) = tokio::join!(stop, delete);
    assert_eq!(gone.state, ObservedState::Absent);
    assert!(
        started.elapsed() < std::time::Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    drop(runner);
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_spawner_is_replaced_and_sandboxes_do_not_notice() {
    let fixture = Fixture::start().await;
    let first = fixture.up(spec()).await;
    let old = fixture.runner.spawner_pid().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(old).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let second = fixture.up(spec()).await;
    first.must("true");
    second.must("true");
    assert_ne!(fixture.runner.spawner_pid(), Some(old));
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_network_has_no_interface_and_gets_one_when_opened() {
    let fixture = Fixture::start().await;
    let mut blocked = spec();
    blocked.network = NetworkSpec::BlockAll;
    let sandbox = fixture.up(blocked.clone()).await;
    assert_eq!(sandbox.must("ls /sys/class/net").trim(), "lo");
    fixture.runner.command(sandbox.id, running(2, spec())).await;
    assert!(sandbox.must("ls /sys/class/net").contains("eth0"));
    fixture
        .runner
        .command(sandbox.id, running(3, blocked))
        .await;
    eventually("the cable goes", || {
        (sandbox.must("ls /sys/class/net").trim() == "lo").then_some(())
    })
    .await;
    fixture.close().await;
}
