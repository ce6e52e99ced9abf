//! Reads segments; every byte of them is foreign.

use std::{
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ring::digest as sha;

use super::{
    Layout, MAX_FRAME_ENTRIES, SegmentName,
    entry::Entry,
    fields::split,
    filed::Misfiled,
    finished,
    sorted::Sorted,
    table::{self, Fault, Source, Table},
};

/// What is wrong with a segment on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadSegment {
    /// It could not be read.
    #[error("segment {path} cannot be read: {source}")]
    Io {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such file.
    #[error("segment {0} is missing; put it back from a copy of the log")]
    Missing(PathBuf),
    /// Its bytes are not those that it is named by.
    #[error(
        "segment {0} was changed: its sha-256 is not that of its name; put it back from a copy"
    )]
    Changed(PathBuf),
    /// Its header, table or footer do not hold together.
    #[error("segment {path} is malformed: {fault}; put it back from a copy of the log")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        fault: &'static str,
    },
    /// A block of a filed segment is none.
    #[error("segment {path}, block {block}: {fault}; put it back from a copy of the log")]
    Misfiled {
        /// Which file.
        path: PathBuf,
        /// Which block, from 0.
        block: usize,
        /// What is wrong.
        fault: Misfiled,
    },
}

/// A segment whose header, table and footer hold together.
///
/// It gives its entries in the order of the log, in frames of up to 256, however they are laid out in
/// the file. A filed one is unpacked whole when the first frame is asked for, and stays so.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    source: Source,
    name: SegmentName,
    table: Table,
    /// Of a filed segment, once it was asked for.
    sorted: Mutex<Option<Arc<Sorted>>>,
}

impl Segment {
    /// Opens the segment of that name and reads its header, table and footer. Its hash is not
    /// computed; see [`Segment::verify`].
    pub fn open(directory: &Path, name: &SegmentName) -> Result<Self, BadSegment> {
        let path = directory.join(name.to_string());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BadSegment::Missing(path));
            }
            Err(source) => return Err(BadSegment::Io { path, source }),
        };
        Self::of(path, Source::File(file), name)
    }

    /// Reads the segment of that name from the bytes of its whole file; `path` is for errors.
    pub fn read(path: PathBuf, name: &SegmentName, bytes: Vec<u8>) -> Result<Self, BadSegment> {
        Self::of(path, Source::Memory(bytes), name)
    }

    fn of(path: PathBuf, source: Source, name: &SegmentName) -> Result<Self, BadSegment> {
        match table::read(&source, name) {
            Ok(table) => Ok(Self {
                path,
                source,
                name: *name,
                table,
                sorted: Mutex::default(),
            }),
            Err(Fault::Io(source)) => Err(BadSegment::Io { path, source }),
            Err(Fault::Malformed(fault)) => Err(BadSegment::Malformed { path, fault }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &SegmentName {
        &self.name
    }

    /// How it is laid out.
    pub fn layout(&self) -> Layout {
        self.table.layout
    }

    /// Bytes of its file.
    pub fn length(&self) -> u64 {
        self.table.length
    }

    /// Bytes of what its frames hold, as the table says.
    pub fn content_bytes(&self) -> u64 {
        let frames = self.table.frames.iter();
        frames.map(|frame| u64::from(frame.content)).sum()
    }

    /// Which entries the frame `number` holds, as the table says.
    pub fn span(&self, number: usize) -> Option<Range<u64>> {
        if self.table.layout == Layout::Filed {
            let most = MAX_FRAME_ENTRIES as u64;
            let start = u64::try_from(number).ok()?.checked_mul(most)?;
            let start = self.name.start.checked_add(start)?;
            return (start < self.name.end)
                .then(|| start..start.saturating_add(most).min(self.name.end));
        }
        let (frame, earlier) = self.table.frames.get(..=number)?.split_last()?;
        let start = self.name.start + earlier.iter().map(|f| u64::from(f.entries)).sum::<u64>();
        Some(start..start + u64::from(frame.entries))
    }

    /// The writer's clock at the first entry.
    pub fn clock(&self) -> u64 {
        self.table.clock
    }

    /// How often its entries were rewritten; see [`super::cover`].
    pub fn revision(&self) -> u64 {
        self.table.revision
    }

    /// How many frames it has.
    pub fn frames(&self) -> usize {
        match self.table.layout {
            Layout::Logged => self.table.frames.len(),
            // At most 2^17 entries.
            Layout::Filed => usize::try_from(self.name.end - self.name.start)
                .unwrap_or(0)
                .div_ceil(MAX_FRAME_ENTRIES),
        }
    }

    /// The sizes of the log at which it was closed within the frame `number`: the states that were
    /// signed are among them. A segment that was joined of several knows where each of them ended.
    pub fn closes(&self, number: usize) -> Result<Vec<u64>, BadSegment> {
        let Some(span) = self.span(number) else {
            return Err(self.beyond());
        };
        Ok(match self.table.layout {
            Layout::Filed => self.sorted()?.closes(&span),
            Layout::Logged if span.end == self.name.end => vec![span.end],
            Layout::Logged => Vec::new(),
        })
    }

    /// Does what the first frame would wait for, so that it may be done on another thread.
    pub fn prepare(&self) -> Result<(), BadSegment> {
        match self.table.layout {
            Layout::Filed => self.sorted().map(drop),
            Layout::Logged => Ok(()),
        }
    }

    /// The entries that cannot be read, from the first of them to the last; none where all can.
    pub fn damage(&self) -> Option<Range<u64>> {
        match self.table.layout {
            Layout::Filed => Sorted::damage(&self.source, &self.table, &self.name),
            Layout::Logged => {
                let spans = (0..self.frames()).filter_map(|number| {
                    let unpacked = self.content(number);
                    let whole =
                        unpacked.is_ok_and(|(_, count, content)| split(&content, count).is_some());
                    if whole { None } else { self.span(number) }
                });
                let hit: Vec<_> = spans.collect();
                Some(hit.first()?.start..hit.last()?.end)
            }
        }
    }

    /// Holds the whole file against the SHA-256 of its name and that of its footer.
    pub fn verify(&self) -> Result<(), BadSegment> {
        const CHUNK: usize = 1024 * 1024;
        let mut hash = sha::Context::new(&sha::SHA256);
        let mut offset = 0;
        // The footer's own digest covers all before it; both come out of one pass.
        let covered = self.table.length - 32;
        let mut footer = None;
        while offset < self.table.length {
            let bound = if offset < covered {
                covered
            } else {
                self.table.length
            };
            let want = usize::try_from(bound - offset).unwrap_or(CHUNK).min(CHUNK);
            let part = self.source.read(want, offset);
            let part = part.map_err(|source| self.io(source))?;
            hash.update(&part);
            offset += want as u64;
            if offset == covered {
                footer = Some(finished(hash.clone()));
            } else if offset == self.table.length
                && footer
                    .as_ref()
                    .is_none_or(|f| f.as_bytes() != part.as_ref())
            {
                return Err(self.malformed("the sha-256 of its footer is not that of its bytes"));
            }
        }
        if finished(hash) != self.name.digest {
            return Err(BadSegment::Changed(self.path.clone()));
        }
        Ok(())
    }

    /// Reads the entries of the frame `number`, with the index of the first of them.
    pub fn frame(&self, number: usize) -> Result<(u64, Vec<Entry>), BadSegment> {
        let (first, count, content) = self.content(number)?;
        let envelopes = split(&content, count).ok_or_else(|| self.miscounted())?;
        let entries = envelopes.into_iter();
        let entries = entries.map(|envelope| Entry::parse(envelope.to_vec()).ok());
        let entries = entries.collect::<Option<_>>();
        Ok((first, entries.ok_or_else(|| self.miscounted())?))
    }

    /// Unpacks the frame `number`: the index of its first entry, how many there are, and the bytes
    /// that [`super::fields::split`] takes apart.
    pub fn content(&self, number: usize) -> Result<(u64, u32, Vec<u8>), BadSegment> {
        let Some(span) = self.span(number) else {
            return Err(self.beyond());
        };
        let first = span.start;
        if self.table.layout == Layout::Filed {
            let (count, content) = self.sorted()?.content(&span);
            return Ok((first, count, content));
        }
        let Some(frame) = self.table.frames.get(number) else {
            return Err(self.beyond());
        };
        let stored = self.source.read(frame.stored as usize, frame.offset);
        let stored = stored.map_err(|source| self.io(source))?;
        let content = zstd::bulk::decompress(&stored, frame.content as usize)
            .map_err(|_| self.malformed("a frame does not decompress"))?;
        if content.len() != frame.content as usize {
            return Err(self.malformed("a frame is not as long as the table says"));
        }
        Ok((first, frame.entries, content))
    }

    /// What is wrong with a frame that [`super::fields::split`] cannot take apart.
    pub fn miscounted(&self) -> BadSegment {
        self.malformed("a frame does not hold the entries that the table says")
    }

    /// The number of the frame that holds the entry `index`.
    pub fn frame_of(&self, index: u64) -> Option<usize> {
        let mut end = self.name.start;
        if index < end || index >= self.name.end {
            return None;
        }
        match self.table.layout {
            Layout::Filed => Some(usize::try_from(index - end).ok()? / MAX_FRAME_ENTRIES),
            Layout::Logged => self.table.frames.iter().position(|frame| {
                end += u64::from(frame.entries);
                index < end
            }),
        }
    }

    /// The entries of a filed segment; whoever comes meanwhile waits for the one who unpacks it.
    fn sorted(&self) -> Result<Arc<Sorted>, BadSegment> {
        let mut sorted = self.sorted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sorted) = &*sorted {
            return Ok(Arc::clone(sorted));
        }
        let unpacked = Sorted::unpack(&self.source, &self.table, &self.name);
        let unpacked = Arc::new(unpacked.map_err(|unsorted| unsorted.of(&self.path))?);
        *sorted = Some(Arc::clone(&unpacked));
        Ok(unpacked)
    }

    fn beyond(&self) -> BadSegment {
        self.malformed("a frame beyond its table was asked for")
    }

    fn io(&self, source: io::Error) -> BadSegment {
        BadSegment::Io {
            path: self.path.clone(),
            source,
        }
    }

    fn malformed(&self, fault: &'static str) -> BadSegment {
        BadSegment::Malformed {
            path: self.path.clone(),
            fault,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::super::{Builder, FOOTER, HEADER, TABLE_ROW};
    use super::*;
    use affiant_proto::{digest, v1};
    use prost::Message as _;

    fn entry(number: u64, leaf_bytes: usize) -> Entry {
        let message = v1::Envelope {
            statement: format!("statement {number}").into_bytes(),
            leaves: vec![vec![b'x'; leaf_bytes]],
            seed: vec![3; 16],
            totals: None,
        };
        Entry::parse(message.encode_to_vec()).unwrap()
    }

    fn put(entries: &[Entry], start: u64) -> (tempfile::TempDir, SegmentName, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let mut builder = Builder::new(start, 77).unwrap();
        entries
            .iter()
            .for_each(|entry| builder.push(entry).unwrap());
        let (name, file) = builder.finish(5).unwrap();
        fs::write(dir.path().join(name.to_string()), &file).unwrap();
        (dir, name, file)
    }

    #[test]
    fn entries_come_back_in_order_and_each_from_the_frame_that_holds_it() {
        let entries: Vec<_> = (0..600).map(|number| entry(number, 10)).collect();
        let (dir, name, _) = put(&entries, 40);
        let segment = Segment::open(dir.path(), &name).unwrap();
        segment.verify().unwrap();
        assert_eq!((segment.frames(), segment.clock()), (3, 77));
        assert_eq!(segment.revision(), 5);
        let mut read = Vec::new();
        for number in 0..segment.frames() {
            let (first, part) = segment.frame(number).unwrap();
            assert_eq!(first, 40 + read.len() as u64);
            for index in first..first + part.len() as u64 {
                assert_eq!(segment.frame_of(index), Some(number));
            }
            read.extend(part);
        }
        assert_eq!(read, entries);
        assert_eq!((segment.frame_of(39), segment.frame_of(640)), (None, None));
        assert!(segment.frame(3).is_err());
    }

    #[test]
    fn the_largest_envelopes_share_no_frame_beyond_its_limit() {
        let entries: Vec<_> = (0..5).map(|number| entry(number, 2_000_000)).collect();
        let (dir, name, _) = put(&entries, 0);
        let segment = Segment::open(dir.path(), &name).unwrap();
        assert_eq!(segment.frames(), 3);
        assert_eq!(segment.frame(2).unwrap().1.as_slice(), &entries[4..]);
    }

    #[test]
    fn the_name_is_the_sha_256_of_the_file() {
        let (_dir, name, file) = put(&[entry(1, 1)], 0);
        assert_eq!(name.to_string(), format!("0-1-{}.seg", digest(&file)));
        assert_eq!(
            file[file.len() - 32..],
            *digest(&file[..file.len() - 32]).as_bytes()
        );
        assert_eq!(name.to_string().parse(), Ok(name));
    }

    #[test]
    fn a_name_has_one_spelling() {
        let sum = digest(b"x");
        for bad in ["00-1", "0-01", "+0-1", "1-1", "2-1", "0", "0-1-2", "-0-1"] {
            assert!(
                format!("{bad}-{sum}.seg").parse::<SegmentName>().is_err(),
                "{bad}"
            );
        }
        assert!(format!("0-1-{sum}").parse::<SegmentName>().is_err());
    }

    #[test]
    fn every_changed_bit_and_every_cut_of_a_segment_is_seen() {
        let (dir, name, file) = put(&[entry(1, 1), entry(2, 20)], 9);
        let path = dir.path().join(name.to_string());
        let seen = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let on_disk = Segment::open(dir.path(), &name).and_then(|segment| segment.verify());
            let held = Segment::read(path.clone(), &name, bytes.to_vec());
            let held = held.and_then(|segment| segment.verify());
            assert_eq!(held.is_err(), on_disk.is_err());
            held.is_err()
        };
        for at in 0..file.len() {
            assert!(seen(&file[..at]), "cut at {at}");
            for bit in 0..8 {
                let mut changed = file.clone();
                changed[at] ^= 1 << bit;
                assert!(seen(&changed), "bit {bit} of byte {at}");
            }
        }
        assert!(seen(&[file.as_slice(), b"x"].concat()));
        assert!(!seen(&file));
    }

    /// A file that somebody made, named and summed as is right, with other bytes in it.
    fn forge(file: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Result<(), BadSegment> {
        let dir = tempfile::tempdir().unwrap();
        let mut file = file[..file.len() - 32].to_vec();
        change(&mut file);
        let sum = digest(&file);
        file.extend_from_slice(sum.as_bytes());
        let name = SegmentName::new(9, 11, digest(&file)).unwrap();
        fs::write(dir.path().join(name.to_string()), &file).unwrap();
        let segment = Segment::open(dir.path(), &name)?;
        segment.verify()?;
        for number in 0..segment.frames() {
            segment.frame(number)?;
        }
        Ok(())
    }

    #[test]
    fn a_forged_table_gives_an_error_and_never_a_large_allocation() {
        let (_dir, _, file) = put(&[entry(1, 1), entry(2, 20)], 9);
        forge(&file, |_| {}).unwrap();
        let row = file.len() - FOOTER - TABLE_ROW;
        // Every field of the one table row, of the footer and of the header, at its extremes.
        let fields = [
            (row, 8),
            (row + 8, 4),
            (row + 12, 4),
            (row + 16, 4),
            (row + 20, 8),
            (row + 28, 4),
        ];
        let header = [(0, 8), (8, 8), (16, 8)];
        for (at, length) in fields.into_iter().chain(header) {
            for value in [0x00, 0x7f, 0xff] {
                if file[at..at + length].iter().all(|byte| *byte == value) {
                    continue;
                }
                let forged = forge(&file, |file| file[at..at + length].fill(value));
                assert!(forged.is_err(), "{length} bytes at {at} set to {value:#x}");
            }
        }
    }

    #[test]
    fn a_frame_that_unpacks_to_more_than_it_says_is_refused() {
        let (_dir, _, file) = put(&[entry(1, 1), entry(2, 20)], 9);
        let bomb = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 3).unwrap();
        let refused = forge(&file, |file| {
            let row = file.len() - 12 - TABLE_ROW;
            let mut table = file.split_off(row);
            file.truncate(HEADER);
            file.extend_from_slice(&bomb);
            table[8..12].copy_from_slice(&u32::try_from(bomb.len()).unwrap().to_be_bytes());
            let end = file.len() as u64;
            table[TABLE_ROW..TABLE_ROW + 8].copy_from_slice(&end.to_be_bytes());
            file.extend_from_slice(&table);
        });
        let fault = refused.unwrap_err().to_string();
        assert!(fault.contains("a frame does not decompress"), "{fault}");
    }
}
