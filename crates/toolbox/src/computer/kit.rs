//! What a desktop is made of, and whether this image has it.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use super::layout::Layout;
use crate::environment::{DEFAULT_PATH, Variables};

/// Where the accessibility launcher is, by distribution.
const ATSPI_LAUNCHERS: [&str; 3] = [
    "/usr/libexec/at-spi-bus-launcher",
    "/usr/lib/at-spi2-core/at-spi-bus-launcher",
    "/usr/lib/at-spi2/at-spi-bus-launcher",
];
/// The page for browsers; without it other clients still find the socket.
const WEB_PAGES: &str = "/usr/share/novnc";

/// Every part, in the order of their start.
pub(crate) const NAMES: [&str; 6] = ["dbus", "xvfb", "openbox", "atspi", "x11vnc", "novnc"];

/// Without these there is no desktop.
const NEEDED: [&str; 4] = ["Xvfb", "openbox", "x11vnc", "websockify"];

/// A program of the desktop, ready to be started.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// Lower ones start first and stop last.
    pub(crate) priority: u32,
    pub(crate) auto_restart: bool,
    pub(crate) program: CString,
    pub(crate) argv: Vec<CString>,
}

/// Programs that the image lacks.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("this sandbox has no desktop: {} missing", .0.join(", "))]
pub(crate) struct Missing(pub(crate) Vec<&'static str>);

/// The name under which a client may mean a part: the hosted service has another desktop.
pub(crate) fn known_as(asked: &str) -> &str {
    match asked {
        "xfce4" => "openbox",
        other => other,
    }
}

/// Whether pictures and input can be served at all.
pub(crate) fn has_display_server(variables: &Variables) -> Result<(), Missing> {
    match find(variables, "Xvfb") {
        Some(_) => Ok(()),
        None => check(variables),
    }
}

/// Whether a desktop can be started.
pub(crate) fn check(variables: &Variables) -> Result<(), Missing> {
    let missing: Vec<_> = NEEDED
        .into_iter()
        .filter(|name| find(variables, name).is_none())
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Missing(missing))
    }
}

/// A part before its program was looked for: name, priority, restarts, program, arguments.
type Described = (&'static str, u32, bool, &'static str, Vec<String>);

/// Everything to start, in order. Accessibility is left out where the image lacks it.
pub(crate) fn parts(
    variables: &Variables,
    layout: &Layout,
    bus: &Path,
) -> Result<Vec<Part>, Missing> {
    check(variables)?;
    let described = drawing(layout, bus).into_iter().chain(showing(layout));
    let found = described.filter_map(|(name, priority, auto_restart, program, arguments)| {
        let path = find(variables, program)?;
        let words = std::iter::once(program.to_owned()).chain(arguments);
        Some(Part {
            name,
            priority,
            auto_restart,
            program: sebring_sys::fs::c_path(&path).ok()?,
            argv: words.filter_map(|word| CString::new(word).ok()).collect(),
        })
    });
    Ok(found.collect())
}

/// What programs draw on and talk to.
fn drawing(layout: &Layout, bus: &Path) -> [Described; 4] {
    let screen = format!("{}x{}x24", layout.size.width, layout.size.height);
    let display = format!(":{}", layout.display);
    let bus = format!("--address=unix:path={}", bus.display());
    let server = [display.as_str(), "-screen", "0", &screen];
    let server = [&server[..], &["-nolisten", "tcp", "-noreset"]].concat();
    let launcher = ["--launch-immediately", "--a11y=1"];
    let daemon = ["--session", "--nofork", "--nopidfile", &bus];
    [
        ("dbus", 50, true, "dbus-daemon", owned(&daemon)),
        ("xvfb", 100, true, "Xvfb", owned(&server)),
        ("openbox", 200, true, "openbox", owned(&["--sm-disable"])),
        ("atspi", 250, false, "at-spi-bus-launcher", owned(&launcher)),
    ]
}

/// What shows it to people. Both listen inside only: whoever may see it comes through a preview.
fn showing(layout: &Layout) -> [Described; 2] {
    let display = format!(":{}", layout.display);
    let port = layout.vnc_port.to_string();
    let web = format!("127.0.0.1:{}", layout.web_port);
    let target = format!("127.0.0.1:{}", layout.vnc_port);
    let server = [
        "-display", &display, "-rfbport", &port, "-forever", "-shared",
    ];
    let quiet = ["-localhost", "-no6", "-noipv6", "-nopw", "-xkb", "-quiet"];
    let server = owned(&[server, quiet].concat());
    let pages = if Path::new(WEB_PAGES).is_dir() {
        owned(&["--web", WEB_PAGES, &web, &target])
    } else {
        owned(&[&web, &target])
    };
    [
        ("x11vnc", 300, true, "x11vnc", server),
        ("novnc", 400, true, "websockify", pages),
    ]
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The path of an executable of this image.
pub(crate) fn find(variables: &Variables, program: &str) -> Option<PathBuf> {
    let path = variables.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let searched = path
        .split(':')
        .map(|folder| Path::new(folder).join(program));
    let elsewhere = ATSPI_LAUNCHERS
        .iter()
        .map(PathBuf::from)
        .filter(|launcher| launcher.ends_with(program));
    searched
        .chain(elsewhere)
        .find(|path| path.is_absolute() && is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_desktop_is_told_what_it_lacks() {
        let bare = Variables::from([("PATH".to_owned(), "/nowhere".to_owned())]);
        let missing = check(&bare).unwrap_err();
        assert_eq!(missing.0, NEEDED);
        assert!(missing.to_string().contains("Xvfb, openbox"), "{missing}");
    }
}
