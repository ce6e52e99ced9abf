//! A filed segment unpacked: its entries in the order of the log.

use std::{io, ops::Range, path::Path};

use super::{
    Frame, MAX_SEGMENT_BYTES, SegmentName,
    fields::length,
    file::BadSegment,
    filed::{self, Misfiled},
    table::{Source, Table},
};

/// The entries of a filed segment: at most 64 MiB of envelopes, and 12 bytes an entry.
#[derive(Debug)]
pub(super) struct Sorted {
    start: u64,
    /// Envelopes of each block: no allocation is larger than a block unpacks to.
    blocks: Vec<Vec<u8>>,
    /// Where each lies, in the order of the log.
    places: Vec<Place>,
    /// Sizes of the log at which it was closed, rising.
    closed: Vec<u64>,
}

/// Where an envelope lies: all of a segment's take less than 4 GiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    block: u32,
    from: u32,
    /// 0 where there is none yet: an envelope without a statement is no entry.
    length: u32,
}

/// Why a filed segment is not unpacked.
#[derive(Debug)]
pub(super) enum Unsorted {
    Io(io::Error),
    Block(usize, Misfiled),
}

impl Unsorted {
    pub(super) fn of(self, path: &Path) -> BadSegment {
        let path = path.to_owned();
        match self {
            Self::Io(source) => BadSegment::Io { path, source },
            Self::Block(block, fault) => BadSegment::Misfiled { path, block, fault },
        }
    }
}

impl Sorted {
    /// Unpacks all blocks; each index of the segment is in one of them.
    pub(super) fn unpack(
        source: &Source,
        table: &Table,
        name: &SegmentName,
    ) -> Result<Self, Unsorted> {
        let entries = usize::try_from(name.end - name.start).unwrap_or(0);
        let mut places = vec![Place::default(); entries];
        let (mut blocks, mut closed) = (Vec::new(), Vec::new());
        let mut room = MAX_SEGMENT_BYTES;
        for (number, frame) in table.frames.iter().enumerate() {
            let at = |fault| Unsorted::Block(number, fault);
            let content = decompress(source, frame).map_err(|unsorted| match unsorted {
                Unsorted::Block(_, fault) => at(fault),
                io => io,
            })?;
            let small = |number: usize| u32::try_from(number).map_err(|_| Misfiled::TooMuch);
            let block = small(number).map_err(at)?;
            let mut bytes = Vec::new();
            let part = (frame.entries, name.start);
            let unpacked = filed::unpack(&content, part, &mut room, |index, envelope, ends| {
                let place = index.checked_sub(name.start);
                let place = place.and_then(|place| usize::try_from(place).ok());
                let place = place.and_then(|place| places.get_mut(place));
                let place = place.filter(|place| place.length == 0);
                *place.ok_or(Misfiled::Index)? = Place {
                    block,
                    from: small(bytes.len())?,
                    length: small(envelope.len())?,
                };
                bytes.extend_from_slice(envelope);
                if ends {
                    closed.push(index + 1);
                }
                Ok(())
            });
            unpacked.map_err(at)?;
            bytes.shrink_to_fit();
            blocks.push(bytes);
        }
        // As many entries as indices, and none twice: all are there.
        if places.iter().any(|place| place.length == 0) {
            return Err(Unsorted::Block(0, Misfiled::Index));
        }
        closed.sort_unstable();
        Ok(Self {
            start: name.start,
            blocks,
            places,
            closed,
        })
    }

    /// From the first to the last entry that is in no block which can be unpacked.
    pub(super) fn damage(source: &Source, table: &Table, name: &SegmentName) -> Option<Range<u64>> {
        let mut there = vec![false; usize::try_from(name.end - name.start).unwrap_or(0)];
        for frame in &table.frames {
            let Ok(content) = decompress(source, frame) else {
                continue;
            };
            let part = (frame.entries, name.start);
            let mut found = Vec::new();
            let read = filed::unpack(
                &content,
                part,
                &mut MAX_SEGMENT_BYTES.clone(),
                |index, _, _| {
                    found.push(index);
                    Ok(())
                },
            );
            if read.is_err() {
                continue;
            }
            for index in found {
                let place = index
                    .checked_sub(name.start)
                    .and_then(|at| usize::try_from(at).ok());
                if let Some(there) = place.and_then(|place| there.get_mut(place)) {
                    *there = true;
                }
            }
        }
        let first = there.iter().position(|there| !there)? as u64;
        let last = there.iter().rposition(|there| !there)? as u64;
        Some(name.start + first..name.start + last + 1)
    }

    /// How many entries of a span there are, and their envelopes as a frame holds them.
    pub(super) fn content(&self, span: &Range<u64>) -> (u32, Vec<u8>) {
        let at =
            |index: u64| usize::try_from(index.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let places = self
            .places
            .get(at(span.start)..at(span.end))
            .unwrap_or_default();
        let mut content = Vec::new();
        let mut count = 0;
        for place in places {
            let envelope = self.envelope(place);
            // All of them together are below 4 GiB.
            content.extend_from_slice(&length(envelope.len()).unwrap_or(0).to_be_bytes());
            content.extend_from_slice(envelope);
            count += 1;
        }
        (count, content)
    }

    fn envelope(&self, place: &Place) -> &[u8] {
        let block = self.blocks.get(place.block as usize);
        let from = place.from as usize;
        let envelope = block.and_then(|block| block.get(from..from + place.length as usize));
        envelope.unwrap_or_default()
    }

    /// The sizes at which the log was closed within a span.
    pub(super) fn closes(&self, span: &Range<u64>) -> Vec<u64> {
        let within = |size: &&u64| span.start < **size && **size <= span.end;
        self.closed.iter().filter(within).copied().collect()
    }
}

fn decompress(source: &Source, frame: &Frame) -> Result<Vec<u8>, Unsorted> {
    let stored = source.read(frame.stored as usize, frame.offset);
    let stored = stored.map_err(Unsorted::Io)?;
    let content = zstd::bulk::decompress(&stored, frame.content as usize);
    match content {
        Ok(content) if content.len() == frame.content as usize => Ok(content),
        _ => Err(Unsorted::Block(0, Misfiled::Compressed)),
    }
}
