//! Cosignatures of witnesses (C2SP tlog-cosignature, Ed25519): "at this time this was the largest
//! tree that I knew of this log, and it had only grown".

use super::{
    checkpoint::Checkpoint,
    key::{KeyName, MalformedKey, VerifierKey},
    note::{Note, NoteSignature, Unverified},
};
use crate::keys::{SignError, Signer};

/// A key that cosigns checkpoints (type 0x04): a witness's.
pub type CosignerKey = VerifierKey<4>;

/// Latest time that a cosignature may carry, in seconds since 1970: 2^63 − 1, by specification.
pub const MAX_COSIGNATURE_SECONDS: u64 = i64::MAX as u64;

/// Spells what a cosigner signs.
fn message(seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

/// Checks that `key` cosigned the note: it has a line, and every line that names it verifies.
///
/// Gives the time of the earliest, in seconds since 1970 by the witness's clock: the tree
/// existed by then. Whether the text is a checkpoint is for the caller to know.
pub fn verify_cosignature(note: &Note, key: &CosignerKey) -> Result<u64, Unverified> {
    let mut earliest: Option<u64> = None;
    for line in note.signatures().iter().filter(|line| line.claims(key)) {
        let time = verify_line(line, note.text(), key)
            .ok_or_else(|| Unverified::BadSignature(key.to_string()))?;
        earliest = Some(earliest.map_or(time, |before| before.min(time)));
    }
    earliest.ok_or_else(|| Unverified::NotSigned(key.to_string()))
}

fn verify_line(line: &NoteSignature, text: &str, key: &CosignerKey) -> Option<u64> {
    let (time, signature) = line.bytes.split_first_chunk::<8>()?;
    let seconds = u64::from_be_bytes(*time);
    if seconds > MAX_COSIGNATURE_SECONDS {
        return None;
    }
    key.public_key()
        .verify(
            message(seconds, text).as_bytes(),
            signature.try_into().ok()?,
        )
        .ok()?;
    Some(seconds)
}

/// Cosigns checkpoints under a name: the key of a witness.
///
/// What a cosignature promises is for the caller to keep: consistency with everything that this
/// key cosigned for the origin before.
pub struct Cosigner<S> {
    key: CosignerKey,
    signer: S,
}

/// Why a checkpoint was not cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CannotCosign {
    /// A time above [`MAX_COSIGNATURE_SECONDS`].
    #[error("{0} seconds are beyond what a cosignature can carry; set the clock")]
    Time(u64),
    /// The signer.
    #[error(transparent)]
    Signer(#[from] SignError),
}

impl<S: Signer> Cosigner<S> {
    /// Puts a name to an Ed25519 signer.
    pub fn new(name: KeyName, signer: S) -> Result<Self, MalformedKey> {
        let key = CosignerKey::new(name, signer.public_key().clone())?;
        Ok(Self { key, signer })
    }

    /// Gives the key under which the cosignatures verify.
    pub fn key(&self) -> &CosignerKey {
        &self.key
    }

    /// Cosigns a checkpoint at `seconds` since 1970, to be added to its note.
    pub fn cosign(
        &self,
        checkpoint: &Checkpoint,
        seconds: u64,
    ) -> Result<NoteSignature, CannotCosign> {
        if seconds > MAX_COSIGNATURE_SECONDS {
            return Err(CannotCosign::Time(seconds));
        }
        let text = checkpoint.to_string();
        let signature = self.signer.sign(message(seconds, &text).as_bytes())?;
        Ok(NoteSignature {
            name: self.key.name().clone(),
            id: self.key.id(),
            bytes: [seconds.to_be_bytes().as_slice(), &signature].concat(),
        })
    }
}
