//! Who is let in to a toolbox, and what the others are told.

use http::Method;
use serde_json::Value;

use crate::directory::{FOREIGN_KEY, TOKEN};
use crate::support::{Ask, World, world};

const DOWNLOAD: &str = "/files/download?path=%2Fhome%2Fdaytona%2Fa+b%2B%C3%BC.txt&expires=0&signature=v1_XQPtDMOFIVcuApVjX500719ulgy_mYboa3LR4KTfdCU";

async fn status(world: &World, ask: Ask) -> (u16, Value) {
    let answer = world.ask(ask).await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn no_credentials_and_wrong_ones_are_401_in_the_envelope() {
    let world = world().await;
    let target = world.toolbox("/x");
    let (code, body) = status(&world, Ask::get(&target)).await;
    assert_eq!(code, 401);
    assert_eq!(body["statusCode"], 401);
    assert_eq!(body["source"], "DAYTONA_PROXY");
    assert_eq!(body["error"], "Unauthorized");
    assert_eq!(body["method"], "GET");
    assert_eq!(body["path"], target);
    assert_eq!(body["timestamp"], "2026-11-21T08:33:20.000Z");
    for ask in [
        Ask::get(&target).header("authorization", "Bearer nobody"),
        Ask::get(&target).header("x-daytona-preview-token", "wrong"),
        Ask::get(&format!("{target}?DAYTONA_SANDBOX_AUTH_KEY=wrong")),
        Ask::get(&format!(
            "{target}?DAYTONA_SANDBOX_AUTH_KEY={TOKEN}&DAYTONA_SANDBOX_AUTH_KEY=x"
        )),
    ] {
        assert_eq!(status(&world, ask).await.0, 401);
    }
}

#[tokio::test]
async fn unknown_and_foreign_sandboxes_are_404() {
    let world = world().await;
    let unknown = sebring_core::id::SandboxId::random();
    let ask = Ask::get(&format!("/toolbox/{unknown}/x")).with_key();
    assert_eq!(status(&world, ask).await.0, 404);
    let foreign = format!("Bearer {FOREIGN_KEY}");
    let ask = Ask::get(&world.toolbox("/x")).header("authorization", &foreign);
    assert_eq!(status(&world, ask).await.0, 404);
    let ask = Ask::get("/toolbox/by-name/x").header("authorization", &foreign);
    assert_eq!(status(&world, ask).await.0, 404);
}

#[tokio::test]
async fn the_sandboxs_own_token_opens_its_toolbox_by_header_and_by_query() {
    let world = world().await;
    let target = world.toolbox("/x");
    let by_header = Ask::get(&target).header("x-daytona-preview-token", TOKEN);
    assert_eq!(status(&world, by_header).await.0, 200);
    let by_query = Ask::get(&format!("{target}?DAYTONA_SANDBOX_AUTH_KEY={TOKEN}"));
    let (code, seen) = status(&world, by_query).await;
    assert_eq!((code, &seen["target"]), (200, &Value::from("/x")));
}

#[tokio::test]
async fn a_sandbox_without_a_token_is_not_opened_by_an_empty_one() {
    let world = world().await;
    world.facts.change(world.sandbox, |route| {
        route.auth_token = sebring_edge::Secret(String::new());
    });
    let ask = Ask::get(&world.toolbox("/x")).header("x-daytona-preview-token", "");
    assert_eq!(status(&world, ask).await.0, 401);
}

#[tokio::test]
async fn a_signed_file_url_opens_that_file_only() {
    let world = world().await;
    let (code, seen) = status(&world, Ask::get(&world.toolbox(DOWNLOAD))).await;
    assert_eq!((code, &seen["target"]), (200, &Value::from(DOWNLOAD)));
    let other = DOWNLOAD.replace("daytona", "someone");
    assert_eq!(
        status(&world, Ask::get(&world.toolbox(&other))).await.0,
        401
    );
    let two = format!("{DOWNLOAD}&path=/etc/shadow");
    assert_eq!(status(&world, Ask::get(&world.toolbox(&two))).await.0, 401);
    let elsewhere = DOWNLOAD.replace("/files/download", "/files/info");
    assert_eq!(
        status(&world, Ask::get(&world.toolbox(&elsewhere))).await.0,
        401
    );
    let upload = Ask::new(Method::POST, &world.toolbox(DOWNLOAD));
    assert_eq!(status(&world, upload).await.0, 401);
}

#[tokio::test]
async fn a_sandbox_that_does_not_run_says_how_to_start_it() {
    let world = world().await;
    world.facts.change(world.sandbox, |route| {
        route.toolbox_socket = None;
        route.state = "stopped".into();
    });
    let ask = || Ask::get(&world.toolbox("/x")).with_key();
    let (code, body) = status(&world, ask()).await;
    assert_eq!(
        (code, &body["code"]),
        (400, &Value::from("SANDBOX_NOT_STARTED"))
    );
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("Is the Sandbox started?"), "{message}");
    assert!(message.contains(&format!("/api/sandbox/{}/start", world.sandbox)));
    world
        .facts
        .change(world.sandbox, |route| route.state = "starting".into());
    assert_eq!(status(&world, ask()).await.0, 409);
}

#[tokio::test]
async fn a_toolbox_that_is_not_there_is_502() {
    let world = world().await;
    world.facts.change(world.sandbox, |route| {
        route.toolbox_socket = Some("/nonexistent/toolbox.sock".into());
    });
    let (code, body) = status(&world, Ask::get(&world.toolbox("/x")).with_key()).await;
    assert_eq!(
        (code, &body["code"]),
        (502, &Value::from("SANDBOX_UNREACHABLE"))
    );
}

#[tokio::test]
async fn nobody_is_let_in_while_the_control_plane_cannot_answer() {
    let world = world().await;
    *world.facts.is_down.lock() = true;
    let ask = Ask::get(&world.toolbox("/x")).with_key();
    assert_eq!(status(&world, ask).await.0, 503);
    let ask = Ask::get("/").header("host", &world.preview_host());
    assert_eq!(status(&world, ask).await.0, 503);
}

#[tokio::test]
async fn each_let_in_request_is_activity_unless_it_asks_not_to_be() {
    let world = world().await;
    let target = world.toolbox("/x");
    world.ask(Ask::get(&target)).await;
    assert_eq!(world.facts.touches(world.sandbox), 0);
    world.ask(Ask::get(&target).with_key()).await;
    assert_eq!(world.facts.touches(world.sandbox), 1);
    let quiet = Ask::get(&target).with_key();
    let quiet = quiet.header("x-daytona-skip-last-activity-update", "true");
    let seen = world.ask(quiet).await.json();
    assert_eq!(world.facts.touches(world.sandbox), 1);
    let headers = &seen["headers"];
    assert!(headers.get("x-daytona-skip-last-activity-update").is_none());
}

#[tokio::test]
async fn pages_of_other_origins_may_use_the_toolbox_with_credentials() {
    let world = world().await;
    let origin = "https://page.example";
    let preflight = Ask::new(Method::OPTIONS, &world.toolbox("/x"))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization");
    let answer = world.ask(preflight).await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.headers["access-control-allow-headers"],
        "authorization"
    );
    let refused = world
        .ask(Ask::get(&world.toolbox("/x")).header("origin", origin))
        .await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.headers["access-control-allow-origin"], origin);
    assert_eq!(refused.headers["access-control-allow-credentials"], "true");
    let api = world
        .ask(Ask::get("/api/sandbox").header("origin", origin))
        .await;
    assert_eq!(api.headers["access-control-allow-origin"], "*");
}
