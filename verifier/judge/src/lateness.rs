//! Lateness: records whose window is wide, claims outside of it, and uses that lie in one with a
//! change of their tenant's standing.
//!
//! Where the window is narrow the order of the log decides, and the claimed time within it.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::{Body, Statement, v1};

use crate::{
    Judge,
    devices::Model,
    findings::{Cause, Rule, Subject},
    record::Record,
    rules::{self, Asked},
    timeline::Moment,
    window::{Early, Window},
};

/// Most changes of the registry within one window that are looked at: an hour of an officer who
/// signs one every few seconds. With more, the rest of the window is taken as changed.
const MAX_CHANGES: usize = 1_024;

/// What a tenant's use of a class breaks from the beginning of a window on.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    revision: u64,
    since_ms: u64,
    upto_ms: u64,
    /// Up to when, from there, what screening says does not change.
    until_ms: u64,
    /// What is broken at some instant of it.
    any: BTreeSet<Cause>,
    /// What is broken at all of them.
    all: BTreeSet<Cause>,
}

/// Of each host that is late, what its tenants' uses break within its window.
pub(crate) type Spreads = BTreeMap<[u8; 32], BTreeMap<(String, Model), Spread>>;

impl Judge {
    /// Takes note of when the statement at `index` can have been made; before what it says is
    /// heard. What it claims outside of that is CLOCK_OUT_OF_BOUNDS.
    pub fn sealed(&mut self, index: u64, chain: [u8; 32], statement: &Statement) {
        self.windows.heard(index);
        if matches!(statement.body(), Body::Enrolment(_)) {
            self.windows.open(chain, self.clock_ms);
        }
        let header = statement.header();
        let window = self
            .windows
            .of(index, chain, header.checkpoint(), self.clock_ms);
        let Some(window) = window else {
            return;
        };
        let time = header.time();
        let ended = match statement.body() {
            Body::Usage(usage) => Some(usage.wall_end_ms),
            _ => None,
        };
        let allowed = self.allowed(time);
        let claims = || std::iter::once(time.unix_ms).chain(ended);
        let least = claims().min().unwrap_or(time.unix_ms);
        let most = claims().max().unwrap_or(time.unix_ms);
        if let Some(after) = window.after_ms
            && least.saturating_add(allowed) < after
        {
            let by = scale(after - least);
            let detail = format!("claims a time {by} before the log shows it was made");
            self.observe_claim(index, chain, &detail);
        }
        let claim_ms = most.saturating_sub(allowed);
        if claim_ms > self.clock_ms {
            let early = Early {
                chain,
                index,
                claim_ms,
            };
            self.windows.wait(early);
        }
    }

    /// Takes claims that the log's clock at `now_ms` proves to be ahead.
    pub(crate) fn ahead(&mut self, early: Vec<Early>, now_ms: u64) {
        for one in early {
            let by = scale(one.claim_ms.saturating_sub(now_ms));
            let detail = format!("claims a time {by} after it was logged");
            self.observe_claim(one.index, one.chain, &detail);
        }
    }

    /// How far a claim may lie outside of its window: the error that the clock states, where it
    /// states one, and what is tolerated.
    fn allowed(&self, time: &v1::Time) -> u64 {
        let stated = time.max_error_ms.map_or(0, u64::from);
        self.parameters.clock_tolerance_ms.saturating_add(stated)
    }

    fn observe_claim(&mut self, index: u64, chain: [u8; 32], detail: &str) {
        if self.in_period() {
            let name = self.hosts.share(chain).name.clone();
            let episode = self.told(index).with(detail, &name, None);
            self.observe(Rule::ClockOutOfBounds, Subject::Host(name, chain), episode);
        }
    }

    /// The window of a record, where it is wide.
    pub(crate) fn late(&mut self, record: &Record<'_>) -> Option<Window> {
        let window = self.windows.at(record.index);
        let window = window.filter(|window| window.width_ms() > self.parameters.late_record_ms);
        let Some(window) = window else {
            self.spreads.remove(&record.chain);
            return None;
        };
        let by = scale(window.width_ms());
        let detail = match window.after_ms {
            Some(_) => format!("its window is {by} wide"),
            None => format!("its chain embeds no checkpoint; its window is {by} wide"),
        };
        let episode = record.observed(self.clock_ms);
        let episode = episode.with(&detail, &record.host.name, None);
        self.observe(Rule::LateRecord, record.subject(), episode);
        Some(window)
    }

    /// Finds out whether what a use breaks depends on when in its window it was.
    pub(crate) fn establish(
        &mut self,
        record: &Record<'_>,
        window: Window,
        tenant: &str,
        broken: &BTreeMap<Model, BTreeSet<Cause>>,
    ) {
        let mut depends = BTreeSet::new();
        let mut depend = |cause: &Cause| {
            // What is only tried is no reason to doubt a time.
            if !cause.is_shadow() {
                depends.insert(cause.rule);
            }
        };
        for (model, broken) in broken {
            let spread = self.spread(record, window, tenant, *model);
            spread.any.difference(&spread.all).for_each(&mut depend);
            // Also a claim outside of its window.
            spread
                .any
                .symmetric_difference(broken)
                .for_each(&mut depend);
            self.spreads
                .entry(record.chain)
                .or_default()
                .insert((tenant.to_owned(), *model), spread);
        }
        if depends.is_empty() {
            return;
        }
        let mut episode = record.observed(self.clock_ms);
        for rule in depends {
            let detail = format!(
                "{} at some times of its window and not at others",
                rule.as_str()
            );
            for model in broken.keys() {
                episode.tell(&detail, &record.host.name, Some(model.class));
            }
        }
        let subject = Subject::Tenant(tenant.to_owned());
        self.observe(Rule::TimeNotEstablished, subject, episode);
    }

    /// What the use of a class breaks at each instant of a window. Records that come late one after
    /// the other have one beginning, so that only what is new of it is looked at.
    fn spread(&self, record: &Record<'_>, window: Window, tenant: &str, model: Model) -> Spread {
        let revision = self.registry.revision();
        let known = self.spreads.get(&record.chain);
        let known = known.and_then(|known| known.get(&(tenant.to_owned(), model)));
        let known = known.filter(|known| {
            known.revision == revision
                && known.since_ms == window.since_ms
                && known.upto_ms <= window.logged_ms
        });
        let asked = Asked::of(self.packs.of(record.index));
        let ware = self.ware(model, &record.host.site);
        let days = self.packs.of(record.index).parameters().hit_days();
        let broken = |instant| {
            let at = Moment::as_known_then(record.index, instant);
            let standing = self.registry.standing(tenant, at);
            let breaches = rules::judge(&standing, &ware, instant, &asked).into_iter();
            // What is overdue may change sooner than what registry and pack say.
            let until = standing.screened.steady(instant, days).1;
            (
                breaches.map(|breach| breach.cause).collect::<BTreeSet<_>>(),
                until,
            )
        };
        let mut instant = known.map_or(window.since_ms, |known| known.upto_ms);
        let mut spread = known.cloned().unwrap_or_else(|| {
            let (broken, until_ms) = broken(instant);
            Spread {
                revision,
                since_ms: window.since_ms,
                upto_ms: instant,
                until_ms,
                any: broken.clone(),
                all: broken,
            }
        });
        spread.upto_ms = window.logged_ms;
        for _ in 0..MAX_CHANGES {
            instant = self
                .steady(instant)
                .1
                .min(spread.until_ms.max(instant.saturating_add(1)));
            if instant > window.logged_ms {
                return spread;
            }
            let (broken, until_ms) = broken(instant);
            spread.until_ms = until_ms;
            spread.all.retain(|cause| broken.contains(cause));
            spread.any.extend(broken);
        }
        spread.all.clear();
        spread
    }
}

/// Says a length roughly, so that records in a row say the same.
fn scale(ms: u64) -> &'static str {
    match ms / 60_000 {
        0 => "less than a minute",
        1..60 => "less than an hour",
        60..1_440 => "less than a day",
        1_440..14_400 => "one to ten days",
        _ => "more than ten days",
    }
}
