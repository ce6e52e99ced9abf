//! Entries opened: all of an envelope that can be checked without what stands before it.
//!
//! Admission goes by chain and in the order of the log; what is done here does not, and so can be
//! done on as many threads as there are.

use crate::{
    envelope::{BadEnvelope, Envelope, Leaves, MAX_ENVELOPE_BYTES},
    keys::{BadSignature, PublicKey},
    salted::{self, Seed},
    statement::{Body, Statement},
    usage::Lines,
    wire,
};

/// A statement that was read, with what it brings, checked as far as that goes by itself.
///
/// Whatever [`Envelope::parse`] says of bytes, [`Opened::parse`] says too. Made by it, or from an
/// envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    statement: Statement,
    matter: Matter,
}

/// What an opened entry brings beside its statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Matter {
    /// Leaves as they came; they are those that were signed.
    Leaves(Leaves),
    /// All lines of a usage record; they are those that were signed, and hold together.
    Lines(Lines),
}

impl Opened {
    /// Reads an envelope as it is stored.
    ///
    /// A usage record is read where it lies. Any other kind, and a record with a fault, is read as
    /// an [`Envelope`], so that what is refused is refused there and with its reason, or when it is
    /// admitted.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadEnvelope> {
        match record(bytes) {
            Some(opened) => Ok(opened),
            None => Envelope::parse(bytes).map(Self::from),
        }
    }

    /// The statement; not verified.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Verifies the statement's signature and remembers by which key; see [`Statement::attest`].
    pub fn attest(&mut self, key: &PublicKey) -> Result<(), BadSignature> {
        self.statement.attest(key)
    }

    /// Takes its caller's word for the signature; see [`Statement::attested_before`], which says who may.
    pub fn attested_before(&mut self, key: PublicKey) {
        self.statement.attested_before(key);
    }

    /// Takes both apart.
    pub fn into_parts(self) -> (Statement, Matter) {
        (self.statement, self.matter)
    }
}

impl From<Envelope> for Opened {
    fn from(envelope: Envelope) -> Self {
        let (statement, leaves) = envelope.into_parts();
        Self {
            statement,
            matter: Matter::Leaves(leaves),
        }
    }
}

/// Reads a usage record with all its lines, in which nothing is wrong.
fn record(bytes: &[u8]) -> Option<Opened> {
    if bytes.len() > MAX_ENVELOPE_BYTES {
        return None;
    }
    let wire::Stored {
        statement,
        leaves,
        seed,
    } = wire::stored(bytes)?;
    let statement = Statement::parse(statement).ok()?;
    let Body::Usage(usage) = statement.body() else {
        return None;
    };
    salted::bounded(&leaves).ok()?;
    let (root, count) = (usage.usage_root.as_slice(), usage.usage_count);
    salted::stand_under(root, count, &Seed::new(seed), &leaves).ok()?;
    let matter = Matter::Lines(Lines::read(&leaves, usage)?);
    Some(Opened { statement, matter })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::{
        keys::Ed25519Signer,
        salted::SaltedTree,
        statement::Place,
        usage,
        v1::{self, LineKind},
    };

    /// A record of two devices, in which nothing is wrong, with its leaves.
    fn usual() -> (v1::Usage, Vec<Vec<u8>>) {
        let parts = v1::DeviceTotals {
            attributed_ms: 6_000,
            idle_ms: 4_000,
            energy_mj: Some(500),
            ..Default::default()
        };
        let totals = v1::Totals {
            devices: vec![parts, parts],
        };
        let used = |device| v1::UsageLine {
            device,
            kind: LineKind::Attributed.into(),
            workload: Some(device),
            time_ms: 6_000,
            energy_mj: Some(500),
            ..Default::default()
        };
        let idle = |device| v1::UsageLine {
            device,
            kind: LineKind::Idle.into(),
            time_ms: 4_000,
            ..Default::default()
        };
        let lines = [used(0), idle(0), used(1), idle(1)];
        let lines = lines.iter().map(|line| line.encode_to_vec());
        let leaves = std::iter::once(totals.encode_to_vec()).chain(lines);
        let usage = v1::Usage {
            boot: 1,
            start_ms: 10_000,
            end_ms: 20_000,
            wall_start_ms: 70_000,
            wall_end_ms: 80_000,
            source: v1::SourceKind::Nvml.into(),
            inventory: 1,
            workloads: 2,
            ..Default::default()
        };
        (usage, leaves.collect())
    }

    /// Signs what the record says, right or wrong, over the root of those leaves.
    fn sealed(mut usage: v1::Usage, leaves: Vec<Vec<u8>>) -> Envelope {
        let tree = SaltedTree::new(Seed::new([5; 16]), leaves).unwrap();
        usage.usage_root = tree.root().as_bytes().to_vec();
        usage.usage_count = tree.count();
        let time = v1::Time {
            unix_ms: 1,
            clock: v1::ClockState::Unknown.into(),
            max_error_ms: None,
        };
        let signer = Ed25519Signer::from_seed(&[1; 32]).unwrap();
        let statement = Statement::seal(usage.into(), Place::Opening, time, None, &signer).unwrap();
        Envelope::join(statement, Some(tree)).unwrap()
    }

    /// What is said of a record under tables of so many entries, read in one way or the other.
    type Said = Result<(v1::Totals, Vec<v1::UsageLine>), usage::BadUsage>;

    fn said(opened: Opened, tables: (u32, u32)) -> Said {
        let (statement, matter) = opened.into_parts();
        let Body::Usage(body) = statement.body() else {
            panic!("a usage record was made");
        };
        match matter {
            Matter::Lines(lines) => lines.fit(tables.0, tables.1),
            Matter::Leaves(leaves) => {
                let leaves = leaves.contents(body.usage_count);
                let leaves: Vec<_> = leaves.into_iter().flatten().collect();
                let interval = usage::check_interval(body)?;
                usage::read_leaves(&leaves, tables.0, tables.1, interval)
            }
        }
    }

    #[test]
    fn a_record_in_which_nothing_is_wrong_is_read_where_it_lies() {
        let (usage, leaves) = usual();
        let opened = Opened::parse(&sealed(usage, leaves).to_bytes()).unwrap();
        assert!(matches!(opened.matter, Matter::Lines(_)));
        assert!(said(opened, (2, 2)).is_ok());
    }

    #[test]
    fn a_record_whose_lines_were_let_go_and_other_kinds_open_as_envelopes() {
        let (usage, leaves) = usual();
        let less = sealed(usage, leaves).without_lines();
        assert_eq!(Opened::parse(&less.to_bytes()), Ok(less.into()));
        let time = v1::Time {
            unix_ms: 1,
            clock: v1::ClockState::Unknown.into(),
            max_error_ms: None,
        };
        let signer = Ed25519Signer::from_seed(&[1; 32]).unwrap();
        let clock = v1::Clock::default().into();
        let clock = Statement::seal(clock, Place::Opening, time, None, &signer).unwrap();
        let clock = Envelope::join(clock, None).unwrap();
        assert_eq!(Opened::parse(&clock.to_bytes()), Ok(clock.into()));
    }

    proptest! {
        /// Whatever was signed: leaves changed, put in, left out or moved, and an interval.
        #[test]
        fn what_is_said_of_a_record_is_the_same_read_where_it_lies_or_as_an_envelope(
            changes in prop::collection::vec(
                (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..6_u8, any::<u8>()),
                0..3,
            ),
            end_ms in prop_oneof![4 => Just(20_000_u64), 1 => 9_999..20_002_u64],
            tables in (0..4_u32, 0..4_u32),
        ) {
            let (mut usage, mut leaves) = usual();
            usage.end_ms = end_ms;
            for (at, within, how, byte) in changes {
                let at = at.index(leaves.len());
                match how {
                    0 if leaves.len() > 1 => drop(leaves.remove(at)),
                    1 => leaves.insert(at, leaves[at].clone()),
                    2 => { let to = within.index(leaves.len()); leaves.swap(at, to) }
                    _ if leaves[at].is_empty() => leaves[at].push(byte),
                    3 => { let within = within.index(leaves[at].len()); leaves[at][within] ^= 1 << (byte % 8) }
                    4 => drop(leaves[at].pop()),
                    _ => { let within = within.index(leaves[at].len()); leaves[at][within] = byte % 4 }
                }
            }
            let envelope = sealed(usage, leaves);
            let opened = Opened::parse(&envelope.to_bytes()).unwrap();
            prop_assert_eq!(opened.statement(), envelope.statement());
            prop_assert_eq!(said(opened, tables), said(envelope.into(), tables));
        }

        /// Whatever is stored.
        #[test]
        fn bytes_are_refused_for_the_same_reason_opened_or_read_as_an_envelope(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..3),
        ) {
            let (usage, leaves) = usual();
            let mut bytes = sealed(usage, leaves).to_bytes();
            for (at, byte, how) in changes {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] ^= 1 << (byte % 8),
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            let opened = Opened::parse(&bytes).map(|opened| opened.statement);
            let envelope = Envelope::parse(&bytes).map(|envelope| envelope.into_parts().0);
            prop_assert_eq!(opened, envelope);
        }
    }
}
