//! The child process of the NVML source alone, for tests that need no whole agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The first is the program, the second the subcommand by which the agent starts it.
    affiant_agent::source::nvml::reader_main(std::env::args_os().skip(2))
}
