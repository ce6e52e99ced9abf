//! Objections: what tenants say against figures and findings of their own.
//!
//! One is listed where its key stands in the tenant's newest registry entry, at its place in the log. It
//! changes no figure and no finding; it stands beside what it disputes.

use std::collections::BTreeMap;

use affiant_proto::{Digest, v1};
use serde::{Deserialize, Serialize};

use crate::{Judge, admission::Refusal, findings::Finding};

/// Most keys of one tenant that count: one in use, one to come, and those of two people.
pub const MAX_KEYS: usize = 4;

/// Most characters of an objection: a page.
pub const MAX_CHARS: usize = 2_000;

/// Most objections of a tenant that are listed of those that were logged within a day of one another: one
/// for each class and some findings. A year of them is 4,000 × 2,000 characters, 8 to 30 MB.
pub const MAX_A_DAY: usize = 10;

/// Most characters of a class of device, as the longest that a device table spells, and room.
const MAX_CLASS_CHARS: usize = 64;

const DAY_MS: u64 = 86_400_000;

/// An objection that is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    /// The digest of the statement, in hexadecimal.
    pub id: String,
    /// Its log index.
    pub index: u64,
    /// The log's time there, milliseconds since 1970.
    pub logged_unix_ms: u64,
    /// Who objects, by tenant id.
    pub tenant: String,
    /// The key that signed it, in hexadecimal.
    pub key: String,
    /// The period that it is about, milliseconds since 1970.
    pub from_unix_ms: u64,
    /// Its end, excluded.
    pub to_unix_ms: u64,
    /// The finding that it disputes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// The class of device whose figures it disputes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_class: Option<String>,
    /// Why.
    pub text: String,
}

impl Objection {
    /// Whether it says something of a span of time, its ends included.
    pub fn touches(&self, from_unix_ms: u64, to_unix_ms: u64) -> bool {
        self.from_unix_ms <= to_unix_ms && from_unix_ms < self.to_unix_ms
    }

    /// Whether it is about figures of a tenant and class.
    pub fn disputes_figures(&self, tenant: &str, class: &str) -> bool {
        let its = self.device_class.as_deref();
        self.tenant == tenant && self.finding.is_none() && its.is_none_or(|its| its == class)
    }

    /// Whether it is about a finding: one that it names.
    pub fn disputes(&self, finding: &Finding) -> bool {
        self.finding.as_ref() == Some(&finding.id)
    }
}

/// Why an objection is not listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotListed {
    /// Nobody stated the tenant.
    #[error("objection of tenant {0}, which no event stated before")]
    NoTenant(String),
    /// Signed by somebody else.
    #[error(
        "objection of tenant {0} by a key that is none of its objection keys; officers state these"
    )]
    NotItsKey(String),
    /// One too many.
    #[error("objection of tenant {0} beyond the {MAX_A_DAY} of a day; wait, or say more in one")]
    TooMany(String),
}

/// Objections so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objections {
    /// Those that are listed, in the order of the log.
    listed: Vec<Objection>,
    /// Log index of each by its chain, listed or not.
    indices: BTreeMap<[u8; 32], u64>,
    /// When the newest of each tenant were logged, [`MAX_A_DAY`] at most.
    newest: BTreeMap<String, Vec<u64>>,
}

/// Holds an objection against its form.
pub fn form(body: &v1::Objection) -> Result<(), Refusal> {
    let wrong = |why| Err(Refusal::Objection(why));
    let is_id = |id: &str| {
        id.len() == 32
            && id
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    if body.tenant.is_empty() {
        return wrong("names no tenant");
    }
    if body.from_unix_ms >= body.to_unix_ms {
        return wrong("is about no time: its period ends before it begins");
    }
    if !body.finding.is_empty() && !is_id(&body.finding) {
        return wrong("names a finding by something else than 32 hexadecimal digits");
    }
    if !body.finding.is_empty() && !body.device_class.is_empty() {
        return wrong("disputes a finding and a class at once; make two");
    }
    if body.device_class.chars().count() > MAX_CLASS_CHARS {
        return wrong("names a class of more than 64 characters");
    }
    match body.text.chars().count() {
        0 => wrong("says nothing"),
        count if count > MAX_CHARS => wrong("has more than 2,000 characters"),
        _ => Ok(()),
    }
}

impl Judge {
    /// Takes a tenant's objection. One that does not count is said, and not listed.
    pub fn object(&mut self, index: u64, chain: [u8; 32], body: &v1::Objection) {
        self.objections.indices.entry(chain).or_insert(index);
        if let Err(why) = self.may_object(body, self.clock_ms) {
            self.note(format!("index {index}: {why}"));
            return;
        }
        let newest = self.objections.newest.entry(body.tenant.clone());
        let newest = newest.or_default();
        newest.push(self.clock_ms);
        if newest.len() > MAX_A_DAY {
            newest.remove(0);
        }
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.objections.listed.push(Objection {
            id: Digest::new(chain).to_string(),
            index,
            logged_unix_ms: self.clock_ms,
            tenant: body.tenant.clone(),
            key: body.key.iter().map(|byte| format!("{byte:02x}")).collect(),
            from_unix_ms: body.from_unix_ms,
            to_unix_ms: body.to_unix_ms,
            finding: given(&body.finding),
            device_class: given(&body.device_class),
            text: body.text.clone(),
        });
    }

    /// Says why an objection would not count that is logged at `now_unix_ms`.
    pub fn may_object(&self, body: &v1::Objection, now_unix_ms: u64) -> Result<(), NotListed> {
        let tenant = &body.tenant;
        let stated = self.registry.newest(tenant);
        let stated = stated.ok_or_else(|| NotListed::NoTenant(tenant.clone()))?;
        let mut keys = stated.objection_keys.iter().take(MAX_KEYS);
        if !keys.any(|key| *key == body.key) {
            return Err(NotListed::NotItsKey(tenant.clone()));
        }
        let newest = self.objections.newest.get(tenant);
        let newest = newest.map(Vec::as_slice).unwrap_or_default();
        let within = |at: &&u64| now_unix_ms.saturating_sub(**at) < DAY_MS;
        if newest.iter().filter(within).count() >= MAX_A_DAY {
            return Err(NotListed::TooMany(tenant.clone()));
        }
        Ok(())
    }

    /// All objections that are listed, in the order of the log.
    pub fn objections(&self) -> &[Objection] {
        &self.objections.listed
    }

    /// The log index of an objection by the digest of its statement, listed or not.
    pub fn objection_index(&self, statement: &Digest) -> Option<u64> {
        self.objections.indices.get(statement.as_bytes()).copied()
    }
}
