//! `affiant-fleet`: parse, dispatch, exit.

use std::process::ExitCode;

use affiant_fleet::{cli::Cli, connection, load, primitive};
use clap::Parser as _;

/// Misuse, as in the other binaries.
const USAGE: u8 = 64;

/// Input or output.
const IO: u8 = 74;

fn main() -> ExitCode {
    connection::install_provider();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is misuse.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match cli.run() {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("affiant-fleet: {error}");
            ExitCode::from(match error.downcast_ref() {
                Some(load::LoadError::Usage(_)) => USAGE,
                _ if error.is::<primitive::NotMeasured>() => USAGE,
                _ => IO,
            })
        }
    }
}
