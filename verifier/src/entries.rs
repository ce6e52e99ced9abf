//! Parties, edges, tenants and bindings as officers write them: in the TOML file of an application
//! and in the JSON lines of an import, with one meaning.

use affiant_judge::objections::MAX_KEYS;
use affiant_proto::{Digest, PublicKey, v1};
use serde::{Deserialize, Serialize};

use crate::{
    form::{self, Faults, wrong},
    wording::{exact_time, parse_time_ms},
};

/// A party.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Party {
    pub(crate) id: String,
    #[serde(default = "organisation")]
    kind: String,
    names: Vec<Name>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    identifiers: Vec<Identifier>,
    incorporation: String,
    headquarters: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<String>,
}

/// A name: its text alone, where the script follows from it, or with script and language.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(
    untagged,
    expecting = "a name is a text, or an object with text, script (ISO 15924) and language"
)]
enum Name {
    Text(String),
    Full(FullName),
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct FullName {
    text: String,
    #[serde(default)]
    script: String,
    #[serde(default)]
    language: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Identifier {
    scheme: String,
    value: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    country: String,
}

/// An edge.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    share_min_percent: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    share_max_percent: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    source: String,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    pub(crate) customer: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) intermediaries: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) end_customer: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) ultimate_parent: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    declared_use: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    training_declared: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conditions: Option<Conditions>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    objection_keys: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Conditions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_to: Option<String>,
    device_classes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sites: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_gpus: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_aggregate_tpp: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_gpu_hours_month: Option<u64>,
}

/// A binding.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Binding {
    pub(crate) id: String,
    pub(crate) tenant: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cluster: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    service_account: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    slurm_account: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    unit: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    image: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

/// Kinds of parties, as they are written.
const PARTY_KINDS: [(&str, v1::PartyKind); 4] = [
    ("organisation", v1::PartyKind::Organisation),
    ("person", v1::PartyKind::Person),
    ("government", v1::PartyKind::Government),
    ("unknown", v1::PartyKind::Unknown),
];

/// Kinds of edges, as they are written.
const EDGE_KINDS: [(&str, v1::EdgeKind); 5] = [
    ("owns", v1::EdgeKind::Owns),
    ("controls", v1::EdgeKind::Controls),
    ("resells_to", v1::EdgeKind::ResellsTo),
    ("acts_for", v1::EdgeKind::ActsFor),
    ("affiliated_unit_of", v1::EdgeKind::AffiliatedUnitOf),
];

fn organisation() -> String {
    "organisation".into()
}

impl Party {
    /// Reads the entry; adds to `faults` what cannot be.
    pub(crate) fn read(self, faults: &mut Faults) -> v1::Party {
        let evidence = self.evidence.iter().filter_map(|text| {
            let digest = digest(text);
            if digest.is_none() {
                wrong(
                    "evidence",
                    format!("`{text}` is no SHA-256 in 64 hexadecimal digits"),
                    faults,
                );
            }
            digest.map(|digest| digest.as_bytes().to_vec())
        });
        let evidence = evidence.collect();
        let party = v1::Party {
            kind: kind(&PARTY_KINDS, &self.kind, faults).map_or(0, Into::into),
            id: self.id,
            names: self.names.into_iter().map(Name::read).collect(),
            identifiers: self.identifiers.into_iter().map(Identifier::read).collect(),
            incorporation: self.incorporation,
            headquarters: self.headquarters,
            addresses: self.addresses,
            evidence,
        };
        for (field, code) in [
            ("incorporation", &party.incorporation),
            ("headquarters", &party.headquarters),
        ] {
            if code.is_empty() {
                form::country(field, code, faults);
            }
        }
        form::party(&party, faults);
        party
    }

    /// Writes a party so that it is read as it was.
    pub(crate) fn of(party: &v1::Party) -> Self {
        Self {
            id: party.id.clone(),
            kind: spelled(&PARTY_KINDS, party.kind),
            names: party.names.iter().map(Name::of).collect(),
            identifiers: party.identifiers.iter().map(Identifier::of).collect(),
            incorporation: party.incorporation.clone(),
            headquarters: party.headquarters.clone(),
            addresses: party.addresses.clone(),
            evidence: party.evidence.iter().map(|bytes| hex(bytes)).collect(),
        }
    }
}

impl Name {
    fn read(self) -> v1::PartyName {
        match self {
            Self::Text(text) => v1::PartyName {
                script: script(&text).into(),
                text,
                language: String::new(),
            },
            Self::Full(name) => v1::PartyName {
                text: name.text,
                script: name.script,
                language: name.language,
            },
        }
    }

    fn of(name: &v1::PartyName) -> Self {
        if name.script == script(&name.text) && name.language.is_empty() {
            Self::Text(name.text.clone())
        } else {
            Self::Full(FullName {
                text: name.text.clone(),
                script: name.script.clone(),
                language: name.language.clone(),
            })
        }
    }
}

impl Identifier {
    fn read(self) -> v1::Identifier {
        v1::Identifier {
            scheme: self.scheme,
            value: self.value,
            country: self.country,
        }
    }

    fn of(identifier: &v1::Identifier) -> Self {
        Self {
            scheme: identifier.scheme.clone(),
            value: identifier.value.clone(),
            country: identifier.country.clone(),
        }
    }
}

impl Edge {
    /// Reads the entry; adds to `faults` what cannot be.
    pub(crate) fn read(self, faults: &mut Faults) -> v1::Edge {
        let mut share = |field, percent: Option<f64>| match percent {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Some(p) if (0.0..=100.0).contains(&p) => Some((p * 100.0).round() as u32),
            Some(p) => {
                wrong(field, format!("{p} is not from 0 to 100 percent"), faults);
                None
            }
            None => None,
        };
        let min = share("share_min_percent", self.share_min_percent);
        let max = share("share_max_percent", self.share_max_percent);
        let edge = v1::Edge {
            kind: kind(&EDGE_KINDS, &self.kind, faults).map_or(0, Into::into),
            share_min_bp: min,
            share_max_bp: max,
            since_unix_ms: time("since", self.since.as_deref(), faults),
            until_unix_ms: time("until", self.until.as_deref(), faults),
            from: self.from,
            to: self.to,
            source: self.source,
        };
        form::edge(&edge, faults);
        edge
    }

    /// Writes an edge so that it is read as it was.
    pub(crate) fn of(edge: &v1::Edge) -> Self {
        let percent = |bp: Option<u32>| bp.map(|bp| f64::from(bp) / 100.0);
        Self {
            from: edge.from.clone(),
            to: edge.to.clone(),
            kind: spelled(&EDGE_KINDS, edge.kind),
            share_min_percent: percent(edge.share_min_bp),
            share_max_percent: percent(edge.share_max_bp),
            since: edge.since_unix_ms.map(exact_time),
            until: edge.until_unix_ms.map(exact_time),
            source: edge.source.clone(),
        }
    }
}

impl Tenant {
    /// Reads the entry; adds to `faults` what cannot be.
    pub(crate) fn read(self, faults: &mut Faults) -> v1::Tenant {
        let sites = self.conditions.as_ref().map(|it| it.sites.as_deref());
        if sites == Some(Some(&[])) {
            let text = "there is none; leave it out where every site is allowed";
            wrong("conditions.sites", text, faults);
        }
        let conditions = self.conditions.map(|conditions| v1::Conditions {
            valid_from_unix_ms: time(
                "conditions.valid_from",
                conditions.valid_from.as_deref(),
                faults,
            ),
            valid_to_unix_ms: time(
                "conditions.valid_to",
                conditions.valid_to.as_deref(),
                faults,
            ),
            device_classes: conditions.device_classes,
            sites: conditions.sites.unwrap_or_default(),
            max_gpus: conditions.max_gpus,
            max_aggregate_tpp: conditions.max_aggregate_tpp,
            max_gpu_hours_month: conditions.max_gpu_hours_month,
        });
        let objection_keys = keys(&self.objection_keys, faults);
        let tenant = v1::Tenant {
            id: self.id,
            customer: self.customer,
            intermediaries: self.intermediaries,
            end_customer: self.end_customer,
            ultimate_parent: self.ultimate_parent,
            declared_use: self.declared_use,
            training_declared: self.training_declared,
            conditions,
            objection_keys,
        };
        form::tenant(&tenant, faults);
        tenant
    }

    /// Writes a tenant so that it is read as it was.
    pub(crate) fn of(tenant: &v1::Tenant) -> Self {
        let conditions = tenant.conditions.as_ref().map(|conditions| Conditions {
            valid_from: conditions.valid_from_unix_ms.map(exact_time),
            valid_to: conditions.valid_to_unix_ms.map(exact_time),
            device_classes: conditions.device_classes.clone(),
            sites: (!conditions.sites.is_empty()).then(|| conditions.sites.clone()),
            max_gpus: conditions.max_gpus,
            max_aggregate_tpp: conditions.max_aggregate_tpp,
            max_gpu_hours_month: conditions.max_gpu_hours_month,
        });
        Self {
            id: tenant.id.clone(),
            customer: tenant.customer.clone(),
            intermediaries: tenant.intermediaries.clone(),
            end_customer: tenant.end_customer.clone(),
            ultimate_parent: tenant.ultimate_parent.clone(),
            declared_use: tenant.declared_use.clone(),
            training_declared: tenant.training_declared,
            conditions,
            objection_keys: tenant.objection_keys.iter().map(|key| hex(key)).collect(),
        }
    }
}

impl Binding {
    /// Reads the entry; adds to `faults` what cannot be.
    pub(crate) fn read(self, faults: &mut Faults) -> v1::Binding {
        let binding = v1::Binding {
            from_unix_ms: time("from", self.from.as_deref(), faults),
            to_unix_ms: time("to", self.to.as_deref(), faults),
            id: self.id,
            tenant: self.tenant,
            cluster: self.cluster,
            namespace: self.namespace,
            service_account: self.service_account,
            slurm_account: self.slurm_account,
            unit: self.unit,
            user: self.user,
            image: self.image,
            host: self.host,
        };
        form::binding(&binding, faults);
        binding
    }

    /// Writes a binding so that it is read as it was.
    pub(crate) fn of(binding: &v1::Binding) -> Self {
        Self {
            id: binding.id.clone(),
            tenant: binding.tenant.clone(),
            cluster: binding.cluster.clone(),
            namespace: binding.namespace.clone(),
            service_account: binding.service_account.clone(),
            slurm_account: binding.slurm_account.clone(),
            unit: binding.unit.clone(),
            user: binding.user.clone(),
            image: binding.image.clone(),
            host: binding.host.clone(),
            from: binding.from_unix_ms.map(exact_time),
            to: binding.to_unix_ms.map(exact_time),
        }
    }
}

fn kind<K: Copy>(kinds: &[(&str, K)], text: &str, faults: &mut Faults) -> Option<K> {
    let found = kinds.iter().find(|(spelled, _)| *spelled == text);
    if found.is_none() {
        let all: Vec<_> = kinds.iter().map(|(spelled, _)| *spelled).collect();
        wrong(
            "kind",
            format!("`{text}` is none of {}", all.join(", ")),
            faults,
        );
    }
    found.map(|(_, kind)| *kind)
}

fn spelled<K: Copy + Into<i32>>(kinds: &[(&str, K)], kind: i32) -> String {
    let found = kinds.iter().find(|(_, known)| (*known).into() == kind);
    found.map_or_else(|| kind.to_string(), |(spelled, _)| (*spelled).to_owned())
}

/// Reads the keys by which a tenant may object.
fn keys(texts: &[String], faults: &mut Faults) -> Vec<Vec<u8>> {
    if texts.len() > MAX_KEYS {
        let text = format!(
            "there are {}, of which at most {MAX_KEYS} count",
            texts.len()
        );
        wrong("objection_keys", text, faults);
    }
    let read = texts.iter().filter_map(|text| {
        let key = digest(text).filter(|bytes| PublicKey::ed25519(bytes.as_bytes()).is_ok());
        if key.is_none() {
            let text = format!(
                "`{text}` is no Ed25519 public key in 64 hexadecimal digits, as the .pub file of \
                 `officer new` has it"
            );
            wrong("objection_keys", text, faults);
        }
        key.map(|bytes| bytes.as_bytes().to_vec())
    });
    read.collect()
}

fn time(field: &'static str, text: Option<&str>, faults: &mut Faults) -> Option<u64> {
    match text.map(parse_time_ms)? {
        Ok(unix_ms) => Some(unix_ms),
        Err(fault) => {
            wrong(field, fault, faults);
            None
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(text: &str) -> Option<Digest> {
    let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let hexadecimal = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let bytes: Option<Vec<u8>> = (0..64).step_by(2).map(digit).collect();
    Digest::try_from(bytes.filter(|_| hexadecimal)?.as_slice()).ok()
}

/// ISO 15924 of the scripts that matter for matching; empty where mixed or other.
fn script(text: &str) -> &'static str {
    let han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    if text.chars().any(han) {
        "Hani"
    } else if text
        .chars()
        .all(|c| c.is_ascii() || c.is_alphabetic() && c < '\u{250}')
    {
        "Latn"
    } else {
        ""
    }
}
