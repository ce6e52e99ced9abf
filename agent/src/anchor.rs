//! What this host has seen of the log: a log that contradicts itself is found out here.

use affiant_proto::{
    Digest, digest,
    tlog::{
        Checkpoint, Hash, OpenError, ProofError, SignedCheckpoint, leaf_hash, verify_consistency,
        verify_inclusion,
    },
    v1,
};

use crate::{
    data::DataDir,
    deployment::Deployment,
    durable::{self, Secrecy},
};

/// Longest inclusion proof: one hash for each of the 64 levels that a tree can have.
const MAX_PATH: usize = 64;

/// Longest consistency proof: one hash a level on each side of the seam.
const MAX_EXTENSION: usize = 2 * MAX_PATH;

/// Most bytes of the note on disk, as the cursor's.
const MAX_NOTE: u64 = 1 << 20;

/// What was seen of the log.
#[derive(Clone, Debug)]
pub struct Anchor {
    deployment: Deployment,
    /// The newest checkpoint that was seen.
    newest: Option<SignedCheckpoint>,
    /// The newest one that the log has shown to extend all before it.
    proved: Option<SignedCheckpoint>,
}

/// Why a checkpoint or proof is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unproved {
    /// Not a checkpoint of the deployment's log.
    #[error("the verifier sent a checkpoint that its log did not sign: {error}")]
    Checkpoint {
        /// What is wrong.
        error: OpenError,
        /// What was sent.
        note: Vec<u8>,
    },
    /// Two trees of one size, or a tree that does not extend the one before: different histories.
    #[error(
        "THE LOG CONTRADICTS ITSELF: its tree of size {} does not continue the tree of size {} \
         that this host has seen. show both checkpoints to the auditor",
        shown.checkpoint().size(), seen.checkpoint().size()
    )]
    Forked {
        /// What was seen before.
        seen: Box<SignedCheckpoint>,
        /// What was shown now.
        shown: Box<SignedCheckpoint>,
    },
    /// Less than there was.
    #[error(
        "THE LOG WENT BACK: its newest tree has size {}, and this host has seen one of size {}. \
         show both checkpoints to the auditor; only a succession by two officers may follow a loss",
        shown.checkpoint().size(), seen.checkpoint().size()
    )]
    WentBack {
        /// What was seen before.
        seen: Box<SignedCheckpoint>,
        /// What was shown now.
        shown: Box<SignedCheckpoint>,
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
    /// A consistency proof that is no proof.
    #[error("the verifier's proof that its log extends the tree of size {0} is malformed")]
    Extension(u64),
    /// Another deployment answers.
    #[error(
        "the verifier is now of deployment {there}, and this host enrolled with {here}; correct \
         `verifier` in the configuration, or enrol again with --again"
    )]
    OtherDeployment {
        /// Digest of the genesis on disk.
        here: Digest,
        /// SHA-256 of the genesis that was shown.
        there: Digest,
    },
}

/// What speaks against the log, fit to be kept and to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Name of the rule that was broken.
    pub rule: &'static str,
    /// Both sides in a line.
    pub text: String,
    /// The note that was seen before, empty when there is none, and the one that was shown.
    pub notes: [Vec<u8>; 2],
}

impl Unproved {
    /// What speaks against the log or him who speaks for it; `None` for what a fault of the
    /// network could do as well.
    pub fn charge(&self) -> Option<Charge> {
        let (rule, seen, shown) = match self {
            Self::Forked { seen, shown } => ("LOG_FORKED", seen, shown),
            Self::WentBack { seen, shown } => ("LOG_WENT_BACK", seen, shown),
            Self::Checkpoint { note, .. } => {
                return Some(Charge {
                    rule: "LOG_FORKED",
                    text: format!(
                        "shown a checkpoint that the log's key did not sign, SHA-256 {}",
                        digest(note)
                    ),
                    notes: [Vec::new(), note.clone()],
                });
            }
            _ => return None,
        };
        Some(Charge {
            rule,
            text: format!(
                "seen {}; shown {}",
                one_line(seen.checkpoint()),
                one_line(shown.checkpoint())
            ),
            notes: [seen, shown].map(|note| note.note().to_string().into_bytes()),
        })
    }
}

fn one_line(checkpoint: &Checkpoint) -> String {
    let (origin, size, root) = (checkpoint.origin(), checkpoint.size(), checkpoint.root());
    let root: String = root.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
    format!("{} size {size} root {root}", origin.as_str())
}

impl Anchor {
    /// Begins with what was seen before: the note up to which the log was shown to be one, and
    /// any newer one. A note that does not verify is forgotten.
    pub fn new(deployment: Deployment, proved: Option<&str>, newest: Option<&str>) -> Self {
        let open = |note: &str| deployment.open(note.as_bytes()).ok();
        let proved = proved.and_then(open);
        let size = |note: &SignedCheckpoint| note.checkpoint().size();
        let newest = newest.and_then(open);
        let newest = newest.filter(|newest| proved.as_ref().is_none_or(|p| size(p) < size(newest)));
        Self {
            newest: newest.or_else(|| proved.clone()),
            proved,
            deployment,
        }
    }

    /// Begins with what the data directory has; `newest` is the note of the cursor. A file that
    /// cannot be read is one that was lost: the cursor's note remains.
    pub fn read(data: &DataDir, deployment: Deployment, newest: Option<&str>) -> Self {
        let proved = durable::read(&data.anchor(), MAX_NOTE, Secrecy::Public);
        let proved = proved.unwrap_or_else(|error| {
            tracing::warn!(%error, "what was proved of the log is not known any more");
            None
        });
        let proved = proved
            .as_deref()
            .and_then(|note| std::str::from_utf8(note).ok());
        Self::new(deployment, proved, newest)
    }

    /// The newest checkpoint that was seen.
    pub fn newest(&self) -> Option<&SignedCheckpoint> {
        self.newest.as_ref()
    }

    /// The newest checkpoint that the log has shown to extend all that were proved before it.
    pub fn proved(&self) -> Option<&SignedCheckpoint> {
        self.proved.as_ref()
    }

    /// The checkpoints of which the log has yet to show that its newest tree extends them.
    pub fn unproved(&self) -> Vec<SignedCheckpoint> {
        let mut all: Vec<_> = self.proved.iter().chain(&self.newest).cloned().collect();
        all.dedup_by(|a, b| a.checkpoint() == b.checkpoint());
        all.retain(|seen| seen.checkpoint().size() > 0);
        all
    }

    fn open(&self, note: &[u8]) -> Result<SignedCheckpoint, Unproved> {
        self.deployment.open(note).map_err(|error| {
            let note = note.to_vec();
            Unproved::Checkpoint { error, note }
        })
    }

    /// Takes a note that the verifier sent and gives it as the checkpoint that it is. An older one
    /// than the newest is given too, for it still proves what it proves.
    pub fn take(&mut self, note: &[u8]) -> Result<SignedCheckpoint, Unproved> {
        let taken = self.open(note)?;
        for known in self.newest.iter().chain(&self.proved) {
            same_tree(known, &taken)?;
        }
        let size = taken.checkpoint().size();
        let newer = |known: &SignedCheckpoint| known.checkpoint().size() < size;
        if self.newest.as_ref().is_none_or(newer) {
            self.newest = Some(taken.clone());
        }
        Ok(taken)
    }

    /// Takes what the verifier tells of itself: its deployment, and its newest checkpoint, than
    /// which this host may not have seen a newer one.
    pub fn shown(&mut self, reply: &v1::DescribeReply) -> Result<(), Unproved> {
        let (here, there) = (self.deployment.digest(), digest(&reply.genesis));
        if here != there {
            return Err(Unproved::OtherDeployment { here, there });
        }
        let shown = self.open(&reply.checkpoint)?;
        if let Some(seen) = &self.newest {
            not_behind(seen, &shown)?;
            return same_tree(seen, &shown);
        }
        // The first that this host sees: there is nothing yet that it could contradict.
        self.newest = Some(shown.clone());
        self.proved = Some(shown);
        Ok(())
    }

    /// Checks the verifier's proof that its newest tree extends the one of `seen`, and gives that
    /// tree.
    pub fn extend(
        &self,
        seen: &SignedCheckpoint,
        reply: &v1::ExtendReply,
    ) -> Result<SignedCheckpoint, Unproved> {
        let shown = self.open(&reply.checkpoint)?;
        not_behind(seen, &shown)?;
        same_tree(seen, &shown)?;
        let (old, new) = (seen.checkpoint(), shown.checkpoint());
        let path = hashes(&reply.path, MAX_EXTENSION).ok_or(Unproved::Extension(old.size()))?;
        match verify_consistency(old.size(), old.root(), new.size(), new.root(), &path) {
            Ok(()) => Ok(shown),
            // Both trees are signed, and he who answers has no way from one to the other.
            Err(_) => Err(Unproved::Forked {
                seen: Box::new(seen.clone()),
                shown: Box::new(shown),
            }),
        }
    }

    /// Takes the trees that [`Anchor::unproved`] were shown to lead to, in its order; true when
    /// all led to one, which is then the proved one. Otherwise the log grew in between, and the
    /// question is to be asked again.
    pub fn settle(&mut self, shown: Vec<SignedCheckpoint>) -> Result<bool, Unproved> {
        let (Some(first), Some(last)) = (shown.first(), shown.last()) else {
            return Ok(true);
        };
        same_tree(first, last)?;
        let one = first.checkpoint() == last.checkpoint();
        for shown in &shown {
            self.take(shown.note().to_string().as_bytes())?;
        }
        if one {
            self.proved = Some(last.clone());
        }
        Ok(one)
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
        let path = hashes(&reply.path, MAX_PATH).ok_or(Unproved::Proof(index))?;
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

/// Reads the hashes of a proof; `None` when there are more than `most`, or one is no hash.
fn hashes(path: &[Vec<u8>], most: usize) -> Option<Vec<Hash>> {
    let hash = |bytes: &Vec<u8>| bytes.as_slice().try_into().ok().map(Hash::from_bytes);
    (path.len() <= most).then(|| path.iter().map(hash).collect())?
}

fn not_behind(seen: &SignedCheckpoint, shown: &SignedCheckpoint) -> Result<(), Unproved> {
    if shown.checkpoint().size() < seen.checkpoint().size() {
        return Err(Unproved::WentBack {
            seen: Box::new(seen.clone()),
            shown: Box::new(shown.clone()),
        });
    }
    Ok(())
}

fn same_tree(seen: &SignedCheckpoint, shown: &SignedCheckpoint) -> Result<(), Unproved> {
    let (one, other) = (seen.checkpoint(), shown.checkpoint());
    if one.size() == other.size() && one.root() != other.root() {
        return Err(Unproved::Forked {
            seen: Box::new(seen.clone()),
            shown: Box::new(shown.clone()),
        });
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use affiant_proto::{
        Ed25519Signer, Signer, Statement,
        statement::Place,
        tlog::{MemoryTree, NoteSigner, consistency_proof, inclusion_proof},
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
        let mut anchor = Anchor::new(deployment, None, None);
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
        let mut anchor = Anchor::new(deployment.clone(), None, None);
        log.add(b"one");
        anchor.take(&log.note()).unwrap();
        log.tree = MemoryTree::default();
        log.add(b"another");
        let convicted = anchor.take(&log.note()).unwrap_err();
        let known = anchor.newest().unwrap().note().to_string();
        let charge = convicted.charge().unwrap();
        assert_eq!(charge.rule, "LOG_FORKED");
        assert_eq!(charge.notes, [known.clone().into_bytes(), log.note()]);
        let mut restarted = Anchor::new(deployment, None, Some(&known));
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
        let refused = Anchor::new(deployment, None, None)
            .take(&log.note())
            .unwrap_err();
        assert!(matches!(refused, Unproved::Checkpoint { .. }), "{refused}");
    }

    #[test]
    fn a_record_is_proved_by_its_path_and_by_no_other() {
        let (mut log, deployment) = log();
        let records: Vec<Digest> = [b"a", b"b", b"c", b"d", b"e"].map(|r| log.add(r)).to_vec();
        let mut anchor = Anchor::new(deployment, None, None);
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

    fn described(log: &Log, deployment: &Deployment) -> v1::DescribeReply {
        v1::DescribeReply {
            genesis: deployment.statement().as_bytes().to_vec(),
            checkpoint: log.note(),
            ..v1::DescribeReply::default()
        }
    }

    fn extension(log: &Log, from: u64) -> v1::ExtendReply {
        let path = consistency_proof(&log.tree, from, log.tree.size()).unwrap();
        v1::ExtendReply {
            checkpoint: log.note(),
            path: path.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
        }
    }

    /// Asks as the uploader does.
    fn ask(anchor: &mut Anchor, log: &Log, deployment: &Deployment) -> Result<bool, Unproved> {
        anchor.shown(&described(log, deployment))?;
        let mut shown = Vec::new();
        for seen in anchor.unproved() {
            shown.push(anchor.extend(&seen, &extension(log, seen.checkpoint().size()))?);
        }
        anchor.settle(shown)
    }

    #[test]
    fn a_log_that_only_grows_is_proved_as_far_as_it_has_come() {
        let (mut log, deployment) = log();
        let mut anchor = Anchor::new(deployment.clone(), None, None);
        for n in 1..20u8 {
            log.add(&[n]);
            if n % 3 == 0 {
                anchor.take(&log.note()).unwrap();
                log.add(&[n, n]);
            }
            assert!(ask(&mut anchor, &log, &deployment).unwrap());
            let proved = anchor.proved().unwrap().checkpoint().size();
            assert_eq!(proved, log.tree.size());
        }
    }

    #[test]
    fn a_log_that_is_shorter_than_it_was_went_back() {
        let (mut log, deployment) = log();
        log.add(b"one");
        let mut anchor = Anchor::new(deployment.clone(), None, None);
        let early = log.note();
        ask(&mut anchor, &log, &deployment).unwrap();
        log.add(b"two");
        anchor.take(&log.note()).unwrap();
        let mut reply = described(&log, &deployment);
        reply.checkpoint = early;
        let back = anchor.shown(&reply).unwrap_err();
        assert_eq!(back.charge().unwrap().rule, "LOG_WENT_BACK");
        assert!(back.charge().unwrap().text.contains("size 2"));
    }

    #[test]
    fn another_history_is_found_out_under_what_was_proved_and_under_what_was_only_seen() {
        let (mut log, deployment) = log();
        log.add(b"one");
        let mut anchor = Anchor::new(deployment.clone(), None, None);
        ask(&mut anchor, &log, &deployment).unwrap();
        log.add(b"two");
        anchor.take(&log.note()).unwrap();
        let kept = anchor.proved().unwrap().note().to_string();
        let seen = anchor.newest().unwrap().note().to_string();
        for leaves in [
            [b"other", b"two  ", b"three"],
            [b"one  ", b"other", b"three"],
        ] {
            log.tree = MemoryTree::default();
            for leaf in leaves {
                log.add(leaf.trim_ascii_end());
            }
            let mut restarted = Anchor::new(deployment.clone(), Some(&kept), Some(&seen));
            let forked = ask(&mut restarted, &log, &deployment).unwrap_err();
            assert_eq!(forked.charge().unwrap().rule, "LOG_FORKED", "{forked}");
        }
    }

    #[test]
    fn another_deployment_is_refused_by_its_genesis() {
        let (mut log, deployment) = log();
        log.add(b"one");
        let mut reply = described(&log, &deployment);
        reply.genesis.push(0);
        let refused = Anchor::new(deployment, None, None)
            .shown(&reply)
            .unwrap_err();
        assert!(
            matches!(refused, Unproved::OtherDeployment { .. }),
            "{refused}"
        );
        assert!(refused.charge().is_none());
    }
}
