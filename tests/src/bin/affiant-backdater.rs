//! Plays the operator whose verifier runs by a clock of his choice: the shipped verifier, told by
//! this program what time it is.
//!
//! ```text
//! affiant-backdater BEHIND_MS init|serve …      as affiant-verifier, with a clock that is behind
//! ```
//!
//! For tests: it shows what holds a log to the time of others.
#![allow(clippy::print_stdout)]

use std::{error::Error, process::ExitCode};

use affiant_verifier::{
    cli::{Cli, Command},
    clock::Clock,
    config::Config,
    init,
    serve::Verifier,
    tls,
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("affiant-backdater: {error}");
            ExitCode::from(74)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    tls::install_provider();
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.len() < 3 {
        return Err("usage: affiant-backdater BEHIND_MS init|serve …".into());
    }
    let behind: u64 = arguments.remove(1).to_string_lossy().parse()?;
    let system = Clock::system();
    let clock = Clock::of(move || system.now_ms().saturating_sub(behind));
    let cli = <Cli as clap::Parser>::try_parse_from(arguments)?;
    match cli.command {
        Command::Init(options) => {
            let data = cli.data.ok_or("init needs --data")?;
            println!("{}", init::init(&options, &data, &clock)?);
        }
        Command::Serve(options) => {
            let config = Config::load(cli.config.as_deref())?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            let path = cli.config;
            runtime.block_on(async {
                let (recorded, newest) = (options.accept_recorded, &options.newest);
                let verifier = Verifier::start(config, recorded, newest, clock).await?;
                if let Some(file) = &options.address_file {
                    let part = file.with_extension("part");
                    std::fs::write(&part, verifier.addresses().to_string())?;
                    std::fs::rename(&part, file)?;
                }
                verifier.wait(&|| Config::load(path.as_deref())).await?;
                verifier.drain().await?;
                Ok::<(), Box<dyn Error>>(())
            })?;
            runtime.shutdown_background();
        }
        _ => return Err("only init and serve run by another clock".into()),
    }
    Ok(())
}
