//! A log in miniature: statements in order, heard by a judge as the server hears them.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::sync::Arc;

use affiant_judge::timeline::Moment;
use affiant_judge::{
    Finding, Judge, Parameters, Rule,
    policy::{self, Pack, PackFiles},
};
use affiant_proto::v1::{self, tenant_event::Body};

pub const HOST: [u8; 32] = [0xaa; 32];
pub const ANN: [u8; 32] = [1; 32];
pub const BO: [u8; 32] = [2; 32];
/// 2024-08-20, when the press told the story.
pub const START: u64 = 1_724_112_000_000;
pub const INTERVAL: u64 = 10_000;

pub struct Log {
    pub judge: Judge,
    pub index: u64,
    pub now: u64,
    sequence: u64,
    devices: usize,
}

impl Log {
    pub fn new(models: &[&str]) -> Self {
        Self::with(Judge::new(Parameters::default()), models)
    }

    pub fn with(judge: Judge, models: &[&str]) -> Self {
        let mut log = Self {
            judge,
            index: 0,
            now: START,
            sequence: 1,
            devices: models.len(),
        };
        let host = v1::Enrolment {
            host: "gpu-01".into(),
            site: "ashburn".into(),
            ..Default::default()
        };
        log.tick(0);
        let index = log.next();
        log.judge
            .enrolment(index, HOST, &host, affiant_proto::Reenrolment::First);
        log.host_event(v1::HostEventKind::Approve);
        let device = |(place, model): (usize, &&str)| {
            Some(v1::Device {
                uuid: format!("GPU-{place}"),
                model: (*model).into(),
                ..Default::default()
            })
        };
        let devices = models.iter().enumerate().map(device).collect();
        let index = log.next();
        log.judge.inventory(index, HOST, 1, devices);
        let workload = |namespace: &str| {
            Some(v1::Workload {
                namespace: namespace.into(),
                ..Default::default()
            })
        };
        let index = log.next();
        log.judge.workloads(
            index,
            HOST,
            2,
            vec![workload("szu"), workload("clear"), workload("stray"), None],
        );
        log
    }

    pub fn next(&mut self) -> u64 {
        self.index += 1;
        self.index
    }

    /// Lets the log's clock go on.
    pub fn tick(&mut self, ms: u64) {
        self.now += ms;
        let (index, now) = (self.next(), self.now);
        self.judge.clock(index, now);
    }

    pub fn host_event(&mut self, kind: v1::HostEventKind) {
        let event = v1::HostEvent {
            host_chain: HOST.to_vec(),
            kind: kind.into(),
            ..Default::default()
        };
        let index = self.next();
        self.judge.host_event(index, &event);
    }

    pub fn maintain(&mut self, until_unix_ms: Option<u64>) {
        let event = v1::HostEvent {
            host_chain: HOST.to_vec(),
            kind: v1::HostEventKind::Maintenance.into(),
            until_unix_ms,
            ..Default::default()
        };
        let index = self.next();
        self.judge.host_event(index, &event);
    }

    pub fn say_since(&mut self, effective_unix_ms: u64, body: Body) {
        let event = v1::TenantEvent {
            effective_unix_ms,
            body: Some(body),
            ..Default::default()
        };
        let index = self.next();
        self.judge.tenant_event(index, ANN, &event);
    }

    pub fn say(&mut self, body: Body) {
        self.say_since(self.now, body);
    }

    /// Opens an officer's chain under a name.
    pub fn officer(&mut self, chain: [u8; 32], name: &str) {
        let officer = v1::Officer {
            name: name.into(),
            ..Default::default()
        };
        let index = self.next();
        self.judge.officer(index, chain, &officer);
    }

    pub fn party(&mut self, id: &str, name: &str, headquarters: &str) {
        self.say(party(id, name, headquarters));
    }

    pub fn tenant(&mut self, tenant: v1::Tenant) {
        self.say(Body::Tenant(tenant));
    }

    pub fn state_since(&mut self, effective: u64, tenant: &str, state: v1::TenantState) {
        let change = v1::TenantStateChange {
            tenant: tenant.into(),
            state: state.into(),
            reason: String::new(),
        };
        self.say_since(effective, Body::State(change));
    }

    /// Both officers approve the dossier as it stands, with conditions where it has them.
    pub fn approve(&mut self, tenant: &str) {
        for officer in [ANN, BO] {
            self.decide(tenant, officer);
        }
    }

    pub fn decide(&mut self, tenant: &str, officer: [u8; 32]) {
        let dossier = self.judge.registry().dossier_digest(tenant).unwrap();
        let decision = v1::Decision {
            tenant: tenant.into(),
            dossier: dossier.as_bytes().to_vec(),
            verdict: v1::Verdict::Approve.into(),
            effective_unix_ms: self.now,
            ..Default::default()
        };
        let index = self.next();
        self.judge.decision(index, officer, &decision);
    }

    /// An officer decides on the first hit that there is.
    pub fn decide_hit(&mut self, officer: [u8; 32], verdict: v1::Verdict) {
        let at = Moment::as_known_now(u64::MAX, self.now);
        let screened = self.judge.registry().screened(at);
        let hit = screened.hits.first().unwrap();
        let decision = v1::Decision {
            verdict: verdict.into(),
            reason: "looked at".into(),
            effective_unix_ms: self.now,
            hit: Some(v1::HitDecision {
                party: hit.party.clone(),
                name: hit.name.clone(),
                list: hit.list.clone(),
                listed: hit.listed.clone(),
                class: hit.class.to_string(),
            }),
            ..Default::default()
        };
        let index = self.next();
        self.judge.decision(index, officer, &decision);
    }

    pub fn bind(&mut self, id: &str, tenant: &str, namespace: &str) {
        let binding = v1::Binding {
            id: id.into(),
            tenant: tenant.into(),
            namespace: namespace.into(),
            ..Default::default()
        };
        let effective_unix_ms = self.now;
        let event = v1::BindingEvent {
            effective_unix_ms,
            binding: Some(binding),
            ..Default::default()
        };
        let index = self.next();
        self.judge.binding_event(index, ANN, &event);
    }

    /// One interval goes by in which `workload` had every device; its record is logged.
    pub fn work(&mut self, workload: u32) {
        let lines = (0..self.devices).map(|device| Some(line(device, workload)));
        self.record(lines.collect());
    }

    /// One interval goes by; its record is logged with these lines, one a device.
    pub fn record(&mut self, lines: Vec<Option<v1::UsageLine>>) {
        self.tick(INTERVAL);
        let parts = |line: &Option<v1::UsageLine>| {
            let mut parts = v1::DeviceTotals {
                energy_mj: Some(3_000_000),
                ..Default::default()
            };
            let kind = line
                .as_ref()
                .map_or(v1::LineKind::Attributed, |line| line.kind());
            match kind {
                v1::LineKind::Idle => parts.idle_ms = INTERVAL,
                v1::LineKind::Unattributed => parts.unattributed_ms = INTERVAL,
                v1::LineKind::NotObserved => parts.not_observed_ms = INTERVAL,
                _ => parts.attributed_ms = INTERVAL,
            }
            parts
        };
        let totals = v1::Totals {
            devices: lines.iter().map(parts).collect(),
        };
        let usage = self.interval(self.now - INTERVAL, self.now);
        let (index, sequence) = (self.next(), self.sequence);
        self.judge
            .usage(index, HOST, sequence, &usage, &totals, &lines);
    }

    /// Some time goes by; its record is logged. `used` has devices with the workload that had them and the
    /// percentage of the time for which they were busy; all others were idle.
    pub fn spend(&mut self, ms: u64, used: &[(usize, u32, u64)]) {
        self.tick(ms);
        let mut totals = v1::Totals::default();
        let mut lines = Vec::new();
        for device in 0..self.devices {
            let by = used.iter().find(|(used, ..)| *used == device);
            let mut parts = v1::DeviceTotals::default();
            lines.push(Some(match by {
                Some((_, workload, busy)) => {
                    parts.attributed_ms = ms;
                    v1::UsageLine {
                        time_ms: ms,
                        allocated_ms: Some(ms),
                        busy_ms: Some(ms * busy / 100),
                        ..line(device, *workload)
                    }
                }
                None => {
                    parts.idle_ms = ms;
                    v1::UsageLine {
                        device: u32::try_from(device).unwrap(),
                        kind: v1::LineKind::Idle.into(),
                        time_ms: ms,
                        ..Default::default()
                    }
                }
            }));
            totals.devices.push(parts);
        }
        let usage = self.interval(self.now - ms, self.now);
        let (index, sequence) = (self.next(), self.sequence);
        self.judge
            .usage(index, HOST, sequence, &usage, &totals, &lines);
    }

    /// Sequence of the newest record.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    pub fn interval(&mut self, wall_start_ms: u64, wall_end_ms: u64) -> v1::Usage {
        self.sequence += 1;
        v1::Usage {
            boot: 1,
            wall_start_ms,
            wall_end_ms,
            inventory: 1,
            workloads: 2,
            ..Default::default()
        }
    }

    pub fn findings(&self) -> Vec<Finding> {
        self.judge.findings()
    }

    /// The findings of one rule.
    pub fn of(&self, rule: Rule) -> Vec<Finding> {
        let mut findings = self.findings();
        findings.retain(|finding| finding.rule == rule);
        findings
    }

    /// The rules of all findings that count, in order, each once.
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules: Vec<_> = self.findings().iter().map(|finding| finding.rule).collect();
        rules.sort();
        rules.dedup();
        rules
    }
}

/// A judge by the default pack with other limits.
pub fn with_limits(limits: &[(&str, u32)]) -> Judge {
    let files = policy::shipped_files().unwrap();
    let files = files.iter().map(|(name, text)| {
        let mut text = text.to_owned();
        for (limit, value) in limits.iter().filter(|_| name == "pack.toml") {
            let given = text
                .lines()
                .position(|line| line.starts_with(&format!("{limit} =")));
            let mut lines: Vec<&str> = text.lines().collect();
            let new = format!("{limit} = {value}");
            match given {
                Some(place) => lines[place] = &new,
                None => lines.push(&new),
            }
            text = lines.join("\n") + "\n";
        }
        (name.to_owned(), text.into_bytes())
    });
    let pack = Pack::read(&PackFiles::new(files).unwrap()).unwrap();
    Judge::new(Parameters::default()).with_pack(Arc::new(pack))
}

pub fn party(id: &str, name: &str, headquarters: &str) -> Body {
    let name = v1::PartyName {
        text: name.into(),
        ..Default::default()
    };
    Body::Party(v1::Party {
        id: id.into(),
        kind: v1::PartyKind::Organisation.into(),
        names: vec![name],
        headquarters: headquarters.into(),
        ..Default::default()
    })
}

pub fn owns(from: &str, to: &str) -> Body {
    Body::Edge(v1::Edge {
        from: from.into(),
        to: to.into(),
        kind: v1::EdgeKind::Owns.into(),
        ..Default::default()
    })
}

pub fn line(device: usize, workload: u32) -> v1::UsageLine {
    v1::UsageLine {
        device: u32::try_from(device).unwrap(),
        kind: v1::LineKind::Attributed.into(),
        workload: Some(workload),
        time_ms: INTERVAL,
        allocated_ms: Some(INTERVAL),
        busy_ms: Some(9_000),
        energy_mj: Some(3_000_000),
        samples: 10,
        ..Default::default()
    }
}
