//! A thousand usage records in one hash; FORMAT.md states the rule by which they are made.

use affiant_judge::admission::{HostChain, Sources};
use affiant_proto::{
    Envelope, SaltedTree, Seed, Signer as _, authority::Revocations, chain::key_change_bytes,
    digest, statement::Place, v1,
};
use prost::Message as _;
use ring::digest::{Context, SHA256};
use serde_json::{Map, Value, json};

use crate::{
    bytes::hex,
    example::{EPOCH_MS, Example, ORIGIN, seal, signer, stand_in},
};

/// How many records.
pub const RECORDS: u32 = 1_000;

const DEVICES: u32 = 4;
const WORKLOADS: u32 = 8;

/// The number that stands for `what` in record `n`, below `limit`.
fn draw(n: u32, what: u32, limit: u64) -> u64 {
    let drawn = digest(
        &[
            b"affiant vector".as_slice(),
            &n.to_be_bytes(),
            &what.to_be_bytes(),
        ]
        .concat(),
    );
    let first = drawn.as_bytes().first_chunk().unwrap();
    u64::from_be_bytes(*first) % limit
}

fn small(n: u32, what: u32, limit: u64) -> u32 {
    u32::try_from(draw(n, what, limit)).unwrap()
}

fn seed(sequence: u64) -> Seed {
    let bytes = digest(&[b"affiant vector seed".as_slice(), &sequence.to_be_bytes()].concat());
    Seed::new(*bytes.as_bytes().first_chunk().unwrap())
}

fn salted<M: prost::Message>(sequence: u64, leaves: &[M]) -> SaltedTree {
    let leaves = leaves.iter().map(prost::Message::encode_to_vec).collect();
    SaltedTree::new(seed(sequence), leaves).unwrap()
}

/// Makes the records, admits each, and gives the hash after some of them.
pub fn accumulated() -> Value {
    let example = Example::new();
    let (mut chain, _) = HostChain::open(
        example.enrolment.clone(),
        example.genesis.digest(),
        &Revocations::default(),
        None,
    )
    .unwrap();
    let mut all = Context::new(&SHA256);
    let opening = Envelope::join(example.enrolment.clone(), None).unwrap();
    all.update(&opening.to_bytes());
    let mut key = 5;
    let mut send = |chain: &mut HostChain, statement, tree| {
        let envelope = Envelope::join(statement, tree).unwrap();
        all.update(&envelope.to_bytes());
        chain
            .admit(envelope, Sources::default(), &Revocations::default())
            .unwrap();
        hex(all.clone().finish())
    };

    let devices: Vec<_> = (0..DEVICES)
        .map(|n| v1::Device {
            uuid: format!("GPU-{n}"),
            model: "NVIDIA H200".into(),
            coverage: v1::Coverage::Full.into(),
            ..Default::default()
        })
        .collect();
    let table = salted(1, &devices);
    let body = v1::Inventory {
        source: v1::SourceKind::Nvml.into(),
        library: "/lib/libnvidia-ml.so.1".into(),
        library_digest: stand_in("vector library"),
        driver_version: "580".into(),
        root: table.root().as_bytes().to_vec(),
        count: table.count(),
        ..Default::default()
    };
    let statement = seal(body, chain.state().next_place(), 1, None, key);
    send(&mut chain, statement, Some(table));
    let workloads: Vec<_> = (0..WORKLOADS)
        .map(|n| v1::Workload {
            platform: v1::Platform::Slurm.into(),
            slurm_job: n.to_string(),
            slurm_account: format!("a{}", n % 3),
            ..Default::default()
        })
        .collect();
    let table = salted(2, &workloads);
    let body = v1::Workloads {
        root: table.root().as_bytes().to_vec(),
        count: table.count(),
        ..Default::default()
    };
    let statement = seal(body, chain.state().next_place(), 2, None, key);
    send(&mut chain, statement, Some(table));

    let mut after = Map::new();
    let mut end = 0;
    for n in 0..RECORDS {
        if n % 100 == 50 {
            let next = key + 1;
            let statement = change(&chain, key, next, n);
            send(&mut chain, statement, None);
            key = next;
        }
        let start = if n % 250 == 0 {
            draw(n, 0, 100_000)
        } else {
            end
        };
        let length = 1_000 + draw(n, 1, 59_001);
        end = start + length;
        let (totals, lines) = contents(n, length);
        let Place::Link { sequence, .. } = chain.state().next_place() else {
            unreachable!()
        };
        let leaves = std::iter::once(totals.encode_to_vec())
            .chain(lines.iter().map(prost::Message::encode_to_vec))
            .collect();
        let tree = SaltedTree::new(seed(sequence), leaves).unwrap();
        let wall = EPOCH_MS + 10_000 * u64::from(n);
        let body = v1::Usage {
            header: None,
            boot: 1 + n / 250,
            start_ms: start,
            end_ms: end,
            wall_start_ms: wall,
            wall_end_ms: wall + length,
            source: v1::SourceKind::Nvml.into(),
            inventory: 1,
            workloads: 2,
            usage_root: tree.root().as_bytes().to_vec(),
            usage_count: tree.count(),
        };
        let time = v1::Time {
            unix_ms: wall + 10_000,
            clock: v1::ClockState::Synchronized.into(),
            max_error_ms: n.is_multiple_of(2).then_some(n % 50),
        };
        let seen = (n % 10 == 3).then(|| v1::CheckpointRef {
            origin: ORIGIN.into(),
            size: u64::from(n) + 1,
            root: stand_in(&format!("vector root {n}")),
        });
        let place = chain.state().next_place();
        let statement =
            affiant_proto::Statement::seal(body.into(), place, time, seen, &signer(key)).unwrap();
        let hash = send(&mut chain, statement, Some(tree));
        if [0, 9, 99, 499, RECORDS - 1].contains(&n) {
            after.insert((n + 1).to_string(), hash.into());
        }
    }
    json!({
        "what": "SHA-256 over the encoded envelopes of a host's chain, after so many usage records; FORMAT.md states the rule by which they are made",
        "after_records": after,
    })
}

fn change(chain: &HostChain, old: u8, new: u8, n: u32) -> affiant_proto::Statement {
    let place = chain.state().next_place();
    let Place::Link {
        chain: id,
        sequence,
        previous,
    } = place
    else {
        unreachable!()
    };
    let new = signer(new);
    let proof = new
        .sign(&key_change_bytes(id, sequence, previous, new.public_key()))
        .unwrap();
    let body = v1::Key {
        header: None,
        new_key: new.public_key().as_bytes().to_vec(),
        proof: proof.to_vec(),
        ca: Vec::new(),
    };
    seal(body, place, 10_000 * u64::from(n), None, old)
}

fn contents(n: u32, length: u64) -> (v1::Totals, Vec<v1::UsageLine>) {
    let mut lines = Vec::new();
    for device in 0..DEVICES {
        let mut left = length;
        let mut take = |kind: v1::LineKind, time: u64| {
            left -= time;
            v1::UsageLine {
                device,
                kind: kind.into(),
                time_ms: time,
                ..Default::default()
            }
        };
        let metered = device != 3;
        let mut rest = length;
        for workload in 0..WORKLOADS {
            let k = 100 * (device + 1) + workload;
            if draw(n, k, 4) != 0 {
                continue;
            }
            let time = draw(n, k + 10, rest + 1);
            rest -= time;
            lines.push(v1::UsageLine {
                workload: Some(workload),
                allocated_ms: Some(time + draw(n, k + 20, length - time + 1)),
                busy_ms: (draw(n, k + 30, 3) != 0).then(|| draw(n, k + 40, time + 1)),
                energy_mj: metered.then(|| draw(n, k + 50, 1_000_000)),
                memory_peak_bytes: Some(draw(n, k + 60, 1 << 37)),
                sm_permille: device.is_multiple_of(2).then(|| small(n, k + 70, 1_001)),
                tensor_permille: (device == 0).then(|| small(n, k + 80, 1_001)),
                samples: small(n, k + 90, 61),
                ..take(v1::LineKind::Attributed, time)
            });
        }
        let k = 1_000 + 10 * device;
        let time = draw(n, k, rest + 1);
        rest -= time;
        lines.push(v1::UsageLine {
            busy_ms: Some(0),
            energy_mj: metered.then(|| draw(n, k + 1, 100_000)),
            samples: small(n, k + 2, 61),
            ..take(v1::LineKind::Idle, time)
        });
        if draw(n, k + 3, 2) == 0 {
            let time = draw(n, k + 4, rest + 1);
            rest -= time;
            lines.push(v1::UsageLine {
                missing: small(n, k + 5, 3),
                ..take(v1::LineKind::Unattributed, time)
            });
        }
        if rest > 0 {
            lines.push(v1::UsageLine {
                reason: i32::try_from(1 + draw(n, k + 6, 7)).unwrap(),
                missing: small(n, k + 7, 61),
                ..take(v1::LineKind::NotObserved, rest)
            });
        }
        assert_eq!(left, 0);
    }
    (totals(&lines), lines)
}

fn totals(lines: &[v1::UsageLine]) -> v1::Totals {
    let mut devices = vec![v1::DeviceTotals::default(); DEVICES as usize];
    for line in lines {
        let sum = &mut devices[line.device as usize];
        *match v1::LineKind::try_from(line.kind).unwrap() {
            v1::LineKind::Attributed => &mut sum.attributed_ms,
            v1::LineKind::Idle => &mut sum.idle_ms,
            v1::LineKind::Unattributed => &mut sum.unattributed_ms,
            _ => &mut sum.not_observed_ms,
        } += line.time_ms;
        if let Some(energy) = line.energy_mj {
            sum.energy_mj = Some(sum.energy_mj.unwrap_or(0) + energy);
        }
    }
    v1::Totals { devices }
}
