//! The report itself: `report.json`, schema `affiant-report/1`.
//!
//! Everything in it but the claim (period, scope, basis, parameters) follows from the evidence,
//! so a reader makes it again and compares the bytes.

use std::collections::{BTreeMap, BTreeSet};

use affiant_judge::{
    Amount, Finding, HostState, Parameters, RULES_VERSION,
    accounting::{ClassUse, TenantUse},
    approval::Change,
};
use affiant_proto::{
    Digest, PublicKey,
    tlog::{Hash, Origin},
    v1,
};
use serde::{Deserialize, Serialize};

use crate::{
    reading::{HostSeen, InventorySeen, Reading, source},
    scope::{Period, Scope},
    words,
};

/// Names the schema.
pub const SCHEMA: &str = "affiant-report/1";

/// Most bytes of `report.json`: 100,000 hosts and devices at 500 bytes each, and findings.
pub const MAX_REPORT_BYTES: u64 = 256 * 1024 * 1024;

/// What a report claims of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The period.
    pub period: Period,
    /// Whose lines are shown.
    pub scope: Scope,
    /// The log's name.
    pub origin: Origin,
    /// Entries of the log from which the figures were computed.
    pub size: u64,
    /// Root of the tree of these entries.
    pub root: Hash,
    /// By what uses were judged.
    pub parameters: Parameters,
    /// Version of the rules that judged.
    pub rules_version: String,
}

/// Why a text is not a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadReport {
    /// Not JSON.
    #[error("report.json is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Of another schema.
    #[error("report.json is of schema {0:?}, not {SCHEMA}; use the release that reads it")]
    Schema(String),
    /// The log's name or root.
    #[error("report.json, basis: {0} cannot be")]
    Basis(&'static str),
}

/// The parts of a report that are read and not only compared.
#[derive(Deserialize)]
struct ClaimRead {
    schema: String,
    rules: RulesRead,
    period: Period,
    scope: ScopeRead,
    basis: BasisRead,
}

#[derive(Deserialize)]
struct RulesRead {
    version: String,
    parameters: serde_json::Value,
}

#[derive(Deserialize)]
struct ScopeRead {
    tenant: Option<String>,
}

#[derive(Deserialize)]
struct BasisRead {
    origin: String,
    size: u64,
    root: String,
}

impl Claim {
    /// Reads what a report claims; the rest of it is for comparison.
    pub fn read(report: &[u8]) -> Result<Self, BadReport> {
        let read: ClaimRead = serde_json::from_slice(report)?;
        if read.schema != SCHEMA {
            return Err(BadReport::Schema(read.schema.chars().take(80).collect()));
        }
        let parameters = match serde_json::from_value(read.rules.parameters) {
            // Other rules may have other parameters: to be judged differently is not to be broken.
            Err(_) if read.rules.version != RULES_VERSION => Parameters::default(),
            parameters => parameters?,
        };
        Ok(Self {
            period: read.period,
            scope: Scope::of(&read.scope.tenant.unwrap_or_default()),
            origin: read
                .basis
                .origin
                .parse()
                .map_err(|_| BadReport::Basis("origin"))?,
            size: read.basis.size,
            root: read
                .basis
                .root
                .parse()
                .map_err(|_| BadReport::Basis("root"))?,
            parameters,
            rules_version: read.rules.version,
        })
    }
}

/// A report.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// By what was judged.
    pub rules: Rules,
    /// Who reports.
    pub operator: Operator,
    /// The period.
    pub period: Period,
    /// Whose lines are shown.
    pub scope: ScopeSaid,
    /// The log that was reported on.
    pub basis: Basis,
    /// What is shown and what is not.
    pub completeness: Completeness,
    /// What the report proves, in words.
    pub proves: Vec<&'static str>,
    /// The condition of that.
    pub provided: &'static str,
    /// What it cannot prove.
    pub cannot_prove: Vec<&'static str>,
    /// All device time.
    pub totals: Totals,
    /// By class of device.
    pub classes: Vec<ClassUse>,
    /// By tenant and class of device.
    pub tenant_use: Vec<TenantUse>,
    /// Findings of the period.
    pub findings: Vec<Finding>,
    /// The tenants and their vetting.
    pub tenants: Vec<TenantSaid>,
    /// Who signs vetting.
    pub officers: Vec<OfficerSaid>,
    /// Hosts and how far their time is covered.
    pub hosts: Vec<HostSaid>,
    /// Devices of their inventories.
    pub devices: Vec<DeviceSaid>,
    /// Devices that came or went.
    pub inventory_changes: Vec<InventoryChange>,
    /// Statements that the rules do not judge, by kind.
    pub not_judged: BTreeMap<String, u64>,
    /// What is not known or had no effect, in words.
    pub notes: BTreeSet<String>,
    /// Notes beyond the limit.
    pub notes_left_out: u64,
    /// What is asked for elsewhere and not collected here.
    pub not_collected: Vec<NotCollected>,
}

/// By what was judged.
#[derive(Clone, Debug, Serialize)]
pub struct Rules {
    /// Version of the rules.
    pub version: &'static str,
    /// Whether the parameters are those that this version ships.
    pub shipped_parameters: bool,
    /// The parameters.
    pub parameters: Parameters,
}

/// Who reports.
#[derive(Clone, Debug, Serialize)]
pub struct Operator {
    /// Name, as the genesis gives it.
    pub name: String,
    /// Digest of the genesis.
    pub genesis: String,
    /// SHA-256 of the certificate authority's certificate.
    pub ca: String,
    /// Sites of the hosts.
    pub sites: BTreeSet<String>,
}

/// Whose lines are shown.
#[derive(Clone, Debug, Serialize)]
pub struct ScopeSaid {
    /// The one tenant; none when all are.
    pub tenant: Option<String>,
}

/// The log that was reported on.
#[derive(Clone, Debug, Serialize)]
pub struct Basis {
    /// Name of the log.
    pub origin: String,
    /// Its entries.
    pub size: u64,
    /// Root of its tree.
    pub root: String,
}

/// What is shown and what is not.
#[derive(Clone, Debug, Serialize)]
pub struct Completeness {
    /// "full": every line of every record of the period; "totals": some lines are withheld, and
    /// counted in the totals lines, which are always shown.
    pub kind: &'static str,
    /// Entries of the log in the evidence.
    pub entries: u64,
    /// From this log index on every entry is shown …
    pub whole_from: u64,
    /// … to this one.
    pub whole_to: u64,
    /// Usage records of the period.
    pub records: u64,
    /// Lines that are not shown.
    pub lines_withheld: u64,
    /// Device time in them, milliseconds: totals − shown.
    pub withheld_ms: Amount,
}

/// All device time of the period, milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Recorded.
    pub total_ms: Amount,
    /// Attributed to tenants.
    pub tenants_ms: Amount,
    /// Used, and nobody is named.
    pub unattributed_ms: Amount,
    /// Idle.
    pub idle_ms: Amount,
    /// Not observed.
    pub not_observed_ms: Amount,
    /// In lines that are not shown.
    pub withheld_ms: Amount,
    /// Energy of all devices that told it, millijoules.
    pub energy_mj: Amount,
    /// Device records that tell no energy.
    pub without_energy: u64,
    /// Devices × records.
    pub device_records: u64,
}

/// A tenant as it stands at the basis.
#[derive(Clone, Debug, Serialize)]
pub struct TenantSaid {
    /// Id.
    pub id: String,
    /// State, as `under_review`.
    pub state: &'static str,
    /// Who signs the contract.
    pub customer: PartySaid,
    /// Who stands between, nearest to the operator first.
    pub intermediaries: Vec<PartySaid>,
    /// The declared end customer; none when undeclared.
    pub end_customer: Option<PartySaid>,
    /// The ultimate parent; none when unresolved.
    pub ultimate_parent: Option<PartySaid>,
    /// Owners, controllers and resellers behind them, as stated.
    pub edges: Vec<EdgeSaid>,
    /// The use that was declared.
    pub declared_use: String,
    /// Whether training was declared; none when nobody said.
    pub training_declared: Option<bool>,
    /// Changes of state in the order of the log.
    pub history: Vec<Change>,
}

/// A party as last stated.
#[derive(Clone, Debug, Serialize)]
pub struct PartySaid {
    /// Id.
    pub id: String,
    /// Names, native script included; none when nobody stated the party.
    pub names: Vec<String>,
    /// Registration numbers and the like, as `scheme value country`.
    pub identifiers: Vec<String>,
    /// Country of incorporation, or "unknown".
    pub incorporation: String,
    /// Country of the headquarters, or "unknown".
    pub headquarters: String,
    /// Addresses.
    pub addresses: Vec<String>,
    /// SHA-256 of documents that the operator keeps.
    pub evidence: Vec<String>,
}

/// A relation between two parties.
#[derive(Clone, Debug, Serialize)]
pub struct EdgeSaid {
    /// From.
    pub from: String,
    /// What it is, as `owns`.
    pub kind: &'static str,
    /// To.
    pub to: String,
    /// Smallest share, hundredths of a percent; none when not known.
    pub share_min_bp: Option<u32>,
    /// Largest share.
    pub share_max_bp: Option<u32>,
}

/// An officer.
#[derive(Clone, Debug, Serialize)]
pub struct OfficerSaid {
    /// Name.
    pub name: String,
    /// Digest that opened the chain.
    pub chain: String,
    /// Identifier of the key.
    pub key: String,
    /// Named by the genesis; else admitted by two others.
    pub by_genesis: bool,
    /// Log index of the opening statement.
    pub index: u64,
    /// Statements signed.
    pub statements: u64,
}

/// A host.
#[derive(Clone, Debug, Serialize)]
pub struct HostSaid {
    /// Name.
    pub host: String,
    /// Digest that opened its chain.
    pub chain: String,
    /// Site, as configured by the operator.
    pub site: String,
    /// How it stands.
    pub state: HostState,
    /// Version of the agent that enrolled.
    pub agent_version: String,
    /// Records of the period by source of measurement.
    pub sources: BTreeMap<&'static str, u64>,
    /// Records of the period.
    pub records: u64,
    /// Time in which records were due, milliseconds.
    pub expected_ms: Amount,
    /// Time that records cover.
    pub recorded_ms: Amount,
    /// Time that nothing covers.
    pub hole_ms: Amount,
    /// Since when it is silent, milliseconds since 1970; none while it is not.
    pub silent_since_unix_ms: Option<u64>,
    /// Statements that it announced as lost.
    pub lost: u64,
    /// Whether what it sent late for the period is surely here.
    pub closed: bool,
}

/// A device.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceSaid {
    /// Host.
    pub host: String,
    /// Site of the host, as configured.
    pub site: String,
    /// UUID.
    pub uuid: String,
    /// Serial number; none when the device did not tell.
    pub serial: Option<String>,
    /// Model.
    pub model: String,
    /// PCI address.
    pub pci_bus_id: Option<String>,
    /// PCI device and vendor id, as `0x233010de`.
    pub pci_device_id: Option<String>,
    /// Memory, bytes.
    pub memory_bytes: Option<u64>,
    /// Class by the device table.
    pub class: String,
    /// Total processing performance by the table.
    pub tpp: Option<u32>,
    /// Performance density by the table, hundredths.
    pub pd_centi: Option<u32>,
    /// Memory bandwidth by the table, GB/s.
    pub memory_bandwidth: Option<u32>,
    /// Where the table has it from; none for a device that it does not name.
    pub class_source: Option<String>,
    /// How the device can be observed.
    pub coverage: &'static str,
    /// By what it was read, as `nvml`.
    pub read_by: &'static str,
    /// Driver.
    pub driver: String,
    /// Start of its first record of the period, milliseconds since 1970; none without one.
    pub first_seen_unix_ms: Option<u64>,
    /// End of its last record of the period.
    pub last_seen_unix_ms: Option<u64>,
}

/// A change of what a host has.
#[derive(Clone, Debug, Serialize)]
pub struct InventoryChange {
    /// Host.
    pub host: String,
    /// Log index of the inventory that shows it.
    pub index: u64,
    /// The log's time there, milliseconds since 1970.
    pub logged_unix_ms: u64,
    /// UUIDs that came.
    pub added: BTreeSet<String>,
    /// UUIDs that went.
    pub removed: BTreeSet<String>,
}

/// A field without data.
#[derive(Clone, Debug, Serialize)]
pub struct NotCollected {
    /// Which.
    pub field: &'static str,
    /// Why.
    pub why: &'static str,
}

impl Document {
    /// Puts the report together from what was read.
    pub fn of(reading: &Reading, claim: &Claim) -> Self {
        let (genesis, digest) = reading.genesis();
        let figures = reading.judge().figures();
        let totals = Totals::of(&figures.classes);
        let silent: BTreeMap<String, Option<u64>> = reading
            .judge()
            .hosts()
            .into_iter()
            .map(|host| (host.chain, host.silent_since_unix_ms))
            .collect();
        let seen = |chain: &str| {
            chain
                .parse::<Digest>()
                .ok()
                .and_then(|chain| reading.hosts().get(&chain))
        };
        let hosts = figures.hosts.iter().map(|host| {
            let seen = seen(&host.chain).cloned().unwrap_or_default();
            HostSaid {
                host: host.host.clone(),
                chain: host.chain.clone(),
                site: host.site.clone(),
                state: host.state,
                agent_version: seen.agent_version,
                sources: seen.sources,
                records: host.records,
                expected_ms: host.expected_ms,
                recorded_ms: host.recorded_ms,
                hole_ms: host.hole_ms,
                silent_since_unix_ms: silent.get(&host.chain).copied().flatten(),
                lost: seen.lost,
                closed: seen.closed || reading.span().1.is_none(),
            }
        });
        let hosts = hosts.collect();
        Self {
            schema: SCHEMA,
            rules: Rules {
                version: RULES_VERSION,
                shipped_parameters: claim.parameters == Parameters::default(),
                parameters: claim.parameters.clone(),
            },
            operator: Operator {
                name: genesis.operator.clone(),
                genesis: digest.to_string(),
                ca: hex(&genesis.ca),
                sites: reading.sites().into_iter().map(str::to_owned).collect(),
            },
            period: claim.period,
            scope: ScopeSaid {
                tenant: match &claim.scope {
                    Scope::All => None,
                    Scope::Tenant(tenant) => Some(tenant.clone()),
                },
            },
            basis: Basis {
                origin: claim.origin.to_string(),
                size: claim.size,
                root: claim.root.to_string(),
            },
            completeness: Completeness {
                kind: if figures.lines_withheld == 0 {
                    "full"
                } else {
                    "totals"
                },
                entries: reading.entries(),
                whole_from: reading.span().0,
                whole_to: reading.span().1.unwrap_or(claim.size.saturating_sub(1)),
                records: figures.records,
                lines_withheld: figures.lines_withheld,
                withheld_ms: totals.withheld_ms,
            },
            proves: words::PROVES.to_vec(),
            provided: words::PROVIDED,
            cannot_prove: words::CANNOT_PROVE.to_vec(),
            totals,
            classes: figures.classes,
            tenant_use: figures.tenants,
            findings: reading.judge().findings(),
            tenants: tenants(reading, &claim.scope),
            officers: officers(reading),
            hosts,
            devices: devices(reading),
            inventory_changes: changes(reading),
            not_judged: figures.not_judged,
            notes: figures.notes,
            notes_left_out: figures.notes_left_out,
            not_collected: words::NOT_COLLECTED
                .map(|(field, why)| NotCollected { field, why })
                .to_vec(),
        }
    }

    /// Spells the report: the same evidence gives the same bytes.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl Totals {
    fn of(classes: &[ClassUse]) -> Self {
        let mut totals = Self::default();
        for class in classes {
            for (sum, part) in [
                (&mut totals.total_ms, class.total_ms),
                (&mut totals.tenants_ms, class.tenants_ms),
                (&mut totals.unattributed_ms, class.unattributed_ms),
                (&mut totals.idle_ms, class.idle_ms),
                (&mut totals.not_observed_ms, class.not_observed_ms),
                (&mut totals.withheld_ms, class.withheld_ms),
                (&mut totals.energy_mj, class.energy_mj),
            ] {
                sum.0 = sum.0.saturating_add(part.0);
            }
            totals.without_energy = totals.without_energy.saturating_add(class.without_energy);
            totals.device_records = totals.device_records.saturating_add(class.device_records);
        }
        totals
    }
}

fn tenants(reading: &Reading, scope: &Scope) -> Vec<TenantSaid> {
    let registry = reading.judge().registry();
    let party = |id: &str| PartySaid::of(id, registry.parties().newest(id));
    let maybe = |id: &str| (!id.is_empty()).then(|| party(id));
    let wanted = registry.tenants().filter(|tenant| match scope {
        Scope::All => true,
        Scope::Tenant(wanted) => tenant.id == *wanted,
    });
    let said = wanted.map(|tenant| TenantSaid {
        id: tenant.id.clone(),
        state: registry.state(&tenant.id),
        customer: party(&tenant.customer),
        intermediaries: tenant.intermediaries.iter().map(|id| party(id)).collect(),
        end_customer: maybe(&tenant.end_customer),
        ultimate_parent: maybe(&tenant.ultimate_parent),
        edges: registry
            .dossier(&tenant.id)
            .map(|dossier| dossier.edges.iter().map(EdgeSaid::of).collect())
            .unwrap_or_default(),
        declared_use: tenant.declared_use.clone(),
        training_declared: tenant.training_declared,
        history: registry.changes(&tenant.id).to_vec(),
    });
    said.collect()
}

impl PartySaid {
    fn of(id: &str, stated: Option<&v1::Party>) -> Self {
        let party = stated.cloned().unwrap_or_default();
        let country = |text: String| {
            if text.is_empty() {
                "unknown".to_owned()
            } else {
                text
            }
        };
        let identifiers = party.identifiers.iter();
        Self {
            id: id.to_owned(),
            names: party.names.iter().map(|name| name.text.clone()).collect(),
            identifiers: identifiers
                .map(|id| {
                    format!("{} {} {}", id.scheme, id.value, id.country)
                        .trim_end()
                        .to_owned()
                })
                .collect(),
            incorporation: country(party.incorporation),
            headquarters: country(party.headquarters),
            addresses: party.addresses,
            evidence: party.evidence.iter().map(|digest| hex(digest)).collect(),
        }
    }

    /// Its first name, or its id when nobody stated one.
    pub fn called(&self) -> &str {
        self.names.first().map_or(self.id.as_str(), String::as_str)
    }
}

impl EdgeSaid {
    fn of(edge: &v1::Edge) -> Self {
        let kind = match v1::EdgeKind::try_from(edge.kind).unwrap_or_default() {
            v1::EdgeKind::Owns => "owns",
            v1::EdgeKind::Controls => "controls",
            v1::EdgeKind::ResellsTo => "resells to",
            v1::EdgeKind::ActsFor => "acts for",
            v1::EdgeKind::AffiliatedUnitOf => "affiliated unit of",
            v1::EdgeKind::Unspecified => "unknown",
        };
        Self {
            from: edge.from.clone(),
            kind,
            to: edge.to.clone(),
            share_min_bp: edge.share_min_bp,
            share_max_bp: edge.share_max_bp,
        }
    }
}

fn officers(reading: &Reading) -> Vec<OfficerSaid> {
    let said = reading.officers().into_iter().map(|officer| OfficerSaid {
        name: officer.name.clone(),
        chain: officer.chain.to_string(),
        key: PublicKey::ed25519(&officer.key)
            .map(|key| key.id().to_string())
            .unwrap_or_default(),
        by_genesis: officer.by_genesis,
        index: officer.index,
        statements: officer.statements,
    });
    said.collect()
}

fn devices(reading: &Reading) -> Vec<DeviceSaid> {
    let mut said: BTreeMap<(String, String), DeviceSaid> = BTreeMap::new();
    for host in reading.hosts().values() {
        for inventory in &host.inventories {
            for device in inventory.devices.iter().flatten() {
                let new = device_said(reading, host, inventory, device);
                said.entry((host.name.clone(), device.uuid.clone()))
                    .and_modify(|known| {
                        let first = known.first_seen_unix_ms.or(new.first_seen_unix_ms);
                        let last = new.last_seen_unix_ms.max(known.last_seen_unix_ms);
                        *known = new.clone();
                        known.first_seen_unix_ms = first;
                        known.last_seen_unix_ms = last;
                    })
                    .or_insert(new);
            }
        }
    }
    said.into_values().collect()
}

fn device_said(
    reading: &Reading,
    host: &HostSeen,
    inventory: &InventorySeen,
    device: &v1::Device,
) -> DeviceSaid {
    let table = reading.judge().devices();
    let row = table.row(device);
    let coverage = match v1::Coverage::try_from(device.coverage).unwrap_or_default() {
        v1::Coverage::Full => "full",
        v1::Coverage::Mig => "mig",
        v1::Coverage::Vgpu => "vgpu",
        v1::Coverage::AllocationOnly => "allocation only",
        v1::Coverage::Dark => "dark",
        v1::Coverage::Unspecified => "unknown",
    };
    DeviceSaid {
        host: host.name.clone(),
        site: host.site.clone(),
        uuid: device.uuid.clone(),
        serial: device.serial.clone(),
        model: device.model.clone(),
        pci_bus_id: device.pci_bus_id.clone(),
        pci_device_id: device.pci_device_id.map(|id| format!("{id:#010x}")),
        memory_bytes: device.memory_bytes,
        class: table.class(device).as_str().to_owned(),
        tpp: row.and_then(|row| row.tpp),
        pd_centi: row.and_then(|row| row.pd_centi),
        memory_bandwidth: row.and_then(|row| row.mem_bw),
        class_source: row.map(|row| row.source.clone()),
        coverage,
        read_by: source(inventory.body.source),
        driver: inventory.body.driver_version.clone(),
        first_seen_unix_ms: inventory.used_ms.map(|(first, _)| first),
        last_seen_unix_ms: inventory.used_ms.map(|(_, last)| last),
    }
}

fn changes(reading: &Reading) -> Vec<InventoryChange> {
    let uuids = |inventory: &InventorySeen| -> BTreeSet<String> {
        inventory
            .devices
            .iter()
            .flatten()
            .map(|device| device.uuid.clone())
            .collect()
    };
    let mut said = Vec::new();
    for host in reading.hosts().values() {
        for pair in host.inventories.windows(2) {
            let [old, new] = pair else { continue };
            let (before, after) = (uuids(old), uuids(new));
            if before != after {
                said.push(InventoryChange {
                    host: host.name.clone(),
                    index: new.index,
                    logged_unix_ms: new.logged_ms,
                    added: after.difference(&before).cloned().collect(),
                    removed: before.difference(&after).cloned().collect(),
                });
            }
        }
    }
    said.sort_by_key(|change| change.index);
    said
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing into a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
