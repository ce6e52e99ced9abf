//! Promises of checkpoints, cosignatures and policies.

use proptest::prelude::*;

use super::{fixtures::*, *};
use crate::keys::{Ed25519Signer, Signer as _};

#[test]
fn a_published_checkpoint_opens_and_its_witnesses_are_counted() {
    let opened = Checkpoint::open(ARCHE_NOTE.as_bytes(), &ARCHE.parse().unwrap()).unwrap();
    assert_eq!(opened.checkpoint().size(), 1_432_088_532);
    let keys: Vec<CosignerKey> = WITNESSES.iter().map(|key| key.parse().unwrap()).collect();
    for (key, text) in keys.iter().zip(WITNESSES) {
        assert_eq!(key.to_string(), text);
        assert_eq!(verify_cosignature(opened.note(), key), Ok(ARCHE_TIME));
    }
    let policy = Policy::new(keys, 4).unwrap();
    let witnessed = policy.cosigned(opened.note(), opened.checkpoint()).unwrap();
    assert_eq!(witnessed.by(), ARCHE_TIME);
    assert_eq!(witnessed.cosigned().len(), 4);
    // Two lines are of the log's own keys; the RFC 6962 one among them is carried unread.
    assert_eq!(opened.note().signatures().len(), 6);
}

#[test]
fn no_bit_of_a_signed_checkpoint_can_change() {
    let signed = checkpoint(7).sign(&log(1)).unwrap();
    let bytes = signed.note().to_string().into_bytes();
    assert_eq!(Checkpoint::open(&bytes, log(1).key()), Ok(signed));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            let opened = Checkpoint::open(&bad, log(1).key());
            assert!(opened.is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_key_speaks_for_its_own_log_alone() {
    let foreign = Checkpoint::new("log.example/gpu/2".parse().unwrap(), 7, leaf_hash(b"")).unwrap();
    assert!(matches!(
        foreign.sign(&log(1)),
        Err(CannotSign::Origin { .. })
    ));
    let note = log(1).sign(&foreign.to_string()).unwrap().to_string();
    assert!(matches!(
        Checkpoint::open(note.as_bytes(), log(1).key()),
        Err(OpenError::Origin { .. })
    ));
}

#[test]
fn a_signed_text_that_is_no_checkpoint_is_refused_with_the_reason() {
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    assert_eq!(spelling::base64_hash(root), Some(empty_root()));
    let other = "U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=";
    for (text, why) in [
        ("o\n".to_owned(), MalformedCheckpoint::Lines),
        (format!("o\n5\n{other}"), MalformedCheckpoint::Lines),
        ("o\n5\n".to_owned(), MalformedCheckpoint::Lines),
        (format!("o\n5\n\n{other}\n"), MalformedCheckpoint::Lines),
        (format!("o\n5\n{other}\n\n"), MalformedCheckpoint::Lines),
        (
            format!("o\n5\n{other}\next\n\n"),
            MalformedCheckpoint::Lines,
        ),
        (format!("o\n05\n{other}\n"), MalformedCheckpoint::Size),
        (format!("o\n+5\n{other}\n"), MalformedCheckpoint::Size),
        (format!("o\n5 \n{other}\n"), MalformedCheckpoint::Size),
        (
            format!("o\n9223372036854775809\n{other}\n"),
            MalformedCheckpoint::Size,
        ),
        (
            format!("o\n5\n{}\n", &other[..40]),
            MalformedCheckpoint::Root,
        ),
        (
            format!("o\n5\n{}A\n", &other[..43]),
            MalformedCheckpoint::Root,
        ),
        (format!("o\n0\n{other}\n"), MalformedCheckpoint::EmptyRoot),
    ] {
        assert_eq!(text.parse::<Checkpoint>(), Err(why), "{text:?}");
    }
    let spaced = format!("o p\n5\n{other}\n");
    assert!(matches!(
        spaced.parse::<Checkpoint>(),
        Err(MalformedCheckpoint::Origin(_))
    ));
    let empty = format!("o\n0\n{root}\n");
    assert_eq!(empty.parse::<Checkpoint>().unwrap().size(), 0);
    let largest = format!("o\n9223372036854775808\n{other}\n");
    assert_eq!(largest.parse::<Checkpoint>().unwrap().size(), MAX_SIZE);

    let note = log(1).sign("not a checkpoint\n").unwrap().to_string();
    assert_eq!(
        Checkpoint::open(note.as_bytes(), log(1).key()),
        Err(OpenError::Text(MalformedCheckpoint::Lines))
    );
}

#[test]
fn extension_lines_are_carried_and_signed() {
    let text = format!("{}one\n— two \u{e9}\n", checkpoint(7));
    let read: Checkpoint = text.parse().unwrap();
    assert_eq!(read.extensions(), ["one", "— two \u{e9}"]);
    assert_eq!(read.to_string(), text);
    let signed = read.sign(&log(1)).unwrap();
    assert_eq!(signed.note().text(), text);
    assert_ne!(*signed.checkpoint(), checkpoint(7));
}

#[test]
fn a_cosignature_gives_its_time_and_fits_one_text_one_time_and_one_key() {
    let witness = cosigner("witness.example", 5);
    let note = cosigned_note(7, &[(&witness, 1_700_000_000)]);
    assert_eq!(verify_cosignature(&note, witness.key()), Ok(1_700_000_000));
    let lines = note.signatures();
    let line = &lines[1];

    let mut other_text = checkpoint(8).sign(&log(1)).unwrap().into_note();
    other_text.add(line.clone()).unwrap();
    assert!(verify_cosignature(&other_text, witness.key()).is_err());

    let plain = checkpoint(7).sign(&log(1)).unwrap();
    for at in 0..line.bytes.len() {
        let mut bad = line.clone();
        bad.bytes[at] ^= 1;
        let mut note = plain.note().clone();
        note.add(bad).unwrap();
        assert!(
            matches!(
                verify_cosignature(&note, witness.key()),
                Err(Unverified::BadSignature(_))
            ),
            "byte {at}"
        );
    }
    for other in [cosigner("witness.example", 6), cosigner("other.example", 5)] {
        assert!(matches!(
            verify_cosignature(&note, other.key()),
            Err(Unverified::NotSigned(_))
        ));
    }
}

#[test]
fn a_log_signature_is_never_a_cosignature_of_the_same_key() {
    let signer = log(1);
    let note = checkpoint(7).sign(&signer).unwrap().into_note();
    let as_witness = CosignerKey::new(
        signer.key().name().clone(),
        signer.key().public_key().clone(),
    )
    .unwrap();
    assert_ne!(as_witness.id(), signer.key().id());
    let mut relabelled = note.clone();
    let mut line = note.signatures()[0].clone();
    line.id = as_witness.id();
    relabelled.add(line).unwrap();
    assert!(verify_cosignature(&note, &as_witness).is_err());
    assert!(verify_cosignature(&relabelled, &as_witness).is_err());
}

#[test]
fn of_several_cosignatures_of_one_witness_the_earliest_counts_and_none_may_be_bad() {
    let witness = cosigner("witness.example", 5);
    let mut note = cosigned_note(7, &[(&witness, 200), (&witness, 100), (&witness, 300)]);
    assert_eq!(verify_cosignature(&note, witness.key()), Ok(100));
    note.add(witness.cosign(&checkpoint(8), 50).unwrap())
        .unwrap();
    assert!(matches!(
        verify_cosignature(&note, witness.key()),
        Err(Unverified::BadSignature(_))
    ));
}

#[test]
fn a_time_that_the_format_cannot_carry_is_neither_made_nor_accepted() {
    let witness = cosigner("witness.example", 5);
    let (last, beyond) = (MAX_COSIGNATURE_SECONDS, MAX_COSIGNATURE_SECONDS + 1);
    let note = cosigned_note(7, &[(&witness, last)]);
    assert_eq!(verify_cosignature(&note, witness.key()), Ok(last));
    assert_eq!(
        witness.cosign(&checkpoint(7), beyond),
        Err(CannotCosign::Time(beyond))
    );
    let signer = Ed25519Signer::from_seed(&[5; 32]).unwrap();
    let message = format!("cosignature/v1\ntime {beyond}\n{}", checkpoint(7));
    let signature = signer.sign(message.as_bytes()).unwrap();
    let mut note = checkpoint(7).sign(&log(1)).unwrap().into_note();
    note.add(NoteSignature {
        name: witness.key().name().clone(),
        id: witness.key().id(),
        bytes: [beyond.to_be_bytes().as_slice(), &signature].concat(),
    })
    .unwrap();
    assert!(verify_cosignature(&note, witness.key()).is_err());
}

#[test]
fn a_quorum_is_counted_over_listed_witnesses_and_dated_by_the_last_it_needed() {
    let [a, b, c] = [("a.example", 5), ("b.example", 6), ("c.example", 7)]
        .map(|(called, seed)| cosigner(called, seed));
    let keys = [&a, &b, &c].map(|witness| witness.key().clone());
    let policy = |quorum| Policy::new(keys.to_vec(), quorum).unwrap();
    let stranger = cosigner("d.example", 8);
    let note = cosigned_note(7, &[(&stranger, 1), (&c, 30), (&a, 20)]);

    let witnessed = policy(2).cosigned(&note, &checkpoint(7)).unwrap();
    let listed: Vec<(&str, u64)> = witnessed
        .cosigned()
        .iter()
        .map(|one| (one.witness.as_str(), one.seconds))
        .collect();
    assert_eq!(listed, [("a.example", 20), ("c.example", 30)]);
    assert_eq!(witnessed.by(), 30);
    assert_eq!(policy(1).cosigned(&note, &checkpoint(7)).unwrap().by(), 20);
    assert_eq!(*witnessed.checkpoint(), checkpoint(7));

    let refused = policy(3).cosigned(&note, &checkpoint(7)).unwrap_err();
    assert!(matches!(&refused, NotWitnessed::Quorum { found, .. } if found.len() == 2));
    assert_eq!(
        refused.to_string(),
        "2 have cosigned where all of a.example, b.example, c.example must; wait for more, or ask them"
    );
    assert_eq!(
        policy(1).cosigned(&note, &checkpoint(8)),
        Err(NotWitnessed::OtherText)
    );
    let mut broken = note;
    broken.add(b.cosign(&checkpoint(8), 25).unwrap()).unwrap();
    assert!(matches!(
        policy(1).cosigned(&broken, &checkpoint(7)),
        Err(NotWitnessed::Bad(Unverified::BadSignature(_)))
    ));
}

#[test]
fn a_policy_lists_each_witness_once_and_asks_for_what_can_be_had() {
    let key = |called: &str, seed| cosigner(called, seed).key().clone();
    let two = vec![key("a.example", 5), key("b.example", 6)];
    for quorum in [0, 3] {
        assert_eq!(
            Policy::new(two.clone(), quorum),
            Err(BadPolicy::Quorum {
                quorum,
                witnesses: 2
            })
        );
    }
    assert!(Policy::new(Vec::new(), 0).is_err());
    for repeated in [key("c.example", 5), key("a.example", 7)] {
        let name = repeated.name().clone();
        let witnesses = [two.clone(), vec![repeated]].concat();
        assert_eq!(Policy::new(witnesses, 1), Err(BadPolicy::Repeated(name)));
    }
    let many: Vec<CosignerKey> = (0..100_u8)
        .map(|seed| key(&format!("w{seed}.example"), seed))
        .collect();
    assert_eq!(Policy::new(many.clone(), 1), Err(BadPolicy::TooMany(100)));
    assert!(Policy::new(many[1..].to_vec(), 99).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_changed_published_checkpoint_does_not_open(bytes in mutated(ARCHE_NOTE)) {
        let key: NoteKey = ARCHE.parse().unwrap();
        let text_end = ARCHE_NOTE.find("\n\n").unwrap() + 2;
        if let Ok(opened) = Checkpoint::open(&bytes, &key) {
            // Only unknown signatures may differ.
            prop_assert_eq!(&opened.note().to_string()[..text_end], &ARCHE_NOTE[..text_end]);
        }
    }
}

#[test]
fn an_origin_names_the_generation_that_may_follow() {
    for (now, next) in [
        ("log.example/1", Some("log.example/2")),
        ("log.example/affiant/9", Some("log.example/affiant/10")),
        ("log.example", Some("log.example/2")),
        ("log.example/01", Some("log.example/01/2")),
        (
            "log.example/18446744073709551615",
            Some("log.example/18446744073709551615/2"),
        ),
    ] {
        let origin: Origin = now.parse().unwrap();
        assert_eq!(origin.successor().map(|it| it.to_string()).as_deref(), next);
    }
    let longest: Origin = "x".repeat(100).parse().unwrap();
    assert_eq!(longest.successor(), None);
}
