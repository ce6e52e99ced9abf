//! What this host has seen of the log: a log that contradicts itself is found out here.

use affiant_proto::{
    Digest,
    authority::Fate,
    digest,
    tlog::{
        Checkpoint, Hash, OpenError, ProofError, SignedCheckpoint, leaf_hash, verify_consistency,
        verify_inclusion,
    },
    v1,
};

use crate::{
    data::DataDir,
    deployment::{Deployment, NotADeployment},
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
    /// The note that was newest before a succession, which the new generation does not continue.
    former: Option<String>,
    /// The same, where the succession does not own up to it.
    hidden: Option<(Seen, Box<SignedCheckpoint>)>,
}

/// A tree that the log must be shown to extend.
#[derive(Clone, Debug)]
pub struct Seen {
    checkpoint: Checkpoint,
    note: String,
}

impl From<&SignedCheckpoint> for Seen {
    fn from(signed: &SignedCheckpoint) -> Self {
        Self {
            checkpoint: signed.checkpoint().clone(),
            note: signed.note().to_string(),
        }
    }
}

impl Seen {
    /// The tree.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
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
        seen: Box<Seen>,
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
        seen: Box<Seen>,
        /// What was shown now.
        shown: Box<SignedCheckpoint>,
    },
    /// The log said that it has a record and does not show it.
    #[error(
        "THE LOG DOES NOT SHOW record {}, which it said it had at index {}, in its tree of size {}: \
         {why}; ask the verifier's operator why, and show the checkpoint to the auditor",
        claim.sequence, claim.index, claim.held.checkpoint.size()
    )]
    NotShown {
        /// What it said.
        claim: Box<Claim>,
        /// What it shows in place of a proof.
        why: Unshown,
        /// The proof that it gave, as it came.
        path: Vec<Vec<u8>>,
    },
    /// A consistency proof that is no proof.
    #[error("the verifier's proof that its log extends the tree of size {0} is malformed")]
    Extension(u64),
    /// A succession that owns up to less than was published.
    #[error(
        "THE SUCCESSION HIDES ENTRIES: this host has seen a tree of size {} that it does not tell \
         of. show the checkpoint to the auditor",
        seen.checkpoint().size()
    )]
    Hidden {
        /// What was seen before.
        seen: Box<Seen>,
        /// What was shown now.
        shown: Box<SignedCheckpoint>,
    },
    /// A generation of the log that is over.
    #[error(
        "THE LOG WENT BACK: it shows {}, which a succession has ended; have the verifier's \
         operator look at what it was started from",
        one_line(shown.checkpoint())
    )]
    Former {
        /// What was shown now.
        shown: Box<SignedCheckpoint>,
    },
    /// By whom trust passed on does not hold.
    #[error(transparent)]
    Deployment(#[from] NotADeployment),
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

/// What the log said of one record: that it is at this index, under a checkpoint that is held.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Sequence of the record.
    pub sequence: u64,
    /// Its digest.
    pub record: Digest,
    /// Where it was said to be.
    pub index: u64,
    /// The tree that has to show it.
    held: Seen,
}

impl Claim {
    /// Size of the tree that has to show it.
    pub fn size(&self) -> u64 {
        self.held.checkpoint.size()
    }

    /// The charge that the log answered with this in place of a proof.
    pub fn denied(self, answer: String) -> Unproved {
        Unproved::NotShown {
            claim: Box::new(self),
            why: Unshown::Denied(answer),
            path: Vec::new(),
        }
    }
}

/// What came in place of a proof that a record is in the log.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unshown {
    /// That there is none.
    #[error("it has no proof: {0}")]
    Denied(String),
    /// What is no proof at all.
    #[error("its proof is malformed")]
    Malformed,
    /// A proof of something else.
    #[error(transparent)]
    Proof(#[from] ProofError),
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
            Self::WentBack { seen, shown } | Self::Hidden { seen, shown } => {
                ("LOG_WENT_BACK", seen, shown)
            }
            Self::Former { shown } => {
                return Some(Charge {
                    rule: "LOG_WENT_BACK",
                    text: format!(
                        "shown {}, which a succession has ended",
                        one_line(shown.checkpoint())
                    ),
                    notes: [Vec::new(), shown.note().to_string().into_bytes()],
                });
            }
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
            Self::NotShown { claim, why, path } => {
                let hashes = path.iter().take(MAX_PATH).map(|hash| hex(hash) + "\n");
                return Some(Charge {
                    rule: "LOG_LACKS_RECORD",
                    text: format!(
                        "record {} {} was said to be at index {}; {} does not show it: {why}",
                        claim.sequence,
                        claim.record,
                        claim.index,
                        one_line(&claim.held.checkpoint)
                    ),
                    notes: [
                        claim.held.note.clone().into_bytes(),
                        format!(
                            "a proof of {} hashes\n{}",
                            path.len(),
                            hashes.collect::<String>()
                        )
                        .into_bytes(),
                    ],
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
            notes: [seen.note.clone(), shown.note().to_string()].map(String::into_bytes),
        })
    }
}

fn one_line(checkpoint: &Checkpoint) -> String {
    let (origin, size, root) = (checkpoint.origin(), checkpoint.size(), checkpoint.root());
    format!(
        "{} size {size} root {}",
        origin.as_str(),
        hex(root.as_bytes())
    )
}

/// Spells bytes that others sent; no more than two hashes have.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(64).map(|b| format!("{b:02x}")).collect()
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
            former: None,
            hidden: None,
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

    /// The deployment, as far as it is known.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The newest note of a generation that a succession ended, where it is not part of the log.
    pub fn former(&self) -> Option<&str> {
        self.former.as_deref()
    }

    /// What a succession hides, told once. Records go to the new generation all the same: it has
    /// two officers' names under it, and the host's chain now says what it hides.
    pub fn hidden(&mut self) -> Option<Unproved> {
        let (seen, shown) = self.hidden.take()?;
        let seen = Box::new(seen);
        Some(Unproved::Hidden { seen, shown })
    }

    /// The newest checkpoint that the log has shown to extend all that were proved before it.
    pub fn proved(&self) -> Option<&SignedCheckpoint> {
        self.proved.as_ref()
    }

    /// The checkpoints of which the log has yet to show that its newest tree extends them.
    pub fn unproved(&self) -> Vec<Seen> {
        let generation = self.deployment.authorities().lineage().current();
        // What two officers said was kept, the log has to have, whoever saw it.
        let kept = generation.opening().map(|opening| Seen {
            checkpoint: opening.kept().clone(),
            note: format!(
                "(kept by the succession to {})\n",
                generation.origin().as_str()
            ),
        });
        let signed = self.proved.iter().chain(&self.newest).map(Seen::from);
        let mut all: Vec<Seen> = kept.into_iter().chain(signed).collect();
        all.dedup_by(|a, b| a.checkpoint == b.checkpoint);
        all.retain(|seen| seen.checkpoint.size() > 0);
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
            same_tree(&known.into(), &taken)?;
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
        self.deployment.learn(reply)?;
        let shown = self.open(&reply.checkpoint)?;
        let generation = self.deployment.authorities().lineage().current();
        if shown.checkpoint().origin() != generation.origin() {
            let shown = Box::new(shown);
            return Err(Unproved::Former { shown });
        }
        let (proved, newest) = (self.proved.take(), self.newest.take());
        self.proved = proved.and_then(|seen| self.still(seen, &shown));
        self.newest = newest.and_then(|seen| self.still(seen, &shown));
        let Some(seen) = self.newest.as_ref().map(Seen::from) else {
            // The first that this host sees of this generation.
            self.newest = Some(shown);
            return Ok(());
        };
        not_behind(&seen, &shown)?;
        same_tree(&seen, &shown)
    }

    /// Gives a checkpoint back unless a succession made it a thing of the past.
    fn still(
        &mut self,
        seen: SignedCheckpoint,
        shown: &SignedCheckpoint,
    ) -> Option<SignedCheckpoint> {
        let (origin, size) = (seen.checkpoint().origin(), seen.checkpoint().size());
        let lineage = self.deployment.authorities().lineage();
        let fate = lineage.fate(origin.as_str(), size, seen.checkpoint().root());
        match fate {
            Fate::Standing => return Some(seen),
            Fate::Lost(opening) => {
                tracing::error!(
                    size,
                    kept = opening.kept().size(),
                    reason = opening.reason(),
                    "THE LOG LOST ENTRIES, as two officers declare; what it lacks is sent again"
                );
            }
            // Nothing that was opened is foreign; what cannot be is as good as hidden.
            Fate::Hidden(_) | Fate::Impossible | Fate::Foreign => {
                self.hidden = Some((Seen::from(&seen), Box::new(shown.clone())));
            }
        }
        self.former = Some(seen.note().to_string());
        None
    }

    /// Checks the verifier's proof that its newest tree extends the one of `seen`, and gives that
    /// tree.
    pub fn extend(
        &self,
        seen: &Seen,
        reply: &v1::ExtendReply,
    ) -> Result<SignedCheckpoint, Unproved> {
        let shown = self.open(&reply.checkpoint)?;
        not_behind(seen, &shown)?;
        same_tree(seen, &shown)?;
        let (old, new) = (&seen.checkpoint, shown.checkpoint());
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
        let Some(last) = shown.last() else {
            return Ok(true);
        };
        for shown in &shown {
            same_tree(&shown.into(), last)?;
        }
        let one = shown
            .iter()
            .all(|shown| shown.checkpoint() == last.checkpoint());
        for shown in &shown {
            self.take(shown.note().to_string().as_bytes())?;
        }
        if one {
            self.proved = Some(last.clone());
        }
        Ok(one)
    }

    /// Says by which checkpoint that this host holds the log must show `record` at `index`: the
    /// proved one where it reaches that far, else the newest. `None` when none does.
    pub fn claim(&self, (sequence, record): (u64, Digest), index: u64) -> Option<Claim> {
        let mut held = self.proved.iter().chain(&self.newest);
        let held = held.find(|held| index < held.checkpoint().size())?;
        Some(Claim {
            sequence,
            record,
            index,
            held: held.into(),
        })
    }

    /// Tells whether the log still has to have what the generation `origin` had at `index`: no
    /// succession since went on from less.
    pub fn keeps(&self, origin: &str, index: u64) -> bool {
        let generations = self.deployment.authorities().lineage().generations();
        let mut later = generations.skip_while(|one| one.origin().as_str() != origin);
        later.next().is_some()
            && later.all(|next| next.opening().is_none_or(|o| index < o.kept().size()))
    }

    /// Checks the verifier's proof of a claim, in the tree that this host holds. The chain carries
    /// it to every record before that one.
    pub fn prove(&mut self, claim: Claim, reply: v1::ProveReply) -> Result<(), Unproved> {
        self.take(&reply.checkpoint)?;
        let held = claim.held.checkpoint();
        let leaf = leaf_hash(claim.record.as_bytes());
        let why = match hashes(&reply.path, MAX_PATH) {
            None => Unshown::Malformed,
            Some(path) => {
                match verify_inclusion(&leaf, claim.index, held.size(), held.root(), &path) {
                    Ok(()) => return Ok(()),
                    Err(error) => error.into(),
                }
            }
        };
        Err(Unproved::NotShown {
            claim: Box::new(claim),
            why,
            path: reply.path,
        })
    }
}

/// Reads the hashes of a proof; `None` when there are more than `most`, or one is no hash.
fn hashes(path: &[Vec<u8>], most: usize) -> Option<Vec<Hash>> {
    let hash = |bytes: &Vec<u8>| bytes.as_slice().try_into().ok().map(Hash::from_bytes);
    (path.len() <= most).then(|| path.iter().map(hash).collect())?
}

fn not_behind(seen: &Seen, shown: &SignedCheckpoint) -> Result<(), Unproved> {
    if shown.checkpoint().size() < seen.checkpoint.size() {
        return Err(Unproved::WentBack {
            seen: Box::new(seen.clone()),
            shown: Box::new(shown.clone()),
        });
    }
    Ok(())
}

fn same_tree(seen: &Seen, shown: &SignedCheckpoint) -> Result<(), Unproved> {
    let (one, other) = (&seen.checkpoint, shown.checkpoint());
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
mod tests;
