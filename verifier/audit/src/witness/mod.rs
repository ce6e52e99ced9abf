//! A witness (C2SP tlog-witness): cosigns the checkpoints of logs as long as each only grows.
//!
//! What it must never do is cosign two trees of one log of which neither begins the other. So the
//! newest tree it knows is on the disk before its cosignature leaves, and one request is judged at
//! a time.

mod command;
mod key;
mod memory;
mod once;
mod page;
mod server;

use std::collections::BTreeMap;

use affiant_proto::{
    Ed25519Signer,
    tlog::{
        AddCheckpoint, Checkpoint, Cosigner, CosignerKey, NotAnOrigin, Note, NoteKey, OpenError,
        Origin, SignedCheckpoint, empty_root, verify_consistency, verify_cosignature,
    },
};

pub use affiant_proto::tlog::{MAX_LOGS, NoteSignature};
pub(crate) use command::{Arguments, execute};
pub use key::{BadKeyFile, make, read};
pub use memory::{Contradiction, FileMemory, Forgetful, Memory, Seen};
pub use once::{Asked, NotAsked, once};
pub use page::page;
pub use server::{Limits, run, serve};

use memory::beside;

/// Most bytes of a checkpoint's text: an origin of 100, a size of 20 digits and a root of 44, and
/// room for extension lines, which the specification discourages. It bounds what is remembered.
pub const MAX_TEXT_BYTES: usize = 4 * 1024;

/// What the witness answers, each with its HTTP status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: the checkpoint extends what the witness knew; here is its cosignature.
    Cosigned(NoteSignature),
    /// 409: the witness knows the log at another size.
    Conflict(u64),
    /// 409: the witness knows another tree of this very size, signed by the same key.
    Contradicted(u64),
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

/// Why a witness cannot be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAWitness {
    /// No log.
    #[error("a witness needs a log to watch; give --log VKEY, or --logs FILE with log lines")]
    NoLog,
    /// Above [`MAX_LOGS`].
    #[error("{0} logs where a witness watches {MAX_LOGS} at most; run a second one")]
    TooMany(usize),
    /// One origin under two keys.
    #[error("log {0} is named twice; one key speaks for one log")]
    Twice(Origin),
    /// A key whose name is no origin.
    #[error(transparent)]
    Origin(#[from] NotAnOrigin),
    /// What it remembers was not made by this key, or is not of this log.
    #[error(
        "the state holds a checkpoint of {0} that its key and this witness's did not both sign; \
             use the key, the log key and the state that belong together"
    )]
    Foreign(Origin),
}

/// The witness of some logs.
pub struct Witness<M> {
    logs: BTreeMap<Origin, NoteKey>,
    cosigner: Cosigner<Ed25519Signer>,
    memory: M,
}

impl<M: Memory> Witness<M> {
    /// Puts a witness together; refuses a memory that is another witness's.
    pub fn new(
        logs: impl IntoIterator<Item = NoteKey>,
        cosigner: Cosigner<Ed25519Signer>,
        memory: M,
    ) -> Result<Self, NotAWitness> {
        let mut keys = BTreeMap::new();
        for key in logs {
            let origin: Origin = key.name().as_str().parse()?;
            if keys.insert(origin.clone(), key).is_some() {
                return Err(NotAWitness::Twice(origin));
            }
        }
        match keys.len() {
            0 => return Err(NotAWitness::NoLog),
            many if many > MAX_LOGS => return Err(NotAWitness::TooMany(many)),
            _ => {}
        }
        // All of them: under another origin, one would be forgotten.
        for seen in memory.all() {
            let origin = seen.checkpoint().origin();
            let signed = keys
                .get(origin)
                .is_none_or(|key| SignedCheckpoint::of(seen.note().clone(), key).is_ok());
            if !signed || verify_cosignature(seen.note(), cosigner.key()).is_err() {
                return Err(NotAWitness::Foreign(origin.clone()));
            }
        }
        Ok(Self {
            logs: keys,
            cosigner,
            memory,
        })
    }

    /// Gives the key under which its cosignatures verify.
    pub fn key(&self) -> &CosignerKey {
        self.cosigner.key()
    }

    /// Gives the logs that it watches, and what it knows of each; nothing of one that never asked.
    pub fn watched(&self) -> impl Iterator<Item = (&Origin, &NoteKey, Option<&Seen>)> {
        let logs = self.logs.iter();
        logs.map(|(origin, key)| (origin, key, self.memory.seen(origin)))
    }

    /// Tells at which size it knows a log: 0 for one that never asked; none for a stranger.
    pub fn known(&self, origin: &str) -> Option<u64> {
        let (origin, _) = self.logs.get_key_value(&origin.parse::<Origin>().ok()?)?;
        Some(
            self.memory
                .seen(origin)
                .map_or(0, |s| s.checkpoint().size()),
        )
    }

    /// Judges one add-checkpoint request; `seconds` since 1970 is the time of the cosignature.
    pub fn add(&mut self, body: &[u8], seconds: u64) -> Answer {
        match AddCheckpoint::parse(body) {
            Ok(request) => self.judge(&request, seconds),
            Err(bad) => Answer::Malformed(bad.to_string()),
        }
    }

    /// Judges a request that was read.
    pub fn judge(&mut self, request: &AddCheckpoint, seconds: u64) -> Answer {
        let Some(key) = self.log(request.note()).cloned() else {
            return Answer::UnknownLog;
        };
        let signed = match SignedCheckpoint::of(request.note().clone(), &key) {
            Ok(signed) => signed,
            Err(OpenError::Signature(bad)) => return Answer::Unsigned(bad.to_string()),
            Err(bad) => return Answer::Malformed(bad.to_string()),
        };
        let new = signed.checkpoint();
        if signed.note().text().len() > MAX_TEXT_BYTES {
            return Answer::Malformed(format!("a checkpoint of over {MAX_TEXT_BYTES} bytes"));
        }
        if request.old() > new.size() {
            return Answer::Malformed(format!(
                "the old size {} is above the checkpoint's, {}",
                request.old(),
                new.size()
            ));
        }
        let seen = self.memory.seen(new.origin());
        let (size, root) = seen.map_or((0, empty_root()), |seen| {
            (seen.checkpoint().size(), *seen.checkpoint().root())
        });
        if size == new.size() && root != *new.root() {
            return match self.memory.accuse(&signed, &key, seconds) {
                Ok(()) => Answer::Contradicted(size),
                Err(bad) => Answer::Forgetful(bad.to_string()),
            };
        }
        if request.old() != size {
            return Answer::Conflict(size);
        }
        let grown = verify_consistency(size, &root, new.size(), new.root(), request.proof());
        match grown {
            Ok(()) => self.cosign(&signed, &key, seconds),
            Err(bad) => Answer::Inconsistent(bad.to_string()),
        }
    }

    fn log(&self, note: &Note) -> Option<&NoteKey> {
        let origin = note.text().split('\n').next()?;
        self.logs.get(&origin.parse::<Origin>().ok()?)
    }

    /// Cosigns, remembers durably, and only then lets the cosignature go.
    fn cosign(&mut self, signed: &SignedCheckpoint, log: &NoteKey, seconds: u64) -> Answer {
        let checkpoint = signed.checkpoint();
        let line = match self.cosigner.cosign(checkpoint, seconds) {
            Ok(line) => line,
            Err(bad) => return Answer::Forgetful(bad.to_string()),
        };
        if self.remembers(checkpoint) {
            return Answer::Cosigned(line);
        }
        let remembered = match Seen::new(signed, log, &line) {
            Ok(seen) => self.memory.remember(seen),
            Err(bad) => return Answer::Malformed(bad.to_string()),
        };
        match remembered {
            Ok(()) => Answer::Cosigned(line),
            Err(bad) => Answer::Forgetful(bad.to_string()),
        }
    }

    /// What is the newest already is not written again: asking twice costs the disk nothing.
    fn remembers(&self, checkpoint: &Checkpoint) -> bool {
        let seen = self.memory.seen(checkpoint.origin());
        seen.is_some_and(|seen| seen.checkpoint() == checkpoint)
    }
}

#[cfg(test)]
mod tests;
