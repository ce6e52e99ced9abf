//! What each tenant has used: kept short, so that what the log learns later can be judged too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    chains::ByChain,
    devices::{Class, Model},
    findings::Cause,
};

/// Most records of one span. 360 × 10 s is an hour, to which the evidence of a finding that
/// reaches back is exact.
const SPAN_RECORDS: u64 = 360;

/// Most spans of one key. 1,024 × 1 h is six weeks of an hour's exactness; of what is older the
/// two oldest grow together, so that nothing is forgotten. 56 bytes each, 56 KiB a key.
const SPANS: usize = 1_024;

/// Milliseconds by which the wall clock may step between two records of one span: a second, less
/// than any interval.
const SLACK_MS: u64 = 1_000;

/// Records of one host in a row that were judged alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    /// Where the last record begins.
    pub(crate) last_from_ms: u64,
    pub(crate) first_index: u64,
    pub(crate) last_index: u64,
    pub(crate) records: u64,
    /// Revision of the registry by which they were judged.
    revision: u64,
}

/// What the records of a span have in common beside tenant and host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) class: Class,
    /// Models of this class: a record counts once, however many of them it used.
    pub(crate) models: BTreeSet<Model>,
    /// What was broken as known then.
    pub(crate) broken: BTreeSet<Cause>,
}

/// Whose a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) class: Class,
    pub(crate) models: &'a BTreeSet<Model>,
    pub(crate) chain: [u8; 32],
    pub(crate) broken: &'a BTreeSet<Cause>,
}

/// The place of one tenant's uses of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(usize);

/// All uses. Whoever judges a tenant's use asks for the place of its kind once, and not with every record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses {
    places: BTreeMap<String, BTreeMap<Kind, Place>>,
    spans: Vec<ByChain<VecDeque<Span>>>,
}

impl Uses {
    /// The place of a tenant's uses of a kind, which gets one when it has none.
    pub(crate) fn place(&mut self, tenant: &str, kind: Kind) -> Place {
        let kinds = match self.places.get_mut(tenant) {
            Some(kinds) => kinds,
            None => self.places.entry(tenant.to_owned()).or_default(),
        };
        *kinds.entry(kind).or_insert_with(|| {
            self.spans.push(ByChain::default());
            Place(self.spans.len() - 1)
        })
    }

    /// Adds one record.
    pub(crate) fn add(
        &mut self,
        place: Place,
        chain: [u8; 32],
        index: u64,
        (from_ms, to_ms): (u64, u64),
        revision: u64,
    ) {
        let Some(hosts) = self.spans.get_mut(place.0) else {
            return;
        };
        let spans = hosts.entry(chain).or_default();
        let fits = |last: &&mut Span| {
            last.revision == revision
                && last.records < SPAN_RECORDS
                && from_ms.abs_diff(last.to_ms) <= SLACK_MS
        };
        if let Some(last) = spans.back_mut().filter(fits) {
            last.to_ms = last.to_ms.max(to_ms);
            last.last_from_ms = last.last_from_ms.max(from_ms);
            last.last_index = index;
            last.records += 1;
            return;
        }
        spans.push_back(Span {
            from_ms,
            to_ms,
            last_from_ms: from_ms,
            first_index: index,
            last_index: index,
            records: 1,
            revision,
        });
        if spans.len() > SPANS
            && let (Some(old), Some(next)) = (spans.pop_front(), spans.front_mut())
        {
            next.from_ms = next.from_ms.min(old.from_ms);
            next.to_ms = next.to_ms.max(old.to_ms);
            next.last_from_ms = next.last_from_ms.max(old.last_from_ms);
            next.first_index = old.first_index;
            next.records = next.records.saturating_add(old.records);
        }
    }

    /// The spans of which `chosen` holds, in the order of what they are of.
    pub(crate) fn choose(
        &self,
        chosen: impl Fn(&Span) -> bool,
    ) -> impl Iterator<Item = (Use<'_>, &Span)> {
        let any = |spans: &VecDeque<Span>| spans.iter().any(&chosen);
        let mut all = Vec::new();
        for (tenant, kinds) in &self.places {
            for (kind, place) in kinds {
                let Some(hosts) = self.spans.get(place.0) else {
                    continue;
                };
                let of = |chain: &[u8; 32]| Use {
                    tenant,
                    class: kind.class,
                    models: &kind.models,
                    chain: *chain,
                    broken: &kind.broken,
                };
                let some = hosts.choose(any);
                all.extend(some.map(|(chain, spans)| (of(chain), spans)));
            }
        }
        all.sort_unstable_by_key(|(of, _)| *of);
        let all = all.into_iter();
        let all = all.flat_map(|(of, spans)| spans.iter().map(move |span| (of, span)));
        all.filter(move |(_, span)| chosen(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind() -> Kind {
        Kind {
            class: Class::NotShown,
            models: BTreeSet::from([Model::NOT_SHOWN]),
            broken: BTreeSet::new(),
        }
    }

    #[test]
    fn abutting_records_grow_one_span_until_the_registry_changes_or_time_is_missing() {
        let mut uses = Uses::default();
        let place = uses.place("t", kind());
        for (index, from, revision) in [(1, 0, 1), (2, 10, 1), (3, 20, 2), (4, 50, 2)] {
            let interval = (from * 1_000, (from + 10) * 1_000);
            uses.add(place, [0; 32], index, interval, revision);
        }
        let spans: Vec<_> = uses
            .choose(|_| true)
            .map(|(_, span)| (span.first_index, span.records))
            .collect();
        assert_eq!(spans, [(1, 2), (3, 1), (4, 1)]);
    }

    #[test]
    fn spans_stay_bounded_and_no_record_is_forgotten() {
        let mut uses = Uses::default();
        let place = uses.place("t", kind());
        for index in 0..5_000 {
            let interval = (index * 20_000, index * 20_000 + 10_000);
            uses.add(place, [0; 32], index, interval, 1);
        }
        assert_eq!(uses.choose(|_| true).count(), SPANS);
        assert_eq!(
            uses.choose(|_| true)
                .map(|(_, span)| span.records)
                .sum::<u64>(),
            5_000
        );
        assert_eq!(
            uses.choose(|_| true)
                .next()
                .map(|(_, span)| span.first_index),
            Some(0)
        );
    }
}
