//! `GET /computeruse/display/windows`: what the window manager shows.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use x11rb::protocol::xproto::{Atom, AtomEnum, ConnectionExt as _, MapState, Window};

use crate::computer::display::{self, Display};
use crate::computer::{kit, layout};
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

/// More windows than anybody opens on purpose.
const WINDOWS_MAX: u32 = 1000;
/// Titles are cut to this, in words of 32 bits as the protocol counts them.
const TITLE_WORDS_MAX: u32 = 256;

#[derive(Debug, Serialize)]
pub(crate) struct Windows {
    windows: Vec<Info>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    id: Window,
    title: String,
    x: i16,
    y: i16,
    width: u16,
    height: u16,
    is_active: bool,
}

pub(crate) async fn list(State(toolbox): State<Arc<Toolbox>>) -> Result<Json<Windows>, Failure> {
    let variables = toolbox.environment.get();
    kit::has_display_server(&variables)?;
    let number = layout::display(&variables)?;
    let windows = display::with(number, windows).await?;
    Ok(Json(Windows { windows }))
}

fn windows(display: &Display) -> Result<Vec<Info>, display::Error> {
    let [list, active, name] = ["_NET_CLIENT_LIST", "_NET_ACTIVE_WINDOW", "_NET_WM_NAME"];
    let (list, active, name) = (
        display.atom(list)?,
        display.atom(active)?,
        display.atom(name)?,
    );
    let ids = match words(display, display.root, list, WINDOWS_MAX)? {
        Some(ids) => ids,
        None => unmanaged(display)?,
    };
    let active = words(display, display.root, active, 1)?.and_then(|found| found.first().copied());
    let infos = ids.into_iter().filter_map(|id| {
        let info = unless_gone(describe(display, id, name)).transpose()?;
        Some(info.map(|info| Info {
            is_active: active == Some(id),
            ..info
        }))
    });
    infos.collect()
}

/// A window that closes meanwhile is none; a display that does not answer is another matter.
fn unless_gone<T>(said: Result<T, display::Error>) -> Result<Option<T>, display::Error> {
    match said {
        Ok(said) => Ok(Some(said)),
        Err(display::Error::Refused(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

/// The window that has the keyboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Active {
    /// As its program says.
    pub(crate) pid: u32,
    pub(crate) title: String,
}

pub(crate) fn active(display: &Display) -> Result<Option<Active>, display::Error> {
    let root = words(
        display,
        display.root,
        display.atom("_NET_ACTIVE_WINDOW")?,
        1,
    )?;
    let Some(id) = root
        .and_then(|found| found.first().copied())
        .filter(|id| *id != 0)
    else {
        return Ok(None);
    };
    let (of_pid, of_title) = (display.atom("_NET_WM_PID")?, display.atom("_NET_WM_NAME")?);
    let pid = unless_gone(words(display, id, of_pid, 1))?.flatten();
    let Some(pid) = pid.and_then(|found| found.first().copied()) else {
        return Ok(None);
    };
    let info = unless_gone(describe(display, id, of_title))?;
    Ok(info.map(|Info { title, .. }| Active { pid, title }))
}

/// A property of a window that is a list of numbers.
fn words(
    display: &Display,
    window: Window,
    name: Atom,
    most: u32,
) -> Result<Option<Vec<u32>>, display::Error> {
    let reply = display
        .x
        .get_property(false, window, name, AtomEnum::ANY, 0, most)?
        .reply()?;
    Ok(reply.value32().map(Iterator::collect))
}

/// What is shown on a screen that has no window manager.
fn unmanaged(display: &Display) -> Result<Vec<Window>, display::Error> {
    let children = display.x.query_tree(display.root)?.reply()?.children;
    let mut shown = Vec::new();
    for window in children.into_iter().take(WINDOWS_MAX as usize) {
        let reply = display.x.get_window_attributes(window)?.reply();
        let found = unless_gone(reply.map_err(display::Error::from))?;
        let is_shown =
            found.is_some_and(|one| one.map_state == MapState::VIEWABLE && !one.override_redirect);
        if is_shown {
            shown.push(window);
        }
    }
    Ok(shown)
}

fn describe(display: &Display, id: Window, name: Atom) -> Result<Info, display::Error> {
    let geometry = display.x.get_geometry(id)?.reply()?;
    let place = display
        .x
        .translate_coordinates(id, display.root, 0, 0)?
        .reply()?;
    let title = |property: Atom| -> Result<String, display::Error> {
        let reply = display
            .x
            .get_property(false, id, property, AtomEnum::ANY, 0, TITLE_WORDS_MAX)?
            .reply()?;
        Ok(String::from_utf8_lossy(&reply.value).into_owned())
    };
    let mut text = title(name)?;
    if text.is_empty() {
        text = title(AtomEnum::WM_NAME.into())?;
    }
    Ok(Info {
        id,
        title: text,
        x: place.dst_x,
        y: place.dst_y,
        width: geometry.width,
        height: geometry.height,
        is_active: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_has_closed_is_none_and_a_display_that_hangs_is_an_error() {
        let gone = display::Error::Refused("Window".to_owned());
        assert!(matches!(unless_gone::<()>(Err(gone)), Ok(None)));
        let late = unless_gone::<()>(Err(display::Error::Late));
        assert!(matches!(late, Err(display::Error::Late)));
    }
}
