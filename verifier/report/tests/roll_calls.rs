//! Roll calls: what the log before them makes, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use affiant_judge::{
    Docket, Judge, Parameters, Rule,
    admission::{Refusal, Sources},
    roll_call::{MAX_NAMED, Tally, Untrue},
};
use affiant_proto::{
    Body, Envelope,
    tlog::{leaf_hash, root_of},
    v1::{self, HostEventKind},
};
use affiant_report::{Conclusion, Period, Scope, verify::verify};
use support::{H100, World};

const MINUTES: u64 = 60_000;

/// Ten minutes of the log pass; the operator calls the roll where one is due, and each of the
/// hosts reports once.
fn ten_minutes(world: &mut World, reporting: &[usize]) -> v1::RollCall {
    world.now += 10 * MINUTES - 1_000;
    world.clock();
    let call = world.roll_call().expect("a roll call is due");
    world.operator(call.clone());
    for host in reporting {
        world.record(*host, &[]);
    }
    call
}

fn two_hosts() -> World {
    let mut world = World::new();
    world.enrol("gpu-a", &[H100], v1::SourceKind::Nvml);
    world.enrol("gpu-b", &[H100], v1::SourceKind::Nvml);
    world
}

fn chain(world: &World, host: usize) -> Vec<u8> {
    world.hosts[host].chain().as_bytes().to_vec()
}

fn event(world: &mut World, host: usize, kind: HostEventKind, until_unix_ms: Option<u64>) {
    let host_chain = chain(world, host);
    world.operator(v1::HostEvent {
        host_chain,
        kind: kind.into(),
        until_unix_ms,
        ..v1::HostEvent::default()
    });
}

#[test]
fn who_reported_since_the_last_roll_call_is_not_silent_and_who_did_not_is_named() {
    let mut world = two_hosts();
    let first = ten_minutes(&mut world, &[0]);
    assert_eq!(
        (first.since, first.silent_count),
        (0, 0),
        "nobody is late yet"
    );
    // The operator, two officers, two hosts.
    assert_eq!(first.count, 5);
    let second = ten_minutes(&mut world, &[0, 1]);
    assert_eq!(second.since, first.size);
    assert_eq!(second.silent, [chain(&world, 1)]);
    let third = ten_minutes(&mut world, &[]);
    assert_eq!(third.silent, [] as [Vec<u8>; 0]);
    let fourth = ten_minutes(&mut world, &[]);
    let mut both = vec![chain(&world, 0), chain(&world, 1)];
    both.sort();
    assert_eq!((fourth.silent, fourth.silent_count), (both, 2));
}

#[test]
fn its_root_is_over_the_heads_of_all_open_chains_in_their_order() {
    let mut world = two_hosts();
    let call = ten_minutes(&mut world, &[]);
    let before = &world.log[..usize::try_from(call.size).unwrap()];
    let mut heads = std::collections::BTreeMap::new();
    for envelope in before {
        let statement = envelope.statement();
        let header = statement.header();
        let chain = header.chain().unwrap_or(statement.digest());
        heads.insert(*chain.as_bytes(), (header.sequence(), statement.digest()));
    }
    let leaf = |(chain, (sequence, head)): (&[u8; 32], &(u64, affiant_proto::Digest))| {
        let parts = [&chain[..], &sequence.to_be_bytes(), head.as_bytes()];
        leaf_hash(&parts.concat())
    };
    let leaves: Vec<_> = heads.iter().map(leaf).collect();
    assert_eq!(call.root, root_of(&leaves).as_bytes());
    assert_eq!(call.count as usize, leaves.len());
}

#[test]
fn a_host_that_is_over_is_neither_counted_nor_silent_and_one_in_maintenance_only_counted() {
    for (kind, until, open, silent) in [
        (HostEventKind::Retire, None, 4, [0, 0]),
        (HostEventKind::Evict, None, 4, [0, 0]),
        (HostEventKind::Ban, None, 4, [0, 0]),
        (HostEventKind::Transfer, None, 4, [0, 0]),
        (HostEventKind::Maintenance, None, 5, [0, 0]),
        (HostEventKind::Maintenance, Some(15 * MINUTES), 5, [0, 0]),
        // Of the first ten minutes it excuses one.
        (HostEventKind::Maintenance, Some(MINUTES), 5, [0, 1]),
        (HostEventKind::Approve, None, 5, [1, 1]),
    ] {
        let mut world = two_hosts();
        ten_minutes(&mut world, &[0, 1]);
        ten_minutes(&mut world, &[0]);
        let until = until.map(|after| world.now + after);
        event(&mut world, 1, kind, until);
        for silent in silent {
            let call = ten_minutes(&mut world, &[0]);
            let got = (call.count, call.silent_count);
            assert_eq!(got, (open, silent), "{kind:?} {until:?}");
        }
    }
}

#[test]
fn a_host_that_enrolled_since_the_last_roll_call_has_had_no_time_to_be_silent() {
    let mut world = two_hosts();
    ten_minutes(&mut world, &[0, 1]);
    world.enrol("gpu-c", &[H100], v1::SourceKind::Nvml);
    let second = ten_minutes(&mut world, &[0, 1]);
    assert_eq!((second.count, second.silent_count), (6, 0));
    let third = ten_minutes(&mut world, &[0, 1]);
    assert_eq!(third.silent, [chain(&world, 2)]);
}

#[test]
fn no_roll_call_is_due_before_ten_minutes_of_the_log_or_anywhere_but_behind_a_clock() {
    let mut world = two_hosts();
    world.now += 10 * MINUTES - 5_000;
    world.clock();
    assert_eq!(world.roll_call(), None);
    ten_minutes(&mut world, &[]);
    assert_eq!(world.roll_call(), None);
    world.now += 11 * MINUTES;
    assert_eq!(world.roll_call(), None, "no clock yet");
    world.clock();
    assert!(world.roll_call().is_some());
    world.record(0, &[]);
    assert_eq!(world.roll_call(), None, "something stands between");
    world.clock();
    assert!(world.roll_call().is_some(), "the next clock brings it");
}

#[test]
fn a_roll_call_that_the_log_does_not_make_is_refused_whatever_is_wrong_with_it() {
    type Change = fn(&mut v1::RollCall);
    type Named = fn(&Untrue) -> bool;
    let changes: [(Change, Named); 9] = [
        (
            |call| call.size += 1,
            |why| matches!(why, Untrue::Size { .. }),
        ),
        (
            |call| call.since -= 1,
            |why| matches!(why, Untrue::Since { .. }),
        ),
        (
            |call| call.count -= 1,
            |why| matches!(why, Untrue::Count { .. }),
        ),
        (
            |call| call.root[31] ^= 1,
            |why| matches!(why, Untrue::Heads),
        ),
        (|call| call.root.clear(), |why| matches!(why, Untrue::Heads)),
        (
            |call| call.silent.clear(),
            |why| matches!(why, Untrue::Silent { .. }),
        ),
        (
            |call| call.silent_count = 0,
            |why| matches!(why, Untrue::Silent { .. }),
        ),
        (
            |call| call.silent.push(vec![0xff; 32]),
            |why| matches!(why, Untrue::Silent { .. }),
        ),
        (
            |call| call.silent[0][0] ^= 1,
            |why| matches!(why, Untrue::Silent { .. }),
        ),
    ];
    for (change, due) in changes {
        let mut world = two_hosts();
        ten_minutes(&mut world, &[0]);
        world.now += 10 * MINUTES;
        world.clock();
        let mut call = world.roll_call().unwrap();
        change(&mut call);
        let why = untrue(world.refused(call));
        assert!(due(&why), "{why}");
    }
}

fn untrue(refusal: Refusal) -> Untrue {
    assert_eq!(refusal.code(), "roll-call");
    match refusal {
        Refusal::RollCall(untrue) => untrue,
        other => panic!("{other}"),
    }
}

#[test]
fn a_roll_call_too_early_or_out_of_place_is_refused() {
    let mut world = two_hosts();
    let mut call = ten_minutes(&mut world, &[0]);
    world.clock();
    (call.since, call.size) = (call.size, world.log.len() as u64);
    let why = untrue(world.refused(call));
    assert!(matches!(why, Untrue::Early(1_000)), "{why}");

    let mut world = two_hosts();
    world.now += 10 * MINUTES;
    world.clock();
    let mut call = world.roll_call().unwrap();
    world.record(0, &[]);
    call.size += 1;
    let why = untrue(world.refused(call));
    assert!(matches!(why, Untrue::Misplaced), "{why}");
}

#[test]
fn of_many_silent_hosts_all_are_counted_and_the_first_are_named() {
    let mut world = World::new();
    for host in 0..MAX_NAMED + 10 {
        world.enrol_quietly(&format!("gpu-{host}"));
    }
    ten_minutes(&mut world, &[]);
    let second = ten_minutes(&mut world, &[]);
    assert_eq!(second.silent_count as usize, MAX_NAMED + 10);
    assert_eq!(second.silent.len(), MAX_NAMED);
    assert!(second.silent.is_sorted());
    let longest = world
        .log
        .iter()
        .map(|one| one.statement().as_bytes().len())
        .max();
    assert!(longest.unwrap() < affiant_proto::statement::MAX_STATEMENT_BYTES);
}

/// A log of an hour with a roll call each ten minutes, and the time of its middle third.
fn an_hour() -> (World, Period) {
    let mut world = two_hosts();
    for _ in 0..2 {
        ten_minutes(&mut world, &[0, 1]);
    }
    let from = world.now;
    ten_minutes(&mut world, &[0]);
    ten_minutes(&mut world, &[0, 1]);
    let to = world.now;
    for _ in 0..2 {
        ten_minutes(&mut world, &[0, 1]);
    }
    world.clock();
    (world, Period::new(from, to).unwrap())
}

fn words(world: &World, bundle: &support::Files) -> (Conclusion, bool, String) {
    let verdict = verify(bundle, Some(&world.trust()), None).unwrap();
    let check = verdict
        .checks
        .iter()
        .find(|check| check.name == "roll-calls");
    let (ok, text) = check.map(|check| (check.ok, check.detail.clone())).unwrap();
    (verdict.verdict, ok, text)
}

#[test]
fn a_bundle_of_a_part_of_the_log_holds_its_roll_calls_against_every_chain() {
    let (mut world, period) = an_hour();
    for scope in [Scope::All, Scope::Tenant("acme".into())] {
        let bundle = world.report(period, scope);
        let (verdict, ok, text) = words(&world, &bundle);
        assert!(ok, "{text}");
        assert!(text.starts_with("3 roll calls follow"), "{text}");
        // A silence of twenty minutes.
        assert_eq!(verdict, Conclusion::Findings);
    }
}

/// Reads a log of which one entry is not shown, as evidence is read.
fn read_without(world: &World, left_out: usize) -> Result<Tally, Refusal> {
    let judge = Judge::new(Parameters::default());
    let genesis = world.log[0].statement().clone();
    let (mut docket, _) = Docket::open(0, genesis, Sources::default(), judge)?;
    for (index, envelope) in (0..).zip(&world.log).skip(1) {
        if index == left_out as u64 {
            continue;
        }
        let (statement, leaves) = envelope.clone().into_parts();
        let root = affiant_proto::envelope::root(statement.body());
        let all = (0..root.map_or(0, |(_, count)| count)).collect();
        docket.take(index, statement, leaves.disclose(&all))?;
    }
    Ok(docket.roll_calls())
}

#[test]
fn where_a_hosts_newest_record_is_left_out_the_roll_call_does_not_fit_what_is_shown() {
    let mut world = two_hosts();
    ten_minutes(&mut world, &[0, 0, 1]);
    ten_minutes(&mut world, &[0, 1]);
    let is_usage = |one: &Envelope| matches!(one.statement().body(), Body::Usage(_));
    let places = world.log.iter().enumerate();
    let records: Vec<usize> = places
        .filter(|(_, one)| is_usage(one))
        .map(|(at, _)| at)
        .collect();
    let [first, second, third, ..] = records[..] else {
        panic!("{records:?}")
    };
    for newest in [second, third] {
        let why = untrue(read_without(&world, newest).unwrap_err());
        assert!(matches!(why, Untrue::Heads), "{why}");
    }
    let told = read_without(&world, first).unwrap();
    assert_eq!(
        (told.checked, told.unchecked),
        (2, 0),
        "a newer one is shown"
    );
    let is_call = |one: &Envelope| matches!(one.statement().body(), Body::RollCall(_));
    let call = world.log.iter().rposition(is_call).unwrap();
    let told = read_without(&world, call - 1).unwrap();
    assert_eq!(
        (told.checked, told.unchecked),
        (1, 1),
        "its clock is not shown"
    );
}

#[test]
fn roll_calls_that_cease_are_missed_and_a_late_one_is_not() {
    let mut world = two_hosts();
    ten_minutes(&mut world, &[0, 1]);
    // A crash between a clock and its roll call: the next clock brings it.
    world.now += 10 * MINUTES;
    world.clock();
    ten_minutes(&mut world, &[0, 1]);
    assert_eq!(
        world.roll_calls().missed,
        1,
        "for twenty minutes there was none"
    );
    for _ in 0..60 {
        world.now += MINUTES;
        world.clock();
    }
    let told = world.roll_calls();
    assert_eq!((told.checked, told.unchecked, told.missed), (2, 0, 6));
}

#[test]
fn a_relay_is_no_host_says_nothing_and_leaves_no_trace_in_what_is_judged() {
    let mut world = two_hosts();
    let relay = world.enrol_relay("relay-1");
    let observation = v1::Observation {
        rule: "test".into(),
        ..v1::Observation::default()
    };
    let hosts_event = v1::HostEvent {
        host_chain: relay.chain().as_bytes().to_vec(),
        kind: HostEventKind::Retire.into(),
        ..v1::HostEvent::default()
    };
    let roll = ten_minutes(&mut world, &[0, 1]);
    assert_eq!(
        (roll.count, roll.silent_count),
        (5, 0),
        "operator, officers, hosts"
    );
    for body in [Body::from(observation), hosts_event.clone().into()] {
        let refused = world.relay_says("relay-1", &relay, body);
        assert_eq!(refused.code(), "kind");
    }
    world.operator(hosts_event);
    world.operator(v1::Revocation {
        key_id: relay.key().id().as_bytes().to_vec(),
        from_index: 1,
        r#use: v1::KeyUse::Record.into(),
        reason: "stolen".into(),
        ..v1::Revocation::default()
    });
    let next = ten_minutes(&mut world, &[0, 1]);
    assert_eq!((next.count, next.silent_count), (5, 0));
    let findings = world.judge().findings();
    assert!(findings.iter().all(|it| it.rule != Rule::KeySuspect));
    assert_eq!(world.roll_calls().checked, 2);
}
