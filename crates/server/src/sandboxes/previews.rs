//! Links to ports of a sandbox: by its own token, or by a signed token that expires.

use std::time::Duration;

use sebring_api::public::{PortPreviewUrl, SignedPortPreviewUrl};
use sebring_core::sandbox::Sandbox;
use sebring_store::Error as StoreError;
use sebring_store::previews::PreviewToken;

use super::{Error, refuse_deleted};
use crate::app::App;
use crate::random;

/// As published: it must fit into a host label behind the port.
const TOKEN_CHARACTERS: usize = 16;
pub(crate) const EXPIRY_SECONDS_DEFAULT: i64 = 60;
const EXPIRY_SECONDS_MAX: u64 = 86_400;
/// Live tokens of one server; a million is about 150 MB of memory.
const TOKENS_MAX: usize = 1_000_000;

pub(crate) fn link(app: &App, sandbox: &Sandbox, port: u16) -> PortPreviewUrl {
    let id = sandbox.id.to_string();
    PortPreviewUrl {
        url: app.config.urls.preview(port, &id),
        sandbox_id: id,
        token: sandbox.auth_token.expose().clone(),
    }
}

pub(crate) async fn sign(
    app: &App,
    sandbox: &Sandbox,
    port: u16,
    seconds: i64,
) -> Result<SignedPortPreviewUrl, Error> {
    refuse_deleted(sandbox)?;
    let lasts = u64::try_from(seconds).ok();
    let lasts = lasts.filter(|seconds| (1..=EXPIRY_SECONDS_MAX).contains(seconds));
    let Some(lasts) = lasts else {
        return Err(Error::Invalid(format!(
            "expiresInSeconds {seconds}: between 1 and {EXPIRY_SECONDS_MAX} seconds"
        )));
    };
    let live = app.directory.preview_count();
    if live >= TOKENS_MAX {
        return Err(Error::Overloaded(live));
    }
    let token = PreviewToken {
        token: random::token(TOKEN_CHARACTERS),
        sandbox: sandbox.id,
        port,
        expires_at: app.now().after(Duration::from_secs(lasts)),
    };
    let answer = SignedPortPreviewUrl {
        sandbox_id: sandbox.id.to_string(),
        port,
        url: app.config.urls.preview(port, &token.token),
        token: token.token.clone(),
    };
    let id = sandbox.id;
    let write = app.store.write::<_, Error>(move |tx| {
        if tx.sandbox(id)?.is_none() {
            return Err(Error::NotFound(id.to_string()));
        }
        Ok(tx.insert_preview_token(token)?)
    });
    app.store.durable(write.await?.at).await?;
    Ok(answer)
}

/// Ends a signed link; ending one that is over already is fine.
pub(crate) async fn expire(
    app: &App,
    sandbox: &Sandbox,
    port: u16,
    token: &str,
) -> Result<(), Error> {
    let known = app.directory.preview(token, app.now());
    if known.is_none_or(|known| known.sandbox != sandbox.id || known.port != port) {
        return Ok(());
    }
    let token = token.to_owned();
    let write = app
        .store
        .write::<_, StoreError>(move |tx| tx.remove_preview_token(&token));
    app.store.durable(write.await?.at).await?;
    Ok(())
}
