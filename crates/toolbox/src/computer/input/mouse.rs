//! `/computeruse/mouse/…`: where the pointer is and what it does.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::keymap::Keymap;
use super::keys::{Modifier, modifiers};
use super::{Stroke, exclusively};
use crate::computer::display::{self, Display};
use crate::computer::{kit, layout};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

const CLICKS: std::ops::RangeInclusive<i64> = 1..=10;
/// Steps of a wheel in one request.
const SCROLL_MAX: i64 = 1000;
/// How long a move may be held back by somebody before the pointer is told as it is.
const ARRIVAL_MAX: Duration = Duration::from_millis(500);
const ARRIVAL_LOOK: Duration = Duration::from_millis(2);
/// A drag in one leap is none for programs that watch the way.
const DRAG_STEPS: i32 = 20;
const DRAG_STEP_PAUSE: Duration = Duration::from_millis(8);
/// Programs take a press as the begin of a drag only when it lasts, and may look at the button
/// themselves after they have seen it move: on a busy host they come to it late.
const DRAG_GRAB_PAUSE: Duration = Duration::from_millis(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Position {
    pub(crate) x: i32,
    pub(crate) y: i32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct MoveRequest {
    x: Option<i64>,
    y: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ClickRequest {
    x: Option<i64>,
    y: Option<i64>,
    button: Option<String>,
    double: Option<bool>,
    clicks: Option<i64>,
    modifiers: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ButtonRequest {
    x: Option<i64>,
    y: Option<i64>,
    button: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DragRequest {
    start_x: Option<i64>,
    start_y: Option<i64>,
    end_x: Option<i64>,
    end_y: Option<i64>,
    button: Option<String>,
    modifiers: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ScrollRequest {
    x: Option<i64>,
    y: Option<i64>,
    direction: Option<String>,
    amount: Option<i64>,
    modifiers: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ScrollResponse {
    success: bool,
}

type Answer<T> = Result<Json<T>, Failure>;

pub(crate) async fn position(State(toolbox): State<Arc<Toolbox>>) -> Answer<Position> {
    let variables = toolbox.environment.get();
    kit::has_display_server(&variables)?;
    // Looking needs no turn.
    let number = layout::display(&variables)?;
    Ok(Json(display::with(number, here).await?))
}

pub(crate) async fn go(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<MoveRequest>,
) -> Answer<Position> {
    let to = (given("x", request.x)?, given("y", request.y)?);
    let action = move |display: &Display| {
        let to = within(display, to, ["x", "y"])?;
        display.move_to(to.0, to.1)?;
        arrived(display, to)
    };
    exclusively(&toolbox, action).await.map(Json)
}

pub(crate) async fn click(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<ClickRequest>,
) -> Answer<Position> {
    let at = (given("x", request.x)?, given("y", request.y)?);
    let button = button(request.button.as_deref())?;
    let clicks = clicks(request.clicks, request.double)?;
    let modifiers = modifiers(request.modifiers)?;
    let action = move |display: &Display| {
        let at = within(display, at, ["x", "y"])?;
        display.move_to(at.0, at.1)?;
        display.holding(&held(display, &modifiers)?, || {
            for _ in 0..clicks {
                display.button(button, Stroke::Press)?;
                display.button(button, Stroke::Release)?;
            }
            Ok(())
        })?;
        arrived(display, at)
    };
    exclusively(&toolbox, action).await.map(Json)
}

pub(crate) async fn down(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<ButtonRequest>,
) -> Answer<Position> {
    stroke(&toolbox, request, Stroke::Press).await
}

pub(crate) async fn up(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<ButtonRequest>,
) -> Answer<Position> {
    stroke(&toolbox, request, Stroke::Release).await
}

/// Where the pointer is, unless both coordinates say otherwise.
async fn stroke(
    toolbox: &Arc<Toolbox>,
    request: ButtonRequest,
    stroke: Stroke,
) -> Answer<Position> {
    let button = button(request.button.as_deref())?;
    let at = match (request.x, request.y) {
        (None, None) => None,
        (x, y) => Some((given("x", x)?, given("y", y)?)),
    };
    let action = move |display: &Display| {
        let at = at.map(|at| within(display, at, ["x", "y"])).transpose()?;
        if let Some((x, y)) = at {
            display.move_to(x, y)?;
        }
        display.button(button, stroke)?;
        match at {
            Some(at) => arrived(display, at),
            None => here(display),
        }
    };
    exclusively(toolbox, action).await.map(Json)
}

pub(crate) async fn drag(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<DragRequest>,
) -> Answer<Position> {
    let from = (
        given("startX", request.start_x)?,
        given("startY", request.start_y)?,
    );
    let to = (given("endX", request.end_x)?, given("endY", request.end_y)?);
    let button = button(request.button.as_deref())?;
    let modifiers = modifiers(request.modifiers)?;
    let action = move |display: &Display| {
        let from = within(display, from, ["startX", "startY"])?;
        let to = within(display, to, ["endX", "endY"])?;
        display.wait_for_manager()?;
        display.holding(&held(display, &modifiers)?, || {
            display.move_to(from.0, from.1)?;
            display.button(button, Stroke::Press)?;
            let moved = pull(display, from, to);
            // However far it got, the button must not stay down.
            display.button(button, Stroke::Release)?;
            moved
        })?;
        arrived(display, to)
    };
    exclusively(&toolbox, action).await.map(Json)
}

pub(crate) async fn scroll(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<ScrollRequest>,
) -> Answer<ScrollResponse> {
    let at = (given("x", request.x)?, given("y", request.y)?);
    let wheel = wheel(request.direction.as_deref())?;
    let amount = match request.amount {
        None | Some(0) => 1,
        Some(amount) if (0..=SCROLL_MAX).contains(&amount) => amount,
        Some(amount) => {
            let text = format!("amount {amount}: from 0 to {SCROLL_MAX}");
            return Err(Failure::bad_request(text));
        }
    };
    let modifiers = modifiers(request.modifiers)?;
    let action = move |display: &Display| {
        let at = within(display, at, ["x", "y"])?;
        display.move_to(at.0, at.1)?;
        display.holding(&held(display, &modifiers)?, || {
            for _ in 0..amount {
                display.button(wheel, Stroke::Press)?;
                display.button(wheel, Stroke::Release)?;
            }
            Ok(())
        })?;
        display.settle()
    };
    exclusively(&toolbox, action).await?;
    Ok(Json(ScrollResponse { success: true }))
}

fn here(display: &Display) -> Result<Position, display::Error> {
    let (x, y) = display.pointer()?;
    Ok(Position {
        x: x.into(),
        y: y.into(),
    })
}

/// Where the pointer is once it is at `to`: a window manager that looks at a press first holds
/// everything after it back for a moment. A program may also keep it elsewhere for good.
fn arrived(display: &Display, to: (i16, i16)) -> Result<Position, display::Error> {
    let deadline = Instant::now() + ARRIVAL_MAX;
    while display.pointer()? != to && Instant::now() < deadline {
        display.pause(ARRIVAL_LOOK)?;
    }
    here(display)
}

fn pull(display: &Display, from: (i16, i16), to: (i16, i16)) -> Result<(), display::Error> {
    display.pause(DRAG_GRAB_PAUSE)?;
    for step in 1..=DRAG_STEPS {
        let between = |from: i16, to: i16| {
            let way = i32::from(to) - i32::from(from);
            i16::try_from(i32::from(from) + way * step / DRAG_STEPS).unwrap_or(to)
        };
        display.move_to(between(from.0, to.0), between(from.1, to.1))?;
        display.pause(DRAG_STEP_PAUSE)?;
    }
    display.pause(DRAG_GRAB_PAUSE)
}

fn held(display: &Display, modifiers: &[Modifier]) -> Result<Vec<u8>, display::Error> {
    if modifiers.is_empty() {
        return Ok(Vec::new());
    }
    let keymap = Keymap::read(display)?;
    modifiers
        .iter()
        .map(|modifier| keymap.code_of(modifier.keysym()))
        .collect()
}

fn given(field: &str, value: Option<i64>) -> Result<i64, Failure> {
    value.ok_or_else(|| Failure::bad_request(format!("{field}: is required")))
}

/// A point of the screen; the fields are named in the refusal.
fn within(
    display: &Display,
    (x, y): (i64, i64),
    fields: [&str; 2],
) -> Result<(i16, i16), display::Error> {
    Ok((
        coordinate(fields[0], x, display.width, "wide")?,
        coordinate(fields[1], y, display.height, "high")?,
    ))
}

fn coordinate(field: &str, value: i64, size: u16, how: &str) -> Result<i16, display::Error> {
    i16::try_from(value)
        .ok()
        .filter(|_| (0..i64::from(size)).contains(&value))
        .ok_or_else(|| {
            display::Error::Invalid(format!(
                "{field} {value}: from 0 to {}; the screen is {size} pixels {how}",
                size.saturating_sub(1)
            ))
        })
}

fn button(name: Option<&str>) -> Result<u8, Failure> {
    match name.unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "left" => Ok(1),
        "middle" => Ok(2),
        "right" => Ok(3),
        other => {
            let text = format!("button {other:?}: left, right or middle");
            Err(Failure::bad_request(text))
        }
    }
}

fn wheel(direction: Option<&str>) -> Result<u8, Failure> {
    match direction.unwrap_or_default().to_ascii_lowercase().as_str() {
        "up" => Ok(4),
        "down" => Ok(5),
        "left" => Ok(6),
        "right" => Ok(7),
        other => {
            let text = format!("direction {other:?}: up, down, left or right");
            Err(Failure::bad_request(text))
        }
    }
}

/// `clicks` wins over `double`.
fn clicks(clicks: Option<i64>, double: Option<bool>) -> Result<i64, Failure> {
    match (clicks, double) {
        (Some(clicks), _) if CLICKS.contains(&clicks) => Ok(clicks),
        (Some(clicks), _) => Err(Failure::bad_request(format!(
            "clicks {clicks}: from {} to {}",
            CLICKS.start(),
            CLICKS.end()
        ))),
        (None, Some(true)) => Ok(2),
        (None, _) => Ok(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_beside_the_screen_is_refused_by_the_name_of_its_field() {
        assert_eq!(coordinate("x", 1023, 1024, "wide").unwrap(), 1023);
        for value in [-1, 1024, i64::MAX, i64::MIN] {
            let refusal = coordinate("endX", value, 1024, "wide")
                .unwrap_err()
                .to_string();
            assert!(
                refusal.starts_with("endX") && refusal.contains("1023"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn clicks_win_over_double_and_none_is_refused() {
        assert_eq!(clicks(None, None).unwrap(), 1);
        assert_eq!(clicks(None, Some(true)).unwrap(), 2);
        assert_eq!(clicks(Some(3), Some(true)).unwrap(), 3);
        assert!(clicks(Some(0), None).is_err() && clicks(Some(11), None).is_err());
    }

    #[test]
    fn buttons_and_wheels_are_known_in_any_case() {
        assert_eq!(button(Some("Right")).unwrap(), 3);
        assert_eq!(button(None).unwrap(), 1);
        assert_eq!(wheel(Some("LEFT")).unwrap(), 6);
        assert!(button(Some("side")).is_err() && wheel(None).is_err());
    }
}
