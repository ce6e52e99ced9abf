//! Precedents: what a tenant's use came to before, followed for as long as nothing can change it.
//!
//! Registry and pack are asked once, and not with every record: a precedent holds until the registry learns
//! anything, another pack comes, or an instant passes at which they said that something begins or ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    Judge,
    approval::Vetting,
    books::Number,
    caps::{Bounds, Ceilings},
    devices::{Class, Model},
    episodes::{self, Key, Observed, cut},
    findings::{Cause, Cited, Known, Subject},
    policy::DeviceFacts,
    record::{Record, Tenant},
    registry::Standing,
    rules::{self, Asked, Breach},
    timeline::{self, Moment},
    uses::{Kind, Place},
};

/// Most sets of models that are remembered of a tenant at a site: hosts there that have several models use
/// them one by one or together, and one that goes on to others has them judged anew.
const MAX_SETS: usize = 64;

/// What is remembered, by tenant.
pub(crate) type Precedents = BTreeMap<Number, Precedent>;

/// What holds of a tenant for a while.
#[derive(Clone, Debug)]
pub(crate) struct Precedent {
    revision: u64,
    steady: (u64, u64),
    pub(crate) standing: Standing,
    bounds: Bounds,
    /// By site.
    sites: BTreeMap<String, Site>,
}

/// What its use at a site comes to.
#[derive(Clone, Debug, Default)]
struct Site {
    /// What the use of a model breaks.
    breaches: BTreeMap<Model, Arc<[Breach]>>,
    /// The same of models that one record used together.
    rulings: BTreeMap<BTreeSet<Model>, Arc<Ruling>>,
}

/// What the use of some models comes to.
#[derive(Clone, Debug)]
pub(crate) struct Ruling {
    broken: BTreeMap<Model, BTreeSet<Cause>>,
    /// What is found, and what is told of it: one record is one piece of evidence, whatever classes of device
    /// were used in it.
    found: Vec<Found>,
    /// Where such a use is kept.
    places: Vec<Place>,
}

/// What breaks a rule or policy.
#[derive(Clone, Debug)]
struct Found {
    place: episodes::Place,
    cited: Option<Cited>,
    told: Vec<(String, Class)>,
}

impl Ruling {
    /// What the use of each model breaks.
    pub(crate) fn broken(&self) -> &BTreeMap<Model, BTreeSet<Cause>> {
        &self.broken
    }
}

impl Precedent {
    fn holds(&self, revision: u64, instant: u64) -> bool {
        let (from, to) = self.steady;
        self.revision == revision && from <= instant && instant < to
    }
}

impl Judge {
    /// Judges a use as known then; gives what it breaks, and what bounds it.
    pub(crate) fn judge_use(
        &mut self,
        record: &Record<'_>,
        tenant: &Tenant,
        models: BTreeSet<Model>,
    ) -> (Arc<Ruling>, Bounds) {
        let (revision, instant) = (self.registry.revision(), record.instant());
        let known = self.precedents.get(&tenant.number);
        let known = known.filter(|precedent| precedent.holds(revision, instant));
        let bounds = known.map(|precedent| precedent.bounds);
        let ruling = known.and_then(|precedent| {
            let site = precedent.sites.get(record.host.site.as_str())?;
            site.rulings.get(&models).map(Arc::clone)
        });
        let bounds = bounds.unwrap_or_else(|| self.bounds(record, tenant));
        let ruling = ruling.unwrap_or_else(|| self.rule(record, tenant, models));
        let interval = (record.usage.wall_start_ms, record.usage.wall_end_ms);
        for place in &ruling.places {
            let uses = &mut self.uses;
            uses.add(*place, record.chain, record.index, interval, revision);
        }
        for found in &ruling.found {
            let seen = Observed {
                index: record.index,
                span_ms: interval,
                logged_ms: self.clock_ms,
                host: &record.host.name,
                told: &found.told,
                cited: found.cited.as_ref(),
            };
            self.episodes.observe(found.place, &seen);
        }
        (ruling, bounds)
    }

    /// Asks the registry how a tenant stands, and remembers it; gives what bounds its use.
    fn bounds(&mut self, record: &Record<'_>, tenant: &Tenant) -> Bounds {
        let instant = record.instant();
        let at = Moment::as_known_then(record.index, instant);
        let standing = self.registry.standing(&tenant.id, at);
        for unknown in &standing.unknown {
            self.note(format!(
                "tenant {}: headquarters of {unknown} not known",
                tenant.id
            ));
        }
        for list in &standing.screened.unread {
            self.note(format!(
                "tenant {}: not screened against a version of list {list} whose file is not at hand or cannot be \
                 read",
                tenant.id
            ));
        }
        for party in &standing.screened.unstated {
            self.note(format!(
                "tenant {}: party {party}, whom nobody stated, was not screened",
                tenant.id
            ));
        }
        let days = self.packs.newest().parameters().hit_days();
        let (all, age) = (
            self.steady(instant),
            standing.screened.steady(instant, days),
        );
        let bounds = Bounds {
            number: tenant.number,
            ceilings: Ceilings::of(Some(&standing), self.packs.of(record.index)),
            is_approved: matches!(standing.vetting, Vetting::Approved(_)),
        };
        self.books.bind(bounds.number, bounds.ceilings);
        let precedent = Precedent {
            revision: self.registry.revision(),
            steady: (all.0.max(age.0), all.1.min(age.1)),
            standing,
            bounds,
            sites: BTreeMap::new(),
        };
        self.precedents.insert(tenant.number, precedent);
        bounds
    }

    /// Judges the use of some models at the record's site, and remembers it.
    fn rule(
        &mut self,
        record: &Record<'_>,
        tenant: &Tenant,
        models: BTreeSet<Model>,
    ) -> Arc<Ruling> {
        let mut broken = BTreeMap::new();
        let mut found: BTreeMap<Cause, Vec<(String, Class)>> = BTreeMap::new();
        let mut alike: BTreeMap<(Class, BTreeSet<Cause>), BTreeSet<Model>> = BTreeMap::new();
        for model in &models {
            let breaches = self.breaches(record, tenant, *model);
            for breach in breaches.iter() {
                let told = found.entry(breach.cause.clone()).or_default();
                told.push((cut(&breach.detail), model.class));
            }
            let causes = breaches.iter().map(|breach| breach.cause.clone());
            let causes: BTreeSet<_> = causes.collect();
            broken.insert(*model, causes.clone());
            alike
                .entry((model.class, causes))
                .or_default()
                .insert(*model);
        }
        let place = |((class, broken), models)| {
            let kind = Kind {
                class,
                models,
                broken,
            };
            self.uses.place(&tenant.id, kind)
        };
        let places = alike.into_iter().map(place).collect();
        let found = found.into_iter().map(|(cause, told)| Found {
            cited: cause.policy.clone(),
            place: self.episodes.place(Key {
                cause,
                subject: Subject::Tenant(tenant.id.to_string()),
                known: Known::Then,
            }),
            told,
        });
        let ruling = Arc::new(Ruling {
            broken,
            found: found.collect(),
            places,
        });
        if let Some(site) = self.site(record, tenant) {
            if site.rulings.len() >= MAX_SETS {
                site.rulings.clear();
            }
            site.rulings.insert(models, Arc::clone(&ruling));
        }
        ruling
    }

    /// What the use of a model at the record's site breaks.
    fn breaches(&mut self, record: &Record<'_>, tenant: &Tenant, model: Model) -> Arc<[Breach]> {
        let known = self.site(record, tenant);
        if let Some(known) = known.and_then(|site| site.breaches.get(&model)) {
            return Arc::clone(known);
        }
        let Some(precedent) = self.precedents.get(&tenant.number) else {
            return Arc::new([]);
        };
        let ware = self.ware(model, &record.host.site);
        let asked = Asked::of(self.packs.of(record.index));
        let found = rules::judge(&precedent.standing, &ware, record.instant(), &asked);
        let found: Arc<[Breach]> = found.into();
        if let Some(site) = self.site(record, tenant) {
            site.breaches.insert(model, Arc::clone(&found));
        }
        found
    }

    /// What is remembered of a tenant's use at the record's site.
    fn site(&mut self, record: &Record<'_>, tenant: &Tenant) -> Option<&mut Site> {
        let precedent = self.precedents.get_mut(&tenant.number)?;
        Some(precedent.sites.entry(record.host.site.clone()).or_default())
    }

    /// The span of instants around `instant`, end excluded, in which registry and pack say the same.
    pub(crate) fn steady(&self, instant: u64) -> (u64, u64) {
        let (registry, pack) = (
            self.registry.steady(instant),
            timeline::steady(self.packs.newest().instants(), instant),
        );
        (registry.0.max(pack.0), registry.1.min(pack.1))
    }

    /// What a pack is told of a device.
    pub(crate) fn ware(&self, model: Model, site: &str) -> DeviceFacts {
        let row = self.table.of(model);
        let name = row.and_then(|row| row.names.first());
        DeviceFacts {
            class: model.class,
            model: name.cloned().unwrap_or_default(),
            tpp: row.and_then(|row| row.tpp),
            memory_bandwidth: row.and_then(|row| row.mem_bw),
            site: site.to_owned(),
            // The log does not say where a site is.
            country: None,
        }
    }
}
