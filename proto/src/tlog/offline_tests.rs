//! Promises of offline proofs.

use proptest::prelude::*;

use super::{fixtures::*, *};

const SIZE: u64 = 7;

fn signed_tree() -> (MemoryTree, SignedCheckpoint) {
    let tree = tree(SIZE);
    let origin = "log.example/gpu/1".parse().unwrap();
    let checkpoint = Checkpoint::new(origin, SIZE, tree.root(SIZE).unwrap()).unwrap();
    let signed = checkpoint.sign(&log(1)).unwrap();
    (tree, signed)
}

fn proof_of(index: u64, extra: Option<&[u8]>) -> OfflineProof {
    let (tree, signed) = signed_tree();
    let hashes = inclusion_proof(&tree, index, SIZE).unwrap();
    OfflineProof::new(index, hashes, signed.into_note(), extra.map(<[u8]>::to_vec)).unwrap()
}

#[test]
fn a_proof_has_the_lines_of_the_specification_and_reads_back() {
    for extra in [None, Some(&b"context"[..])] {
        for index in 0..SIZE {
            let proof = proof_of(index, extra);
            let text = proof.to_string();
            assert_eq!(OfflineProof::parse(text.as_bytes()), Ok(proof));

            let mut lines = text.lines();
            assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
            if extra.is_some() {
                assert_eq!(lines.next(), Some("extra Y29udGV4dA=="));
            }
            assert_eq!(lines.next(), Some(format!("index {index}").as_str()));
            let hashes = if index == 6 { 2 } else { 3 };
            assert!(lines.by_ref().take(hashes).all(|line| line.len() == 44));
            assert_eq!(lines.next(), Some(""));
            assert_eq!(lines.next(), Some("log.example/gpu/1"));
        }
    }
}

#[test]
fn a_proof_shows_one_entry_at_one_place_of_one_log() {
    let proof = proof_of(3, None);
    let logged = proof.verify(&leaf(3), log(1).key()).unwrap();
    assert_eq!((logged.index(), logged.leaf()), (3, &leaf(3)));
    assert_eq!(logged.signed().checkpoint().size(), SIZE);

    assert_eq!(
        proof.verify(&leaf(4), log(1).key()),
        Err(NotLogged::Proof(ProofError::Root))
    );
    assert!(matches!(
        proof.verify(&leaf(3), log(2).key()),
        Err(NotLogged::Checkpoint(OpenError::Signature(_)))
    ));
    let elsewhere = OfflineProof::new(2, proof.hashes().to_vec(), proof.note().clone(), None);
    assert_eq!(
        elsewhere.unwrap().verify(&leaf(3), log(1).key()),
        Err(NotLogged::Proof(ProofError::Root))
    );
    let beyond = OfflineProof::new(SIZE, Vec::new(), proof.note().clone(), None).unwrap();
    assert!(matches!(
        beyond.verify(&leaf(3), log(1).key()),
        Err(NotLogged::Proof(ProofError::Outside { .. }))
    ));
}

#[test]
fn the_cosignatures_that_a_reader_asks_for_are_counted_on_the_proof() {
    let (tree, signed) = signed_tree();
    let witness = cosigner("witness.example", 3);
    let mut note = signed.note().clone();
    note.add(witness.cosign(signed.checkpoint(), 40).unwrap())
        .unwrap();
    let proof = OfflineProof::new(1, inclusion_proof(&tree, 1, SIZE).unwrap(), note, None).unwrap();
    let read = OfflineProof::parse(proof.to_string().as_bytes()).unwrap();
    let logged = read.verify(&leaf(1), log(1).key()).unwrap();
    let at = logged.signed();
    let policy = |key: &CosignerKey| Policy::new(vec![key.clone()], 1).unwrap();
    let witnessed = policy(witness.key()).cosigned(at.note(), at.checkpoint());
    assert_eq!(witnessed.unwrap().by(), 40);
    let stranger = cosigner("other.example", 4);
    assert!(matches!(
        policy(stranger.key()).cosigned(at.note(), at.checkpoint()),
        Err(NotWitnessed::Quorum { .. })
    ));
}

#[test]
fn text_that_is_not_a_strict_proof_is_refused_with_the_line() {
    use MalformedOfflineProof as Refused;
    let text = proof_of(6, Some(b"context")).to_string();
    let hash = text.lines().nth(3).unwrap().to_owned();
    let many = format!("{hash}\n").repeat(64);
    for (from, to, why) in [
        ("tlog-proof@v1", "tlog-proof@v2", Refused::Header),
        ("c2sp.org", " c2sp.org", Refused::Header),
        ("extra Y29udGV4dA==\n", "extra \n", Refused::Extra),
        ("Y29udGV4dA==", "Y29udGV4dA", Refused::Extra),
        ("Y29udGV4dA==", "Y29udGV4dB==", Refused::Extra),
        ("extra ", "Extra ", Refused::Index),
        ("index 6\n", "", Refused::Index),
        ("index 6", "index 06", Refused::Index),
        ("index 6", "index -6", Refused::Index),
        ("index 6", "index  6", Refused::Index),
        ("index 6", "index 9223372036854775808", Refused::Index),
        (
            "index 6\n",
            "index 6\nextra Y29udGV4dA==\n",
            Refused::Hash(1),
        ),
        (&hash, &hash[1..], Refused::Hash(1)),
        (&hash, &format!("{hash} "), Refused::Hash(1)),
        (&format!("{hash}\n"), &many, Refused::TooManyHashes),
        ("\n\nlog.example", "\nlog.example", Refused::Hash(3)),
        (
            "\n\n\u{2014} ",
            "\n\u{2014} ",
            MalformedNote::Unsigned.into(),
        ),
    ] {
        assert!(text.contains(from), "{from:?}");
        let changed = text.replacen(from, to, 1);
        assert_eq!(
            OfflineProof::parse(changed.as_bytes()),
            Err(why),
            "{from:?} → {to:?}"
        );
    }
    for length in 0..text.len() {
        assert!(OfflineProof::parse(&text.as_bytes()[..length]).is_err());
    }
    let long = vec![b'a'; MAX_OFFLINE_PROOF_BYTES + 1];
    assert_eq!(
        OfflineProof::parse(&long),
        Err(Refused::TooLong(long.len()))
    );
}

#[test]
fn the_longest_parts_fit_and_longer_ones_are_not_made() {
    use MalformedOfflineProof as Refused;
    let note = signed_tree().1.into_note();
    let new = |index, hashes, extra| OfflineProof::new(index, hashes, note.clone(), extra);
    let longest = new(
        MAX_SIZE - 1,
        vec![leaf(0); 63],
        Some(vec![0xff; MAX_EXTRA_BYTES]),
    )
    .unwrap();
    let text = longest.to_string();
    assert_eq!(
        text.len() - note.to_string().len(),
        MAX_OFFLINE_PROOF_BYTES - MAX_NOTE_BYTES
    );
    assert_eq!(OfflineProof::parse(text.as_bytes()), Ok(longest));

    assert_eq!(new(MAX_SIZE, Vec::new(), None), Err(Refused::Index));
    assert_eq!(new(0, vec![leaf(0); 64], None), Err(Refused::TooManyHashes));
    for extra in [0, MAX_EXTRA_BYTES + 1] {
        assert_eq!(
            new(0, Vec::new(), Some(vec![0; extra])),
            Err(Refused::Extra)
        );
    }
}

const PROOF: &str = "c2sp.org/tlog-proof@v1\nextra Y29udGV4dA==\nindex 1\n\
    47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\
    47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\
    arche2025h1.staging.ct.transparency.dev\n1432088532\n\
    U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\n\
    — arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n";

proptest! {
    #[test]
    fn what_reads_as_a_proof_prints_the_same_bytes(bytes in mutated(PROOF)) {
        if let Ok(proof) = OfflineProof::parse(&bytes) {
            prop_assert_eq!(proof.to_string().into_bytes(), bytes);
        }
    }
}

#[test]
fn the_text_that_is_changed_is_a_proof() {
    assert_eq!(
        OfflineProof::parse(PROOF.as_bytes()).unwrap().to_string(),
        PROOF
    );
}
