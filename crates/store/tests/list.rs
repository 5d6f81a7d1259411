//! Pages: each filter against the same question asked in plain Rust, and walks by cursor.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{NOW, World, labels, sandbox};
use sebring_core::id::Generation;
use sebring_core::lifecycle::{
    Failure, FailureCode, Intent, Observed, Shown, StopMode, StopReason, WhyRunning, WhyStopped,
};
use sebring_core::resources::Resources;
use sebring_core::sandbox::Sandbox;
use sebring_store::Error;
use sebring_store::list::{Bounds, Filter, From, Order, SortKey, count, page};

const SORTS: [SortKey; 11] = [
    SortKey::Id,
    SortKey::Name,
    SortKey::Cpus,
    SortKey::MemoryGib,
    SortKey::DiskGib,
    SortKey::State,
    SortKey::Snapshot,
    SortKey::Region,
    SortKey::CreatedAt,
    SortKey::UpdatedAt,
    SortKey::LastActiveAt,
];

/// One sandbox for every intent, observation and answeredness, with other columns varied.
fn every_life(world: &World) -> Vec<Sandbox> {
    let from = Resources {
        cpus: 1,
        memory_gib: 1,
        disk_gib: 1,
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
    let failed = |code| {
        Observed::Failed(Failure {
            code,
            message: String::new(),
        })
    };
    let observations = [
        Observed::Unseen,
        Observed::Building,
        Observed::Running {
            toolbox_socket: "/s".into(),
            unenforced: vec![],
        },
        Observed::Stopped(StopReason::Asked),
        Observed::Stopped(StopReason::OomKilled),
        failed(FailureCode::DiskFull),
        failed(FailureCode::Lost),
    ];
    let mut all = Vec::new();
    for intent in &intents {
        for observed in &observations {
            for answered in [1, 2] {
                let number = all.len();
                let mut one = sandbox(world.organization, &format!("Box_{number}"));
                one.life.intent = intent.clone();
                one.life.generation = Generation(2);
                one.life.observed = observed.clone();
                one.life.observed_generation = Generation(answered);
                one.resources.cpus = u32::try_from(number % 4 + 1).unwrap();
                one.public = number.is_multiple_of(3);
                one.last_active_at = NOW.after(Duration::from_secs((number % 7) as u64));
                one.labels = labels(&[("parity", ["even", "odd"][number % 2]), ("all", "yes")]);
                all.push(one);
            }
        }
    }
    all
}

async fn filled() -> (World, Vec<Sandbox>) {
    let world = World::new().await;
    let all = every_life(&world);
    for one in &all {
        world.insert(one.clone()).await.unwrap();
    }
    (world, all)
}

/// All ids that the filter takes, walked in pages of seven.
async fn walk(world: &World, filter: &Filter, sort: (SortKey, Order)) -> Vec<Sandbox> {
    let mut found = Vec::new();
    let mut from = From::Start;
    loop {
        let (organization, filter, at) = (world.organization, filter.clone(), from.clone());
        let page = world
            .store
            .read::<_, Error>(move |db| page(db, organization, &filter, sort, &at, 7))
            .await
            .unwrap();
        found.extend(page.sandboxes);
        match page.next {
            Some(cursor) => from = From::After(cursor),
            None => return found,
        }
    }
}

async fn agrees(world: &World, all: &[Sandbox], filter: Filter, takes: impl Fn(&Sandbox) -> bool) {
    let expected: BTreeSet<_> = all
        .iter()
        .filter(|one| takes(one))
        .map(|one| one.id)
        .collect();
    let found = walk(world, &filter, (SortKey::LastActiveAt, Order::Descending)).await;
    assert_eq!(found.len(), expected.len(), "{filter:?}");
    assert_eq!(
        found.iter().map(|one| one.id).collect::<BTreeSet<_>>(),
        expected,
        "{filter:?}"
    );
    let organization = world.organization;
    let counted = world
        .store
        .read::<_, Error>(move |db| count(db, organization, &filter))
        .await
        .unwrap();
    assert_eq!(counted, expected.len() as u64);
}

#[tokio::test]
async fn a_filter_on_states_takes_exactly_those_shown_so() {
    let (world, all) = filled().await;
    for first in Shown::ALL {
        for second in Shown::ALL {
            let states = vec![first, second];
            let filter = Filter {
                states: Some(states.clone()),
                ..Filter::default()
            };
            agrees(&world, &all, filter, |one| states.contains(&one.shown())).await;
        }
    }
}

#[tokio::test]
async fn each_filter_takes_what_it_says() {
    let (world, all) = filled().await;
    let some = |change: fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    agrees(&world, &all, Filter::default(), |_| true).await;
    let filter = some(|filter| filter.public = Some(true));
    agrees(&world, &all, filter, |one| one.public).await;
    let filter = some(|filter| filter.recoverable = Some(true));
    agrees(&world, &all, filter, Sandbox::is_recoverable).await;
    let filter = some(|filter| filter.recoverable = Some(false));
    agrees(&world, &all, filter, |one| !one.is_recoverable()).await;
    let filter = some(|filter| filter.name_prefix = Some("bOX_1".into()));
    agrees(&world, &all, filter, |one| {
        one.name.as_str().starts_with("Box_1")
    })
    .await;
    let filter = some(|filter| filter.name_prefix = Some("Box%".into()));
    agrees(&world, &all, filter, |_| false).await;
    let filter = some(|filter| {
        filter.cpus = Bounds {
            min: Some(2),
            max: Some(3),
        };
    });
    agrees(&world, &all, filter, |one| {
        (2..=3).contains(&one.resources.cpus)
    })
    .await;
    let filter = some(|filter| filter.states = Some(vec![]));
    agrees(&world, &all, filter, |_| false).await;
    let filter = some(|filter| filter.snapshots = vec!["default".into(), "x".into()]);
    agrees(&world, &all, filter, |_| true).await;
    let wanted = all[5].id.to_string()[..6].to_owned();
    let filter = Filter {
        id_prefix: Some(wanted.clone()),
        ..Filter::default()
    };
    agrees(&world, &all, filter, |one| {
        one.id.to_string().starts_with(&wanted)
    })
    .await;
    let filter = Filter {
        labels: BTreeMap::from([
            ("parity".into(), "odd".into()),
            ("all".into(), "yes".into()),
        ]),
        ..Filter::default()
    };
    agrees(&world, &all, filter, |one| {
        one.labels.as_map()["parity"] == "odd"
    })
    .await;
}

#[tokio::test]
async fn every_sort_walks_all_rows_once_in_order() {
    let (world, all) = filled().await;
    for key in SORTS {
        let up = walk(&world, &Filter::default(), (key, Order::Ascending)).await;
        let mut down = walk(&world, &Filter::default(), (key, Order::Descending)).await;
        down.reverse();
        assert_eq!(up.len(), all.len(), "{key:?}");
        assert_eq!(up, down, "{key:?}");
    }
}

#[tokio::test]
async fn another_organizations_sandboxes_are_never_listed() {
    let (world, all) = filled().await;
    let foreign = common::add_organization(&world.store).await;
    world.insert(sandbox(foreign, "foreign")).await.unwrap();
    agrees(&world, &all, Filter::default(), |_| true).await;
}
