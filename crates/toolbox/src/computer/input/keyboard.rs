//! `/computeruse/keyboard/…`: text and keys.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use super::keymap::{self, Keymap, Stroked};
use super::keys::{self, Key, Keysym, Modifier};
use super::{Stroke, TURN_MAX, exclusively};
use crate::computer::display::{self, Display};
use crate::computer::{kit, layout};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

/// A page of text; more is a file's affair.
const TEXT_CHARACTERS_MAX: usize = 20_000;
const DELAY_MS_MAX: i64 = 10_000;
/// Typing that takes longer keeps the keyboard from everybody else: the pauses that were asked for,
/// and again what the display needs beside them.
const TYPING_MAX: Duration = Duration::from_secs(300);
/// Characters between two looks at whether the client is still there.
const CHUNK: usize = 16;

#[derive(Debug, Deserialize)]
pub(crate) struct TypeRequest {
    text: Option<String>,
    delay: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct KeyRequest {
    key: Option<String>,
    modifiers: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct HotkeyRequest {
    keys: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Done {}

/// Keys without a symbol of their own that we gave one, oldest first.
#[derive(Debug, Default)]
pub(crate) struct SpareKeys(Mutex<VecDeque<u8>>);

type Answer = Result<Json<Done>, Failure>;

/// A client that leaves ends the typing; between two chunks nothing is held down. The chunk that is
/// under way then keeps its turn to its end.
pub(crate) async fn type_text(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<TypeRequest>,
) -> Answer {
    let text = checked_text(&request.text.unwrap_or_default())?;
    let delay = checked_delay(request.delay, text.len())?;
    let variables = toolbox.environment.get();
    kit::has_display_server(&variables)?;
    let number = layout::display(&variables)?;
    let input = Arc::clone(&toolbox.computer.input);
    let turn = timeout(TURN_MAX, input.lock_owned()).await;
    let turn = Arc::new(turn.map_err(|_| display::Error::Busy)?);
    let end = Instant::now() + typing_max(delay, text.len());
    let chunk = if delay.is_zero() { CHUNK } else { 1 };
    for (number_of_part, part) in text.chunks(chunk).enumerate() {
        if Instant::now() >= end {
            return Err(too_slow(number_of_part * chunk, text.len()));
        }
        let (part, spare) = (part.to_vec(), Arc::clone(&toolbox.computer.spare_keys));
        let turn = Arc::clone(&turn);
        let type_part = move |display: &Display| {
            let _turn = turn;
            type_symbols(display, &part, &spare)
        };
        display::with(number, type_part).await?;
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }
    Ok(Json(Done {}))
}

pub(crate) async fn press(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<KeyRequest>,
) -> Answer {
    let key = keys::key("key", &request.key.unwrap_or_default())?;
    let modifiers = keys::modifiers(request.modifiers)?;
    if key.family.is_some_and(|family| modifiers.contains(&family)) {
        let text = "modifiers: the key itself is one of them";
        return Err(Failure::bad_request(text));
    }
    combine(&toolbox, modifiers, key).await
}

pub(crate) async fn hotkey(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<HotkeyRequest>,
) -> Answer {
    let (modifiers, key) = keys::hotkey(&request.keys.unwrap_or_default())?;
    combine(&toolbox, modifiers, key).await
}

pub(crate) async fn down(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<KeyRequest>,
) -> Answer {
    stroke(&toolbox, request, Stroke::Press).await
}

pub(crate) async fn up(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<KeyRequest>,
) -> Answer {
    stroke(&toolbox, request, Stroke::Release).await
}

async fn stroke(toolbox: &Arc<Toolbox>, request: KeyRequest, stroke: Stroke) -> Answer {
    let key = keys::key("key", &request.key.unwrap_or_default())?;
    let spare = Arc::clone(&toolbox.computer.spare_keys);
    let action = move |display: &Display| {
        for code in keys_of(display, &[key.keysym], &spare)? {
            display.key(code, stroke)?;
        }
        display.settle()
    };
    exclusively(toolbox, action).await?;
    Ok(Json(Done {}))
}

async fn combine(toolbox: &Arc<Toolbox>, modifiers: Vec<Modifier>, key: Key) -> Answer {
    let spare = Arc::clone(&toolbox.computer.spare_keys);
    let action = move |display: &Display| {
        let mut symbols: Vec<_> = modifiers.iter().map(|one| one.keysym()).collect();
        symbols.push(key.keysym);
        let codes = keys_of(display, &symbols, &spare)?;
        display.holding(&codes, || Ok(()))?;
        display.settle()
    };
    exclusively(toolbox, action).await?;
    Ok(Json(Done {}))
}

fn type_symbols(
    display: &Display,
    symbols: &[Keysym],
    spare: &SpareKeys,
) -> Result<(), display::Error> {
    let (keymap, found) = locate(display, symbols, spare, Keymap::find)?;
    let shift = keymap.shift()?;
    for Stroked { code, shifted } in found {
        let held: &[u8] = if shifted { &[shift, code] } else { &[code] };
        display.holding(held, || Ok(()))?;
    }
    display.settle()
}

/// Keys that are `symbols` by themselves. One that is a symbol only with shift, as those of the
/// number pad are digits, is another when it is pressed alone.
fn keys_of(
    display: &Display,
    symbols: &[Keysym],
    spare: &SpareKeys,
) -> Result<Vec<u8>, display::Error> {
    let (_, found) = locate(display, symbols, spare, Keymap::find_plain)?;
    Ok(found.into_iter().map(|one| one.code).collect())
}

/// What to press for `symbols`, of which there are at most [`CHUNK`], and the keyboard as it is then;
/// those that `find` does not find get a key of their own.
fn locate(
    display: &Display,
    symbols: &[Keysym],
    spare: &SpareKeys,
    find: impl Fn(&Keymap, Keysym) -> Option<Stroked>,
) -> Result<(Keymap, Vec<Stroked>), display::Error> {
    let keymap = Keymap::read(display)?;
    let mut homeless: Vec<Keysym> = symbols
        .iter()
        .copied()
        .filter(|symbol| find(&keymap, *symbol).is_none())
        .collect();
    homeless.sort_unstable();
    homeless.dedup();
    let keymap = if homeless.is_empty() {
        keymap
    } else {
        keymap::assign(display, &spare.take(&keymap, &homeless, symbols)?)?;
        Keymap::read(display)?
    };
    let found: Result<_, _> = symbols
        .iter()
        .map(|symbol| {
            let missing = || display::Error::Refused(format!("no key for symbol {symbol:#x}"));
            find(&keymap, *symbol).ok_or_else(missing)
        })
        .collect();
    Ok((keymap, found?))
}

impl SpareKeys {
    /// A key for each of `homeless`: free ones first, then those given out longest ago, but none
    /// that `needed` uses.
    fn take(
        &self,
        keymap: &Keymap,
        homeless: &[Keysym],
        needed: &[Keysym],
    ) -> Result<Vec<(u8, Keysym)>, display::Error> {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = keymap.free_codes();
        // A new server knows nothing of what we gave out on the old one.
        given.retain(|code| !free.contains(code));
        let in_use: Vec<u8> = needed
            .iter()
            .filter_map(|symbol| Some(keymap.find(*symbol)?.code))
            .collect();
        let old: Vec<u8> = given
            .iter()
            .copied()
            .filter(|code| !in_use.contains(code))
            .collect();
        let keys: Vec<_> = free
            .into_iter()
            .chain(old)
            .zip(homeless.iter().copied())
            .collect();
        if keys.len() < homeless.len() {
            let text = "text: too many characters that are not on the keyboard at once";
            return Err(display::Error::Refused(text.to_owned()));
        }
        for (code, _) in &keys {
            given.retain(|one| one != code);
            given.push_back(*code);
        }
        Ok(keys)
    }
}

fn checked_text(text: &str) -> Result<Vec<Keysym>, Failure> {
    let text = text.replace("\r\n", "\n");
    let count = text.chars().count();
    if count > TEXT_CHARACTERS_MAX {
        let text = format!("text: {count} characters; at most {TEXT_CHARACTERS_MAX}");
        return Err(Failure::bad_request(text));
    }
    text.chars()
        .map(|character| match character {
            '\n' => Ok(keys::ENTER),
            '\u{2028}' | '\u{2029}' => Err(character),
            other if other.is_control() => Err(other),
            other => Ok(keys::of_character(other)),
        })
        .collect::<Result<_, _>>()
        .map_err(|character| {
            Failure::bad_request(format!(
                "text: contains {character:?}, which is not a character; press its key instead"
            ))
        })
}

fn checked_delay(delay: Option<i64>, characters: usize) -> Result<Duration, Failure> {
    let delay = delay.unwrap_or(0);
    let checked = u64::try_from(delay)
        .ok()
        .filter(|_| delay <= DELAY_MS_MAX)
        .map(Duration::from_millis);
    let Some(checked) = checked else {
        let text = format!("delay {delay}: from 0 to {DELAY_MS_MAX} milliseconds");
        return Err(Failure::bad_request(text));
    };
    if pauses(checked, characters) > TYPING_MAX {
        return Err(Failure::bad_request(format!(
            "delay {delay}: {characters} characters would take longer than {} s; shorten the text \
             or the delay",
            TYPING_MAX.as_secs()
        )));
    }
    Ok(checked)
}

fn pauses(delay: Duration, characters: usize) -> Duration {
    delay.saturating_mul(u32::try_from(characters).unwrap_or(u32::MAX))
}

fn typing_max(delay: Duration, characters: usize) -> Duration {
    TYPING_MAX.saturating_add(pauses(delay, characters))
}

fn too_slow(typed: usize, characters: usize) -> Failure {
    Failure::internal(format!(
        "text: the desktop is too slow: {typed} of {characters} characters were typed in time; \
         type the others in another request"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_enter_and_other_control_characters_are_refused() {
        assert_eq!(
            checked_text("a\r\nb\n").unwrap(),
            [0x61, keys::ENTER, 0x62, keys::ENTER]
        );
        assert_eq!(checked_text("ü€").unwrap(), [0xfc, 0x0100_20ac]);
        for text in ["\t", "\u{1b}", "\0", "\u{2028}", "\r"] {
            assert!(checked_text(text).is_err(), "{text:?}");
        }
        assert!(checked_text(&"x".repeat(TEXT_CHARACTERS_MAX + 1)).is_err());
    }

    #[test]
    fn typing_that_would_take_too_long_is_refused_by_its_delay() {
        assert!(checked_delay(Some(100), 1000).is_ok());
        let slow = typing_max(Duration::from_millis(100), 1000);
        assert!(
            slow > Duration::from_secs(100),
            "its pauses are no slowness"
        );
        for (delay, characters) in [(-1, 1), (10_001, 1), (1000, 1000)] {
            let refusal = checked_delay(Some(delay), characters).unwrap_err();
            assert!(refusal.message().starts_with("delay"), "{refusal:?}");
        }
    }
}
