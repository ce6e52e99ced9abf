//! Whether this log is behind what others have seen of it: a data directory that was copied back,
//! lock and all, looks whole from within.
//!
//! Asked before the log is opened, for opening may sign. Who does not answer holds nothing up.

use std::path::{Path, PathBuf};

use affiant_proto::{
    Signer as _,
    tlog::{AddCheckpoint, Checkpoint, Note, NoteKey, parse_conflict},
};
use hyper::{Method, StatusCode};
use tokio::task::JoinSet;

use crate::{
    config::Config,
    data::DataDir,
    keyfile,
    ledger::{self, NotKept, PublishedNote},
    open::{ServeError, failed},
    outgoing::Place,
    witness::{NoCosignature, PATIENCE, WitnessAddress},
};

/// Why the verifier must not go on from its data directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Behind {
    /// Somebody has seen more.
    #[error(
        "{who} holds a checkpoint of size {theirs} where this log ends at {ours}: the data directory \
         is an old one; restore the newest, or run `affiant-verifier succession propose --last NOTE`; \
         only if a witness is known to err, take it out of the configuration"
    )]
    Older {
        /// A witness's address, or a file.
        who: String,
        /// Its size.
        theirs: u64,
        /// Size that this directory published last.
        ours: u64,
    },
    /// Somebody has seen another tree of the same size.
    #[error(
        "{who} holds another tree of size {size} of this log: two histories were signed; keep the \
         directory as evidence and restore the other one"
    )]
    Forked {
        /// A witness's address, or a file.
        who: String,
        /// The size.
        size: u64,
    },
    /// A note that is not of this log.
    #[error("{path}: not a checkpoint that this log's key signed: {why}")]
    Note {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file that cannot be read.
    #[error(transparent)]
    File(#[from] NotKept),
}

/// Refuses to go on from a data directory that a witness, or who kept one of these notes, has seen
/// more of.
pub(crate) async fn refuse(
    data: &DataDir,
    config: &Config,
    newest: &[PathBuf],
) -> Result<(), ServeError> {
    // Without lock or checkpoint, opening the log says what is missing.
    if ledger::check_lock(&data.ledger()).is_err() {
        return Ok(());
    }
    let Ok(published) = PublishedNote::of(&data.ledger()) else {
        return Ok(());
    };
    let key = keyfile::read_signer(&data.log_key()).map_err(failed("log key"))?;
    let name = published.checkpoint().origin().key_name();
    let key = NoteKey::new(name, key.public_key().clone()).map_err(failed("log key"))?;
    for note in newest {
        compare(&published, &key, note).map_err(failed("log"))?;
    }
    ask(&published, &config.witnesses)
        .await
        .map_err(failed("log"))
}

/// Holds what the directory published last against a note that somebody kept.
pub fn compare(ours: &PublishedNote, key: &NoteKey, path: &Path) -> Result<(), Behind> {
    let seen = PublishedNote::read(path)?;
    let signed = Checkpoint::open(seen.note(), key).map_err(|error| Behind::Note {
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    let (seen, ours) = (signed.checkpoint(), ours.checkpoint());
    let who = path.display().to_string();
    if seen.size() > ours.size() {
        return Err(Behind::Older {
            who,
            theirs: seen.size(),
            ours: ours.size(),
        });
    }
    if seen.size() == ours.size() && seen.root() != ours.root() {
        let size = ours.size();
        return Err(Behind::Forked { who, size });
    }
    Ok(())
}

/// Shows every witness what the directory published last, all at once: one that holds a larger
/// tree, or another of that size, says so by a conflict (C2SP tlog-witness).
pub async fn ask(ours: &PublishedNote, witnesses: &[WitnessAddress]) -> Result<(), Behind> {
    let mut asked = JoinSet::new();
    for place in witnesses.iter().filter_map(|witness| witness.place.clone()) {
        let note = ours.note().to_vec();
        let size = ours.checkpoint().size();
        asked.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, conflict(&place, &note, size)).await;
            (
                place.to_string(),
                answer.unwrap_or(Err(NoCosignature::Slow)),
            )
        });
    }
    let ours = ours.checkpoint().size();
    let mut worst = Ok(());
    while let Some(answered) = asked.join_next().await {
        match answered {
            Ok((who, Ok(Some(theirs)))) if theirs > ours => {
                worst = Err(Behind::Older { who, theirs, ours });
            }
            Ok((who, Ok(Some(theirs)))) if theirs == ours => {
                return Err(Behind::Forked { who, size: ours });
            }
            Ok((_, Ok(_))) => {}
            Ok((witness, Err(error))) => {
                tracing::warn!(witness, %error, "a witness could not say whether this log is behind");
            }
            Err(error) => tracing::warn!(%error, "a witness was not asked"),
        }
    }
    worst
}

/// The size in a witness's conflict; none when it has none.
async fn conflict(place: &Place, note: &[u8], size: u64) -> Result<Option<u64>, NoCosignature> {
    let log = |error: &dyn std::fmt::Display| NoCosignature::Log(error.to_string());
    let note = Note::parse(note).map_err(|e| log(&e))?;
    let body = AddCheckpoint::new(size, Vec::new(), note).map_err(|e| log(&e))?;
    let sent = place.send(Method::POST, "add-checkpoint", body.to_string());
    let (status, answer) = sent.await?;
    match status {
        StatusCode::CONFLICT => match parse_conflict(&answer) {
            Some(theirs) => Ok(Some(theirs)),
            None => Err(NoCosignature::NotOne),
        },
        StatusCode::OK => Ok(None),
        other => {
            let text = String::from_utf8_lossy(&answer).chars().take(200).collect();
            Err(NoCosignature::Refused(other, text))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_proto::{
        Ed25519Signer,
        tlog::{CosignerKey, Hash, NoteSigner, Origin},
    };
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    fn signer(seed: u8) -> Ed25519Signer {
        Ed25519Signer::from_seed(&[seed; 32]).unwrap()
    }

    fn note(size: u64, root: u8, seed: u8) -> PublishedNote {
        let origin: Origin = "log.example/1".parse().unwrap();
        let key = NoteSigner::new(origin.key_name(), signer(seed)).unwrap();
        let checkpoint = Checkpoint::new(origin, size, Hash::from_bytes([root; 32])).unwrap();
        let signed = checkpoint.sign(&key).unwrap();
        PublishedNote::parse(signed.note().to_string().into_bytes()).unwrap()
    }

    fn key() -> NoteKey {
        let origin: Origin = "log.example/1".parse().unwrap();
        NoteKey::new(origin.key_name(), signer(1).public_key().clone()).unwrap()
    }

    #[test]
    fn a_note_that_is_ahead_or_of_another_tree_keeps_the_log_from_going_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("note");
        let compared = |seen: PublishedNote| {
            std::fs::write(&path, seen.note()).unwrap();
            compare(&note(5, 5, 1), &key(), &path)
        };
        compared(note(4, 4, 1)).unwrap();
        compared(note(5, 5, 1)).unwrap();
        let older = compared(note(6, 6, 1)).unwrap_err();
        assert!(matches!(
            older,
            Behind::Older {
                theirs: 6,
                ours: 5,
                ..
            }
        ));
        assert!(older.to_string().contains("succession"), "{older}");
        let forked = compared(note(5, 6, 1)).unwrap_err();
        assert!(matches!(forked, Behind::Forked { size: 5, .. }));
        // Anybody can write a larger number; only the log's key makes it one of the log.
        let foreign = compared(note(9, 9, 2)).unwrap_err();
        assert!(matches!(foreign, Behind::Note { .. }));
    }

    /// A witness that gives one answer to whatever it is asked.
    async fn witness(answer: &'static str) -> WitnessAddress {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\n\n") {
                let mut part = [0; 4096];
                let read = socket.read(&mut part).await.unwrap();
                asked.extend_from_slice(&part[..read]);
                if read == 0 || String::from_utf8_lossy(&asked).contains("\u{2014} ") {
                    break;
                }
            }
            socket.write_all(answer.as_bytes()).await.unwrap();
        });
        let name = "witness.example".parse().unwrap();
        let key = CosignerKey::new(name, signer(3).public_key().clone()).unwrap();
        let place = Some(Place::parse(&url, None).unwrap());
        WitnessAddress { place, key }
    }

    #[tokio::test]
    async fn a_witness_that_is_ahead_keeps_the_log_from_going_on_and_a_silent_one_does_not() {
        const AHEAD: &str = "HTTP/1.1 409 Conflict\r\ncontent-length: 2\r\n\r\n9\n";
        const BEHIND: &str = "HTTP/1.1 409 Conflict\r\ncontent-length: 2\r\n\r\n3\n";
        const SAME: &str = "HTTP/1.1 409 Conflict\r\ncontent-length: 2\r\n\r\n5\n";
        const BROKEN: &str = "HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n";
        let ours = note(5, 5, 1);
        ask(&ours, &[witness(BEHIND).await, witness(BROKEN).await])
            .await
            .unwrap();
        let gone = WitnessAddress {
            place: Some(Place::parse("http://127.0.0.1:1", None).unwrap()),
            ..witness(BEHIND).await
        };
        let ahead = ask(&ours, &[gone, witness(BEHIND).await, witness(AHEAD).await]).await;
        assert!(matches!(
            ahead,
            Err(Behind::Older {
                theirs: 9,
                ours: 5,
                ..
            })
        ));
        let forked = ask(&ours, &[witness(SAME).await]).await;
        assert!(matches!(forked, Err(Behind::Forked { size: 5, .. })));
    }
}
