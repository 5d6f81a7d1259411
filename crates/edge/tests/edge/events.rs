//! Socket.IO on the wire, as the published clients write it.

use futures_util::{SinkExt, StreamExt};
use sebring_edge::Event;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::directory::{FOREIGN_KEY, KEY};
use crate::support::{Ask, SOON, World, world};

const POLLING: &str = "/api/socket.io/?EIO=4&transport=polling";

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn open(world: &World) -> Self {
        let stream = TcpStream::connect(world.address).await.unwrap();
        let url = "ws://edge.test/api/socket.io/?EIO=4&transport=websocket&source=sdk-python";
        let (mut client, _) = client_async(url, stream)
            .await
            .map(|(s, r)| (Self(s), r))
            .unwrap();
        assert!(client.text().await.starts_with("0{"));
        client
    }

    async fn connected(world: &World, key: &str) -> Self {
        let mut client = Self::open(world).await;
        client.send(&format!("40{}", json!({"token": key}))).await;
        let answer = client.text().await;
        assert!(answer.starts_with("40{\"sid\":"), "{answer}");
        client
    }

    async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next packet that is not a ping; pings are answered.
    async fn text(&mut self) -> String {
        loop {
            let message = tokio::time::timeout(SOON, self.0.next()).await.unwrap();
            let text = message.unwrap().unwrap().into_text().unwrap();
            if text.as_str() != "2" {
                return text.to_string();
            }
            self.send("3").await;
        }
    }
}

/// The packets of one polling answer, without pings.
fn packets(text: &str) -> Vec<&str> {
    text.split('\u{1e}')
        .filter(|packet| *packet != "2")
        .collect()
}

fn event(number: u32) -> Event {
    Event {
        name: "sandbox.state.updated".into(),
        payload: json!({"sandbox": {"id": number}, "newState": "started"}),
    }
}

#[tokio::test]
async fn a_client_of_the_organization_gets_its_events_from_the_connect_on() {
    let world = world().await;
    let mut client = Client::connected(&world, KEY).await;
    world.facts.events.send(event(1)).unwrap();
    let text = client.text().await;
    let packet: Value = serde_json::from_str(text.strip_prefix("42").unwrap()).unwrap();
    assert_eq!(
        packet,
        json!(["sandbox.state.updated", {"sandbox": {"id": 1}, "newState": "started"}])
    );
}

#[tokio::test]
async fn another_organization_gets_none_of_them() {
    let world = world().await;
    let mut foreign = Client::connected(&world, FOREIGN_KEY).await;
    let mut own = Client::connected(&world, KEY).await;
    world.facts.events.send(event(1)).unwrap();
    own.text().await;
    // An answer to something sent after the event: nothing came before it.
    foreign.send("40/unknown,{}").await;
    assert!(foreign.text().await.starts_with("44/unknown"));
}

#[tokio::test]
async fn a_bad_token_or_none_is_a_connect_error() {
    let world = world().await;
    for connect in ["40{\"token\":\"nobody\"}", "40", "40{\"token\":7}"] {
        let mut client = Client::open(&world).await;
        client.send(connect).await;
        let answer = client.text().await;
        assert!(
            answer.starts_with("44{\"message\":\"Invalid credentials"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_client_that_missed_events_is_told_and_disconnected() {
    let world = world().await;
    let mut client = Client::connected(&world, KEY).await;
    // One task runs at a time here, so nothing is forwarded until all are sent: far more than
    // the directory keeps for one subscriber.
    for number in 0..100 {
        world.facts.events.send(event(number)).unwrap();
    }
    let mut last = client.text().await;
    while last.starts_with("42[\"sandbox.") {
        last = client.text().await;
    }
    assert!(last.starts_with("42[\"connection.closing\""), "{last}");
    assert_eq!(client.text().await, "41");
}

#[tokio::test]
async fn polling_works_too() {
    let world = world().await;
    let open = world.ask(Ask::get(POLLING)).await;
    let handshake: Value = serde_json::from_str(&open.text()[1..]).unwrap();
    let session = format!("{POLLING}&sid={}", handshake["sid"].as_str().unwrap());
    let connect = Ask::new(http::Method::POST, &session);
    let connect = connect.body(format!("40{}", json!({"token": KEY})));
    assert_eq!(world.ask(connect).await.text(), "ok");
    let answer = world.ask(Ask::get(&session)).await;
    assert!(
        packets(answer.text())[0].starts_with("40{"),
        "{}",
        answer.text()
    );
    world.facts.events.send(event(3)).unwrap();
    let answer = world.ask(Ask::get(&session)).await;
    assert!(packets(answer.text())[0].starts_with("42[\"sandbox.state.updated\""));
}
