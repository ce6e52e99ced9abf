//! `lists …`

use std::path::PathBuf;

use affiant_report::digits::FirstDigits;
use clap::{Args, Subcommand};

use super::Json;

/// `lists …`
#[derive(Debug, Subcommand)]
pub enum Lists {
    /// Judge labelled pairs of names, and tell precision, recall and F1
    #[command(
        after_help = "The CSV has the columns name1, name2 and is_match (true or false); others are not read.\nexact, strong and possible count as matches, context and none do not.\n\nExample:\n  affiant-verifier lists pairs pairs.csv"
    )]
    Pairs(Pairs),
    /// Screen names against list files
    #[command(
        after_help = "List files: the Consolidated Screening List as CSV, JSON with list_id and entities, or a CSV\nwith a column `name` and any of aliases, country, address, identifiers, program.\nExit codes: 0 no match, 1 at least one of class exact, strong or possible.\n\nExample:\n  affiant-verifier lists screen \"Example University\" 示例大学 --list consolidated.csv"
    )]
    Screen(ScreenNames),
    /// Import a version of a screening list; all parties are screened anew
    #[command(
        after_help = "Examples:\n  affiant-verifier lists import consolidated.csv --list csl --version 2026-11-27 --format consolidated \\\n    --key alice.key\n  affiant-verifier lists import ours.csv --list ours --version 3 --format operator --key alice.key"
    )]
    Import(ImportList),
    /// List the lists as they were last imported
    List(Json),
    /// Show hits on parties that are to be decided; exits 1 when there are any
    Hits(Hits),
    /// Sign that a party is not the one that is listed; an exact or strong hit takes two officers
    Clear(OnHit),
    /// Sign that a party is the one that is listed
    Confirm(OnHit),
}

/// `lists import`
#[derive(Debug, Args)]
pub struct ImportList {
    /// The publisher's file as it is
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Short name of the list, the same for every version
    #[arg(long, value_name = "NAME")]
    pub list: String,
    /// As the publisher gives it, or the day on which it was fetched
    #[arg(long)]
    pub version: String,
    /// How it is read: consolidated, json, operator or aliases
    #[arg(long)]
    pub format: String,
    /// When it took effect: now unless given
    #[arg(long, value_name = "TIME", value_parser = crate::wording::parse_time_ms)]
    pub effective: Option<u64>,
    /// The officer's private key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Do so though it is read in another way or is older than the version that it takes the place of, or is
    /// that version with another file
    #[arg(long)]
    pub replace: bool,
}

/// `lists hits`
#[derive(Debug, Args)]
pub struct Hits {
    /// Those too that were decided
    #[arg(long)]
    pub all: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which hit, who says so, and why.
#[derive(Debug, Args)]
pub struct OnHit {
    /// Its id, or the first 8 digits of it
    pub id: FirstDigits,
    /// The officer's private key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Logged with it
    #[arg(long)]
    pub reason: String,
}

/// `lists pairs`
#[derive(Debug, Args)]
pub struct Pairs {
    /// Labelled pairs
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `lists screen`
#[derive(Debug, Args)]
pub struct ScreenNames {
    /// Names, in any script
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// A list file
    #[arg(long = "list", value_name = "FILE", required = true)]
    pub lists: Vec<PathBuf>,
    /// Names that are one organisation, one a line; added to those that ship
    #[arg(long, value_name = "FILE")]
    pub aliases: Option<PathBuf>,
    /// A country of all of them
    #[arg(long = "country", value_name = "COUNTRY")]
    pub countries: Vec<String>,
    /// An address of all of them
    #[arg(long = "address", value_name = "ADDRESS")]
    pub addresses: Vec<String>,
    /// A number in a register of all of them
    #[arg(long = "identifier", value_name = "NUMBER")]
    pub identifiers: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
