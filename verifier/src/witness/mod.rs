//! Asks witnesses to cosign, by C2SP tlog-witness. They never hold up the log: what they do not
//! sign in time is published without them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use affiant_proto::{
    tlog::{
        AddCheckpoint, Checkpoint, Note, NoteSignature, parse_conflict, parse_signature_lines,
        verify_cosignature,
    },
    v1,
};
use arc_swap::ArcSwap;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, Uri, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::{net::TcpStream, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::{
    behind::Behind,
    clock::Clock,
    config::{Config, WitnessAddress},
    ledger::Reader,
    writer::{Ended, Fatal, Published, Submit},
};

/// How often checkpoints are shown to witnesses, at most: each answer is logged as `cosigned`.
const EVERY: Duration = Duration::from_secs(60);

/// How long one witness may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a checkpoint takes from the disk to this process's own readers, at the very most.
const SETTLE: Duration = Duration::from_secs(1);

/// Most bytes of an answer: a hundred cosignature lines of 200 bytes, and room.
const MAX_ANSWER: usize = 64 * 1024;

/// A checkpoint with cosignatures, newest first published.
#[derive(Clone, Debug)]
pub struct Witnessed {
    /// Size of its tree.
    pub size: u64,
    /// The note with log signature and cosignatures.
    pub note: Arc<[u8]>,
}

impl Witnessed {
    /// Reads back the note of a `cosigned` statement.
    pub fn read(note: &[u8]) -> Option<Self> {
        let checkpoint: Checkpoint = Note::parse(note).ok()?.text().parse().ok()?;
        Some(Self {
            size: checkpoint.size(),
            note: note.into(),
        })
    }
}

/// What asking needs.
pub struct Rounds {
    /// Whom to ask.
    pub config: Arc<ArcSwap<Config>>,
    /// The published log.
    pub reader: Reader,
    /// Newest checkpoint.
    pub published: watch::Receiver<Published>,
    /// Logs `cosigned`.
    pub submit: Submit,
    /// Told of each cosigned checkpoint.
    pub witnessed: watch::Sender<Option<Witnessed>>,
    /// Rings when somebody wants a round now.
    pub wanted: Arc<tokio::sync::Notify>,
    /// Told when the log turns out to be behind, which ends the process.
    pub ended: Ended,
    /// Told what each witness answered last.
    pub answers: Answers,
    /// The wall clock.
    pub clock: Clock,
}

/// What each witness answered last, by its address.
pub type Answers = Arc<Mutex<BTreeMap<String, Answer>>>;

/// What one witness answered last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The newest size that it cosigned since this verifier started.
    pub cosigned_size: Option<u64>,
    /// When, milliseconds since 1970 by this machine's clock.
    pub cosigned_unix_ms: Option<u64>,
    /// Why it gave no cosignature the last time it was asked.
    pub error: Option<String>,
    /// Whether it holds a checkpoint that this log does not go on from.
    pub contradicts: bool,
}

/// Why a witness gave no cosignature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum NoCosignature {
    #[error("could not be reached: {0}")]
    Unreachable(String),
    #[error("did not answer within 5 s")]
    Slow,
    #[error("answered {0}: {1}")]
    Refused(StatusCode, String),
    #[error("holds a checkpoint of size {0}, ahead of this log")]
    Ahead(u64),
    #[error("answered with something that is no cosignature of this checkpoint")]
    NotOne,
    #[error("log could not be read: {0}")]
    Log(String),
}

impl NoCosignature {
    /// Tells whether the witness knows another history: it is ahead, or refuses the proof that this
    /// one goes on from what it has (C2SP tlog-witness: 422).
    fn contradicts(&self) -> bool {
        match self {
            Self::Ahead(_) => true,
            Self::Refused(status, _) => *status == StatusCode::UNPROCESSABLE_ENTITY,
            _ => false,
        }
    }
}

impl Rounds {
    /// Asks every minute, and whenever wanted, until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
                () = self.wanted.notified() => {}
            }
            let published = self.published.borrow().clone();
            let last = self.witnessed.borrow().as_ref().map(|w| w.size);
            if published.size == 0 || last == Some(published.size) {
                continue;
            }
            let Ok(mut cosigned) = Note::parse(&published.note) else {
                continue;
            };
            let mut count = 0;
            let config = self.config.load_full();
            self.forget_all_but(&config.witnesses);
            for witness in &config.witnesses {
                let known = sizes.entry(witness.url.clone()).or_default();
                let asked = self.ask(witness, known, &published).await;
                self.note(witness, &asked, published.size);
                match asked {
                    Ok(line) => count += usize::from(cosigned.add(line).is_ok()),
                    Err(NoCosignature::Ahead(theirs)) if self.stays_ahead(theirs).await => {
                        self.ended.end(Fatal::Behind(Behind::Older {
                            who: witness.url.clone(),
                            theirs,
                            ours: published.size,
                        }));
                        return;
                    }
                    Err(error) => tracing::warn!(witness = witness.url, %error, "no cosignature"),
                }
            }
            if count == 0 {
                continue;
            }
            let note: Arc<[u8]> = cosigned.to_string().into_bytes().into();
            let statement = v1::Cosigned {
                header: None,
                note: note.to_vec(),
            };
            self.witnessed.send_replace(Some(Witnessed {
                size: published.size,
                note,
            }));
            if self.submit.operator(statement).await.is_err() {
                return;
            }
        }
    }
}

impl Rounds {
    /// Others may show it checkpoints too, and one of them newer than the one of this round.
    async fn stays_ahead(&self, theirs: u64) -> bool {
        tokio::time::sleep(SETTLE).await;
        theirs > self.reader.size()
    }

    fn answers(&self) -> MutexGuard<'_, BTreeMap<String, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets witnesses that the configuration no longer names.
    fn forget_all_but(&self, witnesses: &[WitnessAddress]) {
        self.answers()
            .retain(|url, _| witnesses.iter().any(|named| named.url == *url));
    }

    fn note(
        &self,
        witness: &WitnessAddress,
        asked: &Result<NoteSignature, NoCosignature>,
        size: u64,
    ) {
        let mut answers = self.answers();
        let answer = answers.entry(witness.url.clone()).or_default();
        match asked {
            Ok(_) => {
                *answer = Answer {
                    cosigned_size: Some(size),
                    cosigned_unix_ms: Some(self.clock.now_ms()),
                    ..Answer::default()
                };
            }
            Err(error) => {
                answer.error = Some(error.to_string());
                // Once seen it stays, until the witness cosigns again.
                answer.contradicts |= error.contradicts();
            }
        }
    }

    /// Shows one checkpoint to one witness; a conflict tells what it holds, and is answered once.
    async fn ask(
        &self,
        witness: &WitnessAddress,
        known: &mut u64,
        published: &Published,
    ) -> Result<NoteSignature, NoCosignature> {
        let log = |error: &dyn std::fmt::Display| NoCosignature::Log(error.to_string());
        for _ in 0..2 {
            let (old, new, reader) = (
                (*known).min(published.size),
                published.size,
                self.reader.clone(),
            );
            let proof = tokio::task::spawn_blocking(move || reader.consistency_proof(old, new))
                .await
                .map_err(|e| log(&e))?
                .map_err(|e| log(&e))?;
            let note = Note::parse(&published.note).map_err(|e| log(&e))?;
            let body = AddCheckpoint::new(old, proof, note.clone())
                .map_err(|e| log(&e))?
                .to_string();
            let answer = tokio::time::timeout(PATIENCE, post(&witness.url, body));
            let (status, answer) = answer.await.map_err(|_| NoCosignature::Slow)??;
            match status {
                StatusCode::OK => {
                    let lines =
                        parse_signature_lines(&answer).map_err(|_| NoCosignature::NotOne)?;
                    for line in lines {
                        let mut only = note.clone();
                        if only.add(line.clone()).is_ok()
                            && verify_cosignature(&only, &witness.key).is_ok()
                        {
                            *known = new;
                            return Ok(line);
                        }
                    }
                    return Err(NoCosignature::NotOne);
                }
                StatusCode::CONFLICT => match parse_conflict(&answer) {
                    Some(size) if size > new => return Err(NoCosignature::Ahead(size)),
                    Some(size) => *known = size,
                    None => return Err(NoCosignature::NotOne),
                },
                other => {
                    let text = String::from_utf8_lossy(&answer).chars().take(200).collect();
                    return Err(NoCosignature::Refused(other, text));
                }
            }
        }
        Err(NoCosignature::NotOne)
    }
}

/// One POST of `add-checkpoint`; no redirect is followed, no credential sent.
pub(crate) async fn post(url: &str, body: String) -> Result<(StatusCode, Bytes), NoCosignature> {
    let lost = |error: &dyn std::fmt::Display| NoCosignature::Unreachable(error.to_string());
    let uri: Uri = format!("{url}/add-checkpoint")
        .parse()
        .map_err(|e| lost(&e))?;
    let host = uri.host().unwrap_or_default();
    let socket = TcpStream::connect((host, uri.port_u16().unwrap_or(80)))
        .await
        .map_err(|e| lost(&e))?;
    let (mut send, connection) = http1::handshake(TokioIo::new(socket))
        .await
        .map_err(|e| lost(&e))?;
    let driver = tokio::spawn(connection);
    let request = Request::post(uri.path())
        .header("host", uri.authority().map_or(host, |a| a.as_str()))
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| lost(&e))?;
    let answer = send.send_request(request).await.map_err(|e| lost(&e))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(|e| lost(&e))?;
    driver.abort();
    Ok((status, body.to_bytes()))
}
