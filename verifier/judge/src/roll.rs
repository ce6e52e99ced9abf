//! The roll of hosts: who may report, what is due of whom, and who takes whose place.

use affiant_proto::{
    Digest, Reenrolment,
    v1::{self, HostEventKind},
};

use crate::{
    Judge,
    coverage::Heard,
    custody::quoted,
    darkness::Name,
    findings::{Rule, Subject},
    hosts::HostState,
};

impl Judge {
    /// Takes an enrolment, `before` saying whether it has shown that it holds the key of the
    /// chain that it continues. Records are due from then on; of one that waits for approval they are due of the
    /// chain before it, until it is approved or reports.
    pub fn enrolment(
        &mut self,
        index: u64,
        chain: [u8; 32],
        enrolment: &v1::Enrolment,
        before: Reenrolment,
    ) {
        self.ownership.forget(&chain);
        if self.hosts.enrol(chain, enrolment, before) == HostState::Enrolled {
            self.open(
                chain,
                index,
                HostState::Enrolled,
                "proved by the old chain's key",
            );
        }
    }

    /// Takes an event of a host; it works from its inclusion.
    pub fn host_event(&mut self, index: u64, event: &v1::HostEvent) {
        let kind = HostEventKind::try_from(event.kind).unwrap_or_default();
        let Ok(chain) = <[u8; 32]>::try_from(event.host_chain.as_slice()) else {
            self.note(format!("host event at index {index} names no chain"));
            return;
        };
        if self.relays.contains(&chain) {
            self.note(format!("host event at index {index} names a relay"));
            return;
        }
        let state = match kind {
            HostEventKind::Unspecified => {
                self.note(format!(
                    "host event at index {index} is of no kind that is defined"
                ));
                return;
            }
            HostEventKind::Approve => HostState::Approved,
            HostEventKind::Evict => HostState::Evicted,
            HostEventKind::Ban => HostState::Banned,
            HostEventKind::Retire => HostState::Retired,
            HostEventKind::Maintenance => HostState::Maintenance,
            HostEventKind::Transfer => HostState::Transferred,
        };
        // A ban is for good: nothing that follows takes it back.
        if self.hosts.of(chain).state == HostState::Banned {
            return;
        }
        match state {
            HostState::Approved => {
                self.open(chain, index, HostState::Approved, "approved by an operator");
            }
            HostState::Maintenance => self.maintain(chain, index, event.until_unix_ms),
            _ => {
                if self.hosts.of(chain).state.is_live() {
                    self.thaw(chain);
                }
                self.hosts.of(chain).state = state;
                let heard = self.coverage.end(chain, index);
                self.heard(chain, index, &heard);
                self.see_devices(index, chain);
            }
        }
    }

    /// A record of a chain that was not free to report says that it is, as far as is shown.
    pub(crate) fn succeed(&mut self, chain: [u8; 32], index: u64) {
        let state = self.hosts.get(&chain).map(|host| host.state);
        // One that nobody has told of is pending too.
        if state.is_none_or(|state| state == HostState::Pending) {
            self.open(
                chain,
                index,
                HostState::Approved,
                "its approval is not shown",
            );
        }
    }

    /// Lets a chain report; of those that are over by it, each that nobody had ended is a finding.
    fn open(&mut self, chain: [u8; 32], index: u64, state: HostState, by: &str) {
        for (old, stood) in self.hosts.open(chain, state) {
            let heard = self.coverage.inherit(chain, index, old);
            self.heard(old, index, &heard);
            self.see_devices(index, old);
            if stood.is_live() {
                self.thaw(old);
            }
            if stood.is_live() && self.in_period() {
                let host = self.hosts.share(chain);
                let why = quoted(host.why_anew());
                let detail = format!("in place of chain {}, {by}{why}", Digest::new(old));
                let episode = self.told(index).with(&detail, &host.name, None);
                let subject = Subject::Host(host.name.clone(), chain);
                self.observe(Rule::ReEnrolled, subject, episode);
            }
        }
        self.coverage.expect(chain, index);
        self.see_devices(index, chain);
    }

    /// Ends the fork of a chain, which nothing follows any more.
    pub(crate) fn thaw(&mut self, chain: [u8; 32]) {
        if let Some((key, episode)) = self.frozen_until_now(chain) {
            self.episodes.add(key, episode);
        }
    }

    /// Takes silence of a host as planned; of one that owes no records there is none.
    fn maintain(&mut self, chain: [u8; 32], index: u64, until_ms: Option<u64>) {
        if !self.hosts.of(chain).state.is_live() {
            self.note(format!(
                "maintenance at index {index} is of a host that is not open"
            ));
            return;
        }
        let gap = self.coverage.maintain(chain, index, until_ms);
        let heard = Heard {
            gaps: gap.into_iter().collect(),
            ..Heard::default()
        };
        self.heard(chain, index, &heard);
        self.hosts.of(chain).state = HostState::Maintenance;
    }

    /// Takes what coverage found at log index `index`.
    pub(crate) fn heard(&mut self, chain: [u8; 32], index: u64, heard: &Heard) {
        if heard.gaps.is_empty() && heard.planned.is_empty() && !heard.back {
            return;
        }
        for gap in &heard.gaps {
            let episode = self.gap_episode(chain, gap);
            self.episodes.add(self.gap_key(chain), episode);
        }
        let host = self.hosts.of(chain);
        if heard.back && host.state == HostState::Maintenance {
            host.state = HostState::Approved;
        }
        if !heard.planned.is_empty() {
            let names = self.hosts.of(chain).names(chain);
            let mut rest = |name: &Name| {
                let spans = heard.planned.iter();
                spans
                    .filter_map(|span| self.darkness.rest(name.clone(), *span))
                    .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
            };
            let beyond = names.iter().map(&mut rest).collect();
            let found = self.rested(chain, (index, index), names, beyond);
            for (key, episode) in found {
                self.episodes.add(key, episode);
            }
        }
    }
}
