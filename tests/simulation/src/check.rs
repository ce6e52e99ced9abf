//! The promises, held against what a run left on its disks and what was seen of it.
//!
//! 1. The log opens, and admits itself again from its genesis.
//! 2. Every record whose append returned is in the log, exactly once, in the order of its chain.
//! 3. What a host was told is INCLUDED is there, where it was said to be.
//! 4. Every checkpoint that anybody saw is a prefix of the log as it ended.
//! 5. Time is whole: intervals of a boot abut, unless a `gap` or `chain-restart` says why not.
//! 6. The findings are those of a calm run over the same measurements.

use std::{collections::BTreeMap, sync::Arc};

use affiant_agent::{deployment::Deployment, spool::Spool};
use affiant_judge::{
    Finding, Judge,
    docket::{self, Docket},
    findings::Rule,
    parameters::Parameters,
};
use affiant_proto::{
    Body, Digest, Envelope, Statement,
    tlog::{Hash, MemoryTree, leaf_hash},
};
use affiant_verifier::{
    ledger::{Entry, LocalDisk},
    open::Opened,
};

use crate::{
    agent::Host,
    time::{Clocks, EPOCH_MS},
    verifier::{self, SOURCES},
    world::{Seen, World},
};

type Failed = Box<dyn std::error::Error>;

/// What a run left, for people and for tests that want to know that something happened at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries of the log.
    pub entries: u64,
    /// Records of hosts in it.
    pub records: u64,
    /// Roll calls in it, each of which followed from what stood before it.
    pub roll_calls: u64,
    /// Checkpoints that were seen and held against it.
    pub checkpoints: u64,
    /// Watermarks that hosts were told.
    pub told: u64,
    /// Findings that were compared, by rule.
    pub findings: BTreeMap<&'static str, u64>,
}

/// One entry. Its bytes alone are kept, 800 or so: opened, the 2.3 million of 200 hosts in eight
/// days would take three times as much memory.
struct Logged {
    digest: Digest,
    chain: Digest,
    sequence: u64,
    envelope: Box<[u8]>,
}

struct Log {
    entries: Vec<Logged>,
    /// Indices of the entries of each chain.
    chains: BTreeMap<Digest, Vec<usize>>,
    tree: MemoryTree,
    /// Index of each statement.
    places: BTreeMap<Digest, Vec<u64>>,
    deployment: Deployment,
}

/// Checks every promise; gives what there was, and what was broken.
pub fn all(
    world: &World,
    hosts: &[Arc<Host>],
    parameters: &Parameters,
) -> Result<(Summary, Vec<String>), Failed> {
    let data = world.of(verifier::NAME);
    let config = verifier::config(data, parameters.clone())?;
    let clock = Arc::<Clocks>::default().for_verifier();
    let (opened, writing) = Opened::read(&config, SOURCES, Arc::new(LocalDisk), &clock)?;
    let log = Log::read(&opened)?;
    let mut broken = Vec::new();
    let seen = world.seen();
    let mut summary = Summary {
        entries: log.entries.len() as u64,
        roll_calls: log
            .entries
            .iter()
            .filter(|one| is_roll_call(&one.envelope))
            .count() as u64,
        ..Summary::default()
    };
    for host in hosts {
        let no_record = Vec::new();
        let sealed = seen.sealed.get(&host.name).unwrap_or(&no_record);
        let chain = host.data().enrolment();
        let Ok(opener) = std::fs::read(chain) else {
            continue;
        };
        let chain = Statement::parse(&opener)?.digest();
        let records = log.chain(chain)?;
        summary.records += records.len() as u64;
        let mut say = |what: String| broken.push(format!("{}: {what}", host.name));
        for (due, (at, ..)) in records.iter().enumerate() {
            if *at != due as u64 {
                say(format!("record {at} stands in the log where {due} is due"));
                break;
            }
        }
        for record in sealed {
            match log.places.get(&record.digest).map(Vec::as_slice) {
                Some([_]) => {}
                None | Some([]) => say(format!("record {} is not in the log", record.sequence)),
                Some(many) => say(format!(
                    "record {} is in the log {} times",
                    record.sequence,
                    many.len()
                )),
            }
        }
        on_disk(host, &records, &mut say)?;
        abut(&records, &mut say);
    }
    promised(&log, &seen, hosts, &mut summary, &mut broken)?;
    let found = opened.live.judge().findings();
    let calm = log.calm(&times(&seen), parameters)?;
    compare("a calm run's", &calm, &found, &mut broken);
    if let Some(live) = &seen.live {
        compare(
            "the running judge's",
            &live.judge().findings(),
            &found,
            &mut broken,
        );
    }
    for finding in facts(&found) {
        *summary.findings.entry(finding.rule.as_str()).or_default() += 1;
    }
    drop(writing);
    Ok((summary, broken))
}

fn is_roll_call(envelope: &[u8]) -> bool {
    let read = Envelope::parse(envelope);
    read.is_ok_and(|one| matches!(one.statement().body(), Body::RollCall(_)))
}

/// The true time of each record.
fn times(seen: &Seen) -> BTreeMap<Digest, u64> {
    let all = seen.sealed.values().flatten();
    all.map(|record| (record.digest, record.at_ms)).collect()
}

impl Log {
    fn read(opened: &Opened) -> Result<Self, Failed> {
        let mut it = Self {
            entries: Vec::new(),
            chains: BTreeMap::new(),
            tree: MemoryTree::new(),
            places: BTreeMap::new(),
            deployment: Deployment::of(&opened.genesis)?,
        };
        for entry in opened.reader.entries(0..opened.reader.size()) {
            let (index, entry): (u64, Entry) = entry?;
            let digest = *entry.digest();
            it.tree.push(leaf_hash(digest.as_bytes()));
            it.places.entry(digest).or_default().push(index);
            let statement = Envelope::parse(entry.envelope())?.statement().clone();
            let chain = statement.header().chain().unwrap_or(digest);
            it.chains.entry(chain).or_default().push(it.entries.len());
            it.entries.push(Logged {
                digest,
                chain,
                sequence: statement.header().sequence(),
                envelope: entry.envelope().into(),
            });
        }
        Ok(it)
    }

    /// The statements of a chain: sequence and statement.
    fn chain(&self, chain: Digest) -> Result<Vec<(u64, Statement)>, Failed> {
        let mut found = Vec::new();
        for entry in self.chains.get(&chain).into_iter().flatten() {
            let entry = self.entries.get(*entry).ok_or("an index of no entry")?;
            let envelope = Envelope::parse(&entry.envelope)?;
            found.push((entry.sequence, envelope.statement().clone()));
        }
        Ok(found)
    }

    /// Judges the same statements in the order of a run in which nothing is late: what officers
    /// said first, then each record when it was sealed, each clock when it was told. They are
    /// admitted in the order of the log, in which alone their chains and roll calls hold.
    fn calm(
        &self,
        times: &BTreeMap<Digest, u64>,
        parameters: &Parameters,
    ) -> Result<Vec<Finding>, Failed> {
        let nobody = Judge::new(parameters.clone());
        let mut entries = self.entries.iter();
        let genesis = entries.next().ok_or("the log is empty")?;
        let genesis = Envelope::parse(&genesis.envelope)?.statement().clone();
        let (mut docket, opened) = Docket::open(0, genesis, SOURCES, nobody)?;
        let mut admitted = vec![opened];
        for (index, entry) in (1..).zip(entries) {
            admitted.push(docket.take_whole(index, Envelope::parse(&entry.envelope)?)?);
        }
        let mut last: BTreeMap<Digest, u64> = BTreeMap::new();
        let mut order = Vec::new();
        // Backwards: of several records of one append only the last has its time written down.
        let both = self.entries.iter().enumerate().zip(&admitted);
        for ((index, Logged { digest, .. }), admitted) in both.rev() {
            let statement = admitted.verified().statement();
            let key = match statement.body() {
                Body::Clock(_) => statement
                    .header()
                    .time()
                    .unix_ms
                    .saturating_sub(EPOCH_MS)
                    .max(1),
                _ => match statement.header().chain() {
                    Some(chain) => {
                        let known = times.get(digest).or_else(|| last.get(&chain)).copied();
                        let known = known.unwrap_or(0);
                        last.insert(chain, known);
                        known
                    }
                    None => 0,
                },
            };
            order.push((key, index, admitted));
        }
        order.sort_by_key(|(key, index, _)| (*key, *index));
        let mut judge = Judge::new(parameters.clone());
        for (index, (_, _, admitted)) in (0..).zip(order) {
            docket::hear(&mut judge, index, admitted);
        }
        Ok(judge.findings())
    }
}

/// What is on the host's disk is what the log has.
fn on_disk(
    host: &Host,
    records: &[(u64, Statement)],
    say: &mut impl FnMut(String),
) -> Result<(), Failed> {
    let limits = affiant_agent::spool::Limits {
        max_bytes: 1 << 30,
        keep: std::time::Duration::MAX,
        max_age: None,
        reserve: Some(0),
    };
    let logged: BTreeMap<u64, Digest> = records
        .iter()
        .map(|(sequence, statement)| (*sequence, statement.digest()))
        .collect();
    let mut spool = Spool::open(&host.data().spool(), limits)?;
    let mut next = spool.status().range.map_or(0, |(first, _)| first);
    loop {
        let read = spool.read(next, 1 << 20)?;
        let Some((last, _)) = read.last() else {
            return Ok(());
        };
        next = last + 1;
        for (sequence, bytes) in read {
            let ours = Envelope::parse(&bytes)?.statement().digest();
            if logged.get(&sequence) != Some(&ours) {
                say(format!("record {sequence} of its disk is not the log's"));
            }
        }
    }
}

/// Within a boot, intervals abut; a hole stands beside a statement that says why.
fn abut(records: &[(u64, Statement)], say: &mut impl FnMut(String)) {
    let mut ended: Option<(u32, u64)> = None;
    for (sequence, statement) in records {
        match statement.body() {
            Body::Usage(usage) => {
                let due = ended.filter(|(boot, _)| *boot == usage.boot);
                if let Some((_, end)) = due.filter(|(_, end)| *end != usage.start_ms) {
                    let start = usage.start_ms;
                    say(format!(
                        "record {sequence} begins at {start} where {end} is due"
                    ));
                }
                ended = Some((usage.boot, usage.end_ms));
            }
            Body::Gap(gap) if !gap.lines => ended = None,
            Body::ChainRestart(_) => ended = None,
            _ => {}
        }
    }
}

/// What hosts were told, and every checkpoint that was seen, is true of the log as it ended.
fn promised(
    log: &Log,
    seen: &Seen,
    hosts: &[Arc<Host>],
    summary: &mut Summary,
    broken: &mut Vec<String>,
) -> Result<(), Failed> {
    let mut roots: BTreeMap<u64, Hash> = BTreeMap::new();
    let mut notes: Vec<(&str, &str)> = seen
        .published
        .iter()
        .map(|note| ("the verifier", note.as_str()))
        .collect();
    for (name, cursor) in &seen.told {
        summary.told += 1;
        notes.push((name, &cursor.checkpoint));
        let host = hosts.iter().find(|host| host.name == *name);
        let chain = host.and_then(|host| std::fs::read(host.data().enrolment()).ok());
        let chain = Statement::parse(&chain.unwrap_or_default())?.digest();
        let at = usize::try_from(cursor.index)?;
        let there = log
            .entries
            .get(at)
            .is_some_and(|entry| entry.chain == chain && entry.sequence == cursor.sequence);
        if !there {
            broken.push(format!(
                "{name}: was told that record {} is at index {at}, and it is not",
                cursor.sequence
            ));
        }
    }
    for (who, note) in notes {
        summary.checkpoints += 1;
        let signed = log.deployment.open(note.as_bytes())?;
        let (size, root) = (signed.checkpoint().size(), *signed.checkpoint().root());
        let due = match roots.get(&size) {
            Some(due) => Some(*due),
            None => log.tree.root(size).ok(),
        };
        roots.extend(due.map(|due| (size, due)));
        if due != Some(root) {
            broken.push(format!(
                "{who}: saw a checkpoint of size {size} that the log does not extend"
            ));
        }
    }
    Ok(())
}

/// A finding without what depends on when and where things were logged: indices, ids, logged
/// times, and whether it is open still.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fact {
    rule: Rule,
    title: String,
    opened_unix_ms: u64,
    last_unix_ms: u64,
    details: Vec<String>,
    count: u64,
}

/// What is compared: all but the silence and lateness of whole hosts and what their clocks claim,
/// which is about when records came and not about what they say. A calm run has none of it, a run
/// with troubles must.
fn facts(findings: &[Finding]) -> Vec<Fact> {
    let about_arrival = |finding: &&Finding| {
        let silence = finding.title.ends_with("is not covered by records");
        match finding.rule {
            Rule::LateRecord | Rule::ClockOutOfBounds | Rule::TimeNotEstablished => true,
            rule => rule == Rule::UsageGap && silence,
        }
    };
    let mut facts: Vec<Fact> = findings
        .iter()
        .filter(|finding| !about_arrival(finding))
        .map(|finding| Fact {
            rule: finding.rule,
            title: finding.title.clone(),
            opened_unix_ms: finding.opened_unix_ms,
            last_unix_ms: finding.last_unix_ms,
            details: finding.details.clone(),
            count: finding.evidence.count,
        })
        .collect();
    facts.sort();
    facts
}

fn compare(whose: &str, due: &[Finding], got: &[Finding], broken: &mut Vec<String>) {
    let (due, got) = (facts(due), facts(got));
    for fact in due.iter().filter(|fact| !got.contains(fact)) {
        broken.push(format!("findings: {whose} {fact:?} is missing"));
    }
    for fact in got.iter().filter(|fact| !due.contains(fact)) {
        broken.push(format!("findings: {fact:?} is none of {whose}"));
    }
}
