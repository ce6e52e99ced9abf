//! Tenants with their parties and vetting, and the officers who signed.

use affiant_judge::approval::Change;
use affiant_proto::{PublicKey, v1};
use serde::Serialize;

use super::hex;
use crate::{reading::Reading, scope::Scope};

/// A tenant as it stands at the basis.
#[derive(Clone, Debug, Serialize)]
pub struct TenantSaid {
    /// Id.
    pub id: String,
    /// State, as `under_review`.
    pub state: String,
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
    /// The first log index at which the key is not trusted; none for one that is.
    pub revoked_from_index: Option<u64>,
}

/// The tenants of a scope, as they stood at an instant by all that the log says.
pub(super) fn tenants(reading: &Reading, scope: &Scope, instant_ms: u64) -> Vec<TenantSaid> {
    let registry = reading.judge().registry();
    let party = |id: &str| PartySaid::of(id, registry.parties().newest(id));
    let maybe = |id: &str| (!id.is_empty()).then(|| party(id));
    let wanted = registry.tenants().filter(|tenant| match scope {
        Scope::All => true,
        Scope::Tenant(wanted) => tenant.id == *wanted,
    });
    let said = wanted.map(|tenant| TenantSaid {
        id: tenant.id.clone(),
        state: registry.stands(&tenant.id, instant_ms).state,
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

fn revoked_from(reading: &Reading, key: &[u8]) -> Option<u64> {
    let key = PublicKey::ed25519(key).ok()?;
    let revocations = reading.authorities().revocations();
    let revoked = revocations.of(v1::KeyUse::Officer, &key.id())?;
    Some(revoked.from())
}

pub(super) fn officers(reading: &Reading) -> Vec<OfficerSaid> {
    let said = reading.officers().into_iter().map(|officer| OfficerSaid {
        name: officer.name.clone(),
        chain: officer.chain.to_string(),
        key: PublicKey::ed25519(&officer.key)
            .map(|key| key.id().to_string())
            .unwrap_or_default(),
        by_genesis: officer.by_genesis,
        index: officer.index,
        statements: officer.statements,
        revoked_from_index: revoked_from(reading, &officer.key),
    });
    said.collect()
}
