//! The same notes and keys by Cloudflare's port of Go's `sumdb/note`.

use proptest::prelude::*;
use signed_note::{NoteError, StandardVerifier, Verifier, VerifierList};

use super::{fixtures::*, *};

fn list(keys: &[&str]) -> VerifierList {
    let verifier = |key: &&str| Box::new(StandardVerifier::new(key).unwrap()) as Box<dyn Verifier>;
    VerifierList::new(keys.iter().map(verifier).collect())
}

/// Whether a name has what ours refuses in one: control characters, or more than 255 bytes.
fn ours_refuses(name: &str) -> bool {
    name.len() > 255 || name.chars().any(char::is_control)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_note_reads_as_the_same_text_and_lines_or_as_none(bytes in mutated(GO_NOTE)) {
        match (Note::parse(&bytes), signed_note::Note::from_bytes(&bytes)) {
            (Ok(ours), Ok(read)) => {
                prop_assert_eq!(ours.text().as_bytes(), read.text());
                prop_assert_eq!(ours.to_string().into_bytes(), read.to_bytes());
            }
            (Err(_), Err(_)) => {}
            (Err(why), Ok(read)) => {
                let text = String::from_utf8(read.to_bytes()).unwrap();
                let named = |line: &str| {
                    let name = line.strip_prefix("— ").and_then(|line| line.split(' ').next());
                    name.is_some_and(ours_refuses)
                };
                prop_assert!(text.lines().any(named), "only theirs reads {text:?}: {why}");
            }
            (Ok(ours), Err(why)) => prop_assert!(false, "only ours reads {ours:?}: {why}"),
        }
    }

    #[test]
    fn both_give_one_verdict_on_the_signature_of_one_key(bytes in mutated(GO_NOTE)) {
        let (Ok(ours), Ok(read)) = (Note::parse(&bytes), signed_note::Note::from_bytes(&bytes))
        else {
            return Ok(());
        };
        for key in [PETER, ENOCH] {
            let verdict = ours.verify(&key.parse().unwrap());
            match read.verify(&list(&[key])) {
                Ok(_) => {
                    // Theirs looks at the first line of a key only; of ours every one counts.
                    let key: NoteKey = key.parse().unwrap();
                    let lines = ours.signatures().iter().filter(|line| line.claims(&key)).count();
                    prop_assert!(verdict.is_ok() || lines > 1, "{verdict:?}");
                }
                Err(NoteError::UnverifiedNote) => {
                    prop_assert!(matches!(verdict, Err(Unverified::NotSigned(_))), "{verdict:?}");
                }
                Err(NoteError::InvalidSignature { .. }) => {
                    prop_assert!(matches!(verdict, Err(Unverified::BadSignature(_))), "{verdict:?}");
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }

    #[test]
    fn a_key_reads_as_the_same_name_and_id_or_as_none(bytes in mutated(PETER)) {
        let Ok(text) = std::str::from_utf8(&bytes) else { return Ok(()); };
        match (text.parse::<NoteKey>(), StandardVerifier::new(text)) {
            (Ok(ours), Ok(read)) => {
                prop_assert_eq!(ours.name().as_str(), read.name());
                prop_assert_eq!(*ours.id().as_bytes(), read.key_id().to_be_bytes());
            }
            (Err(_), Err(_)) => {}
            (Err(why), Ok(read)) => prop_assert!(
                // An id in capital letters, and names that ours refuses.
                ours_refuses(read.name())
                    || text.split('+').nth(1).is_some_and(|id| id != id.to_lowercase()),
                "only theirs reads {text:?}: {why}"
            ),
            // A point that is on no curve: theirs looks at once, ours when it verifies.
            (Ok(ours), Err(_)) => {
                let note = signed_by_nobody(&ours);
                prop_assert!(matches!(note.verify(&ours), Err(Unverified::BadSignature(_))));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_ours_signs_theirs_verifies_and_prints_the_same(
        text in "([ -~\u{e9}\u{4e16}]{0,20}\n){1,6}", seed in 1..200_u8,
    ) {
        let signer = log(seed);
        let note = signer.sign(&text).unwrap();
        let bytes = note.to_string().into_bytes();
        let read = signed_note::Note::from_bytes(&bytes).unwrap();
        prop_assert_eq!(read.text(), text.as_bytes());
        prop_assert_eq!(read.to_bytes(), bytes);
        let (good, other) = read.verify(&list(&[&signer.key().to_string()])).unwrap();
        prop_assert_eq!((good.len(), other.len()), (1, 0));
        let stranger = log(seed + 1).key().to_string();
        prop_assert!(matches!(read.verify(&list(&[&stranger])), Err(NoteError::UnverifiedNote)));
    }
}

/// A note with a line of this key that it cannot have signed.
fn signed_by_nobody(key: &NoteKey) -> Note {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut bytes = key.id().as_bytes().to_vec();
    bytes.extend([0; 64]);
    let line = format!("text\n\n— {} {}\n", key.name(), STANDARD.encode(bytes));
    Note::parse(line.as_bytes()).unwrap()
}

#[test]
fn the_published_notes_verify_in_both() {
    for (note, keys) in [
        (C2SP_NOTE, &[C2SP_KEY][..]),
        (GO_NOTE, &[PETER, ENOCH]),
        (ARCHE_NOTE, &[ARCHE]),
    ] {
        let ours = Note::parse(note.as_bytes()).unwrap();
        let read = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
        let (good, _) = read.verify(&list(keys)).unwrap();
        assert_eq!(good.len(), keys.len());
        for key in keys {
            ours.verify(&key.parse().unwrap()).unwrap();
        }
    }
}
