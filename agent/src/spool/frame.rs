//! Frames: what one sync covers, so that a crash leaves all of it or a bad last frame.
//!
//! ```text
//! segment = head   frame*
//! head    = "AFSPOOL2" first:u64 from:u64 run:u32 short:u32 crc:u32     crc = CRC-32 over the rest
//! frame   = "AFFR" length:u32 crc:u32   body          crc = CRC-32 over length and body
//! body    = first:u64  (length:u32 bytes)+            one entry per sequence, rising by one
//! ```
//! All numbers big-endian. `from` is `first` but in the first segment of a new run: that one stands
//! in place of every record of the runs before from `from` on. `short` is 1 when lines were let go.

use affiant_proto::envelope::MAX_ENVELOPE_BYTES;

/// Begins a segment.
const SEGMENT_MARK: &[u8; 8] = b"AFSPOOL2";

/// Begins a frame.
const FRAME_MARK: &[u8; 4] = b"AFFR";

/// Bytes before the first frame of a segment.
pub(super) const SEGMENT_HEAD: usize = 36;

/// Bytes before the body of a frame.
pub(super) const FRAME_HEAD: usize = 12;

/// Most bytes of a frame's body: two of the largest envelopes, so that one always fits with the
/// twelve bytes around it. Half a segment.
pub(super) const MAX_BODY: usize = 2 * MAX_ENVELOPE_BYTES;

/// One frame, checked against its CRC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) first: u64,
    pub(super) entries: Vec<Vec<u8>>,
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHead {
    /// Its first sequence.
    pub(super) first: u64,
    /// From here on it stands in place of what earlier runs have.
    pub(super) from: u64,
    /// Counts the times that records were dropped or replaced.
    pub(super) run: u32,
    /// Lines were let go.
    pub(super) short: bool,
}

impl SegmentHead {
    /// Spells the head.
    pub(super) fn spell(self) -> [u8; SEGMENT_HEAD] {
        let mut head = [0; SEGMENT_HEAD];
        head[..8].copy_from_slice(SEGMENT_MARK);
        head[8..16].copy_from_slice(&self.first.to_be_bytes());
        head[16..24].copy_from_slice(&self.from.to_be_bytes());
        head[24..28].copy_from_slice(&self.run.to_be_bytes());
        head[28..32].copy_from_slice(&u32::from(self.short).to_be_bytes());
        let crc = crc32fast::hash(&head[..32]).to_be_bytes();
        head[32..].copy_from_slice(&crc);
        head
    }

    /// Reads a head; `None` when it is not what was written.
    pub(super) fn read(bytes: &[u8; SEGMENT_HEAD]) -> Option<Self> {
        let (_, rest) = bytes.split_first_chunk::<8>()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (run, rest) = rest.split_first_chunk()?;
        let (short, _) = rest.split_first_chunk()?;
        let head = Self {
            first: u64::from_be_bytes(*first),
            from: u64::from_be_bytes(*from),
            run: u32::from_be_bytes(*run),
            short: u32::from_be_bytes(*short) == 1,
        };
        (head.spell() == *bytes && head.from <= head.first).then_some(head)
    }
}

/// Spells a frame; `None` when it would be too long or holds nothing.
pub(super) fn spell(first: u64, entries: &[Vec<u8>]) -> Option<Vec<u8>> {
    let length = entries.iter().map(|entry| entry.len() + 4).sum::<usize>() + 8;
    if entries.is_empty() || length > MAX_BODY {
        return None;
    }
    let length = u32::try_from(length).ok()?.to_be_bytes();
    let mut out = Vec::with_capacity(FRAME_HEAD + entries.len());
    out.extend(FRAME_MARK);
    out.extend(length);
    out.extend([0; 4]);
    out.extend(first.to_be_bytes());
    for entry in entries {
        out.extend(u32::try_from(entry.len()).ok()?.to_be_bytes());
        out.extend(entry);
    }
    let crc = crc(&length, out.get(FRAME_HEAD..)?);
    out.get_mut(8..FRAME_HEAD)?.copy_from_slice(&crc);
    Some(out)
}

/// Length of the body that follows the head of a frame, and its CRC; `None` when it is no head.
pub(super) fn read_head(head: &[u8; FRAME_HEAD]) -> Option<(usize, [u8; 4])> {
    let (mark, rest) = head.split_first_chunk::<4>()?;
    let (length, crc) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let sane = mark == FRAME_MARK && (8..=MAX_BODY).contains(&length);
    Some((length, crc.try_into().ok()?)).filter(|_| sane)
}

/// Reads the body of a frame; `None` when it is not what was written.
pub(super) fn read_body(body: &[u8], due: [u8; 4]) -> Option<Frame> {
    let length = u32::try_from(body.len()).ok()?.to_be_bytes();
    if crc(&length, body) != due {
        return None;
    }
    let (first, mut rest) = body.split_first_chunk::<8>()?;
    let mut entries = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (entry, after) = after.split_at_checked(length)?;
        entries.push(entry.to_vec());
        rest = after;
    }
    let first = u64::from_be_bytes(*first);
    (rest.is_empty() && !entries.is_empty()).then_some(Frame { first, entries })
}

/// Tells whether a whole frame stands anywhere in `bytes`.
pub(super) fn holds_a_frame(bytes: &[u8]) -> bool {
    bytes.windows(FRAME_HEAD).enumerate().any(|(at, head)| {
        let head: Option<&[u8; FRAME_HEAD]> = head.try_into().ok();
        let Some((length, crc)) = head.and_then(read_head) else {
            return false;
        };
        let body = bytes
            .get(at + FRAME_HEAD..)
            .and_then(|rest| rest.get(..length));
        body.is_some_and(|body| read_body(body, crc).is_some())
    })
}

fn crc(length: &[u8; 4], body: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(body);
    hasher.finalize().to_be_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<Frame> {
        let (head, body) = bytes.split_first_chunk::<FRAME_HEAD>()?;
        let (length, crc) = read_head(head)?;
        read_body(body.get(..length)?, crc)
    }

    #[test]
    fn a_frame_reads_back_and_every_changed_bit_is_noticed() {
        let entries = vec![b"one".to_vec(), Vec::new(), b"three".to_vec()];
        let bytes = spell(7, &entries).unwrap();
        assert_eq!(read(&bytes), Some(Frame { first: 7, entries }));
        for at in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(read(&changed), None, "bit {at}");
        }
    }

    #[test]
    fn every_changed_bit_of_a_segments_head_is_noticed() {
        let head = SegmentHead {
            first: 900,
            from: 800,
            run: 3,
            short: true,
        };
        let bytes = head.spell();
        assert_eq!(SegmentHead::read(&bytes), Some(head));
        for at in 0..bytes.len() * 8 {
            let mut changed = bytes;
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(SegmentHead::read(&changed), None, "bit {at}");
        }
    }

    #[test]
    fn the_largest_envelope_fits_and_nothing_is_no_frame() {
        assert!(spell(1, &[vec![7; MAX_ENVELOPE_BYTES]]).is_some());
        assert!(spell(1, &[vec![7; MAX_BODY]]).is_none());
        assert!(spell(1, &[]).is_none());
    }

    #[test]
    fn a_frame_is_found_behind_rubbish() {
        let mut bytes = b"AFFR rubbish AFFRAFFR".to_vec();
        assert!(!holds_a_frame(&bytes));
        bytes.extend(spell(7, &[b"one".to_vec()]).unwrap());
        assert!(holds_a_frame(&bytes));
        bytes.pop();
        assert!(!holds_a_frame(&bytes));
    }
}
