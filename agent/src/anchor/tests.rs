//! Logs that only grow, and logs that do not.
use super::*;
use affiant_proto::{
    Ed25519Signer, Signer, Statement,
    authority::succession_approval_bytes,
    statement::Place,
    tlog::{MemoryTree, Nodes as _, NoteSigner, consistency_proof, inclusion_proof},
};

const OFFICERS: [u8; 2] = [21, 22];

fn officer(seed: u8) -> v1::OfficerKey {
    let key = Ed25519Signer::from_seed(&[seed; 32]).unwrap();
    v1::OfficerKey {
        name: format!("officer {seed}"),
        key: key.public_key().as_bytes().to_vec(),
    }
}

struct Log {
    seed: u8,
    origin: &'static str,
    tree: MemoryTree,
}

fn log() -> (Log, Deployment) {
    let signer = Ed25519Signer::from_seed(&[7; 32]).unwrap();
    let operator = Ed25519Signer::from_seed(&[8; 32]).unwrap();
    let genesis = v1::Genesis {
        origin: "log.example.org/1".into(),
        log_key: signer.public_key().as_bytes().to_vec(),
        operator_key: operator.public_key().as_bytes().to_vec(),
        ca: digest(b"ca").as_bytes().to_vec(),
        officers: OFFICERS.map(officer).to_vec(),
        ..v1::Genesis::default()
    };
    let time = crate::clock::header_time();
    let sealed = Statement::seal(genesis.into(), Place::Opening, time, None, &operator).unwrap();
    let deployment = Deployment::of(sealed.as_bytes()).unwrap();
    let tree = MemoryTree::default();
    let log = Log {
        seed: 7,
        origin: "log.example.org/1",
        tree,
    };
    (log, deployment)
}

impl Log {
    fn add(&mut self, record: &[u8]) -> Digest {
        let record = digest(record);
        self.tree.push(leaf_hash(record.as_bytes()));
        record
    }

    fn note(&self) -> Vec<u8> {
        let origin: affiant_proto::tlog::Origin = self.origin.parse().unwrap();
        let signer = Ed25519Signer::from_seed(&[self.seed; 32]).unwrap();
        let signer = NoteSigner::new(origin.key_name(), signer);
        let size = self.tree.size();
        let root = affiant_proto::tlog::root_at(&self.tree, size).unwrap();
        let checkpoint = Checkpoint::new(origin, size, root).unwrap();
        checkpoint
            .sign(&signer.unwrap())
            .unwrap()
            .note()
            .to_string()
            .into_bytes()
    }

    fn prove(&self, index: u64, size: u64) -> v1::ProveReply {
        let path = inclusion_proof(&self.tree, index, size).unwrap();
        v1::ProveReply {
            checkpoint: self.note(),
            path: path.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
        }
    }
}

#[test]
fn the_newest_checkpoint_stays_whatever_order_they_come_in() {
    let (mut log, deployment) = log();
    let mut anchor = Anchor::new(deployment, None, None);
    log.add(b"one");
    let small = log.note();
    log.add(b"two");
    anchor.take(&log.note()).unwrap();
    assert_eq!(anchor.take(&small).unwrap().checkpoint().size(), 1);
    assert_eq!(anchor.newest().unwrap().checkpoint().size(), 2);
}

#[test]
fn two_trees_of_one_size_convict_the_log() {
    let (mut log, deployment) = log();
    let mut anchor = Anchor::new(deployment.clone(), None, None);
    log.add(b"one");
    anchor.take(&log.note()).unwrap();
    log.tree = MemoryTree::default();
    log.add(b"another");
    let convicted = anchor.take(&log.note()).unwrap_err();
    let known = anchor.newest().unwrap().note().to_string();
    let charge = convicted.charge().unwrap();
    assert_eq!(charge.rule, "LOG_FORKED");
    assert_eq!(charge.notes, [known.clone().into_bytes(), log.note()]);
    let mut restarted = Anchor::new(deployment, None, Some(&known));
    assert!(
        restarted.take(&log.note()).is_err(),
        "a restart forgets nothing"
    );
}

#[test]
fn a_checkpoint_of_another_key_is_refused() {
    let (mut log, deployment) = log();
    log.add(b"one");
    log.seed = 9;
    let refused = Anchor::new(deployment, None, None)
        .take(&log.note())
        .unwrap_err();
    assert!(matches!(refused, Unproved::Checkpoint { .. }), "{refused}");
}

#[test]
fn a_record_is_proved_by_its_path_and_by_no_other() {
    let (mut log, deployment) = log();
    let records: Vec<Digest> = [b"a", b"b", b"c", b"d", b"e"].map(|r| log.add(r)).to_vec();
    let mut anchor = Anchor::new(deployment.clone(), None, None);
    assert!(
        anchor.claim((7, records[0]), 0).is_none(),
        "nothing is held"
    );
    ask(&mut anchor, &log, &deployment).unwrap();
    // The log goes on; what was held has to show the record all the same.
    log.add(b"f");
    for (index, record) in (0..).zip(&records) {
        let claim = |record| anchor.clone().claim((7, record), index).unwrap();
        assert_eq!(claim(*record).size(), 5);
        let prove = |record, reply| anchor.clone().prove(claim(record), reply);
        prove(*record, log.prove(index, 5)).unwrap();
        let mut short = log.prove(index, 5);
        short.path.pop();
        let mut bent = log.prove(index, 5);
        bent.path[0].pop();
        for (record, reply) in [
            (digest(b"x"), log.prove(index, 5)),
            (*record, log.prove((index + 1) % 5, 5)),
            (*record, log.prove(index, 6)),
            (*record, short),
            (*record, bent),
        ] {
            let wrong = prove(record, reply).unwrap_err();
            let charge = wrong.charge().unwrap();
            assert_eq!(charge.rule, "LOG_LACKS_RECORD", "{wrong}");
            let held = anchor.proved().unwrap().note().to_string();
            assert_eq!(charge.notes[0], held.into_bytes());
            assert!(charge.text.contains(&record.to_string()), "{}", charge.text);
        }
    }
    assert!(
        anchor.claim((7, records[0]), 5).is_none(),
        "beyond what is held"
    );
}

#[test]
fn a_log_that_has_no_proof_of_what_it_said_it_has_is_charged() {
    let (mut log, deployment) = log();
    let record = log.add(b"a");
    let mut anchor = Anchor::new(deployment.clone(), None, None);
    ask(&mut anchor, &log, &deployment).unwrap();
    let claim = anchor.claim((7, record), 0).unwrap();
    let charge = claim.denied("no such entry".into()).charge().unwrap();
    assert_eq!(charge.rule, "LOG_LACKS_RECORD");
    assert!(charge.text.contains("no such entry"), "{}", charge.text);
}

#[test]
fn what_a_succession_lost_need_not_be_shown_and_what_it_kept_must() {
    let (mut log, deployment) = log();
    let mut anchor = Anchor::new(deployment.clone(), None, None);
    for n in 0..6u8 {
        log.add(&[n]);
    }
    ask(&mut anchor, &log, &deployment).unwrap();
    let first = log.origin;
    assert!(anchor.keeps(first, 3) && anchor.keeps(first, 5));
    let seen = anchor.newest().unwrap().clone();
    let succession = succeed(&mut log, &deployment, 4, &seen);
    assert!(ask_after(&mut anchor, &log, &deployment, Some(&succession)).unwrap());
    assert!(anchor.keeps(first, 3) && !anchor.keeps(first, 4));
    assert!(anchor.keeps(log.origin, 4), "said by the new one");
    assert!(!anchor.keeps("other.example/1", 0));
}

fn described(log: &Log, deployment: &Deployment) -> v1::DescribeReply {
    v1::DescribeReply {
        genesis: deployment.statement().as_bytes().to_vec(),
        checkpoint: log.note(),
        ..v1::DescribeReply::default()
    }
}

fn extension(log: &Log, from: u64) -> v1::ExtendReply {
    let path = consistency_proof(&log.tree, from, log.tree.size()).unwrap();
    v1::ExtendReply {
        checkpoint: log.note(),
        path: path.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
    }
}

/// Asks as the uploader does.
fn ask(anchor: &mut Anchor, log: &Log, deployment: &Deployment) -> Result<bool, Unproved> {
    anchor.shown(&described(log, deployment))?;
    let mut shown = Vec::new();
    for seen in anchor.unproved() {
        shown.push(anchor.extend(&seen, &extension(log, seen.checkpoint().size()))?);
    }
    anchor.settle(shown)
}

#[test]
fn a_log_that_only_grows_is_proved_as_far_as_it_has_come() {
    let (mut log, deployment) = log();
    let mut anchor = Anchor::new(deployment.clone(), None, None);
    for n in 1..20u8 {
        log.add(&[n]);
        if n % 3 == 0 {
            anchor.take(&log.note()).unwrap();
            log.add(&[n, n]);
        }
        assert!(ask(&mut anchor, &log, &deployment).unwrap());
        let proved = anchor.proved().unwrap().checkpoint().size();
        assert_eq!(proved, log.tree.size());
    }
}

#[test]
fn a_log_that_is_shorter_than_it_was_went_back() {
    let (mut log, deployment) = log();
    log.add(b"one");
    let mut anchor = Anchor::new(deployment.clone(), None, None);
    let early = log.note();
    ask(&mut anchor, &log, &deployment).unwrap();
    log.add(b"two");
    anchor.take(&log.note()).unwrap();
    let mut reply = described(&log, &deployment);
    reply.checkpoint = early;
    let back = anchor.shown(&reply).unwrap_err();
    assert_eq!(back.charge().unwrap().rule, "LOG_WENT_BACK");
    assert!(back.charge().unwrap().text.contains("size 2"));
}

#[test]
fn another_history_is_found_out_under_what_was_proved_and_under_what_was_only_seen() {
    let (mut log, deployment) = log();
    log.add(b"one");
    let mut anchor = Anchor::new(deployment.clone(), None, None);
    ask(&mut anchor, &log, &deployment).unwrap();
    log.add(b"two");
    anchor.take(&log.note()).unwrap();
    let kept = anchor.proved().unwrap().note().to_string();
    let seen = anchor.newest().unwrap().note().to_string();
    for leaves in [
        [b"other", b"two  ", b"three"],
        [b"one  ", b"other", b"three"],
    ] {
        log.tree = MemoryTree::default();
        for leaf in leaves {
            log.add(leaf.trim_ascii_end());
        }
        let mut restarted = Anchor::new(deployment.clone(), Some(&kept), Some(&seen));
        let forked = ask(&mut restarted, &log, &deployment).unwrap_err();
        assert_eq!(forked.charge().unwrap().rule, "LOG_FORKED", "{forked}");
    }
}

#[test]
fn another_deployment_is_refused_by_its_genesis() {
    let (mut log, deployment) = log();
    log.add(b"one");
    let mut reply = described(&log, &deployment);
    reply.genesis.push(0);
    let refused = Anchor::new(deployment, None, None)
        .shown(&reply)
        .unwrap_err();
    assert!(
        matches!(refused, Unproved::OtherDeployment { .. }),
        "{refused}"
    );
    assert!(refused.charge().is_none());
}

/// Opens generation 2 over the first `kept` entries, owning up to `last`.
fn succeed(log: &mut Log, deployment: &Deployment, kept: u64, last: &SignedCheckpoint) -> Vec<u8> {
    let root = affiant_proto::tlog::root_at(&log.tree, kept).unwrap();
    let named = |size, root: &Hash| v1::CheckpointRef {
        origin: "log.example.org/1".into(),
        size,
        root: root.as_bytes().to_vec(),
    };
    let operator = Ed25519Signer::from_seed(&[8; 32]).unwrap();
    let key = Ed25519Signer::from_seed(&[17; 32]).unwrap();
    let mut body = v1::Succession {
        header: None,
        last: Some(named(last.checkpoint().size(), last.checkpoint().root())),
        origin: "log.example.org/2".into(),
        log_key: key.public_key().as_bytes().to_vec(),
        reason: "a lost disk".into(),
        approvals: Vec::new(),
        kept: Some(named(kept, &root)),
        operator_key: operator.public_key().as_bytes().to_vec(),
    };
    let bytes = succession_approval_bytes(deployment.digest(), &body);
    body.approvals = OFFICERS
        .map(|seed| {
            let signer = Ed25519Signer::from_seed(&[seed; 32]).unwrap();
            v1::OfficerApproval {
                officer: signer.public_key().as_bytes().to_vec(),
                signature: signer.sign(&bytes).unwrap().to_vec(),
            }
        })
        .to_vec();
    let place = deployment.authorities().operator().next_place();
    let time = crate::clock::header_time();
    let sealed = Statement::seal(body.into(), place, time, None, &operator).unwrap();
    let mut tree = MemoryTree::default();
    (0..kept).for_each(|index| tree.push(log.tree.node(0, index).unwrap()));
    log.tree = tree;
    (log.seed, log.origin) = (17, "log.example.org/2");
    log.add(sealed.as_bytes());
    sealed.as_bytes().to_vec()
}

fn ask_after(
    anchor: &mut Anchor,
    log: &Log,
    deployment: &Deployment,
    succession: Option<&Vec<u8>>,
) -> Result<bool, Unproved> {
    let mut reply = described(log, deployment);
    reply.lineage = succession.into_iter().cloned().collect();
    anchor.shown(&reply)?;
    let mut shown = Vec::new();
    for seen in anchor.unproved() {
        shown.push(anchor.extend(&seen, &extension(log, seen.checkpoint().size()))?);
    }
    anchor.settle(shown)
}

#[test]
fn a_succession_explains_a_log_that_went_back_and_nothing_else_does() {
    let (mut log, deployment) = log();
    let mut anchor = Anchor::new(deployment.clone(), None, None);
    for n in 0..6u8 {
        log.add(&[n]);
    }
    ask(&mut anchor, &log, &deployment).unwrap();
    let seen = anchor.newest().unwrap().clone();
    let succession = succeed(&mut log, &deployment, 4, &seen);
    let mut untold = anchor.clone();
    let refused = ask_after(&mut untold, &log, &deployment, None).unwrap_err();
    assert!(matches!(refused, Unproved::Checkpoint { .. }), "{refused}");
    assert!(ask_after(&mut anchor, &log, &deployment, Some(&succession)).unwrap());
    assert!(anchor.hidden().is_none());
    assert_eq!(anchor.former(), Some(seen.note().to_string().as_str()));
    assert_eq!(anchor.proved().unwrap().checkpoint().size(), 5);
    // Later it need not be told again, and the old generation is over.
    log.add(b"next");
    assert!(ask_after(&mut anchor, &log, &deployment, None).unwrap());
    (log.seed, log.origin) = (7, "log.example.org/1");
    let back = ask_after(&mut anchor, &log, &deployment, None).unwrap_err();
    assert_eq!(back.charge().unwrap().rule, "LOG_WENT_BACK", "{back}");
}

#[test]
fn a_succession_that_owns_up_to_less_than_was_seen_is_charged_and_taken() {
    let (mut log, deployment) = log();
    let mut anchor = Anchor::new(deployment.clone(), None, None);
    for n in 0..4u8 {
        log.add(&[n]);
    }
    let early = deployment.open(&log.note()).unwrap();
    log.add(b"hidden");
    ask(&mut anchor, &log, &deployment).unwrap();
    let succession = succeed(&mut log, &deployment, 3, &early);
    assert!(ask_after(&mut anchor, &log, &deployment, Some(&succession)).unwrap());
    let charge = anchor.hidden().unwrap().charge().unwrap();
    assert_eq!(charge.rule, "LOG_WENT_BACK");
    assert!(charge.text.contains("/1 size 5"), "{}", charge.text);
    assert!(anchor.hidden().is_none(), "told once");
}

#[test]
fn a_new_generation_without_the_tree_that_the_officers_kept_is_refused() {
    let (mut log, deployment) = log();
    for n in 0..6u8 {
        log.add(&[n]);
    }
    let last = deployment.open(&log.note()).unwrap();
    let succession = succeed(&mut log, &deployment, 4, &last);
    log.tree = MemoryTree::default();
    for n in 0..6u8 {
        log.add(&[n, n]);
    }
    // This host has never seen the log before, and finds it out all the same.
    let mut anchor = Anchor::new(deployment.clone(), None, None);
    let forked = ask_after(&mut anchor, &log, &deployment, Some(&succession)).unwrap_err();
    assert_eq!(forked.charge().unwrap().rule, "LOG_FORKED", "{forked}");
}
