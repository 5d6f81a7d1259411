//! The `desktop` snapshot: a layer on top of the default one with a display, a browser, and what
//! shows and records them.
//!
//! Must not: build the layer below. Next: `crate::builds` for when it is made.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Error, OUTSIDE, Progress, Recipe, run};

const INSIDE: &str = include_str!("desktop-inside.sh");
/// What comes before [`OUTSIDE`]: both layers as one root.
const STACK: &str = include_str!("desktop-outside.sh");
const PACKAGES: &str = "xvfb openbox x11vnc ffmpeg at-spi2-core dbus dbus-x11 xterm fonts-dejavu-core \
    fonts-liberation";

/// What the name of every version of the layer begins with.
pub(crate) const LAYER_PREFIX: &str = "desktop-";

/// Directory names of a layer to be, all beside each other.
#[derive(Debug)]
pub struct Places<'a> {
    pub layers: &'a Path,
    pub below: &'a str,
    pub new: &'a str,
    pub work: &'a str,
    pub root: &'a str,
}

impl Recipe {
    /// Directory name of the layer, which changes with this recipe and with that of the one below.
    #[must_use]
    pub fn desktop_layer_name(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.layer_name(), self.browser(), PACKAGES, INSIDE, STACK] {
            hash.update(part);
            hash.update([0]);
        }
        format!("{LAYER_PREFIX}{}", &hex::encode(hash.finalize())[..12])
    }

    /// Fills the empty directory `places.new`. Takes a minute or two and needs the network.
    ///
    /// # Errors
    /// The failing step with the end of what it printed.
    pub fn build_desktop(
        &self,
        places: &Places<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Error> {
        let packages = format!("{PACKAGES} {}", self.browser());
        let script = format!("{STACK}\n{OUTSIDE}");
        run::on_top(&script, INSIDE, places, &packages, progress)
    }

    /// Environment that every sandbox of this snapshot starts with.
    #[must_use]
    pub fn desktop_env(&self) -> BTreeMap<String, String> {
        let mut env = self.env();
        // Programs that are started before the desktop find it too, once it is there.
        for (name, value) in [
            ("DISPLAY", ":0"),
            ("NO_AT_BRIDGE", "0"),
            ("QT_ACCESSIBILITY", "1"),
            ("ACCESSIBILITY_ENABLED", "1"),
        ] {
            env.insert(name.to_owned(), value.to_owned());
        }
        env
    }

    /// A real browser that is a package: on Ubuntu the well-known ones come by another way.
    fn browser(&self) -> &'static str {
        match self.mirror.distribution.as_str() {
            "ubuntu" => "epiphany-browser",
            _ => "chromium",
        }
    }
}
