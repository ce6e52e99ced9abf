//! Promises of notes and of the keys that sign them.

use proptest::prelude::*;

use super::{fixtures::*, *};
use crate::keys::Ed25519Signer;

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
    fn what_reads_as_a_key_prints_the_same_text(bytes in mutated(PETER)) {
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(key) = text.parse::<NoteKey>() {
            prop_assert_eq!(key.to_string(), text);
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
