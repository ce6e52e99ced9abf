//! What a witness answers, each by the code of the specification.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use affiant_proto::tlog::{
    Hash, MemoryTree, NoteSigner, consistency_proof, leaf_hash, verify_cosignature,
};

use super::*;

const ORIGIN: &str = "log.example/1";

/// Remembers nothing durably; fails when told to.
#[derive(Default)]
struct InMemory {
    seen: BTreeMap<Origin, Seen>,
    accused: Vec<Checkpoint>,
    fails: bool,
}

impl Memory for InMemory {
    fn seen(&self, origin: &Origin) -> Option<&Seen> {
        self.seen.get(origin)
    }

    fn all(&self) -> Vec<&Seen> {
        self.seen.values().collect()
    }

    fn remember(&mut self, seen: Seen) -> Result<(), Forgetful> {
        if self.fails {
            return Err(Forgetful::Missing("nowhere".into()));
        }
        self.seen.insert(seen.checkpoint().origin().clone(), seen);
        Ok(())
    }

    fn accuse(&mut self, shown: &SignedCheckpoint, _: &NoteKey, _: u64) -> Result<(), Forgetful> {
        self.accused.push(shown.checkpoint().clone());
        Ok(())
    }
}

fn signer(seed: u8, name: &str) -> NoteSigner<Ed25519Signer> {
    let key = Ed25519Signer::from_seed(&[seed; 32]).unwrap();
    NoteSigner::new(name.parse().unwrap(), key).unwrap()
}

fn cosigner(seed: u8) -> Cosigner<Ed25519Signer> {
    let key = Ed25519Signer::from_seed(&[seed; 32]).unwrap();
    Cosigner::new("witness.example".parse().unwrap(), key).unwrap()
}

fn witness() -> Witness<InMemory> {
    let logs = [ORIGIN, "second.example/1"].map(|origin| signer(1, origin).key().clone());
    Witness::new(logs, cosigner(9), InMemory::default()).unwrap()
}

fn tree(leaves: &[u8]) -> MemoryTree {
    leaves.iter().map(|leaf| leaf_hash(&[*leaf])).collect()
}

fn request(old: u64, tree: &MemoryTree, proof: Vec<Hash>) -> String {
    signed_request(old, tree, proof, &signer(1, ORIGIN), ORIGIN)
}

fn signed_request(
    old: u64,
    tree: &MemoryTree,
    proof: Vec<Hash>,
    by: &NoteSigner<Ed25519Signer>,
    origin: &str,
) -> String {
    let size = tree.size();
    let checkpoint = Checkpoint::new(origin.parse().unwrap(), size, tree.root(size).unwrap());
    let note = by.sign(&checkpoint.unwrap().to_string()).unwrap();
    AddCheckpoint::new(old, proof, note).unwrap().to_string()
}

fn grow(witness: &mut Witness<InMemory>, old: u64, tree: &MemoryTree) -> Answer {
    let proof = consistency_proof(tree, old, tree.size()).unwrap();
    witness.add(request(old, tree, proof).as_bytes(), 77)
}

#[test]
fn a_log_that_only_grows_is_cosigned() {
    let mut witness = witness();
    for (old, new) in [(0, 3), (3, 3), (3, 8)] {
        let tree = tree(&[0, 1, 2, 3, 4, 5, 6, 7][..new]);
        let Answer::Cosigned(line) = grow(&mut witness, old, &tree) else {
            panic!("{old}")
        };
        let text = request(old, &tree, Vec::new());
        let mut note = AddCheckpoint::parse(text.as_bytes())
            .unwrap()
            .note()
            .clone();
        note.add(line).unwrap();
        assert_eq!(verify_cosignature(&note, witness.cosigner.key()), Ok(77));
    }
}

#[test]
fn a_rolled_back_log_is_told_what_the_witness_knows() {
    let mut witness = witness();
    grow(&mut witness, 0, &tree(&[0, 1, 2, 3]));
    assert_eq!(grow(&mut witness, 0, &tree(&[0, 1])), Answer::Conflict(4));
    assert_eq!(
        grow(&mut witness, 2, &tree(&[0, 1, 2, 3, 4])),
        Answer::Conflict(4)
    );
}

#[test]
fn a_forked_log_is_never_cosigned() {
    let mut witness = witness();
    grow(&mut witness, 0, &tree(&[0, 1, 2, 3]));
    assert_eq!(
        grow(&mut witness, 4, &tree(&[0, 1, 9, 3])),
        Answer::Contradicted(4)
    );
    assert_eq!(
        witness.memory.accused.len(),
        1,
        "two signed trees of one size are kept"
    );
    // Whatever size it says that the witness has.
    let lies = request(1, &tree(&[0, 1, 9, 3]), Vec::new());
    assert_eq!(witness.add(lies.as_bytes(), 1), Answer::Contradicted(4));
    let forked = grow(&mut witness, 4, &tree(&[0, 1, 9, 3, 4]));
    assert!(matches!(forked, Answer::Inconsistent(_)), "{forked:?}");
    assert_eq!(witness.known(ORIGIN), Some(4), "a refusal changes nothing");
}

#[test]
fn strangers_and_nonsense_are_refused_each_in_its_own_way() {
    let mut witness = witness();
    let tree = tree(&[0, 1]);
    let forged = signed_request(0, &tree, Vec::new(), &signer(2, ORIGIN), ORIGIN);
    assert!(matches!(
        witness.add(forged.as_bytes(), 1),
        Answer::Unsigned(_)
    ));
    let other = "other.example/1";
    let foreign = signed_request(0, &tree, Vec::new(), &signer(1, other), other);
    assert_eq!(witness.add(foreign.as_bytes(), 1), Answer::UnknownLog);
    assert!(matches!(
        witness.add(b"old -1\n\n", 1),
        Answer::Malformed(_)
    ));
    let ahead = request(3, &tree, Vec::new());
    assert!(matches!(
        witness.add(ahead.as_bytes(), 1),
        Answer::Malformed(_)
    ));
    let idle = request(0, &tree, vec![leaf_hash(b"spare")]);
    assert!(matches!(
        witness.add(idle.as_bytes(), 1),
        Answer::Inconsistent(_)
    ));
}

#[test]
fn what_cannot_be_remembered_is_not_cosigned() {
    let mut witness = witness();
    witness.memory.fails = true;
    assert!(matches!(
        grow(&mut witness, 0, &tree(&[0])),
        Answer::Forgetful(_)
    ));
}

#[test]
fn each_log_is_watched_by_itself() {
    let mut witness = witness();
    let grown = tree(&[0, 1, 2]);
    grow(&mut witness, 0, &grown);
    assert_eq!(witness.known("second.example/1"), Some(0));
    let second = signer(1, "second.example/1");
    let other = tree(&[7, 8]);
    let asked = signed_request(0, &other, Vec::new(), &second, "second.example/1");
    assert!(matches!(
        witness.add(asked.as_bytes(), 1),
        Answer::Cosigned(_)
    ));
    assert_eq!(witness.known(ORIGIN), Some(3));
    assert_eq!(witness.known("second.example/1"), Some(2));
    assert_eq!(witness.known("third.example/1"), None);
}

#[test]
fn the_state_of_another_witness_or_another_log_key_is_refused() {
    let mut first = witness();
    grow(&mut first, 0, &tree(&[0, 1]));
    let memory = |first: &Witness<InMemory>| InMemory {
        seen: first.memory.seen.clone(),
        ..InMemory::default()
    };
    let log = |seed| [signer(seed, ORIGIN).key().clone()];
    assert!(Witness::new(log(1), cosigner(9), memory(&first)).is_ok());
    let other_witness = Witness::new(log(1), cosigner(8), memory(&first));
    assert!(matches!(other_witness.err(), Some(NotAWitness::Foreign(_))));
    let other_log = Witness::new(log(2), cosigner(9), memory(&first));
    assert!(matches!(other_log.err(), Some(NotAWitness::Foreign(_))));
    // One bit of the origin, and the witness would have forgotten what it cosigned.
    let second = [signer(1, "second.example/1").key().clone()];
    assert!(Witness::new(second.clone(), cosigner(9), memory(&first)).is_ok());
    let unwatched = Witness::new(second, cosigner(8), memory(&first));
    assert!(matches!(unwatched.err(), Some(NotAWitness::Foreign(_))));
    let none = Witness::new([], cosigner(9), InMemory::default());
    assert!(matches!(none.err(), Some(NotAWitness::NoLog)));
    let twice = Witness::new([log(1), log(2)].concat(), cosigner(9), InMemory::default());
    assert!(matches!(twice.err(), Some(NotAWitness::Twice(_))));
}

#[test]
fn what_is_remembered_has_no_lines_of_strangers_and_asking_again_writes_nothing() {
    let mut witness = witness();
    let tree = tree(&[0]);
    let Answer::Cosigned(line) = grow(&mut witness, 0, &tree) else {
        panic!("refused")
    };
    let text = request(1, &tree, Vec::new());
    let mut note = AddCheckpoint::parse(text.as_bytes())
        .unwrap()
        .note()
        .clone();
    note.add(line.clone()).unwrap();
    let stranger = cosigner(3);
    let checkpoint: Checkpoint = note.text().parse().unwrap();
    note.add(stranger.cosign(&checkpoint, 1).unwrap()).unwrap();
    witness.memory.fails = true;
    let again = AddCheckpoint::new(1, Vec::new(), note).unwrap().to_string();
    assert!(matches!(
        witness.add(again.as_bytes(), 78),
        Answer::Cosigned(_)
    ));
    let seen = witness.memory.seen.values().next().unwrap();
    assert_eq!(seen.note().signatures().len(), 2);
    assert_eq!(seen.note().signatures()[1], line);
}
