//! Successful answers.

use http::StatusCode;
use serde::Serialize;

use super::error::ApiError;

/// What a handler answers.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) content: Content,
    /// Value of the `Server-Timing` header.
    pub(super) timing: Option<String>,
}

#[derive(Debug)]
pub(super) enum Content {
    Json(Vec<u8>),
    Text(String),
    Empty,
}

impl Reply {
    pub(super) fn json(value: &impl Serialize) -> Result<Self, ApiError> {
        Self::json_with(StatusCode::OK, value)
    }

    pub(super) fn created(value: &impl Serialize) -> Result<Self, ApiError> {
        Self::json_with(StatusCode::CREATED, value)
    }

    pub(super) fn json_with(status: StatusCode, value: &impl Serialize) -> Result<Self, ApiError> {
        let bytes = serde_json::to_vec(value).map_err(|error| ApiError::internal(&error))?;
        Ok(Self {
            status,
            content: Content::Json(bytes),
            timing: None,
        })
    }

    /// Raw text: quotes would become part of a key in some clients.
    pub(super) fn text(text: String) -> Self {
        Self {
            status: StatusCode::OK,
            content: Content::Text(text),
            timing: None,
        }
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            content: Content::Empty,
            timing: None,
        }
    }

    pub(super) fn with_timing(mut self, timing: String) -> Self {
        self.timing = Some(timing);
        self
    }
}
