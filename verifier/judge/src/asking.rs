//! Asking before it runs: may a tenant use a class of device at a site now, and why not.
//!
//! The answer is what the judge would say of a use at this moment. It binds nobody: what is used is
//! judged by what stands in the log when its record comes.

use affiant_proto::v1;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    Judge,
    devices::{Class, NamedClass},
    findings::{Rule, Severity},
    listings::Listed,
    matching::Match,
    policy::DeviceFacts,
    rules,
    timeline::Moment,
};

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The tenant, by id.
    pub tenant: String,
    /// The class of device.
    #[serde(deserialize_with = "named")]
    pub class: Class,
    /// The site, as hosts are enrolled with it; empty where that is not known.
    #[serde(default)]
    pub site: String,
}

fn named<'de, D: Deserializer<'de>>(class: D) -> Result<Class, D::Error> {
    NamedClass::deserialize(class).map(|named| named.0)
}

/// What stands against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Against {
    /// The rule that would be broken.
    pub rule: Rule,
    /// How grave that is.
    pub severity: Severity,
    /// By what, in plain words.
    pub detail: String,
}

/// What the judge would say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether nothing stands against it.
    pub allowed: bool,
    /// What does.
    pub against: Vec<Against>,
    /// What is not known of the tenant, which may come to stand against it.
    pub unknown: Vec<String>,
    /// The log's time by which this holds, milliseconds since 1970.
    pub as_of_unix_ms: u64,
}

/// Whose a workload would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This tenant's.
    Tenant(String),
    /// Nobody's, and why.
    Nobody(String),
}

impl Judge {
    /// Answers by all that the log says at `now_unix_ms`, or at the log's own time where that is later.
    pub fn ask(&self, question: &Question, now_unix_ms: u64) -> Answer {
        let at = self.present(now_unix_ms);
        let standing = self.registry.standing(&question.tenant, at);
        let device = DeviceFacts {
            class: question.class,
            site: question.site.clone(),
            ..DeviceFacts::default()
        };
        let asked = rules::Asked::of(self.packs.newest());
        let breaches = rules::judge(&standing, &device, at.instant_ms, &asked);
        let against: Vec<Against> = breaches
            .into_iter()
            // A policy in shadow counts for nothing.
            .filter(|breach| !breach.cause.is_shadow())
            .map(|breach| Against {
                rule: breach.cause.rule,
                severity: breach.cause.severity(),
                detail: breach.detail,
            })
            .collect();
        let unread = standing.screened.unread.iter();
        let unread = unread.map(|list| {
            format!("list {list}: the file of a version is not at hand or cannot be read")
        });
        let unstated = standing.screened.unstated.iter();
        let unstated = unstated
            .map(|party| format!("party {party}: nobody stated it, so it was not screened"));
        let headquarters = standing.unknown.iter();
        let headquarters = headquarters.map(|of| format!("headquarters of {of}"));
        // Without a list no name was held against any. Of a tenant whom nobody stated there is none.
        let facts = standing.facts.as_ref();
        let nobody =
            facts.is_some_and(|facts| !facts.screened) && standing.screened.unread.is_empty();
        let nobody =
            nobody.then(|| "whether anybody is listed: no screening list is in force".to_owned());
        Answer {
            allowed: against.is_empty(),
            against,
            unknown: headquarters
                .chain(unread)
                .chain(unstated)
                .chain(nobody)
                .collect(),
            as_of_unix_ms: at.instant_ms,
        }
    }

    /// Hits on a tenant's parties that hold by `now_unix_ms`, each with until when it is to be decided; none
    /// where the pack gives no deadline.
    pub fn holds(&self, tenant: &str, now_unix_ms: u64) -> Vec<Listed> {
        let at = self.present(now_unix_ms);
        let mut screened = self.registry.standing(tenant, at).screened;
        screened.give(self.pack().parameters().hit_days());
        screened.hits.retain(|hit| hit.due_unix_ms.is_some());
        screened.hits
    }

    /// Says whose a workload would be that begins at `now_unix_ms`, on a host if one is named.
    pub fn whose(&self, workload: &v1::Workload, host: &str, now_unix_ms: u64) -> Whose {
        let end_ms = self.present(now_unix_ms).instant_ms.saturating_add(1);
        match self.bindings.find(workload, host, u64::MAX, end_ms) {
            Match::Tenant(tenant) => Whose::Tenant(tenant),
            Match::None => Whose::Nobody("no binding matches it".to_owned()),
            Match::Ambiguous(tenants) => {
                let tenants: Vec<_> = tenants.into_iter().collect();
                Whose::Nobody(format!("bindings of {} all match it", tenants.join(", ")))
            }
        }
    }

    /// Knows all that is logged, at an instant no earlier than the log's own time.
    fn present(&self, now_unix_ms: u64) -> Moment {
        Moment::as_known_now(u64::MAX, self.clock_ms.max(now_unix_ms))
    }
}
