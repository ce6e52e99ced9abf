//! A witness (C2SP tlog-witness): cosigns the checkpoints of one log as long as it only grows.
//!
//! What it must never do is cosign two trees of which neither begins the other. So the newest
//! tree it knows is on the disk before its cosignature leaves, and one request is judged at a
//! time.

mod key;
mod memory;
mod server;

pub use key::{BadKeyFile, make, read};
pub use memory::{FileMemory, Forgetful, Memory, fresh};
pub use server::{Limits, run, serve};

use affiant_proto::{
    Ed25519Signer,
    tlog::{
        AddCheckpoint, Checkpoint, Cosigner, Note, NoteKey, NoteSignature, OpenError,
        SignedCheckpoint, verify_consistency,
    },
};

/// What the witness answers, each with its HTTP status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: the checkpoint extends what the witness knew; here is its cosignature.
    Cosigned(NoteSignature),
    /// 409: the witness knows the log at another size, or at this size with another root.
    Conflict(u64),
    /// 400: not a request, or one whose sizes cannot be.
    Malformed(String),
    /// 403: the checkpoint is not signed by the log's key.
    Unsigned(String),
    /// 404: the checkpoint is of a log that this witness does not know.
    UnknownLog,
    /// 422: the new tree does not begin with the tree that the witness knows.
    Inconsistent(String),
    /// 500: the witness could not remember the checkpoint, and so did not cosign it.
    Forgetful(String),
}

/// The witness of one log.
pub struct Witness<M> {
    log: NoteKey,
    cosigner: Cosigner<Ed25519Signer>,
    memory: M,
}

impl<M: Memory> Witness<M> {
    /// Puts a witness together; `memory` is of the log of `log`.
    pub fn new(log: NoteKey, cosigner: Cosigner<Ed25519Signer>, memory: M) -> Self {
        Self {
            log,
            cosigner,
            memory,
        }
    }

    /// Judges one add-checkpoint request; `seconds` since 1970 is the time of the cosignature.
    pub fn add(&mut self, body: &[u8], seconds: u64) -> Answer {
        let request = match AddCheckpoint::parse(body) {
            Ok(request) => request,
            Err(bad) => return Answer::Malformed(bad.to_string()),
        };
        if origin(request.note()) != self.log.name().as_str() {
            return Answer::UnknownLog;
        }
        let signed = match SignedCheckpoint::of(request.note().clone(), &self.log) {
            Ok(signed) => signed,
            Err(OpenError::Signature(bad)) => return Answer::Unsigned(bad.to_string()),
            Err(bad) => return Answer::Malformed(bad.to_string()),
        };
        let new = signed.checkpoint();
        if request.old() > new.size() {
            return Answer::Malformed(format!(
                "the old size {} is above the checkpoint's, {}",
                request.old(),
                new.size()
            ));
        }
        let known = self.memory.newest();
        if request.old() != known.size()
            || (known.size() == new.size() && known.root() != new.root())
        {
            return Answer::Conflict(known.size());
        }
        let grown = verify_consistency(
            known.size(),
            known.root(),
            new.size(),
            new.root(),
            request.proof(),
        );
        if let Err(bad) = grown {
            return Answer::Inconsistent(bad.to_string());
        }
        self.cosign(new.clone(), seconds)
    }

    /// Remembers, and only then cosigns.
    fn cosign(&mut self, checkpoint: Checkpoint, seconds: u64) -> Answer {
        if checkpoint != *self.memory.newest()
            && let Err(bad) = self.memory.remember(&checkpoint)
        {
            return Answer::Forgetful(bad.to_string());
        }
        match self.cosigner.cosign(&checkpoint, seconds) {
            Ok(signature) => Answer::Cosigned(signature),
            Err(bad) => Answer::Forgetful(bad.to_string()),
        }
    }
}

fn origin(note: &Note) -> &str {
    note.text().split('\n').next().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use affiant_proto::tlog::{
        Hash, MemoryTree, NoteSigner, consistency_proof, leaf_hash, verify_cosignature,
    };

    use super::*;

    const ORIGIN: &str = "log.example/1";

    /// Remembers nothing durably; fails when told to.
    struct InMemory(Checkpoint, bool);

    impl Memory for InMemory {
        fn newest(&self) -> &Checkpoint {
            &self.0
        }

        fn remember(&mut self, checkpoint: &Checkpoint) -> Result<(), Forgetful> {
            if self.1 {
                return Err(Forgetful::NotACheckpoint("nowhere".into()));
            }
            self.0 = checkpoint.clone();
            Ok(())
        }
    }

    fn signer(seed: u8, name: &str) -> NoteSigner<Ed25519Signer> {
        let key = Ed25519Signer::from_seed(&[seed; 32]).unwrap();
        NoteSigner::new(name.parse().unwrap(), key).unwrap()
    }

    fn witness() -> Witness<InMemory> {
        let key = Ed25519Signer::from_seed(&[9; 32]).unwrap();
        let cosigner = Cosigner::new("witness.example".parse().unwrap(), key).unwrap();
        let memory = InMemory(fresh(&ORIGIN.parse().unwrap()).unwrap(), false);
        Witness::new(signer(1, ORIGIN).key().clone(), cosigner, memory)
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
            Answer::Conflict(4)
        );
        let forked = grow(&mut witness, 4, &tree(&[0, 1, 9, 3, 4]));
        assert!(matches!(forked, Answer::Inconsistent(_)), "{forked:?}");
        assert_eq!(witness.memory.0.size(), 4, "a refusal changes nothing");
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
        witness.memory.1 = true;
        assert!(matches!(
            grow(&mut witness, 0, &tree(&[0])),
            Answer::Forgetful(_)
        ));
    }
}
