//! What this host has seen of the log: a log that contradicts itself is found out here.

use affiant_proto::{
    Digest,
    tlog::{Hash, OpenError, ProofError, SignedCheckpoint, leaf_hash, verify_inclusion},
    v1,
};

use crate::deployment::Deployment;

/// Longest inclusion proof: one hash for each of the 64 levels that a tree can have.
const MAX_PATH: usize = 64;

/// The newest checkpoint that was seen.
#[derive(Clone, Debug)]
pub struct Anchor {
    deployment: Deployment,
    newest: Option<SignedCheckpoint>,
}

/// Why a checkpoint or proof is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unproved {
    /// Not a checkpoint of the deployment's log.
    #[error("the verifier sent a checkpoint that its log did not sign: {0}")]
    Checkpoint(#[from] OpenError),
    /// Two trees of one size: the log shows different histories.
    #[error(
        "THE LOG CONTRADICTS ITSELF: it signed two different trees of size {size}. keep both \
         checkpoints and show them to the auditor:\n{first}\n{second}"
    )]
    Contradiction {
        /// Their size.
        size: u64,
        /// The note that was seen before.
        first: String,
        /// The note that was seen now.
        second: String,
    },
    /// The log says it has a record and does not show it.
    #[error(
        "THE LOG DOES NOT SHOW record {sequence}, which it said it had at index {index}: {error}; \
         ask the verifier's operator why, and tell the auditor if it stays so"
    )]
    NotIncluded {
        /// Of the record.
        sequence: u64,
        /// Where it was said to be.
        index: u64,
        /// What is wrong with the proof.
        error: ProofError,
    },
    /// A proof that is no proof.
    #[error("the verifier's proof for index {0} is malformed")]
    Proof(u64),
}

impl Unproved {
    /// Tells whether the log stands convicted by its own signatures, not merely its messenger by
    /// what it left out.
    pub fn is_evidence(&self) -> bool {
        matches!(self, Self::Contradiction { .. })
    }
}

impl Anchor {
    /// Begins with what was seen before; a `known` note that does not verify is forgotten.
    pub fn new(deployment: Deployment, known: Option<&str>) -> Self {
        let newest = known.and_then(|note| deployment.open(note.as_bytes()).ok());
        Self { deployment, newest }
    }

    /// The newest checkpoint that was seen.
    pub fn newest(&self) -> Option<&SignedCheckpoint> {
        self.newest.as_ref()
    }

    /// Takes a note that the verifier sent and gives it as the checkpoint that it is. An older one
    /// than the newest is given too, for it still proves what it proves.
    pub fn take(&mut self, note: &[u8]) -> Result<SignedCheckpoint, Unproved> {
        let taken = self.deployment.open(note)?;
        let (size, root) = (taken.checkpoint().size(), taken.checkpoint().root());
        let newer = match &self.newest {
            None => true,
            Some(known) => {
                let known_size = known.checkpoint().size();
                if known_size == size && known.checkpoint().root() != root {
                    return Err(Unproved::Contradiction {
                        size,
                        first: known.note().to_string(),
                        second: taken.note().to_string(),
                    });
                }
                size > known_size
            }
        };
        if newer {
            self.newest = Some(taken.clone());
        }
        Ok(taken)
    }

    /// Checks the verifier's proof that the log holds `record` at `index`. The chain carries the
    /// proof to every record before it.
    pub fn prove(
        &mut self,
        (sequence, record): (u64, Digest),
        index: u64,
        reply: &v1::ProveReply,
    ) -> Result<(), Unproved> {
        let taken = self.take(&reply.checkpoint)?;
        if reply.path.len() > MAX_PATH {
            return Err(Unproved::Proof(index));
        }
        let hash = |bytes: &Vec<u8>| bytes.as_slice().try_into().ok().map(Hash::from_bytes);
        let path: Option<Vec<Hash>> = reply.path.iter().map(hash).collect();
        let path = path.ok_or(Unproved::Proof(index))?;
        let leaf = leaf_hash(record.as_bytes());
        let checkpoint = taken.checkpoint();
        verify_inclusion(&leaf, index, checkpoint.size(), checkpoint.root(), &path).map_err(
            |error| Unproved::NotIncluded {
                sequence,
                index,
                error,
            },
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use affiant_proto::{
        Ed25519Signer, Signer, Statement, digest,
        statement::Place,
        tlog::{Checkpoint, MemoryTree, NoteSigner, inclusion_proof},
    };

    struct Log {
        seed: u8,
        tree: MemoryTree,
    }

    fn log() -> (Log, Deployment) {
        let signer = Ed25519Signer::from_seed(&[7; 32]).unwrap();
        let operator = Ed25519Signer::from_seed(&[8; 32]).unwrap();
        let genesis = v1::Genesis {
            origin: "log.example.org/1".into(),
            log_key: signer.public_key().as_bytes().to_vec(),
            operator_key: operator.public_key().as_bytes().to_vec(),
            ca: digest(b"ca").as_bytes().to_vec(),
            ..v1::Genesis::default()
        };
        let time = crate::clock::header_time();
        let sealed =
            Statement::seal(genesis.into(), Place::Opening, time, None, &operator).unwrap();
        let deployment = Deployment::read(sealed.as_bytes(), digest(b"ca")).unwrap();
        let tree = MemoryTree::default();
        (Log { seed: 7, tree }, deployment)
    }

    impl Log {
        fn add(&mut self, record: &[u8]) -> Digest {
            let record = digest(record);
            self.tree.push(leaf_hash(record.as_bytes()));
            record
        }

        fn note(&self) -> Vec<u8> {
            let origin: affiant_proto::tlog::Origin = "log.example.org/1".parse().unwrap();
            let signer = Ed25519Signer::from_seed(&[self.seed; 32]).unwrap();
            let signer = NoteSigner::new(origin.key_name(), signer);
            let size = self.tree.size();
            let root = affiant_proto::tlog::root_at(&self.tree, size).unwrap();
            let checkpoint = Checkpoint::new(origin, size, root).unwrap();
            checkpoint
                .sign(&signer.unwrap())
                .unwrap()
                .note()
                .to_string()
                .into_bytes()
        }

        fn prove(&self, index: u64) -> v1::ProveReply {
            let path = inclusion_proof(&self.tree, index, self.tree.size()).unwrap();
            v1::ProveReply {
                checkpoint: self.note(),
                path: path.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
            }
        }
    }

    #[test]
    fn the_newest_checkpoint_stays_whatever_order_they_come_in() {
        let (mut log, deployment) = log();
        let mut anchor = Anchor::new(deployment, None);
        log.add(b"one");
        let small = log.note();
        log.add(b"two");
        anchor.take(&log.note()).unwrap();
        assert_eq!(anchor.take(&small).unwrap().checkpoint().size(), 1);
        assert_eq!(anchor.newest().unwrap().checkpoint().size(), 2);
    }

    #[test]
    fn two_trees_of_one_size_convict_the_log() {
        let (mut log, deployment) = log();
        let mut anchor = Anchor::new(deployment.clone(), None);
        log.add(b"one");
        anchor.take(&log.note()).unwrap();
        log.tree = MemoryTree::default();
        log.add(b"another");
        let convicted = anchor.take(&log.note()).unwrap_err();
        assert!(convicted.is_evidence());
        let known = anchor.newest().unwrap().note().to_string();
        assert!(convicted.to_string().contains(&known));
        let mut restarted = Anchor::new(deployment, Some(&known));
        assert!(
            restarted.take(&log.note()).is_err(),
            "a restart forgets nothing"
        );
    }

    #[test]
    fn a_checkpoint_of_another_key_is_refused() {
        let (mut log, deployment) = log();
        log.add(b"one");
        log.seed = 9;
        let refused = Anchor::new(deployment, None).take(&log.note()).unwrap_err();
        assert!(matches!(refused, Unproved::Checkpoint(_)), "{refused}");
    }

    #[test]
    fn a_record_is_proved_by_its_path_and_by_no_other() {
        let (mut log, deployment) = log();
        let records: Vec<Digest> = [b"a", b"b", b"c", b"d", b"e"].map(|r| log.add(r)).to_vec();
        let mut anchor = Anchor::new(deployment, None);
        for (index, record) in (0..).zip(&records) {
            anchor
                .prove((7, *record), index, &log.prove(index))
                .unwrap();
            let wrong = anchor
                .prove((7, digest(b"x")), index, &log.prove(index))
                .unwrap_err();
            assert!(matches!(wrong, Unproved::NotIncluded { .. }), "{wrong}");
            let mut short = log.prove(index);
            short.path.pop();
            assert!(anchor.prove((7, *record), index, &short).is_err());
            let mut bent = log.prove(index);
            bent.path[0].pop();
            let wrong = anchor.prove((7, *record), index, &bent).unwrap_err();
            assert!(matches!(wrong, Unproved::Proof(_)), "{wrong}");
        }
    }
}
