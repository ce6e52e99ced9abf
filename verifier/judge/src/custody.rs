//! What chains and the log say of their own unbrokenness: each break was signed, and is a finding.

use affiant_proto::v1;

use crate::{
    Judge,
    episodes::{Episode, Key},
    findings::{Known, Rule, Severity, Subject},
};

/// Rules of a host's `observation` that say that the log contradicts itself.
const CONTRADICTED: [&str; 3] = ["LOG_WENT_BACK", "LOG_FORKED", "LOG_LACKS_RECORD"];

impl Judge {
    /// Takes a `gap`: records of a chain that were lost, or lines of records that stand.
    pub fn gap(&mut self, index: u64, chain: [u8; 32], gap: &v1::Gap) {
        let count = gap.last.saturating_sub(gap.first).saturating_add(1);
        let reason = quoted(&gap.reason);
        if gap.lines {
            self.lines_lost(index, chain, gap, &reason);
        } else {
            let detail = format!(
                "{count} statements are lost, {} to {}{reason}",
                gap.first, gap.last
            );
            self.observe_host(index, chain, Rule::RecordsLost, &detail);
        }
    }

    fn lines_lost(&mut self, index: u64, chain: [u8; 32], gap: &v1::Gap, reason: &str) {
        let lost = self.bare.take(chain, (gap.first, gap.last));
        self.lines_lost = self.lines_lost.saturating_add(lost.lines);
        let mut used_ms = 0;
        for (class, parts) in &lost.classes {
            self.accounts.lost(*class, parts);
            used_ms += parts.attributed_ms;
        }
        let host = self.hosts.of(chain);
        host.lost_ms = host.lost_ms.saturating_add(used_ms);
        let name = host.name.clone();
        // What is lost of the period counts whenever the host says so.
        if lost.records == 0 && !self.in_period() {
            return;
        }
        let detail = format!(
            "the lines of statements {} to {} were let go{reason}",
            gap.first, gap.last
        );
        let span = lost.span_ms.unwrap_or((self.clock_ms, self.clock_ms));
        let first = lost.first_index.unwrap_or(index);
        let count = lost.records.max(1);
        let episode = Episode::new((first, index), span, self.clock_ms, count);
        let mut episode = episode.with(&detail, &name, None);
        for class in lost.classes.keys() {
            episode.tell(&detail, &name, Some(*class));
        }
        self.observe(Rule::LinesLost, Subject::Host(name, chain), episode);
    }

    /// Takes a `chain-restart`: the host's disk no longer had what the log has.
    pub fn chain_restart(&mut self, index: u64, chain: [u8; 32], restart: &v1::ChainRestart) {
        let detail = format!(
            "its disk stood at statement {}, the log at {}{}",
            restart.restored_sequence,
            restart.adopted_sequence,
            quoted(&restart.reason)
        );
        self.observe_host(index, chain, Rule::ChainRestart, &detail);
    }

    /// Takes a `fork`: nothing more of its chain is admitted.
    pub fn fork(&mut self, index: u64, fork: &v1::Fork) {
        let Ok(chain) = <[u8; 32]>::try_from(fork.chain.as_slice()) else {
            self.note(format!("fork at index {index} names no chain"));
            return;
        };
        let told = (index, self.clock_ms, fork.sequence);
        self.forks.entry(chain).or_insert(told);
        let detail = forked(fork.sequence);
        self.observe_host(index, chain, Rule::ChainFork, &detail);
    }

    /// The forks of chains that are open: they last, for nothing more of them is admitted.
    pub(crate) fn frozen(&self) -> impl Iterator<Item = (Key, Episode)> {
        let open = |chain: &&[u8; 32]| {
            let host = self.hosts.get(chain);
            host.is_some_and(|host| host.state.is_live())
        };
        let open = self.forks.keys().filter(open);
        open.filter_map(|chain| self.frozen_until_now(*chain))
    }

    /// The fork of a chain, as lasting until now; it was counted when it was told of.
    pub(crate) fn frozen_until_now(&self, chain: [u8; 32]) -> Option<(Key, Episode)> {
        let (index, since, sequence) = *self.forks.get(&chain)?;
        let host = self.hosts.get(&chain)?;
        let (from, to) = self.period;
        if since > to || self.clock_ms < from {
            return None;
        }
        let span = (since, self.clock_ms.min(to));
        let episode = Episode::new((index, index), span, since, 0);
        let key = Key {
            cause: Rule::ChainFork.into(),
            subject: Subject::Host(host.name.clone(), chain),
            known: Known::Then,
        };
        Some((key, episode.with(&forked(sequence), &host.name, None)))
    }

    /// Takes an `observation`; says whether its rule is one that is judged.
    pub fn observation(
        &mut self,
        index: u64,
        chain: [u8; 32],
        observation: &v1::Observation,
    ) -> bool {
        let judged = CONTRADICTED.contains(&observation.rule.as_str());
        if judged {
            let detail = format!("{}{}", observation.rule, quoted(&observation.text));
            self.observe_host(index, chain, Rule::LogContradicted, &detail);
        }
        judged
    }

    /// Takes a `succession`: the log goes on in another generation.
    pub fn succession(&mut self, index: u64, succession: &v1::Succession) {
        let size = |reference: &Option<v1::CheckpointRef>| {
            reference.as_ref().map_or(0, |reference| reference.size)
        };
        let (kept, last) = (size(&succession.kept), size(&succession.last));
        self.windows.generation(&succession.origin, kept);
        let mut episode = self.told(index);
        let reason = quoted(&succession.reason);
        let detail = if last > kept {
            episode = episode.grave(Severity::High);
            format!(
                "entries {kept} to {} of the generation before are lost{reason}",
                last - 1
            )
        } else {
            format!("nothing is lost: all {kept} entries were kept{reason}")
        };
        let key = Key {
            cause: Rule::LogSuccession.into(),
            subject: Subject::Log(succession.origin.clone()),
            known: Known::Then,
        };
        if self.in_period() {
            self.episodes.add(key, episode.with(&detail, "", None));
        }
    }

    /// What one statement at `index` says at the log's time there.
    pub(crate) fn told(&self, index: u64) -> Episode {
        Episode::new(
            (index, index),
            (self.clock_ms, self.clock_ms),
            self.clock_ms,
            1,
        )
    }

    /// Whether what is logged now belongs to the period that is judged.
    pub(crate) fn in_period(&self) -> bool {
        let (from, to) = self.period;
        (from == 0 || self.clock_ms > from) && self.clock_ms <= to
    }

    fn observe_host(&mut self, index: u64, chain: [u8; 32], rule: Rule, detail: &str) {
        if self.in_period() {
            let name = self.hosts.share(chain).name.clone();
            let episode = self.told(index).with(detail, &name, None);
            self.observe(rule, Subject::Host(name, chain), episode);
        }
    }
}

fn forked(sequence: u64) -> String {
    format!("two statements were signed at sequence {sequence}")
}

/// Adds what somebody wrote, where they wrote anything.
pub(crate) fn quoted(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}
