//! One host: the agent's own enrolment, book, recorder and uploader over simulated devices,
//! clocks and network.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use affiant_agent::{
    backoff::Chance,
    config::Config,
    data::DataDir,
    enrol::{self, Token, enrol},
    identity::Identity,
    link::Link,
    outside::Outside,
    recorder::{Book, Recorder},
    run,
    sample::Instant,
    spool::{Cursor, Spool, look_how_far},
    upload::{Outcome, Uploader},
};
use tokio::sync::watch;

use crate::{
    load,
    random::{Random, Shared},
    time::{Clocks, elapsed_ms},
    wire,
    world::{Sealed, World},
};

/// Wait before enrolment is tried again.
const ENROL_AGAIN: Duration = Duration::from_secs(3);

/// Never.
pub const NEVER: u64 = u64::MAX;

/// A machine's name, clocks and place.
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its clocks.
    pub clocks: Arc<Clocks>,
    /// Time between two samples.
    pub period: Duration,
    /// The process dies when its disk has taken this record, before anybody hears of it.
    pub die_at: AtomicU64,
    /// Measuring is to end, and the agent with it once all is sent.
    pub stop: AtomicBool,
    world: Arc<World>,
    chance: Arc<Shared>,
}

type Failed = Box<dyn std::error::Error>;

impl Host {
    /// Makes the machine with its configuration and its token.
    pub fn new(
        world: &Arc<World>,
        name: &str,
        seed: u64,
        token: &str,
        (period, interval): (Duration, Duration),
    ) -> Result<Arc<Self>, Failed> {
        let it = Self {
            name: name.to_owned(),
            clocks: Arc::default(),
            period,
            die_at: AtomicU64::new(NEVER),
            stop: AtomicBool::new(false),
            world: Arc::clone(world),
            chance: Arc::new(Shared::new(Random::of(seed, name))),
        };
        let place = world.of(name);
        fs::create_dir_all(&place)?;
        let config = format!(
            "verifier = \"https://verifier:{}\"\nca = {:?}\ndata = {:?}\nhost = \"{name}\"\n\
             interval = {}\nreconnect_max_ms = 20000\n[spool]\nreserve = 0\n",
            wire::PORT,
            world.of("verifier").join("ca.pem"),
            it.data().path(),
            interval.as_secs(),
        );
        fs::write(it.config(), config)?;
        fs::write(it.token(), token)?;
        fs::set_permissions(it.token(), fs::Permissions::from_mode(0o600))?;
        it.boot(0)?;
        Ok(Arc::new(it))
    }

    /// Its data directory.
    pub fn data(&self) -> DataDir {
        DataDir::at(self.world.of(&self.name).join("data"))
    }

    fn config(&self) -> PathBuf {
        self.world.of(&self.name).join("agent.toml")
    }

    fn token(&self) -> PathBuf {
        self.world.of(&self.name).join("token")
    }

    fn boot_id(&self) -> PathBuf {
        self.world.of(&self.name).join("boot_id")
    }

    /// Boots the machine: another boot, and its clock begins anew.
    pub fn boot(&self, at_ms: u64) -> Result<(), Failed> {
        fs::write(self.boot_id(), format!("boot-{at_ms}\n"))?;
        self.clocks.boot(at_ms);
        Ok(())
    }

    /// How far it was told that the log is, if that is new.
    pub fn cursor(&self) -> Option<Cursor> {
        look_how_far(&self.data().spool()).ok()?
    }

    fn outside(&self) -> Outside {
        let chance = Arc::clone(&self.chance);
        Outside {
            clock: self.clocks.for_agent(),
            chance: Chance::of(move || Some(chance.draw())),
            dial: wire::dial(),
        }
    }

    /// Runs the agent until its process dies, or until it has stopped with nothing left to send.
    pub async fn run(self: Arc<Self>) -> turmoil::Result {
        self.world.trace(elapsed_ms(), &self.name, "starts");
        if let Err(error) = self.live().await {
            self.world
                .broken(elapsed_ms(), &self.name, &format!("ended: {error}"));
        }
        Ok(())
    }

    async fn live(&self) -> Result<(), Failed> {
        let config = Config::load(&self.config())?;
        let outside = self.outside();
        let data = self.data();
        while !data.certificates().exists() {
            let token = Token::read(&self.token())?;
            match enrol(&config, &token, &outside).await {
                Ok(enrol::Outcome::Pending { .. }) => return Err("waits for approval".into()),
                Ok(_) => self.world.trace(elapsed_ms(), &self.name, "enrolled"),
                Err(_) => tokio::time::sleep(ENROL_AGAIN).await,
            }
        }
        let _lock = data.lock()?;
        let identity = Arc::new(Identity::load(&data)?);
        let mut spool = Spool::open(&data.spool(), config.spool)?;
        Book::begin(&mut spool, identity.enrolment())?;
        let cursor = spool.cursor().cloned();
        let id = self.boot_id();
        let book = run::open(&config, &identity, spool, self.period, &id, &outside)?;
        let (recorder, keeping) = Recorder::of(book);
        let kept = tokio::spawn(keeping);
        let (drain, draining) = watch::channel(None);
        let (link, _) = watch::channel(Link::Connecting {
            since_unix_ms: self.clocks.wall_ms(),
        });
        let uploader = Uploader {
            verifier: config.verifier.clone(),
            ca: config.ca.clone(),
            identity,
            data,
            recorder: recorder.clone(),
            cursor,
            reconnect_max: config.reconnect_max,
            drain: draining,
            link,
            outside,
            sent: 0,
        };
        let sent = tokio::spawn(uploader.run());
        tokio::select! {
            biased;
            () = self.watch(&recorder) => return Ok(()),
            ended = self.measure(&recorder) => ended?,
        }
        recorder.close().await?;
        let last = *recorder.head().borrow();
        self.sealed(last);
        drain.send_replace(Some(last.0));
        match sent.await? {
            Outcome::Drained => {
                self.world.trace(elapsed_ms(), &self.name, "drained");
                self.world.seen().drained.insert(self.name.clone(), true);
            }
            Outcome::Halted => {
                let why = fs::read_to_string(self.data().halt()).unwrap_or_default();
                return Err(format!("halted: {why}").into());
            }
        }
        drop(recorder);
        Ok(kept.await??)
    }

    async fn measure(&self, recorder: &Recorder) -> Result<(), Failed> {
        recorder.inventory(load::inventory(&self.name)).await?;
        let mut ticks = tokio::time::interval(self.period);
        while !self.stop.load(Relaxed) {
            ticks.tick().await;
            let shown = Instant {
                boot_ms: self.clocks.boot_ms(),
                wall_ms: self.clocks.wall_ms(),
                slept_ms: 0,
            };
            let (sample, holdings) = load::tick(&self.name, elapsed_ms(), shown);
            recorder.sample(sample, holdings).await?;
        }
        Ok(())
    }

    /// Writes up what the disk takes; ends when the process is to die of it.
    async fn watch(&self, recorder: &Recorder) {
        let mut head = recorder.head();
        loop {
            let now = *head.borrow_and_update();
            self.sealed(now);
            if now.0 >= self.die_at.load(Relaxed) {
                self.die_at.store(NEVER, Relaxed);
                self.world
                    .trace(elapsed_ms(), &self.name, "dies between sync and send");
                return;
            }
            if head.changed().await.is_err() {
                // Measuring says why.
                std::future::pending::<()>().await;
            }
        }
    }

    fn sealed(&self, (sequence, digest): (u64, affiant_proto::Digest)) {
        let at_ms = elapsed_ms();
        let mut seen = self.world.seen();
        let records = seen.sealed.entry(self.name.clone()).or_default();
        if records.last().is_some_and(|last| last.digest == digest) {
            return;
        }
        records.push(Sealed {
            sequence,
            digest,
            at_ms,
        });
        drop(seen);
        self.world
            .trace(at_ms, &self.name, &format!("sealed up to {sequence}"));
    }
}
