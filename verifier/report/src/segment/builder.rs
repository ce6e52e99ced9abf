//! Makes segments.

use std::io;

use ring::digest as sha;

use super::{
    Frame, HEADER, MAGIC, MAX_FRAME_BYTES, MAX_FRAME_ENTRIES, MAX_SEGMENT_BYTES,
    MAX_SEGMENT_ENTRIES, SegmentName,
    entry::Entry,
    fields::{length, stored_size, write_entry},
    finished,
};

/// zstd's own default, the level whose cost and gain were measured for signed records.
const LEVEL: i32 = 3;

/// Gathers entries into a segment, compressing as they come.
pub struct Builder {
    start: u64,
    clock: u64,
    entries: usize,
    content: usize,
    /// The file so far: room for the header, then whole frames.
    file: Vec<u8>,
    frames: Vec<Frame>,
    /// The frame being filled.
    open: Vec<u8>,
    open_entries: usize,
    compressor: zstd::bulk::Compressor<'static>,
}

impl Builder {
    /// Starts a segment at index `start` and at the writer's `clock`.
    pub fn new(start: u64, clock: u64) -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        Ok(Self {
            start,
            clock,
            entries: 0,
            content: 0,
            file: vec![0; HEADER],
            frames: Vec::new(),
            open: Vec::new(),
            open_entries: 0,
            compressor,
        })
    }

    /// The writer's clock at the first entry.
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// How many entries it holds.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Tells whether `entries` more, of `content` bytes with their lengths, stay within
    /// [`MAX_SEGMENT_ENTRIES`] and [`MAX_SEGMENT_BYTES`].
    pub fn has_room(&self, entries: usize, content: usize) -> bool {
        self.entries.saturating_add(entries) <= MAX_SEGMENT_ENTRIES
            && self.content.saturating_add(content) <= MAX_SEGMENT_BYTES
    }

    /// Adds an entry; the caller has asked [`Builder::has_room`].
    pub fn push(&mut self, entry: &Entry) -> io::Result<()> {
        let size = stored_size(entry);
        if self.open_entries == MAX_FRAME_ENTRIES || self.open.len() + size > MAX_FRAME_BYTES {
            self.close_frame()?;
        }
        write_entry(&mut self.open, entry)?;
        self.open_entries += 1;
        self.entries += 1;
        self.content += size;
        Ok(())
    }

    fn close_frame(&mut self) -> io::Result<()> {
        if self.open_entries == 0 {
            return Ok(());
        }
        let stored = self.compressor.compress(&self.open)?;
        self.frames.push(Frame {
            offset: self.file.len() as u64,
            stored: length(stored.len())?,
            content: length(self.open.len())?,
            entries: length(self.open_entries)?,
        });
        self.file.extend_from_slice(&stored);
        self.open.clear();
        self.open_entries = 0;
        Ok(())
    }

    /// Ends the segment, rewritten `revision` times: its name and the bytes of its file.
    pub fn finish(mut self, revision: u64) -> io::Result<(SegmentName, Vec<u8>)> {
        self.close_frame()?;
        let end = self.start + self.entries as u64;
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        for number in [self.start, end, self.clock, revision] {
            header.extend_from_slice(&number.to_be_bytes());
        }
        let mut file = self.file;
        file.splice(..HEADER, header);
        let table = file.len() as u64;
        for frame in &self.frames {
            file.extend_from_slice(&frame.offset.to_be_bytes());
            for number in [frame.stored, frame.content, frame.entries] {
                file.extend_from_slice(&number.to_be_bytes());
            }
        }
        file.extend_from_slice(&table.to_be_bytes());
        file.extend_from_slice(&length(self.frames.len())?.to_be_bytes());
        let mut hash = sha::Context::new(&sha::SHA256);
        hash.update(&file);
        // One pass for both digests: that in the footer and that in the name.
        let footer = hash.clone().finish();
        file.extend_from_slice(footer.as_ref());
        hash.update(footer.as_ref());
        SegmentName::new(self.start, end, finished(hash))
            .map(|name| (name, file))
            .ok_or_else(|| io::Error::other("a segment without entries cannot be named"))
    }
}
