//! `affiant-audit`: parse, run, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    affiant_audit::cli::run(std::env::args_os()).into()
}
