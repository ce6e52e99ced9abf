//! A log as a verifier would have it after some time under a whole fleet, made without one: to measure
//! what reads logs.
//!
//! Statements, chains, figures, segments and tiles are real; only the keys are of the seed, and so
//! nobody's. A segment is closed each second, a host embeds a new checkpoint each minute, and each
//! host sends every interval, at its own phase.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use affiant_judge::{
    Docket, Judge, Parameters,
    admission::{Refusal, Sources},
};
use affiant_proto::{
    Body, ChainState, Ed25519Signer, Envelope, SaltedTree, Signer as _, Statement, digest,
    salted::BadLeaves,
    statement::{Place, SealError},
    tlog::{Checkpoint, NoteSigner, Origin},
    v1,
};
use affiant_report::{
    Trust,
    edge::{Edge, Made},
    head::Head,
    segment::{Builder, Entry, SegmentName},
};

use crate::{
    random::Random,
    usage::{HostModel, NotAHost},
};

/// The clock of the newest segment: 2026-11-02T10:00:00Z, so that all before it is of hours that are
/// over.
const ENDS: u64 = 1_793_613_600_000;

/// Hosts that enrol in one segment.
const ENROLLED_TOGETHER: u64 = 1_000;

/// First line of its checkpoints.
const ORIGIN: &str = "bench.example/affiant/1";

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Where: `log/` and `trust.toml` come to stand there.
    pub out: PathBuf,
    /// How many hosts.
    pub hosts: u32,
    /// Devices of each.
    pub gpus: u32,
    /// Length of a record.
    pub interval_ms: u64,
    /// For how long they reported.
    pub seconds: u64,
    /// Seed of keys and figures.
    pub seed: u64,
}

/// Why it could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotPrepared {
    /// The directory is there already, or the disk said no.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// More devices than a record may have, or an interval that none can have.
    #[error(transparent)]
    Host(#[from] NotAHost),
    /// A statement that nobody would read.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Leaves that cannot stand under one root.
    #[error(transparent)]
    Leaves(#[from] BadLeaves),
    /// A statement that no verifier would admit.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Anything else that this program did wrong.
    #[error("the log could not be made: {0}")]
    Wrong(String),
}

pub(crate) fn wrong(error: impl std::fmt::Display) -> NotPrepared {
    NotPrepared::Wrong(error.to_string())
}

/// The next key.
fn key(random: &mut Random) -> Result<Ed25519Signer, NotPrepared> {
    let seed = [random.bytes(), random.bytes()].concat();
    let seed = seed.as_slice().try_into().map_err(wrong)?;
    Ed25519Signer::from_seed(&seed).map_err(wrong)
}

/// The key of the log that is prepared with that seed: the one after the operator's.
pub(crate) fn log_key(seed: u64) -> Result<Ed25519Signer, NotPrepared> {
    let mut random = Random::new(seed, 0);
    key(&mut random)?;
    key(&mut random)
}

/// Who signs a chain.
struct Signs {
    key: Ed25519Signer,
    state: ChainState,
}

struct Simulated {
    signs: Signs,
    model: HostModel,
    inventory: u64,
    workloads: u64,
    seen: Option<v1::CheckpointRef>,
}

/// The log while it is made.
struct Writing {
    out: PathBuf,
    edge: Edge,
    builder: Builder,
    previous: Option<SegmentName>,
    log_key: NoteSigner<Ed25519Signer>,
    origin: Origin,
    now: u64,
    /// The state of the log at the end of the last segment.
    closed: Option<v1::CheckpointRef>,
}

impl Prepared {
    /// Makes it; gives how many entries the log has.
    pub fn make(&self) -> Result<u64, NotPrepared> {
        let begun = self.begun();
        let mut random = Random::new(self.seed, 0);
        let mut key = || key(&mut random);
        let (operator, log) = (key()?, key()?);
        let officers = [("alice", key()?), ("bob", key()?)];
        let origin: Origin = ORIGIN.parse().map_err(wrong)?;
        let genesis = v1::Genesis {
            origin: ORIGIN.to_owned(),
            log_key: log.public_key().as_bytes().to_vec(),
            operator_key: operator.public_key().as_bytes().to_vec(),
            ca: digest(b"no authority").as_bytes().to_vec(),
            officers: officers
                .iter()
                .map(|(name, key)| v1::OfficerKey {
                    name: (*name).to_owned(),
                    key: key.public_key().as_bytes().to_vec(),
                })
                .collect(),
            operator: "Bench Cloud".to_owned(),
            ..Default::default()
        };
        let genesis =
            Statement::seal(genesis.into(), Place::Opening, time(begun), None, &operator)?;
        let named = genesis.digest().as_bytes().to_vec();
        let trust = Trust::of_genesis(&genesis)
            .map_err(wrong)?
            .with_recorded(true);
        fs::create_dir_all(&self.out).map_err(|source| self.io(source))?;
        let printed = trust.print().map_err(wrong)?;
        fs::write(self.out.join("trust.toml"), printed).map_err(|source| self.io(source))?;

        let (state, _) = ChainState::open(genesis.clone()).map_err(wrong)?;
        let mut operator = Signs {
            key: operator,
            state,
        };
        let sources = Sources {
            accept_recorded: true,
        };
        let judge = Judge::new(Parameters::default());
        let (mut docket, _) = Docket::open(0, genesis.clone(), sources, judge)?;
        let at = self.out.join("log");
        let mut writing = Writing {
            log_key: NoteSigner::new(origin.key_name(), log).map_err(wrong)?,
            builder: Builder::new(0, begun).map_err(wrong)?,
            edge: Edge::default(),
            previous: None,
            out: at,
            origin,
            now: begun,
            closed: None,
        };
        writing.begin()?;
        writing.put(Envelope::join(genesis, None).map_err(wrong)?)?;
        // The registry is admitted as it is made: a decision cites what it is about.
        writing.now += 1_000;
        let clock = operator.seal(writing.now, None, v1::Clock::default(), None)?;
        docket.take_whole(1, clock.clone())?;
        writing.put(clock)?;
        registry(&mut writing, &mut docket, officers, &named)?;
        let mut hosts = self.enrol(&mut writing, &mut operator, &named)?;

        let phases = (self.interval_ms / 1_000).max(1);
        for second in 0..self.seconds {
            writing.close(&mut operator)?;
            for (host, number) in hosts.iter_mut().zip(0_u64..) {
                if second % 60 == 0 {
                    host.seen.clone_from(&writing.closed);
                }
                if number % phases == second % phases {
                    let (body, tree) = host.model.usage(host.inventory, host.workloads)?;
                    writing.put(host.seal(writing.now, body, tree)?)?;
                }
            }
        }
        writing.finish()
    }

    fn enrol(
        &self,
        writing: &mut Writing,
        operator: &mut Signs,
        genesis: &[u8],
    ) -> Result<Vec<Simulated>, NotPrepared> {
        let phases = (self.interval_ms / 1_000).max(1);
        let mut hosts = Vec::new();
        for number in 0..u64::from(self.hosts) {
            let mut random = Random::new(self.seed, number + 1);
            let seed = [random.bytes(), random.bytes()].concat();
            let seed = seed.as_slice().try_into().map_err(wrong)?;
            let key = Ed25519Signer::from_seed(&seed).map_err(wrong)?;
            let body = v1::Enrolment {
                genesis: genesis.to_vec(),
                host: format!("gpu-{number:06}"),
                record_key: key.public_key().as_bytes().to_vec(),
                agent_version: env!("CARGO_PKG_VERSION").to_owned(),
                ..Default::default()
            };
            let opening =
                Statement::seal(body.into(), Place::Opening, time(writing.now), None, &key)?;
            let (state, _) = ChainState::open(opening.clone()).map_err(wrong)?;
            writing.put(Envelope::join(opening, None).map_err(wrong)?)?;
            let event = v1::HostEvent {
                host_chain: state.chain().as_bytes().to_vec(),
                kind: v1::HostEventKind::Approve.into(),
                ..Default::default()
            };
            writing.say(operator, event)?;
            let wall = self.begun() + (number % phases) * 1_000;
            let model = HostModel::new(self.gpus, self.interval_ms, 1, wall, random)?;
            let mut host = Simulated {
                signs: Signs { key, state },
                model,
                inventory: 0,
                workloads: 0,
                seen: None,
            };
            let (body, tree) = host.model.inventory()?;
            writing.put(host.seal(writing.now, body, tree)?)?;
            host.inventory = host.signs.state.sequence();
            let (body, tree) = host.model.workloads()?;
            writing.put(host.seal(writing.now, body, tree)?)?;
            host.workloads = host.signs.state.sequence();
            hosts.push(host);
            if number % ENROLLED_TOGETHER == ENROLLED_TOGETHER - 1 {
                writing.close(operator)?;
            }
        }
        Ok(hosts)
    }

    /// The first instant: a second before the first clock, and one for each segment that is closed.
    fn begun(&self) -> u64 {
        let closed = u64::from(self.hosts) / ENROLLED_TOGETHER + self.seconds;
        ENDS - 1_000 * (1 + closed)
    }

    fn io(&self, source: io::Error) -> NotPrepared {
        let path = self.out.clone();
        NotPrepared::Io { path, source }
    }
}

/// One vetted tenant to whom the load's workloads belong.
fn registry(
    writing: &mut Writing,
    docket: &mut Docket,
    officers: [(&str, Ed25519Signer); 2],
    genesis: &[u8],
) -> Result<(), NotPrepared> {
    use v1::tenant_event::Body as Event;
    const TENANT: &str = "bench-labs";
    let mut signs = Vec::new();
    for (name, key) in officers {
        let body = v1::Officer {
            genesis: genesis.to_vec(),
            name: name.to_owned(),
            key: key.public_key().as_bytes().to_vec(),
            ..Default::default()
        };
        let opening = Statement::seal(body.into(), Place::Opening, time(writing.now), None, &key)?;
        let (state, _) = ChainState::open(opening.clone()).map_err(wrong)?;
        let envelope = Envelope::join(opening, None).map_err(wrong)?;
        docket.take_whole(writing.edge.size(), envelope.clone())?;
        writing.put(envelope)?;
        signs.push(Signs { key, state });
    }
    let effective_unix_ms = writing.now;
    let event = |body| v1::TenantEvent {
        effective_unix_ms,
        body: Some(body),
        ..Default::default()
    };
    let party = v1::Party {
        id: TENANT.to_owned(),
        kind: v1::PartyKind::Organisation.into(),
        names: vec![v1::PartyName {
            text: "Bench Labs Inc.".to_owned(),
            ..Default::default()
        }],
        incorporation: "US".to_owned(),
        headquarters: "US".to_owned(),
        ..Default::default()
    };
    let tenant = v1::Tenant {
        id: TENANT.to_owned(),
        customer: TENANT.to_owned(),
        end_customer: TENANT.to_owned(),
        ultimate_parent: TENANT.to_owned(),
        ..Default::default()
    };
    let binding = |id: &str| v1::Binding {
        id: id.to_owned(),
        tenant: TENANT.to_owned(),
        ..Default::default()
    };
    let bindings = [
        v1::Binding {
            slurm_account: "bench-climate".to_owned(),
            ..binding("bench-slurm")
        },
        v1::Binding {
            namespace: "bench-vision".to_owned(),
            ..binding("bench-pods")
        },
        v1::Binding {
            unit: "bench-inference.service".to_owned(),
            ..binding("bench-service")
        },
    ];
    let mut bodies: Vec<Body> = vec![
        event(Event::Party(party)).into(),
        event(Event::Tenant(tenant)).into(),
    ];
    bodies.extend(bindings.map(|binding| {
        let event = v1::BindingEvent {
            effective_unix_ms,
            binding: Some(binding),
            ..Default::default()
        };
        Body::from(event)
    }));
    let say = |writing: &mut Writing, docket: &mut Docket, who: &mut Signs, body: Body| {
        let envelope = who.seal(writing.now, None, body, None)?;
        docket.take_whole(writing.edge.size(), envelope.clone())?;
        writing.put(envelope)
    };
    let [first, second] = signs.as_mut_slice() else {
        return Err(wrong("two officers are due"));
    };
    for body in bodies {
        say(writing, docket, first, body)?;
    }
    let dossier = docket.judge().registry().dossier_digest(TENANT);
    let dossier = dossier.ok_or_else(|| wrong("the tenant has no dossier"))?;
    for officer in [first, second] {
        let decision = v1::Decision {
            tenant: TENANT.to_owned(),
            dossier: dossier.as_bytes().to_vec(),
            verdict: v1::Verdict::Approve.into(),
            effective_unix_ms,
            reason: "bench".to_owned(),
            ..Default::default()
        };
        say(writing, docket, officer, decision.into())?;
    }
    Ok(())
}

impl Signs {
    fn seal(
        &mut self,
        now: u64,
        seen: Option<v1::CheckpointRef>,
        body: impl Into<Body>,
        tree: Option<SaltedTree>,
    ) -> Result<Envelope, NotPrepared> {
        let place = self.state.next_place();
        let mut made = Statement::seal(body.into(), place, time(now), seen, &self.key)?;
        made.attest(self.key.public_key()).map_err(wrong)?;
        self.state.follow(made.clone()).map_err(wrong)?;
        Envelope::join(made, tree).map_err(wrong)
    }
}

impl Simulated {
    fn seal(
        &mut self,
        now: u64,
        body: impl Into<Body>,
        tree: SaltedTree,
    ) -> Result<Envelope, NotPrepared> {
        self.signs.seal(now, self.seen.clone(), body, Some(tree))
    }
}

impl Writing {
    fn begin(&self) -> Result<(), NotPrepared> {
        // Never over a log that somebody may want to keep.
        let made = fs::create_dir(&self.out);
        made.map_err(|source| NotPrepared::Io {
            path: self.out.clone(),
            source,
        })?;
        self.make_folder(&self.out.join("segments"))
    }

    fn make_folder(&self, at: &Path) -> Result<(), NotPrepared> {
        fs::create_dir_all(at).map_err(|source| NotPrepared::Io {
            path: at.to_owned(),
            source,
        })
    }

    fn put(&mut self, envelope: Envelope) -> Result<(), NotPrepared> {
        let entry = Entry::parse(envelope.to_bytes()).map_err(wrong)?;
        self.builder.push(&entry).map_err(wrong)?;
        let mut tiles = Vec::new();
        self.edge.push(entry.digest(), |made| tiles.push(made));
        tiles.iter().try_for_each(|made| self.tile(made))
    }

    fn tile(&self, made: &Made) -> Result<(), NotPrepared> {
        self.file(&format!("public/{}", made.path), &made.bytes)
    }

    fn file(&self, path: &str, bytes: &[u8]) -> Result<(), NotPrepared> {
        let at = self.out.join(path);
        if let Some(folder) = at.parent() {
            self.make_folder(folder)?;
        }
        fs::write(&at, bytes).map_err(|source| NotPrepared::Io { path: at, source })
    }

    fn say(&mut self, who: &mut Signs, body: impl Into<Body>) -> Result<(), NotPrepared> {
        let envelope = who.seal(self.now, None, body, None)?;
        self.put(envelope)
    }

    fn clock(&mut self, operator: &mut Signs) -> Result<(), NotPrepared> {
        self.now += 1_000;
        self.say(operator, v1::Clock::default())
    }

    /// Ends the segment of a second and begins the next.
    fn close(&mut self, operator: &mut Signs) -> Result<(), NotPrepared> {
        let next = Builder::new(self.edge.size(), self.now + 1_000).map_err(wrong)?;
        self.write(next)?;
        self.clock(operator)
    }

    fn write(&mut self, next: Builder) -> Result<(), NotPrepared> {
        let done = std::mem::replace(&mut self.builder, next);
        let (name, bytes) = done.finish(0).map_err(wrong)?;
        self.file(&format!("segments/{name}"), &bytes)?;
        self.previous = Some(name);
        self.closed = Some(v1::CheckpointRef {
            origin: self.origin.to_string(),
            size: self.edge.size(),
            root: self.edge.root().as_bytes().to_vec(),
        });
        Ok(())
    }

    fn finish(mut self) -> Result<u64, NotPrepared> {
        let next = Builder::new(self.edge.size(), self.now + 1_000).map_err(wrong)?;
        self.write(next)?;
        for made in self.edge.partial(0) {
            self.tile(&made)?;
        }
        let (size, root) = (self.edge.size(), self.edge.root());
        let head = Head {
            origin: self.origin.clone(),
            epoch: 1,
            size,
            root,
            segment: self
                .previous
                .ok_or_else(|| wrong("no segment was closed"))?,
        };
        self.file("lock", head.to_string().as_bytes())?;
        let checkpoint = Checkpoint::new(self.origin.clone(), size, root).map_err(wrong)?;
        let signed = checkpoint.sign(&self.log_key).map_err(wrong)?;
        self.file("public/checkpoint", signed.note().to_string().as_bytes())?;
        Ok(size)
    }
}

fn time(unix_ms: u64) -> v1::Time {
    v1::Time {
        unix_ms,
        clock: v1::ClockState::Synchronized.into(),
        max_error_ms: Some(2),
    }
}
