//! The command line: flags and files in, exit codes out.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write as _},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use affiant_proto::tlog::{MAX_NOTE_BYTES, Note};
use affiant_report::{
    Conclusion, Trust, Verdict,
    digits::FirstDigits,
    files,
    plain_file::{NotRead, PlainFile, read_bounded, read_bounded_text},
    trust::MAX_TRUST_BYTES,
    verify,
};
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
    after_help = "Exit codes: 0 clean, 1 findings, 2 evidence broken, 3 incomplete, 64 usage, 74 input or output.\n\
                  Without --trust nothing is held against what you trust, so what holds is 3, incomplete."
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
                      Or:      affiant-audit record /var/lib/affiant CHAIN:SEQUENCE\n\n\
                      DIR and URL are a log as `log` takes it. Of a chain or digest the first 8 digits do,\n\
                      where no other begins so; digits 0 to 9 alone are a log index."
    )]
    Record(RecordArguments),
    /// Derive a finding again from a log or a report, and show its evidence
    #[command(
        after_help = "Example: affiant-audit explain report-2026-10 0f1e2d3c4b5a69788796a5b4c3d2e1f0\n\n\
                      DIR is a report, or a log as `log` takes it; URL is such a log. Of the finding the\n\
                      first 8 digits do, where no other begins so."
    )]
    Explain(ExplainArguments),
    /// Cosign the checkpoints of logs as long as each only grows
    #[command(
        after_help = "Example: affiant-audit witness --init --key witness.key --name witness.example\n\
                      Then:    affiant-audit witness --listen 0.0.0.0:7490 --key witness.key --state witness.state --log VKEY\n\
                      Offline: affiant-audit witness --once public/ --out cosigned.note --key witness.key --state witness.state --log VKEY"
    )]
    Witness(witness::Arguments),
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
    #[arg(long, value_name = "N", value_parser = threads)]
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
    /// Directory of the log, or http://HOST[:PORT][/PREFIX]
    #[arg(value_name = "DIR|URL")]
    log: PathBuf,
    /// Log index, digest of the statement, or chain and sequence
    #[arg(value_name = "INDEX|DIGEST|CHAIN:SEQUENCE")]
    which: show::Which,
    /// A reader's token for a verifier that asks for one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What you trust: log key, genesis, authority, officers, witnesses
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct ExplainArguments {
    /// Directory of the report or log, or http://HOST[:PORT][/PREFIX] of a log
    #[arg(value_name = "DIR|URL")]
    place: PathBuf,
    /// The finding, 32 hexadecimal digits, or at least the first 8
    #[arg(value_name = "FINDING")]
    finding: FirstDigits,
    /// A reader's token for a verifier that asks for one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What you trust: log key, genesis, authority, officers, witnesses
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why a command could not be done.
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) text: String,
}

pub(crate) fn usage(text: impl ToString) -> Failure {
    Failure {
        code: EX_USAGE,
        text: text.to_string(),
    }
}

pub(crate) fn io_error(text: impl ToString) -> Failure {
    Failure {
        code: EX_IOERR,
        text: text.to_string(),
    }
}

/// A file that was named and not read: what is no plain file, too long or no text is misuse.
pub(crate) fn unread(error: NotRead) -> Failure {
    match error {
        NotRead::Io { .. } | NotRead::Exposed(_) => io_error(error),
        _ => usage(error),
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
        Command::Witness(arguments) => witness::execute(&arguments),
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
    let store = store(&arguments.log, arguments.token_file.as_deref())?;
    let resume = arguments.resume.as_deref().map(|path| {
        log::Resume::open(path).map_err(|error| match error {
            log::NotResumed::Io { .. } => io_error(error),
            _ => usage(error),
        })
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
    let store = store(&arguments.log, arguments.token_file.as_deref())?;
    let record = show::record(&*store, &arguments.which, trust.as_ref());
    let record = record.map_err(|error| not_shown(&arguments.log, &error))?;
    let holds = record.held.iter().all(|held| held.ok);
    let conclusion = match (holds, &trust) {
        (false, _) => Conclusion::Broken,
        (true, None) => Conclusion::Incomplete,
        (true, Some(_)) => Conclusion::Clean,
    };
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&record).map_err(io_error)? + "\n",
        false => show::text::record(&record) + &show::text::holds(conclusion),
    };
    say(&text)?;
    Ok(conclusion.exit_code())
}

fn explain(arguments: &ExplainArguments) -> Result<u8, Failure> {
    let trust = arguments.trust.as_deref().map(trusted).transpose()?;
    let (place, finding) = (&arguments.place, &arguments.finding);
    let fault = |error| not_shown(place, &error);
    let is_site = log::Site::is_meant(&place.to_string_lossy());
    let (explained, verdict) = if !is_site && place.join(files::REPORT).exists() {
        let directory = Directory::open(place.clone());
        let directory =
            directory.map_err(|error| io_error(format!("{}: {error}", place.display())))?;
        let verdict = verify(&directory, trust.as_ref(), None).map_err(io_error)?;
        let explained = show::explain_bundle(&directory, finding);
        (explained.map_err(fault)?, verdict)
    } else {
        let asked = log::Asked {
            trust: trust.as_ref(),
            ..log::Asked::default()
        };
        let mut bar = log::Bar::default();
        let store = store(place, arguments.token_file.as_deref())?;
        show::explain_log(&*store, finding, &asked, &mut bar).map_err(fault)?
    };
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&explained).map_err(io_error)? + "\n",
        false => show::text::explained(&explained) + &show::text::rests_on(&verdict),
    };
    say(&text)?;
    Ok(verdict.verdict.exit_code())
}

fn not_shown(dir: &Path, error: &show::NotShown) -> Failure {
    use show::NotShown;
    let text = format!("{}: {error}", dir.display());
    match error {
        NotShown::NoRecord(..)
        | NotShown::Which(_)
        | NotShown::NoFinding(_)
        | NotShown::Ambiguous(_)
        | NotShown::Log(log::Failure::NoLog) => usage(text),
        NotShown::Log(_) | NotShown::Bundle(files::Unread::Io { .. }) => io_error(text),
        _ => Failure {
            code: Conclusion::Broken.exit_code(),
            text,
        },
    }
}

/// Most bytes of a token's file.
const MAX_TOKEN_BYTES: u64 = 1_024;

/// A log in a directory, or behind a URL.
fn store(place: &Path, token: Option<&Path>) -> Result<Box<dyn log::Store>, Failure> {
    let text = place.to_string_lossy();
    if !log::Site::is_meant(&text) {
        return match token {
            Some(_) => Err(usage("--token-file goes with a URL, not with a directory")),
            None => Ok(Box::new(folder(place)?)),
        };
    }
    // What opens a log to readers is a secret, as in the verifier that shows such files.
    let token = token.map(|path| {
        let text = PlainFile::open_private(path).and_then(|file| file.read_text(MAX_TOKEN_BYTES));
        text.map_err(unread)
    });
    let site = log::Site::parse(&text, token.transpose()?.as_deref()).map_err(usage)?;
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

fn trusted(path: &Path) -> Result<Trust, Failure> {
    let text = read_bounded_text(path, MAX_TRUST_BYTES).map_err(unread)?;
    let trust = Trust::parse(&text);
    trust.map_err(|error| usage(format!("{}: {error}", path.display())))
}

fn kept(path: &Path) -> Result<Note, Failure> {
    let note = Note::parse(&read_bounded(path, MAX_NOTE_BYTES as u64).map_err(unread)?);
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

/// Writes to standard output; a reader that went away is no failure of the verdict.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(io_error(error)),
        _ => Ok(()),
    }
}

/// Most threads that may be asked for: four for each core of the largest machines.
const MAX_THREADS: usize = 1_024;

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let asked = text.parse::<NonZeroUsize>().ok();
    asked
        .filter(|asked| asked.get() <= MAX_THREADS)
        .ok_or_else(|| format!("a number from 1 to {MAX_THREADS} is due"))
}
