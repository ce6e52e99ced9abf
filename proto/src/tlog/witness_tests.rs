//! Promises of what a log and a witness say to each other.

use proptest::prelude::*;

use super::{fixtures::*, *};

/// The shape of the example of the C2SP tlog-witness specification.
const REQUEST: &str = "old 20852014\n\
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
    jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\n\
    example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_reads_as_a_request_prints_the_same_bytes(bytes in mutated(REQUEST)) {
        if let Ok(request) = AddCheckpoint::parse(&bytes) {
            prop_assert_eq!(request.to_string().into_bytes(), bytes);
        }
    }
}
