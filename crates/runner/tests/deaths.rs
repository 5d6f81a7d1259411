//! Something kills the spawner or a sandbox's first process in the middle of bring-ups: what is
//! reported as running runs, and nothing runs twice.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Fixture, running, sh, socket_of, spec};
use rustix::process::{Pid, Signal, kill_process};
use sebring_api::runner::{Observation, ObservedState};
use sebring_core::id::SandboxId;
use sebring_runner::Runner;

/// Sandboxes brought up at the same time.
const BURST: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn sandboxes_come_up_although_the_spawner_is_killed_meanwhile() {
    let fixture = Fixture::start().await;
    let runner = fixture.runner.clone();
    let (seen, killed) = burst(&fixture, 2, move || {
        let spawner = runner.spawner_pid()?;
        // Not before it works: then the kill meets a clone rather than a start.
        (!children(spawner).is_empty()).then_some(spawner)
    })
    .await;
    assert!(killed > 0, "nothing was killed");
    for one in &seen {
        expect_alive(&fixture, one);
    }
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_process_that_is_killed_during_set_up_is_never_reported_running() {
    let fixture = Fixture::start().await;
    let runner = fixture.runner.clone();
    let (seen, killed) = burst(&fixture, 200, move || newborn(&runner)).await;
    assert!(killed > 0, "nothing was killed");
    for one in &seen {
        match &one.state {
            ObservedState::Running { .. } => expect_alive(&fixture, one),
            ObservedState::Failed { message, .. } => assert!(message.contains("died"), "{message}"),
            ObservedState::Absent
            | ObservedState::Building { .. }
            | ObservedState::Stopped { .. } => panic!("{one:?}"),
        }
    }
    fixture.close().await;
}

/// Brings many up while `victim` is killed up to `kills` times.
async fn burst(
    fixture: &Fixture,
    kills: usize,
    victim: impl Fn() -> Option<u32> + Send + 'static,
) -> (Vec<Observation>, usize) {
    let over = Arc::new(AtomicBool::new(false));
    let killed = Arc::new(AtomicUsize::new(0));
    let killer = std::thread::spawn({
        let (over, killed) = (Arc::clone(&over), Arc::clone(&killed));
        move || {
            while !over.load(Ordering::Relaxed) && killed.load(Ordering::Relaxed) < kills {
                if let Some(pid) = victim() {
                    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                    if kill_process(pid, Signal::KILL).is_ok() {
                        killed.fetch_add(1, Ordering::Relaxed);
                    }
                }
                std::thread::yield_now();
            }
        }
    });
    let mut ups = tokio::task::JoinSet::new();
    for _ in 0..BURST {
        let runner = fixture.runner.clone();
        ups.spawn(async move {
            runner
                .command(SandboxId::random(), running(1, spec()))
                .await
        });
    }
    let seen = ups.join_all().await;
    over.store(true, Ordering::Relaxed);
    killer.join().unwrap();
    (seen, killed.load(Ordering::Relaxed))
}

/// A child of the spawner that has not become the toolbox, stopped so that it cannot before it is
/// killed: afterwards it would be a running sandbox that dies, which is another story.
fn newborn(runner: &Runner) -> Option<u32> {
    let spawner = runner.spawner_pid()?;
    let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let ours = |pid: u32| program(pid).is_some_and(|found| Some(found) == program(spawner));
    let child = children(spawner).into_iter().find(|child| ours(*child))?;
    let pid = Pid::from_raw(i32::try_from(child).unwrap())?;
    kill_process(pid, Signal::STOP).ok()?;
    // What runs a system call, `execve` for one, stops only after it.
    while !matches!(state_of(child), None | Some('T' | 'Z')) {
        std::thread::yield_now();
    }
    if ours(child) {
        return Some(child);
    }
    let _gone = kill_process(pid, Signal::CONT);
    None
}

/// The letter of its state; absent when it has ended.
fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// It answers, and exactly one first process is in its group.
fn expect_alive(fixture: &Fixture, seen: &Observation) {
    assert_eq!(sh(&socket_of(seen), "echo yes").1, "yes\n");
    let now = fixture.runner.observation(seen.id);
    assert_eq!(now.state, seen.state, "it has not ended since");
    let group = format!("/sebring-{}/{}", fixture.dirs.place.instance, seen.id);
    let firsts: BTreeSet<String> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            let read = |name| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            let first = |line: &str| {
                line.starts_with("NSpid:") && line.split_whitespace().nth(2) == Some("1")
            };
            read("cgroup").contains(&group) && read("status").lines().any(first)
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(firsts.len(), 1, "first processes of {}", seen.id);
}
