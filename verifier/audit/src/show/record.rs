//! One record of a log.

use std::{collections::BTreeSet, fmt, str::FromStr};

use affiant_proto::{Body, Envelope, Statement, envelope, tlog::NoteKey};
use affiant_report::{
    Trust,
    digits::{FirstDigits, MIN_DIGITS, NotOne},
    segment::{MAX_FILE_BYTES, Segment, SegmentName, fields::split},
    trust::log_key,
    verify::Checks,
};
use serde::Serialize;

use super::{NotShown, body::Field, context::Context, proof::included, usage::Usage};
use crate::log::{Found, Store};

/// Which record is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// By its log index.
    Index(u64),
    /// By the digest of its statement.
    Digest(FirstDigits),
    /// By its chain and its place there.
    Place(FirstDigits, u64),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "log index {index}"),
            Self::Digest(digest) => write!(f, "a statement whose digest begins with {digest}"),
            Self::Place(chain, sequence) => write!(f, "statement {sequence} of chain {chain}"),
        }
    }
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let due = || {
            format!(
                "{text:?} is neither a log index, nor a digest or CHAIN:SEQUENCE with at least the \
                 first {MIN_DIGITS} hexadecimal digits of digest or chain"
            )
        };
        match text.split_once(':') {
            None => match text.parse() {
                Ok(index) => Ok(Self::Index(index)),
                Err(_) => text.parse().map(Self::Digest).map_err(|_| due()),
            },
            Some((chain, sequence)) => match (chain.parse(), sequence.parse()) {
                (Ok(chain), Ok(sequence)) => Ok(Self::Place(chain, sequence)),
                _ => Err(due()),
            },
        }
    }
}

/// A check of one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// What was checked.
    pub what: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

/// The newest checkpoint that a signer had seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The log.
    pub origin: String,
    /// Its size.
    pub size: u64,
    /// Its root, in hexadecimal.
    pub root: String,
}

/// A record, with what was checked of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Log index.
    pub index: u64,
    /// Kind and version.
    pub kind: String,
    /// SHA-256 of the statement.
    pub digest: String,
    /// Its chain; none where it opens one.
    pub chain: Option<String>,
    /// Whose chain that is.
    pub by: Option<String>,
    /// Its place in the chain.
    pub sequence: u64,
    /// Digest of the statement before it.
    pub previous: Option<String>,
    /// The key that it names.
    pub key: String,
    /// What was checked.
    pub held: Vec<Held>,
    /// The signer's clock, milliseconds since 1970: a claim.
    pub unix_ms: u64,
    /// State of that clock.
    pub clock: String,
    /// Its error, as the signer's kernel had it.
    pub max_error_ms: Option<u32>,
    /// The newest checkpoint that the signer had seen.
    pub seen: Option<Seen>,
    /// The log's clock before which it cannot have been made: that of the checkpoint it saw.
    pub after_unix_ms: Option<u64>,
    /// The log's first clock after it: by then it was there.
    pub before_unix_ms: Option<u64>,
    /// What it says.
    pub body: Vec<Field>,
    /// Its lines, of a usage record.
    pub usage: Option<Usage>,
}

/// Finds a record, verifies its signature and its inclusion, and reads it.
pub fn record(store: &dyn Store, which: &Which, trust: Option<&Trust>) -> Result<Record, NotShown> {
    let found = Found::of(store, &mut Checks::default())?;
    let none = || NotShown::NoRecord(which.clone(), found.entries());
    let index = match which {
        Which::Index(index) => Some(*index),
        Which::Digest(digits) => named(store, &found, digits, |statement| {
            let digest = statement.digest().to_string();
            digits.begins(&digest).then_some(digest)
        })?,
        Which::Place(digits, sequence) => named(store, &found, digits, |statement| {
            let header = statement.header();
            if header.sequence() != *sequence {
                return None;
            }
            let chain = header.chain().unwrap_or_else(|| statement.digest());
            let chain = chain.to_string();
            digits.begins(&chain).then_some(chain)
        })?,
    };
    let index = index.ok_or_else(none)?;
    let records = records(store, &found, &BTreeSet::from([index]), trust)?;
    records.into_iter().next().ok_or_else(none)
}

/// Reads the records at some indices of a log.
pub(super) fn records(
    store: &dyn Store,
    found: &Found,
    indices: &BTreeSet<u64>,
    trust: Option<&Trust>,
) -> Result<Vec<Record>, NotShown> {
    let mut chains = BTreeSet::new();
    let mut key: Option<NoteKey> = trust.map(|trust| trust.log().clone());
    for name in &found.segments {
        let within = indices.range(name.start()..name.end()).next().is_some();
        if within || name.start() == 0 {
            each(store, found, name, |index, statement, _| {
                if index == 0
                    && key.is_none()
                    && let Body::Genesis(body) = statement.body()
                {
                    key = log_key(body).ok();
                }
                if indices.contains(&index) {
                    chains.insert(
                        statement
                            .header()
                            .chain()
                            .unwrap_or_else(|| statement.digest()),
                    );
                }
                Ok(true)
            })?;
        }
    }
    let mut context = Context::new(chains, indices.clone());
    for name in &found.segments {
        let goes_on = each(store, found, name, |index, statement, bytes| {
            let leaves = match context.needs(index, statement) {
                true => leaves(bytes)?,
                false => Vec::new(),
            };
            context.take(index, statement, &leaves);
            Ok(!context.is_done())
        })?;
        if !goes_on {
            break;
        }
    }
    let mut records = context.finish();
    for record in &mut records {
        if let Ok(digest) = record.digest.parse() {
            let key = (key.as_ref(), trust.is_some());
            let proofs = included(store, found, key, record.index, digest);
            record.held.extend(proofs);
        }
    }
    Ok(records)
}

/// Most records of which it is kept that they begin alike: more are not named either.
const MAX_ALIKE: usize = 1_000;

/// Finds the log index of the record of which `id` gives what begins with the digits.
fn named(
    store: &dyn Store,
    found: &Found,
    digits: &FirstDigits,
    id: impl Fn(&Statement) -> Option<String>,
) -> Result<Option<u64>, NotShown> {
    let mut all: Vec<(String, u64)> = Vec::new();
    for name in &found.segments {
        let goes_on = each(store, found, name, |index, statement, _| {
            let Some(id) = id(statement) else {
                return Ok(true);
            };
            // Named whole, it is this one, whatever comes.
            let whole = id.len() == digits.to_string().len();
            all.push((id, index));
            Ok(!whole && all.len() < MAX_ALIKE)
        })?;
        if !goes_on {
            break;
        }
    }
    match digits.one(all, |(id, _)| id) {
        Ok((_, index)) => Ok(Some(index)),
        Err(NotOne::None(_)) => Ok(None),
        Err(several) => Err(NotShown::Which(several)),
    }
}

/// Reads the statements of one segment in order, each with its envelope's bytes, until `visit` gives
/// false; tells whether it never did.
fn each(
    store: &dyn Store,
    found: &Found,
    name: &SegmentName,
    mut visit: impl FnMut(u64, &Statement, &[u8]) -> Result<bool, String>,
) -> Result<bool, NotShown> {
    let path = found.places.segment(name);
    let bytes = store.read(&path, MAX_FILE_BYTES)?;
    let missing = || affiant_report::segment::BadSegment::Missing((&path).into());
    let segment = Segment::read((&path).into(), name, bytes.ok_or_else(missing)?)?;
    segment.verify()?;
    for frame in 0..segment.frames() {
        let (first, count, content) = segment.content(frame)?;
        let envelopes = split(&content, count).ok_or_else(|| segment.miscounted())?;
        for (index, bytes) in (first..).zip(envelopes) {
            let fault = |fault: String| NotShown::Entry {
                path: (&path).into(),
                index,
                fault,
            };
            let statement = only(bytes).map_err(fault)?;
            if !visit(index, &statement, bytes).map_err(fault)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Reads the statement of an envelope and nothing else.
fn only(bytes: &[u8]) -> Result<Statement, String> {
    let envelope = affiant_report::segment::statement_of(bytes).ok_or("not an envelope")?;
    Statement::parse(&envelope).map_err(|bad| bad.to_string())
}

/// The leaves of an envelope, which are held against the signed root.
fn leaves(bytes: &[u8]) -> Result<Vec<Option<Vec<u8>>>, String> {
    let envelope = Envelope::parse(bytes).map_err(|bad| bad.to_string())?;
    let (statement, leaves) = envelope.into_parts();
    let count = envelope::root(statement.body()).map_or(0, |(_, count)| count);
    Ok(leaves.contents(count))
}
