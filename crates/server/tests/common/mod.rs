//! A control plane in this process against a fake runner on a real unix socket, with a clock that
//! is moved by hand.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

pub(crate) mod fake_runner;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Body;
use fake_runner::FakeRunner;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use sebring_core::clock::{Clock, Timestamp};
use sebring_core::id::OrganizationId;
use sebring_core::permission::Permission;
use sebring_core::resources::{Limits, Resources};
use sebring_server::{Config, Handle, PublicUrls, SnapshotAlias};
use sebring_store::Store;
use sebring_store::keys::{ApiKey, KeyHash};
use sebring_store::organizations::Organization;
use sebring_tasks::Tasks;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower::ServiceExt;

/// Nothing here takes long; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::SeqCst))
    }
}

impl ManualClock {
    fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap();
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

pub(crate) struct World {
    pub(crate) handle: Handle,
    pub(crate) runner: FakeRunner,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) key: String,
    tasks: Tasks,
    wait_max: Duration,
    directory: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("the body is JSON")
    }

    /// The body of a success.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }

    /// Asserts the whole error envelope; returns the message.
    pub(crate) fn refused(self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let body = self.json();
        assert_eq!(body["statusCode"], status);
        assert_eq!(body["error"], self.status.canonical_reason().unwrap());
        assert_eq!(body["source"], "DAYTONA_API");
        assert!(body["code"].is_string() && body["timestamp"].is_string());
        assert!(body["path"].as_str().unwrap().starts_with('/'));
        body["message"].as_str().unwrap().to_owned()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let world = Self::without_runner().await;
        world.runner.start().await;
        eventually("the runner is connected", || world.handle.is_runner_up()).await;
        world
    }

    pub(crate) async fn without_runner() -> Self {
        Self::with_wait(Duration::from_secs(8)).await
    }

    pub(crate) async fn with_wait(wait_max: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock(AtomicI64::new(1_795_000_000_000)));
        let (handle, tasks) = start(directory.path(), &clock, wait_max).await;
        Self {
            handle,
            runner: FakeRunner::new(&directory.path().join("runner.sock")),
            key: read_key(directory.path()),
            clock,
            tasks,
            wait_max,
            directory,
        }
    }

    /// Stops the server in an orderly way and starts another on the same files.
    pub(crate) async fn restart(&mut self) {
        self.tasks.shutdown().await;
        let (handle, tasks) = start(self.directory.path(), &self.clock, self.wait_max).await;
        (self.handle, self.tasks) = (handle, tasks);
    }

    /// Adds an organization with a key of its own; the server is restarted to learn of it.
    pub(crate) async fn add_organization(&mut self) -> String {
        self.tasks.shutdown().await;
        let key = format!("dtn_{}", "ab".repeat(32));
        let path = self.directory.path().join("sebring.db");
        let store = Store::open(&path, Box::new(|_| {})).unwrap();
        let now = self.clock.now();
        let organization = Organization {
            id: OrganizationId::random(),
            name: "other".into(),
            created_by: "other".into(),
            created_at: now,
        };
        let record = ApiKey {
            hash: KeyHash(Sha256::digest(key.as_bytes()).into()),
            organization: organization.id,
            user_id: "other".into(),
            name: "other".into(),
            masked: "dtn".into(),
            permissions: Permission::ALL.iter().copied().collect(),
            created_at: now,
            expires_at: None,
            last_used_at: None,
        };
        let write = store.write(move |tx| {
            tx.insert_organization(&organization)?;
            tx.insert_key(record)
        });
        let written: Result<_, sebring_store::Error> = write.await;
        written.unwrap();
        drop(store);
        self.restart().await;
        key
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.call_as(&self.key, method, path, body).await
    }

    pub(crate) async fn call_as(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(format!("/api{path}"))
            .header("authorization", format!("Bearer {key}"))
            .body(body)
            .unwrap();
        self.send(request).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.handle.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.call(Method::POST, path, None).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    /// Creates a sandbox that runs, and returns it.
    pub(crate) async fn create(&self, body: Value) -> Value {
        let sandbox = self.post_json("/sandbox", body).await.ok();
        assert_eq!(sandbox["state"], "started", "{sandbox}");
        sandbox
    }

    pub(crate) async fn state_of(&self, id: &str) -> String {
        let answer = self.get(&format!("/sandbox/{id}")).await;
        match answer.status {
            StatusCode::NOT_FOUND => "absent".to_owned(),
            _ => answer.ok()["state"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) async fn reaches(&self, id: &str, state: &str) {
        eventually_async(&format!("{id} is {state}"), async || {
            self.state_of(id).await == state
        })
        .await;
    }

    /// Moves the clock and lets the timers look.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.handle.recheck_timers();
    }
}

async fn start(directory: &Path, clock: &Arc<ManualClock>, wait_max: Duration) -> (Handle, Tasks) {
    let tasks = Tasks::new();
    let config = Config {
        database: directory.join("sebring.db"),
        keys_dir: directory.to_owned(),
        runner_socket: directory.join("runner.sock"),
        api_path: "/api".into(),
        urls: PublicUrls {
            toolbox: "http://127.0.0.1:3986/toolbox".into(),
            preview_template: "http://{{PORT}}-{{sandboxId}}.localhost:3986".into(),
            dashboard: String::new(),
        },
        default_snapshot: "sebring-small".into(),
        aliases: SnapshotAlias::defaults(),
        default_resources: Resources {
            cpus: 1,
            memory_gib: 1,
            disk_gib: 3,
        },
        limits: Limits {
            cpus_max: 4,
            memory_gib_max: 16,
            disk_gib_max: 100,
        },
        wait_max,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
    };
    let handle = sebring_server::start(config, tasks.clone()).await.unwrap();
    (handle, tasks)
}

fn read_key(directory: &Path) -> String {
    let path = sebring_server::bootstrap::admin_key_path(directory);
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

pub(crate) async fn eventually(what: &str, done: impl Fn() -> bool) {
    eventually_async(what, async || done()).await;
}

/// Waits on the level, with a bound.
pub(crate) async fn eventually_async<F>(what: &str, done: impl Fn() -> F)
where
    F: Future<Output = bool>,
{
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(reached.is_ok(), "never happened: {what}");
}

pub(crate) fn id_of(sandbox: &Value) -> String {
    sandbox["id"].as_str().unwrap().to_owned()
}
