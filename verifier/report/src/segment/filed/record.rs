//! A usage record taken apart into what it says, and put together again.

use affiant_proto::{
    Body, Digest, Statement, digest,
    salted::MAX_LEAVES,
    statement::{Parts, Place},
    usage::MAX_DEVICES,
    v1::{self, LineKind},
};
use prost::{Message as _, encode_length_delimiter};

use super::Misfiled;

/// What a usage record and its envelope are made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Record {
    pub(super) protected: Vec<u8>,
    pub(super) chain: Vec<u8>,
    pub(super) sequence: u64,
    pub(super) previous: Vec<u8>,
    pub(super) time: v1::Time,
    /// The encoded checkpoint that the host had seen; empty where it had seen none.
    pub(super) checkpoint: Vec<u8>,
    /// Without its header.
    pub(super) usage: v1::Usage,
    pub(super) signature: Vec<u8>,
    pub(super) rest: Rest,
}

/// What stands in the envelope beside the statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rest {
    /// Encoded: a record whose lines were let go, or whatever else it is.
    Verbatim(Vec<u8>),
    /// All leaves, and the seed.
    Lines(Lines),
}

impl Default for Rest {
    fn default() -> Self {
        Self::Verbatim(Vec::new())
    }
}

/// The leaves of a record, with the seed of their salts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lines {
    /// Leaf 0 where it is not what the lines sum to.
    pub(super) totals: Option<Vec<u8>>,
    pub(super) lines: Vec<v1::UsageLine>,
    pub(super) seed: Vec<u8>,
}

impl Record {
    /// Takes an encoded envelope apart; nothing where it is no usage record, or one that would not
    /// come back to the last byte.
    pub(super) fn apart(envelope: &[u8]) -> Option<Self> {
        let message = v1::Envelope::decode(envelope).ok()?;
        let statement = Statement::parse(&message.statement).ok()?;
        let Body::Usage(usage) = statement.body() else {
            return None;
        };
        let Place::Link {
            chain,
            sequence,
            previous,
        } = statement.header().place()
        else {
            return None;
        };
        let checkpoint = statement.header().checkpoint();
        let parts = statement.parts();
        let record = Self {
            protected: parts.protected.to_vec(),
            chain: chain.as_bytes().to_vec(),
            sequence,
            previous: previous.as_bytes().to_vec(),
            time: *statement.header().time(),
            checkpoint: checkpoint
                .map(v1::CheckpointRef::encode_to_vec)
                .unwrap_or_default(),
            signature: parts.signature.to_vec(),
            rest: Rest::of(envelope, &message),
            usage: v1::Usage {
                header: None,
                ..usage.clone()
            },
        };
        let fixed = record.usage.usage_root.len() == 32 && record.signature.len() == 64;
        let again = record.clone().together().ok()?;
        (fixed && again.0 == envelope).then_some(record)
    }

    /// The encoded envelope, and the digest of the statement in it.
    pub(super) fn together(self) -> Result<(Vec<u8>, Digest), Misfiled> {
        let checkpoint = match self.checkpoint.as_slice() {
            [] => None,
            bytes => Some(v1::CheckpointRef::decode(bytes).map_err(|_| Misfiled::Checkpoint)?),
        };
        let payload = v1::Usage {
            header: Some(v1::Header {
                chain: self.chain,
                sequence: self.sequence,
                previous: self.previous,
                time: Some(self.time),
                checkpoint,
            }),
            ..self.usage
        };
        let statement = Parts {
            protected: &self.protected,
            payload: &payload.encode_to_vec(),
            signature: &self.signature,
        };
        let statement = statement.join();
        // A usual record has some 760 bytes.
        let mut out = Vec::with_capacity(statement.len() + 512);
        put(&mut out, 1, &statement)?;
        self.rest.put(&mut out)?;
        Ok((out, digest(&statement)))
    }
}

impl Rest {
    fn of(envelope: &[u8], message: &v1::Envelope) -> Self {
        match Lines::of(message) {
            Some(lines) => Self::Lines(lines),
            None => {
                let mut before = Vec::new();
                let put = put(&mut before, 1, &message.statement);
                // What is not spelled so is kept whole, for it does not come back.
                let rest = put
                    .ok()
                    .and_then(|()| envelope.strip_prefix(before.as_slice()));
                Self::Verbatim(rest.unwrap_or_default().to_vec())
            }
        }
    }

    fn put(self, out: &mut Vec<u8>) -> Result<(), Misfiled> {
        let lines = match self {
            Self::Verbatim(bytes) => {
                out.extend_from_slice(&bytes);
                return Ok(());
            }
            Self::Lines(lines) => lines,
        };
        match &lines.totals {
            Some(totals) => put(out, 2, totals)?,
            None => {
                let totals = sum(&lines.lines).ok_or(Misfiled::Totals)?;
                put(out, 2, &totals.encode_to_vec())?;
            }
        }
        for line in &lines.lines {
            out.push(2 << 3 | 2);
            line.encode_length_delimited(out)
                .map_err(|_| Misfiled::TooMuch)?;
        }
        put(out, 3, &lines.seed)
    }
}

impl Lines {
    /// The leaves, where the first is followed by usage lines and a seed.
    fn of(message: &v1::Envelope) -> Option<Self> {
        let (totals, lines) = message.leaves.split_first()?;
        if lines.len() >= MAX_LEAVES {
            return None;
        }
        let lines = lines
            .iter()
            .map(|leaf| v1::UsageLine::decode(leaf.as_slice()).ok());
        let lines: Vec<_> = lines.collect::<Option<_>>()?;
        let summed = sum(&lines).is_some_and(|summed| summed.encode_to_vec() == *totals);
        let spelled = lines.iter().zip(message.leaves.iter().skip(1));
        let one = message.seed.len() == 16
            && message.totals.is_none()
            && spelled
                .clone()
                .all(|(line, leaf)| line.encode_to_vec() == *leaf);
        one.then(|| Self {
            totals: (!summed).then(|| totals.clone()),
            seed: message.seed.clone(),
            lines,
        })
    }
}

/// What lines sum to, as the totals of a record are due: one entry a device up to the highest.
pub(super) fn sum(lines: &[v1::UsageLine]) -> Option<v1::Totals> {
    let highest = lines.iter().map(|line| line.device).max()?;
    let count = usize::try_from(highest).ok()?.checked_add(1)?;
    if count > MAX_DEVICES {
        return None;
    }
    let mut devices = vec![v1::DeviceTotals::default(); count];
    for line in lines {
        let device = devices.get_mut(usize::try_from(line.device).ok()?)?;
        let time = match LineKind::try_from(line.kind).ok()? {
            LineKind::Unspecified => return None,
            LineKind::Attributed => &mut device.attributed_ms,
            LineKind::Idle => &mut device.idle_ms,
            LineKind::Unattributed => &mut device.unattributed_ms,
            LineKind::NotObserved => &mut device.not_observed_ms,
        };
        *time = time.checked_add(line.time_ms)?;
        if let Some(energy) = line.energy_mj {
            let before = device.energy_mj.unwrap_or(0);
            device.energy_mj = Some(before.checked_add(energy)?);
        }
    }
    Some(v1::Totals { devices })
}

/// Writes a field of bytes.
fn put(out: &mut Vec<u8>, field: u8, bytes: &[u8]) -> Result<(), Misfiled> {
    out.push(field << 3 | 2);
    encode_length_delimiter(bytes.len(), out).map_err(|_| Misfiled::TooMuch)?;
    out.extend_from_slice(bytes);
    Ok(())
}
