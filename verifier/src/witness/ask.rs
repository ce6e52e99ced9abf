//! Asks one witness for one cosignature. Nothing of what it answers is believed: a cosignature must
//! verify, and that it knows more of the log it has to show.

use std::time::Duration;

use affiant_proto::tlog::{
    AddCheckpoint, Checkpoint, Note, NoteKey, NoteSignature, SignedCheckpoint, parse_conflict,
    parse_signature_lines, verify_cosignature,
};
use hyper::{Method, StatusCode};

use super::WitnessAddress;
use crate::{
    ledger::Reader,
    outgoing::{NoAnswer, Place},
    writer::Published,
};

/// How long one witness may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Why a witness gave no cosignature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum NoCosignature {
    #[error("could not be reached: {0}")]
    Unreachable(String),
    #[error("did not answer within 5 s")]
    Slow,
    #[error("answered with more than a cosignature can be")]
    TooMuch,
    #[error("answered {0}: {1}")]
    Refused(StatusCode, String),
    #[error("shows a checkpoint of size {}, which this log's key signed and which is ahead of this log", .0.checkpoint().size())]
    Ahead(Box<SignedCheckpoint>),
    #[error("shows another tree of size {}, which this log's key signed too", .0.checkpoint().size())]
    OtherTree(Box<SignedCheckpoint>),
    #[error("says that it knows this log at size {0}, and does not show it")]
    Unproved(u64),
    #[error("answered with something that is no cosignature of this checkpoint")]
    NotOne,
    #[error("log could not be read: {0}")]
    Log(String),
}

impl From<NoAnswer> for NoCosignature {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::Unreachable(why) => Self::Unreachable(why),
            NoAnswer::TooMuch => Self::TooMuch,
        }
    }
}

impl NoCosignature {
    /// Tells whether the witness knows another history: it is ahead, has another tree, or refuses
    /// the proof that this one goes on from what it has (C2SP tlog-witness: 422).
    pub(super) fn contradicts(&self) -> bool {
        match self {
            Self::Ahead(_) | Self::OtherTree(_) | Self::Unproved(_) => true,
            Self::Refused(status, _) => *status == StatusCode::UNPROCESSABLE_ENTITY,
            _ => false,
        }
    }
}

/// What one witness is asked.
pub(super) struct Question {
    pub(super) witness: WitnessAddress,
    /// Size at which it knows the log, as far as it has said.
    pub(super) known: u64,
    pub(super) published: Published,
    pub(super) reader: Reader,
    pub(super) log: NoteKey,
}

impl Question {
    /// Asks, for as long as one witness may take.
    pub(super) async fn ask(&mut self, place: &Place) -> Result<NoteSignature, NoCosignature> {
        let asked = tokio::time::timeout(PATIENCE, self.exchange(place)).await;
        asked.unwrap_or(Err(NoCosignature::Slow))
    }

    /// Shows the checkpoint; a conflict tells what the witness holds, and is answered once.
    async fn exchange(&mut self, place: &Place) -> Result<NoteSignature, NoCosignature> {
        let new = self.published.size;
        let note = Note::parse(&self.published.note).map_err(log)?;
        let mut theirs = None;
        for _ in 0..2 {
            let (old, reader) = (self.known.min(new), self.reader.clone());
            let proof = tokio::task::spawn_blocking(move || reader.consistency_proof(old, new))
                .await
                .map_err(log)?
                .map_err(log)?;
            let body = AddCheckpoint::new(old, proof, note.clone()).map_err(log)?;
            let sent = place.send(Method::POST, "add-checkpoint", body.to_string());
            let (status, answer) = sent.await?;
            match status {
                StatusCode::OK => return self.cosignature(note, &answer),
                StatusCode::CONFLICT => {
                    let size = parse_conflict(&answer).ok_or(NoCosignature::NotOne)?;
                    theirs = Some(size);
                    if size > new || (size == new && old == new) {
                        break;
                    }
                    self.known = size;
                }
                other => {
                    let text = String::from_utf8_lossy(&answer).chars().take(200).collect();
                    return Err(NoCosignature::Refused(other, text));
                }
            }
        }
        Err(self.shown(place, theirs.unwrap_or_default()).await)
    }

    fn cosignature(&mut self, note: Note, answer: &[u8]) -> Result<NoteSignature, NoCosignature> {
        let lines = parse_signature_lines(answer).map_err(|_| NoCosignature::NotOne)?;
        for line in lines {
            let mut only = note.clone();
            if only.add(line.clone()).is_ok()
                && verify_cosignature(&only, &self.witness.key).is_ok()
            {
                self.known = self.published.size;
                return Ok(line);
            }
        }
        Err(NoCosignature::NotOne)
    }

    /// Asks for the checkpoint that a conflict speaks of: only the log's key can have made it.
    async fn shown(&self, place: &Place, said: u64) -> NoCosignature {
        let origin = affiant_proto::digest(self.log.name().as_str().as_bytes());
        let path = format!("{origin}/checkpoint");
        let Ok((StatusCode::OK, note)) = place.send(Method::GET, &path, String::new()).await else {
            return NoCosignature::Unproved(said);
        };
        let Ok(signed) = Checkpoint::open(&note, &self.log) else {
            return NoCosignature::Unproved(said);
        };
        let (theirs, ours) = (signed.checkpoint(), &self.published);
        if theirs.size() > ours.size {
            return NoCosignature::Ahead(Box::new(signed));
        }
        if theirs.size() == ours.size && *theirs.root() != ours.root {
            return NoCosignature::OtherTree(Box::new(signed));
        }
        NoCosignature::Unproved(said)
    }
}

fn log(error: impl std::fmt::Display) -> NoCosignature {
    NoCosignature::Log(error.to_string())
}
