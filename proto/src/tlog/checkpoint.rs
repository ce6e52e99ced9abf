//! Checkpoints (C2SP tlog-checkpoint): what a log says its tree is, as the text of a note.

use std::{fmt, str::FromStr};

use super::{
    hash::{Hash, empty_root},
    key::{KeyName, NoteKey, is_name},
    note::{CannotSign, MalformedNote, Note, NoteSigner, Unverified},
    spelling,
    tree::MAX_SIZE,
};
use crate::keys::Signer;

/// Most bytes of an origin: a host name of 64, a path of 32 and a generation of 4 digits.
const MAX_ORIGIN_BYTES: usize = 100;

/// Names a log, its generation included: 1 to 100 bytes without spaces, `+` and control
/// characters, so that it can also name the log's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

/// Text that is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a log origin: 1 to 100 bytes without spaces, plus and control characters are due"
)]
pub struct NotAnOrigin(pub String);

impl Origin {
    /// Tells whether text is an origin.
    pub fn is_spelled(text: &str) -> bool {
        is_name(text, MAX_ORIGIN_BYTES)
    }

    /// Gives the origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Names the generation that may follow: the number after the last `/` plus one, or `/2` at
    /// the end of an origin that has none. None when that would be too long.
    pub fn successor(&self) -> Option<Self> {
        let numbered = self.0.rsplit_once('/').and_then(|(name, number)| {
            let next = spelling::decimal(number)?.checked_add(1)?;
            Some(format!("{name}/{next}"))
        });
        numbered
            .unwrap_or_else(|| format!("{}/2", self.0))
            .parse()
            .ok()
    }

    /// Gives the name of the log's key, which is the origin.
    pub fn key_name(&self) -> KeyName {
        KeyName(self.0.clone())
    }
}

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        if !Self::is_spelled(text) {
            return Err(NotAnOrigin(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The claim that the log `origin` has `size` leaves under `root`. It proves nothing; see
/// [`SignedCheckpoint`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    origin: Origin,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

/// Why text is not a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedCheckpoint {
    /// Fewer than three lines, an empty one, or no newline at the end.
    #[error("checkpoint is not at least three lines, none empty, each with its newline")]
    Lines,
    /// The first line.
    #[error(transparent)]
    Origin(#[from] NotAnOrigin),
    /// The second line.
    #[error("the size of the checkpoint is not a decimal number of at most 2^63")]
    Size,
    /// The third line.
    #[error("the root of the checkpoint is not 32 bytes in base64")]
    Root,
    /// Size 0 with a root other than the empty tree's.
    #[error("the checkpoint claims a tree without leaves under a root that is not the empty one")]
    EmptyRoot,
}

impl Checkpoint {
    /// Makes the claim; refuses a size above [`MAX_SIZE`] and an empty tree under another root.
    pub fn new(origin: Origin, size: u64, root: Hash) -> Result<Self, MalformedCheckpoint> {
        if size > MAX_SIZE {
            return Err(MalformedCheckpoint::Size);
        }
        if size == 0 && root != empty_root() {
            return Err(MalformedCheckpoint::EmptyRoot);
        }
        Ok(Self {
            origin,
            size,
            root,
            extensions: Vec::new(),
        })
    }

    /// Names the log.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Tells how many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Gives the root of the tree.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// Gives the extension lines: carried when read, never written, without meaning here.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

impl FromStr for Checkpoint {
    type Err = MalformedCheckpoint;

    fn from_str(text: &str) -> Result<Self, MalformedCheckpoint> {
        let body = text.strip_suffix('\n').ok_or(MalformedCheckpoint::Lines)?;
        let mut lines = body.split('\n');
        if lines.clone().any(str::is_empty) {
            return Err(MalformedCheckpoint::Lines);
        }
        let mut line = || lines.next().ok_or(MalformedCheckpoint::Lines);
        let (origin, size, root) = (line()?, line()?, line()?);
        let size = spelling::decimal(size).ok_or(MalformedCheckpoint::Size)?;
        let root = spelling::base64_hash(root).ok_or(MalformedCheckpoint::Root)?;
        let mut checkpoint = Self::new(origin.parse()?, size, root)?;
        checkpoint.extensions = lines.map(str::to_owned).collect();
        Ok(checkpoint)
    }
}

impl fmt::Display for Checkpoint {
    /// Writes the note text, its last newline included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.origin)?;
        writeln!(f, "{}", self.size)?;
        writeln!(f, "{}", spelling::to_base64(self.root.as_bytes()))?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A checkpoint whose log signature verified, with the note that carries it.
///
/// ```
/// # use affiant_proto::tlog::{Checkpoint, NoteKey, OpenError, SignedCheckpoint};
/// fn open(note: &[u8], key: &NoteKey) -> Result<SignedCheckpoint, OpenError> {
///     Checkpoint::open(note, key)
/// }
/// ```
///
/// A checkpoint and a note beside each other prove nothing:
///
/// ```compile_fail
/// # use affiant_proto::tlog::{Checkpoint, Note, SignedCheckpoint};
/// fn forge(checkpoint: Checkpoint, note: Note) -> SignedCheckpoint {
///     SignedCheckpoint { checkpoint, note }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

/// Why a note is not a checkpoint of the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Not a note.
    #[error(transparent)]
    Note(#[from] MalformedNote),
    /// Not signed by the log's key.
    #[error(transparent)]
    Signature(#[from] Unverified),
    /// Signed, and not a checkpoint.
    #[error(transparent)]
    Text(#[from] MalformedCheckpoint),
    /// A checkpoint of a log that this key does not speak for.
    #[error(
        "the checkpoint is of log {origin}, and the key is of log {key}; use the key of {origin}"
    )]
    Origin {
        /// The checkpoint's first line.
        origin: Origin,
        /// The name of the key.
        key: KeyName,
    },
}

impl Checkpoint {
    /// Reads a note, checks the log's signature, and only then reads its text. The key's name
    /// must be the origin: a key speaks for its own log alone.
    pub fn open(note: &[u8], key: &NoteKey) -> Result<SignedCheckpoint, OpenError> {
        SignedCheckpoint::of(Note::parse(note)?, key)
    }

    /// Signs the claim; the signer's name must be the origin.
    pub fn sign<S: Signer>(&self, signer: &NoteSigner<S>) -> Result<SignedCheckpoint, CannotSign> {
        if *signer.key().name() != self.origin.key_name() {
            return Err(CannotSign::Origin {
                origin: self.origin.clone(),
                key: signer.key().name().clone(),
            });
        }
        Ok(SignedCheckpoint {
            note: signer.sign(&self.to_string())?,
            checkpoint: self.clone(),
        })
    }
}

impl SignedCheckpoint {
    /// Checks a note that was already read; see [`Checkpoint::open`].
    pub fn of(note: Note, key: &NoteKey) -> Result<Self, OpenError> {
        note.verify(key)?;
        let checkpoint: Checkpoint = note.text().parse()?;
        if checkpoint.origin.as_str() != key.name().as_str() {
            return Err(OpenError::Origin {
                origin: checkpoint.origin,
                key: key.name().clone(),
            });
        }
        Ok(Self { checkpoint, note })
    }

    /// Gives what was signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Gives the note with all its signatures, known and unknown.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Gives the note, to which cosignatures may be added.
    pub fn into_note(self) -> Note {
        self.note
    }
}
