//! Bindings of one workload to two tenants: the judge would name neither, so nobody may state the second.
//!
//! Two bindings overlap where one gives by its most telling selector what the other asks for too, no selector
//! of them differs, and both hold at one time. A workload goes over to another tenant by dates: the binding of
//! the first gets an end (`to`), that of the second begins no earlier (`from`).

use std::collections::{BTreeMap, BTreeSet};

use affiant_judge::matching::selectors;
use affiant_proto::v1::Binding;

use crate::wording;

/// Bindings by their most telling selector.
type Filed<'a> = BTreeMap<(&'static str, &'a str), Vec<&'a Binding>>;

/// A new binding that overlaps another tenant's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overlap {
    /// Its id.
    pub(crate) binding: String,
    /// The selector that both give.
    pub(crate) field: &'static str,
    /// What to do about it, with the other tenant's name.
    pub(crate) text: String,
}

/// Finds what of `new`, which holds from `now_ms` on at the earliest, overlaps bindings of other tenants: of
/// those that stand and are not replaced, and of one another. One overlap for each new binding.
pub(crate) fn find<'a>(
    new: impl Iterator<Item = &'a Binding> + Clone,
    stands: impl Iterator<Item = &'a Binding>,
    now_ms: u64,
) -> Vec<Overlap> {
    let ids: BTreeSet<&str> = new.clone().map(|binding| binding.id.as_str()).collect();
    let (replaced, stands): (Vec<&Binding>, Vec<&Binding>) =
        stands.partition(|binding| ids.contains(binding.id.as_str()));
    let replaced: BTreeMap<&str, &Binding> = replaced
        .into_iter()
        .map(|it| (it.id.as_str(), it))
        .collect();
    let (filed_new, filed) = (file(new.clone()), file(stands.iter().copied()));
    let mut found: BTreeMap<&str, Overlap> = BTreeMap::new();
    for binding in new.clone() {
        if let Some(before) = replaced.get(binding.id.as_str())
            && before.tenant != binding.tenant
            && before.to_unix_ms.is_none_or(|to| to > now_ms)
        {
            found.insert(&binding.id, taken(binding, before));
        }
        let others = beside(binding, &filed).chain(beside(binding, &filed_new));
        for (field, other) in others {
            // Of two new ones the later is told, in the order of their ids.
            if clash(binding, other, now_ms)
                && (!ids.contains(other.id.as_str()) || other.id < binding.id)
            {
                let told = || said(binding, other, field);
                found.entry(&binding.id).or_insert_with(told);
            }
        }
    }
    // Those that stand and ask for more than a new one does.
    for other in stands.iter().copied().chain(new) {
        for (field, binding) in beside(other, &filed_new) {
            if clash(binding, other, now_ms)
                && (!ids.contains(other.id.as_str()) || other.id < binding.id)
            {
                let told = || said(binding, other, field);
                found.entry(&binding.id).or_insert_with(told);
            }
        }
    }
    found.into_values().collect()
}

fn file<'a>(bindings: impl Iterator<Item = &'a Binding>) -> Filed<'a> {
    let mut filed = Filed::new();
    for binding in bindings {
        let first = selectors(binding);
        if let Some(first) = first.into_iter().find(|(_, value)| !value.is_empty()) {
            filed.entry(first).or_default().push(binding);
        }
    }
    filed
}

/// The bindings of which the most telling selector is given by this one too.
fn beside<'a>(
    binding: &'a Binding,
    filed: &'a Filed<'a>,
) -> impl Iterator<Item = (&'static str, &'a Binding)> {
    let given = selectors(binding).into_iter();
    given
        .filter(|(_, value)| !value.is_empty())
        .flat_map(|key| {
            filed
                .get(&key)
                .into_iter()
                .flatten()
                .map(move |it| (key.0, *it))
        })
}

/// Whether some workload could be bound to two tenants by these, at some time.
fn clash(new: &Binding, other: &Binding, now_ms: u64) -> bool {
    let begins = |binding: &Binding| binding.from_unix_ms.unwrap_or(0);
    let ends = |binding: &Binding| binding.to_unix_ms.unwrap_or(u64::MAX);
    let from = begins(new).max(begins(other)).max(now_ms);
    let differs = selectors(new)
        .into_iter()
        .zip(selectors(other))
        .any(|((_, a), (_, b))| !a.is_empty() && !b.is_empty() && a != b);
    new.tenant != other.tenant && !differs && from < ends(new).min(ends(other))
}

fn said(new: &Binding, other: &Binding, field: &'static str) -> Overlap {
    let value = selectors(other)
        .into_iter()
        .find(|(name, _)| *name == field);
    let value = value.map_or("", |(_, value)| value);
    let end = match other.to_unix_ms {
        Some(to) => format!("until {}", wording::time(to)),
        None => "without an end".to_owned(),
    };
    Overlap {
        binding: new.id.clone(),
        field,
        text: format!(
            "{field} `{value}` is tenant `{}`'s by binding `{}`, {end}: nobody could tell whose a workload is; \
             state that one's end (`to`) and let this one begin then (`from`), or withdraw it",
            other.tenant, other.id
        ),
    }
}

fn taken(new: &Binding, before: &Binding) -> Overlap {
    Overlap {
        binding: new.id.clone(),
        field: "tenant",
        text: format!(
            "binding `{}` is tenant `{}`'s; give this one another id, and that one an end (`to`), or withdraw it",
            new.id, before.tenant
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(id: &str, tenant: &str, namespace: &str) -> Binding {
        Binding {
            id: id.into(),
            tenant: tenant.into(),
            namespace: namespace.into(),
            ..Default::default()
        }
    }

    fn found(new: &[Binding], stands: &[Binding]) -> Vec<(String, String)> {
        let found = find(new.iter(), stands.iter(), 100);
        found.into_iter().map(|it| (it.binding, it.text)).collect()
    }

    #[test]
    fn a_namespace_that_is_another_tenants_is_told_with_his_name_and_ones_own_is_not() {
        let stands = [
            binding("acme-ns", "acme", "lab"),
            binding("x", "other", "x"),
        ];
        assert_eq!(found(&[binding("b", "acme", "lab")], &stands), []);
        assert_eq!(found(&[binding("b", "evil", "lab-2")], &stands), []);
        let told = found(&[binding("b", "evil", "lab")], &stands);
        assert_eq!(told.len(), 1);
        assert!(
            told[0].1.starts_with(
                "namespace `lab` is tenant `acme`'s by binding `acme-ns`, without an end"
            ),
            "{told:?}"
        );
    }

    #[test]
    fn a_narrower_and_a_wider_binding_overlap_and_one_on_another_cluster_does_not() {
        let on = |cluster: &str, it: Binding| Binding {
            cluster: cluster.into(),
            ..it
        };
        let wide = binding("w", "acme", "lab");
        let narrow = Binding {
            service_account: "sa".into(),
            ..binding("n", "evil", "lab")
        };
        assert_eq!(
            found(std::slice::from_ref(&narrow), std::slice::from_ref(&wide)).len(),
            1
        );
        assert_eq!(found(&[wide], &[narrow]).len(), 1);
        let here = on("c-1", binding("h", "acme", "lab"));
        let there = on("c-2", binding("t", "evil", "lab"));
        assert_eq!(found(&[there], std::slice::from_ref(&here)), []);
        let everywhere = Binding {
            cluster: "c-1".into(),
            ..binding("e", "evil", "")
        };
        assert_eq!(found(&[everywhere], &[here]).len(), 1);
        let by_host = Binding {
            host: "gpu-1".into(),
            ..binding("g", "evil", "")
        };
        assert_eq!(
            found(&[by_host], &[binding("h", "acme", "lab")]),
            [],
            "not of one thing"
        );
    }

    #[test]
    fn a_workload_goes_over_by_an_end_that_is_stated_and_not_by_taking_the_id() {
        let ends = |to| Binding {
            to_unix_ms: Some(to),
            ..binding("a", "acme", "lab")
        };
        let begins = |from| Binding {
            from_unix_ms: Some(from),
            ..binding("b", "evil", "lab")
        };
        assert_eq!(found(&[begins(500)], &[ends(500)]), []);
        assert_eq!(found(&[begins(499)], &[ends(500)]).len(), 1);
        assert_eq!(
            found(&[binding("b", "evil", "lab")], &[ends(99)]),
            [],
            "it is over"
        );
        assert_eq!(found(&[binding("b", "evil", "lab")], &[ends(101)]).len(), 1);
        // The end is stated in the same file.
        assert_eq!(
            found(&[ends(500), begins(500)], &[binding("a", "acme", "lab")]),
            []
        );
        let told = found(
            &[binding("a", "evil", "lab")],
            &[binding("a", "acme", "lab")],
        );
        assert!(
            told[0].1.starts_with("binding `a` is tenant `acme`'s"),
            "{told:?}"
        );
        assert_eq!(found(&[binding("a", "evil", "lab")], &[ends(99)]), []);
    }

    #[test]
    fn two_that_are_stated_together_overlap_once() {
        let told = found(
            &[binding("a", "acme", "lab"), binding("b", "evil", "lab")],
            &[],
        );
        assert_eq!(told.len(), 1);
        assert!(
            told[0].0 == "b" && told[0].1.contains("tenant `acme`"),
            "{told:?}"
        );
    }

    #[test]
    fn twenty_thousand_bindings_on_one_cluster_are_compared_in_no_time() {
        let many = |tenant: &str, from: usize| -> Vec<Binding> {
            let numbers = from..from + 20_000;
            let one = |n: usize| Binding {
                cluster: "c-1".into(),
                ..binding(&format!("b-{n:05}"), tenant, &format!("ns-{n}"))
            };
            numbers.map(one).collect()
        };
        assert_eq!(found(&many("acme", 0), &many("evil", 20_000)), []);
        assert_eq!(found(&many("acme", 0), &many("evil", 19_999)).len(), 1);
    }
}
