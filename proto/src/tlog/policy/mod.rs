//! Which witnesses a reader trusts, and which of them must have cosigned.

mod file;
mod rule;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::collections::BTreeSet;

pub use file::{BadPolicyFile, ListedLog, ListedWitness, MAX_LOGS, MAX_POLICY_BYTES, PolicyFile};

use self::rule::Rule;
use super::{
    checkpoint::Checkpoint,
    cosignature::{CosignerKey, verify_cosignature},
    key::KeyName,
    note::{MAX_SIGNATURES, Note, Unverified},
};

/// Most witnesses of a policy: as many as a note can carry beside one signature of the log.
pub const MAX_WITNESSES: usize = MAX_SIGNATURES - 1;

/// The reader's own rule over these witnesses: so many of them, or groups of groups of them
/// (C2SP tlog-policy). It always asks for at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    witnesses: Vec<CosignerKey>,
    rule: Rule,
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
    #[error("{} have cosigned where {due} must; wait for more, or ask them", .found.len())]
    Quorum {
        /// Those whose cosignatures verified.
        found: Vec<Cosigned>,
        /// The rule in words.
        due: String,
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
    /// Accepts the rule that `quorum` of these witnesses must have cosigned: each witness once, and
    /// a quorum that can be had.
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
        let rule = Rule::count(witnesses.len(), quorum);
        Ok(Self { witnesses, rule })
    }

    /// Gives the witnesses, those too that the rule does not need.
    pub fn witnesses(&self) -> &[CosignerKey] {
        &self.witnesses
    }

    /// Tells how many of all its witnesses must have cosigned; none where the rule is not a mere
    /// number of them.
    pub fn count(&self) -> Option<usize> {
        self.rule.counts(self.witnesses.len())
    }

    /// Says the rule in words, with the names of the witnesses' keys.
    pub fn words(&self) -> String {
        let names: Vec<&str> = self.witnesses.iter().map(|k| k.name().as_str()).collect();
        self.rule.words(&names)
    }

    /// Tells whether the rule is satisfied when exactly those witnesses have cosigned for which
    /// `cosigned` says so.
    pub fn met(&self, cosigned: impl Fn(&CosignerKey) -> bool) -> bool {
        self.reached(|key| cosigned(key).then_some(0)).is_some()
    }

    /// Tells the least value that a quorum of witnesses does not exceed, where each has the value
    /// that `of` gives, or none.
    pub fn reached(&self, of: impl Fn(&CosignerKey) -> Option<u64>) -> Option<u64> {
        let values: Vec<Option<u64>> = self.witnesses.iter().map(of).collect();
        self.rule.since(&values)
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
        let (mut found, mut times) = (Vec::new(), Vec::new());
        for key in &self.witnesses {
            match verify_cosignature(note, key) {
                Ok(seconds) => {
                    times.push(Some(seconds));
                    found.push(Cosigned {
                        witness: key.name().clone(),
                        seconds,
                    });
                }
                Err(Unverified::NotSigned(_)) => times.push(None),
                Err(bad) => return Err(bad.into()),
            }
        }
        match self.rule.since(&times) {
            Some(by) => Ok(Witnessed {
                checkpoint: checkpoint.clone(),
                cosigned: found,
                by,
            }),
            None => Err(NotWitnessed::Quorum {
                found,
                due: self.words(),
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
