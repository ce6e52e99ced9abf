//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::wording::Instant;

mod asking;
mod lists;
mod objecting;
mod policy;

pub use asking::{Check, FindingAct, Findings, OnFinding};
pub use lists::{Hits, ImportList, Lists, OnHit, Pairs, ScreenNames};
pub use objecting::Object;
pub use policy::{CheckPack, DiffPack, Policy};

/// Keeps signed usage records in a tamper-evident log, matches them to vetted tenants and raises
/// findings.
#[derive(Debug, Parser)]
#[command(name = "affiant-verifier", version, max_term_width = 100)]
pub struct Cli {
    /// Configuration; unknown keys are refused
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "Configuration [default: /etc/affiant/verifier.toml]"
    )]
    pub config: Option<PathBuf>,
    /// Data directory, in place of the configuration's
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands. All but `init`, `serve`, `token --reader`, `officer new`, `policy new`, `policy check`, `lists pairs`,
/// `lists screen`, `tenant object --out`, `backup`, `restore`, `export`, `succession` and `check-config` are clients of the running server.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a data directory: authority, log, genesis with its first two officers
    #[command(
        after_help = "Example:\n  affiant-verifier init --data /var/lib/affiant --origin log.example.org/affiant/1 \\\n    --operator \"Example Cloud\" --officer alice.pub --officer bob.pub"
    )]
    Init(Init),
    /// Run the verifier
    #[command(
        after_help = "Example:\n  affiant-verifier serve --config /etc/affiant/verifier.toml"
    )]
    Serve(Serve),
    /// Show on one screen how the verifier, its log and its hosts are
    #[command(
        after_help = "Exit codes: 0 well, 1 somebody should look, 2 the log is contradicted from outside, 3 not known,\n74 no answer. Findings alone are no reason: `findings` has an exit code of its own.\n\nExample:\n  affiant-verifier status --json"
    )]
    Status(Json),
    /// Issue one-use enrolment tokens, each into a file of its own
    #[command(
        after_help = "Examples:\n  affiant-verifier token --host gpu-01 --out gpu-01.token\n  affiant-verifier token --hosts fleet.txt --out-dir tokens/ --valid 72h\n  affiant-verifier token --relay relay-1 --site hall-2 --out relay-1.token"
    )]
    Token(Token),
    /// List hosts, approve, evict, ban, retire or transfer one, announce maintenance, declare devices
    #[command(
        subcommand,
        after_help = "Examples:\n  affiant-verifier host list\n  affiant-verifier host approve gpu-01 --reason \"new mainboard, ticket 4711\""
    )]
    Host(Host),
    /// List relays
    #[command(
        subcommand,
        after_help = "Example:\n  affiant-verifier relay list\n\nA relay is enrolled by a token of its own (token --relay), and ends when its key is revoked\n(key revoke --use record)."
    )]
    Relay(ListOnly),
    /// List keys, change the operator's or the authority, revoke one that was stolen
    #[command(
        subcommand,
        after_help = "Examples:\n  affiant-verifier key list\n  affiant-verifier key rotate ca\n  affiant-verifier key revoke --use record --key 00112233445566778899aabbccddeeff \\\n    --reason \"copied from a stolen disk\""
    )]
    Key(Key),
    /// Make officers' keys, list, add, rotate and revoke them
    #[command(
        subcommand,
        after_help = "Example:\n  affiant-verifier officer new --name alice --out alice.key"
    )]
    Officer(Officer),
    /// Vet tenants
    #[command(
        subcommand,
        after_help = "Example:\n  affiant-verifier tenant apply tenants.toml --key alice.key"
    )]
    Tenant(Tenant),
    /// Keep lines of usage records from being erased
    #[command(
        subcommand,
        after_help = "Examples:\n  affiant-verifier hold place --reason \"inquiry 17\" --key alice.key\n  affiant-verifier hold list"
    )]
    Hold(Hold),
    /// List parties
    #[command(
        subcommand,
        after_help = "Example:\n  affiant-verifier party list --json"
    )]
    Party(ListOnly),
    /// List bindings, withdraw one
    #[command(subcommand, after_help = "Example:\n  affiant-verifier binding list")]
    Binding(Binding),
    /// Import screening lists, decide on what they hit; screen names here, without the server
    #[command(
        subcommand,
        after_help = "Examples:\n  affiant-verifier lists hits\n  affiant-verifier lists clear 91ac03f7 --key alice.key --reason \"another city, see file 12\"\n  affiant-verifier lists screen \"Example University\" --list consolidated.csv"
    )]
    Lists(Lists),
    /// Ask whether a tenant may use a class of device at a site now, and why not
    #[command(
        after_help = "Exit codes: 0 yes, 1 no, 3 nothing stands against it and not all is known of the tenant.\n\nExample:\n  affiant-verifier check --tenant example-labs --class 3A090.a --site hall-2"
    )]
    Check(Check),
    /// Show findings; exits 1 when there are any with which something is left to do
    #[command(
        after_help = "Examples:\n  affiant-verifier findings --json\n  affiant-verifier findings --shadow\n  affiant-verifier findings resolve 3f2a9c41 --key alice.key --reason \"binding was wrong, ticket 88\""
    )]
    Findings(Findings),
    /// Show the policy packs in force, check one, begin one, put one into force, see what it would change
    #[command(
        subcommand,
        after_help = "Examples:\n  affiant-verifier policy show\n  affiant-verifier policy new packs/ours\n  affiant-verifier policy check packs/ours\n  affiant-verifier policy diff packs/ours"
    )]
    Policy(Policy),
    /// Write a report that carries its own proof
    #[command(
        after_help = "Example:\n  affiant-verifier report --from 2026-11-01 --to 2026-12-01 --out november/"
    )]
    Report(Report),
    /// Make the registry again from the log
    #[command(after_help = "Example:\n  affiant-verifier rebuild")]
    Rebuild,
    /// Keep what can be had again: the log as far as it is published, tokens, certificates
    #[command(
        after_help = "Example:\n  affiant-verifier backup /mnt/backup/affiant\n\nThe verifier may run. A later backup into the same directory adds what is new."
    )]
    Backup(Backup),
    /// Make a data directory from a backup; it serves after a succession only
    #[command(
        after_help = "Example:\n  affiant-verifier restore /mnt/backup/affiant --data /var/lib/affiant"
    )]
    Restore(Restore),
    /// Open the next generation of the log, after a loss or for a new log key
    #[command(
        subcommand,
        after_help = "Example, with the verifier stopped:\n  affiant-verifier succession propose --data /var/lib/affiant --last newest.note --reason \"disk lost\" --out next.json\n  affiant-verifier succession approve next.json --key alice.key\n  affiant-verifier succession approve next.json --key bob.key\n  affiant-verifier succession open next.json next.json.alice next.json.bob --data /var/lib/affiant"
    )]
    Succession(Succession),
    /// Copy the public tree into a directory that any web server or bucket can publish
    #[command(
        after_help = "Example:\n  affiant-verifier export /srv/www/affiant\n\nThe verifier may run. A later export into the same directory adds what is new, the checkpoint last."
    )]
    Export(Export),
    /// Check the configuration, all faults at once
    #[command(after_help = "Example:\n  affiant-verifier check-config --config verifier.toml")]
    CheckConfig,
}

/// `init`
#[derive(Debug, Args)]
pub struct Init {
    /// First line of every checkpoint; a name that is yours, with a generation
    #[arg(long, value_name = "NAME")]
    pub origin: String,
    /// The operator's name, for people
    #[arg(long, value_name = "NAME")]
    pub operator: String,
    /// Public key file of a first officer, made by `officer new`; exactly two
    #[arg(long = "officer", value_name = "FILE", required = true)]
    pub officers: Vec<PathBuf>,
}

/// `serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Believe recorded traces and simulated libraries too: for demonstrations and tests
    #[arg(long)]
    pub accept_recorded: bool,
    /// Write the address that agents can reach into this file, once it is bound; then, a line each,
    /// `http`, `api` and `api-tls` with theirs
    #[arg(long, value_name = "FILE")]
    pub address_file: Option<PathBuf>,
    /// A checkpoint of this log that somebody else holds: refuse to serve where it is ahead
    #[arg(long, value_name = "NOTE")]
    pub newest: Vec<PathBuf>,
}

/// `backup`
#[derive(Debug, Args)]
pub struct Backup {
    /// A directory of its own, new or with an earlier backup of this log
    #[arg(value_name = "DIR")]
    pub to: PathBuf,
    /// Private keys too: who reads the backup can then sign as the operator
    #[arg(long)]
    pub with_keys: bool,
    /// Hard links in the place of copies, where both are on one disk
    #[arg(long)]
    pub link: bool,
}

/// `export`
#[derive(Debug, Args)]
pub struct Export {
    /// A directory of its own, new or with an earlier export of this log
    #[arg(value_name = "DIR")]
    pub to: PathBuf,
    /// The statements with their lines too, for an auditor: readable by its owner only
    #[arg(long)]
    pub statements: bool,
}

/// `restore`
#[derive(Debug, Args)]
pub struct Restore {
    /// What `backup` wrote
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
}

/// `succession …`
#[derive(Debug, Subcommand)]
pub enum Succession {
    /// Say what is kept and what was lost; makes the keys of the next generation, signs nothing
    Propose(Propose),
    /// Approve a proposal as an officer: shows it in plain words, asks, signs
    Approve(ApproveSuccession),
    /// Open the generation; run it again if it was cut off
    Open(OpenSuccession),
}

/// `succession propose`
#[derive(Debug, Args)]
pub struct Propose {
    /// A checkpoint that a witness, agent or auditor holds of this log; the newest of several counts
    #[arg(long, value_name = "NOTE")]
    pub last: Vec<PathBuf>,
    /// Logged with the succession
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Change the operator's key too
    #[arg(long)]
    pub new_operator_key: bool,
    /// Where the proposal is written
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// `succession approve`
#[derive(Debug, Args)]
pub struct ApproveSuccession {
    /// What `succession propose` wrote
    pub proposal: PathBuf,
    /// The officer's private key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Do not ask back
    #[arg(long)]
    pub yes: bool,
    /// Where the approval is written [default: PROPOSAL.NAME]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `succession open`
#[derive(Debug, Args)]
pub struct OpenSuccession {
    /// What `succession propose` wrote
    pub proposal: PathBuf,
    /// What two officers' `succession approve` wrote
    #[arg(required = true, num_args = 2..=16, value_name = "APPROVAL")]
    pub approvals: Vec<PathBuf>,
}

/// `--json`
#[derive(Debug, Args)]
pub struct Json {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `token`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["host", "hosts", "reader", "relay"]))]
pub struct Token {
    /// One host
    #[arg(long, value_name = "NAME", requires = "out")]
    pub host: Option<String>,
    /// One relay, which may carry the records of all hosts of --site
    #[arg(long, value_name = "NAME", requires = "out", requires = "site")]
    pub relay: Option<String>,
    /// A file with one host name a line
    #[arg(long, value_name = "FILE", requires = "out_dir")]
    pub hosts: Option<PathBuf>,
    /// A reader of statements over HTTP, such as an auditor; works for as long as verifier.toml
    /// names it
    #[arg(long, value_name = "NAME", requires = "out", conflicts_with_all = ["valid", "site"])]
    pub reader: Option<String>,
    /// Where the token of --host, --relay or --reader is written, mode 0600
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Directory for the tokens of --hosts, one file each
    #[arg(long, value_name = "DIR")]
    pub out_dir: Option<PathBuf>,
    /// How long it works: 90s, 15m, 24h or 7d
    #[arg(long, default_value = "24h", value_parser = crate::wording::parse_duration_ms)]
    pub valid: u64,
    /// Site: of a host for the operator's own books, of a relay what it may carry
    #[arg(long)]
    pub site: Option<String>,
}

/// `host …`
#[derive(Debug, Subcommand)]
pub enum Host {
    /// List all hosts
    List(Json),
    /// Let a pending host send; the chain before it ends
    #[command(
        after_help = "Example:\n  affiant-verifier host approve gpu-01 --reason \"new mainboard, ticket 4711\""
    )]
    Approve(HostChange),
    /// Put a host out; it may enrol again, by approval
    Evict(HostChange),
    /// Put a host out for good
    Ban(HostChange),
    /// End a host's chain in order; its name is free
    Retire(HostChange),
    /// End a host's chain because the host leaves this fleet; its name is free
    Transfer(HostChange),
    /// Announce planned work: silence is excused until the next record
    #[command(
        after_help = "Example:\n  affiant-verifier host maintenance gpu-01 --until 4h --reason \"new fans\""
    )]
    Maintenance {
        /// Which host, and why
        #[command(flatten)]
        change: HostChange,
        /// When it ends at the latest: 90s, 15m, 24h or 7d from now, or a time
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Declare, as an officer, which devices a site has; the newest list of a site counts
    #[command(
        after_help = "The CSV begins with the line serial,uuid,model and has a device a line, with a serial number, a uuid or\nboth. A device that no host has for a day is INVENTORY_MISSING, one that a host of the site has and the\nlist lacks INVENTORY_UNEXPECTED. Nothing is signed unless the whole file is good.\n\nExamples:\n  affiant-verifier host declare --site hall-2 --file devices.csv --key alice.key\n  affiant-verifier host declare --site hall-3 --none --key alice.key"
    )]
    Declare {
        /// The site, as hosts are enrolled with it
        #[arg(long)]
        site: String,
        /// All devices of the site
        #[arg(long, value_name = "FILE", required_unless_present = "none")]
        file: Option<PathBuf>,
        /// The site has no device: every one that a host has there is unexpected
        #[arg(long, conflicts_with = "file")]
        none: bool,
        /// The officer's private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// List sites of which devices are declared: those declared, seen, missing, unexpected
    Declared(Json),
}

/// `key …`
#[derive(Debug, Subcommand)]
pub enum Key {
    /// List the keys in force, and those that were revoked
    List(Json),
    /// Change a key; the old one hands over
    Rotate {
        /// The log's key changes by `succession`, an officer's by `officer rotate`
        what: Rotate,
    },
    /// Say that a key is no longer trusted
    Revoke {
        /// What the key is for
        #[arg(long = "use")]
        used: RevokedUse,
        /// Its identifier, 32 hexadecimal digits, as `key list` shows it; of a tls key the first 32
        /// of the SHA-256 of its SubjectPublicKeyInfo, of a ca those of its certificate's
        #[arg(long, value_name = "ID")]
        key: String,
        /// Log index from which it is not trusted [default: from now on]
        #[arg(long, value_name = "N")]
        from_index: Option<u64>,
        /// Logged with it
        #[arg(long)]
        reason: String,
    },
}

/// What `key rotate` changes.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Rotate {
    /// The key that signs the operator's statements
    Operator,
    /// The authority that issues certificates
    Ca,
}

/// What a revoked key was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RevokedUse {
    /// Signs a host's records
    Record,
    /// Signs an officer's statements
    Officer,
    /// Opens a host's connections
    Tls,
    /// Issues certificates
    Ca,
}

/// Which host, and why.
#[derive(Debug, Args)]
pub struct HostChange {
    /// Name, or chain in hexadecimal
    pub host: String,
    /// Logged with the event
    #[arg(long, default_value = "")]
    pub reason: String,
}

/// `hold …`
#[derive(Debug, Subcommand)]
pub enum Hold {
    /// Place a hold: every hour of the log with an entry in its range stays whole
    Place(HoldChange),
    /// Release a hold of the same range that the same officer placed
    Release(HoldChange),
    /// List the holds that stand
    List(Json),
}

/// Which range, who says so, and why.
#[derive(Debug, Args)]
pub struct HoldChange {
    /// First log index
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub first: u64,
    /// Last log index; all to come unless given
    #[arg(long, value_name = "INDEX", default_value_t = u64::MAX, hide_default_value = true)]
    pub last: u64,
    /// The officer's private key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Logged with it
    #[arg(long)]
    pub reason: String,
}

/// `officer …`
#[derive(Debug, Subcommand)]
pub enum Officer {
    /// Make a key pair on this machine; no server is asked
    #[command(after_help = "Example:\n  affiant-verifier officer new --name alice --out alice.key")]
    New {
        /// One word
        #[arg(long)]
        name: String,
        /// Private key file, mode 0600; the public one gets the ending .pub
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// List officers
    List(Json),
    /// Approve another officer's key with one's own; two such files admit him
    #[command(
        after_help = "Example:\n  affiant-verifier officer approve --candidate carol.pub --key alice.key --out alice.approval"
    )]
    Approve {
        /// The new officer's public key file
        #[arg(long, value_name = "FILE")]
        candidate: PathBuf,
        /// One's own private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Where the approval is written
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Open a new officer's chain, with the approvals of two others
    #[command(
        after_help = "Example:\n  affiant-verifier officer add --key carol.key --approval alice.approval --approval bob.approval"
    )]
    Add {
        /// The new officer's private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// An approval; two are due
        #[arg(long = "approval", value_name = "FILE", required = true)]
        approvals: Vec<PathBuf>,
    },
    /// Go over to a new key, made by `officer new`
    #[command(
        after_help = "Example:\n  affiant-verifier officer rotate --key alice.key --new alice-2.key"
    )]
    Rotate {
        /// The private key until now
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The private key from now on
        #[arg(long, value_name = "FILE")]
        new: PathBuf,
    },
    /// Say that an officer's key is no longer trusted: one's own, or another's
    #[command(
        after_help = "Example:\n  affiant-verifier officer revoke --key bob.key --revoked 00112233445566778899aabbccddeeff \\\n    --reason \"alice lost her laptop\""
    )]
    Revoke {
        /// The private key of the officer who says so
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Identifier of the revoked key, as `key list` shows it
        #[arg(long, value_name = "ID")]
        revoked: String,
        /// Log index from which it is not trusted [default: from now on]
        #[arg(long, value_name = "N")]
        from_index: Option<u64>,
        /// Logged with it
        #[arg(long)]
        reason: String,
    },
}

/// `tenant …`
#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// Log the parties, edges, tenants and bindings of a file, signed by an officer
    #[command(
        after_help = "Example:\n  affiant-verifier tenant apply deploy/registry.toml --key alice.key"
    )]
    Apply {
        /// TOML; see deploy/registry.toml for an example
        file: PathBuf,
        /// The officer's private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Log the parties, edges, tenants and bindings of a file of JSON lines that the log does not say
    #[command(
        after_help = "Example:\n  affiant-verifier tenant import tenants.jsonl --key alice.key\n\nA line is one of\n  {\"party\": {\"id\": \"acme\", \"names\": [\"Acme GmbH\"], \"incorporation\": \"DE\", \"headquarters\": \"DE\"}}\n  {\"edge\": {\"from\": \"holding\", \"to\": \"acme\", \"kind\": \"owns\", \"share_min_percent\": 60}}\n  {\"tenant\": {\"id\": \"acme\", \"customer\": \"acme\", \"end_customer\": \"acme\"}}\n  {\"binding\": {\"id\": \"acme-ns\", \"tenant\": \"acme\", \"namespace\": \"acme\"}}\nwith the fields of deploy/registry.toml; an export also has {\"unstated\": {\"party\": \"x\"}} for what others\npoint at and nobody stated. Nothing is signed unless the whole file is good."
    )]
    Import {
        /// JSON lines, as `tenant export` writes them
        file: PathBuf,
        /// The officer's private key; without it the file is checked and nothing signed
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// When all of it takes effect: now unless given; what permits never works before it is logged
        #[arg(long, value_name = "TIME", value_parser = crate::wording::parse_time_ms)]
        effective: Option<u64>,
    },
    /// Write all parties, edges, tenants and bindings as JSON lines
    #[command(after_help = "Example:\n  affiant-verifier tenant export --out tenants.jsonl")]
    Export {
        /// A new file [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Write a list of tenants to be reviewed, a line each, and print its digest
    #[command(
        after_help = "Example:\n  affiant-verifier tenant review --out review.txt\n  affiant-verifier tenant approve --reviewed review.txt --digest SHA256 --key bob.key"
    )]
    Review {
        /// Those in this state
        #[arg(long, default_value = "applied")]
        state: String,
        /// A new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Approve a tenant as it stands, or all of a reviewed list; takes effect when a second officer
    /// does the same
    #[command(
        after_help = "Examples:\n  affiant-verifier tenant show example-labs\n  affiant-verifier tenant approve example-labs --dossier DIGEST --key alice.key\n  affiant-verifier tenant approve --reviewed review.txt --digest SHA256 --key bob.key"
    )]
    Approve(Approve),
    /// Reject a tenant
    Reject(TenantChange),
    /// Suspend a tenant
    Suspend(TenantChange),
    /// Close a tenant
    Close(TenantChange),
    /// Show what an approval would cover and how the tenant stands; or how it stood at an instant, and who said so
    #[command(
        after_help = "Examples:\n  affiant-verifier tenant show example-labs\n  affiant-verifier tenant show example-labs --at 2026-11-01T12:00:00Z\n  affiant-verifier tenant show example-labs --at 2026-11-01 --known 2026-11-15\n  affiant-verifier tenant show example-labs --json"
    )]
    Show {
        /// Its id
        tenant: String,
        /// How it stood at this instant, as known then and as known now: a time, or `now`
        #[arg(long, value_name = "TIME", value_parser = Instant::parse)]
        at: Option<Instant>,
        /// As known at this time, in the place of now: a time, or `now`
        #[arg(long, value_name = "TIME", value_parser = Instant::parse)]
        known: Option<Instant>,
        /// Print JSON: how it stands now, or stood at the instant
        #[arg(long)]
        json: bool,
    },
    /// Show all that was said of a tenant, of the parties of its dossier and of its bindings: who, when and what
    /// changed
    #[command(after_help = "Example:\n  affiant-verifier tenant history example-labs")]
    History {
        /// Its id
        tenant: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say something against figures or a finding of a tenant's own, signed with one of its objection keys
    #[command(
        after_help = "Examples, on the tenant's own machine:\n  affiant-verifier officer new --name acme --out acme.key\n  affiant-verifier tenant object acme --key acme.key --from 2026-11-01 --to 2026-12-01 --class 3A090.a \\\n      --text \"our jobs ended on the 12th\" --genesis SHA256 --out objection\nand at the server:\n  affiant-verifier tenant object --file objection\n\nOfficers state the key in the tenant's entry: objection_keys = [\"…\"], 64 digits as in acme.pub."
    )]
    Object(Object),
    /// List tenants with their state
    List(Json),
}

/// `tenant approve`
#[derive(Debug, Args)]
pub struct Approve {
    /// Its id
    #[arg(required_unless_present = "reviewed")]
    pub tenant: Option<String>,
    /// Digest of what was reviewed, as `tenant show` printed it: anything else is not signed
    #[arg(long, value_name = "DIGEST", requires = "tenant")]
    pub dossier: Option<String>,
    /// A list that `tenant review` wrote; one decision is signed for each of its lines, or none
    #[arg(
        long,
        value_name = "FILE",
        requires = "digest",
        conflicts_with = "tenant"
    )]
    pub reviewed: Option<PathBuf>,
    /// SHA-256 of the list as it was reviewed: another is not signed
    #[arg(long, value_name = "SHA256", requires = "reviewed")]
    pub digest: Option<String>,
    /// The officer's private key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Logged with the decision; due with all but an approval
    #[arg(long, default_value = "")]
    pub reason: String,
    /// When it takes effect: now unless given; what permits never works before it is logged
    #[arg(long, value_name = "TIME", value_parser = crate::wording::parse_time_ms)]
    pub effective: Option<u64>,
}

/// Which tenant, who says so, and why.
#[derive(Debug, Args)]
pub struct TenantChange {
    /// Its id
    pub tenant: String,
    /// The officer's private key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Logged with the decision; due with all but an approval
    #[arg(long, default_value = "")]
    pub reason: String,
    /// When it takes effect: now unless given; what permits never works before it is logged
    #[arg(long, value_name = "TIME", value_parser = crate::wording::parse_time_ms)]
    pub effective: Option<u64>,
}

/// `party …`
#[derive(Debug, Subcommand)]
pub enum ListOnly {
    /// List all
    List(Json),
}

/// `binding …`
#[derive(Debug, Subcommand)]
pub enum Binding {
    /// List all
    List(Json),
    /// Withdraw one
    Withdraw {
        /// Its id
        binding: String,
        /// The officer's private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
}

/// `report`
#[derive(Debug, Args)]
pub struct Report {
    /// Begin of the period: 2026-11-01, 2026-11-01T08:00:00Z or milliseconds since 1970
    #[arg(long, value_parser = crate::wording::parse_time_ms)]
    pub from: u64,
    /// End of the period, not included
    #[arg(long, value_parser = crate::wording::parse_time_ms)]
    pub to: u64,
    /// Show the lines of this tenant alone; all others stay hashes that are still counted
    #[arg(long)]
    pub tenant: Option<String>,
    /// A new directory
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}
