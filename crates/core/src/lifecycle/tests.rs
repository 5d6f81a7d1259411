//! Every intent with every observation, then random histories against a model runner.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_ms(1_000);
const SIZE: Resources = Resources {
    cpus: 1,
    memory_gib: 1,
    disk_gib: 3,
};

fn intents() -> Vec<Intent> {
    let running = [
        WhyRunning::Created,
        WhyRunning::Started,
        WhyRunning::Resized { from: SIZE },
        WhyRunning::Adjusted,
    ];
    let stopped = [
        WhyStopped::Asked(StopMode::Graceful),
        WhyStopped::Asked(StopMode::Force),
        WhyStopped::Ended,
        WhyStopped::Resized { from: SIZE },
    ];
    let running = running.map(Intent::Running);
    let stopped = stopped.map(Intent::Stopped);
    [&running[..], &stopped[..], &[Intent::Deleted]].concat()
}

fn failed(code: FailureCode) -> Observed {
    Observed::Failed(Failure {
        code,
        message: "m".into(),
    })
}

fn running() -> Observed {
    Observed::Running {
        toolbox_socket: "/s".into(),
        unenforced: vec![],
    }
}

fn observations() -> Vec<Observed> {
    let mut all = vec![
        Observed::Unseen,
        Observed::Building,
        running(),
        Observed::Gone,
    ];
    all.extend(
        [
            StopReason::Asked,
            StopReason::Exited,
            StopReason::OomKilled,
            StopReason::HostLost,
        ]
        .map(Observed::Stopped),
    );
    all.extend(FailureCode::ALL.map(failed));
    all
}

/// Every intent × observation × (answered or not) × (deadline none, ahead, passed).
fn records() -> Vec<Record> {
    let mut all = Vec::new();
    for intent in intents() {
        for observed in observations() {
            for observed_generation in [Generation(1), Generation(2)] {
                for deadline in [None, Some(NOW.after(BRING_UP_MAX)), Some(NOW)] {
                    all.push(Record {
                        intent: intent.clone(),
                        generation: Generation(2),
                        observed: observed.clone(),
                        observed_generation,
                        deadline,
                    });
                }
            }
        }
    }
    all
}

#[test]
fn delete_is_accepted_in_every_state() {
    for record in records() {
        let deleted = ask_delete(&record).unwrap_or(record);
        assert_eq!(deleted.intent, Intent::Deleted);
        let expected = match deleted.observed {
            Observed::Gone => Step::Rest,
            _ => Step::Ensure(Goal::Deleted),
        };
        assert_eq!(decide(&deleted, NOW), expected);
        let report = Report {
            generation: deleted.generation,
            state: Reported::Absent,
        };
        let gone = absorb(&deleted, &report);
        assert_eq!(shown_state(&gone), Shown::Destroyed);
        assert_eq!(decide(&gone, NOW), Step::Rest);
    }
}

#[test]
fn an_unanswered_intent_is_always_acted_on() {
    for record in records() {
        if record.is_answered() || matches!(record.observed, Observed::Gone) {
            continue;
        }
        assert_ne!(decide(&record, NOW), Step::Rest, "{record:?}");
    }
}

#[test]
fn a_resting_record_is_shown_settled_and_a_moving_one_is_not_started_twice() {
    for record in records() {
        let settled = match shown_state(&record) {
            Shown::Started | Shown::Stopped | Shown::Error | Shown::Destroyed => true,
            Shown::Creating
            | Shown::BuildingSnapshot
            | Shown::Starting
            | Shown::Resizing
            | Shown::Stopping
            | Shown::Destroying => false,
        };
        if decide(&record, NOW) == Step::Rest {
            assert!(settled, "{record:?}");
        }
    }
}

#[test]
fn only_a_running_sandbox_is_shown_started() {
    for record in records() {
        if shown_state(&record) == Shown::Started {
            assert!(matches!(record.observed, Observed::Running { .. }));
            assert!(matches!(record.intent, Intent::Running(_)));
        }
    }
}

#[test]
fn every_error_has_a_way_out() {
    for record in records() {
        if shown_state(&record) != Shown::Error {
            continue;
        }
        let started = ask_start(&record, NOW).unwrap().unwrap();
        assert_eq!(decide(&started, NOW), Step::Ensure(Goal::Running));
        assert!(ask_recover(&record, AfterRecovery::Started, NOW).is_ok());
        let stopped = ask_recover(&record, AfterRecovery::Stopped, NOW).unwrap();
        assert!(matches!(
            decide(&stopped, NOW),
            Step::Ensure(Goal::Stopped(_))
        ));
    }
}

#[test]
fn every_accepted_wish_takes_the_next_generation() {
    for record in records() {
        if matches!(record.observed, Observed::Gone) {
            continue;
        }
        let wishes = [
            ask_start(&record, NOW).ok().flatten(),
            ask_stop(&record, StopMode::Graceful).ok().flatten(),
            ask_delete(&record),
            ask_recover(&record, AfterRecovery::Started, NOW).ok(),
            ask_resize(&record, SIZE).ok(),
            ask_settings(&record, NOW).ok().flatten(),
        ];
        for wish in wishes.into_iter().flatten() {
            assert_eq!(wish.generation, record.generation.next());
            assert_ne!(decide(&wish, NOW), Step::Rest, "{wish:?}");
        }
    }
}

fn live(why: WhyRunning) -> Record {
    Record {
        intent: Intent::Running(why),
        generation: Generation(2),
        observed: running(),
        observed_generation: Generation(2),
        deadline: None,
    }
}

fn report(generation: u64, state: Reported) -> Report {
    Report {
        generation: Generation(generation),
        state,
    }
}

#[test]
fn a_sandbox_that_ends_by_itself_becomes_stopped_and_keeps_its_cause() {
    let ended = absorb(
        &live(WhyRunning::Created),
        &report(2, Reported::Stopped(StopReason::OomKilled)),
    );
    assert_eq!(shown_state(&ended), Shown::Stopped);
    assert_eq!(decide(&ended, NOW), Step::Follow);
    let followed = follow(&ended, false);
    assert_eq!(shown_state(&followed), Shown::Stopped);
    assert!(matches!(
        decide(&followed, NOW),
        Step::Ensure(Goal::Stopped(_))
    ));
    let confirmed = absorb(&followed, &report(3, Reported::Stopped(StopReason::Asked)));
    assert_eq!(confirmed.observed, Observed::Stopped(StopReason::OomKilled));
    assert_eq!(decide(&confirmed, NOW), Step::Rest);
}

#[test]
fn an_ephemeral_sandbox_that_ends_by_itself_is_deleted() {
    let ended = absorb(
        &live(WhyRunning::Started),
        &report(2, Reported::Stopped(StopReason::Exited)),
    );
    let followed = follow(&ended, true);
    assert_eq!(decide(&followed, NOW), Step::Ensure(Goal::Deleted));
}

#[test]
fn a_refused_resize_is_taken_back_and_never_shown_as_an_error() {
    let resizing = ask_resize(&live(WhyRunning::Created), SIZE).unwrap();
    assert_eq!(shown_state(&resizing), Shown::Resizing);
    let failure = Failure {
        code: FailureCode::DoesNotFit,
        message: "m".into(),
    };
    let refused = absorb(&resizing, &report(3, Reported::Failed(failure)));
    assert_eq!(shown_state(&refused), Shown::Resizing);
    assert_eq!(decide(&refused, NOW), Step::RevertResize { to: SIZE });
    let reverted = revert(&refused);
    assert_eq!(decide(&reverted, NOW), Step::Ensure(Goal::Running));
}

#[test]
fn a_stop_that_overtakes_a_start_is_under_way_until_it_is_answered() {
    let stopped = Record {
        intent: Intent::Stopped(WhyStopped::Asked(StopMode::Graceful)),
        observed: Observed::Stopped(StopReason::Asked),
        ..live(WhyRunning::Created)
    };
    assert_eq!(shown_state(&stopped), Shown::Stopped);
    let starting = ask_start(&stopped, NOW).unwrap().unwrap();
    let stopping = ask_stop(&starting, StopMode::Graceful).unwrap().unwrap();
    assert_eq!(shown_state(&stopping), Shown::Stopping);
    let done = absorb(&stopping, &report(4, Reported::Stopped(StopReason::Asked)));
    assert_eq!(shown_state(&done), Shown::Stopped);
}

#[test]
fn a_late_answer_to_an_old_wish_does_not_answer_the_new_one() {
    let stopping = ask_stop(&live(WhyRunning::Created), StopMode::Graceful)
        .unwrap()
        .unwrap();
    let state = Reported::Running {
        toolbox_socket: "/s".into(),
        unenforced: vec![],
    };
    let late = absorb(&stopping, &report(2, state));
    assert_eq!(shown_state(&late), Shown::Stopping);
    assert!(matches!(decide(&late, NOW), Step::Ensure(Goal::Stopped(_))));
}

#[test]
fn a_passed_deadline_is_given_up_and_a_late_success_still_counts() {
    let created = created(NOW);
    assert_eq!(shown_state(&created), Shown::Creating);
    let later = NOW.after(BRING_UP_MAX);
    assert_eq!(decide(&created, later), Step::GiveUp);
    let given_up = give_up(&created);
    assert_eq!(shown_state(&given_up), Shown::Error);
    assert_eq!(decide(&given_up, later), Step::Rest);
    let state = Reported::Running {
        toolbox_socket: "/s".into(),
        unenforced: vec![],
    };
    let late = absorb(&given_up, &report(1, state));
    assert_eq!(shown_state(&late), Shown::Started);
}

#[test]
fn the_deadline_does_not_run_while_a_build_with_one_of_its_own_does() {
    let until = NOW.after(BRING_UP_MAX * 4);
    let building = absorb(&created(NOW), &report(1, Reported::Building { until }));
    assert_eq!(shown_state(&building), Shown::BuildingSnapshot);
    for now in [NOW, NOW.after(BRING_UP_MAX), until] {
        assert_eq!(decide(&building, now), Step::Ensure(Goal::Running));
    }
    let end = until.after(BRING_UP_MAX);
    assert_eq!(
        decide(&building, end),
        Step::GiveUp,
        "or nobody would notice"
    );
    let told_again = ask_settings(&building, NOW).unwrap().unwrap();
    assert_eq!(shown_state(&told_again), Shown::BuildingSnapshot);
    assert_eq!(decide(&told_again, until), Step::Ensure(Goal::Running));
    let failure = Failure {
        code: FailureCode::HostError,
        message: "m".into(),
    };
    let failed = absorb(&building, &report(1, Reported::Failed(failure)));
    assert_eq!(shown_state(&failed), Shown::Error);
    let again = ask_start(&failed, until).unwrap().unwrap();
    assert_eq!(shown_state(&again), Shown::Starting);
    let built_again = absorb(&again, &report(2, Reported::Building { until: end }));
    assert_eq!(shown_state(&built_again), Shown::BuildingSnapshot);
}

#[test]
fn a_build_counts_for_a_sandbox_that_waits_for_it_and_no_other() {
    let building = |generation| report(generation, Reported::Building { until: NOW });
    let running = live(WhyRunning::Created);
    assert_eq!(absorb(&running, &building(2)), running, "heard late");
    let fresh = created(NOW);
    let stopping = ask_stop(&fresh, StopMode::Force).unwrap().unwrap();
    for generation in [1, 2] {
        assert_eq!(absorb(&stopping, &building(generation)), stopping);
    }
    let deleting = ask_delete(&absorb(&fresh, &building(1))).unwrap();
    assert_eq!(shown_state(&deleting), Shown::Destroying);
    assert_eq!(decide(&deleting, NOW), Step::Ensure(Goal::Deleted));
}

#[test]
fn a_sandbox_that_its_host_lost_is_an_error_and_not_made_anew() {
    let lost = absorb(&live(WhyRunning::Created), &report(0, Reported::Absent));
    assert_eq!(shown_state(&lost), Shown::Error);
    assert_eq!(decide(&lost, NOW), Step::Rest);
}

#[test]
fn absence_before_the_first_word_is_only_not_yet() {
    let fresh = created(NOW);
    assert_eq!(absorb(&fresh, &report(0, Reported::Absent)), fresh);
}

#[test]
fn a_runner_that_is_ahead_is_overtaken() {
    let behind = absorb(
        &live(WhyRunning::Created),
        &report(9, Reported::Stopped(StopReason::Asked)),
    );
    assert!(behind.generation > Generation(9));
}

/// What a random history is made of.
#[derive(Clone, Debug)]
enum Event {
    Start,
    Stop(StopMode),
    Recover,
    Resize,
    Settings,
    Delete,
    /// The runner says that the newest goal waits for a build.
    Builds,
    /// The reconciler takes its next step and its command reaches the runner, or does not.
    Step {
        delivered: bool,
        fails: bool,
    },
    /// The sandbox's first process dies.
    Dies,
    /// An old report arrives again.
    Repeat(usize),
    Later,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        Just(Event::Start),
        prop_oneof![Just(StopMode::Graceful), Just(StopMode::Force)].prop_map(Event::Stop),
        Just(Event::Recover),
        Just(Event::Resize),
        Just(Event::Settings),
        Just(Event::Delete),
        Just(Event::Builds),
        (any::<bool>(), any::<bool>())
            .prop_map(|(delivered, fails)| Event::Step { delivered, fails }),
        Just(Event::Dies),
        (0..64_usize).prop_map(Event::Repeat),
        Just(Event::Later),
    ];
    prop::collection::vec(event, 0..60)
}

/// A runner that does what it is told, remembers the newest generation, and may fail.
struct World {
    record: Record,
    ephemeral: bool,
    now: Timestamp,
    runner: Option<Report>,
    said: Vec<Report>,
}

impl World {
    fn new(ephemeral: bool) -> Self {
        Self {
            record: created(NOW),
            ephemeral,
            now: NOW,
            runner: None,
            said: vec![],
        }
    }

    fn wish(&mut self, wish: Option<Record>) {
        if let Some(record) = wish {
            self.record = record;
        }
    }

    fn hear(&mut self, report: Report) {
        self.record = absorb(&self.record, &report);
        self.said.push(report);
    }

    fn obey(&self, goal: Goal, fails: bool) -> Report {
        let generation = self.record.generation;
        let state = match goal {
            _ if fails => Reported::Failed(Failure {
                code: FailureCode::HostError,
                message: "m".into(),
            }),
            Goal::Running => Reported::Running {
                toolbox_socket: "/s".into(),
                unenforced: vec![],
            },
            Goal::Stopped(_) => Reported::Stopped(StopReason::Asked),
            Goal::Deleted => Reported::Absent,
        };
        Report { generation, state }
    }

    fn step(&mut self, delivered: bool, fails: bool) {
        match decide(&self.record, self.now) {
            Step::Rest => {}
            Step::Follow => self.record = follow(&self.record, self.ephemeral),
            Step::RevertResize { .. } => self.record = revert(&self.record),
            Step::GiveUp => self.record = give_up(&self.record),
            Step::Ensure(goal) if delivered => {
                let report = self.obey(goal, fails);
                self.runner = Some(report.clone());
                self.hear(report);
            }
            Step::Ensure(_) => {}
        }
    }

    fn apply(&mut self, event: &Event) {
        let record = &self.record;
        match event {
            Event::Start => self.wish(ask_start(record, self.now).ok().flatten()),
            Event::Stop(mode) => self.wish(ask_stop(record, *mode).ok().flatten()),
            Event::Recover => self.wish(ask_recover(record, AfterRecovery::Started, self.now).ok()),
            Event::Resize => self.wish(ask_resize(record, SIZE).ok()),
            Event::Settings => self.wish(ask_settings(record, self.now).ok().flatten()),
            Event::Delete => self.wish(ask_delete(record)),
            Event::Builds => self.hear(Report {
                generation: self.record.generation,
                state: Reported::Building {
                    until: self.now.after(BRING_UP_MAX),
                },
            }),
            Event::Step { delivered, fails } => self.step(*delivered, *fails),
            Event::Dies => {
                let Some(runner) = self.runner.clone() else {
                    return;
                };
                if matches!(runner.state, Reported::Running { .. }) {
                    let ended = Report {
                        state: Reported::Stopped(StopReason::Exited),
                        ..runner
                    };
                    self.runner = Some(ended.clone());
                    self.hear(ended);
                }
            }
            Event::Repeat(nth) => {
                let repeated = (!self.said.is_empty()).then(|| nth % self.said.len());
                // Absence is always asked for afresh, never repeated from the past.
                if let Some(old) = repeated.map(|at| self.said[at].clone())
                    && !matches!(old.state, Reported::Absent)
                {
                    self.record = absorb(&self.record, &old);
                }
            }
            Event::Later => self.now = self.now.after(BRING_UP_MAX / 2),
        }
    }

    /// With a runner that works again, how many steps until nothing is left to do.
    fn settle(&mut self) -> usize {
        for steps in 0..20 {
            if decide(&self.record, self.now) == Step::Rest {
                return steps;
            }
            self.step(true, false);
        }
        panic!("does not settle: {:?}", self.record);
    }
}

proptest! {
    #[test]
    fn any_history_settles_once_the_runner_works(events in events(), ephemeral: bool) {
        let mut world = World::new(ephemeral);
        for event in &events {
            world.apply(event);
        }
        world.settle();
        let shown = shown_state(&world.record);
        prop_assert!(matches!(
            shown,
            Shown::Started | Shown::Stopped | Shown::Error | Shown::Destroyed
        ));
    }

    #[test]
    fn delete_always_finishes_whatever_came_before_or_comes_after(
        before in events(),
        after in events(),
        ephemeral: bool,
    ) {
        let mut world = World::new(ephemeral);
        for event in &before {
            world.apply(event);
        }
        world.apply(&Event::Delete);
        for event in &after {
            world.apply(event);
        }
        world.settle();
        prop_assert_eq!(shown_state(&world.record), Shown::Destroyed);
    }

    #[test]
    fn hearing_a_report_twice_is_the_same_as_once(events in events()) {
        let mut world = World::new(false);
        for event in &events {
            world.apply(event);
            if let Some(last) = world.said.last() {
                let once = absorb(&world.record, last);
                prop_assert_eq!(absorb(&once, last), once);
            }
        }
    }

    #[test]
    fn generations_never_go_back(events in events()) {
        let mut world = World::new(false);
        for event in &events {
            let before = world.record.generation;
            world.apply(event);
            prop_assert!(world.record.generation >= before);
        }
    }
}
