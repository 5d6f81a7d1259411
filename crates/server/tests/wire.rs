//! The exact forms on the wire: statuses, keys, types, raw texts, empty bodies, refusals.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

mod common;

use axum::body::Body;
use common::{World, id_of};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn every_route_but_the_public_ones_needs_a_key_and_has_the_envelope() {
    let world = World::new().await;
    let document: Value = serde_json::from_str(&sebring_server::openapi_json()).unwrap();
    let mut routes = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace(['{', '}'], "");
        for (method, operation) in methods.as_object().unwrap() {
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            if operation.get("security").is_none() {
                continue;
            }
            routes += 1;
            let answer = world
                .call_as("dtn_wrong", method.clone(), &path, None)
                .await;
            assert_eq!(
                answer.refused(401),
                "Invalid credentials",
                "{method} {path}"
            );
            let request = Request::builder().method(method).uri(format!("/api{path}"));
            world
                .send(request.body(Body::empty()).unwrap())
                .await
                .refused(401);
        }
    }
    assert!(routes > 50, "{routes}");
}

#[tokio::test]
async fn a_key_without_a_permission_is_refused_wherever_the_table_names_one() {
    let world = World::new().await;
    let body = json!({"name": "reader", "permissions": []});
    let created = world.post_json("/api-keys", body).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let reader = created.json()["value"].as_str().unwrap().to_owned();
    let document: Value = serde_json::from_str(&sebring_server::openapi_json()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace(['{', '}'], "");
        for (method, operation) in methods.as_object().unwrap() {
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            let answer = world.call_as(&reader, method.clone(), &path, None).await;
            let is_forbidden = answer.status == StatusCode::FORBIDDEN;
            let needs = operation.get("x-permission").is_some();
            assert_eq!(is_forbidden, needs, "{method} {path}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_sandbox_has_every_key_with_the_type_that_clients_need() {
    let world = World::new().await;
    let sandbox = world
        .create(json!({
            "name": "n", "env": {"A": "1"}, "labels": {"code-toolbox-language": "python"},
            "user": "root", "public": true, "envVars": {"unknown": "ignored"},
            "autoArchiveInterval": 0,
        }))
        .await;
    for key in [
        "cpu",
        "gpu",
        "memory",
        "disk",
        "autoStopInterval",
        "autoArchiveInterval",
    ] {
        assert!(sandbox[key].is_u64(), "{key}");
    }
    for key in [
        "id",
        "organizationId",
        "name",
        "user",
        "target",
        "toolboxProxyUrl",
        "createdAt",
        "updatedAt",
        "lastActivityAt",
        "sandboxClass",
        "backupState",
        "snapshot",
    ] {
        assert!(sandbox[key].is_string(), "{key}");
    }
    for key in ["public", "networkBlockAll", "kvm", "recoverable", "spot"] {
        assert!(sandbox[key].is_boolean(), "{key}");
    }
    for key in [
        "errorReason",
        "networkAllowList",
        "domainAllowList",
        "gpuType",
        "buildInfo",
        "backupCreatedAt",
        "autoDestroyAt",
        "queueTimeout",
        "warmPoolId",
        "runnerId",
    ] {
        assert_eq!(sandbox.get(key), Some(&Value::Null), "{key}");
    }
    assert_eq!(sandbox["env"], json!({"A": "1"}));
    assert_eq!(
        sandbox["labels"],
        json!({"code-toolbox-language": "python"})
    );
    assert_eq!(sandbox["volumes"], json!([]));
    assert_eq!(sandbox["target"], "us");
    assert_eq!(sandbox["user"], "root");
    assert_eq!(sandbox["autoStopInterval"], 15);
    assert_eq!(sandbox["autoArchiveInterval"], 43_200);
    assert_eq!(sandbox["autoDeleteInterval"], -1);
    assert!(sandbox["createdAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(world.get("/sandbox/n?verbose=true").await.ok(), sandbox);
}

#[tokio::test]
async fn snapshots_decide_the_size_and_resources_beside_them_are_refused() {
    let world = World::new().await;
    let large = world.create(json!({"snapshot": "daytona-large"})).await;
    assert_eq!(
        (&large["cpu"], &large["memory"], &large["disk"]),
        (&json!(4), &json!(8), &json!(10))
    );
    assert_eq!(large["snapshot"], "daytona-large");
    assert_eq!(world.runner.spec(&id_of(&large)).snapshot, "sebring-large");
    let found = world.get("/snapshots/team%2Fbase%3A1").await.ok();
    assert_eq!(found["name"], "team/base:1");
    assert_eq!(
        (&found["state"], &found["general"]),
        (&json!("active"), &json!(true))
    );
    for key in [
        "size",
        "entrypoint",
        "errorReason",
        "lastUsedAt",
        "sourceSandboxId",
    ] {
        assert!(found.get(key).is_some(), "{key}");
    }
    let by_id = format!("/snapshots/{}", found["id"].as_str().unwrap());
    assert_eq!(world.get(&by_id).await.ok(), found);
    let custom = world.create(json!({"snapshot": found["id"]})).await;
    assert_eq!(custom["snapshot"], "team/base:1");

    let listed = world.get("/snapshots?name=BASE&limit=1").await.ok();
    assert_eq!(
        (&listed["total"], &listed["totalPages"]),
        (&json!(1), &json!(1))
    );
    world.get("/snapshots/none").await.refused(404);
    world.delete("/snapshots/sebring-small").await.refused(403);
    world
        .post_json("/snapshots", json!({"name": "x"}))
        .await
        .refused(422);
    let both = world
        .post_json("/sandbox", json!({"snapshot": "daytona-small", "cpu": 2}))
        .await;
    assert_eq!(
        both.refused(400),
        "Cannot specify Sandbox resources when using a snapshot"
    );
    let unknown = world
        .post_json("/sandbox", json!({"snapshot": "nope"}))
        .await
        .refused(400);
    assert!(unknown.starts_with("Snapshot nope not found."), "{unknown}");
}

/// A body, the status, and a part of the message.
fn bad_bodies() -> Vec<(Value, u16, &'static str)> {
    vec![
        (
            json!({"memory": 2048}),
            400,
            "memory 2048: maximum 16; memory is in GiB",
        ),
        (json!({"cpu": 0}), 400, "cpu 0: minimum 1; cpu is in cores"),
        (
            json!({"cpu": "two"}),
            400,
            "cpu: invalid type: string \"two\", expected a whole number",
        ),
        (json!({"gpu": 1}), 400, "gpu 1: maximum 0"),
        (json!({"labels": {"a": 1}}), 400, "labels.a: invalid type"),
        (json!({"labels": []}), 400, "labels: invalid type"),
        (json!({"name": "<b>x</b>"}), 400, "contains an HTML tag"),
        (
            json!({"name": "x".repeat(300)}),
            400,
            "name has 300 characters",
        ),
        (
            json!({"env": {"A=B": "1"}}),
            400,
            "cannot be the name of a variable",
        ),
        (json!({"user": "a b"}), 400, "user \"a b\""),
        (
            json!({"autoStopInterval": -5}),
            400,
            "autoStopInterval -5: minimum 0",
        ),
        (
            json!({"ttlMinutes": 1e12}),
            400,
            "ttlMinutes 1000000000000: maximum",
        ),
        (
            json!({"networkAllowList": "::/0"}),
            400,
            "not an IPv4 network",
        ),
        (json!({"domainAllowList": "x.org"}), 400, "domainAllowList"),
        (
            json!({"networkBlockAll": true, "networkAllowList": "1.1.1.1/32"}),
            400,
            "networkBlockAll is true",
        ),
        (json!({"target": "mars"}), 404, "Region not found"),
        (
            json!({"buildInfo": {"dockerfileContent": "FROM x"}}),
            422,
            "buildInfo",
        ),
        (json!({"volumes": [{"volumeId": "v"}]}), 422, "volumes"),
        (json!({"secrets": [{"A": "b"}]}), 422, "secrets"),
        (
            json!({"autoPauseInterval": 5}),
            422,
            "Pausing is not supported",
        ),
        (json!([]), 400, "must be a JSON object"),
    ]
}

#[tokio::test]
async fn bad_input_is_refused_with_field_value_and_range() {
    let world = World::new().await;
    for (body, status, part) in bad_bodies() {
        let message = world
            .post_json("/sandbox", body.clone())
            .await
            .refused(status);
        assert!(message.contains(part), "{body}: {message}");
    }
    assert_eq!(world.runner.command_count(), 0);
    let raw = |body: &'static str| {
        let request =
            Request::post("/api/sandbox").header("authorization", format!("Bearer {}", world.key));
        world.send(request.body(Body::from(body)).unwrap())
    };
    assert!(
        raw("{")
            .await
            .refused(400)
            .starts_with("the body is not JSON")
    );
    assert_eq!(raw("").await.status, StatusCode::OK);
    assert_eq!(raw("  ").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_large_body_is_refused_before_it_is_read() {
    let world = World::new().await;
    let announced = Request::post("/api/sandbox")
        .header("authorization", format!("Bearer {}", world.key))
        .header("content-length", "2000000");
    world
        .send(announced.body(Body::empty()).unwrap())
        .await
        .refused(413);
    let body = json!({"labels": {"a": "x".repeat(2_000_000)}});
    world.post_json("/sandbox", body).await.refused(413);
}

#[tokio::test]
async fn another_organizations_sandbox_does_not_exist() {
    let mut world = World::new().await;
    let id = id_of(&world.create(json!({"name": "mine"})).await);
    let own = world.handle.authenticate(&world.key).unwrap().organization;
    let other_key = world.add_organization().await;
    let other = world.handle.authenticate(&other_key).unwrap().organization;
    assert!(world.handle.find_sandbox(own, "mine").is_some());
    assert!(world.handle.find_sandbox(other, &id).is_none());
    let document: Value = serde_json::from_str(&sebring_server::openapi_json()).unwrap();
    let mut routes = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        if !path.contains("{sandboxIdOrName}") {
            continue;
        }
        for reference in [id.as_str(), "mine"] {
            let path = path
                .replace("{sandboxIdOrName}", reference)
                .replace("{port}", "80");
            let path = path
                .replace("{isPublic}", "true")
                .replace("{interval}", "5");
            for method in methods.as_object().unwrap().keys() {
                routes += 1;
                let method: Method = method.to_ascii_uppercase().parse().unwrap();
                let body = Some(json!({"labels": {}, "cpu": 2}));
                let answer = world.call_as(&other_key, method.clone(), &path, body).await;
                let message = answer.refused(404);
                assert!(message.contains("not found"), "{method} {path}: {message}");
            }
        }
    }
    assert!(routes > 60, "{routes}");
    let listed = world
        .call_as(&other_key, Method::GET, "/sandbox", None)
        .await
        .ok();
    assert_eq!(listed["items"], json!([]));
    // Names are each organization's own.
    let body = Some(json!({"name": "mine"}));
    common::eventually("up", || world.handle.is_runner_up()).await;
    world
        .call_as(&other_key, Method::POST, "/sandbox", body)
        .await
        .ok();
    world
        .get(&format!("/organizations/{other}"))
        .await
        .refused(404);
}

#[tokio::test]
async fn labels_visibility_and_intervals_are_set_and_read_back() {
    let world = World::new().await;
    let id = id_of(&world.create(json!({"name": "box"})).await);
    let body = Some(json!({"labels": {"a": "b c"}}));
    let labels = world
        .call(Method::PUT, "/sandbox/box/labels", body)
        .await
        .ok();
    assert_eq!(labels["labels"], json!({"a": "b c"}));
    for (path, key, value) in [
        ("public/true", "public", json!(true)),
        ("autostop/0", "autoStopInterval", json!(0)),
        ("autostop/30", "autoStopInterval", json!(30)),
        ("autoarchive/0", "autoArchiveInterval", json!(43_200)),
        ("autodelete/-1", "autoDeleteInterval", json!(-1)),
        ("autodelete/90", "autoDeleteInterval", json!(90)),
        ("autopause/0", "autoPauseInterval", json!(0)),
        ("ttl/0", "autoDestroyAt", json!(null)),
    ] {
        let sandbox = world.post(&format!("/sandbox/{id}/{path}")).await.ok();
        assert_eq!(sandbox[key], value, "{path}");
    }
    world.post("/sandbox/box/autostop/-1").await.refused(400);
    world.post("/sandbox/box/autostop/soon").await.refused(400);
    world.post("/sandbox/box/autopause/5").await.refused(422);
    world.post("/sandbox/box/public/maybe").await.refused(400);
    world.post("/sandbox/nobox/public/true").await.refused(404);
    // Only by id.
    world.post("/sandbox/box/last-activity").await.refused(404);
    let touched = world
        .post_json(&format!("/sandbox/{id}/last-activity"), json!({}))
        .await;
    assert_eq!((touched.status.as_u16(), touched.text.len()), (201, 0));
}

#[tokio::test]
async fn lists_page_by_cursor_and_by_number() {
    let world = World::new().await;
    for number in 0..5 {
        let parity = ["even", "odd"][number % 2];
        world
            .create(json!({"name": format!("box-{number}"), "labels": {"parity": parity}}))
            .await;
    }
    let mut names = Vec::new();
    let mut path = "/sandbox?limit=2&sort=name&order=asc".to_owned();
    loop {
        let page = world.get(&path).await.ok();
        let items = page["items"].as_array().unwrap();
        names.extend(
            items
                .iter()
                .map(|one| one["name"].as_str().unwrap().to_owned()),
        );
        assert!(items.iter().all(|one| one["networkBlockAll"].is_boolean()));
        match &page["nextCursor"] {
            Value::String(cursor) => {
                path = format!("/sandbox?limit=2&sort=name&order=asc&cursor={cursor}");
            }
            other => {
                assert_eq!(other, &Value::Null);
                break;
            }
        }
    }
    assert_eq!(names, ["box-0", "box-1", "box-2", "box-3", "box-4"]);

    let labels = sebring_server::encode_request_target(
        br#"/sandbox/paginated?labels={"parity":"odd"}&limit=1&page=2"#,
    );
    let page = world.get(std::str::from_utf8(&labels).unwrap()).await.ok();
    assert_eq!(
        (&page["total"], &page["page"], &page["totalPages"]),
        (&json!(2), &json!(2), &json!(2))
    );
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let started = world
        .get("/sandbox?states=started&states=stopped&name=BOX")
        .await
        .ok();
    assert_eq!(started["items"].as_array().unwrap().len(), 5);
    let archived = world.get("/sandbox?states%5B%5D=archived").await.ok();
    assert_eq!(archived["items"], json!([]));
    for bad in [
        "limit=0",
        "limit=201",
        "states=destroyed",
        "states=x",
        "labels=x",
        "sort=x",
        "order=x",
        "cursor=x",
        "minCpu=x",
        "isPublic=x",
        "createdAtAfter=x",
    ] {
        let message = world.get(&format!("/sandbox?{bad}")).await.refused(400);
        let field = bad.split('=').next().unwrap();
        assert!(message.starts_with(field), "{bad}: {message}");
    }
    assert_eq!(
        world.get("/sandbox?minCpu=1e%2B00").await.ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
}

#[tokio::test]
async fn links_and_keys_have_their_exact_forms() {
    let world = World::new().await;
    let id = id_of(&world.create(json!({"name": "box"})).await);
    let link = world.get("/sandbox/box/ports/3000/preview-url").await.ok();
    assert_eq!(link["url"], format!("http://3000-{id}.localhost:3986"));
    assert_eq!(link["sandboxId"], json!(id));
    let token = link["token"].as_str().unwrap().to_owned();
    let route = world.handle.sandbox_by_id(id.parse().unwrap()).unwrap();
    assert_eq!(route.auth_token.expose(), &token);
    assert_eq!(route.state, "started");
    assert!(
        route
            .toolbox_socket
            .unwrap()
            .ends_with(format!("{id}.sock"))
    );

    let signed = world
        .get("/sandbox/box/ports/3000/signed-preview-url?expiresInSeconds=120")
        .await
        .ok();
    let token = signed["token"].as_str().unwrap().to_owned();
    assert!(
        token.len() == 16
            && token
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    );
    assert_eq!(signed["url"], format!("http://3000-{token}.localhost:3986"));
    assert_eq!(signed["port"], 3000);
    let grant = world.handle.preview_token(&token).unwrap();
    assert_eq!((grant.sandbox.to_string(), grant.port), (id.clone(), 3000));
    world.advance(std::time::Duration::from_secs(121));
    assert!(world.handle.preview_token(&token).is_none());
    let signed = world
        .get("/sandbox/box/ports/3000/signed-preview-url")
        .await
        .ok();
    let token = signed["token"].as_str().unwrap();
    world
        .post(&format!(
            "/sandbox/box/ports/3000/signed-preview-url/{token}/expire"
        ))
        .await;
    assert!(world.handle.preview_token(token).is_none());
    for bad in [
        "ports/0/preview-url",
        "ports/65536/preview-url",
        "ports/x/preview-url",
        "ports/1/signed-preview-url?expiresInSeconds=0",
        "ports/1/signed-preview-url?expiresInSeconds=86401",
    ] {
        world.get(&format!("/sandbox/box/{bad}")).await.refused(400);
    }

    let key = world.get("/sandbox/box/signing-key").await;
    assert!(
        key.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    assert!(!key.text.contains('"') && !key.text.is_empty());
    let rotated = world.post("/sandbox/box/signing-key/rotate").await.text;
    assert_ne!(rotated, key.text);
    let route = world.handle.sandbox_by_id(id.parse().unwrap()).unwrap();
    assert_eq!(route.signing_key.expose(), &rotated);
    let toolbox = world.get("/sandbox/box/toolbox-proxy-url").await.ok();
    assert_eq!(toolbox["url"], "http://127.0.0.1:3986/toolbox");
}
