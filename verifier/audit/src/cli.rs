//! The command line: flags and files in, exit codes out.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, IsTerminal as _, Read as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use affiant_proto::tlog::{KeyName, MAX_NOTE_BYTES, Note, NoteKey};
use affiant_report::{Trust, trust::MAX_TRUST_BYTES, verify};
use clap::{Parser, Subcommand, error::ErrorKind};

use crate::{
    directory::Directory,
    print::{self, Colour},
    witness,
};

/// Exit code of wrong flags, or files that are not what a flag asks for.
pub const EX_USAGE: u8 = 64;
/// Exit code of failed input or output.
pub const EX_IOERR: u8 = 74;

/// Verify signed usage reports of a GPU fleet, offline
#[derive(Parser)]
#[command(
    name = "affiant-audit",
    version,
    after_help = "Exit codes: 0 clean, 1 findings, 2 evidence broken, 3 incomplete, 64 usage, 74 input or output."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Verify a report: every signature, chain, proof and figure
    #[command(
        after_help = "Example: affiant-audit verify report-2026-10 --trust trust.toml --since kept-checkpoint"
    )]
    Verify(VerifyArguments),
    /// Cosign the checkpoints of a log as long as it only grows
    #[command(
        after_help = "Example: affiant-audit witness --init --key witness.key --name witness.example\n\
                      Then:    affiant-audit witness --listen 127.0.0.1:7490 --key witness.key --state witness.state --log VKEY"
    )]
    Witness(WitnessArguments),
}

#[derive(clap::Args)]
struct VerifyArguments {
    /// Directory of the report
    dir: PathBuf,
    /// What you trust: log key, genesis, authority, officers, witnesses
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// A checkpoint of this log that you kept
    #[arg(long, value_name = "CHECKPOINT")]
    since: Option<PathBuf>,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct WitnessArguments {
    /// Make a key, print its public half, and end
    #[arg(long, conflicts_with_all = ["listen", "state", "log", "port_file"], requires = "name")]
    init: bool,
    /// Name of the key, such as your domain; with --init
    #[arg(long, requires = "init")]
    name: Option<KeyName>,
    /// File of the witness's private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// File that holds the newest checkpoint that was cosigned; back it up never, restore it never
    #[arg(long, value_name = "FILE", required_unless_present = "init")]
    state: Option<PathBuf>,
    /// Public key of the log, name+id+base64
    #[arg(long, value_name = "VKEY", required_unless_present = "init")]
    log: Option<NoteKey>,
    /// Address to listen on; port 0 takes any
    #[arg(long, value_name = "ADDRESS", required_unless_present = "init")]
    listen: Option<SocketAddr>,
    /// Write the port that was taken into this file
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
}

/// Why a command could not be done.
struct Failure {
    code: u8,
    text: String,
}

fn usage(text: impl ToString) -> Failure {
    Failure {
        code: EX_USAGE,
        text: text.to_string(),
    }
}

fn io_error(text: impl ToString) -> Failure {
    Failure {
        code: EX_IOERR,
        text: text.to_string(),
    }
}

/// Runs the command that `arguments` ask for; gives the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell when standard error is gone.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                _ => EX_USAGE,
            };
        }
    };
    let done = match cli.command {
        Command::Verify(arguments) => verify_bundle(arguments),
        Command::Witness(arguments) if arguments.init => make_witness(&arguments),
        Command::Witness(arguments) => run_witness(arguments),
    };
    done.unwrap_or_else(|failure| {
        let _ = writeln!(io::stderr(), "affiant-audit: {}", failure.text);
        failure.code
    })
}

fn verify_bundle(arguments: VerifyArguments) -> Result<u8, Failure> {
    let read = |path: &Path, limit| {
        let text = read_text(path, limit);
        text.map_err(|error| io_error(format!("{}: {error}", path.display())))
    };
    let trust = match &arguments.trust {
        None => None,
        Some(path) => {
            let text = read(path, MAX_TRUST_BYTES)?;
            let trust = Trust::parse(&text);
            Some(trust.map_err(|error| usage(format!("{}: {error}", path.display())))?)
        }
    };
    let since = match &arguments.since {
        None => None,
        Some(path) => {
            let text = read(path, MAX_NOTE_BYTES as u64)?;
            let note = Note::parse(text.as_bytes());
            Some(note.map_err(|error| usage(format!("{}: {error}", path.display())))?)
        }
    };
    let directory = Directory::open(arguments.dir.clone());
    let directory =
        directory.map_err(|error| io_error(format!("{}: {error}", arguments.dir.display())))?;
    let verdict = verify(&directory, trust.as_ref(), since.as_ref()).map_err(io_error)?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&verdict).map_err(io_error)? + "\n"
    } else {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = if io::stdout().is_terminal() && !plain {
            Colour::Yes
        } else {
            Colour::No
        };
        print::verdict(&verdict, colour)
    };
    say(&text)?;
    Ok(verdict.verdict.exit_code())
}

fn make_witness(arguments: &WitnessArguments) -> Result<u8, Failure> {
    let name = arguments
        .name
        .clone()
        .ok_or_else(|| usage("--init needs --name, such as your domain"))?;
    let random = ring::rand::SystemRandom::new();
    let made = witness::make(&arguments.key, name, &random).map_err(io_error)?;
    say(&format!("{}\n", made.key()))?;
    Ok(0)
}

fn run_witness(arguments: WitnessArguments) -> Result<u8, Failure> {
    let WitnessArguments {
        key,
        state: Some(state),
        log: Some(log),
        listen: Some(listen),
        port_file,
        ..
    } = arguments
    else {
        return Err(usage(
            "a witness needs --key, --state, --log and --listen, or --init",
        ));
    };
    let cosigner = witness::read(&key).map_err(io_error)?;
    let origin = log.name().as_str().parse().map_err(usage)?;
    let memory = witness::FileMemory::first_or_again(&key, &state, &origin).map_err(io_error)?;
    let witness = witness::Witness::new(log, cosigner, memory);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime
        .map_err(io_error)?
        .block_on(witness::run(witness, listen, port_file.as_deref()))
        .map_err(|error| io_error(format!("{listen}: {error}")))?;
    Ok(0)
}

fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("longer than {limit} bytes"),
        ));
    }
    Ok(text)
}

/// Writes to standard output; a reader that went away is no failure of the verdict.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(io_error(error)),
        _ => Ok(()),
    }
}
