//! How long pages take among 100,000 sandboxes. Run with `--release`.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![allow(clippy::print_stdout, reason = "the table is its purpose")]
#![allow(clippy::disallowed_methods, reason = "it measures")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{NOW, World, labels, sandbox};
use sebring_core::id::Generation;
use sebring_core::lifecycle::{Intent, Observed, Shown, StopMode, StopReason, WhyStopped};
use sebring_store::Error;
use sebring_store::list::{Filter, From, Order, SortKey, count, page};

const ROWS: u32 = 100_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let world = World::new().await;
    fill(&world).await;
    let label = |key: &str, value: &str| Filter {
        labels: BTreeMap::from([(key.to_owned(), value.to_owned())]),
        ..Filter::default()
    };
    let states = |states: &[Shown]| Filter {
        states: Some(states.to_vec()),
        ..Filter::default()
    };
    let name = Filter {
        name_prefix: Some("box-9".into()),
        ..Filter::default()
    };
    let cases = [
        ("no filter", Filter::default()),
        (
            "label on all rows",
            label("code-toolbox-language", "python"),
        ),
        ("label on 10 rows", label("run", "77")),
        ("label on 1 in 100", label("group", "3")),
        ("states started", states(&[Shown::Started])),
        (
            "states started, stopped",
            states(&[Shown::Started, Shown::Stopped]),
        ),
        ("states error (none)", states(&[Shown::Error])),
        ("states creating (few)", states(&[Shown::Creating])),
        ("name prefix", name),
    ];
    for (what, filter) in cases {
        measure(&world, what, &filter).await;
    }
}

async fn fill(world: &World) {
    let mut writes = Vec::new();
    for number in 0..ROWS {
        let mut one = sandbox(world.organization, &format!("box-{number}"));
        one.last_active_at = NOW.after(Duration::from_millis(u64::from(number) * 37 % 1_000_003));
        one.labels = labels(&[
            ("code-toolbox-language", "python"),
            ("run", &(number / 10).to_string()),
            ("group", &(number % 100).to_string()),
        ]);
        one.life.observed_generation = Generation(1);
        one.life.observed = if number.is_multiple_of(2) {
            Observed::Running {
                toolbox_socket: "/run/sebring/0000/sandboxes/x/toolbox.sock".into(),
                unenforced: vec![],
            }
        } else {
            one.life.intent = Intent::Stopped(WhyStopped::Asked(StopMode::Graceful));
            Observed::Stopped(StopReason::Asked)
        };
        if number.is_multiple_of(2_500) {
            one.life.observed_generation = Generation(0);
            one.life.observed = Observed::Unseen;
        }
        writes.push(world.store.write::<_, Error>(|tx| tx.insert_sandbox(one)));
        if writes.len() == 1_000 {
            for write in writes.drain(..) {
                write.await.unwrap();
            }
        }
    }
}

async fn measure(world: &World, what: &str, filter: &Filter) {
    for (sort, key) in [("activity", SortKey::LastActiveAt), ("name", SortKey::Name)] {
        let mut times = Vec::new();
        for _ in 0..100 {
            let (organization, filter) = (world.organization, filter.clone());
            let begun = Instant::now();
            let sort = (key, Order::Descending);
            world
                .store
                .read::<_, Error>(move |db| {
                    page(db, organization, &filter, sort, &From::Start, 100)
                })
                .await
                .unwrap();
            times.push(begun.elapsed());
        }
        times.sort();
        println!(
            "{what:28} by {sort:9} p50 {:>9.2?} p99 {:>9.2?}",
            times[50], times[99]
        );
    }
    let (organization, filter) = (world.organization, filter.clone());
    let begun = Instant::now();
    let counted = world
        .store
        .read::<_, Error>(move |db| count(db, organization, &filter))
        .await
        .unwrap();
    println!("{what:28} count {counted} in {:.2?}", begun.elapsed());
}
