//! `tenant object`.

use std::path::PathBuf;

use clap::Args;

/// What a tenant says, or a file in which it was made.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("said").required(true).args(["tenant", "file"]))]
pub struct Object {
    /// The tenant, by id
    #[arg(requires = "key", requires = "text")]
    pub tenant: Option<String>,
    /// An objection that was made with --out: it is handed in
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tenant", "key", "from", "to", "text", "finding", "class", "out"])]
    pub file: Option<PathBuf>,
    /// The tenant's private key, one of its objection keys
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// When the period begins that it is about; where a finding is named and a server asked, the finding's own
    #[arg(long, value_name = "TIME", value_parser = crate::wording::parse_time_ms)]
    pub from: Option<u64>,
    /// When it ends
    #[arg(long, value_name = "TIME", value_parser = crate::wording::parse_time_ms)]
    pub to: Option<u64>,
    /// The finding that it disputes, by its whole id
    #[arg(long, value_name = "ID", conflicts_with = "class")]
    pub finding: Option<String>,
    /// The class of device whose figures it disputes [default: all figures]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// What it says, at most 2,000 characters
    #[arg(long)]
    pub text: Option<String>,
    /// A new file for the objection: it is made without a server, and handed in with --file
    #[arg(long, value_name = "FILE", requires = "genesis")]
    pub out: Option<PathBuf>,
    /// SHA-256 of the log's genesis, as `status` and each report show it; the server's own where one is asked
    #[arg(long, value_name = "SHA256")]
    pub genesis: Option<String>,
}
