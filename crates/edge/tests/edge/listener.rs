//! Bytes on the wire: repair of targets, bounds, and an orderly end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::directory::KEY;
use crate::support::{Ask, SOON, World, world, world_with};

impl World {
    async fn raw(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

/// Reads until the server closes.
async fn to_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text);
    tokio::time::timeout(SOON, read).await.unwrap().unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn raw_quotes_in_a_query_are_understood_however_they_arrive() {
    let world = world().await;
    let request = "GET /api/sandbox?labels={\"e2e\":\"true\"} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for step in [1, 7, request.len()] {
        let mut stream = world.raw().await;
        for piece in request.as_bytes().chunks(step) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            answer.ends_with("api GET /api/sandbox?labels={%22e2e%22:%22true%22}"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn requests_after_bodies_on_one_connection_are_repaired_and_bodies_are_not() {
    let world = world().await;
    let (target, key) = (world.toolbox("/x"), format!("authorization: Bearer {KEY}"));
    let fixed = format!(
        "POST {target}?a=\" HTTP/1.1\r\nhost: x\r\n{key}\r\ncontent-length: 12\r\n\r\nGET /\" HTTP/"
    );
    let chunked = format!(
        "POST {target}?b=\" HTTP/1.1\r\nhost: x\r\n{key}\r\ntransfer-encoding: chunked\r\n\r\n6\r\nGET /\"\r\n0\r\n\r\n"
    );
    let last =
        format!("GET {target}?c=\" HTTP/1.1\r\nhost: x\r\n{key}\r\nconnection: close\r\n\r\n");
    let mut stream = world.raw().await;
    stream
        .write_all(format!("{fixed}{chunked}{last}").as_bytes())
        .await
        .unwrap();
    let answers = to_end(&mut stream).await;
    for (target, body) in [("a", "GET /\\\" HTTP/"), ("b", "GET /\\\""), ("c", "")] {
        assert!(
            answers.contains(&format!("\"target\":\"/x?{target}=%22\"")),
            "{answers}"
        );
        assert!(
            answers.contains(&format!("\"body\":\"{body}\"")),
            "{answers}"
        );
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let world = world().await;
    let mut stream = world.raw().await;
    let head = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nbig: {}\r\n\r\n",
        "x".repeat(200 * 1024)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_cut_off_and_an_idle_connection_is_not() {
    let world = world().await;
    let mut slow = world.raw().await;
    slow.write_all(b"GET / HTT").await.unwrap();
    let mut idle = world.raw().await;
    idle.write_all(b"GET /api HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(to_end(&mut slow).await, "");
    let still_open = tokio::time::timeout(Duration::from_millis(1), async {
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await
    });
    assert!(still_open.await.is_err());
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let world = world_with(|config| config.connections_max = 1).await;
    let mut first = world.raw().await;
    first
        .write_all(b"GET /api HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let answer = to_end(&mut world.raw().await).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{answer}"
    );
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["statusCode"], 503);
}

#[tokio::test]
async fn a_stop_lets_a_request_in_flight_finish() {
    let world = world().await;
    let mut client = world.client().await;
    client.ready().await.unwrap();
    let (target, mut slow) = (world.toolbox("/echo"), world.raw().await);
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 4\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(b"ab").await.unwrap();
    let mut begun = [0; 12];
    slow.read_exact(&mut begun).await.unwrap();
    // The upstream must outlive the edge here, so only the edge's listener is asked to stop.
    let stopping = world.tasks.clone();
    let stop = tokio::time::timeout(SOON, stopping.shutdown());
    let finish = async {
        slow.write_all(b"cd").await.unwrap();
        to_end(&mut slow).await
    };
    let (stopped, answer) = tokio::join!(stop, finish);
    stopped.unwrap();
    assert!(answer.ends_with("abcd"), "{answer}");
    assert!(TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn a_request_over_http_1_0_is_answered_and_closed() {
    let world = world().await;
    let mut stream = world.raw().await;
    stream
        .write_all(b"GET /api/x HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    let answer = to_end(&mut stream).await;
    assert!(answer.ends_with("api GET /api/x"), "{answer}");
    world.ask(Ask::get("/api")).await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_before_it_sends() {
    let world = world().await;
    let mut stream = world.raw().await;
    let target = world.toolbox("/count");
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: 3\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    let answer = to_end(&mut stream).await;
    assert!(answer.ends_with("\r\n\r\n3"), "{answer}");
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_reach_the_sandbox() {
    let world = world().await;
    let (target, key) = (world.toolbox("/x"), format!("authorization: Bearer {KEY}"));
    for both in [
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 3",
    ] {
        let mut stream = world.raw().await;
        let request = format!(
            "POST {target} HTTP/1.1\r\nhost: x\r\n{key}\r\n{both}\r\nconnection: close\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = to_end(&mut stream).await;
        let is_refused = answer.starts_with("HTTP/1.1 400");
        let is_clean =
            answer.contains("\"body\":\"abcde\"") && !answer.contains("\"content-length\":");
        assert!(is_refused || is_clean, "{answer}");
    }
}

#[tokio::test]
async fn chunks_that_are_framed_wrong_are_the_clients_fault() {
    let world = world().await;
    let mut stream = world.raw().await;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
         transfer-encoding: chunked\r\n\r\n2\r\nab\r\nZZ\r\n",
        world.toolbox("/echo")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("chunks are not framed"), "{answer}");
}
