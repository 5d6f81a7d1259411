//! Which physical key has which symbol on this server, and making room for symbols that none has.

use std::time::Duration;

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::ConnectionExt as _;

use super::keys::{Keysym, SHIFT};
use crate::computer::display::{self, Display};

/// Programs read the new mapping when they learn of it; until then a key means what it meant.
const MAPPING_PAUSE: Duration = Duration::from_millis(40);

#[derive(Debug)]
pub(super) struct Keymap {
    first: u8,
    per_code: usize,
    symbols: Vec<Keysym>,
}

/// How to type a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stroked {
    pub(super) code: u8,
    pub(super) shifted: bool,
}

impl Keymap {
    pub(super) fn read(display: &Display) -> Result<Self, display::Error> {
        let setup = display.x.setup();
        let (first, last) = (setup.min_keycode, setup.max_keycode);
        let count = last.saturating_sub(first).saturating_add(1);
        let reply = display.x.get_keyboard_mapping(first, count)?.reply()?;
        Ok(Self {
            first,
            per_code: usize::from(reply.keysyms_per_keycode).max(1),
            symbols: reply.keysyms,
        })
    }

    /// Without shift first: a symbol may be on a key twice.
    pub(super) fn find(&self, symbol: Keysym) -> Option<Stroked> {
        let shifted = || self.on_level(1, symbol);
        self.find_plain(symbol).or_else(shifted)
    }

    /// Without shift only.
    pub(super) fn find_plain(&self, symbol: Keysym) -> Option<Stroked> {
        self.on_level(0, symbol)
    }

    fn on_level(&self, level: usize, symbol: Keysym) -> Option<Stroked> {
        let mut keys = self.symbols.chunks(self.per_code);
        let at = keys.position(|key| key.get(level) == Some(&symbol))?;
        Some(Stroked {
            code: self.code_at(at)?,
            shifted: level == 1,
        })
    }

    /// The key of a symbol that every keyboard has.
    pub(super) fn code_of(&self, symbol: Keysym) -> Result<u8, display::Error> {
        self.find(symbol)
            .map(|found| found.code)
            .ok_or_else(|| display::Error::Refused(format!("this keyboard has no key {symbol:#x}")))
    }

    pub(super) fn shift(&self) -> Result<u8, display::Error> {
        self.code_of(SHIFT)
    }

    /// Keys that mean nothing.
    pub(super) fn free_codes(&self) -> Vec<u8> {
        let keys = self.symbols.chunks(self.per_code).enumerate();
        let free = keys.filter(|(_, key)| key.iter().all(|symbol| *symbol == 0));
        free.filter_map(|(at, _)| self.code_at(at)).collect()
    }

    fn code_at(&self, at: usize) -> Option<u8> {
        self.first.checked_add(u8::try_from(at).ok()?)
    }
}

/// Gives each symbol a key of its own.
pub(super) fn assign(display: &Display, keys: &[(u8, Keysym)]) -> Result<(), display::Error> {
    for (code, symbol) in keys {
        // On both levels: it must not matter whether somebody holds shift.
        display
            .x
            .change_keyboard_mapping(1, *code, 2, &[*symbol, *symbol])?;
    }
    display.settle()?;
    display.pause(MAPPING_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_is_found_with_and_without_shift() {
        let keymap = Keymap {
            first: 8,
            per_code: 2,
            symbols: vec![0, 0, 0x61, 0x41, 0, 0],
        };
        let plain = keymap.find(0x61).unwrap();
        assert_eq!((plain.code, plain.shifted), (9, false));
        assert!(keymap.find(0x41).unwrap().shifted);
        assert_eq!(keymap.find_plain(0x61), Some(plain));
        assert_eq!(keymap.find_plain(0x41), None);
        assert_eq!(keymap.find(0x62), None);
        assert_eq!(keymap.free_codes(), [8, 10]);
    }
}
