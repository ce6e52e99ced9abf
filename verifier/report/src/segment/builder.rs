//! Makes segments.

use std::io;

use ring::digest as sha;

use super::{
    Frame, HEADER, Layout, MAX_BLOCK_ENTRIES, MAX_FILE_BYTES, MAX_FRAME_BYTES, MAX_FRAME_ENTRIES,
    MAX_FRAMES, MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES, SegmentName,
    entry::Entry,
    fields::{length, stored_size, write_entry},
    filed::{self, Item},
    finished,
};

/// zstd's own default, the level whose cost and gain were measured for signed records.
const LEVEL: i32 = 3;

/// Gathers entries, given in the order of the log, into a segment of either layout.
pub struct Builder {
    start: u64,
    clock: u64,
    entries: usize,
    content: usize,
    file: Frames,
    shape: Shape,
}

/// What was given and is in no frame yet.
enum Shape {
    /// The frame being filled, and its entries.
    Logged(Vec<u8>, usize),
    /// All entries.
    Filed(Vec<Item>),
}

/// The file so far: room for the header, then whole frames.
struct Frames {
    bytes: Vec<u8>,
    rows: Vec<Frame>,
    compressor: zstd::bulk::Compressor<'static>,
}

impl Builder {
    /// Starts a segment at index `start` and at the writer's `clock`, compressing as entries come.
    pub fn new(start: u64, clock: u64) -> io::Result<Self> {
        Self::laid_out(Layout::Logged, start, clock)
    }

    /// Starts one of that layout. A filed one holds all of its entries until it is finished.
    pub fn laid_out(layout: Layout, start: u64, clock: u64) -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        Ok(Self {
            start,
            clock,
            entries: 0,
            content: 0,
            file: Frames {
                bytes: vec![0; HEADER],
                rows: Vec::new(),
                compressor,
            },
            shape: match layout {
                Layout::Logged => Shape::Logged(Vec::new(), 0),
                Layout::Filed => Shape::Filed(Vec::new()),
            },
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
        match &mut self.shape {
            Shape::Logged(open, count) => {
                if *count == MAX_FRAME_ENTRIES || open.len() + size > MAX_FRAME_BYTES {
                    self.file.close(open, *count)?;
                    (*open, *count) = (Vec::new(), 0);
                }
                write_entry(open, entry)?;
                *count += 1;
            }
            Shape::Filed(items) => {
                let index = self.start + self.entries as u64;
                items.push(Item::new(index, entry.clone()));
            }
        }
        self.entries += 1;
        self.content += size;
        Ok(())
    }

    /// Notes that the log was closed after the newest entry. In the layout in which it is written,
    /// that is at the segment's end and nowhere else.
    pub fn closed(&mut self) {
        if let Shape::Filed(items) = &mut self.shape
            && let Some(last) = items.last_mut()
        {
            last.closed = true;
        }
    }

    /// Ends the segment, rewritten `revision` times: its name and the bytes of its file.
    ///
    /// A filed one is read again before it is given, entry by entry: an error is a fault of this
    /// program, or of the machine.
    pub fn finish(mut self, revision: u64) -> io::Result<(SegmentName, Vec<u8>)> {
        let layout = match self.shape {
            Shape::Logged(open, count) => {
                self.file.close(&open, count)?;
                Layout::Logged
            }
            Shape::Filed(mut items) => {
                if let Some(last) = items.last_mut() {
                    last.closed = true;
                }
                items.sort_unstable_by_key(Item::order);
                self.file.blocks(&items, self.start)?;
                Layout::Filed
            }
        };
        let end = self.start + self.entries as u64;
        self.file
            .seal(layout, (self.start, end), self.clock, revision)
    }
}

impl Frames {
    fn close(&mut self, content: &[u8], entries: usize) -> io::Result<()> {
        if entries == 0 {
            return Ok(());
        }
        let stored = self.compressor.compress(content)?;
        self.rows.push(Frame {
            offset: self.bytes.len() as u64,
            stored: length(stored.len())?,
            content: length(content.len())?,
            entries: length(entries)?,
        });
        self.bytes.extend_from_slice(&stored);
        Ok(())
    }

    /// Files entries that are in their order.
    fn blocks(&mut self, mut items: &[Item], start: u64) -> io::Result<()> {
        while !items.is_empty() {
            let mut bytes = 0;
            let within = |item: &Item| {
                bytes += item.size();
                bytes <= filed::BLOCK_ENVELOPES
            };
            let most = items.get(..MAX_BLOCK_ENTRIES).unwrap_or(items);
            let count = most
                .iter()
                .map(within)
                .take_while(|fits| *fits)
                .count()
                .max(1);
            let (block, rest) = items.split_at(count.min(items.len()));
            self.block(block, start)?;
            items = rest;
        }
        Ok(())
    }

    fn block(&mut self, items: &[Item], start: u64) -> io::Result<()> {
        let content = filed::pack(items, start)?;
        if content.len() > MAX_FRAME_BYTES && items.len() > 1 {
            let (first, second) = items.split_at(items.len() / 2);
            self.block(first, start)?;
            return self.block(second, start);
        }
        if !filed::holds(&content, items, start) {
            return Err(io::Error::other("a block does not give back its entries"));
        }
        self.close(&content, items.len())
    }

    fn seal(
        self,
        layout: Layout,
        (start, end): (u64, u64),
        clock: u64,
        revision: u64,
    ) -> io::Result<(SegmentName, Vec<u8>)> {
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(layout.magic());
        for number in [start, end, clock, revision] {
            header.extend_from_slice(&number.to_be_bytes());
        }
        let mut file = self.bytes;
        file.splice(..HEADER, header);
        let table = file.len() as u64;
        for frame in &self.rows {
            file.extend_from_slice(&frame.offset.to_be_bytes());
            for number in [frame.stored, frame.content, frame.entries] {
                file.extend_from_slice(&number.to_be_bytes());
            }
        }
        file.extend_from_slice(&table.to_be_bytes());
        file.extend_from_slice(&length(self.rows.len())?.to_be_bytes());
        let mut hash = sha::Context::new(&sha::SHA256);
        hash.update(&file);
        // One pass for both digests: that in the footer and that in the name.
        let footer = hash.clone().finish();
        file.extend_from_slice(footer.as_ref());
        hash.update(footer.as_ref());
        if self.rows.len() > MAX_FRAMES || file.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::other(
                "a segment would be larger than one may be",
            ));
        }
        SegmentName::new(start, end, finished(hash))
            .map(|name| (name, file))
            .ok_or_else(|| io::Error::other("a segment without entries cannot be named"))
    }
}
