//! What each layer makes of stated inputs: one JSON file a layer.

use std::collections::BTreeSet;

use affiant_judge::{Judge, Parameters};
use affiant_proto::{
    SaltedTree, Seed, Signer as _,
    authority::{officer_approval_bytes, succession_approval_bytes},
    chain::key_change_bytes,
    digest,
    predecessor::reenrolment_bytes,
    salted::salted_leaf,
    statement::Kind,
    tlog::{self, AddCheckpoint, Hash, MemoryTree, NoteSigner, Origin},
    v1,
};
use prost::Message as _;
use prost_reflect::{DynamicMessage, Value as Field};
use serde_json::{Value, json};

use crate::{
    bytes::{Parts, content_type, hex, protected, signed, wrapped},
    example::{Example, KEYS, ORIGIN, entry, public, signer, stand_in, time},
    messages::{decode, filled, named, of_kind, pool, to_json},
};

/// Every file with its contents.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("keys.json", keys()),
        ("statements.json", statements()),
        ("salted.json", salted()),
        ("trees.json", trees()),
        ("notes.json", notes()),
        ("chains.json", chains()),
        ("roll-calls.json", crate::roll_calls::all()),
        ("host.json", host()),
        ("dossier.json", dossier()),
    ]
}

fn keys() -> Value {
    let one = |(name, byte): (&str, u8)| {
        let key = signer(byte);
        let signature = key.sign(b"message").unwrap();
        json!({
            "name": name,
            "seed": hex([byte; 32]),
            "public": hex(key.public_key().as_bytes()),
            "id": hex(key.public_key().id().as_bytes()),
            "signature_of_message": hex(signature),
        })
    };
    let p256 = affiant_proto::PublicKey::esp256(&crate::refused::rfc6979_key()).unwrap();
    json!({
        "what": "ed25519 keys from seeds (RFC 8032), their ids, and the signature of the seven bytes \"message\"; one p-256 key with its id; signatures that some libraries refuse and that are accepted",
        "ed25519": KEYS.map(one),
        "esp256": { "public": hex(p256.as_bytes()), "id": hex(p256.id().as_bytes()) },
        "accepted": accepted(p256.as_bytes()),
    })
}

/// Signatures at the edge of what is accepted.
fn accepted(p256: &[u8]) -> Value {
    let mixed = crate::refused::mixed_order();
    let one = |what: &str, algorithm: &str, key: &[u8], message: &[u8], signature: &[u8]| {
        json!({
            "what": what,
            "algorithm": algorithm,
            "key": hex(key),
            "message": hex(message),
            "signature": hex(signature),
        })
    };
    json!([
        one(
            "a key with a part of small order, where the equation holds without the cofactor",
            "ed25519",
            &mixed.key,
            &mixed.holds.0,
            &mixed.holds.1,
        ),
        one(
            "RFC 6979, A.2.5, \"test\"",
            "esp256",
            p256,
            b"test",
            &crate::refused::rfc6979_low(),
        ),
        one(
            "RFC 6979, A.2.5, \"sample\", with s taken from the order",
            "esp256",
            p256,
            b"sample",
            &crate::refused::rfc6979_lowered(),
        ),
    ])
}

/// The header of every statement in `statements.json`.
fn header() -> v1::Header {
    v1::Header {
        chain: vec![0xc0; 32],
        sequence: 300,
        previous: vec![0xb0; 32],
        time: Some(time(0)),
        checkpoint: Some(v1::CheckpointRef {
            origin: ORIGIN.into(),
            size: 70_000,
            root: vec![0xd0; 32],
        }),
    }
}

fn statements() -> Value {
    let pool = pool();
    let leading = Field::Message(decode(named(&pool, "Header"), &header().encode_to_vec()));
    let mut made = Vec::new();
    for kind in Kind::ALL {
        let kind = kind.name();
        let kind = kind.strip_suffix(".v1").unwrap();
        let message = of_kind(&pool, kind);
        let bare = DynamicMessage::new(message.clone());
        for mut body in filled(&message).into_iter().chain([bare]) {
            body.set_field_by_name("header", leading.clone());
            made.push(statement(kind, &body));
        }
    }
    json!({
        "what": "each kind with every field set (once for each alternative of a oneof), and with its header alone; `message` is the protobuf JSON mapping with the names of the fields",
        "signer_seed": hex([5; 32]),
        "statements": made,
    })
}

fn statement(kind: &str, body: &DynamicMessage) -> Value {
    let key = signer(5);
    let payload = body.encode_to_vec();
    let protected = protected(0x32, &content_type(kind), key.public_key().id());
    let signed = signed(&protected, &payload);
    let signature = key.sign(&signed).unwrap();
    let statement = wrapped(&protected, &payload, &signature);
    json!({
        "kind": kind,
        "message": to_json(body),
        "payload": hex(&payload),
        "protected": hex(&protected),
        "signed": hex(&signed),
        "signature": hex(signature),
        "statement": hex(&statement),
        "digest": digest(&statement).to_string(),
    })
}

fn salted() -> Value {
    let case = |count: u8| {
        let seed = Seed::new([count; 16]);
        let leaves: Vec<Vec<u8>> = (0..count).map(|n| vec![n; usize::from(n)]).collect();
        let tree = SaltedTree::new(seed.clone(), leaves.clone()).unwrap();
        let salts: Vec<_> = (0..u32::from(count)).map(|n| seed.salt(n)).collect();
        let hashes: Vec<_> = salts
            .iter()
            .zip(&leaves)
            .map(|(s, l)| hex(salted_leaf(s, l)))
            .collect();
        let last = u32::from(count).saturating_sub(1);
        let subsets: BTreeSet<Vec<u32>> =
            [vec![], vec![0], vec![last], vec![0, last], vec![0, 2, 3]]
                .map(|subset| {
                    subset
                        .into_iter()
                        .filter(|n| *n < u32::from(count))
                        .collect()
                })
                .map(|subset: BTreeSet<u32>| subset.into_iter().collect())
                .into();
        let disclosed = subsets.iter().map(|subset| {
            let disclosure = tree.disclose(&subset.iter().copied().collect());
            json!({ "shown": subset, "proof": disclosure.proof.iter().map(hex).collect::<Vec<_>>() })
        });
        json!({
            "seed": hex(seed.as_bytes()),
            "leaves": leaves.iter().map(hex).collect::<Vec<_>>(),
            "salts": salts.iter().map(hex).collect::<Vec<_>>(),
            "hashes": hashes,
            "root": hex(tree.root()),
            "disclosures": disclosed.collect::<Vec<_>>(),
        })
    };
    json!({
        "what": "leaves under a salted root, and the multi-proofs of some of them",
        "trees": ([0, 1, 2, 3, 6, 9].map(case)),
    })
}

fn trees() -> Value {
    const SIZE: u64 = 13;
    let leaf = |n: u64| tlog::leaf_hash(digest(&n.to_be_bytes()).as_bytes());
    let mut tree = MemoryTree::default();
    (0..SIZE).for_each(|n| tree.push(leaf(n)));
    let all = |hashes: Vec<Hash>| hashes.iter().map(hex).collect::<Vec<_>>();
    let roots: Vec<_> = (0..=SIZE)
        .map(|size| hex(tlog::root_at(&tree, size).unwrap()))
        .collect();
    let inclusion: Vec<_> = (0..SIZE)
        .map(
            |n| json!({ "index": n, "proof": all(tlog::inclusion_proof(&tree, n, SIZE).unwrap()) }),
        )
        .collect();
    let consistency: Vec<_> = (0..=SIZE)
        .map(|old| json!({ "old": old, "proof": all(tlog::consistency_proof(&tree, old, SIZE).unwrap()) }))
        .collect();
    let multi = [vec![], vec![12], vec![0, 1], vec![3, 4, 5, 11], (0..SIZE).collect::<Vec<_>>()]
        .map(|shown| json!({ "shown": shown, "proof": all(tlog::multi_proof(&tree, &shown, SIZE).unwrap()) }));
    json!({
        "what": "an RFC 6962 tree of 13 leaves; entry n is the SHA-256 of n as 8 bytes, big-endian",
        "roots_by_size": roots,
        "inclusion": inclusion,
        "consistency": consistency,
        "multi": multi,
    })
}

fn notes() -> Value {
    let example = Example::new();
    let signed = example.checkpoint();
    let origin: Origin = ORIGIN.parse().unwrap();
    let log = NoteSigner::new(origin.key_name(), signer(2)).unwrap();
    let witness = Example::witness();
    let seconds = 1_700_000_020;
    let cosignature = witness.cosign(signed.checkpoint(), seconds).unwrap();
    let mut cosigned = signed.note().clone();
    cosigned.add(cosignature.clone()).unwrap();
    let tree = example.tree();
    let proof = tlog::consistency_proof(&tree, 3, 6).unwrap();
    let request = AddCheckpoint::new(3, proof, signed.note().clone()).unwrap();
    json!({
        "what": "the checkpoint over the example's log, signed by the log and cosigned by a witness",
        "log_seed": hex([2; 32]),
        "log_vkey": log.key().to_string(),
        "text": signed.checkpoint().to_string(),
        "note": signed.note().to_string(),
        "witness_seed": hex([7; 32]),
        "witness_vkey": witness.key().to_string(),
        "seconds": seconds,
        "cosignature_line": cosignature.to_string(),
        "cosigned_note": cosigned.to_string(),
        "add_checkpoint_from_3": request.to_string(),
    })
}

fn chains() -> Value {
    let example = Example::new();
    let mut chain = example.chain_after(3).state().clone();
    let next = signer(6);
    let affiant_proto::statement::Place::Link {
        chain: id,
        sequence,
        previous,
    } = chain.next_place()
    else {
        unreachable!()
    };
    let bytes = key_change_bytes(id, sequence, previous, next.public_key());
    let proof = next.sign(&bytes).unwrap();
    let change = v1::Key {
        header: None,
        new_key: public(6),
        proof: proof.to_vec(),
        ca: Vec::new(),
    };
    let change = crate::example::seal(change, chain.next_place(), 24_000, None, 5);
    chain.follow(change.clone()).unwrap();
    let after = v1::Observation {
        rule: "EXAMPLE".into(),
        ..Default::default()
    };
    let after = crate::example::seal(after, chain.next_place(), 25_000, None, 6);
    chain.follow(after.clone()).unwrap();
    let genesis = example.genesis.digest();
    let approval = officer_approval_bytes(genesis, &public(6), "cy");
    let old = example.chain_after(3).state().clone();
    let place = (old.chain(), old.sequence(), old.head());
    let again = reenrolment_bytes(genesis, place, signer(13).public_key());
    let proof_again = signer(5).sign(&again).unwrap();
    let enrolment = v1::Enrolment {
        genesis: genesis.as_bytes().to_vec(),
        host: "host-a".into(),
        record_key: public(13),
        predecessor: Some(v1::Predecessor {
            chain: old.chain().as_bytes().to_vec(),
            sequence: old.sequence(),
            head: old.head().as_bytes().to_vec(),
            reason: "disk replaced".into(),
            proof: proof_again.to_vec(),
        }),
        ..Default::default()
    };
    let enrolment = crate::example::seal(
        enrolment,
        affiant_proto::statement::Place::Opening,
        26_000,
        None,
        13,
    );
    let said = crate::authority::spoken();
    let heard = crate::authority::heard(&said);
    let succession = crate::authority::succession();
    let bytes_of_succession = succession_approval_bytes(genesis, &succession);
    let succession = crate::authority::approved(&heard, succession, &[3, 4]);
    let succession = crate::authority::says(&heard, succession, 11);
    let said: Vec<String> = said.iter().map(|one| hex(one.as_bytes())).collect();
    json!({
        "what": "a change of key after the example's usage record, a statement by the new key, what officers sign to admit another, an enrolment again that the old key proves, and a succession of the log",
        "chain": id.to_string(),
        "key_change": {
            "sequence": sequence,
            "previous": previous.to_string(),
            "new_key": hex(public(6)),
            "bytes": hex(&bytes),
            "proof": hex(proof),
            "statement": hex(change.as_bytes()),
            "after": hex(after.as_bytes()),
        },
        "officer_approval": {
            "genesis": genesis.to_string(),
            "key": hex(public(6)),
            "name": "cy",
            "bytes": hex(&approval),
            "signature_of_ann": hex(signer(3).sign(&approval).unwrap()),
            "signature_of_bo": hex(signer(4).sign(&approval).unwrap()),
        },
        "reenrolment": {
            "genesis": genesis.to_string(),
            "sequence": old.sequence(),
            "head": old.head().to_string(),
            "record_key": hex(public(13)),
            "bytes": hex(&again),
            "proof": hex(proof_again),
            "statement": hex(enrolment.as_bytes()),
        },
        "authority": {
            "statements": said,
            "index": crate::authority::NEXT_INDEX,
            "approval_bytes": hex(&bytes_of_succession),
            "succession": hex(succession.as_bytes()),
        },
    })
}

fn host() -> Value {
    let example = Example::new();
    let envelope = |envelope: &affiant_proto::Envelope| {
        let tree = envelope.tree().unwrap();
        json!({
            "kind": envelope.statement().kind().name(),
            "seed": hex(tree.seed().as_bytes()),
            "leaves": tree.leaves().iter().map(hex).collect::<Vec<_>>(),
            "root": hex(tree.root()),
            "statement": hex(envelope.statement().as_bytes()),
            "digest": envelope.statement().digest().to_string(),
            "envelope": hex(envelope.to_bytes()),
        })
    };
    let usage = example.usage.statement();
    let parts = Parts::of(usage.as_bytes());
    json!({
        "what": "the example of FORMAT.md: a genesis, a host's enrolment, and what the host sends then",
        "genesis": hex(example.genesis.as_bytes()),
        "clock": hex(example.clock.as_bytes()),
        "enrolment": hex(example.enrolment.as_bytes()),
        "sent": [envelope(&example.inventory), envelope(&example.workloads), envelope(&example.usage)],
        "usage_payload": hex(parts.payload),
        "log_entries": example.log().map(|statement| statement.digest().to_string()),
        "log_leaves": example.log().map(|statement| hex(entry(statement))),
        "record_key_id": hex(usage.key().as_bytes()),
    })
}

fn dossier() -> Value {
    use v1::tenant_event::Body as Said;
    let edge = |from: &str, to: &str, kind: v1::EdgeKind| {
        Said::Edge(v1::Edge {
            from: from.into(),
            to: to.into(),
            kind: kind.into(),
            share_min_bp: Some(5_100),
            source: "register".into(),
            ..Default::default()
        })
    };
    let party = |id: &str, headquarters: &str| {
        Said::Party(v1::Party {
            id: id.into(),
            kind: v1::PartyKind::Organisation.into(),
            names: vec![v1::PartyName {
                text: format!("{id} Ltd"),
                script: "Latn".into(),
                language: "en".into(),
            }],
            incorporation: "SG".into(),
            headquarters: headquarters.into(),
            evidence: vec![stand_in(id)],
            ..Default::default()
        })
    };
    let said = [
        party("zeta-owner", "AE"),
        party("broker", "unknown"),
        party("lab", "CH"),
        party("bystander", "US"),
        edge("zeta-owner", "broker", v1::EdgeKind::Owns),
        edge("holding", "zeta-owner", v1::EdgeKind::Controls),
        edge("broker", "lab", v1::EdgeKind::ResellsTo),
        edge("lab", "university", v1::EdgeKind::AffiliatedUnitOf),
        edge("bystander", "other", v1::EdgeKind::Owns),
        edge("broker", "bystander", v1::EdgeKind::ResellsTo),
        party("university", "CH"),
        // Stated again: the last word counts.
        party("broker", "SG"),
        Said::Tenant(v1::Tenant {
            id: "tenant-1".into(),
            customer: "broker".into(),
            end_customer: "lab".into(),
            declared_use: "protein folding".into(),
            training_declared: Some(false),
            conditions: Some(v1::Conditions {
                device_classes: vec!["H200".into()],
                max_gpus: Some(16),
                max_aggregate_tpp: Some(300_000),
                max_gpu_hours_month: Some(11_680),
                ..Default::default()
            }),
            ..Default::default()
        }),
    ];
    let pool = pool();
    let mut judge = Judge::new(Parameters::default());
    let mut events = Vec::new();
    for (body, index) in said.into_iter().zip(1..) {
        let event = v1::TenantEvent {
            header: None,
            effective_unix_ms: index,
            body: Some(body),
        };
        judge.tenant_event(index, [3; 32], &event);
        events.push(to_json(&decode(
            named(&pool, "TenantEvent"),
            &event.encode_to_vec(),
        )));
    }
    let dossier = judge.registry().dossier("tenant-1").unwrap();
    let bytes = dossier.encode_to_vec();
    json!({
        "what": "tenant events in the order of the log, and the dossier of tenant-1 that they make",
        "events": events,
        "dossier": to_json(&decode(named(&pool, "Dossier"), &bytes)),
        "bytes": hex(&bytes),
        "digest": judge.registry().dossier_digest("tenant-1").unwrap().to_string(),
    })
}
