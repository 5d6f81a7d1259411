//! What the sandbox's variables say about its desktop, checked.
//!
//! Must not: look at what is installed; `kit` does.

use std::path::PathBuf;

use crate::environment::Variables;

/// Displays have numbers of up to this; X would take more, and nobody means them.
const DISPLAY_MAX: u16 = 999;
/// Smaller than this no window manager is usable; wider needs more memory than sandboxes have.
const WIDTHS: std::ops::RangeInclusive<u16> = 320..=7680;
const HEIGHTS: std::ops::RangeInclusive<u16> = 200..=4320;
/// What clients of the hosted service find when nobody chose.
const DEFAULT_SIZE: Size = Size {
    width: 1024,
    height: 768,
};
const VNC_PORT: u16 = 5901;
/// Where previews of the desktop are looked for.
const WEB_PORT: u16 = 6080;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u16,
    pub(crate) height: u16,
}

/// Where the desktop is and how large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) display: u16,
    pub(crate) size: Size,
    pub(crate) vnc_port: u16,
    pub(crate) web_port: u16,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Error {
    #[error(
        "variable DISPLAY {0:?}: a local display, such as :0, with a number up to {DISPLAY_MAX}"
    )]
    Display(String),
    #[error(
        "variable VNC_RESOLUTION {0:?}: WIDTHxHEIGHT, such as 1024x768, from {min_w}x{min_h} \
         to {max_w}x{max_h}",
        min_w = WIDTHS.start(), min_h = HEIGHTS.start(),
        max_w = WIDTHS.end(), max_h = HEIGHTS.end()
    )]
    Resolution(String),
    #[error("variable {name} {value:?}: a port from 1024 to 65535")]
    Port { name: &'static str, value: String },
}

impl Layout {
    pub(crate) fn of(variables: &Variables) -> Result<Self, Error> {
        let size = match variables.get("VNC_RESOLUTION") {
            Some(text) => size(text).ok_or_else(|| Error::Resolution(text.clone()))?,
            None => DEFAULT_SIZE,
        };
        Ok(Self {
            display: display(variables)?,
            size,
            vnc_port: port(variables, "VNC_PORT", VNC_PORT)?,
            web_port: port(variables, "NO_VNC_PORT", WEB_PORT)?,
        })
    }
}

/// The number of the display that programs of this sandbox use.
pub(crate) fn display(variables: &Variables) -> Result<u16, Error> {
    let Some(text) = variables.get("DISPLAY") else {
        return Ok(0);
    };
    let number = text.strip_prefix(':').map(|rest| {
        // `:0.0` names the first screen, and there is no other.
        rest.strip_suffix(".0").unwrap_or(rest)
    });
    number
        .and_then(|digits| digits.parse().ok())
        .filter(|number| *number <= DISPLAY_MAX)
        .ok_or_else(|| Error::Display(text.clone()))
}

fn size(text: &str) -> Option<Size> {
    let mut parts = text.trim().split('x');
    let width = parts.next()?.parse().ok()?;
    let height = parts.next()?.parse().ok()?;
    // A depth may follow, and is always 24.
    let depth_is_known = parts.next().is_none_or(|depth| depth == "24");
    let fits = WIDTHS.contains(&width) && HEIGHTS.contains(&height);
    (fits && depth_is_known && parts.next().is_none()).then_some(Size { width, height })
}

fn port(variables: &Variables, name: &'static str, otherwise: u16) -> Result<u16, Error> {
    let Some(text) = variables.get(name) else {
        return Ok(otherwise);
    };
    text.parse()
        .ok()
        .filter(|port| *port >= 1024)
        .ok_or_else(|| Error::Port {
            name,
            value: text.clone(),
        })
}

/// The folder of a desktop's logs and of its message bus.
pub(crate) fn folder(variables: &Variables) -> PathBuf {
    home(variables).join(".daytona/computeruse")
}

/// The folder of films.
pub(crate) fn recordings(variables: &Variables) -> PathBuf {
    let chosen = variables.get("DAYTONA_RECORDINGS_DIR").map(PathBuf::from);
    let chosen = chosen.filter(|folder| folder.is_absolute());
    chosen.unwrap_or_else(|| home(variables).join(".daytona/recordings"))
}

/// Where programs of the sandbox think they are at home.
pub(crate) fn home(variables: &Variables) -> PathBuf {
    let home = variables.get("HOME").map(PathBuf::from);
    home.filter(|home| home.is_absolute())
        .unwrap_or_else(|| PathBuf::from("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(variables: &[(&str, &str)]) -> Result<Layout, Error> {
        let owned = variables.iter();
        let owned = owned.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Layout::of(&owned.collect())
    }

    #[test]
    fn without_variables_it_is_where_clients_expect_it() {
        let found = layout(&[]).unwrap();
        assert_eq!((found.display, found.web_port), (0, 6080));
        assert_eq!((found.size.width, found.size.height), (1024, 768));
    }

    #[test]
    fn a_size_that_no_display_can_have_is_refused_by_the_name_of_its_variable() {
        assert_eq!(
            layout(&[("VNC_RESOLUTION", "1920x1080x24")]).unwrap().size,
            Size {
                width: 1920,
                height: 1080
            }
        );
        for text in [
            "",
            "10x10",
            "99999x100",
            "1024",
            "1024x768x8",
            "-1x768",
            "1x2x3x4",
        ] {
            let refusal = layout(&[("VNC_RESOLUTION", text)]).unwrap_err();
            assert!(refusal.to_string().contains("VNC_RESOLUTION"), "{text}");
        }
    }

    #[test]
    fn a_display_elsewhere_is_refused() {
        assert_eq!(layout(&[("DISPLAY", ":7.0")]).unwrap().display, 7);
        for text in ["host:0", ":x", ":0.1", ":5000", "/tmp/x"] {
            assert!(layout(&[("DISPLAY", text)]).is_err(), "{text}");
        }
        assert!(layout(&[("NO_VNC_PORT", "80")]).is_err());
    }
}
