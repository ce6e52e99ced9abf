//! One run of load: enrol, connect, send at the asked pace, see that all of it is INCLUDED.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;
use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
};

use crate::{
    connection::Verifier,
    enrol::{self, Deployment, EnrolError},
    gauge::{self, Gauge},
    identity::{self, Identity, IdentityError},
    latency::{Percentiles, Waits},
    pace::Pace,
    random::Random,
    session::{Session, SessionError},
    stored::{self, Stored},
    usage::{HostModel, NotAHost},
};

/// Connections that are opened at one time: a verifier bounds handshakes to 256, of which this
/// leaves most to others.
const CONNECTING: usize = 64;

/// Records of a host and day at the design's 10 s.
const RECORDS_PER_DAY: f64 = 8_640.0;

/// How long the verifier gets to finish what follows INCLUDED (judging, the registry).
const SETTLE: Duration = Duration::from_secs(15);

/// How long it must be quiet for that to be finished: the registry is written once a second.
const QUIET: Duration = Duration::from_millis(1_500);

/// CPU seconds within [`QUIET`] that count as quiet: 2 % of a core.
const QUIET_CPU_S: f64 = 0.03;

/// What is asked of a run.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where the verifier is, `https://HOST:PORT`.
    pub verifier: String,
    /// Its authority's certificate.
    pub ca: PathBuf,
    /// One token per host that is not yet enrolled, as HOST.token.
    pub tokens: PathBuf,
    /// Where identities are kept.
    pub state: PathBuf,
    /// How many hosts.
    pub hosts: u32,
    /// Devices of each.
    pub gpus: u32,
    /// Length of a record, milliseconds.
    pub interval_ms: u64,
    /// Records a second of the whole fleet.
    pub rate: f64,
    /// Length of the paced window.
    pub window: Duration,
    /// Seed of all figures and phases.
    pub seed: u64,
    /// The verifier's process, when it is to be measured.
    pub pid: Option<u32>,
    /// The verifier's log directory, when it is to be measured.
    pub data: Option<PathBuf>,
}

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Misuse.
    #[error("{0}")]
    Usage(String),
    /// A file or directory.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// Enrolment.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// Kept identities.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A host's stream.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The verifier's process.
    #[error(transparent)]
    Process(#[from] gauge::Unreadable),
    /// The verifier's data.
    #[error(transparent)]
    Data(#[from] stored::Unreadable),
    /// A task was ended from outside.
    #[error("a host's task ended: {0}")]
    Task(#[from] JoinError),
}

impl From<NotAHost> for LoadError {
    fn from(error: NotAHost) -> Self {
        Self::Usage(error.to_string())
    }
}

/// What a run came to. Every record counted was sent once, is INCLUDED, and the newest of each
/// host was proved to be in the log.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Hosts, each with a connection of its own.
    pub hosts: u32,
    /// Devices of each.
    pub gpus: u32,
    /// Length of a record.
    pub interval_ms: u64,
    /// Records a second that were asked for.
    pub rate_asked: f64,
    /// Records a second that were sent.
    pub rate: f64,
    /// The window, or from its begin to the last record where the generator fell behind.
    pub seconds: f64,
    /// Records sent in the window, all INCLUDED.
    pub records: u64,
    /// Hosts enrolled in this run, and how long that took.
    pub enrolled: usize,
    /// Seconds of enrolment.
    pub enrol_seconds: f64,
    /// Seconds until all were connected with inventory and workloads INCLUDED.
    pub connect_seconds: f64,
    /// From sending a record to INCLUDED.
    pub latency: Option<Percentiles>,
    /// From when a record was due to when it was sent: how well the generator kept up.
    pub lateness: Option<Percentiles>,
    /// Mean length of a record's statement.
    pub statement_bytes: f64,
    /// Mean length of what was signed in it.
    pub signed_bytes: f64,
    /// Mean length of its envelope: statement, lines and seed.
    pub envelope_bytes: f64,
    /// This process's CPU time per record, in microseconds.
    pub generator_cpu_us: f64,
    /// The verifier's process, when it was measured.
    pub process: Option<ProcessCost>,
    /// The verifier's log, when it was measured.
    pub log: Option<LogCost>,
}

/// What the verifier's process used from the begin of the window until it was quiet again.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ProcessCost {
    /// User and system time per record, in microseconds.
    pub cpu_us_per_record: f64,
    /// User time, in seconds.
    pub user_s: f64,
    /// System time, in seconds.
    pub system_s: f64,
    /// Resident memory before the window, all hosts connected.
    pub resident_mib_before: f64,
    /// Resident memory after it.
    pub resident_mib_after: f64,
    /// Threads.
    pub threads: u64,
    /// False when the process was still busy [`SETTLE`] after the last INCLUDED: the figures are
    /// then too low.
    pub quiet: bool,
}

/// What the verifier's log directory grew by in the same time.
#[derive(Clone, Debug, Serialize)]
pub struct LogCost {
    /// Bytes of files per record.
    pub bytes_per_record: f64,
    /// The same per device, at 8,640 records of a host and day.
    pub bytes_per_gpu_day: f64,
    /// The same by whole blocks of the disk.
    pub disk_bytes_per_gpu_day: f64,
    /// Growth by part.
    pub parts: Stored,
}

/// Runs the load.
pub async fn run(load: &Load) -> Result<Outcome, LoadError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| LoadError::Io { path, source }
    };
    let ca = std::fs::read_to_string(&load.ca).map_err(io(&load.ca))?;
    std::fs::create_dir_all(&load.state).map_err(io(&load.state))?;
    let paces = paces(load)?;
    let verifier = Verifier::new(&load.verifier, &ca);
    let deployment = Deployment::describe(&verifier).await?;

    let begun = Instant::now();
    let names = names(load)?;
    let fleet = enrol::fleet(&verifier, &deployment, &names, &load.tokens, &load.state).await;
    let (fleet, enrolled) = fleet?;
    let enrol_seconds = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let mut sessions = open(load, &verifier, &deployment, fleet, &paces).await?;
    let connect_seconds = begun.elapsed().as_secs_f64();

    let before = Reading::take(load)?;
    let start = Instant::now();
    sessions = each(sessions, Phase::Run(start)).await?;
    let (quiet, after) = settled(load).await?;
    sessions = each(sessions, Phase::Prove).await?;

    let (mut records, mut statements, mut envelopes) = (0, 0, 0);
    let (mut waits, mut lateness) = (Waits::default(), Waits::default());
    let mut sending = load.window;
    for (session, _) in sessions {
        let sent = session.close();
        records += sent.records;
        let last = sent.last.map(|last| last.saturating_duration_since(start));
        sending = sending.max(last.unwrap_or_default());
        statements += sent.statement_bytes;
        envelopes += sent.envelope_bytes;
        waits.merge(sent.waits);
        lateness.merge(sent.lateness);
    }
    let seconds = sending.as_secs_f64();
    let per_record = |total: f64| total / float(records);
    let statement_bytes = per_record(float(statements));
    Ok(Outcome {
        hosts: load.hosts,
        gpus: load.gpus,
        interval_ms: load.interval_ms,
        rate_asked: load.rate,
        rate: float(records) / seconds,
        seconds,
        records,
        enrolled,
        enrol_seconds,
        connect_seconds,
        latency: waits.percentiles(),
        lateness: lateness.percentiles(),
        statement_bytes,
        signed_bytes: statement_bytes - NOT_SIGNED,
        envelope_bytes: per_record(float(envelopes)),
        generator_cpu_us: per_record((after.own.cpu_s() - before.own.cpu_s()) * 1e6),
        process: before
            .process
            .zip(after.process)
            .map(|(before, after)| ProcessCost {
                cpu_us_per_record: per_record((after.cpu_s() - before.cpu_s()) * 1e6),
                user_s: after.user_s - before.user_s,
                system_s: after.system_s - before.system_s,
                resident_mib_before: before.resident_mib,
                resident_mib_after: after.resident_mib,
                threads: after.threads,
                quiet,
            }),
        log: before.log.zip(after.log).map(|(before, after)| {
            let parts = after.since(&before);
            let a_day =
                |bytes: i64| per_record(signed(bytes)) * RECORDS_PER_DAY / f64::from(load.gpus);
            LogCost {
                bytes_per_record: per_record(signed(parts.total().length)),
                bytes_per_gpu_day: a_day(parts.total().length),
                disk_bytes_per_gpu_day: a_day(parts.total().disk),
                parts,
            }
        }),
    })
}

/// Bytes by which a statement is longer than what is signed in it: COSE_Sign1 has an array head,
/// an empty map and a signature of 2 + 64 bytes (68); the Sig_structure that is signed has the
/// array head, "Signature1" with its head and an empty byte string (13) in their place.
const NOT_SIGNED: f64 = 68.0 - 13.0;

/// What is measured at one time.
struct Reading {
    own: Gauge,
    process: Option<Gauge>,
    log: Option<Stored>,
}

impl Reading {
    fn take(load: &Load) -> Result<Self, LoadError> {
        Ok(Self {
            own: Gauge::read(std::process::id())?,
            process: load.pid.map(Gauge::read).transpose()?,
            log: load.data.as_deref().map(Stored::measure).transpose()?,
        })
    }
}

/// Waits until the verifier's process is quiet, no longer than [`SETTLE`]; then takes a reading.
async fn settled(load: &Load) -> Result<(bool, Reading), LoadError> {
    let begun = Instant::now();
    let mut last = Reading::take(load)?;
    // What the generator itself used ends here: the wait is not part of sending.
    let own = last.own;
    let mut quiet = load.pid.is_none();
    while !quiet && begun.elapsed() < SETTLE {
        tokio::time::sleep(QUIET).await;
        let now = Reading::take(load)?;
        let used = last.process.zip(now.process);
        quiet = used.is_none_or(|(last, now)| now.cpu_s() - last.cpu_s() <= QUIET_CPU_S);
        last = now;
    }
    Ok((quiet, Reading { own, ..last }))
}

/// The hosts that are enrolled already, then those that have a token, by name.
fn names(load: &Load) -> Result<Vec<String>, LoadError> {
    let known: BTreeSet<String> = identity::kept(&load.state)?.into_iter().collect();
    let mut names: Vec<String> = known.iter().cloned().collect();
    if names.len() < load.hosts as usize {
        let tokens: BTreeSet<String> = identity::stems(&load.tokens, "token")?
            .into_iter()
            .collect();
        names.extend(tokens.difference(&known).cloned());
    }
    names.truncate(load.hosts as usize);
    if names.len() < load.hosts as usize {
        return Err(LoadError::Usage(format!(
            "--hosts {}: {} has tokens and {} identities for {} only",
            load.hosts,
            load.tokens.display(),
            load.state.display(),
            names.len()
        )));
    }
    Ok(names)
}

fn paces(load: &Load) -> Result<Vec<Pace>, LoadError> {
    let mut random = Random::new(load.seed, u64::MAX);
    (0..load.hosts)
        .map(|_| Pace::new(load.hosts, load.rate, load.window, &mut random))
        .collect::<Option<Vec<_>>>()
        .filter(|paces| paces.iter().any(|pace| pace.count() > 0))
        .ok_or_else(|| {
            let what = "--hosts, --rate and --seconds: no record would be due; ask for more";
            LoadError::Usage(what.into())
        })
}

async fn open(
    load: &Load,
    verifier: &Verifier,
    deployment: &Deployment,
    fleet: Vec<Identity>,
    paces: &[Pace],
) -> Result<Vec<(Session, Pace)>, LoadError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(0);
    let (room, mut running) = (Arc::new(Semaphore::new(CONNECTING)), JoinSet::new());
    for ((identity, pace), stream) in fleet.into_iter().zip(paces).zip(0..) {
        let identity = identity.booted();
        // Before anything is sent: a boot that was used must never be used again.
        identity.save(&load.state)?;
        // The first record ends when it is sent. Where fewer hosts than the rate asks for send
        // faster than time passes, what they claim runs ahead of the log's clock.
        let first = u64::try_from(pace.due(0).unwrap_or_default().as_millis()).unwrap_or(0);
        let wall_ms = (now + first).saturating_sub(load.interval_ms);
        let random = Random::new(load.seed ^ u64::from(identity.boots()), stream);
        let (gpus, interval, boots) = (load.gpus, load.interval_ms, identity.boots());
        let model = HostModel::new(gpus, interval, boots, wall_ms, random)?;
        let (verifier, deployment) = (verifier.clone(), deployment.clone());
        let (room, pace) = (room.clone(), *pace);
        running.spawn(async move {
            // Never closed, so this only waits.
            let _permit = room.acquire().await;
            let session = Session::open(&verifier, &deployment, &identity, model).await?;
            Ok::<_, SessionError>((session, pace))
        });
    }
    collect(running).await
}

/// What all sessions do at once.
#[derive(Clone, Copy)]
enum Phase {
    Run(Instant),
    Prove,
}

async fn each(
    sessions: Vec<(Session, Pace)>,
    phase: Phase,
) -> Result<Vec<(Session, Pace)>, LoadError> {
    let mut running = JoinSet::new();
    for (mut session, pace) in sessions {
        running.spawn(async move {
            match phase {
                Phase::Run(start) => session.run(&pace, start).await?,
                Phase::Prove => session.prove().await?,
            }
            Ok::<_, SessionError>((session, pace))
        });
    }
    collect(running).await
}

async fn collect<T: 'static>(
    mut running: JoinSet<Result<T, SessionError>>,
) -> Result<Vec<T>, LoadError> {
    let mut done = Vec::with_capacity(running.len());
    while let Some(next) = running.join_next().await {
        done.push(next??);
    }
    Ok(done)
}

/// Exact up to 2⁵³ bytes or records.
#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}

/// Exact likewise.
#[allow(clippy::cast_precision_loss)]
fn signed(count: i64) -> f64 {
    count as f64
}
