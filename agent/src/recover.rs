//! Recovery: where the chain stands, from the spool alone.

use affiant_proto::{Body, Broken, ChainState, Envelope, envelope::BadEnvelope, v1};

use crate::{
    sample::Instant,
    spool::{Spool, SpoolError},
};

/// Where a chain stands on the disk of this host.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The chain at its opening, or at the last change of its key.
    pub opened: ChainState,
    /// The chain at its head.
    pub chain: ChainState,
    /// The last usage record since the chain last lost any: its sequence, its boot, and where it
    /// ended.
    pub usage: Option<(u64, u32, Instant)>,
    /// The boot of the last usage record that is kept, before a loss or after it.
    pub boot: Option<u32>,
}

/// Why the spool does not tell where the chain stands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A record that is not what was sealed.
    #[error(
        "record {sequence} of the spool does not read: {error}; restore the spool, or set the data directory aside and enrol anew"
    )]
    Record {
        /// Which one.
        sequence: u64,
        /// What is wrong.
        error: BadEnvelope,
    },
    /// The last record is not of this chain.
    #[error(
        "record {sequence} of the spool is not of this host's chain: {error}; restore all files of the data directory together"
    )]
    Chain {
        /// Which one.
        sequence: u64,
        /// What is wrong.
        error: Broken,
    },
    /// A record that the spool says it has is not there.
    #[error(
        "record {0} is not in the spool; restore it, or set the data directory aside and enrol anew"
    )]
    Lost(u64),
}

/// Finds the head of the chain that `opened` opens, and its last usage record.
pub fn recover(spool: &mut Spool, opened: &ChainState) -> Result<Recovered, RecoverError> {
    let mut recovered = Recovered {
        opened: opened.clone(),
        chain: opened.clone(),
        usage: None,
        boot: None,
    };
    let Some(last) = spool.last() else {
        return Ok(recovered);
    };
    let statement = record(spool, last)?.into_parts().0;
    // Where the last record is the last change of the key, the chain stands there already.
    if last > 0 && statement.digest() != recovered.chain.head() {
        let skipped = recovered.chain.skip_to(statement);
        skipped.map_err(|error| RecoverError::Chain {
            sequence: last,
            error,
        })?;
    }
    // Usage is what there is most of: the first look backwards nearly always finds one.
    let (mut lost, mut at) = (false, Some(last));
    while let Some(sequence) = at {
        match record(spool, sequence)?.statement().body() {
            Body::Usage(usage) => {
                recovered.boot = Some(usage.boot);
                recovered.usage = (!lost).then(|| (sequence, usage.boot, end(usage)));
                break;
            }
            Body::Gap(gap) => lost |= !gap.lines,
            Body::ChainRestart(_) => lost = true,
            _ => {}
        }
        at = spool.before(sequence);
    }
    Ok(recovered)
}

/// Reads one record of the spool.
pub fn record(spool: &mut Spool, sequence: u64) -> Result<Envelope, RecoverError> {
    let read = spool.read(sequence, 1)?;
    let bytes = read.into_iter().next().filter(|(at, _)| *at == sequence);
    let (_, bytes) = bytes.ok_or(RecoverError::Lost(sequence))?;
    Envelope::parse(&bytes).map_err(|error| RecoverError::Record { sequence, error })
}

fn end(usage: &v1::Usage) -> Instant {
    Instant {
        boot_ms: usage.end_ms,
        wall_ms: usage.wall_end_ms,
        slept_ms: 0,
    }
}
