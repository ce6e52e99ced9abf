//! The golden files read by the other side: what they hold is parsed, verified and admitted.

use affiant_proto::{
    Body, ChainState, Disclosure, Envelope, PublicKey, SaltedTree, Seed, Statement,
    authority::Revocations,
    salted::{Shown, salted_leaf},
    tlog::{self, AddCheckpoint, Checkpoint, CosignerKey, Hash, NoteKey, Policy},
};
use prost::Message as _;
use serde_json::Value;

use crate::{
    bytes::{hex, unhex},
    example::{Example, KEYS, NVML_ONLY, public, signer},
    golden,
    messages::{from_json, named, of_kind, pool},
    refused::usage_after,
};

fn bytes(value: &Value) -> Vec<u8> {
    unhex(value.as_str().unwrap())
}

fn hashes(value: &Value) -> Vec<Hash> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|hash| hash.as_str().unwrap().parse().unwrap())
        .collect()
}

#[test]
fn a_second_encoder_makes_every_payload_from_its_json() {
    let pool = pool();
    let file = golden("statements.json");
    let statements = file["statements"].as_array().unwrap();
    let mut kinds: Vec<&str> = Vec::new();
    for made in statements {
        let kind = made["kind"].as_str().unwrap();
        kinds.push(kind);
        let message = from_json(of_kind(&pool, kind), &made["message"]);
        assert_eq!(hex(message.encode_to_vec()), made["payload"], "{kind}");
        let read = Statement::parse(&bytes(&made["statement"])).unwrap();
        assert_eq!(read.kind().name(), format!("{kind}.v1"));
        assert!(!matches!(read.body(), Body::Unknown(_)), "{kind}");
        assert_eq!(read.header().sequence(), 300);
        assert_eq!(read.digest().to_string(), made["digest"]);
        let key = PublicKey::ed25519(&public(5)).unwrap();
        read.verify(&key).unwrap();
        key.verify(
            &bytes(&made["signed"]),
            bytes(&made["signature"]).as_slice().try_into().unwrap(),
        )
        .unwrap();
    }
    for kind in affiant_proto::Kind::ALL {
        let name = kind.name();
        assert!(
            kinds.contains(&name.strip_suffix(".v1").unwrap()),
            "{name} has no vector"
        );
    }
}

#[test]
fn keys_come_from_their_seeds_and_have_their_names() {
    let file = golden("keys.json");
    for (key, (name, seed)) in file["ed25519"].as_array().unwrap().iter().zip(KEYS) {
        assert_eq!(key["name"], name);
        let read = PublicKey::ed25519(&bytes(&key["public"])).unwrap();
        assert_eq!(&read, affiant_proto::Signer::public_key(&signer(seed)));
        assert_eq!(hex(read.id().as_bytes()), key["id"]);
        let signature = bytes(&key["signature_of_message"]);
        read.verify(b"message", signature.as_slice().try_into().unwrap())
            .unwrap();
    }
}

#[test]
fn signatures_at_the_edge_of_what_is_accepted_verify() {
    let file = golden("keys.json");
    let accepted = file["accepted"].as_array().unwrap();
    for one in accepted {
        let key = bytes(&one["key"]);
        let key = match one["algorithm"].as_str().unwrap() {
            "ed25519" => PublicKey::ed25519(&key),
            _ => PublicKey::esp256(&key),
        };
        let signature = bytes(&one["signature"]);
        let verdict = key.unwrap().verify(
            &bytes(&one["message"]),
            signature.as_slice().try_into().unwrap(),
        );
        assert!(verdict.is_ok(), "{}", one["what"]);
    }
    assert_eq!(accepted.len(), 3);
}

#[test]
fn every_disclosure_of_the_salted_trees_holds() {
    for tree in golden("salted.json")["trees"].as_array().unwrap() {
        let seed = Seed::new(bytes(&tree["seed"]).try_into().unwrap());
        let leaves: Vec<Vec<u8>> = tree["leaves"]
            .as_array()
            .unwrap()
            .iter()
            .map(bytes)
            .collect();
        for (leaf, index) in leaves.iter().zip(0..) {
            let at = index as usize;
            assert_eq!(hex(seed.salt(index)), tree["salts"][at]);
            assert_eq!(
                hex(salted_leaf(&seed.salt(index), leaf)),
                tree["hashes"][at]
            );
        }
        let count = u32::try_from(leaves.len()).unwrap();
        let root = bytes(&tree["root"]);
        SaltedTree::new(seed.clone(), leaves.clone())
            .unwrap()
            .matches(&root, count)
            .unwrap();
        for disclosed in tree["disclosures"].as_array().unwrap() {
            let shown = disclosed["shown"].as_array().unwrap().iter().map(|index| {
                let index = u32::try_from(index.as_u64().unwrap()).unwrap();
                Shown {
                    index,
                    salt: seed.salt(index),
                    content: leaves[index as usize].clone(),
                }
            });
            let disclosure = Disclosure {
                shown: shown.collect(),
                proof: hashes(&disclosed["proof"]),
            };
            disclosure.matches(&root, count).unwrap();
        }
    }
}

#[test]
fn every_proof_of_the_tree_holds() {
    let file = golden("trees.json");
    let roots = hashes(&file["roots_by_size"]);
    let size = roots.len() as u64 - 1;
    let root = roots.last().unwrap();
    let leaf = |n: u64| tlog::leaf_hash(affiant_proto::digest(&n.to_be_bytes()).as_bytes());
    for proof in file["inclusion"].as_array().unwrap() {
        let index = proof["index"].as_u64().unwrap();
        tlog::verify_inclusion(&leaf(index), index, size, root, &hashes(&proof["proof"])).unwrap();
    }
    for (proof, old_root) in file["consistency"].as_array().unwrap().iter().zip(&roots) {
        let old = proof["old"].as_u64().unwrap();
        tlog::verify_consistency(old, old_root, size, root, &hashes(&proof["proof"])).unwrap();
    }
    for proof in file["multi"].as_array().unwrap() {
        let shown = proof["shown"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap());
        let leaves: Vec<_> = shown.map(|n| (n, leaf(n))).collect();
        tlog::verify_multi(&leaves, size, root, &hashes(&proof["proof"])).unwrap();
    }
}

#[test]
fn the_checkpoint_is_the_logs_and_the_witness_saw_it() {
    let file = golden("notes.json");
    let text = |name: &str| file[name].as_str().unwrap().to_owned();
    let log: NoteKey = text("log_vkey").parse().unwrap();
    let witness: CosignerKey = text("witness_vkey").parse().unwrap();
    let signed = Checkpoint::open(text("note").as_bytes(), &log).unwrap();
    assert_eq!(signed.checkpoint().to_string(), text("text"));
    let example = Example::new();
    assert_eq!(signed.checkpoint().root(), &example.tree().root(6).unwrap());
    let cosigned = Checkpoint::open(text("cosigned_note").as_bytes(), &log).unwrap();
    let seconds = tlog::verify_cosignature(cosigned.note(), &witness).unwrap();
    assert_eq!(seconds, file["seconds"].as_u64().unwrap());
    Policy::new(vec![witness], 1)
        .unwrap()
        .cosigned(cosigned.note(), cosigned.checkpoint())
        .unwrap();
    let request = AddCheckpoint::parse(text("add_checkpoint_from_3").as_bytes()).unwrap();
    let old_root = example.tree().root(3).unwrap();
    tlog::verify_consistency(3, &old_root, 6, signed.checkpoint().root(), request.proof()).unwrap();
}

#[test]
fn the_examples_host_is_admitted_statement_by_statement() {
    let file = golden("host.json");
    let read = |name: &str| Statement::parse(&bytes(&file[name])).unwrap();
    let (operator, _) = ChainState::open(read("genesis")).unwrap();
    let (mut host, _) = affiant_judge::admission::HostChain::open(
        read("enrolment"),
        operator.chain(),
        &Revocations::default(),
        None,
    )
    .unwrap();
    for sent in file["sent"].as_array().unwrap() {
        let envelope = Envelope::parse(&bytes(&sent["envelope"])).unwrap();
        assert_eq!(envelope.statement().digest().to_string(), sent["digest"]);
        host.admit(envelope, NVML_ONLY, &Revocations::default())
            .unwrap();
    }
}

#[test]
fn the_old_key_lets_the_host_enrol_again_and_two_officers_open_the_next_generation() {
    let file = golden("chains.json");
    let old = Example::new().chain_after(3).state().clone();
    let again = Statement::parse(&bytes(&file["reenrolment"]["statement"])).unwrap();
    let Body::Enrolment(body) = again.body() else {
        panic!("not an enrolment");
    };
    assert_eq!(
        affiant_proto::Reenrolment::of(body, Some(&old)),
        affiant_proto::Reenrolment::Proved
    );
    let authority = &file["authority"];
    let said = authority["statements"].as_array().unwrap().iter();
    let said: Vec<Statement> = said
        .map(|one| Statement::parse(&bytes(one)).unwrap())
        .collect();
    let mut it = crate::authority::heard(&said);
    let succession = Statement::parse(&bytes(&authority["succession"])).unwrap();
    it.admit(authority["index"].as_u64(), succession, false)
        .unwrap();
    let key = it.lineage().current().key();
    assert_eq!(key.public_key().as_bytes(), public(12));
}

#[test]
fn the_key_change_hands_over_and_officers_signatures_verify() {
    let file = golden("chains.json");
    let change = &file["key_change"];
    let mut chain = Example::new().chain_after(3).state().clone();
    for name in ["statement", "after"] {
        chain
            .follow(Statement::parse(&bytes(&change[name])).unwrap())
            .unwrap();
    }
    assert_eq!(hex(chain.key().as_bytes()), change["new_key"]);
    let approval = &file["officer_approval"];
    for (name, seed) in [("signature_of_ann", 3), ("signature_of_bo", 4)] {
        let key = PublicKey::ed25519(&public(seed)).unwrap();
        key.verify(
            &bytes(&approval["bytes"]),
            bytes(&approval[name]).as_slice().try_into().unwrap(),
        )
        .unwrap();
    }
}

#[test]
fn the_dossier_is_the_same_bytes_from_its_json() {
    let file = golden("dossier.json");
    let message = from_json(named(&pool(), "Dossier"), &file["dossier"]).encode_to_vec();
    assert_eq!(hex(&message), file["bytes"]);
    assert_eq!(affiant_proto::digest(&message).to_string(), file["digest"]);
    let parties = file["dossier"]["parties"].as_array().unwrap();
    let ids: Vec<_> = parties
        .iter()
        .map(|party| party["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        ["broker", "lab", "university", "zeta-owner"],
        "no bystander, by id"
    );
}

#[test]
fn what_the_faults_are_built_on_is_accepted_without_them() {
    let example = Example::new();
    example
        .chain_after(3)
        .admit(usage_after(), NVML_ONLY, &Revocations::default())
        .unwrap();
    let parts = crate::bytes::Parts::of(example.clock.as_bytes());
    let again = crate::bytes::statement("clock", &parts.payload, &signer(1));
    assert_eq!(
        again,
        example.clock.as_bytes(),
        "the template, written twice"
    );
    Statement::parse(&crate::bytes::statement(
        "tea-leaves",
        &parts.payload,
        &signer(1),
    ))
    .unwrap();
    let opening = crate::bytes::Parts::of(example.enrolment.as_bytes()).payload;
    let opening = crate::bytes::statement("enrolment", &opening, &signer(5));
    ChainState::open(Statement::parse(&opening).unwrap()).unwrap();
}
