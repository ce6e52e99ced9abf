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

/// Time of one device that went unobserved without a plan, and why, when it is more than the
/// grace. `lines` are those of the device that are shown; time without a reason shown counts.
pub fn dark<'a>(
    totals: &v1::DeviceTotals,
    lines: impl Iterator<Item = &'a v1::UsageLine>,
    grace_ms: u64,
) -> Option<Vec<String>> {
    let (mut planned, mut shown) = (0_u64, 0_u64);
    let mut why = Vec::new();
    for line in lines.filter(|line| line.kind == i32::from(LineKind::NotObserved)) {
        shown = shown.saturating_add(line.time_ms);
        let reason = Reason::try_from(line.reason).unwrap_or_default();
        if is_planned(reason) {
            planned = planned.saturating_add(line.time_ms);
        } else {
            why.push(format!("not observed: {}", words(reason)));
        }
    }
    if shown < totals.not_observed_ms {
        why.push("not observed: reason not shown".to_owned());
    }
    let unplanned = totals.not_observed_ms.max(shown).saturating_sub(planned);
    (unplanned > grace_ms).then_some(why)
}

fn is_planned(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::DriverUpgrade | Reason::Mig | Reason::Rma | Reason::Maintenance
    )
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
        let hung = [line(Reason::DriverHung, 9_000)];
        assert_eq!(
            dark(&totals, hung.iter(), 2_000).unwrap(),
            ["not observed: driver hung"]
        );
        let planned = [line(Reason::Mig, 9_000)];
        assert_eq!(dark(&totals, planned.iter(), 2_000), None);
        assert_eq!(
            dark(&totals, [].iter(), 2_000).unwrap(),
            ["not observed: reason not shown"]
        );
        let little = v1::DeviceTotals {
            not_observed_ms: 2_000,
            ..Default::default()
        };
        assert_eq!(dark(&little, [].iter(), 2_000), None);
    }
}
