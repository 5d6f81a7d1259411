//! Who may reach a sandbox, by which credential, in the order that the published clients rely on:
//! API key, preview token in a header, preview token in the query, signed file URL (toolbox) or
//! cookie and signed host (preview).
//!
//! Must not: let a failed answer of the control plane in, or compare secrets in variable time.

use http::request::Parts;
use http::{HeaderValue, header};
use sebring_core::clock::Timestamp;
use sebring_core::id::SandboxId;
use subtle::ConstantTimeEq;

use crate::directory::{Directory, Principal, SandboxRoute};
use crate::headers::{self, AUTH_KEY_PARAMETER, PREVIEW_TOKEN};
use crate::refusal::Refusal;
use crate::{cookie, query, signature};

/// The toolbox, the web terminal and the recordings are never public.
const RESERVED_PORTS: [u16; 3] = [2280, 22222, 33333];

/// How cookies are made and read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CookieJar<'c> {
    pub(crate) key: &'c [u8],
    pub(crate) secure: bool,
    pub(crate) now: Timestamp,
}

/// A preview request that may pass.
#[derive(Debug)]
pub(crate) struct AdmittedPreview {
    pub(crate) route: SandboxRoute,
    /// Whether `Authorization` is a key of ours, which must not reach the program; otherwise it
    /// is the program's own.
    pub(crate) bearer_is_ours: bool,
    pub(crate) set_cookie: Option<HeaderValue>,
}

/// The sandbox called `reference` by a request to its toolbox, for those who may use it.
/// `path` is the toolbox's own path.
pub(crate) async fn toolbox(
    directory: &dyn Directory,
    parts: &Parts,
    reference: &str,
    path: &str,
    jar: CookieJar<'_>,
) -> Result<SandboxRoute, Refusal> {
    let not_found = || Refusal::NoSuchSandbox {
        reference: reference.to_owned(),
    };
    if let Some(principal) = principal(directory, parts).await? {
        let found = directory.sandbox(Some(principal.organization), reference);
        return found.await?.ok_or_else(not_found);
    }
    let query = parts.uri.query();
    let signed = signature::is_offered(&parts.method, path, query);
    if !signed && !has_credentials(parts) {
        return Err(Refusal::NoCredentials);
    }
    // Without a key, a sandbox that does not exist looks like one whose token is wrong.
    let route = by_id(directory, reference).await?;
    let route = route.ok_or(Refusal::BadCredentials)?;
    let is_cookie_valid = || is_cookie_valid(parts, reference, &route, jar);
    let is_signature_valid = || {
        query.is_some_and(|query| {
            signature::is_valid(&route.signing_key.0, &parts.method, query, jar.now)
        })
    };
    let is_let_in =
        is_token_valid(parts, &route) || is_cookie_valid() || (signed && is_signature_valid());
    is_let_in.then_some(route).ok_or(Refusal::BadCredentials)
}

/// The sandbox behind the preview host `{port}-{label}`, for those who may see it.
pub(crate) async fn preview(
    directory: &dyn Directory,
    parts: &Parts,
    port: u16,
    label: &str,
    jar: CookieJar<'_>,
) -> Result<AdmittedPreview, Refusal> {
    let not_found = || Refusal::NoSuchSandbox {
        reference: label.to_owned(),
    };
    let principal = principal(directory, parts).await?;
    let bearer_is_ours = principal.is_some();
    let admitted = |route, set_cookie| {
        Ok(AdmittedPreview {
            route,
            bearer_is_ours,
            set_cookie,
        })
    };
    let new_cookie = |route| cookie::issue(jar.key, label, route, jar.now, jar.secure);

    if label.parse::<SandboxId>().is_err() {
        if let Some(route) = by_signed_token(directory, port, label).await? {
            let has_cookie = cookie::is_valid(jar.key, label, &route, &parts.headers, jar.now);
            let set_cookie = if has_cookie { None } else { new_cookie(&route) };
            return admitted(route, set_cookie);
        }
        // Names are only known within an organization, so only with a key.
        let principal = principal.ok_or(Refusal::PrivatePreview)?;
        let found = directory.sandbox(Some(principal.organization), label);
        return admitted(found.await?.ok_or_else(not_found)?, None);
    }

    let route = by_id(directory, label).await?.ok_or_else(not_found)?;
    if route.public && !RESERVED_PORTS.contains(&port) {
        return admitted(route, None);
    }
    match principal {
        Some(principal) if principal.organization == route.organization => {
            return admitted(route, None);
        }
        Some(_) => return Err(not_found()),
        None => {}
    }
    if is_header_token_valid(parts, &route) {
        return admitted(route, None);
    }
    if is_query_token_valid(parts, &route) {
        let set_cookie = new_cookie(&route);
        return admitted(route, set_cookie);
    }
    if is_cookie_valid(parts, label, &route, jar) {
        return admitted(route, None);
    }
    Err(Refusal::PrivatePreview)
}

async fn principal(directory: &dyn Directory, parts: &Parts) -> Result<Option<Principal>, Refusal> {
    match headers::bearer(&parts.headers) {
        Some(token) => Ok(directory.authenticate(token).await?),
        None => Ok(None),
    }
}

async fn by_id(
    directory: &dyn Directory,
    reference: &str,
) -> Result<Option<SandboxRoute>, Refusal> {
    if reference.parse::<SandboxId>().is_err() {
        return Ok(None);
    }
    Ok(directory.sandbox(None, reference).await?)
}

async fn by_signed_token(
    directory: &dyn Directory,
    port: u16,
    token: &str,
) -> Result<Option<SandboxRoute>, Refusal> {
    match directory.preview_token(token).await? {
        Some(grant) if grant.port == port => {
            Ok(directory.sandbox(None, &grant.sandbox.to_string()).await?)
        }
        Some(_) | None => Ok(None),
    }
}

fn has_credentials(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    parts.headers.contains_key(header::AUTHORIZATION)
        || parts.headers.contains_key(PREVIEW_TOKEN)
        || parts.headers.contains_key(header::COOKIE)
        || !matches!(query::only(query, AUTH_KEY_PARAMETER), Ok(None))
}

fn is_token_valid(parts: &Parts, route: &SandboxRoute) -> bool {
    is_header_token_valid(parts, route) || is_query_token_valid(parts, route)
}

fn is_header_token_valid(parts: &Parts, route: &SandboxRoute) -> bool {
    let offered = parts.headers.get(PREVIEW_TOKEN);
    offered.is_some_and(|token| is_same(token.as_bytes(), route))
}

fn is_query_token_valid(parts: &Parts, route: &SandboxRoute) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    matches!(query::only(query, AUTH_KEY_PARAMETER), Ok(Some(token)) if is_same(token.as_bytes(), route))
}

fn is_same(offered: &[u8], route: &SandboxRoute) -> bool {
    let expected = route.auth_token.0.as_bytes();
    !expected.is_empty() && bool::from(offered.ct_eq(expected))
}

/// A cookie counts only for the page's own requests: a page of a sibling sandbox is "same site"
/// to a browser, which would send the cookie along.
fn is_cookie_valid(parts: &Parts, label: &str, route: &SandboxRoute, jar: CookieJar<'_>) -> bool {
    is_own_origin(parts) && cookie::is_valid(jar.key, label, route, &parts.headers, jar.now)
}

fn is_own_origin(parts: &Parts) -> bool {
    let Some(origin) = parts.headers.get(header::ORIGIN) else {
        return true;
    };
    let host = parts.headers.get(header::HOST).map(HeaderValue::as_bytes);
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some_and(|authority| {
        host.is_some_and(|host| authority.as_bytes().eq_ignore_ascii_case(host))
    })
}
