//! Promises of the text formats: notes, keys, checkpoints, cosignatures, policies, requests.

use proptest::prelude::*;

use super::*;
use crate::keys::{Ed25519Signer, Signer as _};

/// The example of the C2SP signed-note specification.
const C2SP_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const C2SP_NOTE: &str = "This is an example message.\n\n\
    — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

/// The example of Go's package note, which the format comes from.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n\
    — EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

/// A checkpoint of a public log of May 2026 with the cosignatures of public witnesses.
const ARCHE: &str =
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";
const WITNESSES: [&str; 4] = [
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
];
const ARCHE_NOTE: &str = "arche2025h1.staging.ct.transparency.dev\n\
    1432088532\n\
    U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\n\
    — arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=\n\
    — arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n\
    — transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==\n\
    — witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==\n\
    — remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==\n\
    — witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==\n";
const ARCHE_TIME: u64 = 0x6a12_2120;

fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

fn log(seed: u8) -> NoteSigner<Ed25519Signer> {
    let signer = Ed25519Signer::from_seed(&[seed; 32]).unwrap();
    NoteSigner::new(name("log.example/gpu/1"), signer).unwrap()
}

fn cosigner(called: &str, seed: u8) -> Cosigner<Ed25519Signer> {
    Cosigner::new(name(called), Ed25519Signer::from_seed(&[seed; 32]).unwrap()).unwrap()
}

fn checkpoint(size: u64) -> Checkpoint {
    let root = if size == 0 {
        empty_root()
    } else {
        leaf_hash(&size.to_be_bytes())
    };
    Checkpoint::new("log.example/gpu/1".parse().unwrap(), size, root).unwrap()
}

fn cosigned_note(size: u64, cosigners: &[(&Cosigner<Ed25519Signer>, u64)]) -> Note {
    let checkpoint = checkpoint(size);
    let mut note = checkpoint.sign(&log(1)).unwrap().into_note();
    for (cosigner, seconds) in cosigners {
        note.add(cosigner.cosign(&checkpoint, *seconds).unwrap())
            .unwrap();
    }
    note
}

#[test]
fn the_published_example_notes_verify_and_print_back() {
    for (key, note) in [
        (C2SP_KEY, C2SP_NOTE),
        (PETER, GO_NOTE),
        (ENOCH, GO_NOTE),
        (ARCHE, ARCHE_NOTE),
    ] {
        let parsed_key: NoteKey = key.parse().unwrap();
        assert_eq!(parsed_key.to_string(), key);
        let parsed = Note::parse(note.as_bytes()).unwrap();
        assert_eq!(parsed.to_string(), note);
        assert_eq!(parsed.verify(&parsed_key), Ok(()));
    }
}

#[test]
fn signing_the_published_text_gives_the_published_note() {
    // Enoch's key is that of the seed of zeroes.
    let signer = Ed25519Signer::from_seed(&[0; 32]).unwrap();
    let enoch = NoteSigner::new(name("EnochRoot"), signer).unwrap();
    assert_eq!(enoch.key().to_string(), ENOCH);
    let published = Note::parse(GO_NOTE.as_bytes()).unwrap();
    let made = enoch.sign(published.text()).unwrap();
    assert_eq!(made.signatures(), &published.signatures()[1..]);
}

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
fn a_key_of_another_kind_or_id_or_spelling_is_refused() {
    let id = |text: &str| text.parse::<NoteKey>().unwrap_err();
    assert_eq!(id("example.com/foo"), MalformedKey::Parts);
    assert_eq!(id("example.com/foo+530d903a"), MalformedKey::Parts);
    let remora = WITNESSES[0].parse::<NoteKey>().unwrap_err();
    assert!(matches!(
        remora,
        MalformedKey::Algorithm {
            found: 4,
            due: 1,
            ..
        }
    ));
    assert!(matches!(
        PETER.parse::<CosignerKey>().unwrap_err(),
        MalformedKey::Algorithm {
            found: 1,
            due: 4,
            ..
        }
    ));
    for (from, to) in [
        ("530d903a", "530d903b"),
        ("530d903a", "530D903A"),
        ("530d903a", "530d903"),
        ("530d903a", ""),
        ("/foo", "/fop"),
    ] {
        let bad = C2SP_KEY.replace(from, to);
        assert!(matches!(id(&bad), MalformedKey::Id { .. }), "{bad}");
    }
    for bad in [
        format!("{C2SP_KEY}\n"),
        C2SP_KEY.replace("U2k", "U2"),
        C2SP_KEY.replace("U2k", ""),
        format!("a+00000000+{}", "A".repeat(100_000)),
        "a+00000000+".to_owned(),
    ] {
        assert!(
            matches!(id(&bad), MalformedKey::Base64(_) | MalformedKey::Key { .. }),
            "{bad:.80}"
        );
    }
    assert!(matches!(id("a b+00000000+AA=="), MalformedKey::Name(_)));
    assert!(matches!(id("+00000000+AA=="), MalformedKey::Name(_)));
}

#[test]
fn a_key_of_small_order_cannot_sign_notes() {
    let zeroes = spelling::to_base64(&[&[1_u8][..], &[0; 32]].concat());
    let refused = format!("a+00000000+{zeroes}").parse::<NoteKey>();
    assert!(matches!(refused, Err(MalformedKey::Key { .. })));
}

#[test]
fn names_have_no_spaces_no_plus_and_a_length() {
    for bad in [
        "",
        "a b",
        "a+b",
        "a\tb",
        "a\nb",
        "a\u{a0}b",
        "a\u{2003}b",
        "a\u{7f}",
    ] {
        assert!(bad.parse::<KeyName>().is_err(), "{bad:?}");
        assert!(bad.parse::<Origin>().is_err(), "{bad:?}");
    }
    assert!("n".repeat(255).parse::<KeyName>().is_ok());
    assert!("n".repeat(256).parse::<KeyName>().is_err());
    assert!("n".repeat(100).parse::<Origin>().is_ok());
    assert!("n".repeat(101).parse::<Origin>().is_err());
}

#[test]
fn text_that_is_not_a_strict_note_is_refused() {
    let line = "— log.example AAAAAAA=";
    for (bad, why) in [
        (String::new(), MalformedNote::Unsigned),
        ("text\n".into(), MalformedNote::Unsigned),
        ("text\n\n".into(), MalformedNote::Unsigned),
        (format!("text\n{line}\n"), MalformedNote::Unsigned),
        (format!("text\n\n{line}"), MalformedNote::Unsigned),
        (format!("text\r\n\r\n{line}\n"), MalformedNote::NotText),
        (format!("te\0xt\n\n{line}\n"), MalformedNote::NotText),
        (format!("te\txt\n\n{line}\n"), MalformedNote::NotText),
        (format!("text\n\n{line}\n{line}x\n"), MalformedNote::Line(2)),
        (format!("text\n\n{line}\n \n"), MalformedNote::Line(2)),
        (format!("text\n\n {line}\n"), MalformedNote::Line(1)),
        (format!("text\n\n-{line}\n"), MalformedNote::Line(1)),
        (
            "text\n\n- log.example AAAAAAA=\n".into(),
            MalformedNote::Line(1),
        ),
        ("text\n\n—  AAAAAAA=\n".into(), MalformedNote::Line(1)),
        (
            "text\n\n— log.example  AAAAAAA=\n".into(),
            MalformedNote::Line(1),
        ),
        ("text\n\n— log.example\n".into(), MalformedNote::Line(1)),
        (
            "text\n\n— log+example AAAAAAA=\n".into(),
            MalformedNote::Line(1),
        ),
        // Four bytes of id and no signature, less than an id, and spare bits set.
        (
            "text\n\n— log.example AAAAAA==\n".into(),
            MalformedNote::Line(1),
        ),
        (
            "text\n\n— log.example AAAA\n".into(),
            MalformedNote::Line(1),
        ),
        (
            "text\n\n— log.example AAAAAAB=\n".into(),
            MalformedNote::Line(1),
        ),
        (
            "text\n\n— log.example AAAAAAA\n".into(),
            MalformedNote::Line(1),
        ),
        (
            "text\n\n— log.example AAAAAAA= \n".into(),
            MalformedNote::Line(1),
        ),
    ] {
        assert_eq!(Note::parse(bad.as_bytes()), Err(why), "{bad:?}");
    }
    assert_eq!(
        Note::parse(b"te\xffxt\n\n\xe2\x80\x94 a AAAAAAA=\n"),
        Err(MalformedNote::NotText)
    );
}

#[test]
fn the_text_ends_at_the_last_blank_line() {
    let note = Note::parse("one\n\ntwo\n\n\n— log.example AAAAAAA=\n".as_bytes()).unwrap();
    assert_eq!(note.text(), "one\n\ntwo\n\n");
    // So a signed text may itself look like a note.
    let signer = log(1);
    let nested = signer.sign(GO_NOTE).unwrap();
    let read = Note::parse(nested.to_string().as_bytes()).unwrap();
    assert_eq!(read.text(), GO_NOTE);
    assert_eq!(read.verify(signer.key()), Ok(()));
}

#[test]
fn more_than_a_hundred_signatures_or_a_mebibyte_are_refused() {
    let line = "— log.example AAAAAAA=\n";
    let full = format!("text\n\n{}", line.repeat(MAX_SIGNATURES));
    assert!(Note::parse(full.as_bytes()).is_ok());
    assert_eq!(
        Note::parse(format!("{full}{line}").as_bytes()),
        Err(MalformedNote::TooManySignatures)
    );
    let long = format!("{}\n\n{line}", "t".repeat(MAX_NOTE_BYTES - line.len() - 2));
    assert!(Note::parse(long.as_bytes()).is_ok());
    assert_eq!(
        Note::parse(format!("t{long}").as_bytes()),
        Err(MalformedNote::TooLong(MAX_NOTE_BYTES + 1))
    );

    let mut note = Note::parse(full.replace("log", "abc").as_bytes()).unwrap();
    let more = parse_signature_lines(line.as_bytes()).unwrap().remove(0);
    assert_eq!(
        note.add(more.clone()),
        Err(MalformedNote::TooManySignatures)
    );
    let mut note = Note::parse(long.replace("log", "abc").as_bytes()).unwrap();
    assert!(matches!(note.add(more), Err(MalformedNote::TooLong(_))));
    assert_eq!(note.signatures().len(), 1);
}

#[test]
fn a_text_that_would_not_read_back_is_not_signed() {
    for (text, why) in [
        ("", MalformedNote::TextEnd),
        ("text", MalformedNote::TextEnd),
        ("te\txt\n", MalformedNote::NotText),
        ("text\r\n", MalformedNote::NotText),
    ] {
        assert_eq!(log(1).sign(text), Err(CannotSign::Note(why)), "{text:?}");
    }
    let long = format!("{}\n", "t".repeat(MAX_NOTE_BYTES - 10));
    assert!(matches!(
        log(1).sign(&long),
        Err(CannotSign::Note(MalformedNote::TooLong(_)))
    ));
}

#[test]
fn unknown_signatures_are_carried_and_a_bad_one_of_a_known_key_refuses_the_note() {
    let signer = log(1);
    let mut note = signer.sign("text\n").unwrap();
    let same_name = log(2).sign("text\n").unwrap().signatures()[0].clone();
    note.add(same_name.clone()).unwrap();
    assert_eq!(note.verify(signer.key()), Ok(()));
    assert_eq!(note.verify(log(2).key()), Ok(()));
    assert!(matches!(
        note.verify(log(3).key()),
        Err(Unverified::NotSigned(_))
    ));

    let forged = signer.sign("other text\n").unwrap().signatures()[0].clone();
    note.add(forged).unwrap();
    assert!(matches!(
        note.verify(signer.key()),
        Err(Unverified::BadSignature(_))
    ));
    assert_eq!(note.verify(log(2).key()), Ok(()));

    let before = note.signatures().len();
    note.add(same_name).unwrap();
    assert_eq!(note.signatures().len(), before, "a line is carried once");
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
    assert!(matches!(&refused, NotWitnessed::Quorum { found, quorum: 3 } if found.len() == 2));
    assert_eq!(
        refused.to_string(),
        "2 of the 3 witnesses due have cosigned; wait for more, or ask them"
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

#[test]
fn a_request_reads_back_and_carries_the_proof_that_a_witness_checks() {
    let mut tree: MemoryTree = (0..5_u8).map(|n| leaf_hash(&[n])).collect();
    let old_root = tree.root(5).unwrap();
    tree.extend((5..9_u8).map(|n| leaf_hash(&[n])));
    let new_root = tree.root(9).unwrap();
    let note = Checkpoint::new("log.example/gpu/1".parse().unwrap(), 9, new_root)
        .unwrap()
        .sign(&log(1))
        .unwrap()
        .into_note();
    let sent = AddCheckpoint::new(5, consistency_proof(&tree, 5, 9).unwrap(), note).unwrap();
    let bytes = sent.to_string().into_bytes();

    let read = AddCheckpoint::parse(&bytes).unwrap();
    assert_eq!(read, sent);
    let signed = SignedCheckpoint::of(read.note().clone(), log(1).key()).unwrap();
    let (size, root) = (signed.checkpoint().size(), signed.checkpoint().root());
    assert_eq!(
        verify_consistency(read.old(), &old_root, size, root, read.proof()),
        Ok(())
    );
    for end in 0..bytes.len() {
        assert!(AddCheckpoint::parse(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_request_that_is_not_strict_is_refused_with_the_line() {
    let note = checkpoint(7).sign(&log(1)).unwrap().into_note();
    let hash = spelling::to_base64(empty_root().as_bytes());
    for (head, why) in [
        (String::new(), MalformedRequest::Old),
        ("\n".to_owned(), MalformedRequest::Old),
        ("old\n\n".to_owned(), MalformedRequest::Old),
        ("old 05\n\n".to_owned(), MalformedRequest::Old),
        ("old -5\n\n".to_owned(), MalformedRequest::Old),
        ("old  5\n\n".to_owned(), MalformedRequest::Old),
        ("Old 5\n\n".to_owned(), MalformedRequest::Old),
        (
            "old 9223372036854775809\n\n".to_owned(),
            MalformedRequest::Old,
        ),
        ("old 5\n".to_owned(), MalformedRequest::Proof(2)),
        (format!("old 5\n{hash}\n"), MalformedRequest::Proof(3)),
        (
            format!("old 5\n{hash}\nAAAA\n\n"),
            MalformedRequest::Proof(3),
        ),
        (format!("old 5\n{hash}\r\n\n"), MalformedRequest::Proof(2)),
        (
            format!("old 5\n{}\n", format!("{hash}\n").repeat(64)),
            MalformedRequest::TooManyLines,
        ),
        (
            "old 5\n\n\n".to_owned(),
            MalformedRequest::Note(MalformedNote::Unsigned),
        ),
    ] {
        let body = match why {
            MalformedRequest::Note(_) => head.clone(),
            _ => format!("{head}{note}"),
        };
        assert_eq!(AddCheckpoint::parse(body.as_bytes()), Err(why), "{head:?}");
    }
    let full = format!("old 5\n{}\n{note}", format!("{hash}\n").repeat(63));
    assert_eq!(
        AddCheckpoint::parse(full.as_bytes()).unwrap().proof().len(),
        MAX_PROOF_LINES
    );
    let long = vec![b'o'; MAX_REQUEST_BYTES + 1];
    assert_eq!(
        AddCheckpoint::parse(&long),
        Err(MalformedRequest::TooLong(MAX_REQUEST_BYTES + 1))
    );
    assert_eq!(
        AddCheckpoint::new(MAX_SIZE + 1, Vec::new(), note.clone()),
        Err(MalformedRequest::Old)
    );
    assert_eq!(
        AddCheckpoint::new(0, vec![empty_root(); 64], note),
        Err(MalformedRequest::TooManyLines)
    );
}

#[test]
fn the_answers_of_a_witness_read_back() {
    for size in [0, 1, 20_852_163, MAX_SIZE] {
        assert_eq!(parse_conflict(print_conflict(size).as_bytes()), Some(size));
    }
    for bad in [
        "",
        "\n",
        "5",
        "05\n",
        "5\n\n",
        "-1\n",
        "9223372036854775809\n",
        "\u{ff}\n",
    ] {
        assert_eq!(parse_conflict(bad.as_bytes()), None, "{bad:?}");
    }
    let witness = cosigner("witness.example", 5);
    let line = witness.cosign(&checkpoint(7), 100).unwrap();
    let answer = format!("{line}\n");
    assert_eq!(parse_signature_lines(answer.as_bytes()), Ok(vec![line]));
    assert!(parse_signature_lines(b"").is_err());
    assert!(parse_signature_lines(b"\n").is_err());
    assert!(parse_signature_lines(answer.trim_end().as_bytes()).is_err());
}

/// A text with up to three of its bytes replaced, cut out or doubled.
fn mutated(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..text.len(), any::<u8>(), 0..4_u8);
    prop::collection::vec(edit, 0..4).prop_map(move |edits| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, byte, how) in edits {
            let at = at.min(bytes.len() - 1);
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] = b'\n',
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        bytes
    })
}

const REQUEST: &str = "old 20852014\n\
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
    jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\n\
    example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_reads_as_a_note_prints_the_same_bytes(bytes in mutated(ARCHE_NOTE)) {
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes);
            if let Ok(checkpoint) = note.text().parse::<Checkpoint>() {
                prop_assert_eq!(checkpoint.to_string(), note.text());
            }
        }
    }

    #[test]
    fn what_reads_as_a_request_prints_the_same_bytes(bytes in mutated(REQUEST)) {
        if let Ok(request) = AddCheckpoint::parse(&bytes) {
            prop_assert_eq!(request.to_string().into_bytes(), bytes);
        }
    }

    #[test]
    fn what_reads_as_a_key_prints_the_same_text(bytes in mutated(PETER)) {
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(key) = text.parse::<NoteKey>() {
            prop_assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn a_changed_published_checkpoint_does_not_open(bytes in mutated(ARCHE_NOTE)) {
        let key: NoteKey = ARCHE.parse().unwrap();
        let text_end = ARCHE_NOTE.find("\n\n").unwrap() + 2;
        if let Ok(opened) = Checkpoint::open(&bytes, &key) {
            // Only unknown signatures may differ.
            prop_assert_eq!(&opened.note().to_string()[..text_end], &ARCHE_NOTE[..text_end]);
        }
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Note::parse(&bytes);
        let _ = parse_signature_lines(&bytes);
        let _ = AddCheckpoint::parse(&bytes);
        let _ = Tile::parse(&bytes);
        let _ = parse_conflict(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = text.parse::<Checkpoint>();
        let _ = text.parse::<NoteKey>();
        let _ = text.parse::<TilePath>();
        let _ = text.parse::<Hash>();
    }

    #[test]
    fn every_text_of_lines_can_be_signed_and_read_back(text in "([ -~\u{e9}\u{4e16}]{0,20}\n){1,6}") {
        let signer = log(1);
        let note = signer.sign(&text).unwrap();
        let read = Note::parse(note.to_string().as_bytes()).unwrap();
        prop_assert_eq!(read.text(), text);
        prop_assert_eq!(read.verify(signer.key()), Ok(()));
    }
}
