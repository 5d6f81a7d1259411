//! Builds the default snapshots from the Linux distribution's package mirror, so that a host
//! without any container registry has something to start sandboxes from.
//!
//! Must not: know about sandboxes or the server; it fills a directory and says how far it is.
//! Next: `crate::snapshots` for what a finished snapshot looks like on disk.

mod desktop;
mod mirror;
pub(crate) mod run;

use std::collections::BTreeMap;
use std::path::Path;

pub(crate) use desktop::LAYER_PREFIX;
pub use desktop::Places;
pub use run::{Error, Progress};

use mirror::Mirror;

/// Packages of the distribution. Python, its build front end and what people reach for in a shell.
const PACKAGES: &str = "python3,python3-pip,python3-venv,git,curl,wget,ca-certificates,ripgrep,\
    procps,less,jq,zip,unzip,xz-utils,openssh-client,rsync,iproute2,iputils-ping,locales,nano,file";
/// Documentation and translations are a third of a minimal system and nobody reads them here.
const LEFT_OUT: [&str; 4] = [
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
];

const INSIDE: &str = include_str!("inside.sh");
const OUTSIDE: &str = include_str!("outside.sh");

/// How to build the default root filesystem on this host.
#[derive(Debug, Clone)]
pub struct Recipe {
    mirror: Mirror,
}

impl Recipe {
    /// Follows the host's own distribution and mirror.
    ///
    /// # Errors
    /// When the host's distribution is neither Debian nor Ubuntu.
    pub fn of_host() -> Result<Self, Error> {
        Ok(Self {
            mirror: Mirror::of_host(Path::new("/"))?,
        })
    }

    /// Directory name of the layer that this recipe makes. It changes with the recipe, so that an
    /// upgraded server builds afresh and an unchanged one never does.
    #[must_use]
    pub fn layer_name(&self) -> String {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        for part in [self.mirror.suite.as_str(), PACKAGES, INSIDE, OUTSIDE] {
            hash.update(part);
            hash.update([0]);
        }
        let digest = hex::encode(hash.finalize());
        format!(
            "{}-{}-{}",
            self.mirror.distribution,
            self.mirror.suite,
            &digest[..12]
        )
    }

    /// Fills the empty directory `root`. Takes about a minute and needs the network.
    ///
    /// # Errors
    /// The failing step with the end of what it printed.
    pub fn build(&self, root: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
        run::bootstrap(&self.mirror, root, progress)?;
        run::trust_host_authorities(root)?;
        run::finish(root, progress)
    }

    /// Environment that every sandbox of this snapshot starts with.
    #[must_use]
    pub fn env(&self) -> BTreeMap<String, String> {
        let mut env = BTreeMap::from(
            [
                (
                    "PATH",
                    "/home/daytona/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:\
                     /sbin:/bin",
                ),
                ("LANG", "en_US.UTF-8"),
                ("LC_ALL", "en_US.UTF-8"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        if run::host_has_own_authorities() {
            // Runtimes that carry their own list of roots must be told of the system's.
            for name in [
                "SSL_CERT_FILE",
                "REQUESTS_CA_BUNDLE",
                "PIP_CERT",
                "NODE_EXTRA_CA_CERTS",
            ] {
                env.insert(name.to_owned(), run::CA_BUNDLE.to_owned());
            }
        }
        env
    }
}
