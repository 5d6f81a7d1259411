//! Builds the in-sandbox executable, so that one `cargo build` makes one complete binary.
//!
//! It must be static, because it runs in images of any libc. The musl target is used when its
//! standard library is installed (or can be added); otherwise static glibc, which is sound here
//! because the toolbox never resolves names.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const MUSL: &str = "x86_64-unknown-linux-musl";

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let workspace = manifest
        .ancestors()
        .nth(2)
        .expect("the crate is two levels down")
        .to_owned();
    for name in ["toolbox", "sys", "api", "core"] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join("crates").join(name).display()
        );
    }
    println!(
        "cargo::rerun-if-changed={}",
        workspace.join("Cargo.lock").display()
    );
    let built = build_toolbox(&workspace);
    println!("cargo::rustc-env=SEBRING_TOOLBOX={}", built.display());
}

/// Builds in a target folder of its own: the outer cargo holds the lock of the usual one.
fn build_toolbox(workspace: &Path) -> PathBuf {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let target_dir = out
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").exists())
        .unwrap_or(&out)
        .join("toolbox");
    let host = env::var_os("HOST")
        .expect("cargo sets it")
        .into_string()
        .expect("triples are ASCII");
    let target = if has_musl() { MUSL } else { host.as_str() };
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    cargo
        .args([
            "build",
            "--package",
            "sebring-toolbox",
            "--bin",
            "toolbox",
            "--profile",
            "toolbox",
        ])
        .args(["--target", target, "--locked", "--target-dir"])
        .arg(&target_dir)
        .current_dir(workspace)
        // Flags and wrappers meant for the outer build (clippy, coverage) must not leak in.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
    let status = cargo.status().expect("start cargo for the toolbox");
    assert!(status.success(), "building the toolbox failed: {status}");
    target_dir.join(target).join("toolbox").join("toolbox")
}

fn has_musl() -> bool {
    let rustc = env::var_os("RUSTC").expect("cargo sets it");
    let installed = || {
        let asked = Command::new(&rustc)
            .args(["--print=target-libdir", "--target", MUSL])
            .output();
        asked.is_ok_and(|answer| Path::new(String::from_utf8_lossy(&answer.stdout).trim()).exists())
    };
    if installed() {
        return true;
    }
    let added = Command::new("rustup")
        .args(["target", "add", MUSL])
        .output();
    added.is_ok_and(|answer| answer.status.success()) && installed()
}
