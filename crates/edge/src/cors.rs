//! Which web pages of other origins may read our answers.
//!
//! | where | origin | credentials |
//! |---|---|---|
//! | API, events | any | no |
//! | toolbox | any, named back | yes: browser SDKs ask for it, and no cookie of ours lives there |
//! | preview | any, unless the program itself says something | never: its cookie must not be usable by a sibling sandbox's page |
//!
//! Must not: let the program's own policy be overwritten on previews.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::headers::DISABLE_CORS;
use crate::reply::{Reply, ReplyBody};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    Api,
    Toolbox,
    Preview,
}

/// What of a request decides about sharing the answer, kept while the request travels.
#[derive(Debug)]
pub(crate) struct Cors {
    sharing: Sharing,
    origin: Option<HeaderValue>,
}

impl Cors {
    pub(crate) fn of(sharing: Sharing, request: &HeaderMap) -> Self {
        let is_off = request.contains_key(DISABLE_CORS);
        let origin = request.get(header::ORIGIN).filter(|_| !is_off).cloned();
        Self { sharing, origin }
    }

    /// Adds to an answer what lets the asking page read it.
    pub(crate) fn apply(&self, answer: &mut HeaderMap) {
        let Some(origin) = &self.origin else {
            return;
        };
        let by_program = answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        if self.sharing == Sharing::Preview && by_program {
            return;
        }
        match self.sharing {
            Sharing::Api | Sharing::Preview => {
                answer.insert(
                    header::ACCESS_CONTROL_ALLOW_ORIGIN,
                    HeaderValue::from_static("*"),
                );
            }
            Sharing::Toolbox => {
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                answer.insert(
                    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                    HeaderValue::from_static("true"),
                );
                answer.append(header::VARY, HeaderValue::from_static("origin"));
            }
        }
        answer.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "content-disposition, content-length, content-range, retry-after, server-timing",
            ),
        );
    }

    /// The answer to a browser that asks before it sends. Anything may be tried: what is let in
    /// is decided by credentials, which a page must have and send itself.
    pub(crate) fn preflight(&self, request: &HeaderMap) -> Reply {
        let mut reply = Reply::new(ReplyBody::empty());
        *reply.status_mut() = StatusCode::NO_CONTENT;
        self.apply(reply.headers_mut());
        let headers = reply.headers_mut();
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        );
        if let Some(asked) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        headers.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static("600"),
        );
        reply
    }
}

pub(crate) fn is_preflight(method: &Method, request: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && request.contains_key(header::ORIGIN)
        && request.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking() -> HeaderMap {
        let mut request = HeaderMap::new();
        request.insert("origin", "https://page.example".parse().unwrap());
        request.insert("access-control-request-method", "POST".parse().unwrap());
        request.insert(
            "access-control-request-headers",
            "authorization,x-daytona-source".parse().unwrap(),
        );
        request
    }

    #[test]
    fn a_preflight_lets_the_asked_headers_through() {
        let request = asking();
        assert!(is_preflight(&Method::OPTIONS, &request));
        let reply = Cors::of(Sharing::Toolbox, &request).preflight(&request);
        assert_eq!(reply.status(), 204);
        let headers = reply.headers();
        assert_eq!(
            headers["access-control-allow-origin"],
            "https://page.example"
        );
        assert_eq!(headers["access-control-allow-credentials"], "true");
        assert_eq!(
            headers["access-control-allow-headers"],
            "authorization,x-daytona-source"
        );
    }

    #[test]
    fn credentials_are_shared_on_toolbox_paths_only() {
        for sharing in [Sharing::Api, Sharing::Preview] {
            let mut answer = HeaderMap::new();
            Cors::of(sharing, &asking()).apply(&mut answer);
            assert_eq!(answer["access-control-allow-origin"], "*");
            assert!(!answer.contains_key("access-control-allow-credentials"));
        }
    }

    #[test]
    fn a_programs_own_policy_stands_on_previews() {
        let mut answer = HeaderMap::new();
        answer.insert(
            "access-control-allow-origin",
            "https://own".parse().unwrap(),
        );
        Cors::of(Sharing::Preview, &asking()).apply(&mut answer);
        assert_eq!(answer.len(), 1);
        assert_eq!(answer["access-control-allow-origin"], "https://own");
    }

    #[test]
    fn the_header_that_turns_sharing_off_is_obeyed() {
        let mut request = asking();
        request.insert(DISABLE_CORS, "true".parse().unwrap());
        let mut answer = HeaderMap::new();
        Cors::of(Sharing::Api, &request).apply(&mut answer);
        assert!(answer.is_empty());
    }
}
