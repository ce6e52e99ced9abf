//! A small deployment in memory: its log, its keys, two officers, tenants and hosts.
//!
//! Every entry passes through the same admission as in the verifier, so that no test rests on a
//! log that could not be.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::new_without_default,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation
)]

use std::collections::{BTreeMap, BTreeSet};

use affiant_judge::{
    Docket, Judge, Parameters,
    admission::{Refusal, Sources},
    roll_call::Tally,
};
use affiant_proto::{
    Body, ChainState, Digest, Ed25519Signer, Envelope, KeyId, SaltedTree, Seed, Signer as _,
    Statement,
    authority::succession_approval_bytes,
    chain::key_change_bytes,
    digest,
    statement::Place,
    tlog::{
        Checkpoint, Cosigner, CosignerKey, MemoryTree, Note, NoteSigner, SignedCheckpoint,
        leaf_hash,
    },
    v1,
};
use affiant_report::{
    Bundle, Order, Period, Scope, Trust, build,
    bundle::{Written, assemble},
    reading::Fault,
    select::Selector,
};
use prost::Message as _;

pub const ORIGIN: &str = "log.example/1";
/// The first instant, milliseconds since 1970: 2024-08-20, for the shipped policy pack judges no use
/// before 17 November 2023.
pub const T0: u64 = 1_724_112_000_000;
pub const INTERVAL: u64 = 10_000;

/// Reasons of a withdrawal, of which the first is to move the cursor and to be markup.
pub const FIRST: &str = "a drill \u{1b}[2J\u{202e}<script>alert(1)</script> \"";
pub const SECOND: &str = "it was one";

pub type Files = BTreeMap<String, Vec<u8>>;

pub fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32]).unwrap()
}

/// The key of a relay.
fn relay_signer(name: &str) -> Ed25519Signer {
    Ed25519Signer::from_seed(digest(name.as_bytes()).as_bytes()).unwrap()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn key(seed: u8) -> Vec<u8> {
    signer(seed).public_key().as_bytes().to_vec()
}

const OPERATOR: u8 = 1;
const LOG: u8 = 2;
const OFFICERS: [u8; 2] = [3, 4];
const WITNESS: u8 = 9;

pub struct Host {
    pub name: String,
    pub devices: Vec<v1::Device>,
    pub source: v1::SourceKind,
    seed: u8,
    state: ChainState,
    inventory: u64,
    workloads: (u64, Vec<v1::Workload>),
    uptime: u64,
    records: u64,
}

pub struct World {
    pub log: Vec<Envelope>,
    pub tree: MemoryTree,
    pub now: u64,
    /// First line of the checkpoints now, with the seeds of the log's and the operator's keys.
    origin: String,
    keys: (u8, u8),
    officers: Vec<ChainState>,
    pub hosts: Vec<Host>,
    docket: Docket,
    seen: Option<v1::CheckpointRef>,
    pub kept: BTreeSet<u64>,
}

/// One attributed line of a record: device, namespace, milliseconds.
pub type Use<'a> = (usize, &'a str, u64);

fn sealed(
    body: Body,
    state: Option<&ChainState>,
    seed: u8,
    now: u64,
    seen: Option<v1::CheckpointRef>,
) -> Statement {
    let place = state.map_or(Place::Opening, ChainState::next_place);
    let time = v1::Time {
        unix_ms: now,
        clock: v1::ClockState::Synchronized.into(),
        max_error_ms: None,
    };
    Statement::seal(body, place, time, seen, &signer(seed)).unwrap()
}

pub fn device(model: &str, number: usize) -> v1::Device {
    v1::Device {
        uuid: format!("GPU-00000000-0000-0000-0000-{number:012}"),
        model: model.to_owned(),
        serial: Some(format!("13220230{number:05}")),
        pci_bus_id: Some(format!("00000000:{number:02X}:00.0")),
        memory_bytes: Some(85_899_345_920),
        coverage: v1::Coverage::Full.into(),
        ..v1::Device::default()
    }
}

impl Host {
    pub fn chain(&self) -> Digest {
        self.state.chain()
    }
}

impl World {
    pub fn new() -> Self {
        let named = |(seed, name): (u8, &str)| v1::OfficerKey {
            name: name.into(),
            key: key(seed),
        };
        let genesis = v1::Genesis {
            origin: ORIGIN.into(),
            log_key: key(LOG),
            operator_key: key(OPERATOR),
            ca: digest(b"the authority's certificate").as_bytes().to_vec(),
            officers: [(OFFICERS[0], "Ada Novak"), (OFFICERS[1], "Ben Okafor")]
                .map(named)
                .into(),
            operator: "Meridian Cloud".into(),
            ..v1::Genesis::default()
        };
        let genesis = sealed(genesis.into(), None, OPERATOR, T0, None);
        let judge = Judge::new(Parameters::default());
        let sources = Sources {
            accept_recorded: true,
        };
        let (docket, _) = Docket::open(0, genesis.clone(), sources, judge).unwrap();
        let mut world = Self {
            log: Vec::new(),
            tree: MemoryTree::new(),
            now: T0,
            origin: ORIGIN.into(),
            keys: (LOG, OPERATOR),
            officers: Vec::new(),
            hosts: Vec::new(),
            docket,
            seen: None,
            kept: BTreeSet::new(),
        };
        world.tree.push(leaf_hash(genesis.digest().as_bytes()));
        world.log.push(Envelope::join(genesis, None).unwrap());
        world.clock();
        for (place, name) in ["Ada Novak", "Ben Okafor"].into_iter().enumerate() {
            let body = v1::Officer {
                genesis: world.genesis().as_bytes().to_vec(),
                name: name.into(),
                key: key(OFFICERS[place]),
                ..v1::Officer::default()
            };
            let statement = sealed(body.into(), None, OFFICERS[place], world.now, None);
            world
                .officers
                .push(ChainState::open(statement.clone()).unwrap().0);
            world.append(Envelope::join(statement, None).unwrap());
        }
        world
    }

    pub fn genesis(&self) -> Digest {
        self.docket.authorities().genesis()
    }

    pub fn append(&mut self, envelope: Envelope) -> u64 {
        let index = self.log.len() as u64;
        self.docket.take_whole(index, envelope.clone()).unwrap();
        self.tree
            .push(leaf_hash(envelope.statement().digest().as_bytes()));
        self.log.push(envelope);
        index
    }

    pub fn operator(&mut self, body: impl Into<Body>) -> u64 {
        let state = self.docket.authorities().operator();
        let statement = sealed(body.into(), Some(state), self.keys.1, self.now, None);
        self.append(Envelope::join(statement, None).unwrap())
    }

    pub fn officer(&mut self, place: usize, body: impl Into<Body>) -> u64 {
        let statement = sealed(
            body.into(),
            Some(&self.officers[place]),
            OFFICERS[place],
            self.now,
            None,
        );
        self.officers[place].follow(statement.clone()).unwrap();
        self.append(Envelope::join(statement, None).unwrap())
    }

    /// The roll call that is due as the next entry.
    pub fn roll_call(&self) -> Option<v1::RollCall> {
        self.docket.roll_call()
    }

    /// The roll calls so far.
    pub fn roll_calls(&self) -> Tally {
        self.docket.roll_calls()
    }

    /// The erasure of all that was over at an instant, but for hours with spared entries.
    pub fn due(&self, before_ms: u64, spared: &BTreeSet<u64>) -> Option<v1::Erasure> {
        self.docket.retention().due(before_ms, spared)
    }

    /// Why the operator's next statement may not say this.
    pub fn refused(mut self, body: impl Into<Body>) -> Refusal {
        let state = self.docket.authorities().operator();
        let statement = sealed(body.into(), Some(state), self.keys.1, self.now, None);
        let index = self.log.len() as u64;
        let envelope = Envelope::join(statement, None).unwrap();
        self.docket.take_whole(index, envelope).unwrap_err()
    }

    /// A host is enrolled and says nothing.
    pub fn enrol_quietly(&mut self, name: &str) {
        let signer = Ed25519Signer::from_seed(digest(name.as_bytes()).as_bytes()).unwrap();
        let body = v1::Enrolment {
            genesis: self.genesis().as_bytes().to_vec(),
            host: name.into(),
            record_key: signer.public_key().as_bytes().to_vec(),
            ..v1::Enrolment::default()
        };
        let time = v1::Time {
            unix_ms: self.now,
            clock: v1::ClockState::Synchronized.into(),
            max_error_ms: None,
        };
        let made = Statement::seal(body.into(), Place::Opening, time, None, &signer).unwrap();
        self.append(Envelope::join(made, None).unwrap());
    }

    /// A relay is enrolled.
    pub fn enrol_relay(&mut self, name: &str) -> ChainState {
        let body = v1::RelayEnrolment {
            genesis: self.genesis().as_bytes().to_vec(),
            relay: name.into(),
            relay_key: relay_signer(name).public_key().as_bytes().to_vec(),
            site: "hall-2".into(),
            ..v1::RelayEnrolment::default()
        };
        let made = self.relay_seals(name, body, Place::Opening);
        let (state, _) = ChainState::open(made.clone()).unwrap();
        self.append(Envelope::join(made, None).unwrap());
        state
    }

    /// Why a relay may not say this.
    pub fn relay_says(&mut self, name: &str, relay: &ChainState, body: impl Into<Body>) -> Refusal {
        let made = self.relay_seals(name, body, relay.next_place());
        let envelope = Envelope::join(made, None).unwrap();
        let index = self.log.len() as u64;
        self.docket.take_whole(index, envelope).unwrap_err()
    }

    fn relay_seals(&self, name: &str, body: impl Into<Body>, place: Place) -> Statement {
        let time = v1::Time {
            unix_ms: self.now,
            clock: v1::ClockState::Synchronized.into(),
            max_error_ms: None,
        };
        Statement::seal(body.into(), place, time, None, &relay_signer(name)).unwrap()
    }

    /// The judge that heard all of it.
    pub fn judge(&self) -> &Judge {
        self.docket.judge()
    }

    /// A second passes and a segment begins.
    pub fn clock(&mut self) {
        self.now += 1_000;
        self.operator(v1::Clock::default());
    }

    fn event(&mut self, body: v1::tenant_event::Body) {
        let event = v1::TenantEvent {
            effective_unix_ms: self.now,
            body: Some(body),
            ..v1::TenantEvent::default()
        };
        self.officer(0, event);
    }

    pub fn party(&mut self, id: &str, names: &[&str], headquarters: &str) {
        let name = |text: &&str| v1::PartyName {
            text: (*text).into(),
            ..v1::PartyName::default()
        };
        self.event(v1::tenant_event::Body::Party(v1::Party {
            id: id.into(),
            kind: v1::PartyKind::Organisation.into(),
            names: names.iter().map(name).collect(),
            incorporation: headquarters.into(),
            headquarters: headquarters.into(),
            ..v1::Party::default()
        }));
    }

    /// States a tenant and binds the namespace of its name to it.
    pub fn tenant(&mut self, tenant: v1::Tenant) {
        let id = tenant.id.clone();
        self.event(v1::tenant_event::Body::Tenant(tenant));
        let binding = v1::Binding {
            id: format!("b-{id}"),
            tenant: id.clone(),
            namespace: id,
            ..v1::Binding::default()
        };
        let event = v1::BindingEvent {
            effective_unix_ms: self.now,
            binding: Some(binding),
            ..v1::BindingEvent::default()
        };
        self.officer(1, event);
    }

    /// Both officers approve a tenant as it stands.
    pub fn approve(&mut self, tenant: &str) {
        let dossier = self
            .docket
            .judge()
            .registry()
            .dossier_digest(tenant)
            .unwrap();
        for officer in 0..2 {
            let decision = v1::Decision {
                tenant: tenant.into(),
                dossier: dossier.as_bytes().to_vec(),
                verdict: v1::Verdict::Approve.into(),
                effective_unix_ms: self.now,
                reason: "papers complete".into(),
                ..v1::Decision::default()
            };
            self.officer(officer, decision);
        }
    }

    /// An officer signs what he does about a finding.
    pub fn act(
        &mut self,
        officer: usize,
        finding: &str,
        verdict: v1::Verdict,
        reason: &str,
    ) -> u64 {
        let decision = v1::Decision {
            verdict: verdict.into(),
            effective_unix_ms: self.now,
            reason: reason.into(),
            finding: finding.into(),
            ..v1::Decision::default()
        };
        self.officer(officer, decision)
    }

    /// Findings of a period, the gravest first: two officers withdraw the first, one resolves the second,
    /// and nobody says anything about the others. Gives their ids.
    pub fn deal(&mut self, period: Period) -> Vec<String> {
        let bundle = build(self.order(period, Scope::All), self.entries(), |_| Ok(None)).unwrap();
        let mut found = bundle.document().findings.clone();
        found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let ids: Vec<String> = found.into_iter().map(|finding| finding.id).collect();
        self.act(0, &ids[0], v1::Verdict::Withdraw, FIRST);
        self.act(1, &ids[0], v1::Verdict::Withdraw, SECOND);
        self.act(1, &ids[1], v1::Verdict::Resolve, "the owner was told");
        self.clock();
        ids
    }

    pub fn enrol(&mut self, name: &str, models: &[&str], source: v1::SourceKind) -> usize {
        let seed = 20 + self.hosts.len() as u8;
        let body = v1::Enrolment {
            genesis: self.genesis().as_bytes().to_vec(),
            host: name.into(),
            record_key: key(seed),
            agent_version: "0.1.0".into(),
            site: "fra-1".into(),
            ..v1::Enrolment::default()
        };
        let statement = sealed(body.into(), None, seed, self.now, None);
        let state = ChainState::open(statement.clone()).unwrap().0;
        let chain = state.chain();
        self.append(Envelope::join(statement, None).unwrap());
        let first = self
            .hosts
            .iter()
            .map(|host| host.devices.len())
            .sum::<usize>();
        let devices = models
            .iter()
            .enumerate()
            .map(|(place, model)| device(model, first + place))
            .collect();
        self.hosts.push(Host {
            name: name.into(),
            devices,
            source,
            seed,
            state,
            inventory: 0,
            workloads: (0, Vec::new()),
            uptime: 5_000,
            records: 0,
        });
        let host = self.hosts.len() - 1;
        self.operator(v1::HostEvent {
            host_chain: chain.as_bytes().to_vec(),
            kind: v1::HostEventKind::Approve.into(),
            ..v1::HostEvent::default()
        });
        self.inventory(host);
        host
    }

    pub fn inventory(&mut self, host: usize) {
        let it = &self.hosts[host];
        let leaves = it
            .devices
            .iter()
            .map(|device| device.encode_to_vec())
            .collect();
        let tree = SaltedTree::new(Seed::new([host as u8; 16]), leaves).unwrap();
        let body = v1::Inventory {
            source: it.source.into(),
            library: "/usr/lib/libnvidia-ml.so.1".into(),
            library_digest: digest(b"library").as_bytes().to_vec(),
            driver_version: "550.54.15".into(),
            root: tree.root().as_bytes().to_vec(),
            count: tree.count(),
            ..v1::Inventory::default()
        };
        self.hosts[host].inventory = self.host_says(host, body, Some(tree));
    }

    /// Signs a statement of a host and logs it; gives its sequence.
    pub fn host_says(
        &mut self,
        host: usize,
        body: impl Into<Body>,
        tree: Option<SaltedTree>,
    ) -> u64 {
        let seen = self.seen.clone();
        let it = &mut self.hosts[host];
        let statement = sealed(body.into(), Some(&it.state), it.seed, self.now, seen);
        it.state.follow(statement.clone()).unwrap();
        let sequence = it.state.sequence();
        self.append(Envelope::join(statement, tree).unwrap());
        sequence
    }

    /// One record of a host: what is not used is idle.
    pub fn record(&mut self, host: usize, uses: &[Use<'_>]) {
        self.workloads(host, uses);
        let it = &self.hosts[host];
        let mut lines: Vec<v1::UsageLine> = Vec::new();
        let mut totals = v1::Totals::default();
        for device in 0..it.devices.len() {
            let mut attributed = 0;
            for (_, namespace, ms) in uses.iter().filter(|(place, ..)| *place == device) {
                let place = it
                    .workloads
                    .1
                    .iter()
                    .position(|one| one.namespace == *namespace)
                    .unwrap();
                attributed += ms;
                lines.push(v1::UsageLine {
                    device: device as u32,
                    kind: v1::LineKind::Attributed.into(),
                    workload: Some(place as u32),
                    time_ms: *ms,
                    allocated_ms: Some(INTERVAL),
                    busy_ms: Some(ms - ms / 10),
                    energy_mj: Some(ms * 600),
                    samples: 10,
                    ..v1::UsageLine::default()
                });
            }
            if attributed < INTERVAL {
                lines.push(v1::UsageLine {
                    device: device as u32,
                    kind: v1::LineKind::Idle.into(),
                    time_ms: INTERVAL - attributed,
                    energy_mj: Some(1_000),
                    samples: 10,
                    ..v1::UsageLine::default()
                });
            }
            let energy = lines.iter().filter(|line| line.device == device as u32);
            totals.devices.push(v1::DeviceTotals {
                attributed_ms: attributed,
                idle_ms: INTERVAL - attributed,
                energy_mj: Some(energy.filter_map(|line| line.energy_mj).sum()),
                ..v1::DeviceTotals::default()
            });
        }
        lines.sort_by_key(affiant_proto::usage::order);
        let leaves = std::iter::once(totals.encode_to_vec())
            .chain(lines.iter().map(|line| line.encode_to_vec()));
        let mut seed = [7; 16];
        seed[..8].copy_from_slice(&it.records.to_be_bytes());
        seed[8] = host as u8;
        let tree = SaltedTree::new(Seed::new(seed), leaves.collect()).unwrap();
        let body = v1::Usage {
            boot: 1,
            start_ms: it.uptime,
            end_ms: it.uptime + INTERVAL,
            wall_start_ms: self.now - INTERVAL,
            wall_end_ms: self.now,
            source: it.source.into(),
            inventory: it.inventory,
            workloads: it.workloads.0,
            usage_root: tree.root().as_bytes().to_vec(),
            usage_count: tree.count(),
            ..v1::Usage::default()
        };
        self.host_says(host, body, Some(tree));
        let it = &mut self.hosts[host];
        it.uptime += INTERVAL;
        it.records += 1;
    }

    fn workloads(&mut self, host: usize, uses: &[Use<'_>]) {
        let names: BTreeSet<&str> = uses.iter().map(|(_, namespace, _)| *namespace).collect();
        let wanted = names.iter().map(|namespace| v1::Workload {
            platform: v1::Platform::Kubernetes.into(),
            namespace: (*namespace).into(),
            pod: format!("{namespace}-0"),
            ..v1::Workload::default()
        });
        let wanted: Vec<v1::Workload> = wanted.collect();
        if self.hosts[host].workloads.1 == wanted && self.hosts[host].workloads.0 > 0 {
            return;
        }
        let leaves = wanted
            .iter()
            .map(|workload| workload.encode_to_vec())
            .collect();
        let tree = SaltedTree::new(Seed::new([100 + host as u8; 16]), leaves).unwrap();
        let body = v1::Workloads {
            root: tree.root().as_bytes().to_vec(),
            count: tree.count(),
            ..v1::Workloads::default()
        };
        let sequence = self.host_says(host, body, Some(tree));
        self.hosts[host].workloads = (sequence, wanted);
    }

    /// Ten seconds pass; the log's clock runs and each host reports.
    pub fn tick(&mut self, uses: &[&[Use<'_>]]) {
        for _ in 0..10 {
            self.clock();
        }
        for (host, uses) in uses.iter().enumerate() {
            self.record(host, uses);
        }
    }

    pub fn checkpoint(&self) -> SignedCheckpoint {
        checkpoint_of(&self.tree, &self.origin, self.keys.0)
    }

    /// A witness cosigns the log as it stands; the log and the hosts take note of it.
    pub fn witness(&mut self) -> Note {
        self.witness_ahead(0)
    }

    /// The same by a witness whose clock is so many seconds ahead of the log's.
    pub fn witness_ahead(&mut self, ahead: u64) -> Note {
        let signed = self.checkpoint();
        let note = cosigned_at(&signed, self.now / 1_000 + ahead);
        let checkpoint = signed.checkpoint();
        self.seen = Some(v1::CheckpointRef {
            origin: self.origin.clone(),
            size: checkpoint.size(),
            root: checkpoint.root().as_bytes().to_vec(),
        });
        self.operator(v1::Cosigned {
            note: note.to_string().into_bytes(),
            ..v1::Cosigned::default()
        });
        note
    }

    /// The operator logs this as a cosigned note.
    pub fn say_cosigned(&mut self, note: Vec<u8>) {
        self.operator(v1::Cosigned {
            note,
            ..v1::Cosigned::default()
        });
    }

    pub fn order(&self, period: Period, scope: Scope) -> Order {
        Order {
            period,
            scope,
            parameters: Parameters::default(),
            basis: self.checkpoint().checkpoint().clone(),
            kept: self.kept.clone(),
        }
    }

    pub fn entries(
        &self,
    ) -> impl Iterator<Item = Result<(u64, Vec<u8>), std::convert::Infallible>> {
        (0..)
            .zip(self.log.iter().map(Envelope::to_bytes))
            .map(Ok)
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Reports on the log as it stands, witnessed.
    pub fn report(&mut self, period: Period, scope: Scope) -> Files {
        let bundle = build(self.order(period, scope), self.entries(), |_| Ok(None)).unwrap();
        self.issue(bundle)
    }

    /// Reports on a log that may lack something, as only an insider would.
    pub fn report_anyway(&mut self, period: Period, scope: Scope) -> (Files, Vec<Fault>) {
        let order = self.order(period, scope.clone());
        let mut selector = Selector::new(period, scope);
        for entry in self.entries() {
            let (index, envelope) = entry.unwrap();
            selector.take(index, &envelope).unwrap();
        }
        let (bundle, faults) = assemble(order, selector.finish()).unwrap();
        (self.issue(bundle), faults)
    }

    pub fn issue(&mut self, bundle: Bundle) -> Files {
        self.now += 1_000;
        let index = self.operator(bundle.body());
        let statement = self.log.last().unwrap().statement().clone();
        let signed = self.checkpoint();
        let key = NoteSigner::new(self.origin.parse().unwrap(), signer(self.keys.0)).unwrap();
        let note = cosigned_at(&signed, self.now / 1_000);
        let signed = SignedCheckpoint::of(note, key.key()).unwrap();
        let files: Written = bundle
            .finish((index, statement), &signed, &self.tree)
            .unwrap();
        files.into_iter().collect()
    }

    /// The same deployment whose log never had the entry at `index`: every signature stays good.
    pub fn without(mut self, index: usize) -> Self {
        self.log.remove(index);
        self.tree = self
            .log
            .iter()
            .map(|one| leaf_hash(one.statement().digest().as_bytes()))
            .collect();
        self
    }

    /// The log falls back to its first `size` entries: gives those that were lost.
    pub fn lose(&mut self, size: usize) -> Vec<Envelope> {
        let lost = self.log.split_off(size);
        let judge = Judge::new(Parameters::default());
        let sources = Sources {
            accept_recorded: true,
        };
        let genesis = self.log[0].statement().clone();
        self.docket = Docket::open(0, genesis, sources, judge).unwrap().0;
        for (index, envelope) in (0..).zip(&self.log).skip(1) {
            self.docket.take_whole(index, envelope.clone()).unwrap();
        }
        self.tree = self
            .log
            .iter()
            .map(|one| leaf_hash(one.statement().digest().as_bytes()))
            .collect();
        let officers = self.docket.authorities();
        for state in &mut self.officers {
            *state = officers.officer(&state.chain()).unwrap().clone();
        }
        lost
    }

    /// Both officers let the log go on from where it stands, after `last` was published.
    pub fn succeed(&mut self, last: v1::CheckpointRef) {
        let generation = 1 + self.docket.authorities().lineage().generations().count() as u8;
        let (log, operator) = (40 + generation, 50 + generation);
        let kept = reference(&self.checkpoint());
        let mut body = v1::Succession {
            last: Some(last),
            kept: Some(kept),
            origin: format!("log.example/{generation}"),
            log_key: key(log),
            operator_key: key(operator),
            reason: "the disk was lost".into(),
            ..v1::Succession::default()
        };
        let bytes = succession_approval_bytes(self.genesis(), &body);
        for (state, seed) in self.officers.iter().zip(OFFICERS) {
            body.approvals.push(v1::OfficerApproval {
                officer: state.chain().as_bytes().to_vec(),
                signature: signer(seed).sign(&bytes).unwrap().to_vec(),
            });
        }
        self.clock();
        self.keys = (log, operator);
        self.operator(body);
        self.origin = format!("log.example/{generation}");
    }

    /// Hosts send again what the log lost.
    pub fn resend(&mut self, lost: Vec<Envelope>) {
        let hosts: BTreeSet<Digest> = self.hosts.iter().map(|host| host.state.chain()).collect();
        let theirs = |one: &Envelope| {
            let chain = one.statement().header().chain();
            chain.is_some_and(|chain| hosts.contains(&chain))
        };
        lost.into_iter().filter(theirs).for_each(|one| {
            self.append(one);
        });
    }

    /// Signs a change of a host's record key to the key of `seed`.
    pub fn change_key(&mut self, host: usize, seed: u8) {
        let it = &self.hosts[host];
        let Place::Link {
            chain,
            sequence,
            previous,
        } = it.state.next_place()
        else {
            unreachable!()
        };
        let bytes = key_change_bytes(chain, sequence, previous, signer(seed).public_key());
        let body = v1::Key {
            new_key: key(seed),
            proof: signer(seed).sign(&bytes).unwrap().to_vec(),
            ..v1::Key::default()
        };
        self.host_says(host, body, None);
        self.hosts[host].seed = seed;
    }

    /// What hosts name as the newest checkpoint from here on.
    pub fn see(&mut self, seen: v1::CheckpointRef) {
        self.seen = Some(seen);
    }

    /// The record key that a host signs with.
    pub fn record_key(&self, host: usize) -> KeyId {
        self.hosts[host].state.key().id()
    }

    pub fn trust(&self) -> Trust {
        let genesis = self.log[0].statement();
        Trust::of_genesis(genesis)
            .unwrap()
            .with_witnesses(vec![witness_key()], 1)
            .unwrap()
    }
}

pub fn reference(signed: &SignedCheckpoint) -> v1::CheckpointRef {
    let checkpoint = signed.checkpoint();
    v1::CheckpointRef {
        origin: checkpoint.origin().to_string(),
        size: checkpoint.size(),
        root: checkpoint.root().as_bytes().to_vec(),
    }
}

pub fn witness_key() -> CosignerKey {
    CosignerKey::new(
        "witness.example".parse().unwrap(),
        signer(WITNESS).public_key().clone(),
    )
    .unwrap()
}

pub fn checkpoint_of(tree: &MemoryTree, origin: &str, key: u8) -> SignedCheckpoint {
    let size = tree.size();
    let checkpoint =
        Checkpoint::new(origin.parse().unwrap(), size, tree.root(size).unwrap()).unwrap();
    let signer = NoteSigner::new(origin.parse().unwrap(), signer(key)).unwrap();
    checkpoint.sign(&signer).unwrap()
}

pub fn cosigned(signed: &SignedCheckpoint) -> Note {
    cosigned_at(signed, T0 / 1_000 + 900)
}

pub fn cosigned_at(signed: &SignedCheckpoint, seconds: u64) -> Note {
    let witness = Cosigner::new("witness.example".parse().unwrap(), signer(WITNESS)).unwrap();
    let mut note = signed.note().clone();
    note.add(witness.cosign(signed.checkpoint(), seconds).unwrap())
        .unwrap();
    note
}

pub const H100: &str = "NVIDIA H100 80GB HBM3";
pub const A100: &str = "NVIDIA A100-SXM4-80GB";

/// The demo's case in small: one tenant in order, one through an intermediary, and a process that
/// nobody vetted. Records before, in and after the period.
pub fn played() -> (World, Period) {
    play(None)
}

/// The same with a third rule broken: a tenant that nobody approved used a device.
pub fn broken() -> (World, Period) {
    play(Some("orbit"))
}

fn play(unvetted: Option<&str>) -> (World, Period) {
    let mut world = World::new();
    world.clock();
    world.party("acme", &["Acme Robotics Inc."], "US");
    world.party("lumen", &["Lumen Cloud Trading Ltd."], "SG");
    world.party("nanhai", &["Nanhai University", "南海大学"], "CN");
    let tenant = |id: &str, customer: &str| v1::Tenant {
        id: id.into(),
        customer: customer.into(),
        end_customer: customer.into(),
        ultimate_parent: customer.into(),
        declared_use: "robotics simulation".into(),
        training_declared: Some(false),
        ..v1::Tenant::default()
    };
    world.tenant(tenant("acme", "acme"));
    world.approve("acme");
    world.tenant(v1::Tenant {
        intermediaries: vec!["lumen".into()],
        declared_use: "language models".into(),
        training_declared: Some(true),
        ..tenant("lumen-research", "nanhai")
    });
    world.approve("lumen-research");
    if let Some(id) = unvetted {
        world.tenant(tenant(id, "acme"));
    }
    world.clock();
    world.enrol("gpu-a", &[H100, H100], v1::SourceKind::Nvml);
    world.enrol("gpu-b", &[A100], v1::SourceKind::Nvml);
    world.enrol_relay("relay-1");
    let quiet: &[&[Use<'_>]] = &[&[(0, "acme", 10_000)], &[]];
    world.tick(quiet);
    world.tick(quiet);
    let from = world.now;
    for round in 0..6 {
        let stray: &[Use<'_>] = match (round, unvetted) {
            (3, _) => &[(0, "nobody", 4_000)],
            (4, Some(id)) => &[(0, id, 3_000)],
            _ => &[(0, "lumen-research", 10_000)],
        };
        world.tick(&[
            &[
                (0, "acme", 10_000),
                (1, "acme", 2_500),
                (1, "lumen-research", 7_500),
            ],
            stray,
        ]);
        if round == 2 {
            world.witness();
        }
    }
    let to = world.now;
    world.tick(quiet);
    world.tick(quiet);
    world.clock();
    (world, Period::new(from, to).unwrap())
}
