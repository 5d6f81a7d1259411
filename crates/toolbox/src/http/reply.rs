//! JSON answers with the content type that every client accepts.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde::Serialize;

use super::error::Failure;

/// A value as the JSON body of a 200.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(CONTENT_TYPE, super::JSON)], body).into_response(),
            Err(error) => Failure::internal(format!("write JSON: {error}")).into_response(),
        }
    }
}
