//! Header, table and footer of a segment, where its bytes lie.

use std::{borrow::Cow, fs::File, io, os::unix::fs::FileExt as _};

use super::{
    FOOTER, Frame, HEADER, Layout, MAX_FILE_BYTES, MAX_FRAME_BYTES, MAX_FRAMES,
    MAX_SEGMENT_ENTRIES, SegmentName, TABLE_ROW, fields::Cursor,
};

/// Where a segment's bytes are had.
#[derive(Debug)]
pub(super) enum Source {
    File(File),
    Memory(Vec<u8>),
}

impl Source {
    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    pub(super) fn read(&self, length: usize, offset: u64) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::File(file) => {
                let mut out = vec![0; length];
                file.read_exact_at(&mut out, offset)?;
                Ok(out.into())
            }
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).ok();
                let range = start.and_then(|start| Some(start..start.checked_add(length)?));
                let part = range.and_then(|range| bytes.get(range));
                part.map(Into::into)
                    .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}

/// Why they do not hold together.
pub(super) enum Fault {
    Io(io::Error),
    Malformed(&'static str),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What they say.
#[derive(Debug)]
pub(super) struct Table {
    /// Bytes of the file.
    pub(super) length: u64,
    pub(super) layout: Layout,
    pub(super) clock: u64,
    pub(super) revision: u64,
    pub(super) frames: Vec<Frame>,
}

/// Reads header, footer and table; every number in them is bounded before it is used.
pub(super) fn read(file: &Source, name: &SegmentName) -> Result<Table, Fault> {
    let malformed = |fault| Err(Fault::Malformed(fault));
    let length = file.len()?;
    if length < (HEADER + FOOTER) as u64 {
        return malformed("it is shorter than its header and footer");
    }
    if length > MAX_FILE_BYTES {
        return malformed("it is longer than a segment may be");
    }
    let header = file.read(HEADER, 0)?;
    let mut header = Cursor(&header);
    let Some(layout) = header.take::<8>().and_then(|magic| Layout::of(&magic)) else {
        return malformed("it does not begin as a segment of a layout that this reader knows");
    };
    let (Some(start), Some(end), Some(clock), Some(revision)) =
        (header.u64(), header.u64(), header.u64(), header.u64())
    else {
        return malformed("its header is cut off");
    };
    if (start, end) != (name.start, name.end) {
        return malformed("its range is not that of its name");
    }
    if layout == Layout::Filed && end - start > MAX_SEGMENT_ENTRIES as u64 {
        return malformed("it has more entries than a segment may have");
    }
    let footer = file.read(FOOTER, length - FOOTER as u64)?;
    let mut footer = Cursor(&footer);
    let (Some(table), Some(count)) = (footer.u64(), footer.u32()) else {
        return malformed("its footer is cut off");
    };
    let count = count as usize;
    if count > MAX_FRAMES {
        return malformed("it has more frames than a segment may have");
    }
    let rows = count * TABLE_ROW;
    if table.checked_add((rows + FOOTER) as u64) != Some(length) {
        return malformed("its table does not lie between frames and footer");
    }
    let bytes = file.read(rows, table)?;
    let frames = read_rows(&bytes, table, end - start, layout)?;
    Ok(Table {
        length,
        layout,
        clock,
        revision,
        frames,
    })
}

fn read_rows(bytes: &[u8], table: u64, entries: u64, layout: Layout) -> Result<Vec<Frame>, Fault> {
    let malformed = |fault| Err(Fault::Malformed(fault));
    let mut cursor = Cursor(bytes);
    let mut frames = Vec::with_capacity(bytes.len() / TABLE_ROW);
    let (mut offset, mut seen) = (HEADER as u64, 0_u64);
    while let (Some(at), Some(stored), Some(content), Some(entries)) =
        (cursor.u64(), cursor.u32(), cursor.u32(), cursor.u32())
    {
        if at != offset {
            return malformed("its frames do not follow each other");
        }
        if content as usize > MAX_FRAME_BYTES
            || entries == 0
            || entries as usize > layout.frame_entries()
        {
            return malformed("a frame is larger than a frame may be");
        }
        offset = at.saturating_add(u64::from(stored));
        if offset > table {
            return malformed("a frame reaches into the table");
        }
        seen += u64::from(entries);
        frames.push(Frame {
            offset: at,
            stored,
            content,
            entries,
        });
    }
    if offset != table || seen != entries {
        return malformed("its frames do not add up to its range");
    }
    Ok(frames)
}
