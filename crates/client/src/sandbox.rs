//! The calls about one sandbox: its life, its commands, its files.
//!
//! Must not: wait by polling; the server answers `create` with a started sandbox.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::{Deserialize, Serialize};

use crate::transport::{Client, Error, Reply};

const JSON: &str = "application/json";

/// What to create; absent fields take the server's defaults.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewSandbox {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// As whom its processes run; absent, as the snapshot says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Minutes without activity after which it stops; 0 never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_stop_interval: Option<u32>,
}

/// The part of a sandbox that callers here use.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sandbox {
    /// UUID text.
    pub id: String,
    pub state: String,
    /// Base URL of the toolbox API; the id is appended.
    pub toolbox_proxy_url: String,
    /// Why it is in the state `error`.
    pub error_reason: Option<String>,
}

/// How a command ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Executed {
    pub exit_code: i32,
    /// Standard output and error, in order.
    pub result: String,
}

#[derive(Serialize)]
struct Execute<'a> {
    command: &'a str,
}

impl Sandbox {
    fn toolbox(&self, path: &str) -> String {
        format!(
            "{}/{}{path}",
            self.toolbox_proxy_url.trim_end_matches('/'),
            self.id
        )
    }
}

impl Client {
    /// Creates a sandbox; the answer's state is `started` unless the host needs longer.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn create_sandbox(&self, new: &NewSandbox) -> Result<Sandbox, Error> {
        self.create_sandbox_timed(new)
            .await
            .map(|(sandbox, _)| sandbox)
    }

    /// The same, with the server's own account of where the time went (`Server-Timing`).
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn create_sandbox_timed(
        &self,
        new: &NewSandbox,
    ) -> Result<(Sandbox, Option<String>), Error> {
        let path = format!("{}/sandbox", self.url());
        let reply = self
            .send(Method::POST, &path, JSON, json(new, &path)?)
            .await?;
        let timing = reply.headers.get("server-timing");
        let timing = timing
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        Ok((parse(&path, &reply)?, timing))
    }

    /// One sandbox by id or name.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn sandbox(&self, id_or_name: &str) -> Result<Sandbox, Error> {
        let path = format!("{}/sandbox/{id_or_name}", self.url());
        let reply = self.send(Method::GET, &path, JSON, Bytes::new()).await?;
        parse(&path, &reply)
    }

    /// Deletes a sandbox in whatever state it is.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn delete_sandbox(&self, id_or_name: &str) -> Result<(), Error> {
        let path = format!("{}/sandbox/{id_or_name}", self.url());
        self.send(Method::DELETE, &path, JSON, Bytes::new())
            .await
            .map(drop)
    }

    /// Runs a shell command and waits for its end.
    ///
    /// # Errors
    /// As [`Client::send`]; a command that fails is not an error but an exit code.
    pub async fn execute(&self, sandbox: &Sandbox, command: &str) -> Result<Executed, Error> {
        let path = sandbox.toolbox("/process/execute");
        let body = json(&Execute { command }, &path)?;
        let reply = self.send(Method::POST, &path, JSON, body).await?;
        parse(&path, &reply)
    }

    /// Writes one file; `guest_path` must need no escaping in a URL query.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn upload(
        &self,
        sandbox: &Sandbox,
        guest_path: &str,
        content: Bytes,
    ) -> Result<(), Error> {
        let path = sandbox.toolbox(&format!("/files/upload-v2?path={guest_path}"));
        self.send(Method::POST, &path, "application/octet-stream", content)
            .await
            .map(drop)
    }

    /// Writes one file of `times` times the same `chunk`, streamed; for measuring.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn upload_repeated(
        &self,
        sandbox: &Sandbox,
        guest_path: &str,
        chunk: &Bytes,
        times: usize,
    ) -> Result<(), Error> {
        let path = sandbox.toolbox(&format!("/files/upload-v2?path={guest_path}"));
        let frames = std::iter::repeat_n(chunk.clone(), times).map(|data| Ok(Frame::data(data)));
        let body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
        let sent = self.send_body(Method::POST, &path, "application/octet-stream", body);
        sent.await.map(drop)
    }

    /// Reads one file to its end and answers its length in bytes.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn download_length(&self, sandbox: &Sandbox, guest_path: &str) -> Result<u64, Error> {
        self.count_bytes(&sandbox.toolbox(&format!("/files/download?path={guest_path}")))
            .await
    }
}

fn json<T: Serialize>(value: &T, path: &str) -> Result<Bytes, Error> {
    let text = serde_json::to_vec(value).map_err(|source| Error::Shape {
        path: path.to_owned(),
        source,
    })?;
    Ok(text.into())
}

fn parse<T: serde::de::DeserializeOwned>(path: &str, reply: &Reply) -> Result<T, Error> {
    serde_json::from_slice(&reply.body).map_err(|source| Error::Shape {
        path: path.to_owned(),
        source,
    })
}
