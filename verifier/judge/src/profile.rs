//! Profiles: use that is not like what is known of a tenant: that it is new, or what it declared.

use crate::{
    Judge,
    books::{DAY_SPANS, Day, Number, SPAN_MS},
    caps::on_average,
    episodes::Episode,
    findings::Rule,
    month,
    rounds::Seen,
};

const DAY_MS: u64 = DAY_SPANS * SPAN_MS;

/// Spans of a day in which hosts have to be kept busy for the day to count: 130 of 144 are 90 %, and leave
/// two hours for restarts.
const FULL_DAY: u32 = 130;

/// Words of a declared use by which no model is trained.
const SERVING: [&str; 3] = ["inference", "serving", "serve"];

impl Judge {
    /// New tenants that use many devices at once. When use began is known where all of the log is judged,
    /// or as many days of it as a tenant is new, or where the tenant was first stated in the period.
    pub(crate) fn ramps(&self, due: &[(u64, Number)]) -> Vec<Seen> {
        let (Some(days), Some(gpus)) =
            (self.limit("new_tenant_days"), self.limit("new_tenant_gpus"))
        else {
            return Vec::new();
        };
        let new_ms = days.saturating_mul(DAY_MS);
        let many = gpus.max(1).saturating_mul(SPAN_MS);
        let mut seen = Vec::new();
        for (span, number) in due {
            let Some(cell) = self.books.cell(*span, *number) else {
                continue;
            };
            let first_ms = self.books.first_ms(*number);
            let from_ms = span * SPAN_MS;
            if cell.device_ms < many || from_ms >= first_ms.saturating_add(new_ms) {
                continue;
            }
            let tenant = self.books.id(*number);
            let begin_ms = self.period.0;
            let begins = begin_ms == 0
                || first_ms >= begin_ms.saturating_add(new_ms)
                || self
                    .registry
                    .first_stated_ms(tenant)
                    .is_some_and(|stated| stated > begin_ms);
            if !begins {
                continue;
            }
            let told = format!(
                "{}; its first use was at {}, less than {days} days before",
                on_average(*span, cell.device_ms, "GPUs"),
                month::instant(first_ms)
            );
            let span_ms = (from_ms, from_ms + SPAN_MS);
            let mut episode = Episode::new(cell.indices, span_ms, self.clock_ms, 1);
            episode.say(&told);
            seen.push(Seen::of(Rule::RampNewTenant, tenant, episode));
        }
        seen
    }

    /// Tenants that declared to train no models, or to serve them, and kept many devices of whole hosts busy
    /// for days on end. Telemetry cannot tell what ran; that nobody trains so long without a pause for
    /// anything else is a reason to ask.
    pub(crate) fn profile(&mut self, due: &[(u64, Number)]) -> Vec<Seen> {
        let (Some(days), Some(gpus), Some(percent)) = (
            self.limit("mismatch_days"),
            self.limit("mismatch_gpus"),
            self.limit("mismatch_busy_percent"),
        ) else {
            return Vec::new();
        };
        let many = gpus.max(1).saturating_mul(SPAN_MS);
        let mut seen = Vec::new();
        for (span, number) in due {
            let Some(cell) = self.books.cell(*span, *number).copied() else {
                continue;
            };
            let busy = u128::from(cell.busy_ms) * 100;
            let is_busy = busy >= u128::from(cell.device_ms) * u128::from(percent);
            // A span that a job begins or ends in is not whole.
            let is_whole = u128::from(cell.whole_ms) * 10 >= u128::from(many) * 9;
            if !is_busy || !is_whole {
                continue;
            }
            let Some(declared) = self.declares_no_training(*number) else {
                continue;
            };
            let Some((date, FULL_DAY)) = self.books.mark(*span, *number) else {
                continue;
            };
            let is_full = |day: &Day| day.count() >= FULL_DAY;
            let around = self.books.days_around(*number, date, is_full);
            let (Some((first, begun)), Some((last, ended))) =
                (around.first_key_value(), around.last_key_value())
            else {
                continue;
            };
            if (around.len() as u64) < days {
                continue;
            }
            let span_ms = (first * DAY_MS, (last + 1) * DAY_MS);
            let indices = (begun.indices.0, ended.indices.1);
            let mut episode = Episode::new(indices, span_ms, self.clock_ms, around.len() as u64);
            episode.say(&format!(
                "{declared}; it kept {gpus} GPUs or more of whole hosts busy on {days} days or more without a pause"
            ));
            seen.push(Seen::of(Rule::UseMismatch, self.books.id(*number), episode));
        }
        seen
    }

    /// What a tenant declared by which it trains no models; `None` where it declared nothing of the kind.
    fn declares_no_training(&self, tenant: Number) -> Option<&'static str> {
        let facts = self.precedents.get(&tenant)?.standing.facts.as_ref()?;
        match facts.training_declared {
            Some(true) => None,
            Some(false) => Some("declared to train no models"),
            None => {
                let said = facts.declared_use.to_lowercase();
                let mut words = said.split(|c: char| !c.is_alphanumeric());
                words
                    .any(|word| SERVING.contains(&word))
                    .then_some("declared to serve models")
            }
        }
    }
}
