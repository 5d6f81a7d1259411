//! What happens around every handler: size check, authentication, permission, error envelope.

use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::{FromRequestParts, OriginalUri, RawPathParams, Request};
use axum::response::Response;
use futures_util::FutureExt;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use sebring_api::error::{ErrorBody, Source};
use tracing::error;

use super::call::{BODY_BYTES_MAX, Call};
use super::error::ApiError;
use super::query::Query;
use super::reply::{Content, Reply};
use super::table::{Access, Route};
use crate::app::App;
use crate::auth::Principal;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

pub(super) async fn dispatch(app: App, route: Route, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let answer = AssertUnwindSafe(answer(&app, &route, &mut parts, body));
    match answer.catch_unwind().await {
        Ok(Ok(reply)) => success(reply),
        Ok(Err(refused)) => failure(&app, &parts, refused),
        Err(_) => {
            error!(operation = route.id, "a handler panicked");
            failure(&app, &parts, ApiError::panicked())
        }
    }
}

async fn answer(
    app: &App,
    route: &Route,
    parts: &mut Parts,
    body: Body,
) -> Result<Reply, ApiError> {
    // Before anything is read, so that a huge body costs nothing.
    let announced = parts.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
        return Err(ApiError::too_large());
    }
    let principal = authorize(app, route.access, parts)?;
    let parameters = RawPathParams::from_request_parts(parts, &()).await;
    let parameters = parameters.map_err(|error| ApiError::invalid(error.to_string()))?;
    let call = Call {
        principal,
        parameters: parameters
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        body,
    };
    (route.handler)(app.clone(), call).await
}

fn authorize(app: &App, access: Access, parts: &Parts) -> Result<Option<Principal>, ApiError> {
    let permission = match access {
        Access::Public => return Ok(None),
        Access::AnyKey => None,
        Access::Permission(permission) => Some(permission),
    };
    let header = parts.headers.get(AUTHORIZATION);
    let bearer = header.and_then(|value| bearer(value.to_str().ok()?));
    let principal = bearer.and_then(|bearer| {
        let keys = &app.directory.keys;
        keys.authenticate(bearer, app.now())
    });
    let principal = principal.ok_or_else(ApiError::unauthorized)?;
    if permission.is_some_and(|permission| !principal.may(permission)) {
        return Err(ApiError::forbidden());
    }
    Ok(Some(principal))
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub(super) async fn not_found(app: App, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let message = format!("Cannot {} {}", parts.method, parts.uri.path());
    failure(&app, &parts, ApiError::not_found(message))
}

pub(super) async fn wrong_method(app: App, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let message = format!("Cannot {} {}", parts.method, parts.uri.path());
    let refused = ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        message,
    );
    failure(&app, &parts, refused)
}

fn success(reply: Reply) -> Response {
    let (content_type, body) = match reply.content {
        Content::Json(bytes) => (Some("application/json"), Body::from(bytes)),
        Content::Text(text) => (Some("text/plain; charset=utf-8"), Body::from(text)),
        Content::Empty => (None, Body::empty()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    if let Some(content_type) = content_type {
        let value = HeaderValue::from_static(content_type);
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    let timing = reply
        .timing
        .and_then(|text| HeaderValue::try_from(text).ok());
    if let Some(timing) = timing {
        response.headers_mut().insert(SERVER_TIMING, timing);
    }
    response
}

fn failure(app: &App, parts: &Parts, refused: ApiError) -> Response {
    let original = parts.extensions.get::<OriginalUri>();
    let path = original.map_or_else(|| parts.uri.path(), |original| original.0.path());
    let body = ErrorBody {
        status_code: refused.status.as_u16(),
        error: refused.status.canonical_reason().unwrap_or("Error").into(),
        message: refused.message,
        code: refused.code.into(),
        source: Source::Api,
        timestamp: app.now().to_string(),
        path: path.to_owned(),
        method: parts.method.to_string(),
    };
    let bytes = serde_json::to_vec(&body).unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = refused.status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
