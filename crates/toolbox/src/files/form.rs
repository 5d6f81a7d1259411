//! Multipart forms, a field at a time, in constant memory whatever the client sends.
//!
//! The library takes all that has arrived before it looks for the next field, and keeps what it
//! cannot make sense of yet, without a bound. So it is given a piece of the body only when it is
//! at a loss without one, and no more than [`HEAD_BYTES_MAX`] before it has made sense of some.
//! Next: `upload` and `bulk_upload`, which say what the fields are.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream};
use axum::extract::multipart::{Field as RawField, MultipartError};
use axum::extract::{FromRequest as _, Multipart, Request};
use bytes::Bytes;
use futures_util::Stream;

use crate::http::error::Failure;

/// The head of a field, or whatever stands before the first: names and types are short.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A body that does not have the form it says it has.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Form(#[from] MultipartError),
    #[error("the form ends in the middle of a field")]
    Incomplete,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        super::upload::broken(&error)
    }
}

#[derive(Debug)]
pub(super) struct Form {
    inner: Multipart,
    gate: Gate,
}

#[derive(Debug)]
pub(super) struct Field<'form> {
    inner: RawField<'form>,
    gate: Gate,
}

impl Form {
    pub(super) async fn open(request: Request) -> Result<Self, Failure> {
        let gate = Gate::default();
        let gated = |body: Body| {
            Body::from_stream(Gated {
                body: body.into_data_stream(),
                gate: gate.clone(),
            })
        };
        let inner = Multipart::from_request(request.map(gated), &())
            .await
            .map_err(|error| super::upload::broken(&error))?;
        Ok(Self { inner, gate })
    }

    /// The next field. The one before must have been read to its end, or [`Field::skip`]ped.
    pub(super) async fn next_field(&mut self) -> Result<Option<Field<'_>>, Error> {
        let next = self.gate.feed(self.inner.next_field()).await?;
        Ok(next.map(|inner| Field {
            inner,
            gate: self.gate.clone(),
        }))
    }

    /// Most that was taken from the body and not made sense of, at any time.
    #[cfg(any(test, fuzzing))]
    pub(super) fn held_bytes_most(&self) -> usize {
        self.gate.state().held_most
    }
}

impl Field<'_> {
    pub(super) fn name(&self) -> Option<&str> {
        self.inner.name()
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.gate.feed(self.inner.chunk()).await
    }

    /// Reads to the end of it, into nothing.
    pub(super) async fn skip(mut self) -> Result<(), Error> {
        while self.chunk().await?.is_some() {}
        Ok(())
    }
}

/// Lets the body through piece by piece.
#[derive(Clone, Debug, Default)]
struct Gate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The next piece may pass.
    open: bool,
    /// Nothing more will pass.
    ended: bool,
    /// Passed since the library last made sense of something.
    held: usize,
    #[cfg(any(test, fuzzing))]
    held_most: usize,
}

impl Gate {
    /// Drives the library's `step`, letting pieces through while it cannot go on without.
    async fn feed<T>(
        &self,
        step: impl Future<Output = Result<T, MultipartError>>,
    ) -> Result<T, Error> {
        let mut step = pin!(step);
        let mut starved = false;
        poll_fn(|context| {
            loop {
                self.state().open = starved;
                if let Poll::Ready(done) = step.as_mut().poll(context) {
                    self.state().held = 0;
                    return Poll::Ready(done.map_err(Error::Form));
                }
                let state = self.state();
                if starved && state.ended {
                    // It has all there is, and would wait for ever.
                    return Poll::Ready(Err(Error::Incomplete));
                }
                if starved && state.open {
                    // Nothing has arrived; the body wakes us when something does.
                    return Poll::Pending;
                }
                starved = true;
            }
        })
        .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Gated {
    body: BodyDataStream,
    gate: Gate,
}

impl Stream for Gated {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.gate.state().open {
            // Only `feed` closes the gate, and it asks again at once.
            return Poll::Pending;
        }
        let next = std::task::ready!(Pin::new(&mut self.body).poll_next(context));
        let mut state = self.gate.state();
        state.open = false;
        match next {
            Some(Ok(_)) if state.held > HEAD_BYTES_MAX => {
                let reason = format!("more than {HEAD_BYTES_MAX} bytes without a field");
                let error = io::Error::new(io::ErrorKind::InvalidData, reason);
                Poll::Ready(Some(Err(axum::Error::new(error))))
            }
            Some(Ok(piece)) => {
                state.held += piece.len();
                #[cfg(any(test, fuzzing))]
                {
                    state.held_most = state.held_most.max(state.held);
                }
                Poll::Ready(Some(Ok(piece)))
            }
            other => {
                state.ended = true;
                Poll::Ready(other)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _, stream};
    use http::header::CONTENT_TYPE;

    use super::*;

    /// A form whose body never waits, so that it must be done at once.
    fn form(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Form {
        let request = Request::builder()
            .header(CONTENT_TYPE, "multipart/form-data; boundary=b")
            .body(Body::from_stream(pieces.map(Ok::<_, io::Error>)))
            .unwrap();
        Form::open(request).now_or_never().unwrap().unwrap()
    }

    #[test]
    fn many_small_fields_are_not_gathered_before_the_first_is_read() {
        const FIELD: &[u8] = b"--b\r\ncontent-disposition: form-data; name=\"f\"\r\n\r\nx\r\n";
        let mut form = form(stream::iter(vec![Bytes::from_static(FIELD); 10_000]));
        for _ in 0..9_999 {
            let field = form.next_field().now_or_never().unwrap();
            field
                .unwrap()
                .unwrap()
                .skip()
                .now_or_never()
                .unwrap()
                .unwrap();
        }
        assert!(
            form.held_bytes_most() <= 2 * FIELD.len(),
            "{}",
            form.held_bytes_most()
        );
    }

    #[test]
    fn a_head_or_a_preamble_without_end_is_refused_and_not_kept() {
        for start in ["--b\r\ncontent-disposition: form-data; name=\"", "--c\r\n"] {
            let endless = stream::iter([Bytes::from_static(start.as_bytes())])
                .chain(stream::repeat(Bytes::from_static(&[b'x'; 4096])));
            let mut form = form(endless);
            let refused = form.next_field().now_or_never().expect("an end");
            let refused = Failure::from(refused.expect_err("a refusal"));
            assert!(refused.message().contains("65536"), "{refused:?}");
        }
    }
}
