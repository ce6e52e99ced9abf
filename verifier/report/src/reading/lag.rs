//! How far the log's own clock is behind what witnesses say.
//!
//! An entry that holds a cosignature was made after it. So where the log's clock at that entry says
//! less than the cosignature's time, the clock was behind, by the difference at least: entries were
//! back-dated. Whether the cosignature is a witness's at all, the reader's own keys decide.

use std::collections::BTreeMap;

use affiant_proto::tlog::{KeyName, Note, NoteKeyId, NoteSignature};

/// Most keys whose lag is kept: a note has 100 signatures, ten times as many in a period would be
/// odd. What is beyond is told, for whoever fills this hides a witness.
const MAX_KEYS: usize = 1_000;

/// Length of a cosignature (C2SP tlog-cosignature): a time and an Ed25519 signature.
const COSIGNATURE_BYTES: usize = 8 + 64;

/// The cosignature by which a key is furthest ahead of the log's clock.
#[derive(Clone, Debug)]
pub struct Lag {
    /// Log index of the entry that holds it.
    pub index: u64,
    /// The log's time there, milliseconds since 1970.
    pub logged_ms: u64,
    /// How far the clock is behind it, milliseconds; 0 where it is not.
    pub behind_ms: u64,
    /// The note with that cosignature alone.
    pub note: Note,
}

/// The lag of the log's clock behind each key that cosigned.
#[derive(Clone, Debug, Default)]
pub struct Lags {
    keys: BTreeMap<(KeyName, NoteKeyId), Lag>,
    more: bool,
}

impl Lags {
    /// Takes a note that is logged at `index`, where the log's time is `logged_ms`.
    pub(crate) fn take(&mut self, index: u64, logged_ms: u64, note: &Note) {
        for line in note.signatures() {
            let Some(seconds) = seconds(line) else {
                continue;
            };
            let behind_ms = seconds.saturating_mul(1_000).saturating_sub(logged_ms);
            let key = (line.name().clone(), line.key_id());
            if self
                .keys
                .get(&key)
                .is_some_and(|lag| lag.behind_ms >= behind_ms)
            {
                continue;
            }
            if !self.keys.contains_key(&key) && self.keys.len() >= MAX_KEYS {
                self.more = true;
                continue;
            }
            let only = Note::parse(format!("{}\n{line}\n", note.text()).as_bytes());
            if let Ok(note) = only {
                let lag = Lag {
                    index,
                    logged_ms,
                    behind_ms,
                    note,
                };
                self.keys.insert(key, lag);
            }
        }
    }

    /// The lag behind a key; none where it cosigned nothing that is shown.
    pub fn of(&self, name: &KeyName, id: NoteKeyId) -> Option<&Lag> {
        self.keys.get(&(name.clone(), id))
    }

    /// Tells whether more keys cosigned than are kept.
    pub fn more(&self) -> bool {
        self.more
    }
}

/// The time of a cosignature; none of a line that is something else.
fn seconds(line: &NoteSignature) -> Option<u64> {
    let time = line.bytes().first_chunk::<8>()?;
    (line.bytes().len() == COSIGNATURE_BYTES).then(|| u64::from_be_bytes(*time))
}
