//! `policy …`, and what policies find.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Json;

/// `policy …`
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Show the pack in force, who signed it and when, and what waits for a second officer or is to come
    #[command(after_help = "Example:\n  affiant-verifier policy show")]
    Show(Json),
    /// Read a pack, check its policies, run its own examples; no server is asked
    #[command(
        after_help = "Exit codes: 0 well, 1 an example fails, 64 the pack cannot be read, 74 the directory cannot.\n\nExample:\n  affiant-verifier policy check packs/ours"
    )]
    Check(CheckPack),
    /// Have a pack judge from now on, once a second officer says the same; checks it first
    #[command(
        after_help = "Example:\n  affiant-verifier policy activate packs/ours --key alice.key"
    )]
    Activate {
        /// Directory of the pack
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The officer's private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Say which findings of a past period another pack would have made otherwise; logs nothing
    #[command(
        after_help = "Exit codes: 0 none, 1 some, 64 the pack cannot be read, 74 the server cannot be asked.\n\nExample:\n  affiant-verifier policy diff packs/ours --from 2026-10-01 --to 2026-11-01"
    )]
    Diff(DiffPack),
    /// Write the default pack into a new directory, as a start for one's own
    #[command(after_help = "Example:\n  affiant-verifier policy new packs/ours")]
    New {
        /// A new directory
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// `policy diff`
#[derive(Debug, Args)]
pub struct DiffPack {
    /// Directory of the pack
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Begin of the period: 2026-11-01, 2026-11-01T08:00:00Z or milliseconds since 1970 [default: 30 days
    /// before its end]
    #[arg(long, value_parser = crate::wording::parse_time_ms)]
    pub from: Option<u64>,
    /// End of the period, not included [default: now]
    #[arg(long, value_parser = crate::wording::parse_time_ms)]
    pub to: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `policy check`
#[derive(Debug, Args)]
pub struct CheckPack {
    /// Directory with pack.toml, policies.cedar and examples.toml
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
