//! The example's operator and officers: what they say of keys and of the log's next generation.

use affiant_proto::{
    Authorities, Body, Signer as _, Statement, authority::succession_approval_bytes,
    chain::key_change_bytes, statement::Place, v1,
};

use crate::example::{Example, ORIGIN, public, seal, signer, stand_in};

/// Where the next statement of [`spoken`] stands.
pub const NEXT_INDEX: u64 = 5;

/// The genesis, the clock, both officers' openings at index 2 and 3, and at 4 the revocation of a
/// record key from index 3.
pub fn spoken() -> Vec<Statement> {
    let example = Example::new();
    let opening = |(name, seed): (&str, u8)| {
        let body = v1::Officer {
            genesis: example.genesis.digest().as_bytes().to_vec(),
            name: name.into(),
            key: public(seed),
            ..Default::default()
        };
        seal(body, Place::Opening, 2_000, None, seed)
    };
    let mut all = vec![example.genesis.clone(), example.clock.clone()];
    all.extend([("Ann", 3), ("Bo", 4)].map(opening));
    let revoked = revocation(
        v1::KeyUse::Record,
        signer(7).public_key().id().as_bytes(),
        3,
    );
    let place = heard(&all).operator().next_place();
    all.push(seal(revoked, place, 3_000, None, 1));
    all
}

/// A reader who was told all of that.
pub fn heard(said: &[Statement]) -> Authorities {
    let (mut it, _) = Authorities::open(said[0].clone()).unwrap();
    for (index, statement) in (1..).zip(&said[1..]) {
        it.admit(Some(index), statement.clone(), false).unwrap();
    }
    it
}

/// Takes a key back.
pub fn revocation(used: v1::KeyUse, key: &[u8], from_index: u64) -> v1::Revocation {
    v1::Revocation {
        header: None,
        key_id: key.to_vec(),
        from_index,
        reason: "stolen".into(),
        r#use: used.into(),
    }
}

/// Goes on as generation 2 from 4 of 6 entries; approved by nobody.
pub fn succession() -> v1::Succession {
    let at = |size| {
        Some(v1::CheckpointRef {
            origin: ORIGIN.into(),
            size,
            root: stand_in("example root"),
        })
    };
    v1::Succession {
        last: at(6),
        kept: at(4),
        origin: format!("{}/2", ORIGIN.rsplit_once('/').unwrap().0),
        log_key: public(12),
        operator_key: public(11),
        reason: "disk lost".into(),
        ..Default::default()
    }
}

/// The same, approved by the officers of these seeds.
pub fn approved(it: &Authorities, mut body: v1::Succession, by: &[u8]) -> v1::Succession {
    let bytes = succession_approval_bytes(it.genesis(), &body);
    let one = |seed: &u8| {
        let officer = it.officer_with(signer(*seed).public_key()).unwrap();
        v1::OfficerApproval {
            officer: officer.chain().as_bytes().to_vec(),
            signature: signer(*seed).sign(&bytes).unwrap().to_vec(),
        }
    };
    body.approvals = by.iter().map(one).collect();
    body
}

/// Seals the next statement of the operator (key 1, or of a succession the new one) or an officer.
pub fn says(it: &Authorities, body: impl Into<Body>, seed: u8) -> Statement {
    let officer = it.officer_with(signer(seed).public_key());
    let place = officer.unwrap_or(it.operator()).next_place();
    seal(body, place, 4_000, None, seed)
}

/// An officer's change of key.
pub fn change(it: &Authorities, old: u8, new: u8) -> v1::Key {
    let officer = it.officer_with(signer(old).public_key()).unwrap();
    let Place::Link {
        chain,
        sequence,
        previous,
    } = officer.next_place()
    else {
        unreachable!()
    };
    let bytes = key_change_bytes(chain, sequence, previous, signer(new).public_key());
    v1::Key {
        header: None,
        new_key: public(new),
        proof: signer(new).sign(&bytes).unwrap().to_vec(),
        ca: Vec::new(),
    }
}
