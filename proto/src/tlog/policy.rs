//! Which witnesses a reader trusts, and how many of them must have cosigned.

use std::collections::BTreeSet;

use super::{
    checkpoint::Checkpoint,
    cosignature::{CosignerKey, verify_cosignature},
    key::KeyName,
    note::{MAX_SIGNATURES, Note, Unverified},
};

/// Most witnesses of a policy: as many as a note can carry beside one signature of the log.
pub const MAX_WITNESSES: usize = MAX_SIGNATURES - 1;

/// The reader's own rule: `quorum` of these witnesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    witnesses: Vec<CosignerKey>,
    quorum: usize,
}

/// Why a policy is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPolicy {
    /// No quorum, or one above the number of witnesses.
    #[error("a quorum of {quorum} cannot be had from {witnesses} witnesses; name 1 to {witnesses}")]
    Quorum {
        /// As asked for.
        quorum: usize,
        /// As many as there are.
        witnesses: usize,
    },
    /// Above [`MAX_WITNESSES`].
    #[error("{0} witnesses where at most {MAX_WITNESSES} fit on a checkpoint")]
    TooMany(usize),
    /// One name or one public key twice; a cosignature does not say which name it is for, so one
    /// key under two names would count twice.
    #[error("witness {0} repeats a name or a key; list each witness once")]
    Repeated(KeyName),
}

/// Why a checkpoint does not count as witnessed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotWitnessed {
    /// The note is of another checkpoint.
    #[error("the cosigned note is not of this checkpoint; take the note that belongs to it")]
    OtherText,
    /// A listed witness's line that does not verify.
    #[error(transparent)]
    Bad(#[from] Unverified),
    /// Too few.
    #[error("{} of the {quorum} witnesses due have cosigned; wait for more, or ask them", .found.len())]
    Quorum {
        /// Those whose cosignatures verified.
        found: Vec<Cosigned>,
        /// As many as are due.
        quorum: usize,
    },
}

/// A witness whose cosignature verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// Who.
    pub witness: KeyName,
    /// When, in seconds since 1970 by the witness's own clock.
    pub seconds: u64,
}

/// A checkpoint that a quorum of the reader's witnesses cosigned: made only by
/// [`Policy::cosigned`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    checkpoint: Checkpoint,
    cosigned: Vec<Cosigned>,
    by: u64,
}

impl Policy {
    /// Accepts a rule: each witness once, and a quorum that can be had.
    pub fn new(witnesses: Vec<CosignerKey>, quorum: usize) -> Result<Self, BadPolicy> {
        if witnesses.len() > MAX_WITNESSES {
            return Err(BadPolicy::TooMany(witnesses.len()));
        }
        if !(1..=witnesses.len()).contains(&quorum) {
            return Err(BadPolicy::Quorum {
                quorum,
                witnesses: witnesses.len(),
            });
        }
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for key in &witnesses {
            if !names.insert(key.name()) || !keys.insert(key.public_key()) {
                return Err(BadPolicy::Repeated(key.name().clone()));
            }
        }
        Ok(Self { witnesses, quorum })
    }

    /// Gives the witnesses.
    pub fn witnesses(&self) -> &[CosignerKey] {
        &self.witnesses
    }

    /// Tells how many must have cosigned.
    pub fn quorum(&self) -> usize {
        self.quorum
    }

    /// Checks the cosignatures on the note of `checkpoint`, in the order of the policy.
    ///
    /// Lines of other keys are ignored. A line of a listed witness that does not verify refuses
    /// the note: what stands there is not what the witness made. The log's own signature is for
    /// [`Checkpoint::open`].
    pub fn cosigned(
        &self,
        note: &Note,
        checkpoint: &Checkpoint,
    ) -> Result<Witnessed, NotWitnessed> {
        if note.text() != checkpoint.to_string() {
            return Err(NotWitnessed::OtherText);
        }
        let mut found = Vec::new();
        for key in &self.witnesses {
            match verify_cosignature(note, key) {
                Ok(seconds) => found.push(Cosigned {
                    witness: key.name().clone(),
                    seconds,
                }),
                Err(Unverified::NotSigned(_)) => {}
                Err(bad) => return Err(bad.into()),
            }
        }
        let mut times: Vec<u64> = found.iter().map(|witness| witness.seconds).collect();
        times.sort_unstable();
        match times.get(self.quorum.saturating_sub(1)) {
            Some(&by) => Ok(Witnessed {
                checkpoint: checkpoint.clone(),
                cosigned: found,
                by,
            }),
            None => Err(NotWitnessed::Quorum {
                found,
                quorum: self.quorum,
            }),
        }
    }
}

impl Witnessed {
    /// Gives the checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Gives all listed witnesses that cosigned, in the order of the policy.
    pub fn cosigned(&self) -> &[Cosigned] {
        &self.cosigned
    }

    /// Tells by when a quorum had cosigned, in seconds since 1970: the tree existed by then.
    pub fn by(&self) -> u64 {
        self.by
    }
}
