//! The route of the network policy.

use http::Method;

use super::call::Call;
use super::error::ApiError;
use super::reply::Reply;
use super::sandboxes::{SANDBOX, WRITE, named_id, reply};
use super::table::Route;
use crate::app::App;
use crate::sandboxes::settings;

pub(super) fn routes() -> Vec<Route> {
    const PATH: &str = "/sandbox/{sandboxIdOrName}/network-settings";
    let route = Route::new(
        Method::POST,
        PATH,
        "updateNetworkSettings",
        WRITE,
        SANDBOX,
        update,
    );
    vec![route.takes("NetworkSettings")]
}

async fn update(app: App, mut call: Call) -> Result<Reply, ApiError> {
    let id = named_id(&app, &call)?;
    let body = call.json_or_default().await?;
    reply(&app, &*settings::set_network(&app, id, body).await?)
}
