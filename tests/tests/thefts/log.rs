//! The log's key: it signs checkpoints, and so another log.

use std::{fs, path::PathBuf};

use affiant_agent::{
    anchor::{Anchor, Unproved},
    deployment,
};
use affiant_proto::{
    Ed25519Signer, Envelope,
    tlog::{Checkpoint, Hash, MemoryTree, Note, NoteSigner, Origin, consistency_proof, leaf_hash},
    v1,
};
use affiant_tests::{
    Deployment, Outcome, Witness,
    host::{describe, looks},
};
use affiant_verifier::{data::DataDir, keyfile};

use crate::{enrolled, sends};

/// The leaves of the log's tree; the verifier must be stopped.
fn leaves(deployment: &Deployment) -> Vec<Hash> {
    let entries = deployment.log_entries();
    let digests = entries.iter().map(|bytes| {
        let envelope = Envelope::parse(bytes).unwrap();
        leaf_hash(envelope.statement().digest().as_bytes())
    });
    digests.collect()
}

/// The first half of the real log, and from there on what the thief likes.
fn forged_tree(real: &[Hash], size: usize) -> MemoryTree {
    let kept = real[..real.len() / 2].iter().copied();
    let forged = (0..u32::MAX).map(|n| leaf_hash(&n.to_be_bytes()));
    kept.chain(forged).take(size).collect()
}

fn signed(tree: &MemoryTree, origin: &Origin, key: Ed25519Signer) -> Note {
    let size = tree.size();
    let checkpoint = Checkpoint::new(origin.clone(), size, tree.root(size).unwrap()).unwrap();
    let signer = NoteSigner::new(origin.key_name(), key).unwrap();
    checkpoint.sign(&signer).unwrap().into_note()
}

/// What the thief tells and shows in the verifier's place.
fn fooled(anchor: &Anchor, told: &v1::DescribeReply, thief: &MemoryTree) -> Option<Unproved> {
    let mut anchor = anchor.clone();
    if let Err(refused) = anchor.shown(told) {
        return Some(refused);
    }
    anchor.unproved().iter().find_map(|seen| {
        let proof = consistency_proof(thief, seen.checkpoint().size(), thief.size()).unwrap();
        let reply = v1::ExtendReply {
            checkpoint: told.checkpoint.clone(),
            path: proof.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
        };
        anchor.extend(seen, &reply).err()
    })
}

fn succeed(deployment: &mut Deployment) {
    deployment.stop();
    let proposal = deployment.path("next.json");
    let proposal = proposal.to_str().unwrap();
    let asked = ["--reason", "log key stolen", "--out", proposal];
    deployment.succeed(&[&["succession", "propose"], &asked[..]].concat());
    let mut open = vec!["succession".to_owned(), "open".into(), proposal.into()];
    for officer in ["alice", "bob"] {
        let key = deployment.key(officer);
        let by = ["--key", key.to_str().unwrap(), "--yes"];
        deployment.succeed(&[&["succession", "approve", proposal], &by[..]].concat());
        open.push(format!("{proposal}.{officer}"));
    }
    let open: Vec<&str> = open.iter().map(String::as_str).collect();
    deployment.succeed(&open);
    deployment.start();
}

fn write(deployment: &Deployment, name: &str, note: &Note) -> PathBuf {
    let path = deployment.path(name);
    fs::write(&path, note.to_string()).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_log_key_signs_another_log_that_neither_host_nor_witness_nor_auditor_takes() {
    let mut deployment = Deployment::judged_by("");
    let mut host = enrolled(&deployment, "gpu-1").await;
    let told = describe(&deployment.address(), &deployment.ca()).await;
    let known = deployment::Deployment::of(&told.genesis).unwrap();
    let mut anchor = Anchor::new(known, None, None);
    looks(&mut anchor, &host, &deployment).await.unwrap();
    let copy = deployment.path("stolen-log.key");
    fs::copy(DataDir::at(&deployment.data()).log_key(), &copy).unwrap();
    let stolen = || keyfile::read_signer(&copy).unwrap();

    // The thief's log is the real one without what the host said last, and goes on in its own way.
    deployment.stop();
    let real = leaves(&deployment);
    deployment.start();
    let kept = deployment.keep_checkpoint("kept");
    let witness = Witness::of(&deployment, "witness");
    let honest = Note::parse(&fs::read(&kept).unwrap()).unwrap();
    assert_eq!(witness.asked(0, Vec::new(), &honest), 200);
    let seen: Checkpoint = honest.text().parse().unwrap();
    let thief = forged_tree(&real, 1_000);
    let origin = seen.origin().clone();
    let false_note = signed(&thief, &origin, stolen());
    let lie = v1::DescribeReply {
        checkpoint: false_note.to_string().into_bytes(),
        ..told.clone()
    };
    let refused = fooled(&anchor, &lie, &thief).unwrap();
    assert_eq!(refused.charge().unwrap().rule, "LOG_FORKED", "{refused}");
    let proof = consistency_proof(&thief, seen.size(), thief.size()).unwrap();
    assert_eq!(witness.asked(seen.size(), proof, &false_note), 422);
    // Who was shown a state of it that the real log had too has proof that two logs were signed.
    let size = usize::try_from(seen.size()).unwrap();
    let early = forged_tree(&real, size);
    let early = write(&deployment, "early", &signed(&early, &origin, stolen()));
    let audit = deployment.audit(&early);
    assert_eq!(
        (audit.exit, audit.verdict.as_str()),
        (2, "broken"),
        "{:#}",
        audit.said
    );
    // One that is ahead of the real log cannot be told from a newer one.
    let false_kept = write(&deployment, "false-kept", &false_note);
    let audit = deployment.audit(&false_kept);
    audit.assert(3, "incomplete", "unrelated", &[]);

    // Two officers open the next generation, with another key.
    assert_eq!(sends(&deployment, &mut host).await, Outcome::Included);
    succeed(&mut deployment);
    looks(&mut anchor, &host, &deployment).await.unwrap();
    assert_eq!(sends(&deployment, &mut host).await, Outcome::Included);
    let refused = fooled(&anchor, &lie, &thief).unwrap();
    assert_eq!(refused.charge().unwrap().rule, "LOG_WENT_BACK", "{refused}");
    // The old key counts for nothing in the new generation.
    let next = signed(&thief, &origin.successor().unwrap(), stolen());
    let lie = v1::DescribeReply {
        checkpoint: next.to_string().into_bytes(),
        ..told
    };
    let refused = fooled(&anchor, &lie, &thief).unwrap();
    assert!(matches!(refused, Unproved::Checkpoint { .. }), "{refused}");

    let audit = deployment.audit(&kept);
    audit.assert(1, "findings", "kept", &["LOG_SUCCESSION"]);
    let audit = deployment.audit(&false_kept);
    assert_eq!(
        (audit.exit, audit.verdict.as_str()),
        (2, "broken"),
        "{:#}",
        audit.said
    );
}
