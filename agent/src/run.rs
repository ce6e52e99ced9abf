//! The daemon: measure, seal, send, until told to stop.
//!
//! ```text
//! source ─ sample ─ attribution ─▶ recorder (own thread): meter ─ seal ─ spool
//!                                     ▲ records │ cursor
//!                                  uploader ◀───┘ ═══ verifier
//! ```

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    time::timeout,
};

use crate::{
    again,
    anchor::Anchor,
    boot::{self, BOOT_ID, BootError},
    certificate::{Authority, CertificateError},
    clock,
    config::{Config, Measuring},
    control::server::{self, Order},
    data::{DataDir, DataError},
    deployment::reference,
    devices,
    identity::{Identity, IdentityError},
    measure::{Finished, Measure},
    meter::{BadMeter, Pace},
    notify,
    outside::Outside,
    pause::{self, Pause},
    recorder::{self, Book, BookError, Opening, Recorder},
    recover::{RecoverError, recover},
    rotation,
    source::{
        Paused,
        chosen::{ChoiceError, ChosenSource},
    },
    spool::{Spool, SpoolError},
    status::Board,
    upload::{self, Uploader},
    workload::{Attribution, Kubelet, NameSources, PrologFiles, Resolver},
};

/// Longest time that the last records are waited for: with the two seconds that the source may
/// take to close, at the same time, and the sealing before, below [`LAST_CALL`].
const DRAIN: Duration = Duration::from_secs(3);

/// Time after which the process ends whatever still hangs: a disk that does not answer, a name
/// that does not resolve. Five seconds are promised.
const LAST_CALL: Duration = Duration::from_millis(4_700);

/// Time that the recorder has to seal the open interval.
const SEAL: Duration = Duration::from_secs(1);

/// Exit code when the process ended itself at [`LAST_CALL`]: what is sealed is safe in the spool.
const GAVE_UP: i32 = 74;

/// Why the daemon did not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The data directory.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The configured authority.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The chain in the spool.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The boot.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The records.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The source.
    #[error(transparent)]
    Source(#[from] ChoiceError),
    /// The source's period and the interval.
    #[error("source and `interval` do not go together: {0}")]
    Pace(#[from] BadMeter),
    /// The system refused a thread or signal handler.
    #[error("the system refuses {what}: {error}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        error: std::io::Error,
    },
    /// The recorder's thread panicked.
    #[error("the recorder ended without a reason; report this as a bug")]
    RecorderDied,
}

/// How the daemon ended, when nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it was told; unsent records are in the spool.
    Stopped,
    /// As it was told, after the verifier had refused this host's records for good.
    Halted,
}

/// Runs the daemon until SIGTERM or SIGINT, or the end of a trace that is not repeated.
pub async fn run(config: &Config) -> Result<Outcome, RunError> {
    let system = |what| move |error| RunError::System { what, error };
    let mut terminate = signal(SignalKind::terminate()).map_err(system("a signal handler"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("a signal handler"))?;
    let data = DataDir::at(&config.data);
    let _lock = data.lock()?;
    // Read at each connection; a file that is not there is told of now.
    Authority::read(&config.ca)?;
    again::settle(&data).map_err(DataError::from)?;
    recorder::settle(&data).map_err(SpoolError::from)?;
    rotation::settle(&data, config.spool).map_err(|error| IdentityError::from(Box::new(error)))?;
    let identity = Arc::new(Identity::load(&data)?);
    let mut spool = Spool::open(&data.spool(), config.spool)?;
    Book::begin(&mut spool, identity.enrolment())?;
    let cursor = spool.cursor().cloned();
    let boot_id = boot::read_id(Path::new(BOOT_ID))?;
    let pause = resume_pause(&data, &boot_id);
    let lasting = pause
        .clone()
        .filter(|pause| pause.left(clock::now()).is_some());
    let paused = lasting.as_ref().map(|pause| Paused {
        reason: pause.plan().reason(),
        devices: devices::read(&data.devices()),
    });
    let (source, period) = ChosenSource::start(&config.measuring.source, paused)?;
    let outside = Outside::system();
    let mut book = open(
        config,
        &identity,
        spool,
        period,
        Path::new(BOOT_ID),
        &outside,
    )?;
    if let Some(pause) = &pause {
        book.planned(pause.planned());
    }
    let (recorder, mut ended) = Recorder::start(book).map_err(system("a thread"))?;
    source.follow(recorder.ending());
    let (drain, draining) = watch::channel(None);
    let (board, link, seen) = Board::new(clock::wall_ms());
    let (orders, ordered) = server::orders();
    let control = control(data.socket(), board, orders);
    let mut measure = Measure {
        source,
        attribution: attribution(&config.measuring),
        recorder: recorder.clone(),
        orders: ordered,
        seen,
        pause: lasting,
        pause_file: data.pause(),
        devices_file: data.devices(),
        boot_id,
    };
    let uploader = Uploader {
        verifier: config.verifier.clone(),
        ca: config.ca.clone(),
        identity: Arc::clone(&identity),
        data,
        recorder: recorder.clone(),
        cursor,
        reconnect_max: config.reconnect_max,
        drain: draining,
        sent: 0,
        link,
        outside,
    };
    let mut upload = tokio::spawn(uploader.run());
    let chain = identity.opened().chain();
    tracing::info!(%chain, host = %config.host, verifier = %config.verifier, "measuring");
    notify::ready();
    let failed = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        end = &mut ended => Some(died(end)),
        () = control => None,
        finished = measure.run() => match finished {
            Finished::End => None,
            // Its end comes by `ended`, with the reason.
            Finished::RecorderGone => Some(died((&mut ended).await)),
        },
    };
    notify::stopping();
    tracing::info!("stopping");
    last_call();
    if let Some(error) = failed {
        measure.close().await;
        return Err(error);
    }
    let drained = async {
        // A disk that hangs seals nothing; what it has is safe.
        if timeout(SEAL, recorder.close()).await.is_err() {
            tracing::error!("the spool does not answer; the open interval is lost");
        }
        drain.send_replace(Some(recorder.head().borrow().0));
        timeout(DRAIN, &mut upload).await
    };
    let (drained, ()) = tokio::join!(drained, measure.close());
    let outcome = match drained {
        Ok(Ok(upload::Outcome::Halted)) => Outcome::Halted,
        Ok(Ok(upload::Outcome::Drained)) => {
            tracing::info!("everything is in the log");
            Outcome::Stopped
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the uploader panicked; report this as a bug");
            Outcome::Stopped
        }
        Err(_) => {
            upload.abort();
            tracing::warn!("records are left in the spool; they are sent at the next start");
            Outcome::Stopped
        }
    };
    // Its last writes are done when it has ended, and it ends when nobody speaks to it.
    drop((recorder, measure));
    match timeout(SEAL, ended).await {
        Ok(end) => end.map_err(|_| RunError::RecorderDied)??,
        Err(_) => tracing::error!("the spool does not answer"),
    }
    Ok(outcome)
}

/// Reads the pause that lasted when the agent ended, and goes on with it. One that is over now
/// still excuses its time.
fn resume_pause(data: &DataDir, boot_id: &str) -> Option<Pause> {
    let pause = Pause::load(&data.pause(), clock::now(), boot_id)?;
    let kept = if let Some(left) = pause.left(clock::now()) {
        tracing::warn!(reason = %pause.plan(), seconds = left.as_secs(), "STARTED IN A PAUSE: the devices are not observed, as planned");
        // Counted by the clock of this boot from now on.
        pause.store(&data.pause())
    } else {
        pause::forget(&data.pause())
    };
    if let Err(error) = kept {
        tracing::warn!(%error, "the file of the pause could not be changed");
    }
    Some(pause)
}

/// Answers on the control socket, for ever. An agent that cannot have one measures all the same.
async fn control(path: PathBuf, board: Board, orders: mpsc::Sender<Order>) {
    match server::bind(&path) {
        Ok(listener) => server::serve(listener, board, orders).await,
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "no control socket: this agent cannot be paused or asked");
        }
    }
    std::future::pending().await
}

/// Opens the book of records where the chain stands; `period` is the time between two samples,
/// `boot_id` where the kernel names the boot.
pub fn open(
    config: &Config,
    identity: &Identity,
    mut spool: Spool,
    period: Duration,
    boot_id: &Path,
    outside: &Outside,
) -> Result<Book, RunError> {
    let data = DataDir::at(&config.data);
    let recovered = recover(&mut spool, identity.opened())?;
    let last = recovered.boot;
    let mut boot = boot::count(&data.boot(), boot_id, last)?;
    // A clock that is behind the last record is another clock, whatever the boot is called.
    let behind = |ended: u64| outside.clock.read().boot_ms < ended;
    if boot.same
        && recovered
            .usage
            .is_some_and(|(.., ended)| behind(ended.boot_ms))
    {
        std::fs::remove_file(data.boot())
            .map_err(crate::durable::FileError::io("remove", &data.boot()))
            .map_err(BootError::from)?;
        boot = boot::count(&data.boot(), boot_id, last)?;
    }
    let newest = spool.cursor().map(|cursor| cursor.checkpoint.as_str());
    let anchor = Anchor::read(&data, identity.deployment().clone(), newest);
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let opening = Opening {
        spool,
        recovered,
        boot,
        pace: Pace::new(millis(period), millis(config.interval))?,
        seen: anchor.newest().and_then(reference),
        clock: outside.clock.clone(),
        data: data.clone(),
    };
    Ok(Book::open(opening, identity.keys().signer()))
}

/// Makes what names the holders of devices. Needs a tokio runtime.
pub fn attribution(measuring: &Measuring) -> Attribution {
    let names = NameSources {
        cluster: measuring.cluster.clone(),
        kubelet: measuring.kubelet.clone().map(Kubelet::start),
        // Root alone may say whose a job is.
        slurm: Some(PrologFiles::new(&measuring.prolog, 0)),
    };
    Attribution::new(Resolver::new("/proc", "/etc/passwd"), names)
}

fn died(end: Result<Result<(), BookError>, tokio::sync::oneshot::error::RecvError>) -> RunError {
    match end {
        Ok(Err(error)) => error.into(),
        Ok(Ok(())) | Err(_) => RunError::RecorderDied,
    }
}

/// Ends the process at [`LAST_CALL`], from a thread that waits for nothing else.
fn last_call() {
    let spawned = thread::Builder::new().name("last-call".into()).spawn(|| {
        thread::sleep(LAST_CALL);
        eprintln!("affiant-agent: gave up waiting; what is sealed is safe in the spool");
        std::process::exit(GAVE_UP);
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread is left to end a hanging agent");
    }
}
