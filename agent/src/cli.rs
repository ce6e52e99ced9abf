//! The command line: what may be asked, and the answer as an exit code.

use std::{
    error::Error,
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    again,
    clock::Clock,
    config::{Config, ConfigError, DEFAULT_PATH, Log, Measuring},
    control::{
        Reply, Request,
        client::{AskError, ask},
    },
    data::{DataDir, DataError},
    enrol::{self, Token},
    inspect,
    outside::Outside,
    pause::{Plan, parse_length},
    rotation::{self, RotationError},
    run, spool_view,
    status::{self, Health},
    wording,
};

/// Wrong use: the command line, or the configuration.
const USAGE: u8 = 64;

/// Input or output failed: a file, the network, the verifier's answer.
const IO: u8 = 74;

/// Not finished: an operator must act before records are taken.
const INCOMPLETE: u8 = 3;

/// Measures who uses this host's GPUs, signs it, and streams it to the verifier.
#[derive(Debug, Parser)]
#[command(name = "affiant-agent", version, max_term_width = 100)]
struct Cli {
    /// Configuration [default: /etc/affiant/agent.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure, sign and stream until told to stop
    ///
    /// Exits 0 when stopped, 3 when the verifier had refused this host's records for good, 74
    /// when the disk failed.
    #[command(after_help = "Example:\n  affiant-agent run --config /etc/affiant/agent.toml")]
    Run,
    /// Enrol this host with a one-use token, or finish an enrolment that was cut short
    ///
    /// With --again it opens a new chain for a host whose old one is over, was evicted, or lost its
    /// key; what the old chain may still send is sent first, and its files are kept aside. With
    /// --rotate-key it gives the chain a new record key, by the running agent if there is one.
    /// --again needs the agent stopped.
    ///
    /// Exits 0 when enrolled, 3 while an operator must still approve the host.
    #[command(
        after_help = "Examples:\n  affiant-agent enroll --token-file gpu-01.token\n  affiant-agent enroll --again --reason 'board replaced' --token-file gpu-01.token\n  affiant-agent enroll --rotate-key"
    )]
    Enroll(Enroll),
    /// Show the devices, what they do and for whom; needs no enrolment
    #[command(
        after_help = "Examples:\n  affiant-agent inspect\n  affiant-agent inspect --json\n  affiant-agent inspect --record trace.jsonl --seconds 60"
    )]
    Inspect(Inspect),
    /// Let go of the devices for a while, for work on the driver; records say so meanwhile
    ///
    /// Returns once nothing of the agent holds the devices. They are taken up again by themselves
    /// when the time is over. Exits 3 when no agent runs.
    #[command(
        after_help = "Examples:\n  affiant-agent pause --for 20m --reason driver-upgrade\n  affiant-agent pause --end"
    )]
    Pause(PauseOptions),
    /// Show on one screen how this host stands
    ///
    /// Exits 0 when all is well, 1 when something calls for attention, 3 when no agent runs, 74
    /// when its files cannot be read.
    #[command(after_help = "Examples:\n  affiant-agent status\n  affiant-agent status --json")]
    Status(Json),
    /// Show what the spool holds and how far the log is
    #[command(after_help = "Example:\n  affiant-agent spool --json")]
    Spool(Json),
    /// Check the configuration, all faults at once, and print the values in effect
    #[command(after_help = "Example:\n  affiant-agent check-config --config agent.toml")]
    CheckConfig,
    /// Read the devices for a running agent
    #[command(hide = true, disable_help_flag = true)]
    NvmlReader {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
struct Enroll {
    /// File that holds the token, not readable by others
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "rotate_key",
        conflicts_with = "rotate_key"
    )]
    token_file: Option<PathBuf>,
    /// Open a new chain that follows the old one
    #[arg(long, requires = "reason", conflicts_with = "rotate_key")]
    again: bool,
    /// Why the host enrols again; it is signed and logged
    #[arg(long, value_name = "TEXT", requires = "again")]
    reason: Option<String>,
    /// Change the record key of the chain that there is
    #[arg(long)]
    rotate_key: bool,
}

#[derive(Debug, Args)]
struct Inspect {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Record a trace into a new file
    #[arg(
        long,
        value_name = "FILE",
        requires = "seconds",
        conflicts_with = "json"
    )]
    record: Option<PathBuf>,
    /// How long to record
    #[arg(long, value_name = "N", requires = "record", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// What a reader of the trace should know of it
    #[arg(long, value_name = "TEXT", requires = "record", default_value = "")]
    note: String,
}

#[derive(Debug, Args)]
struct PauseOptions {
    /// How long, a minute to 24 hours: 90s, 20m, 2h
    #[arg(long = "for", value_name = "TIME", requires = "reason", required_unless_present = "end", value_parser = parse_length)]
    length: Option<Duration>,
    /// What for; stands in every record meanwhile
    #[arg(long, value_enum, requires = "length")]
    reason: Option<Plan>,
    /// End the pause now
    #[arg(long, conflicts_with_all = ["length", "reason"])]
    end: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Json {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A failure with its exit code; what it was is printed by `main`.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    fn io(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = error.into();
        Self { code: IO, error }
    }

    /// Prints the failure and gives its exit code.
    pub fn report(&self) -> ExitCode {
        eprintln!("affiant-agent: {}", self.error);
        ExitCode::from(self.code)
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self {
            code: match error {
                AskError::NotRunning(_) => INCOMPLETE,
                _ => IO,
            },
            error: error.into(),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self {
            code: if matches!(error, ConfigError::File(_)) {
                IO
            } else {
                USAGE
            },
            error: error.into(),
        }
    }
}

/// Reads the command line and does what it says.
pub fn main(args: impl IntoIterator<Item = OsString>) -> Result<ExitCode, Failure> {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is misuse.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return Ok(ExitCode::from(code));
        }
    };
    let path = cli.config.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
    match cli.command {
        Command::Run => run(path),
        Command::Enroll(options) => enroll(path, &options),
        Command::Inspect(options) => inspect(cli.config.as_deref(), &options),
        Command::Status(options) => status(path, &options),
        Command::Pause(options) => pause(path, &options),
        Command::Spool(options) => spool(path, &options),
        Command::CheckConfig => {
            print!("{}", Config::load(path)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::NvmlReader { args } => Ok(crate::source::nvml::reader_main(args)),
    }
}

fn run(path: &Path) -> Result<ExitCode, Failure> {
    let config = Config::load(path)?;
    start_journal(&config.measuring.log);
    match block_on(run::run(&config))? {
        Ok(run::Outcome::Stopped) => Ok(ExitCode::SUCCESS),
        Ok(run::Outcome::Halted) => Ok(ExitCode::from(INCOMPLETE)),
        Err(error) => Err(Failure::io(error)),
    }
}

fn enroll(path: &Path, options: &Enroll) -> Result<ExitCode, Failure> {
    let config = Config::load(path)?;
    start_journal(&config.measuring.log);
    let outside = Outside::system();
    let Some(token_file) = &options.token_file else {
        return rotate_key(&config, &outside.clock);
    };
    let token = Token::read(token_file).map_err(Failure::io)?;
    let outcome = if let Some(reason) = options.reason.as_deref().filter(|_| options.again) {
        let again = block_on(again::again(&config, &token, reason, &outside))?;
        let (outcome, former) = again.map_err(Failure::io)?;
        println!("the files of the old chain are in {}", former.display());
        outcome
    } else {
        block_on(enrol::enrol(&config, &token, &outside))?.map_err(Failure::io)?
    };
    match outcome {
        enrol::Outcome::Enrolled { chain, operator } => {
            println!("enrolled {} with {operator}, chain {chain}", config.host);
            Ok(ExitCode::SUCCESS)
        }
        enrol::Outcome::Already { chain } => {
            println!("{} is enrolled already, chain {chain}", config.host);
            Ok(ExitCode::SUCCESS)
        }
        enrol::Outcome::Pending { chain } => {
            println!(
                "{} is enrolled and waits for approval, chain {chain}\nhave the verifier's operator approve it (`affiant-verifier host approve`); \
                 `affiant-agent run` may be started now, and sends when it is approved",
                config.host
            );
            Ok(ExitCode::from(INCOMPLETE))
        }
    }
}

/// Changes the record key, by the agent where one runs.
fn rotate_key(config: &Config, clock: &Clock) -> Result<ExitCode, Failure> {
    let (sequence, key, next) = match rotation::rotate(config, clock) {
        Ok((sequence, key)) => {
            let next = "start the agent, which sends the change";
            (sequence, key.to_string(), next)
        }
        Err(RotationError::Data(DataError::InUse(_))) => {
            let socket = DataDir::at(&config.data).socket();
            match ask(&socket, &Request::RotateKey {})? {
                Reply::KeyRotated { sequence, key } => {
                    (sequence, key, "the running agent goes on with it")
                }
                _ => return Err(Failure::io("the agent answered something else")),
            }
        }
        Err(error) => return Err(Failure::io(error)),
    };
    println!(
        "{} has the new record key {key} from record {sequence} on; {next}",
        config.host
    );
    Ok(ExitCode::SUCCESS)
}

fn inspect(path: Option<&Path>, options: &Inspect) -> Result<ExitCode, Failure> {
    let measuring = Measuring::load(path)?;
    // What goes wrong is the answer itself; only what else fails is worth a line.
    let level = "error".to_owned();
    start_journal(&Log {
        level,
        ..measuring.log.clone()
    });
    if let (Some(file), Some(seconds)) = (&options.record, options.seconds) {
        let recorded = block_on(inspect::record(&measuring, file, seconds, &options.note))?;
        let ticks = recorded.map_err(Failure::io)?;
        println!("recorded {ticks} ticks into {}", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let look = block_on(inspect::look(&measuring))?.map_err(Failure::io)?;
    if options.json {
        println!("{:#}", inspect::to_json(&look));
    } else {
        print!("{}", inspect::table(&look));
    }
    Ok(ExitCode::SUCCESS)
}

fn pause(path: &Path, options: &PauseOptions) -> Result<ExitCode, Failure> {
    let config = Config::load(path)?;
    let request = match (options.length, options.reason) {
        (Some(length), Some(reason)) => Request::Pause {
            reason,
            for_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
        },
        _ => Request::Resume {},
    };
    let reply = ask(&DataDir::at(&config.data).socket(), &request)?;
    if options.json {
        println!("{:#}", serde_json::to_value(&reply).map_err(Failure::io)?);
        return Ok(ExitCode::SUCCESS);
    }
    match reply {
        Reply::Paused {
            reason,
            until_unix_ms,
        } => println!(
            "paused for {reason} until {}: nothing of the agent holds the devices",
            wording::moment(until_unix_ms)
        ),
        Reply::Resumed { reason: Some(was) } => {
            println!("the pause for {was} is over: the devices are taken up again");
        }
        Reply::Resumed { reason: None } => println!("there was no pause"),
        Reply::Status { .. } | Reply::KeyRotated { .. } | Reply::Refused { .. } => {
            return Err(Failure::io("the agent answered something else"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn status(path: &Path, options: &Json) -> Result<ExitCode, Failure> {
    let config = Config::load(path)?;
    let status = status::look(&config).map_err(Failure::io)?;
    if options.json {
        println!("{:#}", status.to_json());
    } else {
        print!("{status}");
    }
    Ok(ExitCode::from(Health::of(&status).code()))
}

fn spool(path: &Path, options: &Json) -> Result<ExitCode, Failure> {
    let config = Config::load(path)?;
    let limit = config.spool.max_bytes;
    let view = spool_view::view(&DataDir::at(&config.data), limit).map_err(Failure::io)?;
    if options.json {
        println!("{:#}", view.to_json());
    } else {
        print!("{view}");
    }
    Ok(ExitCode::SUCCESS)
}

/// One worker beside the main thread: the uploader on it, measuring on the main thread, and the
/// recorder on a thread of its own.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .map_err(Failure::io)?;
    let done = runtime.block_on(work);
    // A name that does not resolve must not hold up the end.
    runtime.shutdown_background();
    Ok(done)
}

fn start_journal(log: &Log) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("AFFIANT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(&log.level));
    let journal = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // An error means that a journal is there already.
    let _ = if log.json {
        journal.json().try_init()
    } else {
        journal.with_ansi(false).try_init()
    };
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_that_is_listed_has_an_example() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli
            .get_subcommands()
            .filter(|c| !c.is_hide_set() && c.get_name() != "help")
        {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                help.contains(&format!("affiant-agent {}", command.get_name())),
                "{command:?}"
            );
        }
    }

    #[test]
    fn a_token_has_no_place_on_the_command_line() {
        assert!(Cli::try_parse_from(["affiant-agent", "enroll", "--token", "x"]).is_err());
        assert!(Cli::try_parse_from(["affiant-agent", "enroll", "--token-file", "x"]).is_ok());
    }

    #[test]
    fn the_reader_takes_its_own_flags() {
        let line = [
            "affiant-agent",
            "nvml-reader",
            "--library",
            "/x.so",
            "--period-ms",
            "1000",
        ];
        let Command::NvmlReader { args } = Cli::try_parse_from(line).unwrap().command else {
            panic!("another command");
        };
        assert_eq!(
            args,
            ["--library", "/x.so", "--period-ms", "1000"].map(OsString::from)
        );
    }
}
