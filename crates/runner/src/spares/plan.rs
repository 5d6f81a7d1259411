//! Which spares there should be, and what to do next about it. Pure: told the time, asks nothing.
//!
//! The spares mirror the last requests: of as many as there may be spares, one for each. Whoever
//! asks for one shape finds all of them in it; whoever alternates finds both. Before the first
//! request there is none, and after a while without any there is none again.
//!
//! Must not: touch a sandbox. Next: `super::keep` does what is decided here.

use std::collections::VecDeque;
use std::time::Duration;

use sebring_api::runner::Shape;
use sebring_core::id::SandboxId;
use tokio::time::Instant;

/// How long nothing may have been asked of the runner before a spare is made. What follows a
/// create is a first command, and what follows one create of many is the next: neither shares its
/// processors with us.
pub(super) const QUIET: Duration = Duration::from_millis(50);
/// Without a request for so long, an idle host is given back what spares hold.
pub(super) const UNUSED_MAX: Duration = Duration::from_secs(600);
/// How often to see if there is still room, while there are spares or would be.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A network seat that was taken is replaced within milliseconds, on a busy host in more of them.
pub(super) const SEAT_WAIT: Duration = Duration::from_millis(200);

/// What the host has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// For this moment. What is there takes none from anybody.
    NoSeat,
    /// Sandboxes will lack what spares hold.
    Short,
}

/// The last requests that a spare could have served.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    /// As many as there may be spares. Newest last.
    shapes: VecDeque<Shape>,
    last: Option<Instant>,
    spares_max: usize,
}

impl Demand {
    pub(super) const fn new(spares_max: usize) -> Self {
        Self {
            shapes: VecDeque::new(),
            last: None,
            spares_max,
        }
    }

    pub(super) fn note(&mut self, shape: Shape, now: Instant) {
        if self.spares_max == 0 {
            return;
        }
        if self.shapes.len() == self.spares_max {
            self.shapes.pop_front();
        }
        self.shapes.push_back(shape);
        self.last = Some(now);
    }

    /// One shape for each spare, newest first. Requests that never were count as the newest.
    fn wanted(&self) -> impl Iterator<Item = &Shape> {
        let newest = self.shapes.back();
        let missing = self.spares_max - self.shapes.len();
        let asked = self.shapes.iter().rev();
        asked.chain(newest.into_iter().cycle().take(missing))
    }

    fn wanted_of(&self, shape: &Shape) -> usize {
        self.wanted().filter(|wanted| *wanted == shape).count()
    }
}

/// What there is, oldest first.
pub(super) type Present = [(SandboxId, Shape)];

/// How things are now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    /// Goals are being reached.
    pub(super) busy: bool,
    /// When the last of them was.
    pub(super) busy_until: Option<Instant>,
    /// The last attempt failed; not before then.
    pub(super) retry_at: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Fill(Shape),
    End(Vec<SandboxId>),
    /// Until something changes, and no longer than until then.
    Wait(Option<Instant>),
}

/// `room` looks at the host, and is asked only when it matters.
pub(super) fn decide(
    demand: &Demand,
    present: &Present,
    moment: Moment,
    room: impl Fn() -> Room,
) -> Next {
    let Moment { now, busy, .. } = moment;
    let Some(unused_at) = demand.last.map(|last| last + UNUSED_MAX) else {
        return Next::Wait(None);
    };
    if now >= unused_at {
        return end_all(present).unwrap_or(Next::Wait(None));
    }
    let look_at = Some(unused_at.min(now + LOOK_EVERY));
    let has_any = !present.is_empty();
    // Also while goals are reached: that is when room is needed.
    if has_any && room() == Room::Short {
        return end_all(present).unwrap_or(Next::Wait(look_at));
    }
    if busy {
        // The end of it is a change.
        return Next::Wait(look_at.filter(|_| has_any));
    }
    if let Some(quiet_at) = moment.busy_until.map(|end| end + QUIET)
        && now < quiet_at
    {
        return Next::Wait(Some(quiet_at));
    }
    let count_of = |shape: &Shape| present.iter().filter(|(_, other)| other == shape).count();
    let lacking = |shape: &&Shape| count_of(shape) < demand.wanted_of(shape);
    let Some(lacking) = demand.wanted().find(lacking) else {
        return Next::Wait(look_at);
    };
    if present.len() >= demand.spares_max {
        let surplus = |(_, shape): &&(SandboxId, Shape)| count_of(shape) > demand.wanted_of(shape);
        let oldest = present.iter().find(surplus);
        return oldest.map_or(Next::Wait(look_at), |(id, _)| Next::End(vec![*id]));
    }
    if let Some(retry_at) = moment.retry_at
        && now < retry_at
    {
        return Next::Wait(Some(retry_at.min(unused_at)));
    }
    match room() {
        Room::Free => Next::Fill(lacking.clone()),
        Room::NoSeat => Next::Wait(Some(now + SEAT_WAIT)),
        Room::Short => Next::Wait(look_at),
    }
}

fn end_all(present: &Present) -> Option<Next> {
    let ids = || present.iter().map(|(id, _)| *id).collect();
    (!present.is_empty()).then(|| Next::End(ids()))
}

#[cfg(test)]
mod tests {
    use sebring_api::runner::ResourceSpec;

    use super::*;

    fn shape(name: &str) -> Shape {
        let resources = ResourceSpec {
            cpus: 1,
            memory_gib: 1,
            disk_gib: 3,
        };
        Shape {
            snapshot: name.into(),
            resources,
        }
    }

    fn spares(names: &[&str]) -> Vec<(SandboxId, Shape)> {
        let spare = |name: &&str| (SandboxId::random(), shape(name));
        names.iter().map(spare).collect()
    }

    fn asked(spares_max: usize, names: &[&str], now: Instant) -> Demand {
        let mut demand = Demand::new(spares_max);
        for name in names {
            demand.note(shape(name), now);
        }
        demand
    }

    fn quiet(now: Instant) -> Moment {
        Moment {
            now,
            busy: false,
            busy_until: None,
            retry_at: None,
        }
    }

    fn next(demand: &Demand, present: &Present, moment: Moment) -> Next {
        decide(demand, present, moment, || Room::Free)
    }

    #[test]
    fn before_anybody_asked_there_is_none() {
        let now = Instant::now();
        let demand = asked(2, &[], now);
        assert_eq!(next(&demand, &[], quiet(now)), Next::Wait(None));
    }

    #[test]
    fn a_runner_without_spares_makes_none() {
        let now = Instant::now();
        let demand = asked(0, &["a"], now);
        assert_eq!(next(&demand, &[], quiet(now)), Next::Wait(None));
    }

    #[test]
    fn one_request_fills_all_with_its_shape() {
        let now = Instant::now();
        let demand = asked(2, &["a"], now);
        assert_eq!(next(&demand, &[], quiet(now)), Next::Fill(shape("a")));
        let one = spares(&["a"]);
        assert_eq!(next(&demand, &one, quiet(now)), Next::Fill(shape("a")));
        let look_at = Some(now + LOOK_EVERY);
        let two = spares(&["a", "a"]);
        assert_eq!(next(&demand, &two, quiet(now)), Next::Wait(look_at));
    }

    #[test]
    fn alternating_requests_keep_spares_of_both() {
        let now = Instant::now();
        let demand = asked(4, &["a", "b", "a", "b"], now);
        let present = spares(&["a", "b", "b"]);
        assert_eq!(next(&demand, &present, quiet(now)), Next::Fill(shape("a")));
        let present = spares(&["a", "b", "a", "b"]);
        let look_at = Some(now + LOOK_EVERY);
        assert_eq!(next(&demand, &present, quiet(now)), Next::Wait(look_at));
    }

    #[test]
    fn the_oldest_that_nobody_asks_for_makes_place() {
        let now = Instant::now();
        let demand = asked(2, &["a", "b"], now);
        let present = spares(&["a", "a"]);
        let oldest = present[0].0;
        assert_eq!(next(&demand, &present, quiet(now)), Next::End(vec![oldest]));
    }

    #[test]
    fn nothing_is_made_while_goals_are_reached_nor_right_after() {
        let now = Instant::now();
        let demand = asked(2, &["a"], now);
        let busy = Moment {
            busy: true,
            ..quiet(now)
        };
        assert_eq!(next(&demand, &[], busy), Next::Wait(None));
        let just_done = Moment {
            busy_until: Some(now),
            ..quiet(now)
        };
        let quiet_at = Some(now + QUIET);
        assert_eq!(next(&demand, &[], just_done), Next::Wait(quiet_at));
        let later = Moment {
            now: now + QUIET,
            ..just_done
        };
        assert_eq!(next(&demand, &[], later), Next::Fill(shape("a")));
    }

    #[test]
    fn without_room_all_are_ended_and_none_is_made() {
        let now = Instant::now();
        let demand = asked(2, &["a"], now);
        let present = spares(&["a"]);
        let full = |present: &Present| decide(&demand, present, quiet(now), || Room::Short);
        assert_eq!(full(&present), Next::End(vec![present[0].0]));
        assert_eq!(full(&[]), Next::Wait(Some(now + LOOK_EVERY)));
    }

    #[test]
    fn without_room_all_are_ended_although_goals_are_reached() {
        let now = Instant::now();
        let demand = asked(2, &["a"], now);
        let present = spares(&["a"]);
        let all = Next::End(vec![present[0].0]);
        let busy = Moment {
            busy: true,
            ..quiet(now)
        };
        let just_done = Moment {
            busy_until: Some(now),
            ..quiet(now)
        };
        for moment in [busy, just_done] {
            assert_eq!(decide(&demand, &present, moment, || Room::Short), all);
        }
        let look_at = Some(now + LOOK_EVERY);
        let looked = next(&demand, &present, busy);
        assert_eq!(looked, Next::Wait(look_at), "and is looked for again");
    }

    #[test]
    fn without_a_seat_none_is_made_for_a_moment_and_none_ends() {
        let now = Instant::now();
        let demand = asked(2, &["a"], now);
        let next = |present: &Present| decide(&demand, present, quiet(now), || Room::NoSeat);
        let soon = Next::Wait(Some(now + SEAT_WAIT));
        assert_eq!(next(&[]), soon);
        assert_eq!(next(&spares(&["a"])), soon);
        let look_at = Some(now + LOOK_EVERY);
        assert_eq!(next(&spares(&["a", "a"])), Next::Wait(look_at));
    }

    #[test]
    fn what_nobody_asks_for_any_more_ends() {
        let asked_at = Instant::now();
        let demand = asked(2, &["a"], asked_at);
        let present = spares(&["a", "a"]);
        let last_moment = asked_at + UNUSED_MAX - Duration::from_secs(1);
        assert_eq!(
            next(&demand, &present, quiet(last_moment)),
            Next::Wait(Some(asked_at + UNUSED_MAX))
        );
        let all = present.iter().map(|(id, _)| *id).collect();
        let unused = quiet(asked_at + UNUSED_MAX);
        assert_eq!(next(&demand, &present, unused), Next::End(all));
        assert_eq!(next(&demand, &[], unused), Next::Wait(None));
    }

    #[test]
    fn a_failure_is_not_repeated_at_once() {
        let now = Instant::now();
        let demand = asked(2, &["a"], now);
        let failed = Moment {
            retry_at: Some(now + Duration::from_secs(3)),
            ..quiet(now)
        };
        assert_eq!(next(&demand, &[], failed), Next::Wait(failed.retry_at));
    }
}
