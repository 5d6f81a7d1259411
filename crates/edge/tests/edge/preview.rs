//! Previews: hosts, credentials of browsers, and programs inside.

use futures_util::{SinkExt, StreamExt};
use http::Method;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::directory::{KEY, SIGNED_TOKEN, TOKEN};
use crate::support::{Answer, Ask, World, world};

impl World {
    async fn see(&self, ask: Ask) -> Answer {
        self.ask(ask.header("host", &self.preview_host())).await
    }
}

#[tokio::test]
async fn a_private_preview_is_401_as_json_and_as_a_page() {
    let world = world().await;
    let answer = world.see(Ask::get("/")).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["source"], "DAYTONA_PROXY");
    let page = world
        .see(Ask::get("/").header("accept", "text/html,*/*"))
        .await;
    assert_eq!(page.status, 401);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(page.text().contains("<p>This preview is private"));
}

#[tokio::test]
async fn a_key_opens_a_preview_and_stays_outside() {
    let world = world().await;
    let answer = world.see(Ask::get("/a%2Fb?c=%7e").with_key()).await;
    let seen = answer.json();
    assert_eq!(seen["target"], "/a%2Fb?c=%7e");
    assert!(seen["headers"].get("authorization").is_none());
    assert_eq!(seen["headers"]["host"], world.preview_host());
    assert_eq!(seen["headers"]["x-forwarded-host"], world.preview_host());
    assert_eq!(seen["headers"]["x-forwarded-for"], "127.0.0.1");
    assert_eq!(seen["headers"]["x-forwarded-proto"], "http");
}

#[tokio::test]
async fn a_public_preview_is_open_and_the_programs_own_authorization_passes() {
    let world = world().await;
    world
        .facts
        .change(world.sandbox, |route| route.public = true);
    let ask = Ask::get("/").header("authorization", "Bearer programs-own");
    let seen = world.see(ask).await.json();
    assert_eq!(seen["headers"]["authorization"], "Bearer programs-own");
    let seen = world.see(Ask::get("/").with_key()).await.json();
    assert!(seen["headers"].get("authorization").is_none());
}

#[tokio::test]
async fn reserved_ports_stay_private_in_a_public_sandbox() {
    let world = world().await;
    world
        .facts
        .change(world.sandbox, |route| route.public = true);
    for port in [2280, 22222, 33333] {
        let host = format!("{port}-{}.localhost", world.sandbox);
        let answer = world.ask(Ask::get("/").header("host", &host)).await;
        assert_eq!(answer.status, 401, "{port}");
    }
}

#[tokio::test]
async fn the_toolboxs_well_known_port_leads_to_the_toolbox() {
    let world = world().await;
    let host = format!("2280-{}.localhost", world.sandbox);
    let answer = world
        .ask(Ask::get("/version").with_key().header("host", &host))
        .await;
    assert_eq!(answer.json()["target"], "/version");
}

#[tokio::test]
async fn the_terminals_page_is_ours_and_only_its_socket_leads_inside() {
    let world = world().await;
    let host = format!("22222-{}.localhost", world.sandbox);
    let ask = |path: &str| Ask::get(path).with_key().header("host", &host);
    let page = world.ask(ask("/")).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    for file in [
        "/xterm.mjs",
        "/addon-fit.mjs",
        "/terminal.mjs",
        "/xterm.css",
    ] {
        assert_eq!(world.ask(ask(file)).await.status, 200, "{file}");
    }
    assert_eq!(world.ask(ask("/version")).await.status, 404);
    let socket = world.ask(ask("/ws?cols=80&rows=24")).await;
    assert_eq!(
        socket.json()["target"],
        "/_sebring/terminal?cols=80&rows=24"
    );
}

#[tokio::test]
async fn the_page_of_recordings_is_ours_and_what_it_asks_for_is_the_toolboxs() {
    let world = world().await;
    let host = format!("33333-{}.localhost", world.sandbox);
    let ask = |method, path: &str| {
        let ask = Ask::new(method, path).with_key();
        world.ask(ask.header("host", &host))
    };
    for file in ["/", "/recordings.mjs", "/recordings.css"] {
        let answer = ask(Method::GET, file).await;
        assert_eq!(answer.status, 200, "{file}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    for (method, asked, inside) in [
        (Method::GET, "/api/recordings", "/_sebring/recordings"),
        (Method::DELETE, "/api/recordings", "/_sebring/recordings"),
        (
            Method::GET,
            "/videos/a%2Fb.mp4",
            "/_sebring/recordings/a%2Fb.mp4",
        ),
        (Method::GET, "/videos/..", "/_sebring/recordings/.."),
    ] {
        let answer = ask(method, asked).await;
        assert_eq!(answer.json()["target"], inside);
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(!policy.contains("script-src"), "{policy}");
    }
    for (method, path) in [
        (Method::GET, "/version"),
        (Method::GET, "/videos/"),
        (Method::GET, "/videos/../limits"),
        (Method::DELETE, "/videos/a.mp4"),
        (Method::POST, "/"),
    ] {
        assert_eq!(ask(method, path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_toolboxs_port_leads_to_no_route_between_us_and_it() {
    let world = world().await;
    let host = format!("2280-{}.localhost", world.sandbox);
    for path in ["/_sebring/limits", "//_sebring/tcp/80", "/%5Fsebring/x"] {
        let ask = Ask::new(Method::PUT, path).with_key();
        let answer = world.ask(ask.header("host", &host)).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_token_in_the_query_opens_is_cut_out_and_leaves_a_cookie_that_opens_again() {
    let world = world().await;
    let target = format!("/p?x=1&DAYTONA_SANDBOX_AUTH_KEY={TOKEN}");
    let page = format!("http://{}{target}", world.preview_host());
    let answer = world.see(Ask::get(&target).header("referer", &page)).await;
    assert_eq!(answer.json()["target"], "/p?x=1");
    let referer = answer.json()["headers"]["referer"].clone();
    assert_eq!(referer, format!("http://{}/p?x=1", world.preview_host()));
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with(&format!("daytona-sandbox-auth-{}=", world.sandbox)));
    assert!(cookie.contains("HttpOnly"), "{cookie}");
    let pair = format!("own=1; {}", cookie.split(';').next().unwrap());

    let answer = world.see(Ask::get("/q").header("cookie", &pair)).await;
    assert_eq!(answer.json()["headers"]["cookie"], "own=1");
    let sibling = Ask::new(Method::POST, "/q").header("cookie", &pair);
    let sibling = sibling.header("origin", "http://3000-other.localhost");
    assert_eq!(world.see(sibling).await.status, 401);
    let itself = Ask::new(Method::POST, "/q").header("cookie", &pair);
    let itself = itself.header("origin", &format!("http://{}", world.preview_host()));
    assert_eq!(world.see(itself).await.status, 200);
}

#[tokio::test]
async fn a_signed_token_in_the_host_opens_its_port_only() {
    let world = world().await;
    *world.facts.signed_port.lock() = world.upstream.port;
    let host = format!("{}-{SIGNED_TOKEN}.localhost", world.upstream.port);
    let answer = world.ask(Ask::get("/s").header("host", &host)).await;
    assert_eq!(answer.json()["target"], "/s");
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with(&format!("daytona-sandbox-auth-{SIGNED_TOKEN}=")));
    let host = format!("1-{SIGNED_TOKEN}.localhost");
    assert_eq!(
        world.ask(Ask::get("/s").header("host", &host)).await.status,
        401
    );
    let host = format!("{}-expired000000000.localhost", world.upstream.port);
    assert_eq!(
        world.ask(Ask::get("/s").header("host", &host)).await.status,
        401
    );
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_502_and_names_those_that_do() {
    let world = world().await;
    let host = format!("1-{}.localhost", world.sandbox);
    let answer = world
        .ask(Ask::get("/").with_key().header("host", &host))
        .await;
    assert_eq!(answer.status, 502);
    let body = answer.json();
    assert_eq!(body["code"], "PORT_NOT_LISTENING");
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("3000, 8080"), "{message}");
}

#[tokio::test]
async fn requests_to_a_port_share_kept_connections() {
    let world = world().await;
    for _ in 0..20 {
        assert_eq!(world.see(Ask::get("/x").with_key()).await.status, 200);
    }
    let upload = Ask::new(Method::POST, "/count").with_key();
    let answer = world.see(upload.body(vec![b'x'; 8 << 20])).await;
    assert_eq!(answer.text(), (8 << 20).to_string());
}

#[tokio::test]
async fn a_web_socket_reaches_the_program() {
    let world = world().await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let target = format!("/ws?DAYTONA_SANDBOX_AUTH_KEY={TOKEN}");
    let url = format!("ws://{}{target}", world.preview_host());
    let (mut socket, _) = client_async(url, stream).await.unwrap();
    socket.send(Message::text("hi")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hi"));
}

#[tokio::test]
async fn a_programs_own_sharing_policy_stands_and_a_preflight_needs_no_credentials() {
    let world = world().await;
    let own = Ask::get("/own-cors")
        .with_key()
        .header("origin", "https://p");
    let answer = world.see(own).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "https://own");
    let silent = Ask::get("/x").with_key().header("origin", "https://p");
    let answer = world.see(silent).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let preflight = Ask::new(Method::OPTIONS, "/x")
        .header("origin", "https://p")
        .header("access-control-request-method", "GET");
    assert_eq!(world.see(preflight).await.status, 204);
}

#[tokio::test]
async fn a_foreign_key_sees_no_preview() {
    let world = world().await;
    let foreign = format!("Bearer {}", crate::directory::FOREIGN_KEY);
    let answer = world
        .see(Ask::get("/").header("authorization", &foreign))
        .await;
    assert_eq!(answer.status, 404);
    let named = format!("{}-by-name.localhost", world.upstream.port);
    let ask = Ask::get("/").header("authorization", &format!("Bearer {KEY}"));
    assert_eq!(world.ask(ask.header("host", &named)).await.status, 200);
}
