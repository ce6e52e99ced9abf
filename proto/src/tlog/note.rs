//! Signed notes (C2SP signed-note): a text, a blank line, signature lines.

use std::fmt;

use super::{
    checkpoint::Origin,
    key::{KeyName, MalformedKey, NoteKey, NoteKeyId, VerifierKey},
    spelling,
};
use crate::keys::{SignError, Signer};

/// Most bytes of a note: 1 MiB, which is what a hundred signatures of nearly 5 kB (the largest
/// post-quantum ones) and their base64 need, 100 × 5,000 × 4/3 = 667 kB, with room for the text.
pub const MAX_NOTE_BYTES: usize = 1 << 20;

/// Most signatures on a note. The specification wants at least 16; 64 witnesses and a log with
/// two keys stay well below.
pub const MAX_SIGNATURES: usize = 100;

/// Begins a signature line: em dash, space.
const LINE_START: &str = "\u{2014} ";

/// A note as it was read: its signatures prove nothing before [`Note::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line, of a known or an unknown key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    pub(super) name: KeyName,
    pub(super) id: NoteKeyId,
    pub(super) bytes: Vec<u8>,
}

/// Why bytes are not a signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedNote {
    /// Above [`MAX_NOTE_BYTES`].
    #[error("note is {0} bytes long where at most {MAX_NOTE_BYTES} are allowed")]
    TooLong(usize),
    /// Not UTF-8, or a control character other than newline.
    #[error("note is not plain text: utf-8 without control characters but newline is due")]
    NotText,
    /// A text that does not end in a newline.
    #[error("the text of the note does not end in a newline")]
    TextEnd,
    /// No blank line with signature lines after it.
    #[error("note has no blank line with signature lines after it; it may be cut off")]
    Unsigned,
    /// A signature line that is none.
    #[error("signature line {0} of the note is not an em dash, a key name and base64")]
    Line(usize),
    /// Above [`MAX_SIGNATURES`].
    #[error("note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
}

/// Why a note does not count as signed by a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unverified {
    /// No line of this key.
    #[error("the note has no signature of {0}; get it from the log again")]
    NotSigned(String),
    /// A line of this key that does not verify.
    #[error("the signature of {0} on the note does not verify; text or signature were changed")]
    BadSignature(String),
}

/// Why a note was not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CannotSign {
    /// The text or the note would not read back.
    #[error(transparent)]
    Note(#[from] MalformedNote),
    /// A checkpoint of another log than the signer's.
    #[error("the key of {key} does not sign for log {origin}; use the key of {origin}")]
    Origin {
        /// The checkpoint's log.
        origin: Origin,
        /// The name of the signer's key.
        key: KeyName,
    },
    /// The signer.
    #[error(transparent)]
    Signer(#[from] SignError),
}

impl NoteSignature {
    /// Names who is said to have signed.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Gives the id of the key that is said to have signed.
    pub fn key_id(&self) -> NoteKeyId {
        self.id
    }

    /// Gives the signature as it stands after the id: 1 byte or more.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Tells whether name and id are those of `key`; it may still not verify.
    pub fn claims<const ALGORITHM: u8>(&self, key: &VerifierKey<ALGORITHM>) -> bool {
        self.id == key.id() && self.name == *key.name()
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(LINE_START)?.split_once(' ')?;
        let decoded = spelling::base64(encoded)?;
        let (id, bytes) = decoded.split_first_chunk::<4>()?;
        if bytes.is_empty() {
            return None;
        }
        Some(Self {
            name: name.parse().ok()?,
            id: NoteKeyId(*id),
            bytes: bytes.to_vec(),
        })
    }
}

impl fmt::Display for NoteSignature {
    /// Writes the signature line without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id.0, self.bytes.as_slice()].concat();
        write!(
            f,
            "{LINE_START}{} {}",
            self.name,
            spelling::to_base64(&bytes)
        )
    }
}

/// Reads signature lines alone, each with its newline, as a witness answers them: 1 to
/// [`MAX_SIGNATURES`].
pub fn parse_signature_lines(bytes: &[u8]) -> Result<Vec<NoteSignature>, MalformedNote> {
    signature_lines(plain_text(bytes)?)
}

fn signature_lines(text: &str) -> Result<Vec<NoteSignature>, MalformedNote> {
    let lines = text.strip_suffix('\n').ok_or(MalformedNote::Unsigned)?;
    let mut signatures = Vec::new();
    for (number, line) in (1..).zip(lines.split('\n')) {
        if number > MAX_SIGNATURES {
            return Err(MalformedNote::TooManySignatures);
        }
        signatures.push(NoteSignature::parse(line).ok_or(MalformedNote::Line(number))?);
    }
    Ok(signatures)
}

fn plain_text(bytes: &[u8]) -> Result<&str, MalformedNote> {
    if bytes.len() > MAX_NOTE_BYTES {
        return Err(MalformedNote::TooLong(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| MalformedNote::NotText)?;
    if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(MalformedNote::NotText);
    }
    Ok(text)
}

impl Note {
    /// Reads a note. The text ends at the last blank line; lines of unknown keys are carried.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedNote> {
        let whole = plain_text(bytes)?;
        let blank = whole.rfind("\n\n").ok_or(MalformedNote::Unsigned)?;
        let (text, rest) = whole.split_at(blank + 1);
        let lines = rest.strip_prefix('\n').ok_or(MalformedNote::Unsigned)?;
        Ok(Self {
            signatures: signature_lines(lines)?,
            text: text.to_owned(),
        })
    }

    /// Gives the signed text, its last newline included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Gives the signatures in the order of their lines: at least one.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature line; refuses it when the note would not read back. A line that is there
    /// already is not added again.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), MalformedNote> {
        if self.signatures.contains(&signature) {
            return Ok(());
        }
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(MalformedNote::TooManySignatures);
        }
        self.signatures.push(signature);
        let length = self.to_string().len();
        if length > MAX_NOTE_BYTES {
            self.signatures.pop();
            return Err(MalformedNote::TooLong(length));
        }
        Ok(())
    }

    /// Checks that `key` signed the text: it has a line, and every line that names it verifies.
    pub fn verify(&self, key: &NoteKey) -> Result<(), Unverified> {
        let mut signed = false;
        for line in self.signatures.iter().filter(|line| line.claims(key)) {
            line.bytes
                .as_slice()
                .try_into()
                .ok()
                .and_then(|signature| {
                    let key = key.public_key();
                    key.verify(self.text.as_bytes(), signature).ok()
                })
                .ok_or_else(|| Unverified::BadSignature(key.to_string()))?;
            signed = true;
        }
        if !signed {
            return Err(Unverified::NotSigned(key.to_string()));
        }
        Ok(())
    }
}

impl fmt::Display for Note {
    /// Writes the bytes of the note.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Signs note texts under a name.
pub struct NoteSigner<S> {
    key: NoteKey,
    signer: S,
}

impl<S: Signer> NoteSigner<S> {
    /// Puts a name to an Ed25519 signer.
    pub fn new(name: KeyName, signer: S) -> Result<Self, MalformedKey> {
        let key = NoteKey::new(name, signer.public_key().clone())?;
        Ok(Self { key, signer })
    }

    /// Gives the key under which the notes verify.
    pub fn key(&self) -> &NoteKey {
        &self.key
    }

    /// Signs `text`, which ends in a newline and has no other control character than newlines.
    pub fn sign(&self, text: &str) -> Result<Note, CannotSign> {
        plain_text(text.as_bytes())?;
        if !text.ends_with('\n') {
            return Err(MalformedNote::TextEnd.into());
        }
        let mut note = Note {
            text: text.to_owned(),
            signatures: Vec::new(),
        };
        note.add(NoteSignature {
            name: self.key.name().clone(),
            id: self.key.id(),
            bytes: self.signer.sign(text.as_bytes())?.to_vec(),
        })?;
        Ok(note)
    }
}
