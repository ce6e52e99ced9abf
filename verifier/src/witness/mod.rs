//! Has witnesses cosign, by C2SP tlog-witness, or takes what they cosigned by hand. They never hold
//! up the log: what they do not sign in time is published without them.

mod ask;
mod handed;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use affiant_proto::{
    tlog::{Checkpoint, CosignerKey, Note, NoteKey, NoteSignature, Policy},
    v1,
};
use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::ask::Question;
pub(crate) use self::ask::{NoCosignature, PATIENCE};
pub use self::handed::{Handed, NotTaken};
use crate::{
    behind::Behind,
    clock::Clock,
    config::Config,
    ledger::Reader,
    outgoing::Place,
    writer::{Ended, Fatal, Published, Submit},
};

/// How often checkpoints are shown to witnesses, at most: what they cosign is logged as `cosigned`.
const EVERY: Duration = Duration::from_secs(60);

/// How long a checkpoint takes from the disk to this process's own readers, at the very most.
const SETTLE: Duration = Duration::from_secs(1);

/// A witness by C2SP tlog-witness.
#[derive(Clone, Debug)]
pub struct WitnessAddress {
    /// Where it is asked; none where its cosignatures come by hand.
    pub place: Option<Place>,
    /// Its cosigning key.
    pub key: CosignerKey,
}

impl WitnessAddress {
    /// Names it as people know it: by its address, or else by its key's name.
    pub fn called(&self) -> String {
        match &self.place {
            Some(place) => place.to_string(),
            None => self.key.name().to_string(),
        }
    }
}

/// A checkpoint with cosignatures.
#[derive(Clone, Debug)]
pub struct Witnessed {
    /// Size of its tree.
    pub size: u64,
    /// The note with log signature and cosignatures.
    pub note: Arc<[u8]>,
    /// Whether those who cosigned are a quorum.
    pub quorum: bool,
}

impl Witnessed {
    /// Reads a cosigned note, and judges it by the operator's own policy.
    pub fn read(note: &[u8], policy: Option<&Policy>) -> Option<Self> {
        let read = Note::parse(note).ok()?;
        let checkpoint: Checkpoint = read.text().parse().ok()?;
        Some(Self {
            size: checkpoint.size(),
            note: note.into(),
            quorum: policy.is_none_or(|policy| policy.cosigned(&read, &checkpoint).is_ok()),
        })
    }

    /// Tells whether this one is worth more than `other`: a quorum first, then the larger tree.
    fn betters(&self, other: &Self) -> bool {
        (self.quorum, self.size) >= (other.quorum, other.size)
    }
}

/// What asking needs.
pub struct Rounds {
    /// Whom to ask.
    pub config: Arc<ArcSwap<Config>>,
    /// The published log.
    pub reader: Reader,
    /// Its key.
    pub log_key: NoteKey,
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
    /// Folder of notes that come by hand.
    pub handed: PathBuf,
    /// The wall clock.
    pub clock: Clock,
}

/// What each witness answered last, by its name for people.
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

/// What the rounds before have left.
#[derive(Default)]
struct Before {
    /// Size at which each witness knows the log.
    known: BTreeMap<String, u64>,
    /// Newest size that each cosigned.
    cosigned: BTreeMap<String, u64>,
    /// The last `cosigned` statement: of which size, and its own index.
    own: Option<(u64, u64)>,
}

impl Before {
    /// The size that a witness must have cosigned to be left in peace: a log that grew by its last
    /// `cosigned` statement alone has nothing new to show.
    fn due(&self, published: u64) -> u64 {
        match self.own {
            Some((size, index)) if published <= index.saturating_add(1) => size,
            _ => published,
        }
    }
}

/// The log cannot be written any more, or must not be.
struct Over;

impl Rounds {
    /// Asks every minute, and whenever wanted, until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut before = Before::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
                () = self.wanted.notified() => {}
            }
            let round = async {
                self.take_handed().await?;
                self.round(&mut before).await
            };
            tokio::select! {
                () = stop.cancelled() => return,
                done = round => if done.is_err() { return },
            }
        }
    }

    /// Asks all witnesses at once; the slowest costs the round [`PATIENCE`], and nobody else.
    async fn round(&self, before: &mut Before) -> Result<(), Over> {
        let published = self.published.borrow().clone();
        let Ok(mut cosigned) = Note::parse(&published.note) else {
            return Ok(());
        };
        let config = self.config.load_full();
        self.forget_all_but(&config.witnesses);
        let (due, mut asked) = (before.due(published.size), JoinSet::new());
        for witness in &config.witnesses {
            let called = witness.called();
            let Some(place) = witness.place.clone() else {
                continue;
            };
            if before
                .cosigned
                .get(&called)
                .is_some_and(|size| *size >= due)
            {
                continue;
            }
            let mut question = Question {
                witness: witness.clone(),
                known: before.known.get(&called).copied().unwrap_or_default(),
                published: published.clone(),
                reader: self.reader.clone(),
                log: self.log_key.clone(),
            };
            asked.spawn(async move {
                let answer = question.ask(&place).await;
                (called, question.known, answer)
            });
        }
        let mut count = 0;
        while let Some(answered) = asked.join_next().await {
            let Ok((called, known, answer)) = answered else {
                continue;
            };
            before.known.insert(called.clone(), known);
            self.note(&called, &answer, published.size);
            match answer {
                Ok(line) if cosigned.add(line.clone()).is_ok() => {
                    before.cosigned.insert(called, published.size);
                    count += 1;
                    // Whoever waits for a quorum need not wait for those who are slow.
                    self.tell(&cosigned, config.quorum.as_ref());
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(witness = called, %error, "no cosignature");
                    self.is_behind(&called, &error, published.size).await?;
                }
            }
        }
        if count == 0 {
            return Ok(());
        }
        let index = self.log(&cosigned).await?;
        before.own = Some((published.size, index));
        Ok(())
    }

    /// Takes what was cosigned by hand.
    async fn take_handed(&self) -> Result<(), Over> {
        let config = self.config.load_full();
        let keys: Vec<CosignerKey> = config.witnesses.iter().map(|w| w.key.clone()).collect();
        let (folder, log, reader) = (
            self.handed.clone(),
            self.log_key.clone(),
            self.reader.clone(),
        );
        let read = move || handed::read(&folder, &log, &keys, &reader);
        let taken = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        for Handed {
            path,
            size,
            mut note,
            by,
        } in taken
        {
            // Together with what others cosigned of the same tree it may be a quorum.
            let others = self.witnessed.borrow().clone();
            let others = others.and_then(|witnessed| Note::parse(&witnessed.note).ok());
            let others = others.filter(|others| others.text() == note.text());
            for line in others.iter().flat_map(Note::signatures) {
                // A line more than fits is one that the other note keeps.
                let _ = note.add(line.clone());
            }
            self.log(&note).await?;
            self.tell(&note, config.quorum.as_ref());
            for witness in config.witnesses.iter().filter(|w| by.contains(&w.key)) {
                self.cosigned(&witness.called(), size);
            }
            tracing::info!(note = %path.display(), size, "a cosigned note was taken");
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(note = %path.display(), %error, "could not be removed, and is logged");
            }
        }
        Ok(())
    }

    async fn log(&self, note: &Note) -> Result<u64, Over> {
        let statement = v1::Cosigned {
            header: None,
            note: note.to_string().into_bytes(),
        };
        self.submit.operator(statement).await.map_err(|_| Over)
    }

    /// Shows a cosigned checkpoint to reports, unless they have a better one.
    fn tell(&self, note: &Note, policy: Option<&Policy>) {
        let Some(new) = Witnessed::read(note.to_string().as_bytes(), policy) else {
            return;
        };
        self.witnessed.send_if_modified(|newest| {
            let better = newest.as_ref().is_none_or(|newest| new.betters(newest));
            if better {
                *newest = Some(new);
            }
            better
        });
    }

    /// Ends the process when a witness shows that this log's key signed more than this process has:
    /// its data directory is an old one. A word alone stops nothing.
    async fn is_behind(&self, who: &str, error: &NoCosignature, ours: u64) -> Result<(), Over> {
        let NoCosignature::Ahead(signed) = error else {
            return Ok(());
        };
        let theirs = signed.checkpoint().size();
        // Others may show it checkpoints too, and one of them newer than the one of this round.
        tokio::time::sleep(SETTLE).await;
        if theirs <= self.reader.size() {
            return Ok(());
        }
        self.ended.end(Fatal::Behind(Behind::Older {
            who: who.to_owned(),
            theirs,
            ours,
        }));
        Err(Over)
    }

    fn answers(&self) -> MutexGuard<'_, BTreeMap<String, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets witnesses that the configuration no longer names.
    fn forget_all_but(&self, witnesses: &[WitnessAddress]) {
        self.answers()
            .retain(|called, _| witnesses.iter().any(|named| named.called() == *called));
    }

    fn cosigned(&self, called: &str, size: u64) {
        let answer = Answer {
            cosigned_size: Some(size),
            cosigned_unix_ms: Some(self.clock.now_ms()),
            ..Answer::default()
        };
        self.answers().insert(called.to_owned(), answer);
    }

    fn note(&self, called: &str, asked: &Result<NoteSignature, NoCosignature>, size: u64) {
        match asked {
            Ok(_) => self.cosigned(called, size),
            Err(error) => {
                let mut answers = self.answers();
                let answer = answers.entry(called.to_owned()).or_default();
                answer.error = Some(error.to_string());
                // Once seen it stays, until the witness cosigns again.
                answer.contradicts |= error.contradicts();
            }
        }
    }
}
