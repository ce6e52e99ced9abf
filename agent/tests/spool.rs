//! The spool on a disk: crashes, damage, budgets.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use affiant_agent::spool::{
    AppendError, Cursor, Limits, MAX_SEGMENT, Relief, Shorten, Spool, SpoolError, look, look_at,
};

const HOUR: Duration = Duration::from_secs(3_600);

const LIMITS: Limits = Limits {
    max_bytes: 1 << 30,
    keep: HOUR,
    max_age: None,
    reserve: None,
};

fn record(sequence: u64) -> Vec<u8> {
    format!("record {sequence}").into_bytes()
}

fn records(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    range.map(record).collect()
}

fn cursor(sequence: u64) -> Cursor {
    Cursor {
        sequence,
        index: sequence * 10,
        checkpoint: "a note\n".into(),
    }
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "spool"))
        .collect();
    paths.sort();
    paths
}

fn all(spool: &mut Spool) -> Vec<u64> {
    let Some((first, last)) = spool.status().range else {
        return Vec::new();
    };
    let mut out: Vec<u64> = Vec::new();
    let mut next = first;
    while next <= last {
        for (sequence, bytes) in spool.read(next, 20).unwrap() {
            assert_eq!(bytes, record(sequence));
            out.push(sequence);
            next = sequence + 1;
        }
    }
    out
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_everything_synced_before_it_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut spool = Spool::open(&path, LIMITS).unwrap();
    spool.append(0, &records(0..3)).unwrap();
    let segment = segments(&path).remove(0);
    let synced = fs::metadata(&segment).unwrap().len();
    spool.append(3, &records(3..6)).unwrap();
    drop(spool);
    let whole = fs::read(&segment).unwrap();
    for end in synced..whole.len() as u64 {
        let end = usize::try_from(end).unwrap();
        // The file ends early, or has its length and zeros where the data never came.
        let mut zeroed = whole.clone();
        zeroed[end..].fill(0);
        for torn in [whole[..end].to_vec(), zeroed] {
            fs::write(&segment, &torn).unwrap();
            assert_eq!(look(&path).unwrap().range, Some((0, 2)), "torn at {end}");
            let mut spool = Spool::open(&path, LIMITS).unwrap();
            assert_eq!(spool.last(), Some(2), "torn at {end}");
            spool.append(3, &records(3..4)).unwrap();
            assert_eq!(all(&mut spool), [0, 1, 2, 3]);
        }
    }
}

#[test]
fn a_segment_torn_while_it_was_made_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    drop(Spool::open(&path, LIMITS).unwrap());
    for length in 0..36 {
        fs::write(path.join(format!("{:020}.spool", 0)), vec![0; length]).unwrap();
        let mut spool = Spool::open(&path, LIMITS).unwrap();
        assert_eq!(spool.last(), None);
        spool.append(0, &records(0..1)).unwrap();
        assert_eq!(all(&mut spool), [0]);
        drop(spool);
        fs::remove_file(&segments(&path)[0]).unwrap();
    }
}

#[test]
fn a_changed_byte_before_the_tail_is_refused_with_file_offset_and_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut spool = Spool::open(&path, LIMITS).unwrap();
    spool.append(0, &records(0..3)).unwrap();
    let segment = segments(&path).remove(0);
    let first = usize::try_from(fs::metadata(&segment).unwrap().len()).unwrap();
    spool.append(3, &records(3..4)).unwrap();
    drop(spool);
    let whole = fs::read(&segment).unwrap();
    for at in 0..first {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&segment, &changed).unwrap();
        let refused = Spool::open(&path, LIMITS).map(drop).unwrap_err();
        assert!(
            matches!(refused, SpoolError::Corrupt { .. }),
            "byte {at}: {refused}"
        );
        let text = refused.to_string();
        assert!(
            text.contains(segment.to_str().unwrap()) && text.contains("restore"),
            "{text}"
        );
        assert_eq!(
            fs::read(&segment).unwrap(),
            changed,
            "evidence is left as it is"
        );
    }
}

#[test]
fn a_lost_record_that_the_log_has_is_not_taken_for_a_torn_tail() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut spool = Spool::open(&path, LIMITS).unwrap();
    spool.append(0, &records(0..3)).unwrap();
    spool.append(3, &records(3..4)).unwrap();
    spool.included(cursor(3), SystemTime::now()).unwrap();
    drop(spool);
    let segment = segments(&path).remove(0);
    let whole = fs::read(&segment).unwrap();
    fs::write(&segment, &whole[..whole.len() - 1]).unwrap();
    let refused = Spool::open(&path, LIMITS).map(drop).unwrap_err();
    assert!(
        matches!(refused, SpoolError::Behind { included: 3, .. }),
        "{refused}"
    );
    fs::remove_file(&segment).unwrap();
    let refused = Spool::open(&path, LIMITS).map(drop).unwrap_err();
    assert!(
        matches!(refused, SpoolError::Behind { included: 3, .. }),
        "{refused}"
    );
}

#[test]
fn records_come_back_from_any_sequence_in_order_and_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(&directory.path().join("spool"), LIMITS).unwrap();
    let mut next = 0;
    for length in [1, 5, 2, 9, 1, 1, 30] {
        spool.append(next, &records(next..next + length)).unwrap();
        next += length;
    }
    assert_eq!(all(&mut spool), (0..next).collect::<Vec<_>>());
    // Backwards, so that where the reader was last is no help.
    for from in (0..next).rev() {
        let read = spool.read(from, 1).unwrap();
        assert_eq!(read, [(from, record(from))]);
    }
    assert_eq!(spool.read(next, 1).unwrap(), []);
}

#[test]
fn sequences_that_do_not_come_next_are_not_appended() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(&directory.path().join("spool"), LIMITS).unwrap();
    spool.append(0, &records(0..2)).unwrap();
    for first in [0, 1, 3] {
        let refused = spool.append(first, &records(first..first + 1));
        assert!(matches!(refused, Err(AppendError::Unfit { due: 2, .. })));
    }
    let refused = spool.append(2, &[]);
    assert!(matches!(refused, Err(AppendError::Unfit { .. })));
    assert_eq!(all(&mut spool), [0, 1]);
}

/// Fills segments with records of 1 MiB; gives how many records there are.
fn fill(spool: &mut Spool, records: u64) {
    let next = spool.last().map_or(0, |last| last + 1);
    for sequence in next..next + records {
        spool.append(sequence, &[vec![7; 1 << 20]]).unwrap();
    }
}

#[test]
fn included_segments_go_when_they_are_old_enough_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut spool = Spool::open(&path, LIMITS).unwrap();
    fill(&mut spool, 30);
    spool.keep_from(30);
    let made = segments(&path);
    assert!(made.len() >= 4);
    for segment in &made {
        assert!(fs::metadata(segment).unwrap().len() <= MAX_SEGMENT);
    }
    // However old the records themselves are: a backlog is sent after days.
    let now = SystemTime::now() + 100 * HOUR;
    let later = |hours: u32| now + hours * HOUR;
    spool.included(cursor(10), now).unwrap();
    assert_eq!(segments(&path), made, "none is old enough");
    spool.included(cursor(11), later(2)).unwrap();
    assert_eq!(
        segments(&path),
        made[1..],
        "the second was not INCLUDED whole"
    );
    spool.keep_from(8);
    spool.included(cursor(28), later(4)).unwrap();
    spool.included(cursor(29), later(6)).unwrap();
    assert_eq!(segments(&path), made[1..], "the next start needs record 8");
    drop(spool);
    let mut spool = Spool::open(&path, LIMITS).unwrap();
    spool.keep_from(29);
    spool
        .included(
            Cursor {
                checkpoint: "newer".into(),
                ..cursor(29)
            },
            later(8),
        )
        .unwrap();
    assert_eq!(segments(&path), made[made.len() - 1..], "the last stays");
    drop(spool);
    let spool = Spool::open(&path, LIMITS).unwrap();
    assert_eq!(spool.last(), Some(29));
    assert_eq!(spool.cursor().unwrap().checkpoint, "newer");
}

#[test]
fn a_full_spool_lets_go_of_included_records_first_and_never_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let limits = Limits {
        max_bytes: 20 << 20,
        keep: HOUR,
        max_age: None,
        reserve: None,
    };
    let mut spool = Spool::open(&path, limits).unwrap();
    spool.keep_from(100);
    fill(&mut spool, 19);
    let full = spool.append(19, &[vec![7; 1 << 20]]).unwrap_err();
    assert!(matches!(full, AppendError::Full { .. }), "{full}");
    assert_eq!(spool.last(), Some(18));
    spool.included(cursor(7), SystemTime::now()).unwrap();
    spool.append(19, &[vec![7; 1 << 20]]).unwrap();
    let status = spool.status();
    assert!(status.bytes <= limits.max_bytes);
    let (first, last) = status.range.unwrap();
    assert!(first <= 8, "record 8 is not INCLUDED");
    assert_eq!(
        (last, status.waiting(), status.oldest_waiting()),
        (19, 12, Some(8))
    );
}

#[test]
fn a_missing_segment_and_a_foreign_file_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut spool = Spool::open(&path, LIMITS).unwrap();
    fill(&mut spool, 20);
    drop(spool);
    let foreign = path.join("1.spool");
    fs::write(&foreign, b"").unwrap();
    let refused = Spool::open(&path, LIMITS).map(drop).unwrap_err();
    assert!(matches!(refused, SpoolError::Foreign(_)), "{refused}");
    fs::remove_file(foreign).unwrap();
    fs::remove_file(&segments(&path)[1]).unwrap();
    let refused = Spool::open(&path, LIMITS).map(drop).unwrap_err();
    assert!(matches!(refused, SpoolError::Missing { .. }), "{refused}");
}

#[test]
fn another_process_may_look_while_records_are_appended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut spool = Spool::open(&path, LIMITS).unwrap();
    assert_eq!(look(&path).unwrap().range, None);
    spool.append(0, &records(0..3)).unwrap();
    spool.included(cursor(1), SystemTime::now()).unwrap();
    let seen = look(&path).unwrap();
    assert_eq!(seen, spool.status());
    assert_eq!((seen.waiting(), seen.oldest_waiting()), (1, Some(2)));
    assert_eq!(look_at(&path, 2).unwrap().unwrap(), record(2));
    assert_eq!(look_at(&path, 3).unwrap(), None);
}

#[test]
fn a_cursor_that_does_not_read_is_named_with_its_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    drop(Spool::open(&path, LIMITS).unwrap());
    fs::write(path.join("cursor"), b"{").unwrap();
    let refused = Spool::open(&path, LIMITS)
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("cursor") && refused.contains("remove it"),
        "{refused}"
    );
}

#[test]
fn a_cursor_that_cannot_be_written_still_makes_room() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut spool = Spool::open(&path, LIMITS).unwrap();
    fill(&mut spool, 20);
    spool.keep_from(20);
    let made = segments(&path);
    // A directory in the way of the temporary file, as good as a disk without room.
    fs::create_dir(path.join("cursor.tmp")).unwrap();
    let now = SystemTime::now();
    assert!(spool.included(cursor(18), now).is_err());
    let later = now + HOUR + HOUR;
    assert!(spool.included(cursor(19), later).is_err());
    assert!(segments(&path).len() < made.len());
    fs::remove_dir(path.join("cursor.tmp")).unwrap();
    drop(spool);
    let mut spool = Spool::open(&path, LIMITS).unwrap();
    assert_eq!((spool.last(), spool.cursor()), (Some(19), None));
    spool.included(cursor(19), later).unwrap();
    assert_eq!(look(&path).unwrap().waiting(), 0);
}

#[test]
fn a_backlog_is_read_but_once_wherever_the_reader_stops() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut spool = Spool::open(&path, LIMITS).unwrap();
    for sequence in 0..100 {
        spool
            .append(sequence, &records(sequence..sequence + 1))
            .unwrap();
    }
    assert_eq!(spool.read(49, 1).unwrap(), [(49, record(49))]);
    // Whoever reads this frame again stumbles.
    let segment = segments(&path).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[60] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    for sequence in 50..100 {
        assert_eq!(
            spool.read(sequence, 1).unwrap(),
            [(sequence, record(sequence))]
        );
    }
    assert!(matches!(spool.read(49, 1), Err(SpoolError::Corrupt { .. })));
}

#[test]
fn lines_that_nobody_took_go_when_they_are_as_old_as_they_may_get() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let limits = Limits {
        max_age: Some(48 * HOUR),
        ..LIMITS
    };
    let mut spool = Spool::open(&path, limits).unwrap();
    fill(&mut spool, 20);
    let shorten: Shorten = |entry| (entry.len() > 9).then(|| entry[..9].to_vec());
    let later = |hours: u32| SystemTime::now() + hours * HOUR;
    assert!(spool.relief(later(47), shorten).unwrap().is_none());
    let mut short = Vec::new();
    while let Some(relief) = spool.relief(later(49), shorten).unwrap() {
        let Relief::Lines(shortened) = relief else {
            panic!("{relief:?}");
        };
        short.push(shortened.range);
        spool.put(shortened).unwrap();
    }
    assert_eq!(
        short,
        [(0, 6), (7, 13)],
        "the last segment is still written to"
    );
    drop(spool);
    let mut spool = Spool::open(&path, limits).unwrap();
    assert!(
        spool.relief(later(49), shorten).unwrap().is_none(),
        "once is enough"
    );
    assert_eq!(spool.read(3, 1).unwrap(), [(3, vec![7; 9])]);
    assert_eq!(spool.read(14, 1).unwrap(), [(14, vec![7; 1 << 20])]);
}
