//! The fields that segments and the write-ahead file are made of: big-endian, lengths first.

use std::io;

use affiant_proto::envelope::MAX_ENVELOPE_BYTES;

use super::entry::Entry;

/// Bytes that an entry takes in a frame, its length included.
pub fn stored_size(entry: &Entry) -> usize {
    4 + entry.envelope().len()
}

/// Writes an entry as frames and the write-ahead file hold it.
pub fn write_entry(out: &mut Vec<u8>, entry: &Entry) -> io::Result<()> {
    out.extend_from_slice(&length(entry.envelope().len())?.to_be_bytes());
    out.extend_from_slice(entry.envelope());
    Ok(())
}

/// Reads exactly `count` entries from `content`, and nothing may be left.
pub fn read_entries(content: &[u8], count: u32) -> Option<Vec<Entry>> {
    let envelopes = split(content, count)?.into_iter();
    envelopes
        .map(|envelope| Entry::parse(envelope.to_vec()).ok())
        .collect()
}

/// Takes exactly `count` encoded envelopes from `content`, and nothing may be left.
pub fn split(mut content: &[u8], count: u32) -> Option<Vec<&[u8]>> {
    // Each entry takes four bytes at least, so a hostile count allocates no more than its file.
    let mut entries = Vec::with_capacity((count as usize).min(content.len() / 4));
    for _ in 0..count {
        let (length, rest) = content.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_ENVELOPE_BYTES {
            return None;
        }
        let (envelope, rest) = rest.split_at_checked(length)?;
        entries.push(envelope);
        content = rest;
    }
    content.is_empty().then_some(entries)
}

/// A length as files spell it.
pub fn length(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(|_| io::Error::other("a length above 4 GiB"))
}

/// Takes fixed fields off the front of bytes.
pub struct Cursor<'a>(pub &'a [u8]);

impl Cursor<'_> {
    /// Takes the next `N` bytes; `None` where fewer are left.
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    /// Takes the next number of eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    /// Takes the next number of four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }
}
