//! `affiant-audit`: parse, run, exit.

use std::process::ExitCode;

/// What workers open the judge lets go of, on another thread: this allocator takes that without a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    affiant_audit::cli::run(std::env::args_os()).into()
}
