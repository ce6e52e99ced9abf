//! Statements that do not continue the example's chain, each signed by the right key unless its
//! fault is the key.

use affiant_proto::{
    Body, Envelope, SaltedTree, Signer as _, chain::key_change_bytes, digest, statement::Place, v1,
};

use super::{ReadAs, Refused};
use crate::example::{Example, devices, next, public, seal, signer, stand_in, tree, usage_body};

/// Faults of place, key and kind.
pub fn chain() -> Vec<Refused> {
    let example = Example::new();
    let state = example.chain_after(3).state().clone();
    let (chain, head) = (state.chain(), state.head());
    let sent = |fault: &str, envelope: &Envelope, refusal| {
        Refused::new(fault, ReadAs::Sent(3), envelope.to_bytes(), refusal)
    };
    let bare = |body: Body, place, key| {
        Envelope::join(seal(body, place, 24_000, None, key), None).unwrap()
    };
    let gap = |place, key| bare(v1::Gap::default().into(), place, key);
    let at = |sequence, previous| next(chain, sequence, previous);
    let before = example.workloads.statement().digest();
    let earlier = |fault: &str, after, envelope: &Envelope, refusal| {
        Refused::new(fault, ReadAs::Sent(after), envelope.to_bytes(), refusal)
    };
    let mut out = vec![
        sent("the head sent again", &example.usage, "past"),
        sent("an older statement sent again", &example.inventory, "past"),
        sent(
            "another statement at the head's sequence",
            &gap(at(3, before), 5),
            "past",
        ),
        earlier(
            "a statement before the one that is due",
            1,
            &example.usage,
            "missing",
        ),
        earlier(
            "the first statement left out",
            0,
            &example.workloads,
            "missing",
        ),
        sent("a sequence left out", &gap(at(5, head), 5), "missing"),
        sent(
            "the largest sequence",
            &gap(at(u64::MAX, head), 5),
            "missing",
        ),
        sent(
            "continues the statement before the head",
            &gap(at(4, before), 5),
            "forked",
        ),
        sent(
            "continues something that is not in the chain",
            &gap(at(4, digest(b"another")), 5),
            "forked",
        ),
        sent(
            "of another chain",
            &gap(next(digest(b"another"), 4, head), 5),
            "other-chain",
        ),
        sent("signed by another key", &gap(at(4, head), 6), "signature"),
        sent("signed by the operator", &gap(at(4, head), 1), "signature"),
        sent(
            "the enrolment sent again",
            &Envelope::join(example.enrolment.clone(), None).unwrap(),
            "misplaced",
        ),
        sent(
            "a statement that names no chain",
            &gap(Place::Opening, 5),
            "misplaced",
        ),
        sent(
            "an enrolment within the chain",
            &bare(v1::Enrolment::default().into(), at(4, head), 5),
            "misplaced",
        ),
        sent(
            "a genesis within the chain",
            &bare(v1::Genesis::default().into(), at(4, head), 5),
            "misplaced",
        ),
        sent(
            "a clock in a host's chain",
            &bare(v1::Clock::default().into(), at(4, head), 5),
            "kind",
        ),
        sent(
            "a decision in a host's chain",
            &bare(v1::Decision::default().into(), at(4, head), 5),
            "kind",
        ),
        sent(
            "a request, which is never logged",
            &bare(v1::Request::default().into(), at(4, head), 5),
            "kind",
        ),
        sent(
            "a gap that begins before the chain",
            &bare(gap_body(0, 6).into(), at(7, digest(b"lost")), 5),
            "missing",
        ),
        sent(
            "a gap that begins too late",
            &bare(gap_body(5, 6).into(), at(7, digest(b"lost")), 5),
            "missing",
        ),
        sent(
            "a gap that does not reach its own sequence",
            &bare(gap_body(4, 5).into(), at(7, digest(b"lost")), 5),
            "missing",
        ),
        sent(
            "a gap whose last digest is not its previous",
            &bare(gap_body(4, 6).into(), at(7, digest(b"other")), 5),
            "missing",
        ),
        sent(
            "a gap signed by another key",
            &bare(gap_body(4, 6).into(), at(7, digest(b"lost")), 6),
            "signature",
        ),
    ];
    let with = |body: v1::Gap| bare(body.into(), at(4, head), 5);
    let restart = |change: &dyn Fn(&mut v1::ChainRestart)| {
        let mut body = v1::ChainRestart {
            header: None,
            restored_sequence: 2,
            restored_head: before.as_bytes().to_vec(),
            adopted_sequence: 3,
            adopted_head: head.as_bytes().to_vec(),
            reason: "restored from an image".into(),
        };
        change(&mut body);
        bare(body.into(), at(4, head), 5)
    };
    out.extend([
        sent(
            "a gap over statements that are here",
            &with(v1::Gap {
                last_digest: head.as_bytes().to_vec(),
                ..gap_body(2, 3)
            }),
            "gap",
        ),
        sent("a gap over nothing", &with(v1::Gap::default()), "gap"),
        sent(
            "a gap of lines that names a digest",
            &with(v1::Gap {
                lines: true,
                ..gap_body(2, 3)
            }),
            "gap",
        ),
        sent(
            "a gap of lines of statements that are to come",
            &with(v1::Gap {
                lines: true,
                last_digest: Vec::new(),
                ..gap_body(2, 4)
            }),
            "gap",
        ),
        sent(
            "a gap of lines that ends before it begins",
            &with(v1::Gap {
                lines: true,
                last_digest: Vec::new(),
                ..gap_body(3, 2)
            }),
            "gap",
        ),
        sent(
            "a restart that adopts another sequence than it follows",
            &restart(&|body| body.adopted_sequence = 2),
            "restart",
        ),
        sent(
            "a restart that adopts another head than it follows",
            &restart(&|body| body.adopted_head = before.as_bytes().to_vec()),
            "restart",
        ),
        sent(
            "a restart from the head that it adopts",
            &restart(&|body| {
                body.restored_sequence = 3;
                body.restored_head = head.as_bytes().to_vec();
            }),
            "restart",
        ),
        sent(
            "a restart from no head",
            &restart(&|body| body.restored_head.clear()),
            "restart",
        ),
        sent(
            "an authority changed by a host",
            &bare(
                v1::Key {
                    ca: digest(b"ca").as_bytes().to_vec(),
                    ..Default::default()
                }
                .into(),
                at(4, head),
                5,
            ),
            "kind",
        ),
    ]);
    let change = |proof: Vec<u8>, new_key: Vec<u8>, by| {
        bare(
            v1::Key {
                header: None,
                new_key,
                proof,
                ca: Vec::new(),
            }
            .into(),
            at(4, head),
            by,
        )
    };
    let proof = |sequence, previous, by: u8| {
        let bytes = key_change_bytes(chain, sequence, previous, signer(6).public_key());
        signer(by).sign(&bytes).unwrap().to_vec()
    };
    let good = proof(4, head, 6);
    let mut small = vec![0; 32];
    small[0] = 1;
    out.extend([
        sent(
            "a new key without proof",
            &change(Vec::new(), public(6), 5),
            "key",
        ),
        sent(
            "a new key's proof by the old key",
            &change(proof(4, head, 5), public(6), 5),
            "key",
        ),
        sent(
            "a new key's proof for another sequence",
            &change(proof(5, head, 6), public(6), 5),
            "key",
        ),
        sent(
            "a new key's proof for another head",
            &change(proof(4, before, 6), public(6), 5),
            "key",
        ),
        sent(
            "a new key's proof of 63 bytes",
            &change(good[..63].to_vec(), public(6), 5),
            "key",
        ),
        sent(
            "a new key of small order",
            &change(good.clone(), small, 5),
            "key",
        ),
        sent(
            "a change of key signed by the new key alone",
            &change(good, public(6), 6),
            "signature",
        ),
    ]);
    out.extend(tables(&example));
    out
}

fn gap_body(first: u64, last: u64) -> v1::Gap {
    v1::Gap {
        header: None,
        first,
        last,
        last_digest: digest(b"lost").as_bytes().to_vec(),
        reason: "spool full".into(),
        lines: false,
    }
}

/// Inventories and workloads that are not admitted.
fn tables(example: &Example) -> Vec<Refused> {
    let state = example.chain_after(3).state().clone();
    let sent = |fault: &str, body: Body, tree: SaltedTree, refusal| {
        let envelope =
            Envelope::join(seal(body, state.next_place(), 24_000, None, 5), Some(tree)).unwrap();
        Refused::new(fault, ReadAs::Sent(3), envelope.to_bytes(), refusal)
    };
    let inventory = |tree: &SaltedTree, source: i32| -> Body {
        let body = v1::Inventory {
            header: None,
            source,
            library: "/lib/libnvidia-ml.so.1".into(),
            library_digest: stand_in("library"),
            driver_version: "580".into(),
            root: tree.root().as_bytes().to_vec(),
            count: tree.count(),
        };
        body.into()
    };
    let workloads = |tree: &SaltedTree| -> Body {
        let body = v1::Workloads {
            header: None,
            root: tree.root().as_bytes().to_vec(),
            count: tree.count(),
        };
        body.into()
    };
    let good = || tree(9, &devices());
    let raw = |leaf: &[u8]| {
        SaltedTree::new(affiant_proto::Seed::new([9; 16]), vec![leaf.to_vec()]).unwrap()
    };
    let many = tree(9, &vec![v1::Device::default(); 65]);
    let crowd = tree(9, &vec![v1::Workload::default(); 1_025]);
    let nvml = v1::SourceKind::Nvml.into();
    let respelled = raw(&[0x08, 0x00]);
    let unknown = raw(&[0x78, 0x01]);
    let broken = raw(&[0xff]);
    let mut out = vec![
        sent(
            "an inventory from a recorded trace",
            inventory(&good(), v1::SourceKind::Recorded.into()),
            good(),
            "source",
        ),
        sent(
            "an inventory from a simulated library",
            inventory(&good(), v1::SourceKind::Simulated.into()),
            good(),
            "source",
        ),
        sent(
            "an inventory from no source",
            inventory(&good(), 0),
            good(),
            "usage",
        ),
        sent(
            "an inventory from a source that is not defined",
            inventory(&good(), 9),
            good(),
            "usage",
        ),
        sent(
            "an inventory of 65 devices",
            inventory(&many, nvml),
            many,
            "usage",
        ),
        sent("1,025 workloads", workloads(&crowd), crowd, "usage"),
    ];
    for (fault, tree) in [
        ("a workload with a zero that is spelled out", respelled),
        ("a workload with an unknown field", unknown),
        ("a workload that is no protobuf", broken),
    ] {
        out.push(sent(fault, workloads(&tree), tree.clone(), "leaves"));
    }
    let device = raw(&[0x0a, 0x00]);
    out.push(sent(
        "a device with an empty string that is spelled out",
        inventory(&device, nvml),
        device.clone(),
        "leaves",
    ));
    // Usage whose tree is empty: not even a totals line.
    let empty = SaltedTree::new(affiant_proto::Seed::new([9; 16]), Vec::new()).unwrap();
    let mut body = usage_body(&empty);
    (body.start_ms, body.end_ms) = (70_000, 80_000);
    out.push(sent(
        "a usage record without any leaf",
        body.into(),
        empty,
        "usage",
    ));
    out
}
