//! What the edge costs, against a trivial upstream on a unix socket, on this machine, now:
//! `cargo run --release -p sebring-edge --example throughput`.
//!
//! Client, edge and upstream run in one process on runtimes of their own and share the cores, so
//! the figures are lower bounds. The first line of each kind is the upstream without the edge.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all, ready};
use futures_util::stream::{self, BoxStream, StreamExt};
use sebring_core::clock::{Clock, Timestamp};
use sebring_core::id::{OrganizationId, SandboxId};
use sebring_edge::{
    Config, Directory, Edge, Event, Missed, PreviewGrant, Principal, SandboxRoute, Secret,
    Unavailable,
};
use sebring_tasks::Tasks;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};

const CLIENTS: usize = 32;
const REQUESTS_EACH: usize = 4000;
const BULK_SIZE: usize = 2 << 30;
const CHUNK: usize = 256 * 1024;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), AnyError> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("toolbox.sock");
    let upstream = Builder::new_current_thread().enable_all().build()?;
    let unix = upstream.block_on(async { UnixListener::bind(&socket) })?;
    let program = upstream.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let program_port = program.local_addr()?.port();
    let tasks = Tasks::new();
    let serving = tasks.clone();
    thread::spawn(move || upstream.block_on(serve_upstream(unix, program, serving)));

    let (edge, route) = (
        Builder::new_multi_thread().enable_all().build()?,
        route(&socket),
    );
    let id = route.id;
    let listener = edge.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    edge.spawn(self::edge(route).serve(listener, tasks));

    let client = Builder::new_current_thread().enable_all().build()?;
    let toolbox = format!("/toolbox/{id}");
    let preview = format!("{program_port}-{id}.localhost");
    let unix = || UnixStream::connect(&socket);
    let tcp = || TcpStream::connect(address);
    small(&client, "direct", unix, "", "x")?;
    small(&client, "toolbox", tcp, &toolbox, "x")?;
    small(&client, "preview", tcp, "", &preview)?;
    round_trip(&client, "direct", unix, "", "x")?;
    round_trip(&client, "toolbox", tcp, &toolbox, "x")?;
    round_trip(&client, "preview", tcp, "", &preview)?;
    bulk(&client, "direct", unix, "", "x")?;
    bulk(&client, "toolbox", tcp, &toolbox, "x")?;
    bulk(&client, "preview", tcp, "", &preview)?;
    Ok(())
}

fn edge(route: SandboxRoute) -> Edge {
    let config = Config {
        api_path: "/api".into(),
        preview_domain: "localhost".into(),
        previews_are_https: false,
        cookie_key: Secret(vec![1; 32]),
        connections_max: 4096,
        clock: Arc::new(Still),
    };
    Edge::new(config, Arc::new(OneSandbox(route)), Router::new())
}

fn route(socket: &Path) -> SandboxRoute {
    SandboxRoute {
        id: SandboxId::random(),
        organization: OrganizationId::random(),
        state: "started".into(),
        toolbox_socket: Some(PathBuf::from(socket)),
        public: false,
        auth_token: Secret("t".into()),
        signing_key: Secret("k".into()),
    }
}

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(0)
    }
}

struct OneSandbox(SandboxRoute);

impl Directory for OneSandbox {
    fn authenticate<'a>(
        &'a self,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<Principal>, Unavailable>> {
        let principal = Principal {
            organization: self.0.organization,
            user: "u".into(),
        };
        ready(Ok(Some(principal))).boxed()
    }

    fn sandbox<'a>(
        &'a self,
        _: Option<OrganizationId>,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<SandboxRoute>, Unavailable>> {
        ready(Ok(Some(self.0.clone()))).boxed()
    }

    fn preview_token<'a>(
        &'a self,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<PreviewGrant>, Unavailable>> {
        ready(Ok(None)).boxed()
    }

    fn touch(&self, _: SandboxId) {}

    fn subscribe(&self, _: OrganizationId) -> BoxStream<'static, Result<Event, Missed>> {
        stream::pending().boxed()
    }
}

/// The least an HTTP server can do: reads a head, then counts or sends bytes.
async fn serve_upstream(unix: UnixListener, program: TcpListener, tasks: Tasks) {
    loop {
        tokio::select! {
            Ok((stream, _)) = unix.accept() => { tasks.spawn("unix", serve_stream(stream)); }
            Ok((stream, _)) = program.accept() => {
                stream.set_nodelay(true).ok();
                tasks.spawn("tcp", serve_stream(stream));
            }
        }
    }
}

async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin + Send>(mut stream: S) {
    let mut buffer = vec![0; CHUNK];
    let mut filled = 0;
    loop {
        let Some(end) = head_end(&buffer[..filled]) else {
            match stream.read(&mut buffer[filled..]).await {
                Ok(0) | Err(_) => return,
                Ok(count) => filled += count,
            }
            continue;
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        if let Some(port) = head.strip_prefix("POST /_sebring/tcp/") {
            let port = port.split(' ').next().and_then(|port| port.parse().ok());
            return open_port(stream, port.unwrap_or(0)).await;
        }
        let length = content_length(&head);
        let mut left = length.saturating_sub(filled - end);
        while left > 0 {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
        filled = 0;
        let size = if head.starts_with("GET /bulk") {
            BULK_SIZE
        } else {
            2
        };
        if answer(&mut stream, size, &buffer).await.is_err() {
            return;
        }
    }
}

async fn answer<S: AsyncWrite + Unpin>(
    stream: &mut S,
    size: usize,
    chunk: &[u8],
) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
    if size <= 2 {
        return stream.write_all(format!("{head}ok").as_bytes()).await;
    }
    stream.write_all(head.as_bytes()).await?;
    let mut left = size;
    while left > 0 {
        let part = left.min(chunk.len());
        stream.write_all(&chunk[..part]).await?;
        left -= part;
    }
    Ok(())
}

async fn open_port<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, port: u16) {
    let Ok(mut program) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    program.set_nodelay(true).ok();
    let switch =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: sebring-tcp\r\n\r\n";
    if stream.write_all(switch).await.is_ok() {
        copy_bidirectional(&mut stream, &mut program).await.ok();
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| at + 4)
}

fn content_length(head: &str) -> usize {
    head.lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

/// Sends one request and reads its answer; returns how many body bytes came.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    head: &[u8],
    upload: usize,
    buffer: &mut [u8],
) -> io::Result<usize> {
    stream.write_all(head).await?;
    let mut left = upload;
    while left > 0 {
        let part = left.min(buffer.len());
        stream.write_all(&buffer[..part]).await?;
        left -= part;
    }
    let mut filled = 0;
    let end = loop {
        if let Some(end) = head_end(&buffer[..filled]) {
            break end;
        }
        let count = stream.read(&mut buffer[filled..]).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += count;
    };
    let answer = String::from_utf8_lossy(&buffer[..end]).into_owned();
    if !answer.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(answer));
    }
    let length = content_length(&answer);
    let mut left = length - (filled - end);
    while left > 0 {
        let count = stream.read(buffer).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= count;
    }
    Ok(length)
}

fn head(method: &str, prefix: &str, path: &str, host: &str, length: usize) -> Vec<u8> {
    format!(
        "{method} {prefix}{path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer k\r\n\
         user-agent: bench\r\naccept: */*\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes()
}

fn small<S, F, C>(
    client: &Runtime,
    name: &str,
    connect: C,
    prefix: &str,
    host: &str,
) -> Result<(), AnyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = io::Result<S>>,
    C: Fn() -> F,
{
    let head = head("GET", prefix, "/x", host, 0);
    let begun = Instant::now();
    let turns = client.block_on(join_all((0..CLIENTS).map(|_| async {
        let mut stream = connect().await?;
        let mut buffer = vec![0; 4096];
        let mut turns = Vec::with_capacity(REQUESTS_EACH);
        for _ in 0..REQUESTS_EACH {
            let begun = Instant::now();
            exchange(&mut stream, &head, 0, &mut buffer).await?;
            turns.push(begun.elapsed());
        }
        io::Result::Ok(turns)
    })));
    let elapsed = begun.elapsed();
    let turns = turns.into_iter().collect::<io::Result<Vec<_>>>()?.concat();
    let rate = turns.len() as u128 * 1_000_000 / elapsed.as_micros();
    report(
        &format!("{name:8} {CLIENTS} clients  {rate:6} req/s "),
        turns,
    )
}

fn round_trip<S, F, C>(
    client: &Runtime,
    name: &str,
    connect: C,
    prefix: &str,
    host: &str,
) -> Result<(), AnyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = io::Result<S>>,
    C: Fn() -> F,
{
    let head = head("GET", prefix, "/x", host, 0);
    let turns = client.block_on(async {
        let mut stream = connect().await?;
        let mut buffer = vec![0; 4096];
        let mut turns = Vec::new();
        for _ in 0..5000 {
            let begun = Instant::now();
            exchange(&mut stream, &head, 0, &mut buffer).await?;
            turns.push(begun.elapsed());
        }
        io::Result::Ok(turns)
    })?;
    report(&format!("{name:8} 1 client                "), turns)
}

fn report(what: &str, mut turns: Vec<Duration>) -> Result<(), AnyError> {
    turns.sort_unstable();
    let at = |percent: usize| turns[(turns.len() - 1) * percent / 100].as_micros();
    writeln!(
        io::stdout(),
        "{what} p50 {:5} us  p99 {:5} us  max {:6} us",
        at(50),
        at(99),
        at(100)
    )?;
    Ok(())
}

fn bulk<S, F, C>(
    client: &Runtime,
    name: &str,
    connect: C,
    prefix: &str,
    host: &str,
) -> Result<(), AnyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = io::Result<S>>,
    C: Fn() -> F,
{
    let (down, up) = (
        head("GET", prefix, "/bulk", host, 0),
        head("POST", prefix, "/x", host, BULK_SIZE),
    );
    let mut buffer = vec![0; CHUNK];
    let mut mibs = |head: &[u8], upload: usize| -> io::Result<u128> {
        let begun = Instant::now();
        client.block_on(async {
            let mut stream = connect().await?;
            exchange(&mut stream, head, upload, &mut buffer).await
        })?;
        Ok((BULK_SIZE >> 20) as u128 * 1000 / begun.elapsed().as_millis())
    };
    let (down, up) = (mibs(&down, 0)?, mibs(&up, BULK_SIZE)?);
    writeln!(
        io::stdout(),
        "{name:8} download {down:5} MiB/s  upload {up:5} MiB/s"
    )?;
    Ok(())
}
