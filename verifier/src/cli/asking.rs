//! `check` and `findings`.

use std::path::PathBuf;

use affiant_report::digits::FirstDigits;
use clap::{Args, Subcommand};

/// `check`
#[derive(Debug, Args)]
pub struct Check {
    /// The tenant, by id
    #[arg(long)]
    pub tenant: String,
    /// The class of device: 3A090.a, 3A090.b, uncontrolled or unknown
    #[arg(long = "class", value_name = "CLASS")]
    pub device_class: String,
    /// The site, as hosts are enrolled with it
    #[arg(long, default_value = "", hide_default_value = true)]
    pub site: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `findings`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Findings {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Show what policies in shadow find in their place; that counts for nothing, and exits 0
    #[arg(long)]
    pub shadow: bool,
    /// Those too with which nothing is left to do
    #[arg(long)]
    pub all: bool,
    /// What to do about one
    #[command(subcommand)]
    pub act: Option<FindingAct>,
}

/// What an officer does about a finding. None of it takes the finding away.
#[derive(Debug, Subcommand)]
pub enum FindingAct {
    /// Sign that somebody is at it
    Acknowledge(OnFinding),
    /// Sign that what caused it was put right
    Resolve(OnFinding),
    /// Sign that it should not have been raised; takes two officers
    Withdraw(OnFinding),
}

/// Which finding, who says so, and why.
#[derive(Debug, Args)]
pub struct OnFinding {
    /// Its id, or at least the first 8 digits
    pub id: FirstDigits,
    /// The officer's private key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Logged with it
    #[arg(long)]
    pub reason: String,
}
