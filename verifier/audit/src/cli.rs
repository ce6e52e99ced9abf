//! The command line: flags and files in, exit codes out.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, IsTerminal as _, Read as _, Write as _},
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use affiant_proto::tlog::{KeyName, MAX_NOTE_BYTES, Note, NoteKey};
use affiant_report::{Conclusion, Trust, Verdict, files, trust::MAX_TRUST_BYTES, verify};
use clap::{Parser, Subcommand, error::ErrorKind};

use crate::{
    directory::Directory,
    log,
    print::{self, Colour},
    show, witness,
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
    /// Audit a whole log: every file, statement, signature, chain, sum and tile
    #[command(
        after_help = "Example: affiant-audit log /var/lib/affiant --trust trust.toml --since kept-checkpoint\n\n\
                      DIR is a verifier's data directory, its log directory, or an export.\n\
                      URL is an export on a web server, or a verifier's address for readers."
    )]
    Log(LogArguments),
    /// Show one record of a log, with its signature and inclusion verified
    #[command(
        after_help = "Example: affiant-audit record /var/lib/affiant 4711 --trust trust.toml\n\
                      Or:      affiant-audit record /var/lib/affiant CHAIN:SEQUENCE"
    )]
    Record(RecordArguments),
    /// Derive a finding again from a log or a report, and show its evidence
    #[command(
        after_help = "Example: affiant-audit explain report-2026-10 0f1e2d3c4b5a69788796a5b4c3d2e1f0\n\n\
                      DIR is a report, or a log as `log` takes it."
    )]
    Explain(ExplainArguments),
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
struct LogArguments {
    /// Directory of the log, or http://HOST[:PORT][/PREFIX]
    #[arg(value_name = "DIR|URL")]
    log: PathBuf,
    /// A reader's token for a verifier that asks for one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What you trust: log key, genesis, authority, officers, witnesses
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// A checkpoint of this log that you kept; may be given more than once
    #[arg(long, value_name = "CHECKPOINT")]
    since: Vec<PathBuf>,
    /// Threads that verify; as many as there are cores where none is said
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Note here what is verified, and verify no signature again that is noted; this file is trusted
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct RecordArguments {
    /// Directory of the log
    dir: PathBuf,
    /// Log index, or chain and sequence
    #[arg(value_name = "INDEX|CHAIN:SEQUENCE")]
    which: show::Which,
    /// What you trust: log key, genesis, authority, officers, witnesses
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct ExplainArguments {
    /// Directory of the report or log
    dir: PathBuf,
    /// The finding, 32 hexadecimal digits
    #[arg(value_name = "FINDING")]
    finding: String,
    /// What you trust: log key, genesis, authority, officers, witnesses
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Print JSON
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
        Command::Verify(arguments) => verify_bundle(&arguments),
        Command::Log(arguments) => audit_log(&arguments),
        Command::Record(arguments) => show_record(&arguments),
        Command::Explain(arguments) => explain(&arguments),
        Command::Witness(arguments) if arguments.init => make_witness(&arguments),
        Command::Witness(arguments) => run_witness(arguments),
    };
    done.unwrap_or_else(|failure| {
        let _ = writeln!(io::stderr(), "affiant-audit: {}", failure.text);
        failure.code
    })
}

fn verify_bundle(arguments: &VerifyArguments) -> Result<u8, Failure> {
    let trust = arguments.trust.as_deref().map(trusted).transpose()?;
    let since = arguments.since.as_deref().map(kept).transpose()?;
    let directory = Directory::open(arguments.dir.clone());
    let directory =
        directory.map_err(|error| io_error(format!("{}: {error}", arguments.dir.display())))?;
    let verdict = verify(&directory, trust.as_ref(), since.as_ref()).map_err(io_error)?;
    conclude(&verdict, arguments.json)
}

fn audit_log(arguments: &LogArguments) -> Result<u8, Failure> {
    let trust = arguments.trust.as_deref().map(trusted).transpose()?;
    let since = arguments.since.iter().map(|path| kept(path));
    let since = since.collect::<Result<Vec<_>, _>>()?;
    let store = store(arguments)?;
    let resume = arguments.resume.as_deref().map(|path| {
        let opened = log::Resume::open(path);
        opened.map_err(|error| io_error(format!("{}: {error}", path.display())))
    });
    let resume = resume.transpose()?;
    let asked = log::Asked {
        trust: trust.as_ref(),
        since: &since,
        threads: arguments.threads,
        resume: resume.as_ref(),
    };
    let verdict = log::audit(&*store, &asked, &mut log::Bar::default());
    let verdict = verdict.map_err(|failure| no_verdict(&arguments.log, &failure))?;
    conclude(&verdict, arguments.json)
}

fn show_record(arguments: &RecordArguments) -> Result<u8, Failure> {
    let trust = arguments.trust.as_deref().map(trusted).transpose()?;
    let folder = folder(&arguments.dir)?;
    let record = show::record(&folder, arguments.which, trust.as_ref());
    let record = record.map_err(|error| not_shown(&arguments.dir, &error))?;
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&record).map_err(io_error)? + "\n",
        false => show::text::record(&record),
    };
    say(&text)?;
    let holds = record.held.iter().all(|held| held.ok);
    Ok(if holds {
        0
    } else {
        Conclusion::Broken.exit_code()
    })
}

fn explain(arguments: &ExplainArguments) -> Result<u8, Failure> {
    let trust = arguments.trust.as_deref().map(trusted).transpose()?;
    let dir = &arguments.dir;
    let fault = |error| not_shown(dir, &error);
    let (explained, verdict) = if dir.join(files::REPORT).exists() {
        let directory = Directory::open(dir.clone());
        let directory =
            directory.map_err(|error| io_error(format!("{}: {error}", dir.display())))?;
        let verdict = verify(&directory, trust.as_ref(), None).map_err(io_error)?;
        let explained = show::explain_bundle(&directory, &arguments.finding);
        (explained.map_err(fault)?, verdict)
    } else {
        let asked = log::Asked {
            trust: trust.as_ref(),
            ..log::Asked::default()
        };
        let mut bar = log::Bar::default();
        let folder = folder(dir)?;
        show::explain_log(&folder, &arguments.finding, &asked, &mut bar).map_err(fault)?
    };
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&explained).map_err(io_error)? + "\n",
        false => format!(
            "{}\n{:<16}{}\n",
            show::text::explained(&explained),
            "integrity",
            verdict.integrity.text
        ),
    };
    say(&text)?;
    Ok(match verdict.verdict {
        Conclusion::Broken => Conclusion::Broken.exit_code(),
        _ => Conclusion::Findings.exit_code(),
    })
}

fn not_shown(dir: &Path, error: &show::NotShown) -> Failure {
    use show::NotShown;
    let text = format!("{}: {error}", dir.display());
    match error {
        NotShown::NoRecord(..) | NotShown::NoFinding(_) | NotShown::Log(log::Failure::NoLog) => {
            usage(text)
        }
        NotShown::Log(_) | NotShown::Bundle(files::Unread::Io { .. }) => io_error(text),
        _ => Failure {
            code: Conclusion::Broken.exit_code(),
            text,
        },
    }
}

/// Most bytes of a token's file.
const MAX_TOKEN_BYTES: u64 = 1_024;

fn store(arguments: &LogArguments) -> Result<Box<dyn log::Store>, Failure> {
    let place = arguments.log.to_string_lossy();
    if !log::Site::is_meant(&place) {
        return Ok(Box::new(folder(&arguments.log)?));
    }
    let token = arguments.token_file.as_deref();
    let token = token.map(|path| read(path, MAX_TOKEN_BYTES)).transpose()?;
    let site = log::Site::parse(&place, token.as_deref()).map_err(usage)?;
    Ok(Box::new(site))
}

fn folder(dir: &Path) -> Result<log::Folder, Failure> {
    let folder = log::Folder::open(dir.to_owned());
    folder.map_err(|error| io_error(format!("{}: {error}", dir.display())))
}

fn no_verdict(dir: &Path, failure: &log::Failure) -> Failure {
    let text = format!("{}: {failure}", dir.display());
    match failure {
        log::Failure::NoLog => usage(text),
        _ => io_error(text),
    }
}

fn read(path: &Path, limit: u64) -> Result<String, Failure> {
    let text = read_text(path, limit);
    text.map_err(|error| io_error(format!("{}: {error}", path.display())))
}

fn trusted(path: &Path) -> Result<Trust, Failure> {
    let trust = Trust::parse(&read(path, MAX_TRUST_BYTES)?);
    trust.map_err(|error| usage(format!("{}: {error}", path.display())))
}

fn kept(path: &Path) -> Result<Note, Failure> {
    let note = Note::parse(read(path, MAX_NOTE_BYTES as u64)?.as_bytes());
    note.map_err(|error| usage(format!("{}: {error}", path.display())))
}

/// Prints a verdict; gives its exit code.
fn conclude(verdict: &Verdict, json: bool) -> Result<u8, Failure> {
    let text = match json {
        true => serde_json::to_string_pretty(verdict).map_err(io_error)? + "\n",
        false => print::verdict(verdict, colour()),
    };
    say(&text)?;
    Ok(verdict.verdict.exit_code())
}

fn colour() -> Colour {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match io::stdout().is_terminal() && !plain {
        true => Colour::Yes,
        false => Colour::No,
    }
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
