//! Caps: how much a tenant used at once and in a month, against what its approval allows, or the policy
//! pack where the approval says nothing.
//!
//! What is counted is device time that is attributed to the tenant, so two workloads that share a device
//! count once. Of one record that is exact: more time than the record is long is more devices at once. Over
//! hosts it is an average of ten minutes, whichever order records come in; a longer average hides what a
//! shorter one shows, and never makes more of it. Processing performance is weighed in the same way, by the
//! device table; devices of which it says nothing are left out, and that is said.

use crate::{
    Judge,
    approval::Vetting,
    books::{Load, Number, SPAN_MS},
    episodes::Episode,
    findings::{Rule, Subject},
    month,
    policy::Pack,
    record::Record,
    registry::Standing,
};

/// Milliseconds of an hour.
pub(crate) const HOUR_MS: u64 = 3_600_000;

/// What of use is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// Devices at once.
    Gpus,
    /// Total processing performance at once.
    Tpp,
    /// Device time in a calendar month, hours.
    Hours,
}

impl Measure {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Gpus, Self::Tpp, Self::Hours];

    fn rule(self) -> Rule {
        match self {
            Self::Gpus => Rule::GpuCap,
            Self::Tpp => Rule::TppCap,
            Self::Hours => Rule::HoursCap,
        }
    }

    /// What it is counted in.
    const fn unit(self) -> &'static str {
        match self {
            Self::Gpus => "GPUs",
            Self::Tpp => "TPP",
            Self::Hours => "GPU-hours a month",
        }
    }

    /// The limit of a pack that bounds it.
    fn limit(self) -> &'static str {
        match self {
            Self::Gpus => "max_gpus",
            Self::Tpp => "max_aggregate_tpp",
            Self::Hours => "max_gpu_hours_month",
        }
    }
}

/// The most that is allowed of something, and by whose word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ceiling {
    pub(crate) most: u64,
    /// By the pack in force, and not by the tenant's own approval.
    by_pack: bool,
}

impl Ceiling {
    /// Says it, `pack` being the name of the pack in force.
    pub(crate) fn words(self, measure: Measure, pack: &str) -> String {
        let (most, unit) = (self.most, measure.unit());
        match self.by_pack {
            true => format!("policy pack {pack} allows {most} {unit}"),
            false => format!("approved: {most} {unit}"),
        }
    }
}

/// All that bounds a tenant's use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ceilings {
    gpus: Option<Ceiling>,
    tpp: Option<Ceiling>,
    hours: Option<Ceiling>,
}

impl Ceilings {
    /// Reads what an approval allows, and what the pack does where that says nothing.
    pub(crate) fn of(standing: Option<&Standing>, pack: &Pack) -> Self {
        let terms = standing.and_then(|standing| match &standing.vetting {
            Vetting::Approved(terms) => Some(terms),
            Vetting::Expired | Vetting::Not(_) => None,
        });
        let or = |approved: Option<u64>, measure: Measure| match approved {
            Some(most) => Some(Ceiling {
                most,
                by_pack: false,
            }),
            None => {
                let limit = pack.parameters().limits().get(measure.limit());
                limit.map(|most| Ceiling {
                    most: u64::from(*most),
                    by_pack: true,
                })
            }
        };
        let gpus = terms.and_then(|terms| terms.max_gpus).map(u64::from);
        let tpp = terms.and_then(|terms| terms.max_aggregate_tpp);
        let hours = terms.and_then(|terms| terms.max_gpu_hours_month);
        Self {
            gpus: or(gpus, Measure::Gpus),
            tpp: or(tpp, Measure::Tpp),
            hours: or(hours, Measure::Hours),
        }
    }

    /// What bounds one measure.
    pub(crate) fn get(&self, measure: Measure) -> Option<Ceiling> {
        match measure {
            Measure::Gpus => self.gpus,
            Measure::Tpp => self.tpp,
            Measure::Hours => self.hours,
        }
    }
}

/// What is asked of a tenant's standing with every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Its place in the books.
    pub(crate) number: Number,
    /// What bounds its use.
    pub(crate) ceilings: Ceilings,
    /// Whether it is approved: what is not allowed at all has no cap.
    pub(crate) is_approved: bool,
}

impl Judge {
    /// Books what a tenant used in one record, and holds it against its caps.
    pub(crate) fn cap(&mut self, record: &Record<'_>, tenant: &str, bounds: Bounds, load: &Load) {
        let interval = (record.usage.wall_start_ms, record.usage.wall_end_ms);
        let length = interval.1.saturating_sub(interval.0).max(1);
        let booked = self
            .books
            .add(bounds.number, record.index, interval, self.clock_ms, load);
        if !bounds.is_approved || bounds.ceilings == Ceilings::default() {
            return;
        }
        for measure in Measure::ALL {
            let Some(ceiling) = bounds.ceilings.get(measure) else {
                continue;
            };
            let is_unrated = measure == Measure::Tpp && load.unrated_ms > 0;
            let unit = match measure {
                Measure::Tpp if is_unrated => "TPP at least",
                Measure::Tpp => "TPP",
                Measure::Gpus | Measure::Hours => "GPUs",
            };
            let most = ceiling.most;
            let told = match measure {
                Measure::Gpus => self.at_once((most, unit), load.device_ms, length, booked.devices),
                Measure::Tpp => self.at_once((most, unit), load.tpp_ms, length, booked.tpp),
                Measure::Hours => {
                    let (month, sum) = booked.month;
                    let month = month::spelled(month);
                    (sum > most.saturating_mul(HOUR_MS))
                        .then(|| format!("more than {most} GPU-hours in {month}"))
                }
            };
            if is_unrated {
                self.note(format!(
                    "tenant {tenant}: the TPP of some devices is not known; they are left out of its cap"
                ));
            }
            let Some(told) = told else {
                continue;
            };
            let allowed = ceiling.words(measure, self.packs.of(record.index).label());
            let episode: Episode = record.observed(self.clock_ms);
            let episode = episode.with(&format!("{told}; {allowed}"), &record.host.name, None);
            let subject = Subject::Tenant(tenant.to_owned());
            self.observe(measure.rule(), subject, episode);
        }
    }

    /// Says by what a record, or the span that is fullest by it, is more than `most` at once.
    fn at_once(
        &self,
        (most, unit): (u64, &str),
        sum: u64,
        length: u64,
        (span, in_span): (u64, u64),
    ) -> Option<String> {
        if sum > most.saturating_mul(length) {
            let (whole, tenth) = tenths(sum, length);
            return Some(format!("{whole}.{tenth} {unit} at once in one record"));
        }
        (in_span > self.in_a_span(most)).then(|| on_average(span, in_span, unit))
    }

    /// The most that a span may hold of what is allowed `most` at once: a record at either end of it is
    /// spread evenly, and was perhaps not.
    pub(crate) fn in_a_span(&self, most: u64) -> u64 {
        let slack = most.saturating_mul(2 * self.parameters.interval_ms);
        most.saturating_mul(SPAN_MS).saturating_add(slack)
    }
}

/// Says what the sum of a span is on average.
pub(crate) fn on_average(span: u64, sum: u64, unit: &str) -> String {
    let (whole, tenth) = tenths(sum, SPAN_MS);
    let from = span * SPAN_MS;
    let from = month::instant(from);
    format!("{whole}.{tenth} {unit} on average of the ten minutes from {from}")
}

/// A quotient in whole and tenths.
pub(crate) fn tenths(sum_ms: u64, of_ms: u64) -> (u64, u64) {
    let tenths = u128::from(sum_ms) * 10 / u128::from(of_ms.max(1));
    let tenths = u64::try_from(tenths).unwrap_or(u64::MAX);
    (tenths / 10, tenths % 10)
}
