//! One run of load: connect, sign ahead, have each host heard once, send at the asked pace, see that
//! all of it is INCLUDED.
//!
//! What a verifier does when a host is back after a silence is done before the window begins: a fleet
//! that works is measured, not one that comes back.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::task::JoinError;

use crate::{
    connection::Verifier,
    deployment::{Deployment, NotDescribed},
    enrol::unix_ms,
    gauge,
    outcome::{Outcome, Preparation, Reading, Readings, Total},
    pace::Pace,
    random::Random,
    roster::{Roster, RosterError},
    session::SessionError,
    stored,
    streams::{self, Phase},
    usage::NotAHost,
};

/// CPU time of making and signing one record, in microseconds: to guess when the window begins.
const SIGNING_US: u64 = 120;

/// How long the verifier gets to finish what follows INCLUDED (judging, the registry).
const SETTLE: Duration = Duration::from_secs(15);

/// How long it must be quiet for that to be finished: the registry is written once a second.
const QUIET: Duration = Duration::from_millis(1_500);

/// CPU seconds within [`QUIET`] that count as quiet: 2 % of a core.
const QUIET_CPU_S: f64 = 0.03;

/// How records come to the verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each host has a connection of its own.
    Direct,
    /// So many relays carry the records of all.
    Relayed(u16),
}

/// What is asked of a run.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where the verifier is, `https://HOST:PORT`.
    pub verifier: String,
    /// Its authority's certificate.
    pub ca: PathBuf,
    /// Where the fleet is kept.
    pub state: PathBuf,
    /// How their records come.
    pub shape: Shape,
    /// How many hosts.
    pub hosts: u32,
    /// Length of a record, milliseconds.
    pub interval_ms: u64,
    /// Records a second of the whole fleet.
    pub rate: f64,
    /// Length of the paced window.
    pub window: Duration,
    /// Threads of the generator.
    pub threads: u16,
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
    /// The verifier.
    #[error(transparent)]
    Deployment(#[from] NotDescribed),
    /// The fleet.
    #[error(transparent)]
    Roster(#[from] RosterError),
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

/// Runs the load.
pub async fn run(load: &Load) -> Result<Outcome, LoadError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| LoadError::Io { path, source }
    };
    let ca = std::fs::read_to_string(&load.ca).map_err(io(&load.ca))?;
    let paces = paces(load)?;
    let mut roster = Roster::open(&load.state)?;
    let verifier = Verifier::new(&load.verifier, &ca);
    let deployment = Deployment::describe(&verifier).await?;

    let alone = Reading::take(load.pid, load.data.as_deref())?;
    let begun = Instant::now();
    let streams = streams::open(load, &verifier, &deployment, &mut roster, &paces).await?;
    let connect_seconds = begun.elapsed().as_secs_f64();
    let connected = Reading::take(load.pid, None)?;

    // Signed for a window that begins once all is signed: a host's clock may be a little ahead.
    let begun = Instant::now();
    let records = paces
        .iter()
        .map(|pace| u64::from(pace.count()) + 1)
        .sum::<u64>();
    let signing = Duration::from_micros(SIGNING_US * records / u64::from(load.threads.max(1)));
    let start_unix_ms = unix_ms() + u64::try_from(signing.as_millis()).unwrap_or(0);
    let mut streams = streams::seal(load, streams, start_unix_ms).await?;
    let seal_seconds = begun.elapsed().as_secs_f64();

    streams = streams::each(streams, Phase::Open(Instant::now())).await?;
    let (_, before) = settled(load).await?;
    let start = Instant::now();
    streams = streams::each(streams, Phase::Run(start)).await?;
    let (quiet, after) = settled(load).await?;
    streams = streams::each(streams, Phase::Prove).await?;

    let mut total = Total::new(load.window);
    for stream in streams {
        total.add(stream.close(), start);
    }
    let preparation = Preparation {
        connect_seconds,
        seal_seconds,
    };
    Ok(Outcome::of(
        load,
        preparation,
        total,
        Readings {
            alone,
            connected,
            before,
            after,
            quiet,
        },
        roster.fleet().gpus,
    ))
}

/// Waits until the verifier's process is quiet, no longer than [`SETTLE`]; then takes a reading.
async fn settled(load: &Load) -> Result<(bool, Reading), LoadError> {
    let begun = Instant::now();
    let mut last = Reading::take(load.pid, load.data.as_deref())?;
    // What the generator itself used ends here: the wait is not part of sending.
    let own = last.own;
    let mut quiet = load.pid.is_none();
    while !quiet && begun.elapsed() < SETTLE {
        tokio::time::sleep(QUIET).await;
        let now = Reading::take(load.pid, load.data.as_deref())?;
        let used = last.process.zip(now.process);
        quiet = used.is_none_or(|(last, now)| now.cpu_s() - last.cpu_s() <= QUIET_CPU_S);
        last = now;
    }
    Ok((quiet, Reading { own, ..last }))
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
