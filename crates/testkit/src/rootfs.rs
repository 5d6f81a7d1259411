//! A small Debian to start sandboxes from, bootstrapped once per machine.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Outside of any checkout, so that every clone on the machine shares it.
const CACHE: &str = "/var/cache/sebring-test";

/// Directory of an unpacked minimal Debian: a shell, core utilities and perl. Takes about twenty
/// seconds the first time. Tests must not write to it.
///
/// # Errors
/// When `mmdebstrap` is missing or the distribution's mirror does not answer.
pub fn debian() -> io::Result<PathBuf> {
    let root = Path::new(CACHE).join("bookworm");
    let _lock = lock()?;
    if !root.exists() {
        let unfinished = Path::new(CACHE).join("bookworm.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        run(Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", "bookworm"])
            .arg(&unfinished))?;
        fs::rename(&unfinished, &root)?;
    }
    Ok(root)
}

/// The stand-in for the toolbox (`fixtures/stand_in.rs`), built once per version of its source.
///
/// # Errors
/// When there is no `rustc` with a static target.
pub fn stand_in_toolbox() -> io::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/stand_in.rs");
    let text = fs::read(&source)?;
    let program = Path::new(CACHE).join(format!("stand-in-{:08x}", checksum(&text)));
    let _lock = lock()?;
    if !program.exists() {
        let unfinished = program.with_extension("new");
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        run(Command::new("rustc")
            .args(["-O", "--edition", "2024", "--target", &target, "-o"])
            .arg(&unfinished)
            .arg(&source))?;
        fs::rename(&unfinished, &program)?;
    }
    Ok(program)
}

/// The real toolbox, built as the executable that embeds it does, and in the same place.
///
/// # Errors
/// When it cannot be built.
pub fn toolbox() -> io::Result<PathBuf> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let workspace = crates
        .and_then(Path::parent)
        .ok_or(io::ErrorKind::NotFound)?;
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let target_dir = workspace.join("target/toolbox");
    let _lock = lock()?;
    run(Command::new("cargo")
        .args([
            "build",
            "--quiet",
            "--package",
            "sebring-toolbox",
            "--bin",
            "toolbox",
        ])
        .args(["--profile", "toolbox", "--locked", "--target", &target])
        .arg("--target-dir")
        .arg(&target_dir)
        .current_dir(workspace)
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static"))?;
    Ok(target_dir.join(target).join("toolbox/toolbox"))
}

/// Test programs run side by side; the first one does the work.
fn lock() -> io::Result<File> {
    fs::create_dir_all(CACHE)?;
    let file = File::create(Path::new(CACHE).join("lock"))?;
    file.lock()?;
    Ok(file)
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {said}")))
}

/// FNV-1a; only tells versions of one file apart.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
