//! Ownership: whose the workloads of a host are, remembered for as long as nothing can change it.
//!
//! A record of ten lines asks this ten times, the next one of its host asks the same, and an answer
//! has to go through all bindings. What is remembered is what they say: it holds for one statement
//! of workloads, until officers bind or unbind anything, or an instant passes at which they said
//! that something begins or ends.

use std::collections::BTreeMap;

use crate::{chains::ByChain, matching::Bindings, record::Owner};

type Chain = [u8; 32];

/// What is remembered of each chain: an answer a workload in force, of which there are at most
/// 1,024 on a host, some 40 bytes each and the name once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ownership(ByChain<Remembered>);

#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    workloads: u64,
    revision: u64,
    steady: (u64, u64),
    owners: BTreeMap<u32, Owner>,
}

impl Ownership {
    /// The answers that hold for a record at log index `index` which cites `workloads` and is judged
    /// at `instant`. They are emptied where they hold no longer.
    pub(crate) fn of(
        &mut self,
        chain: Chain,
        workloads: u64,
        bindings: &Bindings,
        (index, instant): (u64, u64),
    ) -> &mut BTreeMap<u32, Owner> {
        let known = self.0.entry(chain).or_insert_with(|| Remembered {
            workloads,
            revision: 0,
            steady: (0, 0),
            owners: BTreeMap::new(),
        });
        let (from, to) = known.steady;
        let holds = known.workloads == workloads
            && known.revision == bindings.revision()
            && (from..to).contains(&instant)
            && bindings.newest() < Some(index);
        if !holds {
            known.workloads = workloads;
            known.revision = bindings.revision();
            known.steady = bindings.steady(instant);
            known.owners.clear();
        }
        &mut known.owners
    }

    /// Forgets what is remembered of a chain: its name or its workloads are others now.
    pub(crate) fn forget(&mut self, chain: &Chain) {
        self.0.remove(chain);
    }
}

#[cfg(test)]
mod tests {
    use affiant_proto::v1;
    use proptest::prelude::*;

    use super::*;
    use crate::{matching::Match, record::Tenant, timeline::Stamp};

    const CHAIN: Chain = [7; 32];
    const OFFICER: [u8; 32] = [1; 32];

    /// What happens at one log index.
    #[derive(Clone, Debug)]
    enum Step {
        /// A binding, named by its number, of that tenant, works from an instant, within bounds.
        Bind(u8, u8, u64, Option<u64>, Option<u64>),
        Withdraw(u8),
        /// All that was bound at these indices falls into doubt.
        Doubt(u64, u64),
        /// A record that ends at an instant and cites workloads.
        Ask(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let instant = 0..60_u64;
        let bound = prop::option::of(instant.clone());
        prop_oneof![
            2 => (0..3_u8, 0..2_u8, instant.clone(), bound.clone(), bound)
                .prop_map(|(id, tenant, from, begin, end)| Step::Bind(id, tenant, from, begin, end)),
            1 => (0..3_u8).prop_map(Step::Withdraw),
            1 => (0..30_u64, 0..30_u64).prop_map(|(first, last)| Step::Doubt(first, last)),
            6 => (1..60_u64, 1..3_u64).prop_map(|(end, workloads)| Step::Ask(end, workloads)),
        ]
    }

    fn named(found: &Match) -> Owner {
        match found {
            Match::Tenant(tenant) => Owner::Tenant(Tenant {
                number: 0,
                id: tenant.as_str().into(),
            }),
            Match::None => Owner::Nobody("none".into()),
            Match::Ambiguous(_) => Owner::Nobody("several".into()),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn what_is_remembered_is_what_the_bindings_say(steps in prop::collection::vec(step(), 1..40)) {
            let (mut bindings, mut ownership) = (Bindings::default(), Ownership::default());
            for (index, step) in (0..).zip(steps) {
                let stamp = |effective_ms| Stamp { index, logged_ms: index, effective_ms };
                let mut event = |id: u8, tenant, stamp, from_unix_ms, to_unix_ms, withdrawn| {
                    let binding = v1::Binding {
                        id: id.to_string(),
                        tenant: format!("tenant {tenant}"),
                        namespace: "n".into(),
                        from_unix_ms,
                        to_unix_ms,
                        ..Default::default()
                    };
                    let event = v1::BindingEvent { binding: Some(binding), withdrawn, ..Default::default() };
                    bindings.event(stamp, OFFICER, &event);
                };
                match step {
                    Step::Bind(id, tenant, from, begin, end) => {
                        event(id, tenant, stamp(from), begin, end, false);
                    }
                    Step::Withdraw(id) => event(id, 0, stamp(0), None, None, true),
                    Step::Doubt(first, last) if first <= last => {
                        bindings.doubt(index, OFFICER, (first, last));
                    }
                    Step::Doubt(..) => {}
                    Step::Ask(end_ms, workloads) => {
                        // Each statement of workloads has another one at this place.
                        let namespace = if workloads == 1 { "n" } else { "m" };
                        let workload = v1::Workload { namespace: namespace.into(), ..Default::default() };
                        let due = named(&bindings.find(&workload, "h", index, end_ms));
                        let known = ownership.of(CHAIN, workloads, &bindings, (index, end_ms - 1));
                        let told = known.entry(0).or_insert_with(|| due.clone());
                        prop_assert_eq!(&*told, &due, "at {}", index);
                    }
                }
            }
        }
    }
}
