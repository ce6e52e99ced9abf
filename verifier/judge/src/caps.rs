//! Caps: how many devices a tenant had at once, against what its approval allows.
//!
//! What is counted is device time that is attributed to the tenant, so two workloads that share a device
//! count once. Of one record that is exact: more time than the record is long is more devices at once. Over
//! hosts it is an average of ten minutes, whichever order records come in; a longer average hides what a
//! shorter one shows, and never makes more of it.

use std::collections::BTreeMap;

use crate::{
    Judge,
    episodes::Episode,
    findings::{Rule, Subject},
    record::Record,
};

/// Milliseconds over which devices of several hosts are averaged.
const SPAN_MS: u64 = 600_000;

/// Spans of one tenant that are kept, the newest: 4,464 × 10 min are a month, so that what was away for that
/// long still counts. 40 bytes each, 180 KB a tenant with a cap.
const SPANS: usize = 4_464;

/// Device time by tenant and span, of those tenants that have a cap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caps(BTreeMap<String, BTreeMap<u64, u64>>);

impl Caps {
    /// Adds a tenant's device time in an interval, spread evenly over it; gives the span that is fullest by
    /// now of those that it touches, and how full it is, milliseconds.
    fn add(&mut self, tenant: &str, (from_ms, to_ms): (u64, u64), device_ms: u64) -> (u64, u64) {
        if !self.0.contains_key(tenant) {
            self.0.insert(tenant.to_owned(), BTreeMap::new());
        }
        let mut fullest = (0, 0);
        let Some(spans) = self.0.get_mut(tenant) else {
            return fullest;
        };
        let length = to_ms.saturating_sub(from_ms).max(1);
        let mut span = from_ms / SPAN_MS;
        while span * SPAN_MS < to_ms {
            let begun = from_ms.max(span * SPAN_MS);
            let ended = to_ms.min((span + 1) * SPAN_MS);
            let part = u128::from(device_ms) * u128::from(ended - begun) / u128::from(length);
            let sum = spans.entry(span).or_default();
            *sum = sum.saturating_add(u64::try_from(part).unwrap_or(u64::MAX));
            if *sum >= fullest.1 {
                fullest = (span, *sum);
            }
            span += 1;
        }
        while spans.len() > SPANS {
            spans.pop_first();
        }
        fullest
    }
}

impl Judge {
    /// Holds the device time of a tenant in one record against the cap of its approval.
    pub(crate) fn cap(&mut self, record: &Record<'_>, tenant: &str, device_ms: u64) {
        let Some(most) = self
            .answers
            .get(tenant)
            .and_then(|answer| answer.standing.most_gpus())
        else {
            return;
        };
        let interval = (record.usage.wall_start_ms, record.usage.wall_end_ms);
        let length = interval.1.saturating_sub(interval.0).max(1);
        let most = u64::from(most);
        let (span, sum) = self.caps.add(tenant, interval, device_ms);
        // A record at either end of the span is spread evenly, and was perhaps not.
        let slack = most.saturating_mul(2 * self.parameters.interval_ms);
        let told = if device_ms > most.saturating_mul(length) {
            let (whole, tenth) = tenths(device_ms, length);
            Some(format!(
                "{whole}.{tenth} GPUs at once in one record; approved: {most}"
            ))
        } else if sum > most.saturating_mul(SPAN_MS).saturating_add(slack) {
            let (whole, tenth) = tenths(sum, SPAN_MS);
            let from = span * SPAN_MS;
            Some(format!(
                "{whole}.{tenth} GPUs on average of the ten minutes from {from} (ms since 1970); approved: {most}"
            ))
        } else {
            None
        };
        if let Some(told) = told {
            let episode: Episode = record.observed(self.clock_ms);
            let episode = episode.with(&told, &record.host.name, None);
            self.observe(Rule::GpuCap, Subject::Tenant(tenant.to_owned()), episode);
        }
    }
}

fn tenths(sum_ms: u64, of_ms: u64) -> (u64, u64) {
    let tenths = u128::from(sum_ms) * 10 / u128::from(of_ms);
    let tenths = u64::try_from(tenths).unwrap_or(u64::MAX);
    (tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_spread_over_the_spans_that_it_touches_and_none_is_lost() {
        let mut caps = Caps::default();
        let edge = SPAN_MS * 7;
        caps.add("t", (edge - 4_000, edge + 6_000), 80_000);
        caps.add("t", (edge, edge + 10_000), 10_000);
        let spans: Vec<_> = caps
            .0
            .values()
            .flatten()
            .map(|(span, ms)| (*span, *ms))
            .collect();
        assert_eq!(spans, [(6, 32_000), (7, 58_000)]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_newest() {
        let mut caps = Caps::default();
        for span in 0..SPANS as u64 + 10 {
            caps.add("t", (span * SPAN_MS, span * SPAN_MS + 10), 10);
        }
        let kept: Vec<u64> = caps.0.values().flatten().map(|(span, _)| *span).collect();
        assert_eq!((kept.len(), kept.first()), (SPANS, Some(&10)));
    }
}
