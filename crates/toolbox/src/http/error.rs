//! How failures leave the toolbox: the one place that maps them to statuses and codes.
//!
//! Handlers return a [`Failure`]; the body is written by [`finish`], which knows the request.

use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use sebring_api::error::{ErrorBody, Source};
use serde_json::{Map, Value};

use crate::clock;
use crate::environment;
use crate::files;
use crate::git;
use crate::passwd;

/// An error response that does not know its request yet.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Fields beyond the envelope.
    extra: Map<String, Value>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            extra: Map::new(),
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    pub(crate) fn invalid_body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST_BODY", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL_SERVER_ERROR",
            message,
        )
    }

    pub(crate) fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "STOPPING",
            "the sandbox is stopping",
        )
    }

    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        let message = format!("request body: maximum {limit_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", message)
    }

    /// Adds a field beyond the envelope.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The body for a request.
    pub(crate) fn body(&self, method: &str, path: &str) -> Value {
        let body = ErrorBody {
            status_code: self.status.as_u16(),
            error: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            message: self.message.clone(),
            code: self.code.to_owned(),
            source: Source::Toolbox,
            timestamp: clock::now_text(),
            path: path.to_owned(),
            method: method.to_owned(),
        };
        let mut body = serde_json::to_value(body).unwrap_or_default();
        if let Some(fields) = body.as_object_mut() {
            fields.extend(self.extra.clone());
        }
        body
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of a failure now that the request is known; leaves other responses alone.
pub(crate) fn finish(mut response: Response, method: &Method, path: &str) -> Response {
    let Some(failure) = response.extensions_mut().remove::<Failure>() else {
        return response;
    };
    let body = failure.body(method.as_str(), path).to_string();
    *response.body_mut() = axum::body::Body::from(body);
    let json = header::HeaderValue::from_static(super::JSON);
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    // Said of the empty body that stood in for this one.
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response
}

impl From<environment::Error> for Failure {
    fn from(error: environment::Error) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<passwd::Error> for Failure {
    fn from(error: passwd::Error) -> Self {
        match error {
            passwd::Error::UnknownUser(_) | passwd::Error::UnknownGroup(_) => {
                Self::bad_request(error.to_string())
            }
            passwd::Error::Read { .. } => Self::internal(error.to_string()),
        }
    }
}

impl From<files::Error> for Failure {
    fn from(error: files::Error) -> Self {
        use files::Error;
        let (status, code) = match &error {
            Error::NotFound { .. } => (StatusCode::NOT_FOUND, "FILE_NOT_FOUND"),
            Error::AccessDenied { .. } => (StatusCode::FORBIDDEN, "FILE_ACCESS_DENIED"),
            Error::ReadOnly { .. } => (StatusCode::FORBIDDEN, "FILE_ACCESS_DENIED"),
            Error::InvalidPath { .. } => (StatusCode::BAD_REQUEST, "INVALID_FILE_PATH"),
            Error::Exists { .. } => (StatusCode::CONFLICT, "CONFLICT"),
            Error::DiskFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, "DISK_FULL"),
            Error::TooMany { .. } => (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
            Error::Read { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "FILE_READ_FAILED"),
            Error::Other { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<git::Error> for Failure {
    fn from(error: git::Error) -> Self {
        use git::Error;
        let (status, code) = match &error {
            Error::Refused { reason, .. } => of_git(*reason),
            Error::NotInstalled { .. } => (StatusCode::SERVICE_UNAVAILABLE, "GIT_NOT_INSTALLED"),
            Error::TimedOut { .. } | Error::CallerGone { .. } => {
                (StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT")
            }
            Error::TooMuch { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "UNPROCESSABLE_ENTITY"),
            Error::OutOfMemory { .. } | Error::Output { .. } | Error::Run(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR")
            }
            Error::Stopping => return Self::stopping(),
        };
        Self::new(status, code, error.to_string())
    }
}

const fn of_git(reason: git::Reason) -> (StatusCode, &'static str) {
    use git::Reason;
    match reason {
        Reason::AuthFailed => (StatusCode::UNAUTHORIZED, "GIT_AUTH_FAILED"),
        // Known to the remote, and still not allowed: the same class for clients, another status.
        Reason::Forbidden => (StatusCode::FORBIDDEN, "GIT_AUTH_FAILED"),
        Reason::RepositoryNotFound => (StatusCode::NOT_FOUND, "GIT_REPO_NOT_FOUND"),
        Reason::BranchNotFound => (StatusCode::NOT_FOUND, "GIT_BRANCH_NOT_FOUND"),
        Reason::BranchExists => (StatusCode::CONFLICT, "GIT_BRANCH_EXISTS"),
        Reason::PushRejected => (StatusCode::CONFLICT, "GIT_PUSH_REJECTED"),
        Reason::RemoteRejected => (StatusCode::UNPROCESSABLE_ENTITY, "GIT_REMOTE_REJECTED"),
        Reason::DirtyWorktree => (StatusCode::CONFLICT, "GIT_DIRTY_WORKTREE"),
        Reason::MergeConflict => (StatusCode::CONFLICT, "GIT_MERGE_CONFLICT"),
        Reason::TransportFailed => (StatusCode::BAD_GATEWAY, "GIT_TRANSPORT_FAILED"),
        Reason::Conflict => (StatusCode::CONFLICT, "CONFLICT"),
        Reason::AccessDenied => (StatusCode::FORBIDDEN, "FILE_ACCESS_DENIED"),
        Reason::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "DISK_FULL"),
        Reason::Invalid => (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        // Git said no, a hook for example; its words are all that is known.
        Reason::Other => (StatusCode::UNPROCESSABLE_ENTITY, "UNPROCESSABLE_ENTITY"),
    }
}
