//! Promises of policies and of their text form.

use proptest::prelude::*;

use super::{super::fixtures::*, rule::*, *};

fn key(called: &str, seed: u8) -> CosignerKey {
    cosigner(called, seed).key().clone()
}

/// The example of the specification, two of three and one of three, with these keys.
fn nested() -> String {
    let mut text = format!("# who must have seen it\n\nlog {}\n", log(1).key());
    for (n, name) in (10..).zip(["X1", "X2", "X3", "Y1", "Y2", "Y3"]) {
        let key = key(&format!("{}.example", name.to_lowercase()), n);
        text += &format!("witness\t{name} {key}   https://{name}.example/w\n");
    }
    text + "group X-witnesses 2 X1 X2 X3\n  group Y-witnesses any Y1 Y2 Y3\n\
            group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y \n"
}

fn refused(text: &str) -> BadPolicyFile {
    PolicyFile::parse(text.as_bytes()).unwrap_err()
}

#[test]
fn the_example_of_the_specification_reads_and_asks_for_what_it_says() {
    let file = PolicyFile::parse(nested().as_bytes()).unwrap();
    assert_eq!(file.logs().len(), 1);
    assert_eq!(file.logs()[0].key, *log(1).key());
    assert_eq!(file.witnesses().len(), 6);
    assert_eq!(
        file.witnesses()[3].url.as_deref(),
        Some("https://Y1.example/w")
    );
    let policy = file.policy().unwrap();
    assert_eq!(policy.count(), None);
    assert_eq!(
        policy.words(),
        "all of (2 of x1.example, x2.example, x3.example), (1 of y1.example, y2.example, y3.example)"
    );
    let met = |who: &[&str]| policy.met(|key| who.contains(&key.name().as_str()));
    assert!(met(&["x1.example", "x3.example", "y2.example"]));
    assert!(!met(&[
        "x1.example",
        "y1.example",
        "y2.example",
        "y3.example"
    ]));
    assert!(!met(&["x1.example", "x2.example", "x3.example"]));
}

#[test]
fn a_nested_quorum_is_dated_by_the_last_cosignature_that_it_needed() {
    let policy = PolicyFile::parse(nested().as_bytes())
        .unwrap()
        .policy()
        .unwrap();
    let [x1, x2, x3, y1] = [("x1", 10), ("x2", 11), ("x3", 12), ("y1", 13)]
        .map(|(name, seed)| cosigner(&format!("{name}.example"), seed));
    let note = cosigned_note(7, &[(&x1, 50), (&x2, 20), (&x3, 30), (&y1, 25)]);
    // Of the first group the second is due, at 30; the other is there since 25.
    assert_eq!(policy.cosigned(&note, &checkpoint(7)).unwrap().by(), 30);
    let few = cosigned_note(7, &[(&x1, 50), (&y1, 25)]);
    let NotWitnessed::Quorum { found, due } = policy.cosigned(&few, &checkpoint(7)).unwrap_err()
    else {
        panic!("another refusal")
    };
    assert_eq!((found.len(), due), (2, policy.words()));
}

#[test]
fn one_witness_or_none_can_be_the_quorum() {
    let witness = format!("witness W {}\n", key("w.example", 5));
    let one = PolicyFile::parse(format!("{witness}quorum W\n").as_bytes()).unwrap();
    let policy = one.policy().unwrap();
    assert_eq!(
        (policy.count(), policy.words()),
        (Some(1), "w.example".into())
    );
    assert!(policy.met(|_| true) && !policy.met(|_| false));
    let none = PolicyFile::parse(format!("{witness}quorum none\n").as_bytes()).unwrap();
    assert_eq!((none.witnesses().len(), none.policy()), (1, None));
    assert!(PolicyFile::parse(b"quorum none\n").is_ok());
}

#[test]
fn what_is_no_policy_is_refused_by_its_line() {
    let (a, b) = (key("a.example", 5), key("b.example", 6));
    let two = format!("witness A {a}\nwitness B {b}\n");
    type Why = fn(&BadPolicyFile) -> bool;
    let cases: [(String, Why); 19] = [
        ("quorum none".into(), |e| matches!(e, BadPolicyFile::Cut)),
        (String::new(), |e| matches!(e, BadPolicyFile::Cut)),
        ("\n".into(), |e| matches!(e, BadPolicyFile::NoQuorum)),
        ("quorum none\r\n".into(), |e| {
            matches!(e, BadPolicyFile::Control(1))
        }),
        ("\n\x7f\n".into(), |e| {
            matches!(e, BadPolicyFile::Control(2))
        }),
        ("\nquorums none\n".into(), |e| {
            matches!(e, BadPolicyFile::Word { line: 2, .. })
        }),
        ("quorum\n".into(), |e| {
            matches!(e, BadPolicyFile::Form { line: 1, .. })
        }),
        ("quorum none none\n".into(), |e| {
            matches!(e, BadPolicyFile::Form { .. })
        }),
        ("log\n".into(), |e| matches!(e, BadPolicyFile::Form { .. })),
        ("group G any\n".into(), |e| {
            matches!(e, BadPolicyFile::Form { .. })
        }),
        (format!("witness {a}\n"), |e| {
            matches!(e, BadPolicyFile::Form { .. })
        }),
        (format!("log {a}\n"), |e| {
            matches!(e, BadPolicyFile::Key { line: 1, .. })
        }),
        (format!("witness none {a}\n"), |e| {
            matches!(e, BadPolicyFile::Taken { .. })
        }),
        (format!("{two}group A any B\n"), |e| {
            matches!(e, BadPolicyFile::Taken { line: 3, .. })
        }),
        (format!("{two}group G any G\n"), |e| {
            matches!(e, BadPolicyFile::Undefined { .. })
        }),
        (format!("quorum A\n{two}"), |e| {
            matches!(e, BadPolicyFile::Undefined { line: 1, .. })
        }),
        (format!("{two}group G any none\n"), |e| {
            matches!(e, BadPolicyFile::Undefined { .. })
        }),
        (format!("{two}group G any A A\n"), |e| {
            matches!(e, BadPolicyFile::Member { .. })
        }),
        (format!("{two}group G any A\ngroup H any A B\n"), |e| {
            matches!(e, BadPolicyFile::Member { line: 4, .. })
        }),
    ];
    for (text, why) in cases {
        let refused = refused(&text);
        assert!(why(&refused), "{text:?}: {refused:?}");
    }
    for threshold in ["0", "3", "-1", "01", "ANY", "18446744073709551617"] {
        let refused = refused(&format!("{two}group G {threshold} A B\n"));
        let due = BadPolicyFile::Threshold {
            line: 3,
            members: 2,
        };
        assert_eq!(refused, due, "{threshold}");
    }
    let again = format!("{two}witness C {}\n", key("c.example", 5));
    assert_eq!(
        refused(&again),
        BadPolicyFile::RepeatedKey(3),
        "one key, two names"
    );
    let logs = format!("log {}\nlog {}\n", log(1).key(), log(1).key());
    assert_eq!(refused(&logs), BadPolicyFile::RepeatedKey(2));
    let quorums = format!("{two}quorum A\nquorum none\n");
    assert_eq!(refused(&quorums), BadPolicyFile::SecondQuorum(4));
}

#[test]
fn the_limits_hold_and_what_the_specification_wants_at_least_fits() {
    let witness = |n: u8| format!("witness W{n} {}\n", key(&format!("w{n}.example"), n));
    let most: String = (1..=99).map(witness).collect();
    assert!(PolicyFile::parse(format!("{most}quorum W99\n").as_bytes()).is_ok());
    assert_eq!(
        refused(&(most + &witness(100))),
        BadPolicyFile::TooMany(100)
    );
    // Groups of one, each within the next.
    let groups: String = (1..=64)
        .map(|n| format!("group G{n} 1 G{}\n", n - 1))
        .collect();
    let groups = groups.replace("group G1 1 G0\n", "group G1 1 W1\n");
    let chain = format!("{}{groups}quorum G64\n", witness(1));
    let policy = PolicyFile::parse(chain.as_bytes())
        .unwrap()
        .policy()
        .unwrap();
    assert!(policy.met(|_| true) && !policy.met(|_| false));
    let more = chain.replace("quorum G64\n", "group G65 1 G64\n");
    assert_eq!(refused(&more), BadPolicyFile::TooMany(66));
    let long = "#".repeat(MAX_POLICY_BYTES) + "\n";
    assert_eq!(refused(&long), BadPolicyFile::TooLong(MAX_POLICY_BYTES + 1));
    assert!(PolicyFile::parse((long[13..].to_owned() + "quorum none\n").as_bytes()).is_ok());
    let url = |length| {
        format!(
            "witness W {} {}\nquorum W\n",
            key("w", 5),
            "u".repeat(length)
        )
    };
    assert!(PolicyFile::parse(url(2_048).as_bytes()).is_ok());
    assert_eq!(refused(&url(2_049)), BadPolicyFile::Text(1));
}

#[test]
fn names_are_octets_and_comments_may_hold_any() {
    let key = key("w.example", 5);
    let text = [
        b"# \xff\xfe\nwitness \xff ".as_slice(),
        key.to_string().as_bytes(),
        b"\nquorum \xff\n",
    ]
    .concat();
    assert!(PolicyFile::parse(&text).unwrap().policy().is_some());
    let other = text.iter().map(|b| if *b == 0xff { 0xfe } else { *b });
    let mut other: Vec<u8> = other.collect();
    let last = other.len() - 2;
    other[last] = 0xff;
    assert!(matches!(
        PolicyFile::parse(&other),
        Err(BadPolicyFile::Undefined { line: 3, .. })
    ));
}

/// What a group asks for, told by counting.
fn counted(rule: &Rule, member: Member, cosigned: &[bool]) -> bool {
    match member {
        Member::Witness(at) => cosigned[at],
        Member::Group(at) => {
            let group = &rule.groups[at];
            let members = group.members.iter();
            members.filter(|m| counted(rule, **m, cosigned)).count() >= group.threshold
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Random forests: each group takes some of what no group has yet.
    #[test]
    fn a_rule_is_satisfied_exactly_when_counting_says_so(
        picks in prop::collection::vec((1_usize..5, 0_usize..5), 1..8),
        cosigned in prop::collection::vec(any::<bool>(), 12),
    ) {
        let mut free: Vec<Member> = (0..cosigned.len()).map(Member::Witness).collect();
        let mut groups = Vec::new();
        for (take, threshold) in picks {
            let taken: Vec<Member> = free.drain(..take.min(free.len())).collect();
            let threshold = threshold % taken.len().max(1) + 1;
            if taken.is_empty() { break; }
            groups.push(Group { threshold, members: taken });
            free.push(Member::Group(groups.len() - 1));
        }
        let quorum = *free.last().unwrap();
        let rule = Rule { groups, quorum };
        let times: Vec<Option<u64>> = cosigned.iter().map(|is| is.then_some(9)).collect();
        prop_assert_eq!(rule.since(&times).is_some(), counted(&rule, quorum, &cosigned));
        // Later cosignatures never bring the quorum forward, and it dates from one of them.
        let times: Vec<Option<u64>> = (0..).zip(&cosigned).map(|(n, is)| is.then_some(n)).collect();
        if let Some(since) = rule.since(&times) {
            prop_assert!(times.contains(&Some(since)));
            let by_then: Vec<bool> = times.iter().map(|t| t.is_some_and(|t| t <= since)).collect();
            prop_assert!(counted(&rule, quorum, &by_then));
            let before: Vec<bool> = times.iter().map(|t| t.is_some_and(|t| t < since)).collect();
            prop_assert!(!counted(&rule, quorum, &before));
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic_and_what_reads_can_be_met(
        bytes in mutated(Box::leak(nested().into_boxed_str())),
    ) {
        if let Ok(file) = PolicyFile::parse(&bytes)
            && let Some(policy) = file.policy()
        {
            prop_assert!(policy.met(|_| true));
            prop_assert!(!policy.met(|_| false));
        }
    }
}
