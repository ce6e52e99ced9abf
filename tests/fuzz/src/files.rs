//! Files that readers, auditors and the verifier get from elsewhere.

use std::path::PathBuf;

use affiant_judge::{
    devices::DeviceTable,
    policy::{Facts, Pack},
    screening::{Aliases, Class, Name, Screener, Subject, compare, import, read_pairs},
};
use affiant_proto::tlog::{OfflineProof, Tile};
use affiant_report::{
    Trust,
    document::Claim,
    head::Head,
    segment::{Segment, SegmentName, blocks},
};

/// An offline proof: what is read is written as the same bytes.
pub fn offline_proof(bytes: &[u8]) {
    if let Ok(read) = OfflineProof::parse(bytes) {
        assert_eq!(read.to_string().as_bytes(), bytes);
    }
}

/// The contents of a tile: every hash that is asked of it lies in it.
pub fn tile(bytes: &[u8]) {
    let Ok(tile) = Tile::parse(bytes) else {
        return;
    };
    let joined: Vec<u8> = tile
        .hashes()
        .iter()
        .flat_map(|hash| *hash.as_bytes())
        .collect();
    assert_eq!(joined, bytes);
    for (level, index) in [(0, 0), (1, 1), (7, 1), (3, 31), (0, 255), (8, 0)] {
        let place = affiant_proto::tlog::node_place(level, index).unwrap();
        let reaches = usize::from(place.first) + usize::from(place.count) <= tile.hashes().len();
        assert_eq!(tile.node(&place).is_some(), reaches);
    }
}

/// A segment under the name that its bytes would have: what is read of it is bounded.
pub fn segment(bytes: &[u8]) {
    let number = |at: usize| {
        let field = bytes
            .get(at..at + 8)
            .and_then(|field| field.try_into().ok());
        u64::from_be_bytes(field.unwrap_or_default())
    };
    let digest = affiant_proto::digest(bytes);
    let name = format!("{}-{}-{digest}.seg", number(8), number(16));
    let Ok(name) = name.parse::<SegmentName>() else {
        return;
    };
    let Ok(read) = Segment::read(PathBuf::new(), &name, bytes.to_vec()) else {
        return;
    };
    let _ = read.verify();
    let mut due = name.start();
    for number in 0..read.frames() {
        let Ok((first, entries)) = read.frame(number) else {
            return;
        };
        assert_eq!(first, due);
        assert!((1..=256).contains(&entries.len()));
        let span = first..first + entries.len() as u64;
        assert_eq!(read.span(number), Some(span.clone()));
        let closes = read.closes(number).unwrap();
        assert!(closes.iter().all(|size| span.contains(&(size - 1))));
        due += entries.len() as u64;
    }
    assert_eq!(due, name.end(), "the frames hold what the name says");
}

/// Most bytes that a block may unpack to here.
const BLOCK_ROOM: usize = 1 << 20;

/// The content of a block of a filed segment, after a byte that says how many entries are due.
pub fn block(bytes: &[u8]) {
    let Some((count, content)) = bytes.split_first() else {
        return;
    };
    if let Some(entries) = blocks::read(content, (*count).into(), BLOCK_ROOM) {
        assert_eq!(entries.len(), usize::from(*count));
        let all: usize = entries.iter().map(|entry| entry.len() + 4).sum();
        assert!(all <= BLOCK_ROOM);
    }
}

/// The verifier's lock: what is read is written as the same bytes.
pub fn lock(bytes: &[u8]) {
    if let Ok(read) = Head::parse(bytes) {
        assert_eq!(read.to_string().as_bytes(), bytes);
        assert_eq!(read.segment.end(), read.size);
    }
}

/// What a report claims of itself.
pub fn report(bytes: &[u8]) {
    if let Ok(claim) = Claim::read(bytes) {
        assert!(claim.period.from() < claim.period.to());
    }
}

/// A trust file: what is read and printed is trusted alike.
pub fn trust(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(read) = Trust::parse(text) {
        let printed = read.print().unwrap();
        assert_eq!(Trust::parse(&printed).unwrap(), read);
    }
}

/// A policy pack: what is read has one spelling, and gives an answer to any question.
pub fn pack(bytes: &[u8]) {
    if let Ok(pack) = Pack::parse(bytes) {
        assert_eq!(pack.digest(), affiant_proto::digest(bytes));
        let facts = Facts::default();
        let decision = pack.decide(&facts, 1_795_132_800_000);
        assert_eq!(decision, pack.decide(&facts, 1_795_132_800_000));
        pack.check();
    }
}

/// A table of devices.
pub fn devices(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(table) = DeviceTable::parse(text) {
        assert!(table.rows().len() <= text.lines().count());
    }
}

/// A screening list, an alias file or labelled pairs: read whole or not at all; what is read can be
/// screened, and whoever is on the list is found.
pub fn screening_list(bytes: &[u8]) {
    let _ = read_pairs(bytes);
    let aliases = Aliases::parse(bytes).unwrap_or_default();
    let Ok(list) = import::read("list", bytes) else {
        return;
    };
    assert!(!list.entries().is_empty() && list.rows() > 0);
    let screener = Screener::over([std::sync::Arc::new(list.clone())], &aliases);
    for (at, entry) in list.entries().iter().enumerate().take(8) {
        let subject = Subject {
            names: vec![entry.name().to_owned()],
            ..Subject::default()
        };
        let hits = screener.screen(&subject);
        assert_eq!(hits, screener.screen(&subject));
        let found = hits
            .iter()
            .any(|it| it.entry == at && it.class == Class::Exact);
        // A name whose letters all stand behind what is read of it is compared with nothing.
        assert!(found || Name::read(entry.name()).is_none(), "{entry:?}");
    }
}

/// A name, and two names: what is read is bounded, the same each time, and exact has no direction.
pub fn screening_name(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(name) = Name::read(&text) {
        assert!(!name.tokens().is_empty() && !name.key().is_empty());
        assert_eq!(Some(&name), Name::read(&text).as_ref());
    }
    let (one, other) = text.split_once('\n').unwrap_or((&text, &text));
    let class = |a, b| compare(a, b).map(|it| it.0);
    let exact = |it| it == Some(Class::Exact);
    assert_eq!(exact(class(one, other)), exact(class(other, one)));
}
