use super::*;
use crate::{
    Ed25519Signer, Signer as _,
    chain::key_change_bytes,
    digest,
    statement::Place,
    tlog::{Hash, leaf_hash},
};

const OPERATOR: u8 = 1;
const LOG: u8 = 2;
const ANN: u8 = 3;
const BO: u8 = 4;
const ORIGIN: &str = "log.example/1";

fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32]).unwrap()
}

fn key(seed: u8) -> Vec<u8> {
    signer(seed).public_key().as_bytes().to_vec()
}

fn id(seed: u8) -> KeyId {
    signer(seed).public_key().id()
}

fn seal(body: impl Into<Body>, place: Place, seed: u8) -> Statement {
    let time = v1::Time {
        unix_ms: 1,
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    };
    Statement::seal(body.into(), place, time, None, &signer(seed)).unwrap()
}

fn root(n: u64) -> Hash {
    leaf_hash(&n.to_be_bytes())
}

fn at(origin: &str, size: u64) -> Option<v1::CheckpointRef> {
    Some(v1::CheckpointRef {
        origin: origin.into(),
        size,
        root: root(size).as_bytes().to_vec(),
    })
}

/// A deployment whose two first officers opened their chains.
struct World {
    it: Authorities,
    said: Vec<Statement>,
    index: u64,
}

impl World {
    fn new() -> Self {
        let genesis = v1::Genesis {
            origin: ORIGIN.into(),
            log_key: key(LOG),
            operator_key: key(OPERATOR),
            ca: vec![7; 32],
            officers: [ANN, BO]
                .map(|seed| v1::OfficerKey {
                    name: format!("officer {seed}"),
                    key: key(seed),
                })
                .into(),
            ..Default::default()
        };
        let genesis = seal(genesis, Place::Opening, OPERATOR);
        let mut world = Self {
            it: Authorities::open(genesis.clone()).unwrap().0,
            said: vec![genesis],
            index: 0,
        };
        for seed in [ANN, BO] {
            let opening = world.opening(seed, Vec::new());
            world.take(opening).unwrap();
        }
        world
    }

    fn opening(&self, seed: u8, approvals: Vec<v1::OfficerApproval>) -> Statement {
        self.opening_as(&format!("officer {seed}"), seed, approvals)
    }

    fn opening_as(&self, name: &str, seed: u8, approvals: Vec<v1::OfficerApproval>) -> Statement {
        let body = v1::Officer {
            genesis: self.it.genesis().as_bytes().to_vec(),
            name: name.to_owned(),
            key: key(seed),
            approvals,
            ..Default::default()
        };
        seal(body, Place::Opening, seed)
    }

    fn take(&mut self, statement: Statement) -> Result<Act, Refused> {
        let act = self
            .it
            .admit(Some(self.index + 1), statement.clone(), false)?;
        self.index += 1;
        self.said.push(statement);
        Ok(act)
    }

    fn chain(&self, seed: u8) -> &ChainState {
        self.it.officer_with(signer(seed).public_key()).unwrap()
    }

    fn operator(&mut self, seed: u8, body: impl Into<Body>) -> Result<Act, Refused> {
        let statement = seal(body, self.it.operator().next_place(), seed);
        self.take(statement)
    }

    fn officer(&mut self, seed: u8, body: impl Into<Body>) -> Result<Act, Refused> {
        let statement = seal(body, self.chain(seed).next_place(), seed);
        self.take(statement)
    }

    fn approve(&self, seeds: &[u8], bytes: &[u8]) -> Vec<v1::OfficerApproval> {
        let one = |seed: &u8| v1::OfficerApproval {
            officer: self.chain(*seed).chain().as_bytes().to_vec(),
            signature: signer(*seed).sign(bytes).unwrap().to_vec(),
        };
        seeds.iter().map(one).collect()
    }

    /// Keeps 3 of 9 entries, goes on as generation 2 under log key 12 and operator key 11.
    /// Approvals of a key under a name.
    fn admitting(&self, seed: u8, name: &str, by: &[u8]) -> Vec<v1::OfficerApproval> {
        self.approve(
            by,
            &officer_approval_bytes(self.it.genesis(), &key(seed), name),
        )
    }

    /// Has Ann and Bo admit a key under a name.
    fn admitted(&mut self, seed: u8, name: &str) {
        let approvals = self.admitting(seed, name, &[ANN, BO]);
        let opening = self.opening_as(name, seed, approvals);
        self.take(opening).unwrap();
    }

    fn succession(&self) -> v1::Succession {
        v1::Succession {
            last: at(ORIGIN, 9),
            kept: at(ORIGIN, 3),
            origin: "log.example/2".into(),
            log_key: key(12),
            operator_key: key(11),
            reason: "the disk was lost".into(),
            ..Default::default()
        }
    }

    fn approved(&self, mut body: v1::Succession, by: &[u8]) -> v1::Succession {
        let bytes = succession_approval_bytes(self.it.genesis(), &body);
        body.approvals = self.approve(by, &bytes);
        body
    }
}

fn change(state: &ChainState, new: u8) -> v1::Key {
    let Place::Link {
        chain,
        sequence,
        previous,
    } = state.next_place()
    else {
        unreachable!()
    };
    let bytes = key_change_bytes(chain, sequence, previous, signer(new).public_key());
    v1::Key {
        new_key: key(new),
        proof: signer(new).sign(&bytes).unwrap().to_vec(),
        ..Default::default()
    }
}

fn revocation(used: KeyUse, key: KeyId, from: u64) -> v1::Revocation {
    v1::Revocation {
        key_id: key.as_bytes().to_vec(),
        from_index: from,
        reason: "stolen".into(),
        r#use: used.into(),
        ..Default::default()
    }
}

#[test]
fn two_officers_open_the_next_generation_and_hand_the_operators_chain_over() {
    let mut world = World::new();
    let body = world.approved(world.succession(), &[ANN, BO]);
    world.operator(11, body).unwrap();
    assert_eq!(world.it.operator().key(), signer(11).public_key());
    let now = world.it.lineage().current().clone();
    assert_eq!(now.origin().as_str(), "log.example/2");
    assert_eq!(now.key().public_key(), signer(12).public_key());
    let opening = now.opening().unwrap();
    assert_eq!(
        (opening.kept().size(), opening.lost(), opening.index()),
        (3, 6, Some(3))
    );
    assert_eq!(opening.approvers().len(), 2);
    assert!(
        world.operator(OPERATOR, v1::Clock::default()).is_err(),
        "the old key is over"
    );
    world.operator(11, v1::Clock::default()).unwrap();
}

#[test]
fn one_officer_alone_opens_no_generation_however_often_he_signs() {
    let mut world = World::new();
    let due = |count| Err(Refused::Succession(BadSuccession::Approvals(count)));
    for (by, count) in [(&[][..], 0), (&[ANN], 1), (&[ANN, ANN], 1)] {
        let body = world.approved(world.succession(), by);
        assert_eq!(world.operator(11, body), due(count));
    }
    let mut other = world.approved(world.succession(), &[ANN, BO]);
    other.reason.push('!');
    assert_eq!(
        world.operator(11, other),
        due(0),
        "over exactly what is said"
    );
    assert_eq!(
        world.it.operator().sequence(),
        0,
        "a refusal changes nothing"
    );
}

#[test]
fn an_officer_of_the_genesis_approves_before_he_opened_a_chain_and_not_by_a_key_he_gave_up() {
    let mut world = World::new();
    let by_key = |world: &World, seed: u8| {
        let bytes = succession_approval_bytes(world.it.genesis(), &world.succession());
        v1::OfficerApproval {
            officer: key(seed),
            signature: signer(seed).sign(&bytes).unwrap().to_vec(),
        }
    };
    let mut fresh = World {
        it: Authorities::open(world.said[0].clone()).unwrap().0,
        said: Vec::new(),
        index: 2,
    };
    let mut body = fresh.succession();
    body.approvals = vec![by_key(&fresh, ANN), by_key(&fresh, BO)];
    fresh.operator(11, body.clone()).unwrap();
    let changed = change(world.chain(BO), 14);
    world.officer(BO, changed).unwrap();
    let refused = Refused::Succession(BadSuccession::Approvals(0));
    assert_eq!(world.operator(11, body), Err(refused));
}

#[test]
fn a_succession_that_cannot_be_is_refused() {
    let world = World::new();
    let refused = |change: &dyn Fn(&mut v1::Succession)| {
        let mut body = world.succession();
        change(&mut body);
        let body = world.approved(body, &[ANN, BO]);
        let mut world = World {
            it: world.it.clone(),
            said: Vec::new(),
            index: 20,
        };
        let refused = world.operator(11, body).unwrap_err();
        assert_eq!(refused.code(), "succession", "{refused}");
        match refused {
            Refused::Succession(bad) => bad,
            _ => unreachable!(),
        }
    };
    use BadSuccession as Bad;
    assert_eq!(refused(&|s| s.kept = None), Bad::Checkpoint("kept"));
    assert_eq!(refused(&|s| s.last = None), Bad::Checkpoint("last"));
    assert!(matches!(
        refused(&|s| s.kept = at("log.example/2", 3)),
        Bad::Generation { what: "kept", .. }
    ));
    for other in [
        "log.example/1",
        "log.example/3",
        "other.example/2",
        "log.example/02",
    ] {
        assert!(matches!(
            refused(&|s| s.origin = other.into()),
            Bad::Origin { .. }
        ));
    }
    assert_eq!(refused(&|s| s.log_key = key(LOG)), Bad::Key);
    assert_eq!(refused(&|s| s.log_key.clear()), Bad::Key);
    let sizes = |bad| matches!(bad, Bad::Sizes { .. });
    assert!(
        sizes(refused(&|s| s.kept = at(ORIGIN, 10))),
        "more than there was"
    );
    assert!(
        sizes(refused(&|s| {
            s.kept = at(ORIGIN, 30);
            s.last = at(ORIGIN, 30);
        })),
        "more than stands before it"
    );
    let two = |s: &mut v1::Succession| {
        s.last = at(ORIGIN, 3);
        s.last.as_mut().unwrap().root = root(4).as_bytes().to_vec();
    };
    assert_eq!(refused(&two), Bad::TwoRoots(3));
}

#[test]
fn a_succession_takes_no_key_that_had_another_use() {
    let mut world = World::new();
    let body = v1::Succession {
        operator_key: key(ANN),
        ..world.succession()
    };
    let body = world.approved(body, &[ANN, BO]);
    assert_eq!(world.operator(ANN, body), Err(Refused::Reused(id(ANN))));
}

#[test]
fn what_became_of_a_checkpoint_follows_from_what_was_kept_and_declared() {
    let mut world = World::new();
    let fate = |it: &Authorities, origin, size, n| match it.lineage().fate(origin, size, &root(n)) {
        Fate::Standing => "standing",
        Fate::Lost(_) => "lost",
        Fate::Hidden(_) => "hidden",
        Fate::Impossible => "impossible",
        Fate::Foreign => "foreign",
    };
    assert_eq!(fate(&world.it, ORIGIN, 1_000, 1), "standing");
    let body = world.approved(world.succession(), &[ANN, BO]);
    world.operator(11, body).unwrap();
    for (origin, size, n, due) in [
        (ORIGIN, 3, 3, "standing"),
        (ORIGIN, 1, 9, "standing"),
        (ORIGIN, 4, 4, "lost"),
        (ORIGIN, 9, 9, "lost"),
        (ORIGIN, 9, 8, "hidden"),
        (ORIGIN, 10, 10, "hidden"),
        ("log.example/2", 3, 3, "impossible"),
        ("log.example/2", 4, 4, "standing"),
        ("log.example/3", 4, 4, "foreign"),
    ] {
        assert_eq!(fate(&world.it, origin, size, n), due, "{origin} {size}");
    }
    let next = v1::Succession {
        last: at("log.example/2", 3),
        kept: at("log.example/2", 3),
        origin: "log.example/3".into(),
        log_key: key(13),
        operator_key: key(11),
        ..Default::default()
    };
    let next = world.approved(next, &[ANN, BO]);
    assert!(
        matches!(
            world.operator(11, next),
            Err(Refused::Succession(BadSuccession::Sizes { .. }))
        ),
        "a generation that signed nothing has nothing to keep"
    );
}

#[test]
fn a_reader_who_is_shown_the_lineage_alone_comes_to_the_same() {
    let mut world = World::new();
    world.operator(OPERATOR, v1::Clock::default()).unwrap();
    let changed = change(world.chain(ANN), 13);
    world.officer(ANN, changed).unwrap();
    world.officer(BO, v1::BindingEvent::default()).unwrap();
    world
        .operator(OPERATOR, revocation(KeyUse::Officer, id(99), 2))
        .unwrap();
    let body = world.approved(world.succession(), &[13, BO]);
    world.operator(11, body).unwrap();
    let mut lineage = world
        .said
        .iter()
        .filter(|said| !matches!(said.body(), Body::Clock(_) | Body::BindingEvent(_)));
    let mut reads = Authorities::open(lineage.next().unwrap().clone())
        .unwrap()
        .0;
    for said in lineage {
        reads.admit(None, said.clone(), true).unwrap();
    }
    assert_eq!(reads.operator(), world.it.operator());
    assert_eq!(
        reads.lineage().current().key(),
        world.it.lineage().current().key()
    );
    assert!(reads.revocations().of(KeyUse::Officer, &id(99)).is_some());
    assert_eq!(
        reads.opened_by(&world.chain(13).chain()).unwrap().id(),
        id(ANN)
    );
}

#[test]
fn a_revoked_key_stands_before_its_index_is_suspect_after_it_and_then_refused() {
    let mut world = World::new();
    world.operator(OPERATOR, v1::Clock::default()).unwrap();
    world
        .operator(OPERATOR, revocation(KeyUse::Officer, id(BO), 2))
        .unwrap();
    let revoked = world.it.revocations().of(KeyUse::Officer, &id(BO)).unwrap();
    assert_eq!(
        [1, 2, 4, 5].map(|index| revoked.worth(index)),
        [
            Worth::Stands,
            Worth::Suspect,
            Worth::Suspect,
            Worth::Refused
        ]
    );
    let refused = world.officer(BO, v1::BindingEvent::default()).unwrap_err();
    assert_eq!(refused.code(), "revoked");
    assert!(refused.to_string().contains("stolen"), "{refused}");
    let body = world.approved(world.succession(), &[ANN, BO]);
    let refused = Refused::Succession(BadSuccession::Approvals(1));
    assert_eq!(world.operator(11, body), Err(refused));
}

#[test]
fn a_second_revocation_only_lowers_the_index_and_keeps_when_the_key_was_refused_first() {
    let mut world = World::new();
    for _ in 0..5 {
        world.operator(OPERATOR, v1::Clock::default()).unwrap();
    }
    world
        .operator(OPERATOR, revocation(KeyUse::Record, id(50), 6))
        .unwrap();
    for from in [6, 7] {
        let again = world.operator(OPERATOR, revocation(KeyUse::Record, id(50), from));
        assert_eq!(again, Err(Refused::Revocation(BadRevocation::Already(6))));
    }
    world
        .operator(OPERATOR, revocation(KeyUse::Record, id(50), 4))
        .unwrap();
    let revoked = world.it.revocations().of(KeyUse::Record, &id(50)).unwrap();
    assert_eq!((revoked.from(), revoked.at()), (4, Some(8)));
}

#[test]
fn a_revocation_that_says_nothing_is_refused() {
    let mut world = World::new();
    let mut refused = |body: v1::Revocation| {
        let refused = world.operator(OPERATOR, body).unwrap_err();
        assert_eq!(refused.code(), "revocation");
    };
    refused(revocation(KeyUse::Unspecified, id(50), 0));
    refused(v1::Revocation {
        r#use: 99,
        ..revocation(KeyUse::Record, id(50), 0)
    });
    refused(v1::Revocation {
        key_id: vec![1; 15],
        ..revocation(KeyUse::Record, id(50), 0)
    });
    refused(revocation(KeyUse::Record, id(50), 4));
}

#[test]
fn an_officer_revokes_officers_keys_and_no_others() {
    let mut world = World::new();
    for used in [KeyUse::Record, KeyUse::Tls, KeyUse::Ca] {
        let refused = world.officer(ANN, revocation(used, id(50), 0));
        assert_eq!(refused.unwrap_err().code(), "revocation");
    }
    world
        .officer(ANN, revocation(KeyUse::Officer, id(BO), 0))
        .unwrap();
    assert!(world.officer(BO, v1::BindingEvent::default()).is_err());
}

#[test]
fn an_officer_changes_his_key_and_neither_the_old_nor_a_used_one_speaks_again() {
    let mut world = World::new();
    let to_bo = change(world.chain(ANN), BO);
    assert_eq!(world.officer(ANN, to_bo), Err(Refused::Reused(id(BO))));
    let changed = change(world.chain(ANN), 13);
    world.officer(ANN, changed).unwrap();
    world.officer(13, v1::BindingEvent::default()).unwrap();
    let again = world.opening(ANN, Vec::new());
    assert!(
        world.take(again).is_err(),
        "the genesis names the old key, which opened a chain"
    );
    let back = change(world.chain(13), ANN);
    assert_eq!(world.officer(13, back), Err(Refused::Reused(id(ANN))));
    world
        .operator(OPERATOR, revocation(KeyUse::Officer, id(60), 0))
        .unwrap();
    let to_revoked = change(world.chain(13), 60);
    assert_eq!(world.officer(13, to_revoked).unwrap_err().code(), "revoked");
}

#[test]
fn the_operator_alone_changes_the_authority_and_not_to_a_revoked_one() {
    let mut world = World::new();
    let to = |byte: u8| v1::Key {
        ca: vec![byte; 32],
        ..Default::default()
    };
    assert_eq!(world.officer(ANN, to(8)).unwrap_err().code(), "kind");
    assert_eq!(world.operator(OPERATOR, to(7)), Err(Refused::SameAuthority));
    world.operator(OPERATOR, to(8)).unwrap();
    let all = [7, 8].map(|byte| Digest::new([byte; 32]));
    assert_eq!(world.it.certifiers(), all);
    let old = certifier_id(Digest::new([7; 32]));
    world
        .operator(OPERATOR, revocation(KeyUse::Ca, old, 0))
        .unwrap();
    assert_eq!(
        world.operator(OPERATOR, to(7)).unwrap_err().code(),
        "revoked"
    );
}

#[test]
fn two_officers_admit_a_third_and_one_with_a_revoked_colleague_does_not() {
    let mut world = World::new();
    let third = world.opening(20, world.admitting(20, "officer 20", &[ANN, BO]));
    let fourth = world.opening(21, world.admitting(21, "officer 21", &[ANN, BO]));
    world.take(third).unwrap();
    world
        .operator(OPERATOR, revocation(KeyUse::Officer, id(BO), 0))
        .unwrap();
    assert_eq!(world.take(fourth).unwrap_err().code(), "officer");
}

#[test]
fn two_keys_of_one_person_admit_nobody() {
    let mut world = World::new();
    let ann = format!(" Officer {ANN}\u{a0}");
    world.admitted(20, &ann);
    let refused = |world: &mut World, by: &[u8]| {
        let opening = world.opening(30, world.admitting(30, "officer 30", by));
        assert_eq!(world.take(opening).unwrap_err().code(), "officer");
    };
    refused(&mut world, &[ANN, 20]);
    refused(&mut world, &[20, 20, ANN]);
    // Nor do they where one of them has a new key.
    let changed = change(world.chain(ANN), 13);
    world.officer(ANN, changed).unwrap();
    refused(&mut world, &[13, 20]);
    // Her second key and another person's do.
    let opening = world.opening(30, world.admitting(30, "officer 30", &[20, BO]));
    world.take(opening).unwrap();
}

#[test]
fn two_officers_without_a_name_are_one_person() {
    let mut world = World::new();
    world.admitted(20, "");
    world.admitted(21, " ");
    let opening = world.opening(30, world.admitting(30, "officer 30", &[20, 21]));
    assert_eq!(world.take(opening).unwrap_err().code(), "officer");
}

#[test]
fn who_was_approved_under_one_name_is_not_admitted_under_another() {
    let mut world = World::new();
    let ann = format!("officer {ANN}");
    let approvals = world.admitting(20, &ann, &[ANN, BO]);
    let opening = world.opening_as("somebody else", 20, approvals);
    assert_eq!(world.take(opening).unwrap_err().code(), "officer");
}

#[test]
fn two_keys_of_one_person_open_no_generation() {
    let mut world = World::new();
    world.admitted(20, &format!("officer {ANN}"));
    let body = world.approved(world.succession(), &[ANN, 20]);
    assert_eq!(world.operator(11, body).unwrap_err().code(), "succession");
    let body = world.approved(world.succession(), &[20, BO]);
    world.operator(11, body).unwrap();
}

#[test]
fn persons_are_counted_by_the_keys_that_are_trusted() {
    let mut world = World::new();
    assert_eq!(world.it.persons(), 2);
    world.admitted(20, &format!("officer {ANN}"));
    assert_eq!(world.it.persons(), 2);
    world.admitted(21, "officer 21");
    assert_eq!(world.it.persons(), 3);
    for (revoked, left) in [(ANN, 3), (20, 2), (BO, 1)] {
        let body = revocation(KeyUse::Officer, id(revoked), 0);
        world.operator(OPERATOR, body).unwrap();
        assert_eq!(world.it.persons(), left);
    }
}

#[test]
fn a_genesis_that_names_no_log_is_refused() {
    let World { said, .. } = World::new();
    let Body::Genesis(body) = said[0].body().clone() else {
        unreachable!()
    };
    for bad in [
        v1::Genesis {
            origin: "two words".into(),
            ..body.clone()
        },
        v1::Genesis {
            log_key: Vec::new(),
            ..body.clone()
        },
        v1::Genesis {
            ca: digest(b"").as_bytes()[..31].to_vec(),
            ..body
        },
    ] {
        let refused = Authorities::open(seal(bad, Place::Opening, OPERATOR));
        assert!(matches!(refused, Err(Refused::Genesis)));
    }
}
