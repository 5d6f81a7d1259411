//! `/computeruse/screenshot…`: pictures in answers.

use std::sync::Arc;

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::capture::{Area, Region, capture, draw_pointer};
use super::picture::Format;
use crate::computer::display::{self, Display};
use crate::computer::input::mouse::Position;
use crate::computer::{kit, layout};
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

const QUALITY_DEFAULT: u8 = 85;
const SCALES: std::ops::RangeInclusive<f64> = 0.1..=1.0;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Screenshot {
    screenshot: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor_position: Option<Position>,
    size_bytes: usize,
}

/// A picture as asked for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// The whole screen when absent.
    region: Option<Region>,
    pointer: bool,
    format: Format,
    scale: f64,
    /// Compressed pictures tell the pointer's place only when they show it.
    compressed: bool,
}

type Answer = Result<Json<Screenshot>, Failure>;

pub(crate) async fn full(State(toolbox): State<Arc<Toolbox>>, query: Query) -> Answer {
    take(&toolbox, plain(&query)?).await
}

pub(crate) async fn part(State(toolbox): State<Arc<Toolbox>>, query: Query) -> Answer {
    let mut wanted = plain(&query)?;
    wanted.region = Some(region(&query)?);
    take(&toolbox, wanted).await
}

pub(crate) async fn full_compressed(State(toolbox): State<Arc<Toolbox>>, query: Query) -> Answer {
    take(&toolbox, compressed(&query)?).await
}

pub(crate) async fn part_compressed(State(toolbox): State<Arc<Toolbox>>, query: Query) -> Answer {
    let mut wanted = compressed(&query)?;
    wanted.region = Some(region(&query)?);
    take(&toolbox, wanted).await
}

async fn take(toolbox: &Toolbox, wanted: Wanted) -> Answer {
    let variables = toolbox.environment.get();
    kit::has_display_server(&variables)?;
    let number = layout::display(&variables)?;
    let taken = display::with(number, move |display| shoot(display, wanted)).await?;
    Ok(Json(taken))
}

fn shoot(display: &Display, wanted: Wanted) -> Result<Screenshot, display::Error> {
    let whole = Region {
        x: 0,
        y: 0,
        width: display.width.into(),
        height: display.height.into(),
    };
    let area = wanted.region.unwrap_or(whole);
    let area = area.on(display.width, display.height)?;
    let mut picture = capture(display, area)?;
    if wanted.pointer {
        draw_pointer(display, area, &mut picture)?;
    }
    if wanted.scale < 1.0 {
        picture = picture.shrink(wanted.scale);
    }
    let file = picture
        .write(wanted.format)
        .map_err(|error| display::Error::Refused(error.to_string()))?;
    Ok(Screenshot {
        screenshot: STANDARD.encode(&file),
        cursor_position: pointer_place(display, area, wanted)?,
        size_bytes: file.len(),
    })
}

/// As the contract has it: the pointer when it is shown, else where the picture begins.
fn pointer_place(
    display: &Display,
    area: Area,
    wanted: Wanted,
) -> Result<Option<Position>, display::Error> {
    if !wanted.pointer {
        let origin = Position {
            x: area.x.into(),
            y: area.y.into(),
        };
        return Ok((!wanted.compressed).then_some(origin));
    }
    let (x, y) = display.pointer()?;
    Ok(Some(Position {
        x: scaled(x, wanted.scale),
        y: scaled(y, wanted.scale),
    }))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a coordinate of 16 bits times at most 1"
)]
fn scaled(at: i16, scale: f64) -> i32 {
    (f64::from(at) * scale).round() as i32
}

fn plain(query: &Query) -> Result<Wanted, Failure> {
    Ok(Wanted {
        region: None,
        pointer: query.flag("showCursor")? || query.flag("show_cursor")?,
        format: Format::Png,
        scale: 1.0,
        compressed: false,
    })
}

fn compressed(query: &Query) -> Result<Wanted, Failure> {
    let quality = match query.get("quality") {
        None => QUALITY_DEFAULT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|quality| (1..=100).contains(quality))
            .ok_or_else(|| {
                Failure::bad_request(format!(
                    "query quality {text:?}: a whole number from 1 to 100"
                ))
            })?,
    };
    let format = match query.get("format").map(str::to_ascii_lowercase).as_deref() {
        None | Some("png") => Format::Png,
        Some("jpeg" | "jpg") => Format::Jpeg { quality },
        Some(other) => {
            let text = format!("query format {other:?}: png or jpeg");
            return Err(Failure::bad_request(text));
        }
    };
    let scale = match query.get("scale") {
        None => 1.0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|scale| SCALES.contains(scale))
            .ok_or_else(|| {
                Failure::bad_request(format!(
                    "query scale {text:?}: a number from {} to {:.1}",
                    SCALES.start(),
                    SCALES.end()
                ))
            })?,
    };
    Ok(Wanted {
        format,
        scale,
        compressed: true,
        ..plain(query)?
    })
}

fn region(query: &Query) -> Result<Region, Failure> {
    let whole = |name: &str| -> Result<i64, Failure> {
        let text = query.required(name)?;
        text.parse().map_err(|_| {
            Failure::bad_request(format!("query {name} {text:?}: must be a whole number"))
        })
    };
    Ok(Region {
        x: whole("x")?,
        y: whole("y")?,
        width: whole("width")?,
        height: whole("height")?,
    })
}
