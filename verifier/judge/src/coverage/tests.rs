use super::*;

const HOST: Chain = [7; 32];
const S: u64 = 1_000;

fn coverage() -> Coverage {
    let mut coverage = Coverage::new(&Parameters::default(), 0, u64::MAX);
    coverage.clock(1_000 * S);
    coverage
}

/// Ten-second records from `from` to `to`, each logged with a clock as it ends.
fn stream(coverage: &mut Coverage, from: u64, to: u64) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for start in (from..to).step_by(10) {
        coverage.clock((start + 10) * S);
        gaps.extend(
            coverage
                .record(HOST, start, start * S, (start + 10) * S)
                .gaps,
        );
    }
    gaps
}

#[test]
fn a_steady_host_has_no_gap() {
    let mut coverage = coverage();
    coverage.expect(HOST, 1);
    assert_eq!(stream(&mut coverage, 1_000, 1_100), []);
    assert_eq!(coverage.silences().count(), 0);
    let counted = coverage.counted(&HOST);
    assert_eq!(
        (counted.expected_ms, counted.recorded_ms),
        (100_000, 100_000)
    );
}

#[test]
fn a_live_host_that_stops_falls_silent_after_the_grace_and_the_gap_grows_until_it_speaks() {
    let mut coverage = coverage();
    stream(&mut coverage, 1_000, 1_100);
    for now in 1_101..=1_130 {
        coverage.clock(now * S);
    }
    assert_eq!(coverage.silences().count(), 0);
    coverage.clock(1_131 * S);
    let silence = coverage
        .silences()
        .next()
        .map(|(_, gap)| (gap.from_ms, gap.to_ms));
    assert_eq!(silence, Some((1_100 * S, 1_131 * S)));
    let gaps = coverage.record(HOST, 5_000, 1_100 * S, 1_110 * S).gaps;
    assert_eq!(gaps.len(), 1, "covered after all, but late: {gaps:?}");
    assert!(
        gaps.iter()
            .all(|gap| gap.to_ms == 1_131 * S && gap.why.contains("later"))
    );
    assert_eq!(coverage.silences().count(), 0);
    assert_eq!(coverage.counted(&HOST).hole_ms, 0);
}

#[test]
fn a_host_that_was_approved_and_never_reports_is_silent() {
    let mut coverage = coverage();
    coverage.expect(HOST, 3);
    for now in 1_001..1_300 {
        coverage.clock(now * S);
    }
    assert_eq!(
        coverage.silences().count(),
        0,
        "it may take its time to begin"
    );
    coverage.clock(1_301 * S);
    assert_eq!(coverage.silences().count(), 1);
}

#[test]
fn a_host_that_fell_silent_while_the_log_stood_still_is_not_excused_past_the_period() {
    let mut coverage = Coverage::new(&Parameters::default(), 0, 2_000 * S);
    coverage.clock(1_000 * S);
    stream(&mut coverage, 1_000, 1_100);
    coverage.clock(1_990 * S);
    assert_eq!(coverage.silences().count(), 0);
    coverage.clock(2_001 * S);
    let silence = coverage
        .silences()
        .next()
        .map(|(_, gap)| (gap.from_ms, gap.to_ms));
    assert_eq!(silence, Some((1_100 * S, 2_000 * S)));
}

#[test]
fn time_between_two_records_is_a_hole() {
    let mut coverage = coverage();
    stream(&mut coverage, 1_000, 1_100);
    coverage.clock(1_170 * S);
    let gaps = coverage.record(HOST, 9, 1_160 * S, 1_170 * S).gaps;
    assert_eq!(
        gaps.first().map(|gap| (gap.from_ms, gap.to_ms)),
        Some((1_100 * S, 1_160 * S))
    );
    assert_eq!(coverage.counted(&HOST).hole_ms, 60_000);
}

#[test]
fn when_the_log_itself_stood_still_hosts_are_excused_once() {
    let mut coverage = coverage();
    stream(&mut coverage, 1_000, 1_100);
    coverage.clock(5_000 * S);
    assert_eq!(coverage.silences().count(), 0, "the log was asleep");
    coverage.clock(9_000 * S);
    assert_eq!(coverage.silences().count(), 1, "not excused twice");
}

#[test]
fn a_maintained_host_rests_and_its_time_is_counted_apart() {
    let mut coverage = coverage();
    stream(&mut coverage, 1_000, 1_100);
    assert_eq!(coverage.maintain(HOST, 9, None), None);
    for now in 1_101..1_500 {
        coverage.clock(now * S);
    }
    assert_eq!(coverage.silences().count(), 0);
    let counted = coverage.counted(&HOST);
    assert_eq!(counted.resting_since_ms, Some(1_100 * S));
    assert_eq!((counted.planned_ms, counted.hole_ms), (399_000, 0));
    let heard = coverage.record(HOST, 20, 1_490 * S, 1_500 * S);
    assert_eq!(
        (&heard.gaps[..], &heard.planned[..], heard.back),
        (&[][..], &[(1_100 * S, 1_490 * S)][..], true)
    );
    for now in 1_500..1_600 {
        coverage.clock(now * S);
    }
    assert_eq!(coverage.silences().count(), 1, "the plan was over");
    assert_eq!(coverage.counted(&HOST).planned_ms, 390_000);
}

#[test]
fn records_that_go_on_during_a_maintenance_do_not_end_it() {
    let mut coverage = coverage();
    stream(&mut coverage, 1_000, 1_100);
    coverage.maintain(HOST, 9, None);
    stream(&mut coverage, 1_100, 1_200);
    for now in 1_200..1_400 {
        coverage.clock(now * S);
    }
    assert_eq!(coverage.silences().count(), 0);
}

#[test]
fn silence_beyond_the_end_of_a_maintenance_counts_from_there() {
    let mut coverage = coverage();
    stream(&mut coverage, 1_000, 1_100);
    coverage.maintain(HOST, 9, Some(1_200 * S));
    for now in 1_101..=1_260 {
        coverage.clock(now * S);
    }
    let silence = coverage
        .silences()
        .next()
        .map(|(_, gap)| (gap.from_ms, gap.to_ms));
    assert_eq!(silence, Some((1_200 * S, 1_260 * S)));
    let heard = coverage.record(HOST, 20, 1_260 * S, 1_270 * S);
    let hole = heard.gaps.last().map(|gap| (gap.from_ms, gap.to_ms));
    assert_eq!(hole, Some((1_200 * S, 1_260 * S)));
    let counted = coverage.counted(&HOST);
    assert_eq!((counted.planned_ms, counted.hole_ms), (100_000, 60_000));
}

#[test]
fn a_maintenance_that_is_called_off_excuses_no_more() {
    let mut coverage = coverage();
    stream(&mut coverage, 1_000, 1_100);
    coverage.maintain(HOST, 9, None);
    for now in 1_101..=1_200 {
        coverage.clock(now * S);
    }
    coverage.maintain(HOST, 10, Some(1_200 * S));
    for now in 1_201..=1_240 {
        coverage.clock(now * S);
    }
    let silence = coverage.silences().next().map(|(_, gap)| gap.from_ms);
    assert_eq!(silence, Some(1_200 * S));
}

#[test]
fn silence_before_a_maintenance_stays_a_gap() {
    let mut coverage = coverage();
    stream(&mut coverage, 1_000, 1_100);
    for now in 1_101..=1_200 {
        coverage.clock(now * S);
    }
    let gap = coverage.maintain(HOST, 9, None);
    let gap = gap.map(|gap| (gap.from_ms, gap.to_ms));
    assert_eq!(gap, Some((1_100 * S, 1_200 * S)));
    assert_eq!(coverage.silences().count(), 0);
}

#[test]
fn a_late_record_of_a_host_that_is_over_is_counted_and_nothing_is_due() {
    let mut coverage = coverage();
    stream(&mut coverage, 1_000, 1_100);
    coverage.clock(1_120 * S);
    coverage.end(HOST, 9);
    assert_eq!(coverage.counted(&HOST).hole_ms, 20_000);
    coverage.clock(2_000 * S);
    assert_eq!(coverage.record(HOST, 12, 1_100 * S, 1_115 * S).gaps, []);
    coverage.clock(9_000 * S);
    assert_eq!(coverage.silences().count(), 0);
    let counted = coverage.counted(&HOST);
    assert_eq!((counted.hole_ms, counted.expected_ms), (5_000, 120_000));
    assert_eq!(counted.recorded_ms, 115_000);
}

#[test]
fn a_retired_host_owes_no_records() {
    let mut coverage = coverage();
    stream(&mut coverage, 1_000, 1_100);
    assert_eq!(coverage.end(HOST, 9).gaps, []);
    for now in 1_101..1_300 {
        coverage.clock(now * S);
    }
    assert_eq!(coverage.silences().count(), 0);
    assert_eq!(coverage.counted(&HOST).expected_ms, 100_000);
}

#[test]
fn a_new_chain_owes_the_time_since_the_old_one() {
    let mut coverage = coverage();
    stream(&mut coverage, 1_000, 1_100);
    coverage.clock(1_105 * S);
    coverage.inherit([8; 32], 20, HOST);
    coverage.clock(1_170 * S);
    let gaps = coverage.record([8; 32], 21, 1_160 * S, 1_170 * S).gaps;
    assert_eq!(gaps.first().map(|gap| gap.from_ms), Some(1_100 * S));
    assert_eq!(coverage.counted(&HOST).hole_ms, 0);
    assert_eq!(coverage.counted(&[8; 32]).hole_ms, 60_000);
}

#[test]
fn a_claim_on_the_future_covers_none_of_it() {
    let mut coverage = coverage();
    coverage.record(HOST, 1, 0, u64::MAX);
    for now in 1_001..1_060 {
        coverage.clock(now * S);
    }
    assert_eq!(coverage.silences().count(), 1);
    coverage.record(HOST, 2, u64::MAX, 0);
    coverage.clock(u64::MAX);
    coverage.record(HOST, u64::MAX, u64::MAX, u64::MAX);
}

#[test]
fn time_outside_the_period_is_not_expected() {
    let mut coverage = Coverage::new(&Parameters::default(), 2_000 * S, 3_000 * S);
    coverage.clock(1_000 * S);
    coverage.expect(HOST, 1);
    coverage.clock(1_500 * S);
    coverage.clock(2_005 * S);
    assert_eq!(coverage.record(HOST, 2, 1_995 * S, 2_005 * S).gaps, []);
    assert_eq!(coverage.counted(&HOST).recorded_ms, 5_000);
    assert_eq!(stream(&mut coverage, 2_005, 3_005), []);
    coverage.clock(9_000 * S);
    coverage.clock(99_000 * S);
    assert_eq!(coverage.silences().count(), 0);
    assert_eq!(coverage.counted(&HOST).expected_ms, 1_000_000);
}
