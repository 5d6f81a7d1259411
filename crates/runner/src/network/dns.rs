//! Name resolution for sandboxes: what they ask at the gateway goes to the host's own resolvers.
//!
//! A relay of packets, not a resolver: it never looks inside. The host may reach resolvers at
//! addresses that no sandbox may (loopback, private networks), which is why it exists.
//!
//! Must not: let one sandbox's questions use up the host or its neighbours' share: questions in
//! flight are bounded in all and per sandbox, and more are dropped, as a resolver under load would.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sebring_tasks::Tasks;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;
use tracing::{debug, warn};

const PORT: u16 = 53;
/// One answer, per resolver; clients ask again after five.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// A connection: DNS over TCP is a question or a few.
const CONNECTION_WAIT: Duration = Duration::from_secs(20);
const QUESTIONS: Bounds = Bounds {
    total: 512,
    each: 64,
};
const CONNECTIONS: Bounds = Bounds {
    total: 128,
    each: 8,
};
/// Largest packet that UDP can carry.
const PACKET_BYTES_MAX: usize = 65_535;
/// Resolvers tried in turn, as the C library does.
const RESOLVERS_MAX: usize = 3;

/// Where questions go; asked anew for each, since a host's resolvers change with its network.
type Resolvers = Arc<dyn Fn() -> Vec<SocketAddr> + Send + Sync>;

/// How many may be under way at a time, in all and for each who asks.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    total: usize,
    each: usize,
}

/// Who has how many under way.
#[derive(Debug)]
struct Room {
    bounds: Bounds,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A place in a [`Room`], given back on drop.
#[derive(Debug)]
struct Place {
    room: Arc<Room>,
    asker: IpAddr,
}

impl Room {
    fn new(bounds: Bounds) -> Arc<Self> {
        let taken = Mutex::default();
        Arc::new(Self { bounds, taken })
    }

    /// `None` when there is no room, for this asker or for anybody.
    fn try_enter(self: &Arc<Self>, asker: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock();
        let own = taken.get(&asker).copied().unwrap_or(0);
        if own >= self.bounds.each || taken.values().sum::<usize>() >= self.bounds.total {
            return None;
        }
        taken.insert(asker, own + 1);
        Some(Place {
            room: Arc::clone(self),
            asker,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock();
        match taken.get_mut(&self.asker) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.asker)),
        }
    }
}

/// Starts relaying at `gateway` to the host's resolvers and returns.
pub(super) async fn serve(gateway: Ipv4Addr, tasks: &Tasks) -> io::Result<()> {
    relay((gateway, PORT).into(), tasks, Arc::new(host_resolvers))
        .await
        .map(drop)
}

/// Relays at `address`, the same for packets and connections; says which one it got.
async fn relay(address: SocketAddr, tasks: &Tasks, resolvers: Resolvers) -> io::Result<SocketAddr> {
    let udp = Arc::new(UdpSocket::bind(address).await?);
    let address = udp.local_addr()?;
    let tcp = TcpListener::bind(address).await?;
    let (stop, theirs) = (tasks.clone(), Arc::clone(&resolvers));
    tasks.spawn("dns packets", async move {
        relay_packets(udp, stop, theirs).await;
    });
    let stop = tasks.clone();
    tasks.spawn("dns connections", async move {
        relay_connections(tcp, stop, resolvers).await;
    });
    Ok(address)
}

async fn relay_packets(socket: Arc<UdpSocket>, tasks: Tasks, resolvers: Resolvers) {
    let room = Room::new(QUESTIONS);
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    loop {
        // Both branches are safe to drop: nothing was read from the socket.
        let (length, asker) = tokio::select! {
            () = tasks.stopped() => return,
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                Err(error) => {
                    // ICMP errors of earlier answers come back here; they concern nobody else.
                    debug!(error = %error, "dns receive");
                    continue;
                }
            },
        };
        let Some(place) = room.try_enter(asker.ip()) else {
            continue;
        };
        let question = buffer[..length].to_vec();
        let (socket, resolvers) = (Arc::clone(&socket), Arc::clone(&resolvers));
        tasks.spawn("dns question", async move {
            if let Some(answer) = ask(&question, &resolvers()).await {
                // The asker may be gone, and will ask again if not.
                drop(socket.send_to(&answer, asker).await);
            }
            drop(place);
        });
    }
}

async fn ask(question: &[u8], resolvers: &[SocketAddr]) -> Option<Vec<u8>> {
    for &resolver in resolvers {
        match timeout(ANSWER_WAIT, ask_one(question, resolver)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => debug!(error = %error, "resolver refused"),
            Err(_) => debug!("resolver is silent"),
        }
    }
    None
}

async fn ask_one(question: &[u8], resolver: SocketAddr) -> io::Result<Vec<u8>> {
    let any: IpAddr = match resolver {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    // A port of its own per question: nobody can guess where to send a forged answer.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut answer = vec![0; PACKET_BYTES_MAX];
    loop {
        let length = socket.recv(&mut answer).await?;
        // The first two bytes name the question.
        if answer.get(..2) == question.get(..2) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn relay_connections(listener: TcpListener, tasks: Tasks, resolvers: Resolvers) {
    let room = Room::new(CONNECTIONS);
    loop {
        let accepted = tokio::select! {
            () = tasks.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        let (mut asker, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(error = %error, "dns accept");
                tokio::time::sleep(ANSWER_WAIT).await;
                continue;
            }
        };
        let Some(place) = room.try_enter(address.ip()) else {
            continue;
        };
        let resolvers = Arc::clone(&resolvers);
        tasks.spawn("dns connection", async move {
            let relay = async {
                let resolver = resolvers().into_iter().next()?;
                let mut theirs = TcpStream::connect(resolver).await.ok()?;
                tokio::io::copy_bidirectional(&mut asker, &mut theirs)
                    .await
                    .ok()
            };
            timeout(CONNECTION_WAIT, relay).await.ok();
            drop(place);
        });
    }
}

fn host_resolvers() -> Vec<SocketAddr> {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    parse_resolvers(&text)
}

fn parse_resolvers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            line.strip_prefix("nameserver")?
                .trim()
                .parse::<IpAddr>()
                .ok()
        })
        .take(RESOLVERS_MAX)
        .map(|address| SocketAddr::new(address, PORT))
        .collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A loopback address that nobody else uses, so that a port that is free for packets is free
    /// for connections too.
    fn own_loopback() -> Ipv4Addr {
        let [a, b, c, ..] = *sebring_core::id::SandboxId::random().as_uuid().as_bytes();
        Ipv4Addr::new(127, a | 1, b, c | 1)
    }

    #[tokio::test]
    async fn questions_and_answers_pass_unchanged_by_packet_and_by_connection() {
        let local = SocketAddr::from((own_loopback(), 0));
        let resolver = UdpSocket::bind(local).await.unwrap();
        let address = resolver.local_addr().unwrap();
        let stream_resolver = TcpListener::bind(address).await.unwrap();
        // The first one in the list is silent; nobody listens there.
        let silent = UdpSocket::bind(local).await.unwrap().local_addr().unwrap();
        let tasks = Tasks::new();
        let list = move || vec![silent, address];
        let packets = relay(local, &tasks, Arc::new(list)).await.unwrap();
        let list = move || vec![address];
        let connections = relay(local, &tasks, Arc::new(list)).await.unwrap();

        let asker = UdpSocket::bind(local).await.unwrap();
        asker.send_to(b"\x12\x34question", packets).await.unwrap();
        let mut buffer = [0; 64];
        let (length, from) = resolver.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"\x12\x34question");
        resolver.send_to(b"\x99\x99forged", from).await.unwrap();
        resolver.send_to(b"\x12\x34answer", from).await.unwrap();
        let (length, _) = asker.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"\x12\x34answer");

        let mut asker = TcpStream::connect(connections).await.unwrap();
        let (mut theirs, _) = stream_resolver.accept().await.unwrap();
        asker.write_all(b"question").await.unwrap();
        theirs.read_exact(&mut buffer[..8]).await.unwrap();
        theirs.write_all(b"answer!!").await.unwrap();
        asker.read_exact(&mut buffer[..8]).await.unwrap();
        assert_eq!(&buffer[..8], b"answer!!");
        drop((asker, theirs));
        tasks.shutdown().await;
    }

    #[test]
    fn one_that_asks_too_much_leaves_room_for_others() {
        let room = Room::new(Bounds { total: 5, each: 3 });
        let address = |last| IpAddr::from([10, 213, 0, last]);
        let enter = |last| room.try_enter(address(last));
        let mut greedy = [enter(2), enter(2), enter(2)];
        assert!(greedy.iter().all(Option::is_some));
        assert!(enter(2).is_none());
        let others = [enter(3), enter(4)];
        assert!(others.iter().all(Option::is_some));
        assert!(enter(5).is_none(), "full");
        greedy[0].take();
        assert!(enter(2).is_some());
        drop((greedy, others));
        assert!(room.taken.lock().is_empty());
    }

    #[test]
    fn resolvers_are_read_as_the_c_library_reads_them() {
        let text =
            "# comment\nsearch x\nnameserver 127.0.0.53\nnameserver\tfd00::1\nnameserver bad\n";
        let expected = [
            "127.0.0.53:53".parse().unwrap(),
            "[fd00::1]:53".parse().unwrap(),
        ];
        assert_eq!(parse_resolvers(text), expected);
    }
}
