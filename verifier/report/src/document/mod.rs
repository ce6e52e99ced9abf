//! The report itself: `report.json`, schema `affiant-report/1`.
//!
//! Everything in it but the claim (period, scope, basis, parameters) follows from the evidence,
//! so a reader makes it again and compares the bytes.

mod claim;
mod fleet;
mod vetting;

pub use claim::{BadReport, Claim};
pub use fleet::{DeviceSaid, HostSaid, InventoryChange};
pub use vetting::{EdgeSaid, OfficerSaid, PartySaid, TenantSaid};

use std::collections::{BTreeMap, BTreeSet};

use affiant_judge::{
    Amount, Finding, Parameters, RULES_VERSION, SiteInventory,
    accounting::{ClassUse, TenantUse},
    objections::Objection,
    policy::Pack,
};
use serde::Serialize;

use crate::{
    reading::Reading,
    scope::{Period, Scope},
    words,
};

/// Names the schema.
pub const SCHEMA: &str = "affiant-report/1";

/// Most bytes of `report.json`: 100,000 hosts and devices at 500 bytes each, and findings.
pub const MAX_REPORT_BYTES: u64 = 256 * 1024 * 1024;

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
    /// What policies in shadow found: it counts for nothing.
    pub tried: Vec<Finding>,
    /// What tenants say against figures and findings of the period; it changes neither.
    pub objections: Vec<Objection>,
    /// The tenants and their vetting.
    pub tenants: Vec<TenantSaid>,
    /// Who signs vetting.
    pub officers: Vec<OfficerSaid>,
    /// Hosts and how far their time is covered.
    pub hosts: Vec<HostSaid>,
    /// Devices of their inventories.
    pub devices: Vec<DeviceSaid>,
    /// Sites of which devices are declared: those declared, those seen.
    pub inventory: Vec<SiteInventory>,
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
    /// The policy pack.
    pub pack: PackSaid,
}

/// The policy pack by which uses were judged.
#[derive(Clone, Debug, Serialize)]
pub struct PackSaid {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its canonical bytes.
    pub digest: String,
    /// What its author wants read before it is relied on.
    pub notice: String,
}

impl PackSaid {
    fn of(pack: &Pack) -> Self {
        Self {
            name: pack.name().to_owned(),
            version: pack.version().to_owned(),
            digest: pack.digest().to_string(),
            notice: pack.notice().to_owned(),
        }
    }
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
    /// The log's time where the evidence ends, within the period, milliseconds since 1970: nothing
    /// later is in the report. None where the log's time does not reach the period.
    pub shown_until_unix_ms: Option<u64>,
    /// Usage records of the period.
    pub records: u64,
    /// Lines that are not shown.
    pub lines_withheld: u64,
    /// Part of these that their hosts let go.
    pub lines_lost: u64,
    /// Part of these that were erased, as the log announced.
    pub lines_erased: u64,
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
    /// Part of it by plan, as the lines say.
    pub planned_ms: Amount,
    /// Used, and for whom stood in lines that hosts let go.
    pub lost_ms: Amount,
    /// In lines that are not shown.
    pub withheld_ms: Amount,
    /// Energy of all devices that told it, millijoules.
    pub energy_mj: Amount,
    /// Device records that tell no energy.
    pub without_energy: u64,
    /// Devices × records.
    pub device_records: u64,
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
        let until = reading.judge().now_unix_ms().min(claim.period.to());
        Self {
            schema: SCHEMA,
            rules: Rules {
                version: RULES_VERSION,
                shipped_parameters: claim.parameters == Parameters::default(),
                parameters: claim.parameters.clone(),
                pack: PackSaid::of(reading.judge().pack()),
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
                shown_until_unix_ms: Some(until).filter(|until| *until > claim.period.from()),
                records: figures.records,
                lines_withheld: figures.lines_withheld,
                lines_lost: figures.lines_lost,
                lines_erased: reading.retention().erasures().1.min(figures.lines_withheld),
                withheld_ms: totals.withheld_ms,
            },
            proves: words::PROVES.to_vec(),
            provided: words::PROVIDED,
            cannot_prove: words::CANNOT_PROVE.to_vec(),
            totals,
            classes: figures.classes,
            tenant_use: figures.tenants,
            findings: reading.judge().findings(),
            tried: reading.judge().tried(),
            objections: objections(reading, claim),
            tenants: vetting::tenants(reading, &claim.scope, until),
            officers: vetting::officers(reading),
            hosts: fleet::hosts(reading, &figures.hosts),
            devices: fleet::devices(reading, &figures.dark),
            inventory: figures.inventory,
            inventory_changes: fleet::changes(reading),
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
                (&mut totals.planned_ms, class.planned_ms),
                (&mut totals.lost_ms, class.lost_ms),
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

/// The objections of the report's tenants that are about its period.
fn objections(reading: &Reading, claim: &Claim) -> Vec<Objection> {
    let (from, to) = (claim.period.from(), claim.period.to());
    let all = reading.judge().objections().iter();
    let wanted = all.filter(|it| match &claim.scope {
        Scope::All => it.touches(from, to),
        Scope::Tenant(tenant) => it.tenant == *tenant && it.touches(from, to),
    });
    wanted.cloned().collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing into a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
