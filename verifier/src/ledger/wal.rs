//! The write-ahead file: what was accepted and is not yet in a segment that the lock names.
//!
//! Trusted no more than segments are: what it holds is admitted again before it is closed into a
//! segment. Whoever can write here can take back what was never INCLUDED, and nothing else.
//!
//! # Format
//!
//! All integers are big-endian and unsigned; a CRC is CRC-32 (IEEE), each begun over the salt.
//!
//! ```text
//! file:   8 magic and version "AFFWAL" 00 01 · 16 salt · 4 CRC of the 8 bytes before the salt
//! group:  4 magic "GRUP" · 4 bytes of content · 8 index of the first entry · 8 writer's clock ·
//!         4 entries · 4 CRC of the content · 4 CRC of the 32 bytes before · content
//! ```
//!
//! The content is, for each entry, 4 bytes of length and the encoded `Envelope`. Groups follow each
//! other in the log and in the file. The salt is random and never leaves this file, so that nobody
//! can send an envelope in which a group seems to begin.
//!
//! # Torn or damaged
//!
//! One group is written and synced before the next is begun. So only the last can be torn, and it
//! was then never answered: it is cut. Where anything that begins a group follows one that does not
//! check, that one was synced once and has been changed since: that is damage, and refused.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use affiant_report::segment::{
    Entry, MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES,
    fields::{Cursor, length, read_entries, stored_size, write_entry},
};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::disk::{self, Access, Disk};

const MAGIC: &[u8; 8] = b"AFFWAL\x00\x01";
const SALT: usize = 16;
const FILE_HEADER: usize = 8 + SALT + 4;

const GROUP_MAGIC: &[u8; 4] = b"GRUP";
const GROUP_HEADER: usize = 36;

/// Most bytes of the file: one segment's content, 64 MiB, in groups of one entry each with 36 bytes
/// of header (2^17 · 36 = 4.5 MiB). It is cut before the next segment's entries come.
const MAX_WAL_BYTES: usize = MAX_SEGMENT_BYTES + MAX_SEGMENT_ENTRIES * GROUP_HEADER + FILE_HEADER;

/// Entries that were appended together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) start: u64,
    pub(super) clock: u64,
    pub(super) entries: Vec<Entry>,
}

impl Group {
    /// Index after the last entry.
    pub(super) fn end(&self) -> u64 {
        self.start + self.entries.len() as u64
    }
}

/// What a write-ahead file holds.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) groups: Vec<Group>,
    /// The bytes of a last group that was never wholly written.
    pub(super) torn: Vec<u8>,
}

impl Tail {
    /// Tells whether all groups together make a segment that begins later than `clock`.
    pub(super) fn fits_a_segment_after(&self, clock: u64) -> bool {
        let entries = || self.groups.iter().flat_map(|group| &group.entries);
        entries().count() <= MAX_SEGMENT_ENTRIES
            && entries().map(stored_size).sum::<usize>() <= MAX_SEGMENT_BYTES
            && self.groups.first().is_none_or(|group| group.clock > clock)
    }
}

/// Why a write-ahead file cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadWal {
    /// It could not be read.
    #[error("write-ahead file {path} cannot be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is none.
    #[error("write-ahead file {0} is missing, and with it what was accepted last; put it back")]
    Missing(PathBuf),
    /// Its first bytes are not those of a write-ahead file.
    #[error("write-ahead file {0} does not begin as one of version 1; restore it")]
    Header(PathBuf),
    /// A group before the last does not check.
    #[error("write-ahead file {path} is damaged at byte {offset}, with more after it; restore it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged group begins.
        offset: usize,
    },
    /// A group that does not follow the one before, or the lock.
    #[error(
        "write-ahead file {path} goes on at entry {found} where {due} is due; lock and file are \
         not of one time, restore the newer of each"
    )]
    Gap {
        /// The file.
        path: PathBuf,
        /// The index due.
        due: u64,
        /// The index found.
        found: u64,
    },
    /// More than one segment holds, or not later than the newest segment.
    #[error("write-ahead file {0} holds what no segment could take; restore it")]
    NoSegment(PathBuf),
}

/// The write-ahead file, open for appending.
#[derive(Debug)]
pub(super) struct Wal {
    file: File,
    salt: [u8; SALT],
    disk: Arc<dyn Disk>,
}

impl Wal {
    /// Makes the file anew with just these groups, durably, under a fresh salt.
    ///
    /// Also what a crash left is written again this way: after a failed fdatasync the kernel may
    /// show bytes that are on no disk.
    pub(super) fn start(path: &Path, disk: Arc<dyn Disk>, groups: &[Group]) -> io::Result<Self> {
        let mut salt = [0; SALT];
        SystemRandom::new()
            .fill(&mut salt)
            .map_err(|_| io::Error::other("the system gave no random bytes"))?;
        let mut bytes = file_header(&salt);
        for group in groups {
            bytes.extend(group_bytes(
                &salt,
                group.start,
                group.clock,
                &group.entries,
            )?);
        }
        disk.replace(path, &bytes, Access::Private)?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self { file, salt, disk })
    }

    /// Appends a group; not durable before [`Wal::sync`].
    pub(super) fn append(&mut self, start: u64, clock: u64, entries: &[Entry]) -> io::Result<()> {
        let bytes = group_bytes(&self.salt, start, clock, entries)?;
        self.disk.append(&mut self.file, &bytes)
    }

    /// Makes all that was appended durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.sync(&self.file)
    }

    /// Forgets all groups, durably.
    pub(super) fn reset(&self) -> io::Result<()> {
        self.disk.cut(&self.file, FILE_HEADER as u64)
    }
}

/// Reads what the file at `path` holds beyond the first `size` entries, which segments hold.
pub(super) fn read(path: &Path, size: u64) -> Result<Tail, BadWal> {
    let bytes = match disk::read(path, MAX_WAL_BYTES) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(BadWal::Missing(path.to_owned())),
        Err(source) => {
            let path = path.to_owned();
            return Err(BadWal::Io { path, source });
        }
    };
    let (groups, torn) = parse(&bytes).map_err(|fault| match fault {
        Fault::Header => BadWal::Header(path.to_owned()),
        Fault::Damaged(offset) => BadWal::Damaged {
            path: path.to_owned(),
            offset,
        },
    })?;
    // A crash after the swap and before the file was cut leaves groups that a segment holds.
    let first = groups.first().map_or(size, |group| group.start);
    let mut due = first.min(size);
    for group in &groups {
        let straddles = group.start < size && group.end() > size;
        if group.start != due || straddles {
            return Err(BadWal::Gap {
                path: path.to_owned(),
                due: if straddles { size } else { due },
                found: group.start,
            });
        }
        due = group.end();
    }
    // A segment takes all groups at once, so what it holds of them ends where the lock stands.
    if !groups.is_empty() && due < size {
        return Err(BadWal::Gap {
            path: path.to_owned(),
            due: size,
            found: due,
        });
    }
    Ok(Tail {
        groups: groups
            .into_iter()
            .filter(|group| group.start >= size)
            .collect(),
        torn: torn.to_vec(),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Header,
    Damaged(usize),
}

/// Reads bytes as such a file: for fuzz targets.
pub(super) fn read_any(bytes: &[u8]) {
    if let Ok((groups, torn)) = parse(bytes) {
        debug_assert!(torn.len() <= bytes.len() && groups.len() <= bytes.len());
    }
}

fn parse(bytes: &[u8]) -> Result<(Vec<Group>, &[u8]), Fault> {
    let mut cursor = Cursor(bytes);
    let (magic, salt, crc) = (cursor.take::<8>(), cursor.take::<SALT>(), cursor.u32());
    let (Some(magic), Some(salt), Some(crc)) = (magic, salt, crc) else {
        return Err(Fault::Header);
    };
    if magic != *MAGIC || crc != salted_crc(&salt, &magic) {
        return Err(Fault::Header);
    }
    let mut groups = Vec::new();
    let mut rest = cursor.0;
    while !rest.is_empty() {
        let offset = bytes.len() - rest.len();
        match piece(&salt, rest) {
            Piece::Whole(group, after) => {
                groups.push(group);
                rest = after;
            }
            Piece::Torn if !follows(&salt, rest) => break,
            Piece::Torn | Piece::Damaged => return Err(Fault::Damaged(offset)),
        }
    }
    Ok((groups, rest))
}

/// Tells whether a group begins anywhere after the first byte of `bytes`.
fn follows(salt: &[u8; SALT], bytes: &[u8]) -> bool {
    bytes
        .windows(GROUP_HEADER)
        .skip(1)
        .any(|window| window.starts_with(GROUP_MAGIC) && header(salt, window).is_some())
}

struct GroupHeader {
    content: usize,
    start: u64,
    clock: u64,
    entries: u32,
    crc: u32,
}

fn header(salt: &[u8; SALT], bytes: &[u8]) -> Option<GroupHeader> {
    let covered = bytes.get(..GROUP_HEADER - 4)?;
    let mut cursor = Cursor(bytes);
    cursor.take::<4>().filter(|magic| magic == GROUP_MAGIC)?;
    let header = GroupHeader {
        content: cursor.u32()? as usize,
        start: cursor.u64()?,
        clock: cursor.u64()?,
        entries: cursor.u32()?,
        crc: cursor.u32()?,
    };
    (cursor.u32()? == salted_crc(salt, covered)).then_some(header)
}

enum Piece<'a> {
    Whole(Group, &'a [u8]),
    /// What a crash while it was written may leave, if nothing follows.
    Torn,
    /// What no crash leaves.
    Damaged,
}

fn piece<'a>(salt: &[u8; SALT], bytes: &'a [u8]) -> Piece<'a> {
    let Some(header) = header(salt, bytes) else {
        return Piece::Torn;
    };
    let whole = bytes
        .get(GROUP_HEADER..)
        .and_then(|bytes| bytes.split_at_checked(header.content));
    let Some((content, rest)) = whole else {
        return Piece::Torn;
    };
    if salted_crc(salt, content) != header.crc {
        return match rest {
            [] => Piece::Torn,
            _ => Piece::Damaged,
        };
    }
    match read_entries(content, header.entries) {
        Some(entries) if header.start.checked_add(entries.len() as u64).is_some() => {
            let (start, clock) = (header.start, header.clock);
            Piece::Whole(
                Group {
                    start,
                    clock,
                    entries,
                },
                rest,
            )
        }
        _ => Piece::Damaged,
    }
}

fn file_header(salt: &[u8; SALT]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FILE_HEADER);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(salt);
    bytes.extend_from_slice(&salted_crc(salt, MAGIC).to_be_bytes());
    bytes
}

fn group_bytes(
    salt: &[u8; SALT],
    start: u64,
    clock: u64,
    entries: &[Entry],
) -> io::Result<Vec<u8>> {
    let mut content = Vec::with_capacity(entries.iter().map(stored_size).sum());
    for entry in entries {
        write_entry(&mut content, entry)?;
    }
    let mut bytes = Vec::with_capacity(GROUP_HEADER + content.len());
    bytes.extend_from_slice(GROUP_MAGIC);
    bytes.extend_from_slice(&length(content.len())?.to_be_bytes());
    bytes.extend_from_slice(&start.to_be_bytes());
    bytes.extend_from_slice(&clock.to_be_bytes());
    bytes.extend_from_slice(&length(entries.len())?.to_be_bytes());
    bytes.extend_from_slice(&salted_crc(salt, &content).to_be_bytes());
    let crc = salted_crc(salt, &bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes.extend_from_slice(&content);
    Ok(bytes)
}

fn salted_crc(salt: &[u8; SALT], bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(salt);
    crc.update(bytes);
    crc.finalize()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ledger::disk::LocalDisk;
    use affiant_proto::v1;
    use prost::Message as _;

    const SALT_USED: [u8; SALT] = [9; SALT];

    fn entry(statement: &[u8]) -> Entry {
        let message = v1::Envelope {
            statement: statement.to_vec(),
            ..v1::Envelope::default()
        };
        Entry::parse(message.encode_to_vec()).unwrap()
    }

    fn groups() -> Vec<Group> {
        [(5, 2), (7, 1), (8, 3)]
            .map(|(start, count)| Group {
                start,
                clock: 100 + start,
                entries: (start..start + count)
                    .map(|n| entry(&n.to_be_bytes()))
                    .collect(),
            })
            .to_vec()
    }

    fn file_of(groups: &[Group]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = file_header(&SALT_USED);
        let mut ends = vec![bytes.len()];
        for group in groups {
            bytes
                .extend(group_bytes(&SALT_USED, group.start, group.clock, &group.entries).unwrap());
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn a_tail_torn_at_any_byte_loses_only_the_group_that_was_torn() {
        let (bytes, ends) = file_of(&groups());
        for cut in ends[0]..=bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let (read, torn) = parse(&bytes[..cut]).unwrap();
            assert_eq!(read, groups()[..whole], "cut at {cut}");
            assert_eq!(torn.len(), cut - ends[whole], "cut at {cut}");
        }
        for cut in 0..ends[0] {
            assert_eq!(
                parse(&bytes[..cut]).unwrap_err(),
                Fault::Header,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_last_group_of_which_any_page_is_missing_is_torn_and_not_damage() {
        let (bytes, ends) = file_of(&groups());
        for from in ends[2]..bytes.len() {
            for to in [from + 1, bytes.len()] {
                let mut holed = bytes.clone();
                holed[from..to].fill(0);
                if holed != bytes {
                    assert_eq!(parse(&holed).unwrap().0, groups()[..2], "{from}..{to}");
                }
            }
        }
    }

    #[test]
    fn every_changed_bit_before_the_last_group_is_refused() {
        let (bytes, ends) = file_of(&groups());
        for at in 0..ends[2] {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let found = parse(&changed).unwrap_err();
                match at < ends[0] {
                    true => assert_eq!(found, Fault::Header, "bit {bit} of byte {at}"),
                    false => assert!(matches!(found, Fault::Damaged(_)), "bit {bit} of byte {at}"),
                }
            }
        }
    }

    #[test]
    fn a_changed_bit_of_the_last_group_never_gives_another_group() {
        let (bytes, ends) = file_of(&groups());
        for at in ends[2]..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                match parse(&changed) {
                    Ok((read, _)) => assert_eq!(read, groups()[..2], "bit {bit} of byte {at}"),
                    Err(fault) => assert_eq!(fault, Fault::Damaged(ends[2])),
                }
            }
        }
    }

    #[test]
    fn an_envelope_that_spells_a_group_cannot_pass_for_one() {
        let spelled = group_bytes(&[0; SALT], 99, 1, &[entry(b"forged")]).unwrap();
        let mut groups = groups();
        groups[2].entries = vec![entry(&spelled)];
        let (bytes, ends) = file_of(&groups);
        // Torn so that the forged group stands whole behind a head that is gone.
        let mut torn = bytes.clone();
        torn[ends[2]..ends[2] + GROUP_HEADER].fill(0);
        assert_eq!(parse(&torn).unwrap().0, groups[..2]);
    }

    #[test]
    fn what_was_appended_is_read_back_and_forgotten_on_reset() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wal");
        let groups = groups();
        let mut wal = Wal::start(&path, Arc::new(LocalDisk), &groups[..1]).unwrap();
        for group in &groups[1..] {
            wal.append(group.start, group.clock, &group.entries)
                .unwrap();
        }
        wal.sync().unwrap();
        assert_eq!(read(&path, 5).unwrap().groups, groups);
        wal.reset().unwrap();
        wal.append(11, 1, &[entry(b"next")]).unwrap();
        let tail = read(&path, 11).unwrap();
        assert_eq!((tail.groups.len(), tail.groups[0].start), (1, 11));
    }

    #[test]
    fn groups_that_a_segment_holds_are_passed_over_and_gaps_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wal");
        fs::write(&path, file_of(&groups()).0).unwrap();
        assert_eq!(read(&path, 8).unwrap().groups, groups()[2..]);
        assert_eq!(read(&path, 11).unwrap().groups, []);
        for size in [4, 6, 9, 10, 12, 99] {
            let found = read(&path, size);
            assert!(
                matches!(found, Err(BadWal::Gap { .. })),
                "size {size}: {found:?}"
            );
        }
        fs::write(&path, file_of(&[groups().remove(0), groups().remove(2)]).0).unwrap();
        assert!(matches!(
            read(&path, 5),
            Err(BadWal::Gap {
                due: 7,
                found: 8,
                ..
            })
        ));
        assert!(matches!(
            read(&dir.path().join("none"), 5),
            Err(BadWal::Missing(_))
        ));
    }
}
