//! Gaps over records that a host lost, some of which may have come all the same.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use affiant_judge::admission::{HostChain, Sources};
use affiant_proto::{
    Body, ChainState, Ed25519Signer, Envelope, Signer as _, Statement, authority::Revocations,
    digest, statement::Place, v1,
};

fn signer() -> Ed25519Signer {
    Ed25519Signer::from_seed(&[5; 32]).unwrap()
}

fn seal(body: impl Into<Body>, place: Place) -> Statement {
    let time = v1::Time {
        unix_ms: 1,
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    };
    Statement::seal(body.into(), place, time, None, &signer()).unwrap()
}

/// What a host sealed: its enrolment, and five observations.
fn sealed() -> Vec<Statement> {
    let body = v1::Enrolment {
        genesis: digest(b"genesis").as_bytes().to_vec(),
        host: "gpu-01".into(),
        record_key: signer().public_key().as_bytes().to_vec(),
        ..v1::Enrolment::default()
    };
    let mut all = vec![seal(body, Place::Opening)];
    let mut state = ChainState::open(all[0].clone()).unwrap().0;
    for _ in 0..5 {
        let next = seal(v1::Observation::default(), state.next_place());
        state.follow(next.clone()).unwrap();
        all.push(next);
    }
    all
}

#[test]
fn a_gap_goes_on_over_what_is_missing_whether_or_not_some_of_what_the_host_lost_had_come() {
    let all = sealed();
    let chain = all[0].digest();
    let gap = |first: u64, last: u64| {
        let lost = all[usize::try_from(last).unwrap()].digest();
        let body = v1::Gap {
            first,
            last,
            last_digest: lost.as_bytes().to_vec(),
            ..v1::Gap::default()
        };
        let place = Place::Link {
            chain,
            sequence: last + 1,
            previous: lost,
        };
        Envelope::join(seal(body, place), None).unwrap()
    };
    for came in 0..=5_u64 {
        let genesis = digest(b"genesis");
        let (mut host, _) =
            HostChain::open(all[0].clone(), genesis, &Revocations::default(), None).unwrap();
        let admit = |host: &mut HostChain, envelope| {
            host.admit(envelope, Sources::default(), &Revocations::default())
        };
        for statement in all.iter().skip(1).take(usize::try_from(came).unwrap()) {
            let envelope = Envelope::join(statement.clone(), None).unwrap();
            admit(&mut host, envelope).unwrap();
        }
        let before = host.clone();
        // The host lost 3 to 5. Without 1 and 2 that does not go on; with 3 to 5 none is lost.
        let taken = admit(&mut host, gap(3, 5));
        assert_eq!(
            taken.is_ok(),
            (2..=4).contains(&came),
            "{came} came: {taken:?}"
        );
        if taken.is_err() {
            assert_eq!(host, before);
            continue;
        }
        assert_eq!(host.state().sequence(), 6);
    }
}
