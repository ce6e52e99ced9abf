//! The hearing of one usage record: each line's owner, each use's breaches, each device's darkness.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::v1::{self, LineKind};

use crate::{
    Judge,
    accounting::{At, Share, Sum},
    bare::Parts,
    books::{Books, Load},
    coverage::Heard,
    devices::{Class, Model},
    episodes::{Episode, Key},
    findings::{Cause, Known, Rule, Subject},
    matching::{Bindings, Match},
    record::{Owner, Record, Tenant, is_use, words},
    rules,
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
        let mut used: BTreeMap<Tenant, (BTreeSet<Model>, Load)> = BTreeMap::new();
        let mut nobodys: Option<Episode> = None;
        let at = At {
            index,
            chain,
            inventory: (usage.inventory, host.listed()),
        };
        for heap in self.heaps(&record, lines) {
            let share = match &heap.owner {
                Owner::Tenant(tenant) => Share::Tenant(&tenant.id),
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
            let (ruling, bounds) = self.judge_use(&record, &tenant, models);
            load.alone(interval, totals.devices.len());
            self.cap(&record, &tenant.id, bounds, &load);
            if let Some(window) = late {
                self.establish(&record, window, &tenant.id, ruling.broken());
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
                    Some(known) => owner(record, line, &self.bindings, &mut self.books, known),
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
    books: &mut Books,
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
            Match::Tenant(tenant) => Owner::Tenant(Tenant {
                number: books.number(&tenant),
                id: tenant.into(),
            }),
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
