//! A runner by itself, for tests and for trying things: no server, no supervisor.
//!
//! `runner-standalone <data dir> <run dir> <toolbox> [<spares>]`; `runner-standalone spawner` is its helper.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use sebring_runner::{RunnerConfig, SEATS_READY, SpawnerProgram, instance_name};
use sebring_tasks::chain;
use tracing::error;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome: Result<(), Box<dyn std::error::Error>> = match arguments.as_slice() {
        [role] if role == "spawner" => sebring_runner::spawner_main().map_err(Into::into),
        [data, run, toolbox] => runner(data.into(), run.into(), toolbox.into(), 0),
        [data, run, toolbox, spares] => match spares.parse() {
            Ok(spares) => runner(data.into(), run.into(), toolbox.into(), spares),
            Err(error) => Err(format!("spares {spares:?}: {error}").into()),
        },
        _ => Err("usage: runner-standalone <data dir> <run dir> <toolbox> [<spares>]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!(error = %chain(&*failure), "runner failed");
            ExitCode::FAILURE
        }
    }
}

fn runner(
    data_dir: PathBuf,
    run_dir: PathBuf,
    toolbox: PathBuf,
    warm_pool: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    std::fs::create_dir_all(&data_dir)?;
    let config = RunnerConfig {
        instance: instance_name(&data_dir)?,
        data_dir,
        run_dir,
        server_group: None,
        toolbox: std::fs::read(toolbox)?,
        subnet: None,
        pool_bytes: None,
        seats_ready: SEATS_READY,
        warm_pool,
        spawner: SpawnerProgram {
            program: std::env::current_exe()?,
            arguments: vec!["spawner".into()],
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(sebring_runner::run(config, || ()))?)
}
