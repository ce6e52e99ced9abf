use affiant_proto::v1::{self, EdgeKind};
use proptest::prelude::*;

use super::*;
use crate::timeline::Stamp;

const AT: Moment = Moment {
    index: 1_000_000,
    instant_ms: 1_000_000,
    known_before: 1_000_000,
};

/// Who owns between how much and how much of whom.
type Edge<'a> = (&'a str, &'a str, Option<u32>, Option<u32>);

fn say(parties: &mut Parties, index: u64, kind: EdgeKind, (from, to, min, max): Edge<'_>) {
    let stamp = Stamp {
        index,
        logged_ms: index,
        effective_ms: 0,
    };
    let edge = v1::Edge {
        from: from.into(),
        to: to.into(),
        kind: kind.into(),
        share_min_bp: min,
        share_max_bp: max,
        ..Default::default()
    };
    parties.edge(stamp, edge);
}

fn owned(edges: &[Edge<'_>]) -> Parties {
    let mut parties = Parties::default();
    for (index, edge) in (1..).zip(edges) {
        say(&mut parties, index, EdgeKind::Owns, *edge);
    }
    parties
}

fn exactly<'a>(edges: &[(&'a str, &'a str, u32)]) -> Parties {
    let exact = |(from, to, bp): &(&'a str, &'a str, u32)| (*from, *to, Some(*bp), Some(*bp));
    owned(&edges.iter().map(exact).collect::<Vec<_>>())
}

fn set(owners: &[&str]) -> BTreeSet<String> {
    owners.iter().map(|id| (*id).to_owned()).collect()
}

fn share(parties: &Parties, owners: &[&str], party: &str) -> (u32, u32) {
    let share = parties.share_of(&set(owners), party, AT);
    assert!(share.settled);
    (share.min_bp, share.max_bp)
}

fn cascade(parties: &Parties, owners: &[&str], party: &str) -> (u32, u32) {
    let share = parties.cascade_of(&set(owners), party, AT);
    (share.min_bp, share.max_bp)
}

#[test]
fn shares_multiply_along_a_path_and_add_over_paths() {
    let parties = exactly(&[
        ("x", "a", 5_000),
        ("x", "b", 4_000),
        ("a", "c", 5_000),
        ("b", "c", 2_500),
        ("x", "c", 1_000),
    ]);
    assert_eq!(share(&parties, &["x"], "c"), (4_500, 4_500));
    let told = parties.share_of(&set(&["x"]), "c", AT);
    assert_eq!(
        told.paths,
        [
            "x owns 10.00 % of c",
            "x owns 50.00 % of a, which owns 50.00 % of c",
            "x owns 40.00 % of b, which owns 25.00 % of c",
        ]
    );
}

#[test]
fn several_owners_add_up_and_none_counts_twice() {
    let parties = exactly(&[("x", "y", 8_000), ("x", "a", 3_000), ("y", "a", 2_500)]);
    assert_eq!(share(&parties, &["x"], "a"), (5_000, 5_000), "30 + 80 × 25");
    assert_eq!(share(&parties, &["y"], "a"), (2_500, 2_500));
    assert_eq!(
        share(&parties, &["x", "y"], "a"),
        (5_500, 5_500),
        "y's path ends at y"
    );
    assert_eq!(
        share(&parties, &["x", "y"], "y"),
        (10_000, 10_000),
        "one of them"
    );
    assert_eq!(
        share(&parties, &["a"], "x"),
        (0, 0),
        "ownership has a direction"
    );
    assert_eq!(share(&parties, &["stranger"], "a"), (0, 0));
    assert_eq!(share(&parties, &[], "a"), (0, 0));
}

#[test]
fn what_is_not_stated_is_nothing_at_least_and_at_most_what_others_leave() {
    let parties = owned(&[
        ("x", "a", None, None),
        ("y", "a", Some(3_000), None),
        ("z", "a", Some(2_500), Some(2_500)),
        ("x", "b", Some(5_100), None),
    ]);
    assert_eq!(share(&parties, &["x"], "a"), (0, 4_500));
    assert_eq!(share(&parties, &["y"], "a"), (3_000, 7_500));
    assert_eq!(share(&parties, &["z"], "a"), (2_500, 2_500));
    assert_eq!(share(&parties, &["x", "y"], "a"), (3_000, 7_500));
    assert_eq!(share(&parties, &["x"], "b"), (5_100, 10_000));
    let told = parties.share_of(&set(&["x"]), "a", AT);
    assert_eq!(told.paths, ["x owns a share that is not known of a"]);
    assert_eq!(told.reaches(HALF_BP), Some(false));
    let open = parties.share_of(&set(&["y"]), "a", AT);
    assert_eq!(
        open.reaches(HALF_BP),
        None,
        "may be half, and is not said to be less"
    );
    let sure = parties.share_of(&set(&["x"]), "b", AT);
    assert_eq!(sure.reaches(HALF_BP), Some(true));
}

#[test]
fn a_circle_of_shares_counts_what_comes_round_it_and_ends() {
    // a and b own half of each other: of what x has of a, a quarter comes round again.
    let parties = exactly(&[("x", "a", 3_000), ("b", "a", 5_000), ("a", "b", 5_000)]);
    assert_eq!(share(&parties, &["x"], "a"), (4_000, 4_000), "30 / (1 − ¼)");
    assert_eq!(share(&parties, &["x"], "b"), (2_000, 2_000));
    let own = exactly(&[("x", "a", 4_000), ("a", "a", 2_000)]);
    assert_eq!(
        share(&own, &["x"], "a"),
        (5_000, 5_000),
        "its own shares are nobody else's"
    );
}

#[test]
fn two_that_own_all_of_each_other_are_held_by_nobody() {
    let parties = exactly(&[("a", "b", 10_000), ("b", "a", 10_000), ("x", "c", 10_000)]);
    assert_eq!(share(&parties, &["x"], "a"), (0, 0));
    assert_eq!(cascade(&parties, &["x"], "a"), (0, 0));
    let full = owned(&[
        ("a", "b", Some(10_000), None),
        ("b", "a", Some(10_000), None),
        ("x", "a", None, None),
    ]);
    assert_eq!(share(&full, &["x"], "a"), (0, 0), "nothing is left for x");
}

#[test]
fn a_circle_that_hardly_leaks_is_solved_within_the_steps() {
    let parties = exactly(&[("x", "a", 1), ("b", "a", 9_999), ("a", "b", 9_999)]);
    assert_eq!(
        share(&parties, &["x"], "a"),
        (5_000, 5_001),
        "1 / (2 − 0.0001), and a hair above half"
    );
}

#[test]
fn shares_that_exceed_the_whole_are_each_believed_cut_and_named() {
    let parties = exactly(&[("x", "a", 6_000), ("y", "a", 7_000)]);
    assert_eq!(share(&parties, &["x"], "a"), (6_000, 6_000));
    assert_eq!(share(&parties, &["x", "y"], "a"), (10_000, 10_000));
    let told = parties.share_of(&set(&["x"]), "a", AT);
    assert_eq!(told.overstated, set(&["a"]));
    let wild = owned(&[
        ("x", "a", Some(u32::MAX), Some(3)),
        ("y", "a", Some(9_000), Some(1)),
    ]);
    assert_eq!(share(&wild, &["x"], "a"), (10_000, 10_000));
    assert_eq!(share(&wild, &["y"], "a"), (9_000, 9_000));
}

#[test]
fn around_a_back_dated_change_the_larger_share_counts_and_the_smaller_is_left_to_others() {
    let mut parties = owned(&[("x", "a", Some(6_000), Some(6_000)), ("y", "a", None, None)]);
    say(
        &mut parties,
        50,
        EdgeKind::Owns,
        ("x", "a", Some(1_000), Some(1_000)),
    );
    let between = Moment {
        index: 100,
        instant_ms: 20,
        known_before: 100,
    };
    let x = parties.share_of(&set(&["x"]), "a", between);
    assert_eq!((x.min_bp, x.max_bp), (6_000, 6_000));
    let y = parties.share_of(&set(&["y"]), "a", between);
    assert_eq!((y.min_bp, y.max_bp), (0, 9_000));
    assert_eq!(
        share(&parties, &["x"], "a"),
        (1_000, 1_000),
        "after the change"
    );
}

#[test]
fn control_is_told_and_is_no_share() {
    let mut parties = exactly(&[("x", "h", 10_000)]);
    say(
        &mut parties,
        2,
        EdgeKind::Controls,
        ("h", "a", Some(9_000), None),
    );
    let mut beside = exactly(&[("x", "a", 100)]);
    say(&mut beside, 2, EdgeKind::Controls, ("x", "a", None, None));
    assert_eq!(share(&parties, &["x"], "a"), (0, 0));
    assert_eq!(share(&beside, &["x"], "a"), (100, 100));
    let told = beside.share_of(&set(&["x"]), "a", AT);
    assert_eq!(told.controls, ["x controls a, which is no share"]);
}

/// The examples of OFAC's FAQ 401, and their likes that stay below a half.
#[test]
fn half_of_an_owner_who_is_held_by_half_counts_wholly_and_less_than_half_not_at_all() {
    let one = exactly(&[("x", "a", 5_000), ("a", "b", 5_000)]);
    assert_eq!(cascade(&one, &["x"], "b"), (5_000, 5_000));
    assert_eq!(
        share(&one, &["x"], "b"),
        (2_500, 2_500),
        "the product is another figure"
    );
    let two = exactly(&[
        ("x", "a", 5_000),
        ("x", "b", 5_000),
        ("a", "c", 2_500),
        ("b", "c", 2_500),
    ]);
    assert_eq!(cascade(&two, &["x"], "c"), (5_000, 5_000));
    let three = exactly(&[
        ("x", "a", 5_000),
        ("x", "b", 1_000),
        ("a", "b", 4_000),
        ("a", "c", 2_500),
        ("b", "c", 2_500),
    ]);
    assert_eq!(cascade(&three, &["x"], "c"), (5_000, 5_000));
    let below = exactly(&[("x", "a", 4_999), ("a", "b", 10_000)]);
    assert_eq!(cascade(&below, &["x"], "b"), (0, 0));
    assert_eq!(share(&below, &["x"], "b"), (4_999, 4_999));
    let added = exactly(&[("x", "a", 2_500), ("y", "a", 2_500), ("a", "b", 6_000)]);
    assert_eq!(cascade(&added, &["x"], "b"), (0, 0));
    assert_eq!(cascade(&added, &["x", "y"], "b"), (6_000, 6_000));
}

#[test]
fn what_may_be_half_may_count_and_does_not_for_sure() {
    let parties = owned(&[
        ("x", "a", None, None),
        ("a", "b", Some(5_000), Some(6_000)),
        ("x", "b", Some(1_000), Some(1_000)),
    ]);
    let told = parties.cascade_of(&set(&["x"]), "b", AT);
    assert_eq!((told.min_bp, told.max_bp), (1_000, 7_000));
    assert_eq!(told.reaches(HALF_BP), None);
}

/// Three owners of each of ten thousand parties, the first by `owner`.
fn thirty_thousand(owner: impl Fn(u32, u32) -> u32, bps: [u32; 3], more: u32) -> Parties {
    let mut parties = Parties::default();
    for n in 0..10_000_u32 {
        for (which, bp) in (0..).zip(bps) {
            let (from, to) = (format!("p{}", owner(n, which)), format!("p{n}"));
            let edge = (from.as_str(), to.as_str(), Some(bp), Some(bp + more));
            say(&mut parties, u64::from(3 * n + which), EdgeKind::Owns, edge);
        }
    }
    parties
}

fn every(step: u32) -> BTreeSet<String> {
    (step - 1..10_000)
        .step_by(step as usize)
        .map(|n| format!("p{n}"))
        .collect()
}

#[test]
fn ten_thousand_parties_with_thirty_thousand_edges_are_answered_exactly() {
    // Owners have higher numbers, but for every hundredth, who is owned by one of lower number.
    let owner = |n: u32, which: u32| match (n % 100, which) {
        (0, 0) => n.saturating_sub(150),
        _ => (n + 1 + 9 * which).min(9_999),
    };
    let parties = thirty_thousand(owner, [4_000, 3_000, 2_000], 0);
    let told = parties.share_of(&every(300), "p5", AT);
    assert!(told.settled && told.min_bp > 0, "{told:?}");
    assert!(told.max_bp - told.min_bp <= 1, "{told:?}");
    assert!(!told.paths.is_empty() && told.paths.len() <= MAX_TOLD);
    assert!(parties.cascade_of(&every(300), "p5", AT).max_bp <= WHOLE_BP);
}

#[test]
fn one_circle_of_ten_thousand_that_hardly_leaks_is_answered_within_bounds_that_hold() {
    let owner = |n: u32, which: u32| (n * [1, 7, 2_999][which as usize] + which * 13 + 1) % 10_000;
    let tight = thirty_thousand(owner, [4_000, 3_000, 2_900], 0);
    let told = tight.share_of(&every(1_000), "p5", AT);
    assert!(told.min_bp > 0 && told.min_bp < told.max_bp, "{told:?}");
    assert!(told.max_bp < WHOLE_BP, "{told:?}");
    assert!(!told.settled, "and it says that they may be closer");
}

#[test]
fn a_chain_of_ten_thousand_owners_is_followed_to_its_end() {
    let mut parties = Parties::default();
    for n in 0..10_000_u64 {
        let (from, to) = (format!("p{}", n + 1), format!("p{n}"));
        say(
            &mut parties,
            n + 1,
            EdgeKind::Owns,
            (&from, &to, Some(10_000), None),
        );
    }
    assert_eq!(share(&parties, &["p10000"], "p0"), (10_000, 10_000));
    assert_eq!(cascade(&parties, &["p10000"], "p0"), (10_000, 10_000));
}

/// Edges among six parties: from, to, lower bound, and how far the upper one is above it.
fn edges() -> impl Strategy<Value = Vec<(usize, usize, u32, u32)>> {
    prop::collection::vec((0..6_usize, 0..6_usize, 0..4_000_u32, 0..4_000_u32), 0..14)
}

const NAMES: [&str; 6] = ["p0", "p1", "p2", "p3", "p4", "p5"];

/// What `owners` hold of each party, by going round a thousand times in floating point.
fn rounds(shares: &BTreeMap<(usize, usize), f64>, owners: &BTreeSet<usize>) -> [f64; 6] {
    let start = |n| if owners.contains(&n) { 1.0 } else { 0.0 };
    let mut held: [f64; 6] = std::array::from_fn(start);
    for _ in 0..1_000 {
        held = std::array::from_fn(|party| {
            let of = shares.iter().filter(|((_, to), _)| *to == party);
            let sum: f64 = of.map(|((from, _), share)| share * held[*from]).sum();
            if owners.contains(&party) { 1.0 } else { sum }
        });
    }
    held
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_shares_fit_the_statements_the_answer_holds_what_they_come_to(
        edges in edges(),
        owners in prop::collection::btree_set(0..6_usize, 0..4),
        chosen in prop::collection::vec(0.0..=1.0_f64, 14),
    ) {
        // The last statement of two about one edge counts.
        let stated: BTreeMap<(usize, usize), (u32, u32)> =
            edges.iter().map(|(from, to, min, more)| ((*from, *to), (*min, min + more))).collect();
        let mut parties = Parties::default();
        for (index, ((from, to), (min, max))) in (1..).zip(&stated) {
            let edge = (NAMES[*from], NAMES[*to], Some(*min), Some(*max));
            say(&mut parties, index, EdgeKind::Owns, edge);
        }
        let stand = |of: &BTreeMap<(usize, usize), f64>, party: usize| -> f64 {
            of.iter().filter(|((_, to), _)| *to == party).map(|(_, share)| share).sum()
        };
        let named: BTreeSet<String> = owners.iter().map(|n| NAMES[*n].to_owned()).collect();
        // Shares somewhere between the bounds; those that cannot be at once go down towards the lower.
        let mut shares: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        for ((edge, (min, max)), part) in stated.iter().zip(&chosen) {
            shares.insert(*edge, (f64::from(*min) + part * f64::from(max - min)) / 10_000.0);
        }
        for party in 0..6 {
            let low: f64 = stated.iter().filter(|((_, to), _)| *to == party).map(|(_, (min, _))| f64::from(*min) / 10_000.0).sum();
            let all = stand(&shares, party);
            prop_assume!(low <= 1.0);
            if all > 1.0 {
                let keep = (1.0 - low) / (all - low);
                for (edge, (min, _)) in stated.iter().filter(|((_, to), _)| *to == party) {
                    let min = f64::from(*min) / 10_000.0;
                    let share = shares[edge];
                    shares.insert(*edge, min + (share - min) * keep);
                }
            }
        }
        let held = rounds(&shares, &owners);
        for (party, held) in held.into_iter().enumerate() {
            let told = parties.share_of(&named, NAMES[party], AT);
            let bp = held * 10_000.0;
            prop_assert!(f64::from(told.min_bp) <= bp + 1e-3, "{party}: {told:?} {bp}");
            prop_assert!(bp <= f64::from(told.max_bp) + 1e-3, "{party}: {told:?} {bp}");
            let counted = parties.cascade_of(&named, NAMES[party], AT);
            prop_assert!(counted.min_bp <= counted.max_bp && counted.max_bp <= WHOLE_BP);
        }
    }

    #[test]
    fn exact_shares_give_an_exact_answer(
        edges in prop::collection::btree_map((0..6_usize, 0..6_usize), 0..1_600_u32, 0..20),
        owners in prop::collection::btree_set(0..6_usize, 1..3),
    ) {
        let mut parties = Parties::default();
        let mut shares = BTreeMap::new();
        for (index, ((from, to), bp)) in (1..).zip(&edges) {
            say(&mut parties, index, EdgeKind::Owns, (NAMES[*from], NAMES[*to], Some(*bp), Some(*bp)));
            shares.insert((*from, *to), f64::from(*bp) / 10_000.0);
        }
        let named: BTreeSet<String> = owners.iter().map(|n| NAMES[*n].to_owned()).collect();
        for (party, held) in rounds(&shares, &owners).into_iter().enumerate() {
            let told = parties.share_of(&named, NAMES[party], AT);
            prop_assert!(told.max_bp - told.min_bp <= 1, "{told:?}");
            prop_assert!((f64::from(told.min_bp) - held * 10_000.0).abs() <= 1.001, "{told:?} {held}");
        }
    }

    #[test]
    fn whatever_is_stated_shares_stay_between_nothing_and_all_and_more_owners_never_hold_less(
        edges in prop::collection::vec((0..6_usize, 0..6_usize, any::<Option<u32>>(), any::<Option<u32>>()), 0..20),
        owners in prop::collection::btree_set(0..6_usize, 0..4),
        one_more in 0..6_usize,
    ) {
        let mut parties = Parties::default();
        for (index, (from, to, min, max)) in (1..).zip(edges) {
            say(&mut parties, index, EdgeKind::Owns, (NAMES[from], NAMES[to], min, max));
        }
        let mut named: BTreeSet<String> = owners.iter().map(|n| NAMES[*n].to_owned()).collect();
        let ask = |named: &BTreeSet<String>| NAMES.map(|party| {
            (parties.share_of(named, party, AT), parties.cascade_of(named, party, AT))
        });
        let before = ask(&named);
        named.insert(NAMES[one_more].to_owned());
        for ((share, cascade), (more, wider)) in before.iter().zip(&ask(&named)) {
            prop_assert!(share.min_bp <= share.max_bp && share.max_bp <= WHOLE_BP);
            prop_assert!(cascade.min_bp <= cascade.max_bp && cascade.max_bp <= WHOLE_BP);
            prop_assert!(share.min_bp <= more.min_bp + 1 && share.max_bp <= more.max_bp + 1);
            prop_assert!(cascade.min_bp <= wider.min_bp && cascade.max_bp <= wider.max_bp);
        }
    }
}
