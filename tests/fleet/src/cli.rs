//! The command line.

use std::{error::Error, fmt::Write as _, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::{
    enrol::{self, Enrolments},
    growth,
    load::{self, Load, LoadError},
    matching::matching,
    outcome::Outcome,
    prepared::Prepared,
    primitive::Primitive,
    repacked::repack,
    screening::screen,
    watch::watch,
};

/// Most seconds of a window: a day.
const MAX_SECONDS: u64 = 86_400;

/// Loads a verifier as a fleet of GPU hosts would, and measures it.
#[derive(Debug, Parser)]
#[command(name = "affiant-fleet", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the enrolments of a fleet into the log of a verifier that does not run yet
    #[command(
        after_help = "Example:\n  affiant-fleet enrol --data verifier/ --state fleet/ --hosts 9000"
    )]
    Enrol(EnrolArgs),
    /// Send the records of a fleet at a pace, and see that all of them are INCLUDED
    #[command(
        after_help = "Example:\n  affiant-fleet load --verifier https://127.0.0.1:7443 --ca ca.pem \
                      --state fleet/ \\\n    --hosts 64 --rate 500 --seconds 30"
    )]
    Load(LoadArgs),
    /// Make the log of a fleet without a verifier, to measure what reads logs
    #[command(
        after_help = "Example:\n  affiant-fleet prepare --out data --hosts 1250 --seconds 3600\n  \
                      affiant-audit log data --trust data/trust.toml"
    )]
    Prepare(PrepareArgs),
    /// Repack the log that `prepare` made, as a verifier does each hour, and tell what it takes then
    #[command(after_help = "Example:\n  affiant-fleet repack --out data --json")]
    Repack(RepackArgs),
    /// Measure one bare Ed25519 verification by ring
    #[command(after_help = "Example:\n  affiant-fleet primitive --bytes 300 --json")]
    Primitive(PrimitiveArgs),
    /// Measure how long it takes to screen all tenants against lists
    #[command(
        after_help = "Example:\n  affiant-fleet screening --list consolidated.csv --threads 2 --json"
    )]
    Screening(ScreeningArgs),
    /// Measure what matching adds to a record, on the log that `prepare` made
    #[command(after_help = "Example:\n  affiant-fleet matching --out data --tenants 10000 --json")]
    Matching(MatchingArgs),
    /// Measure what leaves and proofs cost as a log grows
    #[command(after_help = "Example:\n  affiant-fleet growth --out tree/ --json")]
    Growth(GrowthArgs),
    /// Watch what a process and its children use
    #[command(after_help = "Example:\n  affiant-fleet watch --pid 4711 --seconds 60 --json")]
    Watch(WatchArgs),
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// The verifier
    #[arg(long, value_name = "URL")]
    verifier: String,
    /// Certificate of its authority
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Where the fleet is kept
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// How records come: each host over its own connection, or relays carry all
    #[arg(long, value_enum, default_value_t = Shape::Direct)]
    shape: Shape,
    /// Relays, in the shape relayed
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    relays: u16,
    /// Hosts
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    hosts: u32,
    /// Length of a record's interval
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    interval_ms: u64,
    /// Records a second of all hosts together; hosts / 10 is what agents send
    #[arg(long)]
    rate: f64,
    /// Length of the paced window
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    seconds: u64,
    /// Threads of the generator
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Seed of all figures and phases
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The verifier's process, to measure what it uses
    #[arg(long)]
    pid: Option<u32>,
    /// The verifier's log directory, to measure what it stores
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shape {
    Direct,
    Relayed,
}

#[derive(Debug, Args)]
struct EnrolArgs {
    /// The data directory of the verifier, as `affiant-verifier init` made it
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where keys and certificates of the fleet are kept
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Hosts
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    hosts: u32,
    /// How many of them get a certificate, to connect by themselves; all, if not given
    #[arg(long)]
    connections: Option<u32>,
    /// Relays of their site
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(0..=256))]
    relays: u16,
    /// Devices of each host
    #[arg(long, default_value_t = 8)]
    gpus: u32,
    /// Threads that sign
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Seed of all figures
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct PrepareArgs {
    /// Where the log and a trust file for it come to stand
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Hosts
    #[arg(long, default_value_t = 1_250, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    hosts: u32,
    /// Devices of each host
    #[arg(long, default_value_t = 8)]
    gpus: u32,
    /// Length of a record's interval
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    interval_ms: u64,
    /// For how long the fleet reported
    #[arg(long, default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    seconds: u64,
    /// Seed of keys and figures
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct RepackArgs {
    /// Where `prepare` put the log
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Seed that it was made with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct PrimitiveArgs {
    /// Length of the message: that of what is signed in a usage statement
    #[arg(long, default_value_t = 300)]
    bytes: usize,
    /// CPU time to spend on each of verifying and signing
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    ms: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ScreeningArgs {
    /// A list file; without one a list is generated
    #[arg(long = "list", value_name = "FILE")]
    lists: Vec<PathBuf>,
    /// Names of the generated list; the Consolidated Screening List has some 60,000
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..=250_000))]
    names: u64,
    /// Tenants, generated
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    tenants: u64,
    /// Threads that share the index
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct MatchingArgs {
    /// Where `prepare` put the log
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Seed that it was made with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Vetted tenants beside that of the log, each with a binding
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    tenants: u64,
    /// Usage records, the first ones of the log; some 5 KiB of memory each
    #[arg(long, default_value_t = 150_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    records: u64,
    /// Give each host to another of these tenants, in place of all to the log's own
    #[arg(long)]
    spread: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct GrowthArgs {
    /// Where the tiles come to stand
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// At how many leaves to measure, rising
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000, 10_000_000])]
    leaves: Vec<u64>,
    /// Print JSON, one object a size
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct WatchArgs {
    /// The process
    #[arg(long)]
    pid: u32,
    /// For how long
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    seconds: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Cli {
    /// Does what is asked; gives the text to print.
    pub fn run(self) -> Result<String, Box<dyn Error>> {
        match self.command {
            Command::Enrol(args) => args.run(),
            Command::Load(args) => args.run(),
            Command::Prepare(args) => {
                let prepared = Prepared {
                    out: args.out,
                    hosts: args.hosts,
                    gpus: args.gpus,
                    interval_ms: args.interval_ms,
                    seconds: args.seconds,
                    seed: args.seed,
                };
                Ok(format!("{} entries", prepared.make()?))
            }
            Command::Repack(args) => {
                let figures = repack(&args.out, args.seed)?;
                if args.json {
                    return Ok(serde_json::to_string(&figures)?);
                }
                Ok(format!(
                    "{} segments joined to {}: {:.1} bytes an entry before, {:.1} after; {:.1} µs an entry",
                    figures.joined,
                    figures.made,
                    figures.bytes_per_entry_before,
                    figures.bytes_per_entry_after,
                    figures.us_per_entry
                ))
            }
            Command::Primitive(args) => {
                let measured = Primitive::measure(args.bytes, Duration::from_millis(args.ms))?;
                if args.json {
                    return Ok(serde_json::to_string(&measured)?);
                }
                Ok(format!(
                    "one Ed25519 verification of {} bytes: {:.1} µs of CPU ({} calls); \
                     one signature: {:.1} µs",
                    measured.message_bytes, measured.verify_us, measured.calls, measured.sign_us
                ))
            }
            Command::Screening(args) => {
                let measured = screen(
                    args.tenants,
                    usize::from(args.threads),
                    args.names,
                    &args.lists,
                )?;
                if args.json {
                    return Ok(serde_json::to_string(&measured)?);
                }
                Ok(format!(
                    "{} tenants against {} names on {} threads: {:.2} s, {} with an alert; \
                     the index took {:.2} s",
                    measured.tenants,
                    measured.listed_names,
                    measured.threads,
                    measured.screening_seconds,
                    measured.alerts,
                    measured.index_seconds
                ))
            }
            Command::Matching(args) => {
                let MatchingArgs {
                    out,
                    seed,
                    tenants,
                    records,
                    spread,
                    json,
                } = args;
                let measured = matching(&out, seed, tenants, records, spread)?;
                if json {
                    return Ok(serde_json::to_string(&measured)?);
                }
                Ok(format!(
                    "{} records, {} tenants: the judge takes {:.2} µs a record, {:.2} µs without matching",
                    measured.records,
                    measured.tenants,
                    measured.judge_us,
                    measured.judge_us_without
                ))
            }
            Command::Growth(args) => args.run(),
            Command::Watch(args) => {
                let seen = watch(args.pid, Duration::from_secs(args.seconds))?;
                if args.json {
                    return Ok(serde_json::to_string(&seen)?);
                }
                Ok(format!(
                    "{} processes: {:.2} % of a core, {:.1} MiB resident, at most {:.1}",
                    seen.processes, seen.cpu_percent, seen.resident_mib_end, seen.resident_mib_max
                ))
            }
        }
    }
}

impl GrowthArgs {
    fn run(self) -> Result<String, Box<dyn Error>> {
        let mut lines = Vec::new();
        growth::grow(&self.out, &self.leaves, |at| {
            eprintln!("{} leaves measured", at.leaves);
            lines.push(match self.json {
                true => serde_json::to_string(at).unwrap_or_default(),
                false => format!(
                    "{:>10} leaves: a leaf {:.2} µs, a proof {:.0} µs of {:.1} hashes, verified in \
                     {:.1} µs;\n{:>17} from an older size {:.0} µs of {:.1} hashes, verified in \
                     {:.1} µs; {:.1} bytes a leaf",
                    at.leaves,
                    at.append_us,
                    at.prove_us,
                    at.proof_hashes,
                    at.verify_us,
                    "",
                    at.extend_us,
                    at.extend_hashes,
                    at.verify_extension_us,
                    at.bytes_per_leaf
                ),
            });
        })?;
        Ok(lines.join("\n"))
    }
}

impl EnrolArgs {
    fn run(self) -> Result<String, Box<dyn Error>> {
        let hosts = self.hosts as usize;
        let connections = self.connections.map_or(hosts, |count| count as usize);
        let entries = enrol::enrol(&Enrolments {
            data: self.data,
            state: self.state,
            hosts,
            connections: connections.min(hosts),
            relays: self.relays.into(),
            gpus: self.gpus,
            threads: self.threads.into(),
            seed: self.seed,
        });
        let entries = entries.map_err(|error| -> Box<dyn Error> { error })?;
        Ok(format!(
            "{hosts} hosts are enrolled; the log has {entries} entries"
        ))
    }
}

impl LoadArgs {
    fn run(self) -> Result<String, Box<dyn Error>> {
        raise_open_files();
        let load = Load {
            verifier: self.verifier,
            ca: self.ca,
            state: self.state,
            shape: match self.shape {
                Shape::Direct => load::Shape::Direct,
                Shape::Relayed => load::Shape::Relayed(self.relays),
            },
            hosts: self.hosts,
            interval_ms: self.interval_ms,
            rate: self.rate,
            window: Duration::from_secs(self.seconds),
            threads: self.threads,
            seed: self.seed,
            pid: self.pid,
            data: self.data,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.threads.into())
            .enable_all()
            .build()
            .map_err(|error| LoadError::Usage(format!("--threads: {error}")))?;
        let outcome = runtime.block_on(load::run(&load));
        // Connections that are still open must not hold up the exit.
        runtime.shutdown_background();
        let outcome = outcome?;
        if self.json {
            return Ok(serde_json::to_string(&outcome)?);
        }
        Ok(print(&outcome)?)
    }
}

/// A connection is a file: as many as the system lets this user have.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it may not be raised, the connections that lack will say so.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn print(outcome: &Outcome) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let out = &mut text;
    let o = outcome;
    writeln!(
        out,
        "hosts       {} × {} GPUs, {} ms a record",
        o.hosts, o.gpus, o.interval_ms
    )?;
    writeln!(
        out,
        "connected   in {:.1} s; signed ahead in {:.1} s",
        o.connect_seconds, o.seal_seconds
    )?;
    writeln!(out, "receipts    {}", o.receipts)?;
    writeln!(
        out,
        "records     {} sent, all INCLUDED, in {:.1} s: {:.0}/s (asked {:.0}/s)",
        o.records, o.seconds, o.rate, o.rate_asked
    )?;
    for (name, waits) in [("latency", o.latency), ("late", o.lateness)] {
        if let Some(w) = waits {
            writeln!(
                out,
                "{name:<11} p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms",
                w.p50_ms, w.p99_ms, w.max_ms
            )?;
        }
    }
    write!(
        out,
        "bytes       statement {:.0} ({:.0} signed), envelope {:.0}\ngenerator   {:.0} µs of CPU a record",
        o.statement_bytes, o.signed_bytes, o.envelope_bytes, o.generator_cpu_us
    )?;
    if let Some(p) = &o.process {
        let busy = if p.quiet {
            ""
        } else {
            ", and still busy: more to come"
        };
        write!(
            out,
            "\nverifier    {:.0} µs of CPU a record ({:.2} s user, {:.2} s system{busy})\n\
             memory      {:.1} MiB before, {:.1} MiB after, {} threads",
            p.cpu_us_per_record,
            p.user_s,
            p.system_s,
            p.resident_mib_before,
            p.resident_mib_after,
            p.threads
        )?;
    }
    if let Some(l) = &o.log {
        write!(
            out,
            "\nstored      {:.0} bytes a record, {:.0} a GPU and day ({:.0} in whole blocks)",
            l.bytes_per_record, l.bytes_per_gpu_day, l.disk_bytes_per_gpu_day
        )?;
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_one_that_clap_accepts() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_measurement_prints_as_one_json_object() {
        let cli = Cli::try_parse_from(["affiant-fleet", "primitive", "--ms", "1", "--json"]);
        let printed = cli.unwrap().run().unwrap();
        let read: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert!(read["verify_us"].as_f64().unwrap() > 0.0);
        assert_eq!(read["message_bytes"], 300);
    }

    #[test]
    fn a_directory_that_is_not_there_is_told_before_anything_is_sent() {
        let cli = Cli::try_parse_from([
            "affiant-fleet",
            "load",
            "--verifier",
            "https://127.0.0.1:1",
            "--ca",
            "/nonexistent/ca.pem",
            "--state",
            "/nonexistent",
            "--rate",
            "1",
        ]);
        let error = cli.unwrap().run().unwrap_err().to_string();
        assert!(error.contains("/nonexistent/ca.pem"), "{error}");
    }
}
