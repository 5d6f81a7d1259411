//! The toolbox path: what arrives inside, and what comes back.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::Method;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::directory::KEY;
use crate::support::{Ask, SOON, World, world};

#[tokio::test]
async fn the_toolbox_sees_its_own_path_with_every_byte_as_sent() {
    let world = world().await;
    let target = world.toolbox("/process/session/s%2F1?path=a+b%20c&x=%7e");
    let answer = world.ask(Ask::get(&target).with_key()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json()["target"],
        "/process/session/s%2F1?path=a+b%20c&x=%7e"
    );
}

#[tokio::test]
async fn no_credential_of_ours_reaches_the_toolbox_and_clients_headers_do() {
    let world = world().await;
    let target = world.toolbox("/x?a=1&DAYTONA_SANDBOX_AUTH_KEY=preview-token&b=%2F");
    let ask = Ask::get(&target)
        .with_key()
        .header("x-daytona-preview-token", "preview-token")
        .header("x-daytona-sdk-version", "0.226.1")
        .header("cookie", "daytona-sandbox-auth-x=1; own=2");
    let seen = world.ask(ask).await.json();
    assert_eq!(seen["target"], "/x?a=1&b=%2F");
    let headers = &seen["headers"];
    assert_eq!(headers["x-daytona-sdk-version"], "0.226.1");
    assert_eq!(headers["cookie"], "own=2");
    assert!(headers.get("authorization").is_none());
    assert!(headers.get("x-daytona-preview-token").is_none());
}

#[tokio::test]
async fn a_body_arrives_whole_and_a_sandbox_can_be_called_by_name() {
    let world = world().await;
    let ask = Ask::new(Method::POST, "/toolbox/by-name/process/execute").with_key();
    let seen = world.ask(ask.body("{\"command\":\"x\"}")).await.json();
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["body"], "{\"command\":\"x\"}");
}

#[tokio::test]
async fn the_legacy_path_under_the_api_reaches_the_same_toolbox() {
    let world = world().await;
    let target = format!("/api/toolbox/{}/toolbox/files?path=x", world.sandbox);
    let answer = world.ask(Ask::get(&target).with_key()).await;
    assert_eq!(answer.json()["target"], "/files?path=x");
}

#[tokio::test]
async fn what_the_toolbox_serves_to_us_alone_is_refused_to_clients() {
    let world = world().await;
    for path in [
        "/_sebring/limits",
        "/%5Fsebring/tcp/80",
        "//_sebring/limits",
    ] {
        let ask = Ask::new(Method::PUT, &world.toolbox(path)).with_key();
        let answer = world.ask(ask).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.json()["code"], "NOT_FOUND", "{path}");
    }
    let legacy = format!("/api/toolbox/{}/toolbox/_sebring/tcp/80", world.sandbox);
    let answer = world.ask(Ask::new(Method::POST, &legacy).with_key()).await;
    assert_eq!(answer.status, 404);
    // A program behind a port may call its routes what it likes.
    let target = world.toolbox("/proxy/80/_sebring/limits");
    let answer = world.ask(Ask::get(&target).with_key()).await;
    assert_eq!(answer.json()["target"], "/proxy/80/_sebring/limits");
}

#[tokio::test]
async fn everything_else_is_the_apis() {
    let world = world().await;
    let answer = world.ask(Ask::get("/api/sandbox?x=1")).await;
    assert_eq!(answer.text(), "api GET /api/sandbox?x=1");
}

#[tokio::test]
async fn a_redirect_stays_under_the_clients_path() {
    let world = world().await;
    let answer = world
        .ask(Ask::get(&world.toolbox("/redirect")).with_key())
        .await;
    assert_eq!(answer.status, 301);
    assert_eq!(answer.headers["location"], world.toolbox("/files?a=%2F"));
}

#[tokio::test]
async fn a_large_body_streams_both_ways() {
    const SIZE: usize = 64 * 1024 * 1024;
    let world = world().await;
    let upload = Ask::new(Method::POST, &world.toolbox("/count")).with_key();
    let answer = world.ask(upload.body(vec![b'x'; SIZE])).await;
    assert_eq!(answer.text(), SIZE.to_string());
    let target = world.toolbox(&format!("/bytes/{SIZE}"));
    let answer = world.ask(Ask::get(&target).with_key()).await;
    assert_eq!(answer.body.len(), SIZE);
    assert_eq!(answer.headers["content-length"], SIZE.to_string());
    let echo = Ask::new(Method::PUT, &world.toolbox("/echo")).with_key();
    let answer = world.ask(echo.body(vec![b'y'; SIZE])).await;
    assert_eq!(answer.body.len(), SIZE);
}

#[tokio::test]
async fn the_first_bytes_of_a_stream_are_not_held_back() {
    let world = world().await;
    let mut answer = world
        .open(Ask::get(&world.toolbox("/endless")).with_key())
        .await;
    let frame = tokio::time::timeout(SOON, answer.frame()).await.unwrap();
    assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), "first\n");
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed_inside_the_sandbox() {
    let world = world().await;
    let mut client = world.client().await;
    let request = Ask::get(&world.toolbox("/endless"))
        .with_key()
        .into_request();
    let answer = client.send_request(request).await.unwrap();
    drop((answer, client));
    let noticed = tokio::time::timeout(SOON, world.upstream.dropped.acquire()).await;
    noticed
        .expect("the upstream's body was dropped")
        .unwrap()
        .forget();
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_is_read_reaches_the_client() {
    let world = world().await;
    let upload = Ask::new(Method::POST, &world.toolbox("/early")).with_key();
    let answer = world.ask(upload.body(vec![b'x'; 32 << 20])).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_as_complete() {
    let world = world().await;
    let answer = world
        .open(Ask::get(&world.toolbox("/broken")).with_key())
        .await;
    assert_eq!(answer.status(), 200);
    assert!(answer.into_body().collect().await.is_err());
}

#[tokio::test]
async fn one_client_connection_carries_many_requests() {
    let world = world().await;
    let mut client = world.client().await;
    for turn in 0..50 {
        let target = world.toolbox(&format!("/turn/{turn}"));
        client.ready().await.unwrap();
        let answer = client.send_request(Ask::get(&target).with_key().into_request());
        let body = answer.await.unwrap().collect().await.unwrap().to_bytes();
        let seen: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(seen["target"], format!("/turn/{turn}"));
    }
}

#[tokio::test]
async fn a_web_socket_passes_with_its_subprotocols_messages_and_close_code() {
    let world = world().await;
    let url = format!("ws://edge.test{}", world.toolbox("/ws"));
    let mut request = url.into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("authorization", format!("Bearer {KEY}").parse().unwrap());
    headers.insert(
        "sec-websocket-protocol",
        "X-Daytona-SDK-Version~1, X-Daytona-Pty-Exit-Control"
            .parse()
            .unwrap(),
    );
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut socket, response) = client_async(request, stream).await.unwrap();
    assert_eq!(
        response.headers()["sec-websocket-protocol"],
        "X-Daytona-Pty-Exit-Control"
    );
    for message in [Message::text("hi"), Message::binary(vec![1_u8; 300_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.send(Message::text("close")).await.unwrap();
    let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else {
        panic!("expected a close frame");
    };
    assert_eq!(u16::from(frame.code), 4008);
    assert_eq!(frame.reason.as_str(), "{\"exitCode\":7}");
}

#[tokio::test]
async fn an_upgrade_that_the_toolbox_declines_is_an_ordinary_answer() {
    let world = world().await;
    let ask = Ask::get(&world.toolbox("/no-such-socket"))
        .with_key()
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let seen = world.ask(ask).await.json();
    assert_eq!(seen["headers"]["upgrade"], "websocket");
}

#[tokio::test]
async fn a_toolbox_that_restarted_is_reached_again_at_the_first_try() {
    let world = world().await;
    let target = world.toolbox("/x");
    let mut client = world.client().await;
    let first = client.send_request(Ask::get(&target).with_key().into_request());
    first.await.unwrap().collect().await.unwrap();
    // The kept connection now leads to a toolbox that is gone; another one took its place.
    let tasks = sebring_tasks::Tasks::new();
    let other = crate::upstream::start(&tasks).await;
    std::fs::rename(&other.socket, &world.upstream.socket).unwrap();
    let answer = world.ask(Ask::get(&target).with_key()).await;
    assert_eq!(answer.status, 200);
    tasks.shutdown().await;
}

/// A server that closes after each answer without having said so.
async fn rude_toolbox(world: &World) -> PathBuf {
    let socket = world.upstream.socket.with_extension("rude");
    let listener = UnixListener::bind(&socket).unwrap();
    let stop = world.tasks.stop_token();
    world.tasks.spawn("rude toolbox", async move {
        while let Some(Ok((mut stream, _))) = stop.run_until_cancelled(listener.accept()).await {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            if read > 0 {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    socket
}

#[tokio::test]
async fn a_request_that_cannot_be_repeated_is_not_sent_on_a_closed_connection() {
    let world = world().await;
    let socket = rude_toolbox(&world).await;
    world
        .facts
        .change(world.sandbox, |route| route.toolbox_socket = Some(socket));
    for _ in 0..20 {
        let ask = Ask::new(Method::POST, &world.toolbox("/process/execute")).with_key();
        assert_eq!(world.ask(ask.body("{}")).await.status, 200);
    }
}

#[tokio::test]
async fn answers_without_bodies_leave_the_connection_usable() {
    let world = world().await;
    for _ in 0..3 {
        let head = Ask::new(Method::HEAD, &world.toolbox("/bytes/5")).with_key();
        let answer = world.ask(head).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
        assert_eq!(answer.headers["content-length"], "5");
        let empty = world.ask(Ask::get(&world.toolbox("/bytes/0")).with_key());
        assert_eq!(empty.await.status, 200);
    }
}

#[tokio::test]
async fn a_long_request_keeps_its_sandbox_awake() {
    let world = world().await;
    let answer = world.open(Ask::get(&world.toolbox("/endless")).with_key());
    let answer = answer.await;
    assert_eq!(world.facts.touches(world.sandbox), 1);
    tokio::time::pause();
    for minutes in 1..4 {
        tokio::time::advance(Duration::from_secs(60)).await;
        tokio::task::yield_now().await;
        assert!(world.facts.touches(world.sandbox) > minutes);
    }
    drop(answer);
    tokio::time::resume();
    let noticed = tokio::time::timeout(SOON, world.upstream.dropped.acquire()).await;
    noticed.unwrap().unwrap().forget();
    tokio::time::pause();
    let before = world.facts.touches(world.sandbox);
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::task::yield_now().await;
    assert_eq!(world.facts.touches(world.sandbox), before);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed_after_a_while() {
    let world = world().await;
    let socket = world.upstream.socket.with_extension("idle");
    let listener = UnixListener::bind(&socket).unwrap();
    let closed = world.tasks.spawn("patient toolbox", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let mut served = 0;
        while stream.read(&mut request).await.unwrap() > 0 {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
            served += 1;
        }
        served
    });
    world
        .facts
        .change(world.sandbox, |route| route.toolbox_socket = Some(socket));
    for _ in 0..3 {
        let answer = world.ask(Ask::get(&world.toolbox("/x")).with_key());
        assert_eq!(answer.await.text(), "ok");
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(40)).await;
    tokio::time::resume();
    let served = tokio::time::timeout(SOON, closed).await.unwrap().unwrap();
    assert_eq!(served, Some(3), "all on the one connection");
}
