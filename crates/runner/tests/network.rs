//! What a sandbox can reach: the world as far as its policy allows, and nothing nearby.
//!
//! The world is a network namespace of this test, with an address that is nobody's.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod common;

use std::net::{IpAddr, TcpListener};
use std::process::{Child, Command as Program, Stdio};

use common::{Fixture, Sandbox, running, spec};
use sebring_api::runner::{NetworkSpec, SandboxSpec};

/// Documentation addresses (RFC 5737): no host has them.
const WORLD: &str = "198.51.100.2";
const WORLD_PORT: u16 = 7000;
/// Its address can be had once.
static ONE_WORLD: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A server "on the Internet" that says who it is talking to.
struct World {
    process: Child,
}

impl World {
    fn start() -> Self {
        let serve = format!(
            r#"read go; exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 9, LocalPort => {WORLD_PORT}, ReuseAddr => 1) or die; print "ready\n"; close STDOUT; while ($c = $s->accept) {{ print $c "from " . $c->peerhost . "\n"; close $c }}'"#
        );
        let mut process = Program::new("unshare")
            .args(["--net", "--kill-child", "sh", "-c", &serve])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let namespace = wait_for_namespace(process.id());
        let name = format!("sbtw{}", process.id());
        for line in [
            format!("link add {name} type veth peer name eth0 netns {namespace}"),
            format!("addr add 198.51.100.1/30 dev {name}"),
            format!("link set {name} up"),
            format!("-n {namespace} addr add {WORLD}/30 dev eth0"),
            format!("-n {namespace} link set eth0 up"),
        ] {
            let (program, arguments) = match line.strip_prefix("-n ") {
                Some(rest) => {
                    let (pid, rest) = rest.split_once(' ').unwrap();
                    ("nsenter", format!("-t {pid} -n ip {rest}"))
                }
                None => ("ip", line),
            };
            assert!(
                Program::new(program)
                    .args(arguments.split(' '))
                    .status()
                    .unwrap()
                    .success()
            );
        }
        use std::io::{BufRead, Write};
        process.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let mut line = String::new();
        std::io::BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        Self { process }
    }
}

impl World {
    /// Whether `host:port` accepts a connection from out there, with a route to our networks.
    fn reaches(&self, host: &str, port: u16) -> bool {
        let script = format!(
            "ip route replace 10.0.0.0/8 via 198.51.100.1; \
             timeout 1 bash -c 'exec 3<>/dev/tcp/{host}/{port}'"
        );
        let pid = self.process.id().to_string();
        Program::new("nsenter")
            .args(["-t", &pid, "-n", "bash", "-c", &script])
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Process whose network namespace is not ours any more: `unshare` or its only child.
fn wait_for_namespace(pid: u32) -> u32 {
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    loop {
        let theirs = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        if theirs != own {
            return pid;
        }
        std::thread::yield_now();
    }
}

impl Sandbox {
    /// What a TCP server says, or `None` when it cannot be reached within a second.
    fn dial(&self, host: &str, port: u16) -> Option<String> {
        let dial = format!(
            "timeout 1 bash -c 'exec 3<>/dev/tcp/{host}/{port} && echo open && head -n1 <&3'"
        );
        let (_, said) = self.sh(&dial);
        said.strip_prefix("open\n")
            .map(|said| said.trim().to_owned())
    }

    fn address(&self) -> String {
        let said = self.must("hostname -I 2>/dev/null || perl -MSocket -e 'socket S, PF_INET, SOCK_DGRAM, 0; connect S, sockaddr_in 9, inet_aton q(198.51.100.9); print inet_ntoa((sockaddr_in getsockname S)[1])'");
        said.trim().to_owned()
    }
}

fn with(network: NetworkSpec) -> SandboxSpec {
    SandboxSpec { network, ..spec() }
}

fn allow(cidrs: &[&str]) -> NetworkSpec {
    NetworkSpec::Allow {
        cidrs: cidrs.iter().map(|cidr| (*cidr).to_owned()).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_decide_who_in_the_world_is_reached_also_while_running() {
    let _alone = ONE_WORLD.lock().await;
    let fixture = Fixture::start().await;
    let world = World::start();
    let sandbox = fixture.up(spec()).await;
    let reached = |yes: bool, why: &str| {
        let said = sandbox.dial(WORLD, WORLD_PORT);
        // The sandbox's own address never leaves the host.
        assert_eq!(said, yes.then(|| "from 198.51.100.1".to_owned()), "{why}");
    };
    reached(true, "open");
    let steps = [
        (
            allow(&["198.51.100.0/24", "203.0.113.9/32"]),
            true,
            "in the list",
        ),
        (allow(&["203.0.113.0/24"]), false, "not in the list"),
        (allow(&[]), false, "an empty list"),
        (NetworkSpec::BlockAll, false, "blocked"),
        (allow(&["198.51.100.2/32"]), true, "allowed after blocked"),
        (NetworkSpec::Open, true, "open again"),
    ];
    for (generation, (network, yes, why)) in (2..).zip(steps) {
        fixture
            .runner
            .command(sandbox.id, running(generation, with(network)))
            .await;
        reached(yes, why);
    }
    let born_restricted = fixture.up(with(allow(&["203.0.113.0/24"]))).await;
    assert_eq!(born_restricted.dial(WORLD, WORLD_PORT), None);
    drop(world);
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_nearby_is_reachable_whatever_the_policy() {
    let fixture = Fixture::start().await;
    let everyone = allow(&["0.0.0.0/0"]);
    let (one, other) = (fixture.up(spec()).await, fixture.up(with(everyone)).await);
    let on_host = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = on_host.local_addr().unwrap().port();
    let serve = "perl -MIO::Socket::INET -e 'if (fork) {exit} close STDOUT; close STDERR; $s = IO::Socket::INET->new(Listen => 9, LocalPort => 80) or die; while ($c = $s->accept) { print $c qq(hi\\n) }'";
    other.must(serve);
    common::eventually("the neighbour serves itself", || {
        other.dial("127.0.0.1", 80)
    })
    .await;

    let host = host_address().to_string();
    let gateway = one.must("cat /etc/resolv.conf").replace("nameserver", "");
    assert!(
        std::net::TcpStream::connect((host.as_str(), port)).is_ok(),
        "the host serves"
    );
    for target in ["127.0.0.1", "::1", gateway.trim(), &host] {
        assert_eq!(one.dial(target, port), None, "{target}:{port}");
        assert_eq!(other.dial(target, port), None, "{target}:{port}");
    }
    assert_eq!(one.dial(&other.address(), 80), None, "the neighbour");
    for nearby in [
        "169.254.169.254",
        "10.0.0.1",
        "192.168.0.1",
        "172.17.0.1",
        "100.100.100.200",
    ] {
        assert_eq!(one.dial(nearby, 80), None, "{nearby}");
        assert_eq!(other.dial(nearby, 80), None, "{nearby}");
    }
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_world_reaches_neither_sandboxes_nor_their_resolver() {
    let _alone = ONE_WORLD.lock().await;
    let fixture = Fixture::start().await;
    let world = World::start();
    let sandbox = fixture.up(spec()).await;
    let serve = "perl -MIO::Socket::INET -e 'if (fork) {exit} close STDOUT; close STDERR; $s = IO::Socket::INET->new(Listen => 9, LocalPort => 80) or die; while ($c = $s->accept) { print $c qq(hi\\n) }'";
    sandbox.must(serve);
    common::eventually("the sandbox serves itself", || {
        sandbox.dial("127.0.0.1", 80)
    })
    .await;
    let gateway = sandbox
        .must("cat /etc/resolv.conf")
        .replace("nameserver", "");
    assert!(
        std::net::TcpStream::connect((gateway.trim(), 53)).is_ok(),
        "the resolver serves"
    );
    let on_host = TcpListener::bind(("198.51.100.1", 0)).unwrap();
    let port = on_host.local_addr().unwrap().port();
    assert!(world.reaches("198.51.100.1", port), "the host serves");
    assert!(!world.reaches(gateway.trim(), 53));
    assert!(!world.reaches(&sandbox.address(), 80));
    drop(world);
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_with_thousands_of_flows_leaves_the_network_to_others() {
    let _alone = ONE_WORLD.lock().await;
    let fixture = Fixture::start().await;
    let world = World::start();
    let (greedy, other) = (fixture.up(spec()).await, fixture.up(spec()).await);
    assert!(greedy.dial(WORLD, WORLD_PORT).is_some());
    // Each port is a flow of its own to the host.
    greedy.must(&format!(
        "perl -MSocket -e 'socket S, PF_INET, SOCK_DGRAM, 0; \
         send S, 1, 0, sockaddr_in($_, inet_aton(q({WORLD}))) for 10000..15000; 1'"
    ));
    assert_eq!(greedy.dial(WORLD, WORLD_PORT), None, "over its share");
    assert!(other.dial(WORLD, WORLD_PORT).is_some());
    drop(world);
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_taken_over_cannot_write_firewall_rules() {
    let fixture = Fixture::start().await;
    let table = format!("sebring_evil_{}", fixture.dirs.place.instance);
    let cidr = format!("1.1.1.1/32 }}\nadd table inet {table}\n#");
    let id = sebring_core::id::SandboxId::random();
    let command = running(1, with(allow(&[&cidr])));
    let seen = fixture.runner.command(id, command).await;
    assert!(
        matches!(
            &seen.state,
            sebring_api::runner::ObservedState::Failed { message, .. }
                if message.contains("not an IPv4 network")
        ),
        "{seen:?}"
    );
    let listed = Program::new("nft").args(["list", "tables"]).output();
    assert!(
        !String::from_utf8(listed.unwrap().stdout)
            .unwrap()
            .contains(&table)
    );
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn low_ports_ping_and_loopback_work_inside() {
    let fixture = Fixture::start().await;
    let sandbox = fixture.up(spec()).await;
    let ping = "perl -MSocket -e 'socket(S, PF_INET, SOCK_DGRAM, 1) or die $!'";
    sandbox.must(ping);
    sandbox.must(
        "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(Listen => 1, LocalPort => 22) or die'",
    );
    assert!(
        sandbox.must("cat /proc/net/if_inet6").contains("lo"),
        "::1 is there"
    );
    fixture.close().await;
}

/// Address of the interface with the default route.
fn host_address() -> IpAddr {
    // Connecting a datagram socket sends nothing.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.200:9").unwrap();
    socket.local_addr().unwrap().ip()
}
