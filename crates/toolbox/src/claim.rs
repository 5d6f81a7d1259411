//! `PUT /_sebring/claim`: the runner says that this spare has become somebody's sandbox.
//!
//! A spare is complete but for what only its owner can say: its variables. Its entrypoint waits
//! for them, so that every process finds what it would find after a cold start.
//!
//! Must not: be possible twice; the second owner would see what the first one did.
//! Next: the runner's `spares` for who makes and gives out spares.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use http::StatusCode;
use sebring_api::boot::Claim;

use crate::entrypoint;
use crate::http::body::JsonBody;
use crate::toolbox::Toolbox;

/// The entrypoint of a spare; nothing in a sandbox that is somebody's.
#[derive(Debug)]
pub(crate) struct Unclaimed(Mutex<Option<Vec<String>>>);

impl Unclaimed {
    pub(crate) const fn new(entrypoint: Option<Vec<String>>) -> Self {
        Self(Mutex::new(entrypoint))
    }

    pub(crate) fn get(&self) -> Option<Vec<String>> {
        let entrypoint = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entrypoint.clone()
    }

    fn take(&self) -> Option<Vec<String>> {
        let mut entrypoint = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entrypoint.take()
    }
}

pub(crate) async fn claim(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(claim): JsonBody<Claim>,
) -> StatusCode {
    let Some(entrypoint) = toolbox.unclaimed.take() else {
        return StatusCode::CONFLICT;
    };
    toolbox.environment.begin(claim.env);
    entrypoint::start(&toolbox, &entrypoint);
    StatusCode::NO_CONTENT
}
