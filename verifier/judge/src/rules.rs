//! The rules: pure functions from one use, or one device's time, to what it breaks.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use affiant_proto::v1::{self, LineKind, Reason};

use crate::{
    approval::Vetting,
    devices::Class,
    findings::{Cause, Cited, Rule},
    listings::Listed,
    policy::{Broken, Decision, DeviceFacts, Facts, Pack, TenantFacts},
    registry::Standing,
    screening, timeline,
};

/// What one use breaks, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The rule, and the policy where one found it.
    pub cause: Cause,
    /// What breaks it, in plain words.
    pub detail: String,
}

/// A pack that is asked, with its answers so far: many uses have the same facts.
pub(crate) struct Asked<'a> {
    pack: &'a Pack,
    label: Arc<str>,
    /// By the facts, and the first instant from which the same policies apply.
    answers: RefCell<BTreeMap<(Facts, u64), Arc<Decision>>>,
}

impl<'a> Asked<'a> {
    pub(crate) fn of(pack: &'a Pack) -> Self {
        Self {
            pack,
            label: Arc::clone(pack.label()),
            answers: RefCell::default(),
        }
    }

    fn decide(&self, facts: Facts, at_unix_ms: u64) -> Arc<Decision> {
        let (since, _) = timeline::steady(self.pack.instants(), at_unix_ms);
        let mut answers = self.answers.borrow_mut();
        let answer = answers
            .entry((facts, since))
            .or_insert_with_key(|(facts, _)| Arc::new(self.pack.decide(facts, at_unix_ms)));
        Arc::clone(answer)
    }
}

/// Judges one tenant's use of a device at an instant.
///
/// What concerns vetting itself is judged here, all else by the pack: an approval does not excuse a
/// chain. A tenant whom nobody stated has nothing that a policy could be asked about; that it is not
/// approved says so.
pub(crate) fn judge(
    standing: &Standing,
    device: &DeviceFacts,
    at_unix_ms: u64,
    asked: &Asked<'_>,
) -> Vec<Breach> {
    let mut breaches = vetting(&standing.vetting, device);
    if let Some(policy) = asked.pack.undecided().filter(|_| standing.undecided) {
        for breach in &mut breaches {
            breach.cause.policy = Some(Cited {
                pack: Arc::clone(&asked.label),
                policy: Arc::clone(policy),
            });
        }
    }
    let Some(tenant) = &standing.facts else {
        return breaches;
    };
    let days = asked.pack.parameters().hit_days();
    let facts = Facts {
        tenant: TenantFacts {
            hold_overdue: standing.screened.overdue(at_unix_ms, days).next().is_some(),
            ..tenant.clone()
        },
        device: device.clone(),
    };
    for broken in asked.decide(facts, at_unix_ms).broken() {
        let cause = Cause {
            rule: broken.policy.rule(),
            policy: Some(Cited {
                pack: Arc::clone(&asked.label),
                policy: Arc::clone(&broken.policy),
            }),
        };
        let details = details(broken, standing, (device.class, at_unix_ms), asked.pack).into_iter();
        breaches.extend(details.map(|detail| Breach {
            cause: cause.clone(),
            detail,
        }));
    }
    breaches
}

/// A use whose approval ran out is VETTING_EXPIRED and not USE_UNVETTED as well: the tenant was
/// vetted once.
fn vetting(vetting: &Vetting, device: &DeviceFacts) -> Vec<Breach> {
    let terms = match vetting {
        Vetting::Not(state) => return vec![breach(Rule::UseUnvetted, format!("state {state}"))],
        Vetting::Expired => {
            return vec![breach(
                Rule::VettingExpired,
                "the approval ran out".to_owned(),
            )];
        }
        Vetting::Approved(terms) => terms,
    };
    let (class, site) = (device.class, device.site.as_str());
    let mut breaches = Vec::new();
    if let Some(classes) = &terms.classes
        && !classes.contains(class.as_str())
    {
        let detail = format!("class {class}; approved: {}", listed(classes));
        breaches.push(breach(Rule::DeviceNotAllowed, detail));
    }
    // A site that nobody named is none of those that are allowed.
    if !terms.sites.is_empty() && !terms.sites.contains(site) {
        let site = if site.is_empty() { "not named" } else { site };
        let detail = format!("site {site}; approved: {}", listed(&terms.sites));
        breaches.push(breach(Rule::SiteNotAllowed, detail));
    }
    breaches
}

fn breach(rule: Rule, detail: String) -> Breach {
    Breach {
        cause: rule.into(),
        detail,
    }
}

fn listed(allowed: &BTreeSet<String>) -> String {
    if allowed.is_empty() {
        return "none".to_owned();
    }
    let allowed: Vec<_> = allowed.iter().map(String::as_str).collect();
    allowed.join(", ")
}

/// Says by what a policy is broken: the facts that its rule is about, else what the policy says.
/// Never empty.
fn details(
    broken: &Broken,
    standing: &Standing,
    (class, at_unix_ms): (Class, u64),
    pack: &Pack,
) -> Vec<String> {
    if let Some(why) = &broken.error {
        return vec![format!("the policy gave no answer: {why}")];
    }
    let details: Vec<String> = match broken.policy.rule() {
        Rule::RestrictedHq => {
            let grouped = |country| {
                let mut groups = pack.parameters().groups().values();
                groups.any(|group| group.contains(country))
            };
            let all = standing.headquarters.iter();
            let all = all.flat_map(|(party, seats)| seats.iter().map(move |seat| (party, seat)));
            all.filter(|(_, country)| grouped(country))
                .map(|(party, country)| {
                    format!("party {party} is headquartered in {country}; class {class}")
                })
                .collect()
        }
        Rule::EndCustomerUndeclared => {
            vec!["the chain has an intermediary and no end customer".to_owned()]
        }
        Rule::ChainTooDeep => {
            let facts = standing.facts.iter();
            facts
                .map(|facts| format!("intermediaries: {}", facts.intermediaries))
                .collect()
        }
        Rule::HoldOverdue => {
            let days = pack.parameters().hit_days();
            let overdue = standing.screened.overdue(at_unix_ms, days);
            overdue.map(|hit| left(hit, days)).collect()
        }
        Rule::ListedParty => hits(standing, |class| class >= screening::Class::Strong),
        Rule::PossibleListed => hits(standing, |class| class == screening::Class::Possible),
        Rule::ListedContext => hits(standing, |class| class == screening::Class::Context),
        Rule::Affiliate50 | Rule::Affiliate50Unresolved => {
            let facts = standing.facts.iter();
            let bounds = facts.filter_map(|facts| {
                Some((facts.listed_ownership_min?, facts.listed_ownership_max?))
            });
            let told =
                |(min, max)| format!("listed owners hold {} to {} %", percent(min), percent(max));
            bounds.map(told).collect()
        }
        _ => Vec::new(),
    };
    if details.is_empty() {
        vec![broken.policy.says().to_owned()]
    } else {
        details
    }
}

/// Says by which hits of a class that count the tenant's parties are on lists.
fn hits(standing: &Standing, is_meant: impl Fn(screening::Class) -> bool) -> Vec<String> {
    let hits = standing.screened.hits.iter();
    let meant = hits.filter(|hit| hit.is_open() && is_meant(hit.weight()));
    meant
        .map(|hit| {
            format!(
                "party {} \"{}\" ~ \"{}\" on list {} ({})",
                hit.party, hit.name, hit.listed, hit.list, hit.class
            )
        })
        .collect()
}

/// Says of a hit that nobody decided it in its days.
fn left(hit: &Listed, days: Option<u32>) -> String {
    format!(
        "party {} \"{}\" ~ \"{}\" on list {} ({}): not decided in {} days",
        hit.party,
        hit.name,
        hit.listed,
        hit.list,
        hit.class,
        days.unwrap_or_default()
    )
}

/// Spells hundredths of a percent.
fn percent(hundredths: u32) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Time of one device that went unobserved in one record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unobserved {
    /// By plan, milliseconds.
    pub planned_ms: u64,
    /// Without one.
    pub unplanned_ms: u64,
    /// Reasons by plan.
    pub plans: Vec<String>,
    /// Reasons without one.
    pub why: Vec<String>,
}

/// Parts the time in which one device was not observed. `lines` are those of the device that are
/// shown; time without a reason shown is not planned.
pub fn unobserved<'a>(
    totals: &v1::DeviceTotals,
    lines: impl Iterator<Item = &'a v1::UsageLine>,
) -> Unobserved {
    let mut told = Unobserved::default();
    let mut shown = 0_u64;
    for line in lines.filter(|line| line.kind == i32::from(LineKind::NotObserved)) {
        shown = shown.saturating_add(line.time_ms);
        let reason = Reason::try_from(line.reason).unwrap_or_default();
        let said = format!("not observed: {} ({})", words(reason), code(reason));
        if is_planned(reason) {
            told.planned_ms = told.planned_ms.saturating_add(line.time_ms);
            told.plans.push(said);
        } else {
            told.why.push(said);
        }
    }
    if shown < totals.not_observed_ms {
        told.why.push("not observed: reason not shown".to_owned());
    }
    let all = totals.not_observed_ms.max(shown);
    told.unplanned_ms = all.saturating_sub(told.planned_ms);
    told
}

/// Whether a reason is one of a plan.
pub(crate) fn is_planned(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::DriverUpgrade | Reason::Mig | Reason::Rma | Reason::Maintenance
    )
}

/// Spells a reason as the protocol does, without its prefix.
fn code(reason: Reason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("REASON_").unwrap_or(name)
}

fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::Unspecified => "no reason given",
        Reason::DriverHung => "driver hung",
        Reason::DeviceLost => "device lost",
        Reason::DriverError => "driver error",
        Reason::ReaderDied => "reader died",
        Reason::AgentStopped => "agent stopped",
        Reason::Suspended => "machine suspended",
        Reason::Permission => "permission refused",
        Reason::DriverUpgrade => "driver upgrade",
        Reason::Mig => "MIG change",
        Reason::Rma => "repair",
        Reason::Maintenance => "maintenance",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::approval::Terms;
    use crate::{parameters::Country, policy};

    fn country(code: &str) -> BTreeSet<Country> {
        BTreeSet::from([Country::parse(code).unwrap()])
    }

    fn clear() -> Standing {
        Standing {
            vetting: Vetting::Approved(Terms::default()),
            undecided: false,
            facts: Some(TenantFacts {
                parent_known: true,
                parent_headquarters: country("DE"),
                ..TenantFacts::default()
            }),
            headquarters: BTreeMap::new(),
            unknown: BTreeSet::new(),
            screened: Default::default(),
        }
    }

    /// 2026-11-20.
    const AT: u64 = 1_795_132_800_000;

    fn breaches(standing: &Standing, class: Class) -> Vec<Breach> {
        let pack = policy::shipped();
        let device = DeviceFacts {
            class,
            ..DeviceFacts::default()
        };
        let mut breaches = judge(standing, &device, AT, &Asked::of(&pack));
        breaches.retain(|breach| !breach.cause.is_shadow());
        breaches
    }

    fn rules(standing: &Standing, class: Class) -> Vec<Rule> {
        let breaches = breaches(standing, class).into_iter();
        breaches.map(|breach| breach.cause.rule).collect()
    }

    #[test]
    fn an_approved_tenant_without_conditions_breaks_nothing() {
        for class in [Class::A, Class::B, Class::Uncontrolled, Class::Unknown] {
            assert_eq!(rules(&clear(), class), []);
        }
    }

    #[test]
    fn only_the_classes_that_conditions_name_are_allowed_and_unknown_is_not_among_them_unsaid() {
        let only_b = BTreeSet::from(["3A090.b".to_owned()]);
        let standing = Standing {
            vetting: Vetting::Approved(Terms {
                classes: Some(only_b),
                ..Terms::default()
            }),
            ..clear()
        };
        assert_eq!(rules(&standing, Class::B), []);
        for class in [Class::A, Class::Unknown, Class::Uncontrolled] {
            assert_eq!(rules(&standing, class), [Rule::DeviceNotAllowed]);
        }
    }

    #[test]
    fn an_expired_vetting_is_one_finding_and_an_unvetted_use_another() {
        let expired = Standing {
            vetting: Vetting::Expired,
            ..clear()
        };
        assert_eq!(rules(&expired, Class::A), [Rule::VettingExpired]);
        let never = Standing {
            vetting: Vetting::Not("draft"),
            ..clear()
        };
        assert_eq!(rules(&never, Class::A), [Rule::UseUnvetted]);
    }

    #[test]
    fn a_restricted_headquarters_counts_on_controlled_and_unknown_classes_and_names_the_party() {
        let mut standing = clear();
        standing.headquarters.insert("p".to_owned(), country("CN"));
        standing.headquarters.insert("q".to_owned(), country("SG"));
        let facts = standing.facts.as_mut().unwrap();
        facts.headquarters = country("CN");
        facts.headquarters.extend(country("SG"));
        for class in [Class::A, Class::B, Class::Unknown] {
            assert_eq!(rules(&standing, class), [Rule::RestrictedHq]);
            let detail = breaches(&standing, class).pop().unwrap().detail;
            assert!(
                detail.starts_with("party p is headquartered in CN"),
                "{detail}"
            );
        }
        assert_eq!(rules(&standing, Class::Uncontrolled), []);
    }

    #[test]
    fn a_breach_of_a_policy_names_policy_and_pack() {
        let standing = Standing {
            facts: Some(TenantFacts::default()),
            ..clear()
        };
        let breach = breaches(&standing, Class::A).pop().unwrap();
        assert_eq!(breach.cause.rule, Rule::ParentUnknown);
        let cited = breach.cause.policy.unwrap();
        assert_eq!(cited.policy.id().as_ref(), "parent-unknown");
        assert_eq!(cited.pack.as_ref(), policy::shipped().label().as_ref());
        assert!(!breach.detail.is_empty());
    }

    #[test]
    fn of_a_tenant_whom_nobody_stated_no_policy_is_asked() {
        let standing = Standing {
            vetting: Vetting::Not("unregistered"),
            facts: None,
            ..clear()
        };
        assert_eq!(rules(&standing, Class::A), [Rule::UseUnvetted]);
    }

    #[test]
    fn unplanned_darkness_counts_and_planned_does_not_and_an_unseen_reason_is_not_planned() {
        let line = |reason: Reason, time_ms| v1::UsageLine {
            kind: LineKind::NotObserved.into(),
            reason: reason.into(),
            time_ms,
            ..Default::default()
        };
        let totals = v1::DeviceTotals {
            not_observed_ms: 9_000,
            ..Default::default()
        };
        let told = |lines: &[v1::UsageLine]| unobserved(&totals, lines.iter());
        let hung = told(&[line(Reason::DriverHung, 9_000)]);
        assert_eq!((hung.planned_ms, hung.unplanned_ms), (0, 9_000));
        assert_eq!(hung.why, ["not observed: driver hung (DRIVER_HUNG)"]);
        let mixed = told(&[line(Reason::Mig, 4_000), line(Reason::DeviceLost, 3_000)]);
        assert_eq!((mixed.planned_ms, mixed.unplanned_ms), (4_000, 5_000));
        assert_eq!(mixed.plans, ["not observed: MIG change (MIG)"]);
        assert_eq!(mixed.why.len(), 2, "the reason of 2 s is not shown");
        let unseen = told(&[]);
        assert_eq!((unseen.planned_ms, unseen.unplanned_ms), (0, 9_000));
        assert_eq!(unseen.why, ["not observed: reason not shown"]);
    }

    #[test]
    fn every_reason_of_the_protocol_has_words_and_a_code_of_its_own() {
        let all: BTreeSet<_> = (0..64)
            .filter_map(|code| Reason::try_from(code).ok())
            .collect();
        let told: BTreeSet<_> = all
            .iter()
            .map(|reason| (words(*reason), code(*reason)))
            .collect();
        assert_eq!(told.len(), all.len());
        assert!(all.len() >= 12, "{all:?}");
    }
}
