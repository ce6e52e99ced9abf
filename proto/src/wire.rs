//! Usage records read in one pass from the wire, in their one spelling.
//!
//! What these take is what prost decodes and encodes again to the same bytes, and nothing else; a
//! test holds them to that. There are a dozen messages in a record, and nothing is verified more
//! often.

use crate::v1;

/// An envelope with leaves and seed, read where it lies.
pub(crate) struct Stored<'a> {
    pub(crate) statement: &'a [u8],
    pub(crate) leaves: Vec<&'a [u8]>,
    pub(crate) seed: [u8; 16],
}

/// Finds the parts of an envelope that has a statement, leaves and the seed of their salts.
pub(crate) fn stored(bytes: &[u8]) -> Option<Stored<'_>> {
    let (statement, mut rest) = part(bytes, 1)?;
    let statement = (!statement.is_empty()).then_some(statement)?;
    // A usual record has a dozen; where there are more it grows.
    let mut leaves = Vec::with_capacity(16);
    while let Some((leaf, after)) = part(rest, 2) {
        leaves.push(leaf);
        rest = after;
    }
    let (seed, rest) = part(rest, 3)?;
    let seed = seed.try_into().ok()?;
    rest.is_empty().then_some(Stored {
        statement,
        leaves,
        seed,
    })
}

/// Reads the body of a usage statement; none where the bytes are not the one spelling of one.
pub(crate) fn usage(bytes: &[u8]) -> Option<v1::Usage> {
    let (header, mut rest) = match part(bytes, 1) {
        Some((header, rest)) => (Some(self::header(header)?), rest),
        None => (None, bytes),
    };
    let mut usage = v1::Usage {
        header,
        ..v1::Usage::default()
    };
    let mut last = 1;
    while !rest.is_empty() {
        if last < ROOT
            && let Some((root, after)) = part(rest, ROOT)
        {
            usage.usage_root = some(root)?.to_vec();
            (rest, last) = (after, ROOT);
            continue;
        }
        let mut fields = Numbers { rest, last };
        let (field, number) = fields.next()??;
        match field {
            2 => usage.boot = stated_u32(number)?,
            3 => usage.start_ms = stated(number)?,
            4 => usage.end_ms = stated(number)?,
            5 => usage.wall_start_ms = stated(number)?,
            6 => usage.wall_end_ms = stated(number)?,
            7 => usage.source = enumerated(number)?,
            8 => usage.inventory = stated(number)?,
            9 => usage.workloads = stated(number)?,
            11 => usage.usage_count = stated_u32(number)?,
            _ => return None,
        }
        (rest, last) = (fields.rest, fields.last);
    }
    Some(usage)
}

/// Field of the root in a usage statement.
const ROOT: u8 = 10;

fn header(bytes: &[u8]) -> Option<v1::Header> {
    let mut header = v1::Header::default();
    let mut rest = bytes;
    if let Some((chain, after)) = part(rest, 1) {
        header.chain = some(chain)?.to_vec();
        rest = after;
    }
    if rest.first() == Some(&(2 << 3)) {
        let mut fields = Numbers { rest, last: 0 };
        header.sequence = stated(fields.next()??.1)?;
        rest = fields.rest;
    }
    if let Some((previous, after)) = part(rest, 3) {
        header.previous = some(previous)?.to_vec();
        rest = after;
    }
    if let Some((time, after)) = part(rest, 4) {
        header.time = Some(self::time(time)?);
        rest = after;
    }
    if let Some((seen, after)) = part(rest, 5) {
        header.checkpoint = Some(checkpoint(seen)?);
        rest = after;
    }
    rest.is_empty().then_some(header)
}

fn time(bytes: &[u8]) -> Option<v1::Time> {
    let mut time = v1::Time::default();
    let mut fields = Numbers {
        rest: bytes,
        last: 0,
    };
    while let Some((field, number)) = fields.next()? {
        match field {
            1 => time.unix_ms = stated(number)?,
            2 => time.clock = enumerated(number)?,
            3 => time.max_error_ms = Some(u32::try_from(number).ok()?),
            _ => return None,
        }
    }
    Some(time)
}

fn checkpoint(bytes: &[u8]) -> Option<v1::CheckpointRef> {
    let mut seen = v1::CheckpointRef::default();
    let mut rest = bytes;
    if let Some((origin, after)) = part(rest, 1) {
        seen.origin = str::from_utf8(some(origin)?).ok()?.to_owned();
        rest = after;
    }
    if rest.first() == Some(&(2 << 3)) {
        let mut fields = Numbers { rest, last: 0 };
        seen.size = stated(fields.next()??.1)?;
        rest = fields.rest;
    }
    if let Some((root, after)) = part(rest, 3) {
        seen.root = some(root)?.to_vec();
        rest = after;
    }
    rest.is_empty().then_some(seen)
}

/// Bytes without presence: none is their default, which is never spelled out.
fn some(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

/// Takes a field of bytes off the front, and gives what follows it.
fn part(bytes: &[u8], field: u8) -> Option<(&[u8], &[u8])> {
    const BYTES: u8 = 2;
    let rest = bytes.strip_prefix(&[field << 3 | BYTES])?;
    let (length, rest) = varint(rest)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// Reads a usage line; none where the bytes are not the one spelling of one.
pub(crate) fn usage_line(bytes: &[u8]) -> Option<v1::UsageLine> {
    let mut line = v1::UsageLine::default();
    let mut fields = Numbers {
        rest: bytes,
        last: 0,
    };
    while let Some((field, number)) = fields.next()? {
        match field {
            1 => line.device = stated_u32(number)?,
            2 => line.kind = enumerated(number)?,
            3 => line.workload = Some(u32::try_from(number).ok()?),
            4 => line.reason = enumerated(number)?,
            5 => line.time_ms = stated(number)?,
            6 => line.allocated_ms = Some(number),
            7 => line.busy_ms = Some(number),
            8 => line.energy_mj = Some(number),
            9 => line.memory_peak_bytes = Some(number),
            10 => line.sm_permille = Some(u32::try_from(number).ok()?),
            11 => line.tensor_permille = Some(u32::try_from(number).ok()?),
            12 => line.samples = stated_u32(number)?,
            13 => line.missing = stated_u32(number)?,
            _ => return None,
        }
    }
    Some(line)
}

/// Reads a totals line in the same way.
pub(crate) fn totals(mut bytes: &[u8]) -> Option<v1::Totals> {
    // A usual entry takes more; where they are shorter it grows.
    let mut devices = Vec::with_capacity(bytes.len() / 16 + 1);
    while !bytes.is_empty() {
        let (entry, rest) = part(bytes, 1)?;
        devices.push(device_totals(entry)?);
        bytes = rest;
    }
    Some(v1::Totals { devices })
}

fn device_totals(bytes: &[u8]) -> Option<v1::DeviceTotals> {
    let mut totals = v1::DeviceTotals::default();
    let mut fields = Numbers {
        rest: bytes,
        last: 0,
    };
    while let Some((field, number)) = fields.next()? {
        match field {
            1 => totals.attributed_ms = stated(number)?,
            2 => totals.idle_ms = stated(number)?,
            3 => totals.unattributed_ms = stated(number)?,
            4 => totals.not_observed_ms = stated(number)?,
            5 => totals.energy_mj = Some(number),
            _ => return None,
        }
    }
    Some(totals)
}

/// The fields of a message that has numbers only, of fields 1 to 15, each at most once.
struct Numbers<'a> {
    rest: &'a [u8],
    last: u8,
}

impl Numbers<'_> {
    /// The next field and its number; the inner none at the end, the outer where the spelling
    /// breaks: a key or number that is not in its shortest form, or out of order, or of another
    /// wire type.
    fn next(&mut self) -> Option<Option<(u8, u64)>> {
        let Some((key, rest)) = self.rest.split_first() else {
            return Some(None);
        };
        let (field, number) = (key >> 3, key & 7 == 0);
        if !number || field <= self.last || field > 15 {
            return None;
        }
        let (value, rest) = varint(rest)?;
        (self.rest, self.last) = (rest, field);
        Some(Some((field, value)))
    }
}

/// Reads a number in its shortest form, and gives what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (place, byte) in bytes.iter().enumerate() {
        let part = u64::from(byte & 0x7f);
        // Ten bytes hold 70 bits: of the last one a single bit is within the 64.
        if place == 9 && *byte > 1 {
            return None;
        }
        number |= part << (7 * place);
        if byte & 0x80 == 0 {
            let shortest = *byte != 0 || place == 0;
            return shortest.then_some((number, bytes.get(place + 1..)?));
        }
    }
    None
}

/// A number without presence: its default, zero, is never spelled out.
fn stated(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}

fn stated_u32(number: u64) -> Option<u32> {
    u32::try_from(stated(number)?).ok()
}

/// A value of an enumeration, one that is not known too: negative ones are spelled with 64 bits.
fn enumerated(number: u64) -> Option<i32> {
    i32::try_from(stated(number)?.cast_signed()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    /// What a reader that decodes and encodes again makes of bytes.
    fn twice<M: Message + Default>(bytes: &[u8]) -> Option<M> {
        let read = M::decode(bytes).ok()?;
        (read.encode_to_vec() == bytes).then_some(read)
    }

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..3_u64,
            0..300_u64,
            any::<u64>(),
            Just(u64::MAX),
            Just(1 << 63)
        ]
    }

    fn small() -> impl Strategy<Value = u32> {
        prop_oneof![0..3_u32, 0..300_u32, any::<u32>()]
    }

    prop_compose! {
        fn line()(
            (device, samples, missing) in (small(), small(), small()),
            (kind, reason) in (prop_oneof![0..6_i32, any::<i32>()], prop_oneof![0..6_i32, any::<i32>()]),
            time_ms in number(),
            (workload, sm_permille, tensor_permille) in
                (prop::option::of(small()), prop::option::of(small()), prop::option::of(small())),
            (allocated_ms, busy_ms, energy_mj, memory_peak_bytes) in
                (prop::option::of(number()), prop::option::of(number()),
                 prop::option::of(number()), prop::option::of(number())),
        ) -> v1::UsageLine {
            v1::UsageLine {
                device, kind, workload, reason, time_ms, allocated_ms, busy_ms, energy_mj,
                memory_peak_bytes, sm_permille, tensor_permille, samples, missing,
            }
        }
    }

    prop_compose! {
        fn device()(
            (attributed_ms, idle_ms) in (number(), number()),
            (unattributed_ms, not_observed_ms) in (number(), number()),
            energy_mj in prop::option::of(number()),
        ) -> v1::DeviceTotals {
            v1::DeviceTotals { attributed_ms, idle_ms, unattributed_ms, not_observed_ms, energy_mj }
        }
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..4),
            prop::collection::vec(any::<u8>(), 32)
        ]
    }

    prop_compose! {
        fn body()(
            (chain, sequence, previous) in (bytes(), number(), bytes()),
            time in prop::option::of((number(), prop_oneof![0..4_i32, any::<i32>()], prop::option::of(small()))),
            seen in prop::option::of(("[a-zé/]{0,8}", number(), bytes())),
            (boot, usage_count, source) in (small(), small(), prop_oneof![0..4_i32, any::<i32>()]),
            (start_ms, end_ms, wall_start_ms, wall_end_ms) in (number(), number(), number(), number()),
            (inventory, workloads, usage_root, headed) in (number(), number(), bytes(), any::<bool>()),
        ) -> v1::Usage {
            let time = time.map(|(unix_ms, clock, max_error_ms)| v1::Time { unix_ms, clock, max_error_ms });
            let checkpoint = seen.map(|(origin, size, root)| v1::CheckpointRef { origin, size, root });
            let header = v1::Header { chain, sequence, previous, time, checkpoint };
            v1::Usage {
                header: headed.then_some(header),
                boot, start_ms, end_ms, wall_start_ms, wall_end_ms, source, inventory, workloads,
                usage_root, usage_count,
            }
        }
    }

    /// Bytes near to those of a message: one cut off, put in, or changed.
    fn near(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
        let change = (any::<prop::sample::Index>(), 0..4_u8, any::<u8>());
        prop::collection::vec(change, 0..3).prop_map(move |changes| {
            let mut bytes = bytes.clone();
            for (at, how, byte) in changes {
                let at = at.index(bytes.len() + 1);
                match (how, bytes.get_mut(at)) {
                    (0, _) => bytes.insert(at, byte),
                    (1, Some(_)) => drop(bytes.remove(at)),
                    // A number that goes on, which its shortest form does not.
                    (2, Some(changed)) => *changed ^= 0x80,
                    (_, Some(changed)) => *changed = byte,
                    (_, None) => bytes.push(byte),
                }
            }
            bytes
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_line_reads_as_by_decoding_and_encoding_again(
            bytes in line().prop_flat_map(|line| near(line.encode_to_vec())),
        ) {
            prop_assert_eq!(usage_line(&bytes), twice(&bytes));
        }

        #[test]
        fn a_totals_line_reads_as_by_decoding_and_encoding_again(
            bytes in prop::collection::vec(device(), 0..4)
                .prop_flat_map(|devices| near(v1::Totals { devices }.encode_to_vec())),
        ) {
            prop_assert_eq!(totals(&bytes), twice(&bytes));
        }

        #[test]
        fn a_usage_statement_reads_as_by_decoding_and_encoding_again(
            (made, bytes) in body().prop_flat_map(|body| (Just(body.clone()), near(body.encode_to_vec()))),
        ) {
            prop_assert_eq!(usage(&made.encode_to_vec()), Some(made));
            prop_assert_eq!(usage(&bytes), twice(&bytes));
        }

        #[test]
        fn an_envelope_is_taken_apart_as_by_decoding_and_encoding_again(
            bytes in (
                prop::collection::vec(any::<u8>(), 0..200),
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..140), 0..20),
                prop_oneof![Just(16_usize), 0..20_usize],
            ).prop_flat_map(|(statement, leaves, seed)| {
                let seed = vec![7; seed];
                near(v1::Envelope { statement, leaves, seed, totals: None }.encode_to_vec())
            }),
        ) {
            let due = twice::<v1::Envelope>(&bytes).filter(|due| {
                !due.statement.is_empty() && due.seed.len() == 16 && due.totals.is_none()
            });
            let read = stored(&bytes).map(|read| v1::Envelope {
                statement: read.statement.to_vec(),
                leaves: read.leaves.into_iter().map(<[u8]>::to_vec).collect(),
                seed: read.seed.to_vec(),
                totals: None,
            });
            prop_assert_eq!(read, due);
        }

        #[test]
        fn any_bytes_read_as_by_decoding_and_encoding_again(
            bytes in prop::collection::vec(prop_oneof![0..16_u8, 0x78..0x82_u8, any::<u8>()], 0..24),
        ) {
            prop_assert_eq!(usage_line(&bytes), twice(&bytes));
            prop_assert_eq!(totals(&bytes), twice(&bytes));
        }
    }

    #[test]
    fn a_line_with_all_its_fields_is_read() {
        let line = v1::UsageLine {
            device: 1,
            kind: 2,
            workload: Some(3),
            reason: 4,
            time_ms: 5,
            allocated_ms: Some(6),
            busy_ms: Some(7),
            energy_mj: Some(8),
            memory_peak_bytes: Some(u64::MAX),
            sm_permille: Some(10),
            tensor_permille: Some(11),
            samples: 12,
            missing: u32::MAX,
        };
        assert_eq!(usage_line(&line.encode_to_vec()), Some(line));
    }
}
