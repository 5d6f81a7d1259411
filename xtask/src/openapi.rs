//! Writing the committed OpenAPI document; the server's own test compares it with the types.

use crate::run;

pub(crate) fn write() -> anyhow::Result<()> {
    let mut cargo = run::cargo();
    cargo
        .args(["test", "--locked", "-p", "sebring-server", "openapi"])
        .env("UPDATE_OPENAPI", "1");
    run::check(&mut cargo)
}
