//! The hearing of one usage record: each line's owner, each use's breaches, each device's darkness.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use affiant_proto::v1::{self, LineKind};

use crate::{
    Answer, Judge,
    accounting::{At, Share, Sum},
    approval::Vetting,
    bare::Parts,
    books::Load,
    caps::{Bounds, Ceilings},
    coverage::Heard,
    devices::{Class, Model},
    episodes::{Episode, Key},
    findings::{Cause, Known, Rule, Subject},
    matching::{Bindings, Match},
    policy::DeviceFacts,
    record::{Owner, Record, is_use, words},
    rules::{self, Asked, Breach},
    timeline::{self, Moment},
    uses,
    whereabouts::Sighting,
};

/// What says whose a line is, and where its time goes: kind, workload, reason and class.
type Kind = (i32, Option<u32>, i32, Class);

/// Shown lines of one owner and class, all planned or none.
#[derive(Clone, Debug)]
struct Heap {
    owner: Owner,
    class: Class,
    planned: bool,
    sum: Sum,
    load: Load,
    /// Models of device of those that are use.
    used: BTreeSet<Model>,
}

impl Judge {
    /// Takes a usage record with its totals and its lines from leaf 1 on, `None` for one that is
    /// withheld.
    pub fn usage(
        &mut self,
        index: u64,
        chain: [u8; 32],
        sequence: u64,
        usage: &v1::Usage,
        totals: &v1::Totals,
        lines: &[Option<v1::UsageLine>],
    ) {
        if usage.wall_end_ms <= self.period.0 || usage.wall_end_ms > self.period.1 {
            return;
        }
        self.succeed(chain, index);
        let interval = (usage.wall_start_ms, usage.wall_end_ms);
        let heard = self.coverage.record(chain, index, interval.0, interval.1);
        self.heard(chain, index, &heard);
        let host = self.hosts.share(chain);
        if !host.state.is_live() {
            // A late record of a host that is over makes no further one due.
            self.coverage.end(chain, index);
        }
        let record = Record {
            host: &host,
            placed: host.inventory(usage.inventory),
            chain,
            index,
            usage,
        };
        self.locate(&record);
        let late = self.late(&record);
        self.records = self.records.saturating_add(1);
        let withheld = lines.iter().filter(|line| line.is_none()).count();
        self.lines_withheld = self.lines_withheld.saturating_add(withheld as u64);

        for (place, parts) in (0_u32..).zip(&totals.devices) {
            self.accounts.device(record.class(place), parts);
        }
        if withheld > 0 && withheld == lines.len() {
            let mut classes: BTreeMap<Class, Parts> = BTreeMap::new();
            for (place, parts) in (0_u32..).zip(&totals.devices) {
                let class = record.class(place);
                classes.entry(class).or_default().add(Parts::of(parts));
            }
            let place = (sequence, index);
            self.bare
                .add(chain, place, interval, withheld as u64, classes);
        }
        self.dark(&record, totals, lines, &heard);
        let mut used: BTreeMap<Arc<str>, (BTreeSet<Model>, Load)> = BTreeMap::new();
        let mut nobodys: Option<Episode> = None;
        let at = At {
            index,
            chain,
            inventory: (usage.inventory, host.listed()),
        };
        for heap in self.heaps(&record, lines) {
            let share = match &heap.owner {
                Owner::Tenant(tenant) => Share::Tenant(tenant),
                Owner::Nobody(_) => Share::Unattributed,
                Owner::Idle => Share::Idle,
                Owner::NotObserved => Share::NotObserved {
                    planned: heap.planned,
                },
                Owner::NotShown => continue,
            };
            let named = |place| record.device(place);
            self.accounts.lines(at, heap.class, share, &heap.sum, named);
            match heap.owner {
                Owner::Tenant(tenant) if !heap.used.is_empty() => {
                    let of = used.entry(tenant).or_default();
                    of.0.extend(heap.used);
                    of.1.add(&heap.load);
                }
                Owner::Nobody(why) if !heap.used.is_empty() && self.matching => {
                    let new = || record.observed(self.clock_ms);
                    nobodys
                        .get_or_insert_with(new)
                        .tell(&why, &record.host.name, Some(heap.class));
                }
                _ => {}
            }
        }
        if let Some(episode) = nobodys {
            self.observe(Rule::UseUnattributed, record.subject(), episode);
        }
        for (tenant, (models, mut load)) in used {
            let (broken, bounds) = self.judge_use(&record, &tenant, models);
            load.alone(interval, totals.devices.len());
            if let Some(bounds) = bounds {
                self.cap(&record, &tenant, bounds, &load);
            }
            if let Some(window) = late {
                self.establish(&record, window, &tenant, &broken);
            }
        }
    }

    /// Puts lines together that have owner and class in common.
    fn heaps(&mut self, record: &Record<'_>, lines: &[Option<v1::UsageLine>]) -> Vec<Heap> {
        let workloads = record.usage.workloads;
        let moment = (record.index, record.instant());
        let mut known = match self.matching {
            true => Some(
                self.ownership
                    .of(record.chain, workloads, &self.bindings, moment),
            ),
            false => None,
        };
        let mut heaps: Vec<Heap> = Vec::with_capacity(4);
        // Whose a workload is is the same on every line of one record, and dear to find.
        let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
        let mut owners: BTreeMap<(Owner, Class, bool), usize> = BTreeMap::new();
        for line in lines.iter().flatten() {
            let model = record.model(line.device);
            let class = model.class;
            let kind = (line.kind, line.workload, line.reason, class);
            let place = *kinds.entry(kind).or_insert_with(|| {
                let owner = match &mut known {
                    Some(known) => owner(record, line, &self.bindings, known),
                    None => unmatched(line),
                };
                let planned = rules::is_planned(line.reason());
                let shared = owners.entry((owner.clone(), class, planned));
                *shared.or_insert_with(|| {
                    heaps.push(Heap {
                        owner,
                        class,
                        planned,
                        sum: Sum::default(),
                        load: Load::default(),
                        used: BTreeSet::new(),
                    });
                    heaps.len() - 1
                })
            });
            if let Some(heap) = heaps.get_mut(place) {
                heap.sum.add(line);
                heap.load.line(line, model.tpp);
                if is_use(line) {
                    heap.used.insert(model);
                }
            }
        }
        heaps
    }

    /// Follows the devices of a record to where they were before.
    fn locate(&mut self, record: &Record<'_>) {
        let seen = Sighting {
            chain: record.chain,
            inventory: record.usage.inventory,
            from_ms: record.usage.wall_start_ms,
            to_ms: record.usage.wall_end_ms,
            index: record.index,
        };
        let listed = || record.host.uuids(record.usage.inventory);
        for met in self.whereabouts.record(seen, &record.host.name, listed) {
            let (key, episode) = self.meeting(&met);
            self.episodes.add(key, episode);
        }
    }

    /// Judges a use as known then; gives what it breaks, by model of device, and what bounds it.
    fn judge_use(
        &mut self,
        record: &Record<'_>,
        tenant: &str,
        models: BTreeSet<Model>,
    ) -> (BTreeMap<Model, BTreeSet<Cause>>, Option<Bounds>) {
        let (mut all, mut bounds) = (BTreeMap::new(), None);
        // One record is one piece of evidence, whatever classes of device were used in it.
        let mut found: BTreeMap<Cause, Episode> = BTreeMap::new();
        let mut kinds = BTreeMap::new();
        for model in models {
            let (breaches, bound) = self.breaches(record, tenant, model);
            bounds = bound.or(bounds);
            for breach in breaches.iter() {
                let told = Some(model.class);
                if let Some(episode) = found.get_mut(&breach.cause) {
                    episode.tell(&breach.detail, &record.host.name, told);
                    continue;
                }
                let episode = record.observed(self.clock_ms);
                let episode = episode.with(&breach.detail, &record.host.name, told);
                found.insert(breach.cause.clone(), episode);
            }
            let causes = breaches.iter().map(|breach| breach.cause.clone());
            let broken: BTreeSet<_> = causes.collect();
            all.insert(model, broken.clone());
            let alike: &mut BTreeSet<Model> = kinds.entry((model.class, broken)).or_default();
            alike.insert(model);
        }
        for ((class, broken), models) in kinds {
            let kind = uses::Kind {
                class,
                models,
                broken,
            };
            let interval = (record.usage.wall_start_ms, record.usage.wall_end_ms);
            self.uses.add(
                tenant,
                record.chain,
                kind,
                record.index,
                interval,
                self.registry.revision(),
            );
        }
        for (cause, episode) in found {
            self.observe(cause, Subject::Tenant(tenant.to_owned()), episode);
        }
        (all, bounds)
    }

    /// What the use of a model at the record's site breaks, and what bounds the tenant's use. Registry and
    /// pack are asked once for as long as neither their knowledge nor what it says of the instant changes.
    fn breaches(
        &mut self,
        record: &Record<'_>,
        tenant: &str,
        model: Model,
    ) -> (Arc<[Breach]>, Option<Bounds>) {
        let (instant, site) = (record.instant(), record.host.site.as_str());
        let revision = self.registry.revision();
        let holds = |answer: &&Answer| {
            let (from, to) = answer.steady;
            answer.revision == revision && from <= instant && instant < to
        };
        if let Some(answer) = self.answers.get(tenant).filter(holds) {
            let known = answer.breaches.get(site).and_then(|of| of.get(&model));
            if let Some(known) = known {
                return (Arc::clone(known), Some(answer.bounds));
            }
        } else {
            let at = Moment::as_known_then(record.index, instant);
            let standing = self.registry.standing(tenant, at);
            for unknown in &standing.unknown {
                self.note(format!(
                    "tenant {tenant}: headquarters of {unknown} not known"
                ));
            }
            for list in &standing.screened.unread {
                self.note(format!(
                    "tenant {tenant}: not screened against list {list}, whose file is not at hand"
                ));
            }
            let days = self.packs.newest().parameters().hit_days();
            let (all, age) = (
                self.steady(instant),
                standing.screened.steady(instant, days),
            );
            let bounds = Bounds {
                number: self.books.number(tenant),
                ceilings: Ceilings::of(Some(&standing), self.packs.of(record.index)),
                is_approved: matches!(standing.vetting, Vetting::Approved(_)),
            };
            self.books.bind(bounds.number, bounds.ceilings);
            let answer = Answer {
                revision,
                bounds,
                steady: (all.0.max(age.0), all.1.min(age.1)),
                standing,
                breaches: BTreeMap::new(),
            };
            self.answers.insert(tenant.to_owned(), answer);
        }
        let Some(answer) = self.answers.get(tenant) else {
            return (Arc::new([]), None);
        };
        let bounds = answer.bounds;
        let ware = self.ware(model, site);
        let asked = Asked::of(self.packs.of(record.index));
        let found: Arc<[Breach]> = rules::judge(&answer.standing, &ware, instant, &asked).into();
        if let Some(answer) = self.answers.get_mut(tenant) {
            let of = answer.breaches.entry(site.to_owned()).or_default();
            of.insert(model, Arc::clone(&found));
        }
        (found, Some(bounds))
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

    /// Finds devices that went unobserved, and those of which a day's plans excuse no more.
    ///
    /// What an operator's maintenance covers is planned, whatever reason the agent knows.
    fn dark(
        &mut self,
        record: &Record<'_>,
        totals: &v1::Totals,
        lines: &[Option<v1::UsageLine>],
        heard: &Heard,
    ) {
        let (mut dark, mut beyond) = (Vec::new(), Vec::new());
        for (place, parts) in (0_u32..).zip(&totals.devices) {
            if parts.not_observed_ms == 0 {
                continue;
            }
            let of_device = lines.iter().flatten().filter(|line| line.device == place);
            let mut told = rules::unobserved(parts, of_device);
            let excused = told.unplanned_ms.min(heard.excused_ms);
            told.unplanned_ms -= excused;
            told.planned_ms = told.planned_ms.saturating_add(excused);
            if excused > 0 {
                told.plans.push("maintenance by the operator".to_owned());
            }
            let dark_ms = (told.unplanned_ms, told.planned_ms);
            let name = record.name(place);
            let over = self
                .darkness
                .record(record.chain, name, dark_ms, heard.covered_to_ms);
            if over.is_some() {
                beyond.push((place, told.plans));
            }
            if told.unplanned_ms > self.parameters.not_observed_grace_ms {
                dark.push((place, told.why));
            }
        }
        let devices = totals.devices.len();
        self.of_devices(record, Rule::UsageGap, devices, dark);
        self.of_devices(record, Rule::PlannedSilenceExceeded, devices, beyond);
    }

    /// Observes a rule of devices of a record; all at once are the host's, some are their own.
    fn of_devices(
        &mut self,
        record: &Record<'_>,
        rule: Rule,
        devices: usize,
        of: Vec<(u32, Vec<String>)>,
    ) {
        let all = of.len() == devices && devices > 1;
        let mut together: Option<Episode> = None;
        for (place, why) in of {
            let mut episode = record.observed(self.clock_ms);
            let told = if all {
                together.get_or_insert(episode.clone())
            } else {
                &mut episode
            };
            for why in why {
                told.tell(&why, &record.host.name, Some(record.class(place)));
            }
            if !all {
                let name = record.host.name.clone();
                let subject =
                    Subject::Device(name, record.chain, record.device(place).into_owned());
                self.observe(rule, subject, episode);
            }
        }
        if let Some(episode) = together {
            let subject = Subject::AllDevices(record.host.name.clone(), record.chain);
            self.observe(rule, subject, episode);
        }
    }

    pub(crate) fn observe(&mut self, cause: impl Into<Cause>, subject: Subject, episode: Episode) {
        self.episodes.add(
            Key {
                cause: cause.into(),
                subject,
                known: Known::Then,
            },
            episode,
        );
    }
}

/// Whose a line is where nobody is asked.
fn unmatched(line: &v1::UsageLine) -> Owner {
    match line.kind() {
        LineKind::Idle => Owner::Idle,
        LineKind::NotObserved => Owner::NotObserved,
        _ => Owner::Nobody("not asked".into()),
    }
}

/// Says whose the time of a line is, by what is `known` of its host's workloads where that is there.
/// Not shown is nobody's to tell, and so withheld.
fn owner(
    record: &Record<'_>,
    line: &v1::UsageLine,
    bindings: &Bindings,
    known: &mut BTreeMap<u32, Owner>,
) -> Owner {
    match LineKind::try_from(line.kind).unwrap_or_default() {
        LineKind::Idle => return Owner::Idle,
        LineKind::NotObserved => return Owner::NotObserved,
        LineKind::Unattributed => {
            return Owner::Nobody("the agent could not place the processes".into());
        }
        LineKind::Unspecified | LineKind::Attributed => {}
    }
    let (Some(place), Some(workload)) = (line.workload, record.workload(line)) else {
        return Owner::NotShown;
    };
    let found = || {
        let host = record.host.name.as_str();
        match bindings.find(workload, host, record.index, record.usage.wall_end_ms) {
            Match::Tenant(tenant) => Owner::Tenant(tenant.into()),
            Match::None => Owner::Nobody(format!("no binding for {}", words(workload)).into()),
            Match::Ambiguous(tenants) => {
                let tenants: Vec<_> = tenants.into_iter().collect();
                let all = tenants.join(", ");
                Owner::Nobody(format!("bindings of {all} all match {}", words(workload)).into())
            }
        }
    };
    known.entry(place).or_insert_with(found).clone()
}
