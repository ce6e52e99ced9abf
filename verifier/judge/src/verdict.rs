//! The verdict by now: findings and figures of all that was heard.

use affiant_proto::Digest;

use crate::{
    Judge,
    accounting::Amount,
    coverage::Gap,
    darkness::Name,
    episodes::{Episode, Episodes, Key},
    figures::{DeviceStatus, Figures, HostFigures, HostStatus},
    findings::{Finding, Known, RULES_VERSION, Rule, Subject},
    hosts::{Host, HostState, Placed},
    record::first,
    rules::{self, Asked, Breach},
    timeline::Moment,
    uses,
    whereabouts::Meeting,
};

impl Judge {
    /// All findings that count by now, by (opened, rule, id).
    ///
    /// What was known when the evidence was logged stands for good. What only later events make
    /// known is found anew from all that tenants used, and marked [`Known::Later`].
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.found();
        findings.retain(|finding| !finding.shadow);
        findings
    }

    /// What policies in shadow find, in the same order: it counts for nothing.
    pub fn tried(&self) -> Vec<Finding> {
        let mut findings = self.found();
        findings.retain(|finding| finding.shadow);
        findings
    }

    fn found(&self) -> Vec<Finding> {
        let mut episodes = self.episodes.clone();
        for (chain, gap) in self.coverage.silences() {
            episodes.add(self.gap_key(*chain), self.gap_episode(*chain, &gap));
        }
        for (chain, index, spans) in self.coverage.rests() {
            let names = self.hosts.get(chain).map(|host| host.names(*chain));
            let names = names.unwrap_or_default();
            let beyond = names.iter();
            let beyond = beyond.map(|name| self.darkness.would_exceed(name, &spans));
            let beyond = beyond.collect();
            for (key, episode) in self.rested(*chain, (index, index), names, beyond) {
                episodes.add(key, episode);
            }
        }
        for (key, episode) in self.frozen() {
            episodes.add(key, episode);
        }
        for (key, episode) in self.misplaced() {
            episodes.add(key, episode);
        }
        for seen in self.unrounded() {
            episodes.add(seen.key, seen.episode);
        }
        for met in self.whereabouts.doubled() {
            let (key, episode) = self.meeting(&met);
            episodes.add(key, episode);
        }
        let reached = |span: &uses::Span| {
            let reach = self.registry.reaches_back_to(span.last_index);
            reach.is_some_and(|reach| reach <= span.last_from_ms)
        };
        // A span ends where a pack gives way to another.
        let asked: Vec<(u64, Asked<'_>)> = self
            .packs
            .all()
            .map(|(from, pack)| (from, Asked::of(pack)))
            .collect();
        for (of, span) in self.uses.choose(reached) {
            let by_then = asked
                .iter()
                .rev()
                .find(|(from, _)| *from <= span.last_index);
            if let Some((_, asked)) = by_then {
                self.judge_again(&mut episodes, of, span, asked);
            }
        }
        let mut findings = episodes.findings(self.clock_ms.min(self.period.1));
        for finding in &mut findings {
            let is_one = |officers: &_| self.registry.one_person(officers, u64::MAX).is_some();
            let called = |chain: &str| self.officer_name(chain);
            finding.handling = self.acts.of(finding, is_one, called);
        }
        findings
    }

    /// All figures by now.
    pub fn figures(&self) -> Figures {
        let hosts = self.hosts.iter().map(|(chain, host)| {
            let counted = self.coverage.counted(chain);
            HostFigures {
                chain: Digest::new(*chain).to_string(),
                host: host.name.clone(),
                site: host.site.clone(),
                state: self.state(chain, host),
                records: counted.records,
                expected_ms: Amount(counted.expected_ms),
                recorded_ms: Amount(counted.recorded_ms),
                hole_ms: Amount(counted.hole_ms),
                planned_ms: Amount(counted.planned_ms),
                lost_ms: Amount(host.lost_ms),
            }
        });
        Figures {
            rules_version: RULES_VERSION.to_owned(),
            records: self.records,
            lines_withheld: self.lines_withheld,
            lines_lost: self.lines_lost,
            tenants: self.accounts.tenants(),
            classes: self.accounts.classes(),
            hosts: hosts.collect(),
            dark: self.darkness.devices(),
            inventory: self.declared(),
            not_judged: self.not_judged.clone(),
            notes: self.notes.clone(),
            notes_left_out: self.notes_left_out,
        }
    }

    /// All hosts as they stand, by chain, with their devices.
    pub fn hosts(&self) -> Vec<HostStatus> {
        let status = self.hosts.iter().map(|(chain, host)| {
            let counted = self.coverage.counted(chain);
            HostStatus {
                chain: Digest::new(*chain).to_string(),
                host: host.name.clone(),
                site: host.site.clone(),
                agent_version: host.agent_version.clone(),
                state: self.state(chain, host),
                records: counted.records,
                covered_to_unix_ms: counted.covered_to_ms,
                silent_since_unix_ms: counted.silent_since_ms,
                resting_since_unix_ms: counted.resting_since_ms,
                planned_ms: Amount(counted.planned_ms),
                devices: host
                    .devices()
                    .map(|placed| placed.map(|placed| self.device(placed)))
                    .collect(),
            }
        });
        status.collect()
    }

    /// How a host stands now: a maintenance whose end has passed is over.
    fn state(&self, chain: &[u8; 32], host: &Host) -> HostState {
        match host.state {
            HostState::Maintenance if !self.coverage.is_maintained(chain) => HostState::Approved,
            state => state,
        }
    }

    /// Observations that a host's planned silence was beyond what a day excuses its devices:
    /// `beyond` has the span of each of `names`, for which it was.
    pub(crate) fn rested(
        &self,
        chain: [u8; 32],
        indices: (u64, u64),
        names: Vec<Name>,
        beyond: Vec<Option<(u64, u64)>>,
    ) -> Vec<(Key, Episode)> {
        let Some(host) = self.hosts.get(&chain) else {
            return Vec::new();
        };
        let devices = names.len();
        let over: Vec<_> = names
            .into_iter()
            .zip(beyond)
            .filter_map(|(name, span)| Some((name, span?)))
            .collect();
        let observed = |subject, span| {
            let key = Key {
                cause: Rule::PlannedSilenceExceeded.into(),
                subject,
                known: Known::Then,
            };
            let episode = Episode::new(indices, span, self.clock_ms, 1);
            let why = "no record arrived: maintenance by the operator";
            (key, episode.with(why, &host.name, None))
        };
        if over.len() == devices {
            let all = over.iter().map(|(_, span)| *span);
            let all = all.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)));
            let subject = Subject::AllDevices(host.name.clone(), chain);
            return all
                .map(|span| observed(subject, span))
                .into_iter()
                .collect();
        }
        let one = |(name, span): (Name, (u64, u64))| {
            let (Name::Uuid(device) | Name::Place(_, device)) = name;
            observed(Subject::Device(host.name.clone(), chain, device), span)
        };
        over.into_iter().map(one).collect()
    }

    fn device(&self, placed: &Placed) -> DeviceStatus {
        let row = self.table.row(&placed.device);
        DeviceStatus {
            uuid: placed.device.uuid.clone(),
            model: placed.device.model.clone(),
            class: placed.model.class,
            tpp: row.and_then(|row| row.tpp),
            source: row.map(|row| row.source.clone()).unwrap_or_default(),
        }
    }

    /// Judges a span again, by all that the log came to say; the rules that were broken as known
    /// then stand already. What was logged later counts for records that began after it took
    /// effect: where it falls into a record, the order of the log decides.
    fn judge_again(
        &self,
        episodes: &mut Episodes,
        of: uses::Use<'_>,
        span: &uses::Span,
        asked: &Asked<'_>,
    ) {
        let site = self.hosts.get(&of.chain);
        let site = site.map_or("", |host| host.site.as_str());
        let breaches = |instant| {
            // By the end of the span: two that grew together had other knowledge at their begins, and what
            // permits does so from its inclusion in any case.
            let at = Moment::as_known_now(span.last_index, instant);
            let standing = self.registry.standing(of.tenant, at);
            let mut breaches: Vec<Breach> = Vec::new();
            for model in of.models {
                let ware = self.ware(*model, site);
                for breach in rules::judge(&standing, &ware, instant, asked) {
                    if !of.broken.contains(&breach.cause) && !breaches.contains(&breach) {
                        breaches.push(breach);
                    }
                }
            }
            breaches
        };
        for breach in breaches(span.last_from_ms) {
            let breaks = |instant| {
                breaches(instant)
                    .iter()
                    .any(|other| other.cause == breach.cause)
            };
            let from = first(span.from_ms, span.last_from_ms, breaks);
            let indices = (span.first_index, span.last_index);
            let subject = Subject::Tenant(of.tenant.to_owned());
            let host = self
                .hosts
                .get(&of.chain)
                .map_or("", |host| host.name.as_str());
            let episode = Episode::new(indices, (from, span.to_ms), self.clock_ms, span.records);
            let episode = episode.with(&breach.detail, host, Some(of.class));
            episodes.add(
                Key {
                    cause: breach.cause,
                    subject,
                    known: Known::Later,
                },
                episode,
            );
        }
    }

    /// The observation that a device is in two hosts, at once or one after the other.
    pub(crate) fn meeting(&self, met: &Meeting) -> (Key, Episode) {
        let Meeting {
            device,
            earlier,
            later,
            both_ms,
        } = met;
        let (rule, span, detail) = match both_ms {
            Some(span) => {
                let detail = format!("recorded by hosts {} and {}", earlier.host, later.host);
                (Rule::DeviceDuplicate, *span, detail)
            }
            None => {
                let detail = format!("from host {} to host {}", earlier.host, later.host);
                (Rule::DeviceMoved, (later.from_ms, later.from_ms), detail)
            }
        };
        let subject = Subject::Device(later.host.clone(), later.chain, device.clone());
        let indices = (earlier.first_index, later.first_index);
        let mut episode = Episode::new(indices, span, self.clock_ms, 1);
        for host in [&earlier.host, &later.host] {
            episode.tell(&detail, host, None);
        }
        let key = Key {
            cause: rule.into(),
            subject,
            known: Known::Then,
        };
        (key, episode)
    }

    pub(crate) fn gap_key(&self, chain: [u8; 32]) -> Key {
        let name = self
            .hosts
            .get(&chain)
            .map_or_else(String::new, |host| host.name.clone());
        Key {
            cause: Rule::UsageGap.into(),
            subject: Subject::Host(name, chain),
            known: Known::Then,
        }
    }

    pub(crate) fn gap_episode(&self, chain: [u8; 32], gap: &Gap) -> Episode {
        let host = self.hosts.get(&chain).map_or("", |host| host.name.as_str());
        let (indices, span) = ((gap.first_index, gap.last_index), (gap.from_ms, gap.to_ms));
        Episode::new(indices, span, self.clock_ms, 1).with(gap.why, host, None)
    }
}
