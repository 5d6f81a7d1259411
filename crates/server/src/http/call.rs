//! One request, as handlers see it: the caller, the path's parts, the query, the body.

use axum::body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;
use super::query::Query;
use crate::auth::Principal;

/// Far above any honest request; builds' contexts do not come this way.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Call {
    /// `None` on public routes only.
    pub(super) principal: Option<Principal>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) query: Query,
    pub(super) body: Body,
}

impl Call {
    pub(super) fn principal(&self) -> Result<&Principal, ApiError> {
        self.principal.as_ref().ok_or_else(ApiError::unauthorized)
    }

    /// A part of the path, decoded.
    pub(super) fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn port(&self) -> Result<u16, ApiError> {
        let text = self.parameter("port");
        let port = text.parse::<u16>().ok().filter(|port| *port > 0);
        port.ok_or_else(|| ApiError::invalid(format!("port {text}: between 1 and 65535")))
    }

    /// A whole number in the path, however a client prints it.
    pub(super) fn integer(&self, name: &str) -> Result<i64, ApiError> {
        let text = self.parameter(name);
        super::query::whole_number(text)
            .ok_or_else(|| ApiError::invalid(format!("{name} {text:?}: expected a whole number")))
    }

    /// The body; a missing one is refused.
    pub(super) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        match self.read_json().await? {
            Some(value) => parse(value),
            None => Err(ApiError::invalid("a JSON body is required".into())),
        }
    }

    /// The body; a missing one means all defaults, for clients send none or an empty one.
    pub(super) async fn json_or_default<T>(&mut self) -> Result<T, ApiError>
    where
        T: DeserializeOwned + Default,
    {
        match self.read_json().await? {
            Some(value) => parse(value),
            None => Ok(T::default()),
        }
    }

    async fn read_json(&mut self) -> Result<Option<Value>, ApiError> {
        let body = std::mem::take(&mut self.body);
        let read = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let bytes = read
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    ApiError::too_large()
                } else {
                    ApiError::invalid(format!("the body could not be read: {error}"))
                }
            })?
            .to_bytes();
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let value = serde_json::from_slice(&bytes);
        let value: Value =
            value.map_err(|error| ApiError::invalid(format!("the body is not JSON: {error}")))?;
        match value {
            Value::Object(_) => Ok(Some(value)),
            Value::Null => Ok(None),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(ApiError::invalid("the body must be a JSON object".into()))
            }
        }
    }
}

/// Type errors name the field.
fn parse<T: DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.inner());
        ApiError::invalid(if path == "." {
            inner.to_string()
        } else {
            format!("{path}: {inner}")
        })
    })
}
