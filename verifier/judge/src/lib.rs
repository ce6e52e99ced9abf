//! The judge: what statements of the log mean. Pure, and the same for the server and the auditor.
//!
//! [`Judge`] takes admitted statements in the order of the log and holds a verdict: findings and
//! figures. It has no clock, randomness, file, socket, thread or log output; the log's own
//! `clock` statements are its time. One module a noun; only this file puts them together.
//!
//! ```text
//! usage ─ hosts ─▶ device, class, workload ─ matching ─▶ tenant ─ registry ─▶ standing ─ rules ─▶ breach ─ episodes ─▶ finding
//!       ├ window ─▶ late records, claims out of bounds, times not established ──────────────────────┤
//!       ├ coverage ─▶ gaps ────────────────────────────────────────────────────────────────────────┘
//!       └ accounting ─▶ figures
//! ```
//!
//! What of a standing breaks a rule is for the policy pack to say ([`policy`]), but for vetting itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use affiant_proto::v1;

pub mod accounting;
pub mod admission;
mod alike;
pub mod approval;
pub mod asking;
mod bare;
mod books;
mod caps;
mod chains;
pub mod countries;
mod coverage;
mod custody;
mod darkness;
mod declared;
pub mod devices;
pub mod dispositions;
pub mod docket;
pub mod episodes;
pub mod exhibits;
mod eyes;
pub mod figures;
pub mod findings;
pub mod handling;
mod hearing;
mod hosts;
mod lateness;
pub mod listings;
pub mod matching;
mod month;
pub mod objections;
mod operations;
mod ownership;
mod packs;
pub mod parameters;
pub mod parties;
pub mod policy;
mod precedents;
mod profile;
mod record;
pub mod registry;
pub mod retention;
mod roll;
pub mod roll_call;
mod rounds;
pub mod rules;
pub mod screening;
pub mod shares;
mod signers;
mod structuring;
mod suspicion;
pub mod timeline;
pub mod trial;
mod uses;
mod verdict;
mod whereabouts;
mod window;

pub use accounting::Amount;
pub use darkness::DeviceDark;
pub use declared::SiteInventory;
pub use devices::{Class, DeviceTable};
pub use docket::Docket;
pub use figures::{DeviceStatus, Figures, HostFigures, HostStatus};
pub use findings::{Cause, Cited, Finding, Known, RULES_VERSION, Rule, Severity, Subject};
pub use hosts::HostState;
pub use matching::Bindings;
pub use packs::{PackLine, SignedLine, Stands};
pub use parameters::{Country, Parameters};
pub use registry::Registry;

use accounting::Accounts;
use bare::Bare;
use books::Books;
use coverage::Coverage;
use darkness::Darkness;
use declared::Declared;
use episodes::Episodes;
use exhibits::Exhibits;
use hosts::{Hosts, Placed};
use lateness::Spreads;
use ownership::Ownership;
use packs::Packs;
use policy::Pack;
use precedents::Precedents;
use rounds::Rounds;
use signers::Signers;
use timeline::Stamp;
use uses::Uses;
use whereabouts::Whereabouts;
use window::Windows;

/// Most notes that are listed. 1,024 × 200 bytes are 200 KiB of a report.
const MAX_NOTES: usize = 1_024;

/// Most kinds that are counted apart as not judged; what comes after counts as "other". The
/// protocol has some thirty.
const MAX_KINDS: usize = 64;

/// Judges the statements of one log, given in its order.
///
/// It trusts that each was admitted; it believes no number in them: whatever they claim, it gives
/// a verdict and never panics.
#[derive(Clone, Debug)]
pub struct Judge {
    parameters: Parameters,
    packs: Packs,
    table: DeviceTable,
    period: (u64, u64),
    clock_ms: u64,
    genesis: Option<v1::Genesis>,
    registry: Registry,
    bindings: Bindings,
    ownership: Ownership,
    hosts: Hosts,
    coverage: Coverage,
    darkness: Darkness,
    declared: Declared,
    accounts: Accounts,
    bare: Bare,
    uses: Uses,
    whereabouts: Whereabouts,
    windows: Windows,
    /// Of hosts that are late.
    spreads: Spreads,
    /// The first fork of each chain: log index, log time and sequence.
    forks: BTreeMap<[u8; 32], (u64, u64, u64)>,
    signers: Signers,
    officers: BTreeMap<[u8; 32], Admission>,
    /// Chains of relays: these are no hosts.
    relays: BTreeSet<[u8; 32]>,
    episodes: Episodes,
    precedents: Precedents,
    books: Books,
    rounds: Rounds,
    exhibits: Exhibits,
    acts: handling::Acts,
    /// Whether it is asked whose a line is.
    matching: bool,
    objections: objections::Objections,
    records: u64,
    lines_withheld: u64,
    lines_lost: u64,
    not_judged: BTreeMap<String, u64>,
    notes: BTreeSet<String>,
    notes_left_out: u64,
}

/// How an officer came to be one.
#[derive(Clone, Debug)]
struct Admission {
    index: u64,
    name: String,
    /// Chains of the officers who approved him.
    by: BTreeSet<Vec<u8>>,
}

impl Judge {
    /// Judges all that it is given.
    pub fn new(parameters: Parameters) -> Self {
        Self::over(parameters, 0, u64::MAX)
    }

    /// Judges a period: counts the records that end after `from_unix_ms` and no later than
    /// `to_unix_ms`, and expects hosts to report within it only. Registry events count whenever
    /// they are, so that evidence of a period may begin with all vetting before it.
    pub fn over(parameters: Parameters, from_unix_ms: u64, to_unix_ms: u64) -> Self {
        let period = (from_unix_ms, to_unix_ms.max(from_unix_ms));
        Self {
            coverage: Coverage::new(&parameters, period.0, period.1),
            darkness: Darkness::new(parameters.planned_ms_per_day),
            declared: Declared::default(),
            episodes: Episodes::new(parameters.episode_gap_ms),
            whereabouts: Whereabouts::new(parameters.gap_grace_ms),
            packs: Packs::new(policy::shipped()),
            table: DeviceTable::shipped(),
            parameters,
            period,
            clock_ms: 0,
            genesis: None,
            registry: Registry::default(),
            bindings: Bindings::default(),
            ownership: Ownership::default(),
            hosts: Hosts::default(),
            accounts: Accounts::default(),
            bare: Bare::default(),
            uses: Uses::default(),
            windows: Windows::default(),
            spreads: Spreads::default(),
            forks: BTreeMap::new(),
            signers: Signers::default(),
            officers: BTreeMap::new(),
            relays: BTreeSet::new(),
            precedents: Precedents::new(),
            books: Books::default(),
            rounds: Rounds::default(),
            exhibits: Exhibits::default(),
            acts: handling::Acts::default(),
            matching: true,
            objections: objections::Objections::default(),
            records: 0,
            lines_withheld: 0,
            lines_lost: 0,
            not_judged: BTreeMap::new(),
            notes: BTreeSet::new(),
            notes_left_out: 0,
        }
    }

    /// Takes another device table than the shipped one; before any inventory.
    pub fn with_devices(mut self, table: DeviceTable) -> Self {
        self.table = table;
        self
    }

    /// Asks of no line whose it is: to measure what that takes. All use then counts as nobody's, and is no
    /// finding.
    pub fn without_matching(mut self) -> Self {
        self.matching = false;
        self
    }

    /// Takes an exhibit, before the statement that names it ([`exhibits::named`]).
    pub fn exhibit(&mut self, bytes: Vec<u8>) {
        self.exhibits.add(bytes);
    }

    /// Takes another policy pack than the shipped one, with its device table where it has one;
    /// before any inventory and any use.
    pub fn with_pack(self, pack: Arc<Pack>) -> Self {
        self.with_packs(Packs::new(pack))
    }

    /// Judges all by one pack, whichever officers put into force: to see what it would find. Before any
    /// inventory and any use.
    pub fn under(self, pack: Arc<Pack>) -> Self {
        self.with_packs(Packs::only(pack))
    }

    fn with_packs(mut self, packs: Packs) -> Self {
        if let Some(table) = packs.newest().devices() {
            self.table = table.clone();
        }
        self.packs = packs;
        self.precedents.clear();
        self
    }

    /// Takes a `clock` statement: the log's time from here on.
    pub fn clock(&mut self, index: u64, unix_ms: u64) {
        self.signers.clock(index, unix_ms);
        let early = self.windows.clock(index, unix_ms);
        self.ahead(early, unix_ms);
        self.clock_ms = self.clock_ms.max(unix_ms);
        self.coverage.clock(unix_ms);
        self.round();
    }

    /// Takes the genesis.
    pub fn genesis(&mut self, index: u64, _chain: [u8; 32], genesis: &v1::Genesis) {
        if self.genesis.is_some() {
            self.note(format!("another genesis at index {index} is not taken"));
        } else {
            self.windows.generation(&genesis.origin, 0);
            self.genesis = Some(genesis.clone());
        }
    }

    /// Takes the enrolment of a relay. What it carries its hosts have signed, so nothing rests on it.
    pub fn relay(&mut self, chain: [u8; 32]) {
        self.relays.insert(chain);
    }

    /// Takes a party, edge, tenant or change of state, signed by an officer.
    pub fn tenant_event(&mut self, index: u64, officer: [u8; 32], event: &v1::TenantEvent) {
        let stamp = self.stamp(index, event.effective_unix_ms);
        if let Err(why) = self.registry.tenant_event(stamp, officer, event) {
            self.note(format!("index {index}: {why}"));
        }
        self.look_again(stamp, event);
    }

    /// Takes one officer's decision.
    pub fn decision(&mut self, index: u64, officer: [u8; 32], decision: &v1::Decision) {
        let stamp = self.stamp(index, decision.effective_unix_ms);
        self.introduce(officer);
        let taken = match &decision.hit {
            Some(hit) => self.registry.disposition(stamp, officer, decision, hit),
            None if decision.finding.is_empty() => self.registry.decision(stamp, officer, decision),
            None => {
                self.registry.act(stamp, officer);
                self.acts.take(stamp, officer, decision)
            }
        };
        if let Err(why) = taken {
            self.note(format!("index {index}: {why}"));
            self.without_effect(index, why);
        }
    }

    /// Takes a version of a screening list. One whose file is not at hand, or is not what it says, is
    /// counted as not judged.
    pub fn list_import(&mut self, index: u64, officer: [u8; 32], import: &v1::ListImport) {
        let stamp = self.stamp(index, import.effective_unix_ms);
        let exhibits = &mut self.exhibits;
        if let Err(why) = self.registry.list_import(stamp, officer, import, exhibits) {
            self.not_judged(index, "list-import.v1");
            self.note(format!("index {index}: {why}"));
            self.without_effect(index, why);
        }
    }

    /// Takes a binding or its withdrawal.
    pub fn binding_event(&mut self, index: u64, officer: [u8; 32], event: &v1::BindingEvent) {
        let stamp = self.stamp(index, event.effective_unix_ms);
        self.bindings.event(stamp, officer, event);
    }

    /// Takes the devices of a chain, `None` for one that is not shown.
    pub fn inventory(
        &mut self,
        index: u64,
        chain: [u8; 32],
        sequence: u64,
        devices: Vec<Option<v1::Device>>,
    ) {
        let place = |device| Placed {
            model: self.table.model(&device),
            device,
        };
        let placed = devices
            .into_iter()
            .map(|device| device.map(place))
            .collect();
        self.hosts.inventory(chain, sequence, placed);
        self.see_devices(index, chain);
    }

    /// Takes the workloads of a chain, `None` for one that is not shown.
    pub fn workloads(
        &mut self,
        _index: u64,
        chain: [u8; 32],
        sequence: u64,
        workloads: Vec<Option<v1::Workload>>,
    ) {
        self.ownership.forget(&chain);
        self.hosts.workloads(chain, sequence, workloads);
    }

    /// Counts a statement of a kind that these rules do not judge.
    pub fn not_judged(&mut self, _index: u64, kind: &str) {
        let full = self.not_judged.len() >= MAX_KINDS && !self.not_judged.contains_key(kind);
        let kind = if full { "other" } else { kind };
        let count = self.not_judged.entry(kind.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// Parties, tenants and their vetting.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Bindings of workloads to tenants.
    pub fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// The device table in use.
    pub fn devices(&self) -> &DeviceTable {
        &self.table
    }

    /// The policy pack by which what comes is judged.
    pub fn pack(&self) -> &Pack {
        self.packs.newest()
    }

    /// All packs that judged so far, the first one first.
    pub fn packs(&self) -> impl Iterator<Item = &Pack> {
        self.packs.all().map(|(_, pack)| pack.as_ref())
    }

    /// The parameters in use.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The genesis, once it was given.
    pub fn origin(&self) -> Option<&v1::Genesis> {
        self.genesis.as_ref()
    }

    /// The log's time, milliseconds since 1970; 0 before its first clock.
    pub fn now_unix_ms(&self) -> u64 {
        self.clock_ms
    }

    fn stamp(&self, index: u64, effective_ms: u64) -> Stamp {
        Stamp {
            index,
            logged_ms: self.clock_ms,
            effective_ms,
        }
    }

    fn note(&mut self, note: String) {
        let note = note.chars().take(episodes::MAX_DETAIL_CHARS).collect();
        if self.notes.len() < MAX_NOTES || self.notes.contains(&note) {
            self.notes.insert(note);
        } else {
            self.notes_left_out = self.notes_left_out.saturating_add(1);
        }
    }
}
