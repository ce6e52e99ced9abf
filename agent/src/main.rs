//! `affiant-agent`: read the command line, do it, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    match affiant_agent::cli::main(std::env::args_os()) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
