//! One HTTP request to the server and its reply, with errors that carry the server's words.
//!
//! Must not: know any endpoint.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

/// Longest wait for one answer. The server's own waits are shorter and end with a reason.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// Largest body read into memory; bigger downloads are counted, not kept.
const BODY_LIMIT_BYTES: usize = 64 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{url:?} is not an http:// URL")]
    Url { url: String },
    #[error("cannot reach {url}; is the server running? (`sebring status`)")]
    Unreachable {
        url: String,
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    #[error("no answer from {path} within {} s", ANSWER_WITHIN.as_secs())]
    Silence { path: String },
    #[error("read the answer of {path}")]
    Broken {
        path: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server refused; `message` is its own sentence.
    #[error("{message} (HTTP {status})")]
    Refused { status: StatusCode, message: String },
    #[error("unexpected answer of {path}")]
    Shape {
        path: String,
        #[source]
        source: serde_json::Error,
    },
}

/// A whole reply in memory.
#[derive(Debug)]
pub struct Reply {
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Body of a request: in memory or made while it is sent.
pub(crate) type Body = BoxBody<Bytes, Infallible>;

/// A connection pool to one server, with one key. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool<HttpConnector, Body>,
    url: String,
    key: String,
}

#[derive(Deserialize)]
struct Envelope {
    message: String,
}

impl Client {
    /// `url` is what clients set as `DAYTONA_API_URL`, for example `http://127.0.0.1:3986/api`.
    ///
    /// # Errors
    /// When `url` is not plain HTTP.
    pub fn new(url: &str, key: &str) -> Result<Self, Error> {
        let url = url.trim_end_matches('/');
        let refused = || Error::Url {
            url: url.to_owned(),
        };
        let parsed: Uri = url.parse().map_err(|_| refused())?;
        if parsed.scheme_str() != Some("http") {
            return Err(refused());
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Ok(Self {
            pool,
            url: url.to_owned(),
            key: key.to_owned(),
        })
    }

    /// The base that paths of the public API are appended to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends one request to an absolute URL and reads the whole answer.
    ///
    /// # Errors
    /// [`Error::Refused`] for any status outside 2xx, otherwise what broke on the way.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Reply, Error> {
        self.send_body(method, url, content_type, Full::new(body).boxed())
            .await
    }

    pub(crate) async fn send_body(
        &self,
        method: Method,
        url: &str,
        content_type: &str,
        body: Body,
    ) -> Result<Reply, Error> {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .header(CONTENT_TYPE, content_type)
            .body(body)
            .map_err(|_| Error::Url {
                url: url.to_owned(),
            })?;
        let silence = || Error::Silence {
            path: url.to_owned(),
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.pool.request(request));
        let response =
            answer
                .await
                .map_err(|_| silence())?
                .map_err(|source| Error::Unreachable {
                    url: self.url.clone(),
                    source,
                })?;
        let (head, body) = response.into_parts();
        let whole = tokio::time::timeout(
            ANSWER_WITHIN,
            Limited::new(body, BODY_LIMIT_BYTES).collect(),
        );
        let body = whole
            .await
            .map_err(|_| silence())?
            .map_err(|source| Error::Broken {
                path: url.to_owned(),
                source,
            })?
            .to_bytes();
        if head.status.is_success() {
            return Ok(Reply {
                headers: head.headers,
                body,
            });
        }
        Err(Error::Refused {
            status: head.status,
            message: refusal(&body),
        })
    }

    /// Downloads and counts, without keeping; for measuring.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn count_bytes(&self, url: &str) -> Result<u64, Error> {
        let request = Request::builder()
            .uri(url)
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .body(Full::new(Bytes::new()).boxed())
            .map_err(|_| Error::Url {
                url: url.to_owned(),
            })?;
        let response = self
            .pool
            .request(request)
            .await
            .map_err(|source| Error::Unreachable {
                url: self.url.clone(),
                source,
            })?;
        let status = response.status();
        let mut body = response.into_body();
        let mut count = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|source| Error::Broken {
                path: url.to_owned(),
                source: source.into(),
            })?;
            count += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        if status.is_success() {
            return Ok(count);
        }
        Err(Error::Refused {
            status,
            message: format!("download refused after {count} bytes"),
        })
    }
}

/// The server's sentence, or whatever it sent instead.
fn refusal(body: &[u8]) -> String {
    serde_json::from_slice::<Envelope>(body).map_or_else(
        |_| String::from_utf8_lossy(body).trim().to_owned(),
        |found| found.message,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_http_is_refused_by_name() {
        let refusal = Client::new("ftp://here/api", "k").unwrap_err();
        assert!(refusal.to_string().contains("ftp://here/api"));
    }

    #[test]
    fn a_refusal_shows_the_message_of_the_envelope() {
        assert_eq!(
            refusal(br#"{"message":"no such sandbox","statusCode":404}"#),
            "no such sandbox"
        );
        assert_eq!(refusal(b"plain words\n"), "plain words");
    }
}
