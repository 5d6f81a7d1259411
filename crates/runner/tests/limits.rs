//! Bombs inside a sandbox hurt nobody but itself.

mod common;

use common::{Dirs, Fixture, SmallDisk, running, socket_of, spec, stopped};
use sebring_api::runner::StopMode;

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_bomb_is_killed_and_the_neighbour_lives() {
    let fixture = Fixture::start().await;
    let (bomb, neighbour) = (fixture.up(spec()).await, fixture.up(spec()).await);
    let (code, said) = bomb.sh(r#"perl -e '$x = "x" x (256 << 20); push @all, "$x$_" for 1..40'"#);
    assert_eq!(code, 137, "{said}");
    bomb.must("true");
    neighbour.must("true");
    assert_eq!(
        bomb.must("grep MemTotal /proc/meminfo")
            .split_whitespace()
            .nth(1),
        Some("1048576")
    );
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_stops_at_the_limit_and_the_sandbox_can_be_deleted() {
    let fixture = Fixture::start().await;
    let (bomb, neighbour) = (fixture.up(spec()).await, fixture.up(spec()).await);
    common::send(
        &bomb.socket,
        r#"perl -e 'while (1) { $p = fork; last unless defined $p; if ($p == 0) { sleep 600; exit } } sleep 600'"#,
    );
    let group = format!("/{}", bomb.id);
    let count = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let inside = all.filter(|entry| {
            let groups = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
            groups.contains(&group)
        });
        inside.count()
    };
    common::eventually("the bomb fills its limit", || {
        (count() > 1900).then_some(())
    })
    .await;
    assert!(count() <= 2048);
    neighbour.must("for i in 1 2 3 4 5; do /bin/true; done");
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_the_sandboxes_own_and_can_be_emptied_also_after_a_restart() {
    let fixture = Fixture::start().await;
    let (full, neighbour) = (fixture.up(spec()).await, fixture.up(spec()).await);
    let (code, said) = full.sh("dd if=/dev/zero of=/big bs=1M count=1200; sync");
    assert_eq!(code, 0, "sync is the last command: {said}");
    assert!(
        said.contains("Disk quota exceeded") || said.contains("No space left"),
        "{said}"
    );
    let written: u64 = full.must("stat -c %s /big").trim().parse().unwrap();
    assert!(written <= 1 << 30, "{written}");
    neighbour.must("dd if=/dev/zero of=/ok bs=1M count=50 2>/dev/null && sync");

    fixture
        .runner
        .command(full.id, stopped(2, spec(), StopMode::Force))
        .await;
    let seen = fixture.runner.command(full.id, running(3, spec())).await;
    let socket = socket_of(&seen);
    assert_eq!(common::sh(&socket, "rm /big && sync").0, 0);
    assert_eq!(
        common::sh(&socket, "dd if=/dev/zero of=/again bs=1M count=100 && sync").0,
        0
    );
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sandboxes_that_may_write_more_than_the_host_has_are_refused_and_break_nothing() {
    let small = SmallDisk::mount(768 << 20);
    let fixture = Fixture::start_in(Dirs::in_dir(&small.dir)).await;
    let mut greedy = spec();
    greedy.resources.disk_gib = 4;
    let (one, other) = (fixture.up(greedy.clone()).await, fixture.up(greedy).await);

    let (_, said) = one.sh("dd if=/dev/zero of=/big bs=1M count=2000; sync");
    assert!(said.contains("Disk quota exceeded"), "{said}");
    let (_, said) = other.sh("dd if=/dev/zero of=/big bs=1M count=2000; sync");
    assert!(said.contains("Disk quota exceeded"), "{said}");
    let left = rustix::fs::statvfs(&small.dir).unwrap();
    assert!(
        left.f_bavail * left.f_frsize >= 8 << 20,
        "the reserve was written to"
    );

    // What one gives back both may use, once it is the host's again.
    one.must("rm /big && sync");
    common::eventually("there is room again", || {
        (other.sh("dd if=/dev/zero of=/more bs=1M count=100").0 == 0).then_some(())
    })
    .await;
    one.must("echo kept > /file && sync && grep kept /file");
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_told_how_much_of_its_own_disk_it_uses() {
    let fixture = Fixture::start().await;
    let (full, neighbour) = (fixture.up(spec()).await, fixture.up(spec()).await);
    full.must("dd if=/dev/zero of=/big bs=1M count=100 2>/dev/null && sync");
    let told = |sandbox: &common::Sandbox| -> u64 {
        let file = sandbox.socket.with_file_name("disk_used");
        let text = std::fs::read_to_string(file).unwrap();
        text.trim_end().parse().unwrap()
    };
    common::eventually("the use is told", || {
        (told(&full) >= 100 << 20).then_some(())
    })
    .await;
    assert!(told(&full) < 110 << 20, "{}", told(&full));
    assert!(told(&neighbour) < 10 << 20, "{}", told(&neighbour));
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sandboxes_get_the_processor_time_they_were_given() {
    let fixture = Fixture::start().await;
    let sandbox = fixture.up(spec()).await;
    assert_eq!(sandbox.must("grep -c ^processor /proc/cpuinfo").trim(), "1");
    assert_eq!(
        sandbox.must("cat /sys/devices/system/cpu/online").trim(),
        "0"
    );
    // Four busy loops for a second of wall time may use little more than one processor second.
    let script = "for i in 1 2 3 4; do timeout 1 sh -c 'while :; do :; done' & done; wait; times";
    let times = sandbox.must(script);
    let children = times.lines().last().unwrap();
    let user = children.split_whitespace().next().unwrap();
    let seconds: f64 = user
        .trim_start_matches("0m")
        .trim_end_matches('s')
        .parse()
        .unwrap();
    assert!(seconds < 1.6, "{times}");
    fixture.close().await;
}
