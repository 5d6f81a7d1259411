//! What the operator chose, resolved once: the only reader of flags and environment.
//!
//! Must not: touch the system beyond resolving paths.
//! Next: `crate::up` uses it to start the roles, `crate::roles` inside each of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use sha2::{Digest, Sha256};

/// Where a server keeps its things and what it is called; shared by every host command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Location {
    /// Folder of everything that must survive: database, keys, snapshots, sandboxes
    #[arg(
        long,
        env = "SEBRING_DATA_DIR",
        default_value = "/var/lib/sebring",
        value_name = "DIR"
    )]
    pub(crate) data_dir: PathBuf,
}

/// How the server is reached.
#[derive(Debug, Clone, Args)]
pub(crate) struct Listen {
    /// Address to serve on. Beyond loopback, put TLS in front
    #[arg(
        long,
        env = "SEBRING_LISTEN",
        default_value = "127.0.0.1:3986",
        value_name = "ADDRESS"
    )]
    pub(crate) listen: SocketAddr,
    /// Base URL that clients use, when it is not http://ADDRESS (behind a proxy)
    #[arg(long, env = "SEBRING_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Domain under which ports of sandboxes appear, as {port}-{sandbox}.DOMAIN
    #[arg(
        long,
        env = "SEBRING_PREVIEW_DOMAIN",
        default_value = "localhost",
        value_name = "DOMAIN"
    )]
    pub(crate) preview_domain: String,
}

/// The folders of one installation, all derived from the data folder.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) data_dir: PathBuf,
    /// Four hex digits that every kernel object of this installation carries.
    pub(crate) instance: String,
    pub(crate) run_dir: PathBuf,
}

impl Location {
    /// Creates the data folder so that its canonical path exists.
    pub(crate) fn prepare(&self) -> anyhow::Result<Layout> {
        std::fs::create_dir_all(&self.data_dir)
            .with_context(|| format!("create the data folder {}", self.data_dir.display()))?;
        self.find()
    }

    /// The layout of an installation that exists.
    pub(crate) fn find(&self) -> anyhow::Result<Layout> {
        let data_dir = self.data_dir.canonicalize().with_context(|| {
            format!(
                "no installation at {}; `sebring up` makes one",
                self.data_dir.display()
            )
        })?;
        let instance = instance_name(&data_dir);
        let run_dir = Path::new("/run/sebring").join(&instance);
        Ok(Layout {
            data_dir,
            instance,
            run_dir,
        })
    }
}

impl Layout {
    pub(crate) fn keys_dir(&self) -> PathBuf {
        self.data_dir.join("keys")
    }

    pub(crate) fn admin_key(&self) -> PathBuf {
        self.keys_dir().join("admin.key")
    }

    /// The server's own folder, owned by its unprivileged user.
    pub(crate) fn server_dir(&self) -> PathBuf {
        self.data_dir.join("server")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.server_dir().join("sebring.db")
    }

    pub(crate) fn runner_socket(&self) -> PathBuf {
        self.run_dir.join("runner.sock")
    }

    /// Lock and process id of the supervisor.
    pub(crate) fn supervisor_lock(&self) -> PathBuf {
        self.run_dir.join("up.pid")
    }

    /// What a running server said about itself, for `env` and `status`.
    pub(crate) fn endpoint_file(&self) -> PathBuf {
        self.run_dir.join("endpoint.json")
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.data_dir.join("logs")
    }
}

fn instance_name(data_dir: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let digest = Sha256::digest(data_dir.as_os_str().as_bytes());
    hex::encode(&digest[..2])
}

impl Listen {
    /// Origin of the URLs that clients are given, without a trailing slash.
    pub(crate) fn public_url(&self, bound: SocketAddr) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{bound}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_data_folders_never_share_a_run_folder_name() {
        let one = instance_name(Path::new("/var/lib/sebring"));
        assert_eq!(one.len(), 4);
        assert_ne!(one, instance_name(Path::new("/srv/sebring")));
    }

    #[test]
    fn a_public_url_wins_over_the_bound_address() {
        let bound = "127.0.0.1:4000".parse().unwrap();
        let mut listen = Listen {
            listen: bound,
            public_url: Some("https://sandboxes.test/".to_owned()),
            preview_domain: "localhost".to_owned(),
        };
        assert_eq!(listen.public_url(bound), "https://sandboxes.test");
        listen.public_url = None;
        assert_eq!(listen.public_url(bound), "http://127.0.0.1:4000");
    }
}
