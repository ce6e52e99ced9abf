//! One run of load: enrol, connect, send at the asked pace, see that all of it is INCLUDED.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
};

use crate::{
    connection::Verifier,
    enrol::{self, Deployment, EnrolError},
    gauge,
    identity::{self, Identity, IdentityError},
    outcome::{Outcome, Preparation, Reading, Readings, Total},
    pace::Pace,
    random::Random,
    session::{Session, SessionError},
    stored,
    usage::{HostModel, NotAHost},
};

/// Connections that are opened at one time: a verifier bounds handshakes to 256, of which this
/// leaves most to others.
const CONNECTING: usize = 64;

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

    let alone = Reading::take(load.pid, load.data.as_deref())?;
    let begun = Instant::now();
    let mut sessions = open(load, &verifier, &deployment, fleet, &paces).await?;
    let connect_seconds = begun.elapsed().as_secs_f64();

    let before = Reading::take(load.pid, load.data.as_deref())?;
    let start = Instant::now();
    sessions = each(sessions, Phase::Run(start)).await?;
    let (quiet, after) = settled(load).await?;
    sessions = each(sessions, Phase::Prove).await?;

    let mut total = Total::new(load.window);
    for (session, _) in sessions {
        total.add(session.close(), start);
    }
    let preparation = Preparation {
        enrolled,
        enrol_seconds,
        connect_seconds,
    };
    Ok(Outcome::of(
        load,
        preparation,
        total,
        Readings {
            alone,
            before,
            after,
            quiet,
        },
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
            let permit = room.acquire().await;
            let mut session = Session::open(&verifier, &deployment, &identity, model).await?;
            drop(permit);
            session.introduce().await?;
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
