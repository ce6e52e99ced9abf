//! `status`: what an operator has to know, in one look, with an exit code for monitoring.

mod fleet;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use affiant_judge::{Finding, Judge, Rule, Severity, Stands, accounting::ClassUse};
use affiant_proto::authority::APPROVERS;
use arc_swap::ArcSwap;
pub use fleet::{Behind, Fleet, Seen, Silent, Worst};
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    clock::Clock,
    config::Config,
    credentials::Credentials,
    deliver::{self, Standings},
    gate::Gate,
    growth::Growth,
    hosts::Standing,
    ledger::{Disk as _, LocalDisk, RESERVE_BYTES},
    live::Live,
    witness::{Answer, Answers},
    wording,
    writer::{Published, QUEUE, Submit},
};

/// Days of disk below which somebody should act: two weeks to buy one.
const DISK_DAYS: u64 = 14;

/// Days that the authority's certificate should still last: a quarter to change it in peace.
const CA_DAYS: u64 = 90;

/// Days that the server's certificate should still last. It is made each day for thirty.
const SERVER_DAYS: u64 = 7;

/// How long witnesses may give nothing: ten of their rounds.
const WITNESS_MS: u64 = 600_000;

/// How long a receiver of findings may lack something: some seven tries, each after twice as long.
const RECEIVER_MS: u64 = 120_000;

/// How far the log's time may be ahead of the clock: a clock that was set back.
const CLOCK_MS: u64 = 60_000;

/// How far the judge may lag behind before what it says is not of now: five seconds of full load.
const LAG: u64 = 5 * QUEUE as u64;

/// A day.
const DAY_MS: u64 = 86_400_000;

/// What it all comes to; the number is the exit code of `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing to do.
    Well = 0,
    /// Somebody should look; the record goes on. Findings alone are no such thing: they are what
    /// the verifier is for, and `findings` has an exit code of its own.
    Attention = 1,
    /// What is needed to answer is not known.
    Unknown = 3,
    /// The log is contradicted from outside.
    LogTrouble = 2,
}

/// Everything that `status` shows.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// What it comes to.
    pub state: State,
    /// Its exit code.
    pub exit_code: u8,
    /// Why, the gravest first.
    pub reasons: Vec<String>,
    /// Entries published.
    pub log_size: u64,
    /// Entries judged.
    pub judged: u64,
    /// Chains of hosts.
    pub hosts: usize,
    /// Findings, open and closed.
    pub findings: usize,
    /// The log.
    pub log: Log,
    /// Its disk.
    pub disk: Space,
    /// What each witness answered last, by address.
    pub witnesses: BTreeMap<String, Option<Answer>>,
    /// How each receiver of findings stands, by name.
    pub receivers: BTreeMap<String, deliver::Standing>,
    /// The hosts.
    pub fleet: Fleet,
    /// The policy pack in force.
    pub policy: PolicyLook,
    /// Open findings by severity.
    pub open_findings: BTreeMap<Severity, usize>,
    /// Persons among the officers whose keys are trusted.
    pub officers: usize,
    /// Certificates.
    pub certificates: Certificates,
    /// Statements that wait for the writer.
    pub queue: usize,
    /// Milliseconds that the log's time is ahead of this machine's clock; 0 when it is not.
    pub clock_behind_ms: u64,
    /// Device time by class.
    pub device_time: Vec<ClassUse>,
}

/// The policy pack in force, in a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PolicyLook {
    /// Its name.
    pub pack: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its canonical bytes, in hexadecimal.
    pub digest: String,
    /// The first log index that it judges.
    pub from_index: u64,
    /// Packs that wait for a second officer.
    pub waiting: usize,
}

impl PolicyLook {
    fn at(judge: &Judge) -> Self {
        let lines = judge.pack_lines();
        let waiting = lines.iter().filter(|it| it.stands == Stands::Waiting);
        let waiting = waiting.count();
        let in_force = lines.into_iter().next();
        in_force.map_or_else(Self::default, |it| Self {
            pack: it.pack,
            version: it.version,
            digest: it.digest,
            from_index: it.from_index.unwrap_or_default(),
            waiting,
        })
    }
}

/// The log.
#[derive(Clone, Debug, Serialize)]
pub struct Log {
    /// First line of its checkpoints, with the generation.
    pub origin: String,
    /// How many generations there were before.
    pub generations_before: usize,
    /// Epoch of the lock: how many writers opened the log.
    pub epoch: u64,
    /// Milliseconds since the newest checkpoint.
    pub checkpoint_age_ms: u64,
    /// Bytes appended in a day at the present rate; unknown for the first ten minutes.
    pub bytes_per_day: Option<u64>,
}

/// The disk under the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Space {
    /// Bytes free for this user; unknown when the disk does not say.
    pub free_bytes: Option<u64>,
    /// Days until only the reserve is left, at the present rate.
    pub days_left: Option<u64>,
}

/// Certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Certificates {
    /// Days that the authority's lasts.
    pub ca_days_left: Option<u64>,
    /// Days that the server's lasts.
    pub server_days_left: u64,
}

/// What `status` is made from.
pub struct StatusSource {
    /// Hosts, keys and authority.
    pub gate: Gate,
    /// Certificates.
    pub credentials: Arc<Credentials>,
    /// The judge.
    pub live: Live,
    /// The writer.
    pub submit: Submit,
    /// The newest checkpoint.
    pub published: watch::Receiver<Published>,
    /// The configuration.
    pub config: Arc<ArcSwap<Config>>,
    /// Witnesses.
    pub answers: Answers,
    /// Receivers of findings.
    pub receivers: Standings,
    /// The data directory.
    pub directory: PathBuf,
    /// The log's growth.
    pub growth: Growth,
    /// The lock's epoch.
    pub epoch: u64,
    /// The wall clock.
    pub clock: Clock,
    /// When this verifier started.
    pub started_unix_ms: u64,
}

impl StatusSource {
    /// Looks at everything once.
    pub fn look(&self) -> Summary {
        let now = self.clock.now_ms();
        let published = self.published.borrow().clone();
        // One look at the judge: a second lock within the same statement would wait for the first.
        let (findings, device_time, policy) = {
            let judge = self.live.judge();
            let policy = PolicyLook::at(&judge);
            (judge.findings(), judge.figures().classes, policy)
        };
        let mut summary = Summary {
            state: State::Well,
            exit_code: 0,
            reasons: Vec::new(),
            log_size: published.size,
            judged: self.live.heard(),
            hosts: self.gate.hosts.count(),
            findings: findings.len(),
            log: self.log(&published, now),
            disk: self.space(),
            witnesses: self.witnesses(),
            receivers: self.receivers.all(),
            fleet: self.fleet(now),
            policy,
            open_findings: by_severity(&findings),
            officers: self.gate.authorities.borrow().persons(),
            certificates: Certificates {
                ca_days_left: self
                    .credentials
                    .ca()
                    .ends_unix_ms()
                    .map(|end| end.saturating_sub(now) / DAY_MS),
                server_days_left: self.credentials.server_ends_unix_ms().saturating_sub(now)
                    / DAY_MS,
            },
            queue: self.submit.waiting(),
            clock_behind_ms: published.logged_unix_ms.saturating_sub(now),
            device_time,
        };
        let contradicted = findings
            .iter()
            .any(|finding| finding.open && finding.rule == Rule::LogContradicted);
        let uptime_ms = now.saturating_sub(self.started_unix_ms);
        let mut reasons = judged(&summary, contradicted, uptime_ms, now);
        reasons.sort_by_key(|(state, _)| rank(*state));
        summary.state = reasons.first().map_or(State::Well, |(state, _)| *state);
        summary.exit_code = summary.state as u8;
        summary.reasons = reasons.into_iter().map(|(_, why)| why).collect();
        summary
    }

    fn log(&self, published: &Published, now: u64) -> Log {
        let authorities = self.gate.authorities.borrow().clone();
        let lineage = authorities.lineage();
        Log {
            origin: lineage.current().origin().as_str().to_owned(),
            generations_before: lineage.generations().count().saturating_sub(1),
            epoch: self.epoch,
            checkpoint_age_ms: now.saturating_sub(published.logged_unix_ms),
            bytes_per_day: self.growth.bytes_per_day(),
        }
    }

    fn space(&self) -> Space {
        let free_bytes = LocalDisk.available(&self.directory).ok();
        let rate = self.growth.bytes_per_day().filter(|rate| *rate > 0);
        let usable = free_bytes.map(|free| free.saturating_sub(RESERVE_BYTES));
        Space {
            free_bytes,
            days_left: usable.zip(rate).map(|(usable, rate)| usable / rate),
        }
    }

    fn witnesses(&self) -> BTreeMap<String, Option<Answer>> {
        let answers = self.answers.lock();
        let answers = answers.unwrap_or_else(std::sync::PoisonError::into_inner);
        let config = self.config.load();
        // One that cosigns by hand is not asked; until it has, there is nothing to tell of it.
        let asked = config
            .witnesses
            .iter()
            .filter(|witness| witness.place.is_some() || answers.contains_key(&witness.called()));
        asked
            .map(|witness| (witness.called(), answers.get(&witness.called()).cloned()))
            .collect()
    }
}

/// Says that too few persons are left to approve anything.
pub fn too_few(left: usize) -> String {
    format!(
        "{left} of {APPROVERS} persons who are due have officers' keys that are trusted: nobody is admitted and \
         nothing approved any more, and only a new log helps"
    )
}

/// Orders states from the gravest; what is not known may be worse than what wants attention.
fn rank(state: State) -> u8 {
    match state {
        State::LogTrouble => 0,
        State::Unknown => 1,
        State::Attention => 2,
        State::Well => 3,
    }
}

/// Everything in a summary that is not well, in words.
fn judged(summary: &Summary, contradicted: bool, uptime_ms: u64, now: u64) -> Vec<(State, String)> {
    let mut found = Vec::new();
    let mut say = |state, why: String| found.push((state, why));
    if contradicted {
        let why = "a host was shown a log that contradicts this one: see `findings`";
        say(State::LogTrouble, why.into());
    }
    for (url, answer) in &summary.witnesses {
        let Some(answer) = answer else {
            if uptime_ms > WITNESS_MS {
                say(State::Attention, format!("witness {url} was never asked"));
            }
            continue;
        };
        let error = answer.error.as_deref().unwrap_or("says nothing");
        if answer.contradicts {
            let why = format!("witness {url} refuses this log: {error}");
            say(State::LogTrouble, why);
        } else if answer.error.is_some()
            && answer
                .cosigned_unix_ms
                .is_none_or(|at| now.saturating_sub(at) > WITNESS_MS)
        {
            say(State::Attention, format!("witness {url} {error}"));
        }
    }
    for (name, receiver) in &summary.receivers {
        let since = receiver.waiting_since_unix_ms.unwrap_or(now);
        if now.saturating_sub(since) > RECEIVER_MS {
            let error = receiver.error.as_deref().unwrap_or("takes too long");
            let (waiting, since) = (receiver.waiting, wording::time(since));
            let why =
                format!("receiver {name} is behind since {since}, by {waiting} findings: {error}");
            say(State::Attention, why);
        }
    }
    match (summary.disk.free_bytes, summary.disk.days_left) {
        (None, _) => say(State::Unknown, "the disk does not say what is free".into()),
        (Some(free), _) if free < 2 * RESERVE_BYTES => {
            let mib = free >> 20;
            let why = format!(
                "{mib} MiB are free; below {} the log waits",
                RESERVE_BYTES >> 20
            );
            say(State::Attention, why);
        }
        (_, Some(days)) if days < DISK_DAYS => {
            say(State::Attention, format!("the disk is full in {days} days"));
        }
        _ => {}
    }
    let lag = summary.log_size.saturating_sub(summary.judged);
    if lag > LAG {
        say(State::Unknown, format!("the judge is {lag} entries behind"));
    }
    let unplanned = summary
        .fleet
        .silent_count
        .saturating_sub(summary.fleet.planned_count);
    if unplanned > 0 {
        say(State::Attention, format!("{unplanned} hosts are silent"));
    }
    if let Some(pending) = summary.fleet.standing.get(&Standing::Pending) {
        let why = format!("{pending} hosts wait for approval: `host list`");
        say(State::Attention, why);
    }
    if summary.officers < APPROVERS {
        say(State::Attention, too_few(summary.officers));
    }
    match summary.certificates.ca_days_left {
        None => say(
            State::Unknown,
            "the authority's certificate has no end".into(),
        ),
        Some(days) if days < CA_DAYS => {
            let why = format!("the authority ends in {days} days: `key rotate ca`");
            say(State::Attention, why);
        }
        Some(_) => {}
    }
    if summary.certificates.server_days_left < SERVER_DAYS {
        let days = summary.certificates.server_days_left;
        let why = format!("the server's certificate ends in {days} days: see the journal");
        say(State::Attention, why);
    }
    if summary.clock_behind_ms > CLOCK_MS {
        let s = summary.clock_behind_ms / 1_000;
        say(
            State::Attention,
            format!("the clock is {s} s behind the log's time"),
        );
    }
    found
}

fn by_severity(findings: &[Finding]) -> BTreeMap<Severity, usize> {
    let mut counted = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.open) {
        *counted.entry(finding.severity).or_default() += 1;
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Summary {
        Summary {
            state: State::Well,
            exit_code: 0,
            reasons: Vec::new(),
            log_size: 10,
            judged: 10,
            hosts: 1,
            findings: 0,
            log: Log {
                origin: "test.example/affiant/1".into(),
                generations_before: 0,
                epoch: 1,
                checkpoint_age_ms: 0,
                bytes_per_day: None,
            },
            disk: Space {
                free_bytes: Some(1 << 40),
                days_left: None,
            },
            witnesses: BTreeMap::new(),
            receivers: BTreeMap::new(),
            fleet: Fleet::default(),
            policy: PolicyLook::default(),
            open_findings: BTreeMap::from([(Severity::Critical, 3)]),
            officers: 2,
            certificates: Certificates {
                ca_days_left: Some(3_000),
                server_days_left: 29,
            },
            queue: 0,
            clock_behind_ms: 0,
            device_time: Vec::new(),
        }
    }

    fn worst(summary: &Summary, contradicted: bool) -> State {
        let found = judged(summary, contradicted, DAY_MS, DAY_MS);
        let states = found.into_iter().map(|(state, _)| state);
        states
            .min_by_key(|state| rank(*state))
            .unwrap_or(State::Well)
    }

    #[test]
    fn an_office_of_one_person_wants_attention() {
        let alone = Summary {
            officers: 1,
            ..well()
        };
        let said = judged(&alone, false, 0, 0);
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(said[0].0, State::Attention);
        assert!(said[0].1.starts_with("1 of 2 persons"), "{said:?}");
    }

    #[test]
    fn findings_alone_want_no_attention() {
        assert_eq!(worst(&well(), false), State::Well);
    }

    #[test]
    fn a_witness_that_refuses_the_log_is_trouble_and_one_that_is_away_is_not() {
        let url = "http://w.example".to_owned();
        let away = Answer {
            cosigned_unix_ms: Some(0),
            error: Some("could not be reached".into()),
            ..Answer::default()
        };
        let refuses = Answer {
            contradicts: true,
            ..away.clone()
        };
        let with = |answer: Option<Answer>| Summary {
            witnesses: BTreeMap::from([(url.clone(), answer)]),
            ..well()
        };
        assert_eq!(worst(&with(Some(away)), false), State::Attention);
        assert_eq!(worst(&with(Some(refuses)), false), State::LogTrouble);
        assert_eq!(worst(&with(None), false), State::Attention, "never asked");
        assert_eq!(worst(&well(), true), State::LogTrouble);
    }

    #[test]
    fn a_receiver_that_takes_nothing_for_two_minutes_wants_attention_by_name_and_since_when() {
        let lacks = |since: u64| deliver::Standing {
            kind: deliver::Kind::Webhook,
            url: "https://ops.example/hook".into(),
            waiting: 1,
            waiting_since_unix_ms: Some(since),
            taken: 0,
            taken_unix_ms: None,
            error: None,
        };
        let with = |since| Summary {
            receivers: BTreeMap::from([("ops".to_owned(), lacks(since))]),
            ..well()
        };
        assert_eq!(worst(&with(DAY_MS - RECEIVER_MS), false), State::Well);
        let behind = with(DAY_MS - RECEIVER_MS - 1);
        assert_eq!(worst(&behind, false), State::Attention);
        let (_, why) = judged(&behind, false, DAY_MS, DAY_MS).remove(0);
        assert_eq!(
            why,
            "receiver ops is behind since 1970-01-01T23:57:59Z, by 1 findings: takes too long"
        );
    }

    #[test]
    fn planned_silence_is_counted_apart_and_what_is_not_known_is_not_well() {
        let mut summary = well();
        summary.fleet.silent_count = 2;
        summary.fleet.planned_count = 2;
        assert_eq!(worst(&summary, false), State::Well);
        summary.fleet.silent_count = 3;
        assert_eq!(worst(&summary, false), State::Attention);
        summary.disk.free_bytes = None;
        assert_eq!(worst(&summary, false), State::Unknown, "outranks attention");
        let mut full = well();
        full.disk.days_left = Some(3);
        assert_eq!(worst(&full, false), State::Attention);
        let mut late = well();
        late.log_size = late.judged + LAG + 1;
        assert_eq!(worst(&late, false), State::Unknown);
    }
}
