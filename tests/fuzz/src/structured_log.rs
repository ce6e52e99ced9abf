//! Logs that are nearly right: who speaks for them, and the files that carry them.

use std::path::PathBuf;

use affiant_proto::{
    Authorities, Body, ChainState, Digest, Disclosure, Ed25519Signer, Envelope, Signer as _,
    Statement,
    authority::{officer_approval_bytes, succession_approval_bytes},
    chain::key_change_bytes,
    digest,
    statement::Place,
    tlog::{self, MemoryTree},
    v1,
};
use affiant_report::{
    evidence::{self, Reader},
    segment::{Builder, Entry, Layout, Segment},
};

use super::{choices::Choices, files, raw};

/// Statements that one run makes at most.
const MOST_STATEMENTS: usize = 12;

fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32]).unwrap()
}

fn public(seed: u8) -> Vec<u8> {
    signer(seed).public_key().as_bytes().to_vec()
}

fn seal(body: Body, place: Place, seed: u8) -> Statement {
    let moment = v1::Time {
        unix_ms: 1,
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    };
    Statement::seal(body, place, moment, None, &signer(seed)).unwrap()
}

fn genesis() -> Statement {
    let officer = |seed: u8| v1::OfficerKey {
        name: format!("officer {seed}"),
        key: public(seed),
    };
    let body = v1::Genesis {
        origin: "log.example/1".into(),
        log_key: public(2),
        operator_key: public(1),
        ca: digest(b"ca").as_bytes().to_vec(),
        officers: vec![officer(3), officer(4)],
        ..Default::default()
    };
    seal(body.into(), Place::Opening, 1)
}

/// What operator and officers say, in any order and by any key: a refusal changes nothing, what
/// follows a chain whole follows it with a part shown too, and no key is taken twice.
pub fn authority(bytes: &[u8]) {
    admitted_acts(bytes);
}

/// How many of the statements were admitted.
pub fn admitted_acts(bytes: &[u8]) -> usize {
    let choices = &mut Choices::of(bytes);
    let (mut authorities, _) = Authorities::open(genesis()).unwrap();
    let (mut index, mut admitted) = (1_u64, 0);
    let mut chains: Vec<Digest> = vec![authorities.genesis()];
    for _ in 0..MOST_STATEMENTS {
        if !choices.more() {
            break;
        }
        let statement = said(choices, &authorities, &chains, index);
        let before = format!("{authorities:?}");
        let mut with_holes = authorities.clone();
        let shown = with_holes
            .admit(Some(index), statement.clone(), true)
            .is_ok();
        let opens = statement.header().chain().is_none();
        let name = statement.digest();
        match authorities.admit(Some(index), statement, false) {
            Ok(act) => {
                assert!(shown, "what holds whole holds in part");
                assert_eq!(format!("{with_holes:?}"), format!("{authorities:?}"));
                assert!(authorities.knows(&act.verified().chain()));
                if opens {
                    chains.push(name);
                }
                admitted += 1;
                index += 1;
            }
            Err(refused) => {
                assert!(!refused.code().is_empty());
                assert_eq!(
                    format!("{authorities:?}"),
                    before,
                    "a refusal changed something"
                );
            }
        }
    }
    admitted
}

fn said(
    choices: &mut Choices,
    authorities: &Authorities,
    chains: &[Digest],
    index: u64,
) -> Statement {
    let chain = chains[usize::from(choices.byte()) % chains.len()];
    let state = authorities
        .officer(&chain)
        .unwrap_or(authorities.operator());
    let mut place = state.next_place();
    if let Place::Link { sequence, .. } = &mut place
        && choices.one_in(24)
    {
        *sequence = sequence.wrapping_add(choices.number()).max(1);
    }
    // Mostly whoever holds the chain's key; the seeds are few, so that he is found.
    let holds = (1..12).find(|seed| signer(*seed).public_key() == state.key());
    let by = match holds {
        Some(seed) if !choices.one_in(16) => seed,
        _ => 1 + choices.byte() % 11,
    };
    let approvals = |choices: &mut Choices, message: &[u8]| -> Vec<v1::OfficerApproval> {
        let officers: Vec<&ChainState> = authorities.officers().collect();
        let one = |choices: &mut Choices| {
            let seed = 3 + choices.byte() % 4;
            let known = officers
                .iter()
                .find(|state| state.key() == signer(seed).public_key());
            let officer = match known {
                Some(state) => state.chain().as_bytes().to_vec(),
                None => public(seed),
            };
            let signature = signer(seed).sign(message).unwrap().to_vec();
            v1::OfficerApproval { officer, signature }
        };
        (0..choices.byte() % 4).map(|_| one(choices)).collect()
    };
    let body: Body = match choices.byte() % 8 {
        0 => v1::Clock::default().into(),
        1 => v1::Decision::default().into(),
        2 => {
            let key = 1 + choices.byte() % 11;
            let name = ["o", "p", "ann", ""][usize::from(choices.byte() % 4)];
            let approved = officer_approval_bytes(authorities.genesis(), &public(key), name);
            let opening = v1::Officer {
                genesis: authorities.genesis().as_bytes().to_vec(),
                name: name.into(),
                key: public(key),
                approvals: approvals(choices, &approved),
                ..Default::default()
            };
            let by = if choices.one_in(16) { by } else { key };
            return seal(opening.into(), Place::Opening, by);
        }
        3 => {
            let new = 1 + choices.byte() % 11;
            let Place::Link {
                chain,
                sequence,
                previous,
            } = place
            else {
                return genesis();
            };
            let message = key_change_bytes(chain, sequence, previous, signer(new).public_key());
            v1::Key {
                new_key: public(new),
                proof: signer(new).sign(&message).unwrap().to_vec(),
                ca: if choices.one_in(8) {
                    vec![7; 32]
                } else {
                    Vec::new()
                },
                ..Default::default()
            }
            .into()
        }
        4 => v1::Key {
            ca: digest(&[choices.byte()]).as_bytes().to_vec(),
            ..Default::default()
        }
        .into(),
        5 => {
            let key = signer(1 + choices.byte() % 11).public_key().id();
            v1::Revocation {
                key_id: key.as_bytes().to_vec(),
                from_index: choices.below(index + 2),
                r#use: i32::from(choices.byte() % 6),
                ..Default::default()
            }
            .into()
        }
        6 => {
            let kept = |choices: &mut Choices| v1::CheckpointRef {
                origin: authorities.lineage().current().origin().to_string(),
                size: choices.below(index + 3),
                root: vec![7; 32],
            };
            let first = kept(choices);
            let last = if choices.one_in(2) {
                first.clone()
            } else {
                kept(choices)
            };
            let operator = 1 + choices.byte() % 11;
            let next = authorities
                .lineage()
                .current()
                .origin()
                .successor()
                .unwrap();
            let mut body = v1::Succession {
                kept: Some(first),
                last: Some(last),
                origin: if choices.one_in(8) {
                    "other.example".into()
                } else {
                    next.to_string()
                },
                log_key: public(20 + choices.byte() % 4),
                operator_key: public(operator),
                ..Default::default()
            };
            let message = succession_approval_bytes(authorities.genesis(), &body);
            body.approvals = approvals(choices, &message);
            return seal(body.into(), authorities.operator().next_place(), operator);
        }
        _ => v1::Observation::default().into(),
    };
    seal(body, place, by)
}

/// A usage record as a host would send it, or nearly so, of one of three chains: after the entry before,
/// or after none that there is.
fn reported(choices: &mut Choices, before: Option<&Entry>) -> v1::Envelope {
    let line = |choices: &mut Choices| v1::UsageLine {
        device: u32::from(choices.byte() % 70),
        kind: i32::from(choices.byte() % 6),
        workload: choices.perhaps(|it| u32::from(it.byte())),
        time_ms: choices.number(),
        allocated_ms: choices.perhaps(Choices::number),
        busy_ms: choices.perhaps(Choices::number),
        energy_mj: choices.perhaps(Choices::number),
        samples: u32::from(choices.byte()),
        ..Default::default()
    };
    let lines: Vec<_> = (0..choices.byte() % 5).map(|_| line(choices)).collect();
    let start_ms = choices.number();
    let usage = v1::Usage {
        boot: u32::from(choices.byte()),
        start_ms,
        end_ms: start_ms.wrapping_add(choices.number()),
        wall_start_ms: choices.number(),
        usage_root: vec![choices.byte(); 32],
        usage_count: u32::try_from(lines.len()).unwrap() + 1,
        ..Default::default()
    };
    let place = Place::Link {
        chain: digest(&[choices.byte() % 3]),
        sequence: 1 + (choices.number() >> 1),
        previous: match before {
            Some(before) if !choices.one_in(3) => *before.digest(),
            _ => digest(b"another"),
        },
    };
    let statement = seal(usage.into(), place, 1 + choices.byte() % 2);
    let totals = v1::Totals::default();
    let leaves = std::iter::once(prost::Message::encode_to_vec(&totals));
    let lines = lines.iter().map(prost::Message::encode_to_vec);
    v1::Envelope {
        statement: statement.as_bytes().to_vec(),
        leaves: leaves.chain(lines).collect(),
        seed: vec![7; if choices.one_in(9) { 15 } else { 16 }],
        totals: None,
    }
}

/// A segment as a writer makes it, and damaged: what was changed is noticed.
pub fn segment(bytes: &[u8]) {
    let choices = &mut Choices::of(bytes);
    let start = choices.number() >> 2;
    let layout = match choices.byte() % 2 {
        0 => Layout::Logged,
        _ => Layout::Filed,
    };
    let mut builder = Builder::laid_out(layout, start, choices.number()).unwrap();
    let mut entries = Vec::new();
    for _ in 0..=choices.byte() % 20 {
        let envelope = match choices.byte() % 3 {
            0 => v1::Envelope {
                statement: [&[1], choices.bytes(200).as_slice()].concat(),
                ..Default::default()
            },
            _ => reported(choices, entries.last()),
        };
        if choices.one_in(3) {
            builder.closed();
        }
        let entry = Entry::parse(prost::Message::encode_to_vec(&envelope)).unwrap();
        builder.push(&entry).unwrap();
        entries.push(entry);
    }
    let (name, file) = builder.finish(choices.number()).unwrap();
    let whole = Segment::read(PathBuf::new(), &name, file.clone()).unwrap();
    whole.verify().unwrap();
    let read: Vec<Entry> = (0..whole.frames())
        .flat_map(|number| whole.frame(number).unwrap().1)
        .collect();
    assert_eq!(read, entries);
    let mut changed = file.clone();
    for _ in 0..8 {
        if !choices.more() {
            break;
        }
        let at = usize::try_from(choices.below(changed.len() as u64)).unwrap();
        changed[at] ^= 1 << (choices.byte() & 7);
        files::segment(&changed);
        let read = Segment::read(PathBuf::new(), &name, changed.clone());
        let good = read.is_ok_and(|read| read.verify().is_ok());
        assert!(
            !good || changed == file,
            "a changed segment has its old name"
        );
    }
}

/// Evidence as a report has it, and damaged.
pub fn evidence(bytes: &[u8]) {
    let choices = &mut Choices::of(bytes);
    let opener = genesis();
    let (state, _) = ChainState::open(opener.clone()).unwrap();
    let mut statements = vec![opener];
    let mut state = state;
    for _ in 0..choices.byte() % 12 {
        let next = seal(v1::Clock::default().into(), state.next_place(), 1);
        state.follow(next.clone()).unwrap();
        statements.push(next);
    }
    let leaf = |one: &Statement| tlog::leaf_hash(one.digest().as_bytes());
    let tree: MemoryTree = statements.iter().map(leaf).collect();
    let size = tree.size();
    let shown = (0..)
        .zip(statements)
        .filter(|(index, _)| *index == 0 || !choices.one_in(3));
    let entries: Vec<evidence::Entry> = shown
        .map(|(index, statement)| evidence::Entry {
            index,
            statement,
            disclosure: Disclosure {
                shown: Vec::new(),
                proof: Vec::new(),
            },
        })
        .collect();
    let indices: Vec<u64> = entries.iter().map(|entry| entry.index).collect();
    let proof = tlog::multi_proof(&tree, &indices, size).unwrap();
    let whole = evidence::spell(size, tree.root(size).unwrap(), &entries, &proof);
    raw::evidence(&whole);
    let mut reader = Reader::open(whole.as_slice()).unwrap();
    let mut count = 0;
    while reader.next_entry().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, entries.len());
    let mut changed = whole;
    for _ in 0..8 {
        if !choices.more() {
            break;
        }
        let at = usize::try_from(choices.below(changed.len() as u64)).unwrap();
        match choices.byte() % 3 {
            0 => changed[at] ^= 1 << (choices.byte() & 7),
            1 => changed.insert(at, choices.byte()),
            _ => changed.truncate(at),
        }
        raw::evidence(&changed);
        if changed.is_empty() {
            break;
        }
    }
}

/// An envelope of any kind with leaves that may fit: what is joined reads back.
pub fn envelope(bytes: &[u8]) {
    let choices = &mut Choices::of(bytes);
    let body: Body = match choices.byte() % 3 {
        0 => v1::Inventory {
            root: choices.bytes(33),
            count: u32::from(choices.byte()),
            ..Default::default()
        }
        .into(),
        1 => v1::Usage {
            usage_root: choices.bytes(33),
            usage_count: u32::from(choices.byte()),
            ..Default::default()
        }
        .into(),
        _ => v1::Observation::default().into(),
    };
    let statement = seal(body, Place::Opening, 5);
    let message = v1::Envelope {
        statement: statement.as_bytes().to_vec(),
        leaves: (0..choices.byte() % 4).map(|_| choices.bytes(20)).collect(),
        seed: choices.bytes(17),
        totals: choices.perhaps(|c| v1::ShownTotals {
            content: c.bytes(20),
            salt: c.bytes(17),
            path: (0..c.byte() % 3).map(|_| c.bytes(33)).collect(),
        }),
    };
    raw::envelope(&prost::Message::encode_to_vec(&message));
    if let Ok(joined) = Envelope::join(statement, None) {
        assert_eq!(Envelope::parse(&joined.to_bytes()).as_ref(), Ok(&joined));
    }
}
