//! Promises about time: what the log establishes, and what is a host's claim alone.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{Judge, Parameters, Rule, Severity};
use affiant_proto::{
    Body, Digest, Ed25519Signer, Statement,
    statement::Place,
    v1::{self, TenantState},
};
use log::{HOST, INTERVAL, Log, START, line, party};

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// A log with one host that embeds checkpoints, and one tenant of no fault.
struct Timed {
    log: Log,
    /// Size of the checkpoint that the host has seen.
    seen: Option<u64>,
}

fn statement(
    body: impl Into<Body>,
    claim_ms: u64,
    error: Option<u32>,
    seen: Option<u64>,
) -> Statement {
    let signer = Ed25519Signer::from_seed(&[5; 32]).unwrap();
    let body = body.into();
    let place = match body {
        Body::Enrolment(_) => Place::Opening,
        _ => Place::Link {
            chain: Digest::new(HOST),
            sequence: 9,
            previous: Digest::new([1; 32]),
        },
    };
    let time = v1::Time {
        unix_ms: claim_ms,
        clock: v1::ClockState::Synchronized.into(),
        max_error_ms: error,
    };
    let checkpoint = seen.map(|size| v1::CheckpointRef {
        origin: "log.example/1".into(),
        size,
        root: vec![0; 32],
    });
    Statement::seal(body, place, time, checkpoint, &signer).unwrap()
}

impl Timed {
    fn new() -> Self {
        Self::with(Parameters::default())
    }

    fn with(parameters: Parameters) -> Self {
        let mut judge = Judge::new(parameters);
        let genesis = v1::Genesis {
            origin: "log.example/1".into(),
            ..Default::default()
        };
        judge.genesis(0, [0; 32], &genesis);
        let mut log = Log::with(judge, &["NVIDIA H100 80GB HBM3"]);
        let index = log.next();
        let enrolment = statement(v1::Enrolment::default(), log.now, Some(1), None);
        log.judge.sealed(index, HOST, &enrolment);
        log.say(party("firm", "Firm", "US"));
        log.tenant(v1::Tenant {
            id: "t".into(),
            customer: "firm".into(),
            end_customer: "firm".into(),
            ultimate_parent: "firm".into(),
            ..Default::default()
        });
        log.bind("b", "t", "szu");
        log.approve("t");
        log.tick(1);
        let mut timed = Self { log, seen: None };
        timed.look();
        timed
    }

    /// The host sees the newest checkpoint, and takes it up.
    fn look(&mut self) {
        self.seen = Some(self.log.index + 1);
        self.log.tick(1);
    }

    fn tick(&mut self, ms: u64) {
        self.log.tick(ms);
    }

    /// Logs the record of an interval that ends at this instant, as the host claims.
    fn record(&mut self, end_ms: u64) {
        self.claim(end_ms, Some(1));
    }

    fn claim(&mut self, end_ms: u64, error: Option<u32>) {
        let usage = self.log.interval(end_ms - INTERVAL, end_ms);
        let sealed = statement(usage.clone(), end_ms, error, self.seen);
        let index = self.log.next();
        let totals = v1::Totals {
            devices: vec![v1::DeviceTotals {
                attributed_ms: INTERVAL,
                ..Default::default()
            }],
        };
        self.log.judge.sealed(index, HOST, &sealed);
        let lines = [Some(line(0, 0))];
        let sequence = self.log.sequence();
        self.log
            .judge
            .usage(index, HOST, sequence, &usage, &totals, &lines);
    }

    /// All is well for so many records; the host takes up a checkpoint each minute.
    fn calm(&mut self, records: u64) {
        for record in 0..records {
            if record % 6 == 0 {
                self.look();
            }
            self.tick(INTERVAL);
            self.record(self.log.now);
        }
    }

    /// The rules about time that were broken.
    fn about_time(&self) -> Vec<Rule> {
        let mut rules = self.log.rules();
        rules.retain(|rule| *rule != Rule::UsageGap);
        rules
    }
}

#[test]
fn a_calm_host_is_never_late_and_its_clock_never_wrong() {
    let mut timed = Timed::new();
    timed.calm(1_000);
    assert_eq!(timed.log.findings(), []);
}

#[test]
fn eight_days_without_a_connection_are_late_records_of_low_severity_and_nothing_more() {
    let mut timed = Timed::new();
    timed.calm(12);
    let gone = timed.log.now;
    for _ in 0..8 * 24 {
        timed.tick(DAY / 24);
    }
    for n in 1..=(8 * DAY / INTERVAL) / 100 {
        timed.record(gone + n * INTERVAL * 100);
    }
    timed.calm(12);
    assert_eq!(timed.about_time(), [Rule::LateRecord]);
    let findings = timed.log.findings().into_iter();
    let late: Vec<_> = findings
        .filter(|one| one.rule == Rule::LateRecord)
        .collect();
    assert!(late.iter().all(|one| one.severity == Severity::Low));
    assert!(
        late.iter()
            .all(|one| one.details == ["its window is one to ten days wide"]),
        "{late:?}"
    );
    let count: u64 = late.iter().map(|one| one.evidence.count).sum();
    assert_eq!(count, (8 * DAY / INTERVAL) / 100);
}

#[test]
fn a_window_of_a_quarter_of_an_hour_is_narrow_and_a_wider_one_is_late() {
    for (more, due) in [(0, vec![]), (1, vec![Rule::LateRecord])] {
        let mut timed = Timed::new();
        timed.calm(1);
        timed.tick(15 * MINUTE - INTERVAL - 1 + more);
        timed.record(timed.log.now);
        assert_eq!(timed.about_time(), due, "{more}");
    }
}

#[test]
fn a_host_that_never_embeds_a_checkpoint_is_late_once_it_has_had_the_time() {
    let mut timed = Timed::new();
    timed.seen = None;
    for _ in 0..89 {
        timed.tick(INTERVAL);
        timed.record(timed.log.now);
    }
    assert_eq!(timed.about_time(), []);
    for _ in 0..3 {
        timed.tick(INTERVAL);
        timed.record(timed.log.now);
    }
    assert_eq!(timed.about_time(), [Rule::LateRecord]);
}

#[test]
fn a_claim_before_the_checkpoint_that_it_embeds_is_out_of_bounds_beyond_error_and_tolerance() {
    for (early, due) in [(12_000, vec![]), (12_001, vec![Rule::ClockOutOfBounds])] {
        let mut timed = Timed::new();
        timed.calm(3);
        timed.look();
        let made = timed.log.now;
        timed.tick(INTERVAL);
        // The checkpoint's last clock is a millisecond before the one that follows it.
        timed.claim(made - 1 - early, Some(2_000));
        assert_eq!(timed.about_time(), due, "{early}");
    }
}

#[test]
fn a_claim_after_the_clock_that_follows_it_is_out_of_bounds_and_one_before_it_is_not() {
    for (ahead, due) in [(12_000, vec![]), (12_001, vec![Rule::ClockOutOfBounds])] {
        let mut timed = Timed::new();
        timed.calm(3);
        timed.claim(timed.log.now + 5_000 + ahead, Some(2_000));
        assert_eq!(timed.about_time(), [], "the next clock has yet to tell");
        timed.tick(5_000);
        assert_eq!(timed.about_time(), due, "{ahead}");
    }
}

#[test]
fn a_host_whose_clock_is_an_hour_off_is_one_finding_of_its_host() {
    let mut timed = Timed::new();
    for _ in 0..20 {
        timed.look();
        timed.tick(INTERVAL);
        timed.record(timed.log.now - 60 * MINUTE);
    }
    let findings = timed.log.findings().into_iter();
    let wrong: Vec<_> = findings
        .filter(|one| one.rule == Rule::ClockOutOfBounds)
        .collect();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!(wrong[0].host.as_deref(), Some("gpu-01"));
    assert_eq!(wrong[0].evidence.count, 20);
    assert!(
        wrong[0].details[0].contains("less than an hour before"),
        "{wrong:?}"
    );
}

/// Suspends the tenant in the midst of a span in which the host may be away, then logs uses that
/// claim to be before and after it.
fn suspended(away: bool, claims: &[i64]) -> Vec<Rule> {
    let mut timed = Timed::new();
    timed.calm(60);
    let noon = timed.log.now + 20 * MINUTE;
    while timed.log.now < noon {
        timed.tick(MINUTE.min(noon - timed.log.now));
        if !away {
            timed.look();
        }
    }
    timed.log.state_since(noon, "t", TenantState::Suspended);
    if away {
        timed.tick(20 * MINUTE);
    } else {
        timed.tick(1_000);
    }
    for claim in claims {
        timed.record(noon.saturating_add_signed(*claim));
    }
    timed.about_time()
}

#[test]
fn use_before_a_suspension_is_fine_and_use_after_it_a_finding_where_the_window_is_narrow() {
    assert_eq!(suspended(false, &[-1]), []);
    assert_eq!(suspended(false, &[1_000]), [Rule::UseUnvetted]);
}

#[test]
fn in_a_wide_window_around_a_suspension_the_time_of_use_is_not_established() {
    let late = [Rule::LateRecord, Rule::TimeNotEstablished];
    assert_eq!(suspended(true, &[-60_000]), late);
    let after = [
        Rule::UseUnvetted,
        Rule::LateRecord,
        Rule::TimeNotEstablished,
    ];
    assert_eq!(
        suspended(true, &[60_000]),
        after,
        "what it claims itself counts"
    );
}

#[test]
fn an_approval_within_a_wide_window_leaves_open_whether_the_use_came_before_it() {
    let mut timed = Timed::new();
    timed.calm(6);
    timed
        .log
        .state_since(timed.log.now, "t", TenantState::Suspended);
    timed.tick(1_000);
    timed.look();
    timed.tick(20 * MINUTE);
    timed
        .log
        .state_since(timed.log.now, "t", TenantState::UnderReview);
    timed.log.approve("t");
    let approved = timed.log.now;
    timed.tick(20 * MINUTE);
    timed.record(approved + MINUTE);
    assert_eq!(
        timed.about_time(),
        [Rule::LateRecord, Rule::TimeNotEstablished]
    );
    let findings = timed.log.findings().into_iter();
    let open: Vec<_> = findings
        .filter(|one| one.rule == Rule::TimeNotEstablished)
        .collect();
    assert_eq!(open[0].tenant.as_deref(), Some("t"));
    assert_eq!(open[0].severity, Severity::Medium);
    assert!(open[0].details[0].starts_with("USE_UNVETTED"), "{open:?}");
}

#[test]
fn changes_of_others_and_changes_outside_of_the_window_leave_the_time_established() {
    let mut timed = Timed::new();
    timed.calm(6);
    timed
        .log
        .state_since(timed.log.now, "t", TenantState::Suspended);
    timed
        .log
        .state_since(timed.log.now, "t", TenantState::UnderReview);
    timed.log.approve("t");
    timed.tick(1_000);
    timed.look();
    let gone = timed.log.now;
    timed.tick(20 * MINUTE);
    timed.log.say(party("stranger", "Stranger", "CN"));
    timed
        .log
        .state_since(timed.log.now, "u", TenantState::Suspended);
    timed.tick(20 * MINUTE);
    timed.record(gone + 30 * MINUTE);
    assert_eq!(timed.about_time(), [Rule::LateRecord]);
}

#[test]
fn a_site_says_how_wide_is_wide() {
    let parameters = Parameters {
        late_record_ms: 3 * DAY,
        ..Parameters::default()
    };
    let mut timed = Timed::with(parameters);
    timed.calm(1);
    timed.tick(2 * DAY);
    timed.record(timed.log.now);
    assert_eq!(timed.about_time(), []);
    timed.tick(2 * DAY);
    timed.record(timed.log.now);
    assert_eq!(timed.about_time(), [Rule::LateRecord]);
    assert!(timed.log.now > START);
}
