//! The generations of one log: which key signs its checkpoints, and what a `succession` kept of
//! the generation before.
//!
//! ```text
//! generation 1   0 ======================= kept -------------- last
//!                          stands                  lost
//! generation 2   0 ======================= kept ================== now
//! ```

use crate::{
    keys::PublicKey,
    tlog::{Checkpoint, Hash, NoteKey, Origin},
    v1,
};

use super::officers::Approver;

/// The generations of a log, oldest first; at least one.
#[derive(Clone, Debug)]
pub struct Lineage {
    past: Vec<Generation>,
    current: Generation,
}

/// One generation: an origin with the key that signs its checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    origin: Origin,
    key: NoteKey,
    opening: Option<Opening>,
}

/// How a generation began, as two officers approved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    index: Option<u64>,
    kept: Checkpoint,
    last: Checkpoint,
    reason: String,
    approvers: Vec<Approver>,
}

/// What became of a checkpoint that somebody saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate<'a> {
    /// It has to be a state of the tree as that is now: hold it against the tree.
    Standing,
    /// It lies beyond what was kept, and the succession declares that as lost.
    Lost(&'a Opening),
    /// The succession declares less as lost than was published: it hides something.
    Hidden(&'a Opening),
    /// Its generation never was of that size.
    Impossible,
    /// Of another log.
    Foreign,
}

/// Why a `succession` opens no generation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSuccession {
    /// `kept` or `last` is no checkpoint.
    #[error("its {0} checkpoint is missing or is none")]
    Checkpoint(&'static str),
    /// `kept` or `last` is of another log or generation.
    #[error("its {what} checkpoint is of {got}, and the generation in force is {due}")]
    Generation {
        /// Which of them.
        what: &'static str,
        /// In force.
        due: Origin,
        /// As named.
        got: Origin,
    },
    /// The new origin is not the next.
    #[error("it opens {got:?} where {due} is next")]
    Origin {
        /// The next.
        due: Origin,
        /// As named.
        got: String,
    },
    /// The current origin is so long that none can follow.
    #[error("no origin of at most 100 bytes can follow {0}")]
    TooLong(Origin),
    /// The log's key is refused, or signed for a generation before.
    #[error("its log key is malformed, or the key of a generation before; make a new one")]
    Key,
    /// Sizes that cannot be.
    #[error(
        "it keeps {kept} entries of {last}, where the generation began with {began} and \
         the statement stands at index {index:?}: more than it began with must be kept, and no \
         more than there were"
    )]
    Sizes {
        /// Kept.
        kept: u64,
        /// Published before.
        last: u64,
        /// Kept by the succession before.
        began: u64,
        /// Of the statement.
        index: Option<u64>,
    },
    /// Everything is kept, and under another root.
    #[error("it keeps everything and names two roots of size {0}")]
    TwoRoots(u64),
    /// Not enough officers.
    #[error("two officers who are two persons must approve it, and {0} did whose keys are trusted")]
    Approvals(usize),
}

impl Lineage {
    /// Begins with the log that a genesis names; none when it names no log.
    pub(super) fn of(genesis: &v1::Genesis) -> Option<Self> {
        let origin: Origin = genesis.origin.parse().ok()?;
        let key = note_key(&origin, &genesis.log_key)?;
        Some(Self {
            past: Vec::new(),
            current: Generation {
                origin,
                key,
                opening: None,
            },
        })
    }

    /// The generation in force.
    pub fn current(&self) -> &Generation {
        &self.current
    }

    /// All generations, oldest first.
    pub fn generations(&self) -> impl Iterator<Item = &Generation> {
        self.past.iter().chain([&self.current])
    }

    /// The generation of this origin.
    pub fn named(&self, origin: &str) -> Option<&Generation> {
        self.generations().find(|it| it.origin.as_str() == origin)
    }

    /// Tells what became of a checkpoint of any generation.
    pub fn fate(&self, origin: &str, size: u64, root: &Hash) -> Fate<'_> {
        let mut from = self.generations();
        let Some(it) = from.find(|it| it.origin.as_str() == origin) else {
            return Fate::Foreign;
        };
        if it.opening.as_ref().is_some_and(|o| size <= o.kept.size()) {
            return Fate::Impossible;
        }
        match from.next().and_then(|next| next.opening.as_ref()) {
            None => Fate::Standing,
            Some(next) if size <= next.kept.size() => Fate::Standing,
            Some(next) if size < next.last.size() => Fate::Lost(next),
            Some(next) if size == next.last.size() && root == next.last.root() => Fate::Lost(next),
            Some(next) => Fate::Hidden(next),
        }
    }

    /// Reads what a `succession` at `index` would open; nothing is changed yet.
    pub(super) fn next(
        &self,
        index: Option<u64>,
        body: &v1::Succession,
        approvers: Vec<Approver>,
    ) -> Result<Generation, BadSuccession> {
        let now = &self.current;
        let kept = self.checkpoint("kept", body.kept.as_ref())?;
        let last = self.checkpoint("last", body.last.as_ref())?;
        let due = now.origin.successor();
        let origin = due.ok_or_else(|| BadSuccession::TooLong(now.origin.clone()))?;
        if origin.as_str() != body.origin {
            let got = body.origin.chars().take(100).collect();
            return Err(BadSuccession::Origin { due: origin, got });
        }
        let key = note_key(&origin, &body.log_key).ok_or(BadSuccession::Key)?;
        if self
            .generations()
            .any(|before| before.key.public_key() == key.public_key())
        {
            return Err(BadSuccession::Key);
        }
        let began = now.opening.as_ref().map_or(0, |o| o.kept.size());
        let more = kept.size() > began && kept.size() <= last.size();
        if !more || index.is_some_and(|index| index < kept.size()) {
            return Err(BadSuccession::Sizes {
                kept: kept.size(),
                last: last.size(),
                began,
                index,
            });
        }
        if kept.size() == last.size() && kept.root() != last.root() {
            return Err(BadSuccession::TwoRoots(kept.size()));
        }
        let opening = Opening {
            index,
            kept,
            last,
            reason: body.reason.clone(),
            approvers,
        };
        Ok(Generation {
            origin,
            key,
            opening: Some(opening),
        })
    }

    pub(super) fn open(&mut self, next: Generation) {
        let before = std::mem::replace(&mut self.current, next);
        self.past.push(before);
    }

    fn checkpoint(
        &self,
        what: &'static str,
        named: Option<&v1::CheckpointRef>,
    ) -> Result<Checkpoint, BadSuccession> {
        let bad = || BadSuccession::Checkpoint(what);
        let named = named.ok_or_else(bad)?;
        let root = Hash::try_from(named.root.as_slice()).map_err(|_| bad())?;
        let origin: Origin = named.origin.parse().map_err(|_| bad())?;
        if origin != self.current.origin {
            return Err(BadSuccession::Generation {
                what,
                due: self.current.origin.clone(),
                got: origin,
            });
        }
        Checkpoint::new(origin, named.size, root).map_err(|_| bad())
    }
}

impl Generation {
    /// First line of its checkpoints.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The key that signs them.
    pub fn key(&self) -> &NoteKey {
        &self.key
    }

    /// How it began; none for the first.
    pub fn opening(&self) -> Option<&Opening> {
        self.opening.as_ref()
    }
}

impl Opening {
    /// Log index of the `succession`, as far as the reader was told.
    pub fn index(&self) -> Option<u64> {
        self.index
    }

    /// The tree that the generation goes on from. Whether the log begins with it is for whoever
    /// knows the tree to check.
    pub fn kept(&self) -> &Checkpoint {
        &self.kept
    }

    /// The newest checkpoint of the generation before that was declared as published.
    pub fn last(&self) -> &Checkpoint {
        &self.last
    }

    /// How many entries were declared as lost; 0 for a planned change of key.
    pub fn lost(&self) -> u64 {
        self.last.size().saturating_sub(self.kept.size())
    }

    /// The reason given.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Who approved: at least two officers.
    pub fn approvers(&self) -> &[Approver] {
        &self.approvers
    }
}

fn note_key(origin: &Origin, key: &[u8]) -> Option<NoteKey> {
    NoteKey::new(origin.key_name(), PublicKey::ed25519(key).ok()?).ok()
}
