//! Names of keys as clients write them, and what X calls the same keys.
//!
//! Must not: know which physical key has a symbol; `keymap` does.

use crate::http::error::Failure;

/// A symbol of the X protocol.
pub(super) type Keysym = u32;

/// Keys that are held while something else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Modifier {
    Ctrl,
    Alt,
    Shift,
    Cmd,
}

/// A key that a client means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) keysym: Keysym,
    /// The modifier that the key is a form of.
    pub(super) family: Option<Modifier>,
}

/// Characters that are keys of their own, without shift.
const PLAIN: &str = "',-./;=[\\]`";

pub(super) const ENTER: Keysym = 0xff0d;
pub(super) const SHIFT: Keysym = 0xffe1;

/// Canonical names; letters, digits and F1 to F24 are beside them.
const NAMED: [(&str, Keysym); 50] = [
    ("backspace", 0xff08),
    ("tab", 0xff09),
    ("enter", ENTER),
    ("escape", 0xff1b),
    ("delete", 0xffff),
    ("home", 0xff50),
    ("left", 0xff51),
    ("up", 0xff52),
    ("right", 0xff53),
    ("down", 0xff54),
    ("pageup", 0xff55),
    ("pagedown", 0xff56),
    ("end", 0xff57),
    ("insert", 0xff63),
    ("menu", 0xff67),
    ("space", 0x20),
    ("capslock", 0xffe5),
    ("shift", SHIFT),
    ("lshift", SHIFT),
    ("rshift", 0xffe2),
    ("ctrl", 0xffe3),
    ("lctrl", 0xffe3),
    ("rctrl", 0xffe4),
    ("alt", 0xffe9),
    ("lalt", 0xffe9),
    ("ralt", 0xffea),
    ("cmd", 0xffeb),
    ("lcmd", 0xffeb),
    ("rcmd", 0xffec),
    ("num_lock", 0xff7f),
    ("num_enter", 0xff8d),
    ("num_equal", 0xffbd),
    ("num_asterisk", 0xffaa),
    ("num_plus", 0xffab),
    ("num_minus", 0xffad),
    ("num_decimal", 0xffae),
    ("num_slash", 0xffaf),
    ("num0", 0xffb0),
    ("num1", 0xffb1),
    ("num2", 0xffb2),
    ("num3", 0xffb3),
    ("num4", 0xffb4),
    ("num5", 0xffb5),
    ("num6", 0xffb6),
    ("num7", 0xffb7),
    ("num8", 0xffb8),
    ("num9", 0xffb9),
    ("print", 0xff61),
    ("pause", 0xff13),
    ("scrolllock", 0xff14),
];

const ALIASES: [(&str, &str); 24] = [
    ("command", "cmd"),
    ("meta", "cmd"),
    ("super", "cmd"),
    ("win", "cmd"),
    ("windows", "cmd"),
    ("control", "ctrl"),
    ("option", "alt"),
    ("del", "delete"),
    ("esc", "escape"),
    ("return", "enter"),
    ("page_up", "pageup"),
    ("page_down", "pagedown"),
    ("spacebar", "space"),
    ("caps_lock", "capslock"),
    ("left_shift", "lshift"),
    ("right_shift", "rshift"),
    ("left_ctrl", "lctrl"),
    ("right_ctrl", "rctrl"),
    ("left_alt", "lalt"),
    ("right_alt", "ralt"),
    ("left_cmd", "lcmd"),
    ("right_cmd", "rcmd"),
    ("left_control", "lctrl"),
    ("right_control", "rctrl"),
];

impl Modifier {
    pub(super) const fn keysym(self) -> Keysym {
        match self {
            Self::Shift => SHIFT,
            Self::Ctrl => 0xffe3,
            Self::Alt => 0xffe9,
            Self::Cmd => 0xffeb,
        }
    }

    fn named(name: &str) -> Option<Self> {
        match canonical(name).as_str() {
            "ctrl" => Some(Self::Ctrl),
            "alt" => Some(Self::Alt),
            "shift" => Some(Self::Shift),
            "cmd" => Some(Self::Cmd),
            _ => None,
        }
    }
}

/// The modifiers that a client lists.
pub(super) fn modifiers(names: Option<Vec<String>>) -> Result<Vec<Modifier>, Failure> {
    let mut found = Vec::new();
    for name in names.unwrap_or_default() {
        let modifier = Modifier::named(&name).ok_or_else(|| {
            Failure::bad_request(format!("modifiers {name:?}: ctrl, alt, shift or cmd"))
        })?;
        if found.contains(&modifier) {
            let text = format!("modifiers {name:?}: is there twice");
            return Err(Failure::bad_request(text));
        }
        found.push(modifier);
    }
    Ok(found)
}

/// The key of that name or character. `field` is named in a refusal.
pub(super) fn key(field: &str, name: &str) -> Result<Key, Failure> {
    let refuse = |why: &str| Err(Failure::bad_request(format!("{field} {name:?}: {why}")));
    let mut characters = name.chars();
    let (first, second) = (characters.next(), characters.next());
    match (first, second) {
        (None, _) => refuse("must not be empty"),
        (Some(character), None) => match single(character) {
            Some(keysym) => Ok(Key {
                keysym,
                family: None,
            }),
            None if character.is_whitespace() => refuse("use the key's name: space, tab or enter"),
            None => refuse("not a key of its own; use shift with one, or type it as text"),
        },
        (Some(_), Some(_)) => match named(&canonical(name)) {
            Some(key) => Ok(key),
            None => refuse("not a key; names are such as enter, f5, pagedown or num_plus"),
        },
    }
}

/// `ctrl+shift+t`: modifiers first, then exactly one key.
pub(super) fn hotkey(keys: &str) -> Result<(Vec<Modifier>, Key), Failure> {
    let refuse = |why: &str| Err(Failure::bad_request(format!("keys {keys:?}: {why}")));
    let tokens: Vec<&str> = keys.split('+').map(str::trim).collect();
    if tokens.iter().any(|token| token.is_empty()) {
        return refuse("an empty key; write plus as shift and =, or as num_plus");
    }
    if tokens
        .iter()
        .any(|token| token.contains(char::is_whitespace))
    {
        return refuse("one combination at a time, joined by +");
    }
    let Some((last, held)) = tokens.split_last() else {
        return refuse("must not be empty");
    };
    let key = key("keys", last)?;
    if key.family.is_some() {
        return refuse("the last key must not be a modifier");
    }
    let held = held.iter().map(|token| (*token).to_owned()).collect();
    Ok((modifiers(Some(held))?, key))
}

fn canonical(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase().replace('-', "_");
    let known = ALIASES.iter().find(|(alias, _)| *alias == name);
    known.map_or(name, |(_, canonical)| (*canonical).to_owned())
}

fn single(character: char) -> Option<Keysym> {
    let lower = character.to_ascii_lowercase();
    let is_key = lower.is_ascii_alphanumeric() || PLAIN.contains(lower);
    is_key.then_some(u32::from(lower))
}

fn named(name: &str) -> Option<Key> {
    if let Some(number) = name.strip_prefix('f').and_then(|n| n.parse::<u32>().ok()) {
        return (1..=24).contains(&number).then_some(Key {
            keysym: 0xffbe + number - 1,
            family: None,
        });
    }
    let (_, keysym) = NAMED.iter().find(|(known, _)| *known == name)?;
    let family = match name.trim_start_matches(['l', 'r']) {
        "ctrl" => Some(Modifier::Ctrl),
        "alt" => Some(Modifier::Alt),
        "shift" => Some(Modifier::Shift),
        "cmd" => Some(Modifier::Cmd),
        _ => None,
    };
    Some(Key {
        keysym: *keysym,
        family,
    })
}

/// The symbol of a character: Latin-1 as it is, all others marked as Unicode.
pub(super) fn of_character(character: char) -> Keysym {
    let code = u32::from(character);
    match code {
        0x20..=0x7e | 0xa0..=0xff => code,
        other => 0x0100_0000 | other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_name_is_a_key() {
        for name in [
            "alt",
            "backspace",
            "capslock",
            "cmd",
            "ctrl",
            "delete",
            "down",
            "end",
            "enter",
            "escape",
            "f1",
            "f24",
            "home",
            "insert",
            "left",
            "menu",
            "pagedown",
            "pageup",
            "right",
            "shift",
            "space",
            "tab",
            "up",
            "lalt",
            "rcmd",
            "num0",
            "num_lock",
            "num_enter",
            "win",
            "Return",
            "page_up",
            "left_shift",
            "a",
            "Z",
            "7",
            "\\",
        ] {
            assert!(key("key", name).is_ok(), "{name}");
        }
        assert_eq!(key("key", "A").unwrap().keysym, 0x61);
        assert_eq!(key("key", "f12").unwrap().keysym, 0xffc9);
    }

    #[test]
    fn what_is_no_key_is_refused_with_what_to_do() {
        for (name, hint) in [
            ("!", "shift"),
            (" ", "name"),
            ("", "empty"),
            ("f25", "names"),
            ("ü", "type"),
            ("bogus", "names"),
        ] {
            let refusal = key("key", name).unwrap_err();
            assert!(refusal.message().contains(hint), "{refusal:?}");
        }
    }

    #[test]
    fn a_hotkey_is_modifiers_and_one_key() {
        let (held, last) = hotkey("Ctrl + shift+T").unwrap();
        assert_eq!(held, [Modifier::Ctrl, Modifier::Shift]);
        assert_eq!(last.keysym, u32::from('t'));
        assert!(hotkey("enter").unwrap().0.is_empty());
        for keys in [
            "",
            "ctrl++",
            "ctrl+a b",
            "ctrl+shift",
            "a+b",
            "ctrl+control+c",
            "lctrl+c",
        ] {
            assert!(hotkey(keys).is_err(), "{keys}");
        }
    }
}
