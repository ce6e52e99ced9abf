//! `affiant-verifier`: parse, dispatch, exit.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{io::Write as _, process::ExitCode};

use affiant_verifier::{
    cli::{Cli, Command},
    command::{self, Context, Failure},
    config::{Config, Faults, LogFormat},
    serve, tls,
};
use clap::Parser as _;
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

fn main() -> ExitCode {
    tls::install_provider();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is misuse.
            let code = if error.use_stderr() {
                Failure::USAGE
            } else {
                0
            };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            // Nobody is left to tell when standard error is gone.
            let _ = writeln!(std::io::stderr(), "affiant-verifier: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    // `init` and `officer new` come before any configuration.
    if let Some(done) = command::without_config(&cli) {
        return done;
    }
    let (path, data) = (cli.config.clone(), cli.data.clone());
    let data = data
        .map(std::path::absolute)
        .transpose()
        .map_err(Failure::io)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::io)?;
    if let Command::Serve(options) = &cli.command {
        let load = move || {
            let mut config = Config::load(path.as_deref())?;
            if let Some(data) = &data {
                config.data.clone_from(data);
            }
            Ok(config)
        };
        let config = load().map_err(|faults: Faults| Failure::usage(faults))?;
        let level = start_journal(&config);
        let again = move || {
            let config = load()?;
            level(config.log_level);
            Ok(config)
        };
        let served = serve::serve(config, options, &again);
        runtime.block_on(served).map_err(Failure::io)?;
        // Sessions that would not end must not hold up the exit.
        runtime.shutdown_background();
        return Ok(ExitCode::SUCCESS);
    }
    let data = match data {
        Some(data) => data,
        None => Config::data_of(path.as_deref()).map_err(Failure::usage)?,
    };
    runtime.block_on(command::run(cli.command, Context::of(&data)))
}

/// Starts the journal; gives what changes its level, which the environment overrides.
fn start_journal(config: &Config) -> impl Fn(tracing::Level) + use<> {
    let given = EnvFilter::try_from_env("AFFIANT_LOG").ok();
    let fixed = given.is_some();
    let filter = given.unwrap_or_else(|| EnvFilter::new(config.log_level.as_str()));
    let (filter, handle) = reload::Layer::new(filter);
    // What it could not write it would say on standard error, and end the thread where that is full.
    let lines = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let lines = match config.log {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    move |level| {
        if !fixed && let Err(error) = handle.reload(EnvFilter::new(level.as_str())) {
            tracing::warn!(%error, "the journal keeps its level");
        }
    }
}
