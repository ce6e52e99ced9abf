//! Usage records that cannot be, signed by the right key over the leaves that they come with.

use affiant_proto::{Envelope, SaltedTree, Seed, v1};
use prost::Message as _;

use super::{ReadAs, Refused};
use crate::{
    bytes::{field, number},
    example::{Example, follow, lines, totals, usage_body, usage_tree},
};

type Lines = Vec<v1::UsageLine>;

/// The record that comes after the example's, abutting it.
pub fn good() -> v1::Usage {
    let mut body = usage_body(&usage_tree(&totals(), &lines()));
    (body.start_ms, body.end_ms) = (70_000, 80_000);
    body
}

/// Seals a record after the example's.
pub fn sealed(body: v1::Usage, tree: SaltedTree) -> Envelope {
    let state = Example::new().chain_after(3).state().clone();
    let body = v1::Usage {
        usage_root: tree.root().as_bytes().to_vec(),
        usage_count: tree.count(),
        ..body
    };
    follow(&state, body, Some(tree), 5)
}

fn refused(fault: &str, envelope: &Envelope, refusal: &'static str) -> Refused {
    Refused::new(fault, ReadAs::Sent(3), envelope.to_bytes(), refusal)
}

/// Faults of the record, its totals line and its lines.
pub fn usage() -> Vec<Refused> {
    let mut out = records();
    out.extend(contradictions());
    out.extend(spellings());
    out
}

fn records() -> Vec<Refused> {
    let body = |fault: &str, refusal, change: &dyn Fn(&mut v1::Usage)| {
        let mut body = good();
        change(&mut body);
        refused(
            fault,
            &sealed(body, usage_tree(&totals(), &lines())),
            refusal,
        )
    };
    vec![
        body(
            "an interval that overlaps the last by 1 ms",
            "overlap",
            &|u| u.start_ms -= 1,
        ),
        body("the same interval again", "overlap", &|u| {
            (u.start_ms, u.end_ms) = (60_000, 70_000)
        }),
        body(
            "an interval that starts 1 ms after the last ended",
            "apart",
            &|u| u.start_ms += 1,
        ),
        body("an empty interval", "usage", &|u| u.end_ms = u.start_ms),
        body("a reversed interval", "usage", &|u| {
            u.end_ms = u.start_ms - 1
        }),
        body("an interval of 3,600,001 ms", "usage", &|u| {
            u.end_ms = u.start_ms + 3_600_001
        }),
        body("an interval longer than its totals by 1 ms", "sum", &|u| {
            u.end_ms += 1
        }),
        body("a wall clock that runs backwards", "usage", &|u| {
            u.wall_end_ms = u.wall_start_ms - 1
        }),
        body("boot 0", "usage", &|u| u.boot = 0),
        body("a boot that is skipped", "usage", &|u| u.boot = 3),
        body("no source", "usage", &|u| u.source = 0),
        body("a source that is not defined", "usage", &|u| u.source = 4),
        body("a recorded source", "source", &|u| {
            u.source = v1::SourceKind::Recorded.into()
        }),
        body("a simulated source", "source", &|u| {
            u.source = v1::SourceKind::Simulated.into()
        }),
        body("an inventory that is not in force", "not-in-force", &|u| {
            u.inventory = 2
        }),
        body("an inventory of the future", "not-in-force", &|u| {
            u.inventory = 4
        }),
        body("workloads that are not in force", "not-in-force", &|u| {
            u.workloads = 1
        }),
        body("no workloads", "not-in-force", &|u| u.workloads = 0),
    ]
}

/// A record whose totals line and lines were changed together.
fn leaves(
    fault: &str,
    refusal: &'static str,
    change: &dyn Fn(&mut v1::Totals, &mut Lines),
) -> Refused {
    let (mut totals, mut lines) = (totals(), lines().to_vec());
    change(&mut totals, &mut lines);
    refused(fault, &sealed(good(), usage_tree(&totals, &lines)), refusal)
}

fn contradictions() -> Vec<Refused> {
    vec![
        leaves(
            "totals of one device where two are in force",
            "usage",
            &|t, _| {
                t.devices.pop();
            },
        ),
        leaves(
            "totals of three devices where two are in force",
            "usage",
            &|t, _| {
                let again = t.devices[1];
                t.devices.push(again);
            },
        ),
        leaves("totals that do not make up the interval", "sum", &|t, l| {
            t.devices[0].idle_ms += 1;
            l[2].time_ms += 1;
        }),
        leaves("totals that overflow", "sum", &|t, _| {
            t.devices[0].idle_ms = u64::MAX
        }),
        leaves("a line with 1 ms less than its totals", "sum", &|_, l| {
            l[2].time_ms -= 1
        }),
        leaves("a line left out", "sum", &|_, l| {
            l.pop();
        }),
        leaves("time moved from one device to another", "sum", &|_, l| {
            l[2].time_ms -= 500;
            l[3].time_ms += 500;
        }),
        leaves("time moved from idle to attributed", "sum", &|_, l| {
            l[0].time_ms += 500;
            l[2].time_ms -= 500;
        }),
        leaves("lines that overflow", "sum", &|_, l| {
            (l[2].time_ms, l[2].busy_ms) = (u64::MAX, None);
            l.insert(
                3,
                v1::UsageLine {
                    kind: 3,
                    time_ms: u64::MAX,
                    ..Default::default()
                },
            );
        }),
        leaves("energy that does not sum", "sum", &|_, l| {
            l[0].energy_mj = Some(1)
        }),
        leaves("energy missing from a line", "sum", &|_, l| {
            l[0].energy_mj = None
        }),
        leaves("energy missing from the totals", "sum", &|t, _| {
            t.devices[0].energy_mj = None
        }),
        leaves(
            "energy of zero in the totals where no line has any",
            "sum",
            &|t, _| t.devices[1].energy_mj = Some(0),
        ),
        leaves("lines of one device out of order", "usage", &|_, l| {
            l.swap(0, 1)
        }),
        leaves("devices out of order", "usage", &|_, l| l.rotate_left(3)),
        leaves("kinds out of order", "usage", &|_, l| l.swap(1, 2)),
        leaves("a line twice", "usage", &|_, l| {
            l[3].time_ms = 3_500;
            let again = l[3];
            l.insert(3, again);
        }),
        leaves("a device that is not in force", "usage", &|_, l| {
            l[4].device = 2
        }),
        leaves("a workload that is not in force", "usage", &|_, l| {
            l[1].workload = Some(2)
        }),
        leaves("an attributed line without workload", "usage", &|_, l| {
            l[0].workload = None
        }),
        leaves("an idle line with a workload", "usage", &|_, l| {
            l[2].workload = Some(1)
        }),
        leaves("an idle line with a reason", "usage", &|_, l| {
            l[2].reason = 1
        }),
        leaves("a not-observed line without reason", "usage", &|_, l| {
            l[4].reason = 0
        }),
        leaves("a reason that is not defined", "usage", &|_, l| {
            l[4].reason = 8
        }),
        leaves("a kind that is not defined", "usage", &|_, l| l[2].kind = 5),
        leaves("no kind", "usage", &|_, l| l[3].kind = 0),
        leaves("a not-observed line that was busy", "usage", &|_, l| {
            l[4].busy_ms = Some(0)
        }),
        leaves("a not-observed line that was held", "usage", &|_, l| {
            l[4].allocated_ms = Some(3_000)
        }),
        leaves(
            "a not-observed line with a memory peak",
            "usage",
            &|_, l| l[4].memory_peak_bytes = Some(0),
        ),
        leaves("a not-observed line with activity", "usage", &|_, l| {
            l[4].sm_permille = Some(0)
        }),
        leaves(
            "a not-observed line with tensor activity",
            "usage",
            &|_, l| l[4].tensor_permille = Some(0),
        ),
        leaves("busy for longer than its time", "usage", &|_, l| {
            l[0].busy_ms = Some(6_001)
        }),
        leaves("held for less than its time", "usage", &|_, l| {
            l[0].allocated_ms = Some(5_999)
        }),
        leaves("held for longer than the interval", "usage", &|_, l| {
            l[0].allocated_ms = Some(10_001)
        }),
        leaves("activity of 1,001 thousandths", "usage", &|_, l| {
            l[0].sm_permille = Some(1_001)
        }),
        leaves("tensor activity of 1,001 thousandths", "usage", &|_, l| {
            l[0].tensor_permille = Some(1_001)
        }),
    ]
}

/// Leaves in another spelling than the one that is accepted.
fn spellings() -> Vec<Refused> {
    let raw = |fault: &str, at: usize, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let mut leaves: Vec<Vec<u8>> = std::iter::once(totals().encode_to_vec())
            .chain(lines().iter().map(prost::Message::encode_to_vec))
            .collect();
        leaves[at] = change(std::mem::take(&mut leaves[at]));
        let tree = SaltedTree::new(Seed::new([9; 16]), leaves).unwrap();
        refused(fault, &sealed(good(), tree), "usage")
    };
    let add = |more: Vec<u8>| move |leaf: Vec<u8>| [leaf, more.clone()].concat();
    vec![
        raw("a totals line with an unknown field", 0, &add(number(2, 1))),
        raw(
            "a totals line with the zero of a device spelled out",
            0,
            &|leaf| {
                // Field 3 of the first device is 0, and stands between fields 2 and 5.
                let length = usize::from(leaf[1]);
                let (first, rest) = leaf[2..].split_at(length);
                let energy = first.iter().rposition(|byte| *byte == 0x28).unwrap();
                let (before, after) = first.split_at(energy);
                [
                    field(1, &[before, &[0x18, 0x00], after].concat()),
                    rest.to_vec(),
                ]
                .concat()
            },
        ),
        raw("a totals line that is cut off", 0, &|leaf| {
            leaf[..leaf.len() - 1].to_vec()
        }),
        raw("an empty totals line", 0, &|_| Vec::new()),
        raw("a usage line where the totals line is due", 0, &|_| {
            lines()[0].encode_to_vec()
        }),
        raw("a line with an unknown field", 1, &add(number(14, 1))),
        raw("a line with the device twice", 4, &|leaf| {
            [&[0x08, 0x01], leaf.as_slice()].concat()
        }),
        raw("a line with device 0 spelled out", 1, &|leaf| {
            [&[0x08, 0x00], leaf.as_slice()].concat()
        }),
        raw("a line with fields out of order", 4, &|leaf| {
            [&leaf[2..], &leaf[..2]].concat()
        }),
        raw("a line with a long varint", 4, &|leaf| {
            [&[0x08, 0x81, 0x00], &leaf[2..]].concat()
        }),
        raw("a line that is cut off", 2, &|leaf| {
            leaf[..leaf.len() - 1].to_vec()
        }),
        raw("an empty line", 3, &|_| Vec::new()),
        raw("a line that is no protobuf", 3, &|_| vec![0xff]),
    ]
}
