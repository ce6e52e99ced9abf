//! `affiant-verifier`: parse, dispatch, exit.

use std::process::ExitCode;

use affiant_verifier::{
    cli::{Cli, Command},
    command::{self, Context, Failure},
    config::{Config, LogFormat},
    serve, tls,
};
use clap::Parser as _;

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
            eprintln!("affiant-verifier: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    // `init` and `officer new` come before any configuration.
    if let Some(done) = command::without_config(&cli) {
        return done;
    }
    let mut config = Config::load(cli.config.as_deref()).map_err(Failure::usage)?;
    if let Some(data) = &cli.data {
        config.data = std::path::absolute(data).map_err(Failure::io)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::io)?;
    if let Command::Serve(options) = &cli.command {
        start_journal(config.log);
        let served = serve::serve(config, options);
        runtime.block_on(served).map_err(Failure::io)?;
        // Sessions that would not end must not hold up the exit.
        runtime.shutdown_background();
        return Ok(ExitCode::SUCCESS);
    }
    runtime.block_on(command::run(cli.command, Context::new(&config)))
}

fn start_journal(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("AFFIANT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let journal = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => journal.with_ansi(false).init(),
        LogFormat::Json => journal.json().init(),
    }
}
