//! What neither the operator nor an officer can say.

use affiant_proto::{Body, Signer as _, Statement, v1};

use super::{ReadAs, Refused};
use crate::{
    authority::{approved, change, heard, revocation, says, spoken, succession},
    example::{ORIGIN, public, signer, stand_in},
};

const KEPT: [u8; 16] = [9; 16];

/// Faults of revocations, changes of key and authority, and successions.
pub fn authority() -> Vec<Refused> {
    let it = heard(&spoken());
    let said = |fault: &str, statement: Statement, refusal| {
        let bytes = statement.as_bytes().to_vec();
        Refused::new(fault, ReadAs::Said, bytes, refusal)
    };
    let one = |fault: &str, body: Body, seed, refusal| said(fault, says(&it, body, seed), refusal);
    let revoked = signer(7).public_key().id();
    let ca = |bytes: Vec<u8>| v1::Key {
        ca: bytes,
        ..Default::default()
    };
    let mut out = vec![
        one(
            "a revocation of a key by no use",
            revocation(v1::KeyUse::Unspecified, &KEPT, 1).into(),
            1,
            "revocation",
        ),
        one(
            "a revocation from behind itself",
            revocation(v1::KeyUse::Record, &KEPT, 6).into(),
            1,
            "revocation",
        ),
        one(
            "a revocation of a key named by 15 bytes",
            revocation(v1::KeyUse::Record, &KEPT[1..], 1).into(),
            1,
            "revocation",
        ),
        one(
            "a record key revoked by an officer",
            revocation(v1::KeyUse::Record, &KEPT, 1).into(),
            3,
            "revocation",
        ),
        one(
            "a second revocation from the same index",
            revocation(v1::KeyUse::Record, revoked.as_bytes(), 3).into(),
            1,
            "revocation",
        ),
        one(
            "a change to an authority and of the key at once",
            v1::Key {
                ca: stand_in("next ca"),
                ..change(&it, 3, 8)
            }
            .into(),
            3,
            "key",
        ),
        one(
            "a key statement that changes nothing",
            v1::Key::default().into(),
            1,
            "key",
        ),
        one(
            "an authority whose digest has 31 bytes",
            ca(stand_in("next ca")[1..].to_vec()).into(),
            1,
            "key",
        ),
        one(
            "the authority that is in force",
            ca(stand_in("example ca")).into(),
            1,
            "key",
        ),
        one(
            "an authority changed by an officer",
            ca(stand_in("next ca")).into(),
            3,
            "kind",
        ),
        one(
            "a change to the key of another officer",
            change(&it, 3, 4).into(),
            3,
            "key",
        ),
        one(
            "a change to the key that signs already",
            change(&it, 3, 3).into(),
            3,
            "key",
        ),
    ];
    let opens = |fault: &str, by: &[u8], change: &dyn Fn(&mut v1::Succession)| {
        let mut body = succession();
        change(&mut body);
        let body = approved(&it, body, by);
        let operator = (1..=20)
            .find(|seed| public(*seed) == body.operator_key)
            .unwrap();
        said(fault, says(&it, body, operator), "succession")
    };
    out.extend([
        opens("a succession that nobody approved", &[], &|_| ()),
        opens("a succession that one officer approved", &[3], &|_| ()),
        opens(
            "a succession that one officer approved twice",
            &[4, 4],
            &|_| (),
        ),
        opens("a succession to the same origin", &[3, 4], &|it| {
            it.origin = ORIGIN.into();
        }),
        opens("a succession under the old log key", &[3, 4], &|it| {
            it.log_key = public(2);
        }),
        opens(
            "a succession that keeps more than there was",
            &[3, 4],
            &|it| {
                it.last.as_mut().unwrap().size = 3;
            },
        ),
        opens(
            "a succession that keeps more than stands before it",
            &[3, 4],
            &|it| {
                it.last.as_mut().unwrap().size = 6;
                it.kept.as_mut().unwrap().size = 6;
            },
        ),
        opens(
            "a succession that keeps all under another root",
            &[3, 4],
            &|it| {
                it.last.as_mut().unwrap().size = 4;
                it.last.as_mut().unwrap().root = stand_in("another root");
            },
        ),
        opens(
            "a succession whose last checkpoint is of another log",
            &[3, 4],
            &|it| it.last.as_mut().unwrap().origin = "other.example/1".into(),
        ),
        opens("a succession that keeps nothing known", &[3, 4], &|it| {
            it.kept = None;
        }),
    ]);
    let mut changed = approved(&it, succession(), &[3, 4]);
    changed.reason = "another".into();
    out.push(said(
        "a succession that says other than was approved",
        says(&it, changed, 11),
        "succession",
    ));
    let good = approved(&it, succession(), &[3, 4]);
    out.push(said(
        "a succession signed by the old operator key",
        says(&it, good, 1),
        "signature",
    ));
    out
}
