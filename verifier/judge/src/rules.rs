//! The rules: pure functions from one use, or one device's time, to what it breaks.

use affiant_proto::v1::{self, LineKind, Reason};

use crate::{
    approval::Vetting, devices::Class, findings::Rule, parameters::Parameters, registry::Standing,
};

/// A rule that one use breaks, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The rule.
    pub rule: Rule,
    /// What breaks it, in plain words.
    pub detail: String,
}

/// Judges one tenant's use of one class of device.
///
/// A use whose approval ran out is VETTING_EXPIRED and not USE_UNVETTED as well: the tenant was
/// vetted once. The other rules do not depend on vetting: an approval does not excuse a chain.
pub fn judge(standing: &Standing, class: Class, parameters: &Parameters) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut say = |rule, detail| breaches.push(Breach { rule, detail });
    match &standing.vetting {
        Vetting::Not(state) => say(Rule::UseUnvetted, format!("state {state}")),
        Vetting::Expired => say(Rule::VettingExpired, "the approval ran out".to_owned()),
        Vetting::Approved(Some(classes)) if !classes.contains(class.as_str()) => {
            let classes: Vec<_> = classes.iter().map(String::as_str).collect();
            let allowed = if classes.is_empty() {
                "none".to_owned()
            } else {
                classes.join(", ")
            };
            say(
                Rule::DeviceNotAllowed,
                format!("class {class}; approved: {allowed}"),
            );
        }
        Vetting::Approved(_) => {}
    }
    if standing.undeclared {
        let detail = "the chain has an intermediary and no end customer";
        say(Rule::EndCustomerUndeclared, detail.to_owned());
    }
    if parameters.controlled_classes.contains(&class) {
        for (party, countries) in &standing.headquarters {
            for country in countries.intersection(&parameters.restricted_countries) {
                say(
                    Rule::RestrictedHq,
                    format!("party {party} is headquartered in {country}; class {class}"),
                );
            }
        }
    }
    breaches
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
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::parameters::Country;

    fn clear() -> Standing {
        Standing {
            vetting: Vetting::Approved(None),
            undeclared: false,
            headquarters: BTreeMap::new(),
            unknown: BTreeSet::new(),
        }
    }

    fn rules(standing: &Standing, class: Class) -> Vec<Rule> {
        let breaches = judge(standing, class, &Parameters::default());
        breaches.into_iter().map(|breach| breach.rule).collect()
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
            vetting: Vetting::Approved(Some(only_b)),
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
    fn a_restricted_headquarters_counts_on_controlled_and_unknown_classes() {
        let china = BTreeSet::from([Country::parse("CN").unwrap()]);
        let standing = Standing {
            headquarters: BTreeMap::from([("p".to_owned(), china)]),
            ..clear()
        };
        for class in [Class::A, Class::B, Class::Unknown] {
            assert_eq!(rules(&standing, class), [Rule::RestrictedHq]);
        }
        assert_eq!(rules(&standing, Class::Uncontrolled), []);
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
