//! Things that are nearly right, built by choices: they come further than bytes do.

use std::collections::BTreeSet;

use affiant_judge::admission::{HostChain, Sources};
use affiant_proto::{
    Body, Digest, Ed25519Signer, Envelope, Opened, SaltedTree, Seed, Statement,
    authority::Revocations,
    digest,
    statement::Place,
    tlog::{self, AddCheckpoint, Checkpoint, Hash, MemoryTree, NoteSigner, Origin},
    v1,
};
use prost::Message as _;

use super::{choices::Choices, raw};

/// Most places at which one thing is damaged: more of them only make it easier to refuse.
const MOST_DAMAGES: usize = 8;

fn signer() -> Ed25519Signer {
    Ed25519Signer::from_seed(&[5; 32]).unwrap()
}

fn any_digest(choices: &mut Choices) -> Digest {
    digest(&[choices.byte()])
}

fn time(choices: &mut Choices) -> v1::Time {
    v1::Time {
        unix_ms: choices.number(),
        clock: i32::from(choices.byte() % 5),
        max_error_ms: choices.perhaps(|c| u32::from(c.byte())),
    }
}

fn text(choices: &mut Choices) -> String {
    String::from_utf8_lossy(&choices.bytes(40)).into_owned()
}

fn seen(choices: &mut Choices) -> v1::CheckpointRef {
    v1::CheckpointRef {
        origin: if choices.one_in(4) {
            text(choices)
        } else {
            "log.example/1".into()
        },
        size: choices.number(),
        root: if choices.one_in(4) {
            choices.bytes(40)
        } else {
            vec![7; 32]
        },
    }
}

/// A sealed statement of some kind, damaged perhaps: what is sealed reads back and verifies, and
/// what reads has one spelling.
pub fn statement(bytes: &[u8]) {
    let choices = &mut Choices::of(bytes);
    let place = match choices.byte() % 4 {
        0 => Place::Opening,
        _ => Place::Link {
            chain: any_digest(choices),
            sequence: choices.number(),
            previous: any_digest(choices),
        },
    };
    let body: Body = match choices.byte() % 6 {
        0 => v1::Clock::default().into(),
        1 => v1::Gap {
            first: choices.number(),
            last: choices.number(),
            reason: text(choices),
            ..Default::default()
        }
        .into(),
        2 => v1::Enrolment {
            genesis: choices.bytes(33),
            host: text(choices),
            record_key: if choices.one_in(3) {
                choices.bytes(33)
            } else {
                affiant_proto::Signer::public_key(&signer())
                    .as_bytes()
                    .to_vec()
            },
            ..Default::default()
        }
        .into(),
        3 => v1::Usage {
            boot: u32::from(choices.byte()),
            start_ms: choices.number(),
            end_ms: choices.number(),
            usage_root: choices.bytes(33),
            usage_count: u32::from(choices.byte()),
            ..Default::default()
        }
        .into(),
        4 => v1::Hold {
            first_index: choices.number(),
            reason: text(choices),
            released: choices.one_in(2),
            ..Default::default()
        }
        .into(),
        _ => v1::TenantEvent {
            effective_unix_ms: choices.number(),
            body: choices.perhaps(|c| {
                v1::tenant_event::Body::Party(v1::Party {
                    id: text(c),
                    addresses: vec![text(c), text(c)],
                    ..Default::default()
                })
            }),
            ..Default::default()
        }
        .into(),
    };
    let (time, seen) = (time(choices), choices.perhaps(seen));
    let Ok(sealed) = Statement::seal(body, place, time, seen, &signer()) else {
        return;
    };
    sealed
        .verify(affiant_proto::Signer::public_key(&signer()))
        .unwrap();
    raw::statement(sealed.as_bytes());
    let mut changed = sealed.as_bytes().to_vec();
    for _ in 0..MOST_DAMAGES {
        if !choices.more() {
            break;
        }
        let at = usize::try_from(choices.below(changed.len() as u64)).unwrap();
        match choices.byte() % 3 {
            0 => changed[at] ^= 1 << (choices.byte() & 7),
            1 => changed.insert(at, choices.byte()),
            _ => {
                changed.remove(at);
            }
        }
        if changed.is_empty() {
            break;
        }
        raw::statement(&changed);
    }
    let forged = Statement::parse(&changed).is_ok_and(|read| {
        read.verify(affiant_proto::Signer::public_key(&signer()))
            .is_ok()
    });
    assert!(
        !forged || changed == sealed.as_bytes(),
        "a changed statement verifies"
    );
}

/// A usage record that a host would sign over figures of all kinds: admission never panics, and
/// what is admitted adds up.
pub fn record(bytes: &[u8]) {
    admitted_records(bytes);
}

/// How many of three such records were admitted.
pub fn admitted_records(bytes: &[u8]) -> usize {
    let mut admitted = 0;
    let choices = &mut Choices::of(bytes);
    let genesis = digest(b"genesis");
    let opener = v1::Enrolment {
        genesis: genesis.as_bytes().to_vec(),
        record_key: affiant_proto::Signer::public_key(&signer())
            .as_bytes()
            .to_vec(),
        ..Default::default()
    };
    let (mut chain, _) = HostChain::open(
        seal(opener.into(), Place::Opening),
        genesis,
        &Revocations::default(),
        None,
    )
    .unwrap();
    let table =
        |count: u32| SaltedTree::new(Seed::new([1; 16]), vec![Vec::new(); count as usize]).unwrap();
    let sources = Sources {
        accept_recorded: choices.one_in(2),
    };
    let (devices, workloads) = (choices.below(4), choices.below(4));
    let source = i32::from(choices.byte() % 5);
    let (devices, workloads) = (
        u32::try_from(devices).unwrap(),
        u32::try_from(workloads).unwrap(),
    );
    let root = |count| table(count).root().as_bytes().to_vec();
    let inventory = v1::Inventory {
        source,
        root: root(devices),
        count: devices,
        ..Default::default()
    };
    send(&mut chain, inventory.into(), Some(table(devices)), sources);
    let held = v1::Workloads {
        root: root(workloads),
        count: workloads,
        ..Default::default()
    };
    send(&mut chain, held.into(), Some(table(workloads)), sources);
    for _ in 0..3 {
        let start = chain
            .ended()
            .map_or_else(|| choices.number(), |ended| ended.end_ms);
        let start = if choices.one_in(8) {
            choices.number()
        } else {
            start
        };
        let length = 1 + choices.below(70_000);
        let (totals, lines) = figures(choices, devices, workloads, length);
        let leaves = std::iter::once(totals.encode_to_vec())
            .chain(lines.iter().map(prost::Message::encode_to_vec))
            .collect();
        let Ok(tree) = SaltedTree::new(Seed::new([2; 16]), leaves) else {
            break;
        };
        let usage = v1::Usage {
            header: None,
            boot: 1 + u32::from(choices.one_in(16)),
            start_ms: start,
            end_ms: start.wrapping_add(length),
            wall_start_ms: choices.number(),
            wall_end_ms: u64::MAX,
            source: if choices.one_in(16) {
                i32::from(choices.byte())
            } else {
                source
            },
            inventory: if choices.one_in(16) {
                choices.number()
            } else {
                1
            },
            workloads: if choices.one_in(16) {
                choices.number()
            } else {
                chain.state().sequence().min(2)
            },
            usage_root: tree.root().as_bytes().to_vec(),
            usage_count: tree.count(),
        };
        if send(&mut chain, usage.clone().into(), Some(tree), sources) {
            admitted += 1;
            raw::adds_up(&totals, &lines, usage.end_ms - usage.start_ms);
        }
    }
    admitted
}

fn seal(body: Body, place: Place) -> Statement {
    let moment = v1::Time {
        unix_ms: 1,
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    };
    Statement::seal(body, place, moment, None, &signer()).unwrap()
}

fn send(chain: &mut HostChain, body: Body, tree: Option<SaltedTree>, sources: Sources) -> bool {
    let statement = seal(body, chain.state().next_place());
    let envelope = Envelope::join(statement, tree).unwrap();
    let before = chain.clone();
    let less = envelope.clone().without_lines();
    let revoked = Revocations::default();
    let opened = Opened::parse(&envelope.to_bytes()).unwrap();
    let admitted = chain.admit(envelope, sources, &revoked);
    let taken = admitted.is_ok();
    assert!(taken || *chain == before, "a refusal changed the chain");
    let mut other = before.clone();
    assert_eq!(other.admit(opened, sources, &revoked), admitted);
    assert_eq!(other, *chain, "opened, it changed the chain otherwise");
    let mut other = before;
    let taken_less = other.admit(less, sources, &revoked).is_ok();
    assert!(
        taken_less || !taken,
        "what holds with its lines holds without"
    );
    assert!(!taken || other == *chain, "lines changed the chain");
    taken
}

fn figures(
    choices: &mut Choices,
    devices: u32,
    workloads: u32,
    length: u64,
) -> (v1::Totals, Vec<v1::UsageLine>) {
    let mut totals = Vec::new();
    let mut lines = Vec::new();
    for device in 0..devices {
        let (mut left, mut sums) = (length, v1::DeviceTotals::default());
        let mut energy = None;
        for workload in 0..workloads.min(2) {
            if choices.one_in(2) {
                continue;
            }
            let time = choices.below(left + 1);
            left -= time;
            sums.attributed_ms += time;
            let line = v1::UsageLine {
                device,
                kind: v1::LineKind::Attributed.into(),
                workload: Some(if choices.one_in(32) {
                    u32::MAX
                } else {
                    workload
                }),
                time_ms: time,
                busy_ms: choices.perhaps(|c| c.below(time + 2)),
                allocated_ms: choices.perhaps(|c| time + c.below(length)),
                energy_mj: choices.perhaps(Choices::number),
                sm_permille: choices.perhaps(|c| u32::from(c.byte()) * 4),
                ..Default::default()
            };
            energy = match (energy, line.energy_mj) {
                (Some(sum), Some(more)) => Some(u64::wrapping_add(sum, more)),
                (sum, more) => sum.or(more),
            };
            lines.push(line);
        }
        let idle = choices.below(left + 1);
        (sums.idle_ms, sums.not_observed_ms) = (idle, left - idle);
        lines.push(v1::UsageLine {
            device,
            kind: v1::LineKind::Idle.into(),
            time_ms: idle,
            ..Default::default()
        });
        lines.push(v1::UsageLine {
            device,
            kind: v1::LineKind::NotObserved.into(),
            reason: if choices.one_in(16) {
                i32::from(choices.byte())
            } else {
                1
            },
            time_ms: left - idle,
            ..Default::default()
        });
        sums.energy_mj = energy;
        if choices.one_in(16) {
            sums.unattributed_ms = choices.number();
        }
        totals.push(sums);
    }
    if choices.one_in(16) && lines.len() > 1 {
        let at = usize::from(choices.byte()) % (lines.len() - 1);
        lines.swap(at, at + 1);
    }
    (v1::Totals { devices: totals }, lines)
}

/// Any subset of leaves shown: it holds as it is, and not with anything changed.
pub fn disclosure(bytes: &[u8]) {
    let choices = &mut Choices::of(bytes);
    let count = choices.below(70);
    let leaves: Vec<Vec<u8>> = (0..count)
        .map(|n| vec![n.to_le_bytes()[0]; 1 + usize::from(choices.byte() % 3)])
        .collect();
    let tree = SaltedTree::new(Seed::new([choices.byte(); 16]), leaves).unwrap();
    let wanted: BTreeSet<u32> = (0..tree.count()).filter(|_| choices.one_in(3)).collect();
    let shown = tree.disclose(&wanted);
    let root = *tree.root().as_bytes();
    shown.matches(&root, tree.count()).unwrap();
    let mut changed = shown.clone();
    let honest = match choices.byte() % 6 {
        0 => changed.proof.pop().is_none(),
        1 => {
            changed.proof.push(tree.root());
            false
        }
        2 => match changed.shown.first_mut() {
            Some(leaf) => {
                leaf.content[0] ^= 1;
                false
            }
            None => true,
        },
        3 => match changed.shown.last_mut() {
            Some(leaf) => {
                leaf.salt[15] ^= 0x80;
                false
            }
            None => true,
        },
        // A place that is then bare wants a hash that the proof does not have.
        4 => changed.shown.pop().is_none(),
        _ => true,
    };
    assert_eq!(changed.matches(&root, tree.count()).is_ok(), honest);
    // The multi-proof of any places agrees with the proofs of each.
    let mut memory = MemoryTree::new();
    (0..count).for_each(|n| memory.push(tlog::leaf_hash(&n.to_be_bytes())));
    for index in wanted.iter().map(|index| u64::from(*index)) {
        let path = tlog::inclusion_proof(&memory, index, count).unwrap();
        let root = memory.root(count).unwrap();
        tlog::verify_inclusion(
            &tlog::leaf_hash(&index.to_be_bytes()),
            index,
            count,
            &root,
            &path,
        )
        .unwrap();
    }
}

/// A checkpoint that was signed, asked for at a witness, and damaged.
pub fn note(bytes: &[u8]) {
    let choices = &mut Choices::of(bytes);
    let name = if choices.one_in(3) {
        text(choices)
    } else {
        "log.example/1".into()
    };
    let Ok(origin) = name.parse::<Origin>() else {
        return;
    };
    let log = NoteSigner::new(origin.key_name(), signer()).unwrap();
    let Ok(checkpoint) = Checkpoint::new(
        origin,
        choices.number(),
        Hash::from_bytes([choices.byte(); 32]),
    ) else {
        return;
    };
    let signed = checkpoint.sign(&log).unwrap();
    let written = signed.note().to_string();
    let opened = Checkpoint::open(written.as_bytes(), log.key()).unwrap();
    assert_eq!(opened.checkpoint(), &checkpoint);
    let proof = (0..choices.byte() % 66)
        .map(|n| tlog::leaf_hash(&[n]))
        .collect();
    if let Ok(request) = AddCheckpoint::new(choices.number(), proof, signed.into_note()) {
        raw::add_checkpoint(request.to_string().as_bytes());
        assert_eq!(
            AddCheckpoint::parse(request.to_string().as_bytes()),
            Ok(request)
        );
    }
    let mut changed = written.clone().into_bytes();
    for _ in 0..MOST_DAMAGES {
        if !choices.more() {
            break;
        }
        let at = usize::try_from(choices.below(changed.len() as u64)).unwrap();
        changed[at] = choices.byte();
        raw::note(&changed);
        if let Ok(read) = Checkpoint::open(&changed, log.key()) {
            assert_eq!(
                read.checkpoint(),
                &checkpoint,
                "another checkpoint under the old signature"
            );
        }
    }
}
