//! Bytes as they come.

use affiant_proto::{
    Envelope, Opened, PublicKey, Statement,
    envelope::Leaves,
    statement::Place,
    tlog::{
        self, AddCheckpoint, Checkpoint, CosignerKey, Hash, Note, NoteKey, Origin, PolicyFile,
        TilePath, parse_signature_lines,
    },
    usage, v1,
};
use affiant_report::{consistency, evidence};

/// A statement: what is read has these bytes and no others.
pub fn statement(bytes: &[u8]) {
    let Ok(read) = Statement::parse(bytes) else {
        return;
    };
    assert_eq!(read.as_bytes(), bytes);
    assert_eq!(read.digest(), affiant_proto::digest(bytes));
    match read.header().place() {
        Place::Opening => assert_eq!((read.header().sequence(), read.header().chain()), (0, None)),
        Place::Link {
            chain, sequence, ..
        } => {
            assert!(sequence > 0);
            assert_eq!(read.header().chain(), Some(chain));
        }
    }
    // An opener brings its own key; whatever it is, judging it does not panic.
    if let Ok((state, verified)) = affiant_proto::ChainState::open(read) {
        assert_eq!(state.chain(), verified.chain());
    }
}

/// An envelope: what is read is written as the same bytes, and its leaves hash to the root. Opened
/// where it lies, it is the same or refused for the same reason.
pub fn envelope(bytes: &[u8]) {
    let opened = Opened::parse(bytes);
    let read = match (Envelope::parse(bytes), &opened) {
        (Ok(read), Ok(opened)) => {
            assert_eq!(read.statement(), opened.statement());
            read
        }
        (read, _) => return assert_eq!(read.err(), opened.err()),
    };
    assert_eq!(read.to_bytes(), bytes);
    let less = read.clone().without_lines();
    assert_eq!(Envelope::parse(&less.to_bytes()).as_ref(), Ok(&less));
    let again = match read.leaves() {
        Leaves::None => Envelope::join(read.statement().clone(), None),
        Leaves::All(tree) => Envelope::join(read.statement().clone(), Some(tree.clone())),
        Leaves::Totals(_) => return assert_eq!(less, read),
    };
    assert_eq!(again.unwrap(), read);
}

/// A key: what is accepted names itself, and verifies nothing by chance.
pub fn keys(bytes: &[u8]) {
    for key in [PublicKey::ed25519(bytes), PublicKey::esp256(bytes)]
        .into_iter()
        .flatten()
    {
        assert_eq!(key.as_bytes(), bytes);
        for signature in [[0; 64], [0xff; 64]] {
            assert!(key.verify(b"anything", &signature).is_err());
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(key) = text.parse::<NoteKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = text.parse::<CosignerKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(origin) = text.parse::<Origin>() {
        assert_eq!(origin.to_string(), text);
    }
    if let Ok(hash) = text.parse::<Hash>() {
        assert_eq!(hash.to_string(), text);
    }
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text);
    }
}

/// A note: what is read is written as the same bytes.
pub fn note(bytes: &[u8]) {
    if let Ok(read) = Note::parse(bytes) {
        assert_eq!(read.to_string().as_bytes(), bytes);
        assert!(!read.signatures().is_empty());
    }
    if let Ok(lines) = parse_signature_lines(bytes) {
        let written: String = lines.iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(written.as_bytes(), bytes);
    }
}

/// The text of a checkpoint.
pub fn checkpoint(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(read) = text.parse::<Checkpoint>() {
        assert_eq!(read.to_string(), text);
        assert!(read.size() > 0 || *read.root() == tlog::empty_root());
    }
}

/// A request to a witness.
pub fn add_checkpoint(bytes: &[u8]) {
    if let Ok(read) = AddCheckpoint::parse(bytes) {
        assert_eq!(read.to_string().as_bytes(), bytes);
        assert!(read.proof().len() <= tlog::MAX_PROOF_LINES);
    }
}

/// A policy of witnesses: what it asks for can be had, and never for nothing.
pub fn policy(bytes: &[u8]) {
    let Ok(read) = PolicyFile::parse(bytes) else {
        return;
    };
    assert!(read.logs().len() <= tlog::MAX_LOGS);
    assert!(read.witnesses().len() <= tlog::MAX_WITNESSES);
    let Some(policy) = read.policy() else {
        return;
    };
    assert_eq!(policy.witnesses().len(), read.witnesses().len());
    assert!(policy.met(|_| true));
    assert!(!policy.met(|_| false));
    assert!(!policy.words().is_empty());
    // One more cosignature never breaks a quorum.
    let mut before = false;
    for most in 0..=policy.witnesses().len() {
        let first = |key: &CosignerKey| policy.witnesses()[..most].contains(key);
        let met = policy.met(first);
        assert!(met || !before);
        before = met;
    }
}

/// Leaves of a usage record, each after two bytes of length.
pub fn usage_leaves(bytes: &[u8]) {
    const INTERVAL_MS: u64 = 10_000;
    let (mut rest, mut leaves) = (bytes, Vec::new());
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (leaf, after) = after.split_at(length);
        leaves.push(leaf.to_vec());
        rest = after;
    }
    let Ok((totals, lines)) = usage::read_leaves(&leaves, 2, 2, INTERVAL_MS) else {
        return;
    };
    adds_up(&totals, &lines, INTERVAL_MS);
}

/// Sums again, in 128 bits and from the lines alone.
pub fn adds_up(totals: &v1::Totals, lines: &[v1::UsageLine], interval_ms: u64) {
    for (device, parts) in (0_u32..).zip(&totals.devices) {
        let own = || lines.iter().filter(move |line| line.device == device);
        let time: u128 = own().map(|line| u128::from(line.time_ms)).sum();
        assert_eq!(time, u128::from(interval_ms));
        let of = |kind: v1::LineKind| -> u128 {
            own()
                .filter(|line| line.kind() == kind)
                .map(|line| u128::from(line.time_ms))
                .sum()
        };
        assert_eq!(
            of(v1::LineKind::Attributed),
            u128::from(parts.attributed_ms)
        );
        assert_eq!(
            of(v1::LineKind::NotObserved),
            u128::from(parts.not_observed_ms)
        );
        let energy: Option<u128> = own()
            .filter_map(|line| line.energy_mj)
            .map(u128::from)
            .reduce(|a, b| a + b);
        assert_eq!(energy, parts.energy_mj.map(u128::from));
    }
}

/// The evidence file of a bundle: what is read to its end is spelled as the same bytes.
pub fn evidence(bytes: &[u8]) {
    let Ok(mut reader) = evidence::Reader::open(bytes) else {
        return;
    };
    let head = reader.head();
    let mut entries = Vec::new();
    while let Ok(Some(entry)) = reader.next_entry() {
        entries.push(entry);
        if entries.len() > 1_000 {
            return;
        }
    }
    if let Ok(proof) = reader.into_proof() {
        assert_eq!(
            evidence::spell(head.size, head.root, &entries, &proof),
            bytes
        );
    }
}

/// The consistency file of a bundle, against some checkpoint.
pub fn consistency(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let root = tlog::leaf_hash(b"0");
    if let Ok(read) = consistency::read(text, 1, &root) {
        assert_eq!(consistency::spell(&read), text);
    }
}
