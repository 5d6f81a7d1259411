//! `GET /computeruse/display/info`: the displays of the screen.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use x11rb::protocol::randr::ConnectionExt as _;

use crate::computer::display::{self, Display};
use crate::computer::{kit, layout};
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

#[derive(Debug, Serialize)]
pub(crate) struct Displays {
    displays: Vec<Info>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    id: usize,
    x: i16,
    y: i16,
    width: u16,
    height: u16,
    is_active: bool,
}

pub(crate) async fn info(State(toolbox): State<Arc<Toolbox>>) -> Result<Json<Displays>, Failure> {
    let variables = toolbox.environment.get();
    kit::has_display_server(&variables)?;
    let number = layout::display(&variables)?;
    let displays = display::with(number, |display| Ok(monitors(display))).await?;
    Ok(Json(Displays { displays }))
}

/// The whole screen is one display where the server knows of no others.
fn monitors(display: &Display) -> Vec<Info> {
    let known = display
        .x
        .randr_get_monitors(display.root, true)
        .ok()
        .and_then(|cookie| cookie.reply().ok());
    let monitors = known.map(|reply| reply.monitors).unwrap_or_default();
    if monitors.is_empty() {
        return vec![Info {
            id: 0,
            x: 0,
            y: 0,
            width: display.width,
            height: display.height,
            is_active: true,
        }];
    }
    let only = monitors.len() == 1;
    let infos = monitors.into_iter().enumerate().map(|(id, one)| Info {
        id,
        x: one.x,
        y: one.y,
        width: one.width,
        height: one.height,
        is_active: only || one.primary,
    });
    infos.collect()
}
