//! What a route is: where, who may, how it is documented, and what it does.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Method;
use sebring_core::permission::Permission;

use super::call::Call;
use super::error::ApiError;
use super::reply::Reply;
use crate::app::App;

type Handler = Arc<dyn Fn(App, Call) -> BoxFuture<'static, Result<Reply, ApiError>> + Send + Sync>;

#[derive(Clone)]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// The operation's name in the published clients.
    pub(super) id: &'static str,
    pub(super) access: Access,
    pub(super) query: &'static [QueryParameter],
    /// Schema of the request body.
    pub(super) request: Option<&'static str>,
    pub(super) answer: Answer,
    pub(super) handler: Handler,
}

/// Who may use a route. There is no default, so a new route has to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Public,
    /// Any valid key of the organization.
    AnyKey,
    Permission(Permission),
}

/// What a route answers when it succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Json(u16, &'static str),
    /// A JSON list of the schema.
    List(&'static str),
    /// Plain text that must not be quoted.
    Text,
    Empty(u16),
    /// Never: the contract knows it and this server cannot do it yet.
    NotYet,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct QueryParameter {
    pub(super) name: &'static str,
    pub(super) kind: QueryKind,
    pub(super) description: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum QueryKind {
    Text,
    Texts,
    Integer,
    Boolean,
    Instant,
}

impl Route {
    pub(super) fn new<F>(
        method: Method,
        path: &'static str,
        id: &'static str,
        access: Access,
        answer: Answer,
        handler: fn(App, Call) -> F,
    ) -> Self
    where
        F: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        Self {
            method,
            path,
            id,
            access,
            query: &[],
            request: None,
            answer,
            handler: Arc::new(move |app, call| handler(app, call).boxed()),
        }
    }

    pub(super) const fn takes(mut self, schema: &'static str) -> Self {
        self.request = Some(schema);
        self
    }

    pub(super) const fn query(mut self, parameters: &'static [QueryParameter]) -> Self {
        self.query = parameters;
        self
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}
