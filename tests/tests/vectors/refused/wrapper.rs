//! Faults of the COSE wrapper. All signatures are right for the bytes as they are: nothing but the
//! spelling is wrong.

use affiant_proto::Signer as _;

use super::{Refused, statement as refused};
use crate::{
    bytes::{Parts, cbor, content_type, protected, signed, wrapped},
    example::{Example, signer},
};

/// Signs `payload` under any bytes as protected header.
fn under(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let signature = signer(1).sign(&signed(protected, payload)).unwrap();
    wrapped(protected, payload, &signature)
}

fn with_type(content_type: &str) -> Vec<u8> {
    let clock = Parts::of(Example::new().clock.as_bytes());
    under(
        &protected(0x32, content_type, signer(1).public_key().id()),
        &clock.payload,
    )
}

/// Faults of the COSE wrapper.
pub fn wrapper() -> Vec<Refused> {
    let whole = Example::new().clock.as_bytes().to_vec();
    let Parts {
        protected: head,
        payload,
        signature,
    } = Parts::of(&whole);
    let (key, clock) = (signer(1).public_key().id(), content_type("clock"));
    let kid = cbor(2, key.as_bytes());
    let kind = cbor(3, clock.as_bytes());
    let strings = |first: &[u8], head: &[u8], second: &[u8], payload: &[u8], signature: &[u8]| {
        [first, head, second, payload, signature].concat()
    };
    let (h, p, s) = (cbor(2, &head), cbor(2, &payload), cbor(2, &signature));
    let map = |parts: &[&[u8]]| under(&parts.concat(), &payload);
    // -9 where the key is an Ed25519 key reads, and does not verify; see signature.jsonl.
    let mut out = vec![
        refused("nothing at all", Vec::new(), "wrapper"),
        refused(
            "the tag of COSE_Sign1 in front",
            [&[0xd2], whole.as_slice()].concat(),
            "wrapper",
        ),
        refused(
            "the self-describing tag in front",
            [&[0xd9, 0xd9, 0xf7], whole.as_slice()].concat(),
            "wrapper",
        ),
        refused(
            "an array of five",
            [&strings(&[0x85], &h, &[0xa0], &p, &s), &[0x00][..]].concat(),
            "wrapper",
        ),
        refused(
            "an array of three",
            strings(&[0x83], &h, &[], &p, &s),
            "wrapper",
        ),
        refused(
            "the array's length in two bytes",
            strings(&[0x98, 0x04], &h, &[0xa0], &p, &s),
            "wrapper",
        ),
        refused(
            "an array of indefinite length",
            [&strings(&[0x9f], &h, &[0xa0], &p, &s), &[0xff][..]].concat(),
            "wrapper",
        ),
        refused(
            "a byte after the signature",
            [whole.as_slice(), &[0x00]].concat(),
            "wrapper",
        ),
        refused(
            "the statement twice",
            [whole.as_slice(), &whole].concat(),
            "wrapper",
        ),
        refused(
            "cut off in the signature",
            whole[..whole.len() - 1].to_vec(),
            "wrapper",
        ),
        refused("an empty protected header", under(&[], &payload), "wrapper"),
        refused(
            "a protected header that is an empty map",
            under(&[0xa0], &payload),
            "wrapper",
        ),
        refused(
            "a protected header of indefinite length",
            strings(&[0x84, 0x5f], &h, &[0xff, 0xa0], &p, &s),
            "wrapper",
        ),
        refused(
            "a protected header that is a map, not its bytes",
            strings(&[0x84], &head, &[0xa0], &p, &s),
            "wrapper",
        ),
        refused(
            "the protected header's length in three bytes where two do",
            strings(
                &[0x84, 0x59, 0x00, head.len().to_le_bytes()[0]],
                &head,
                &[0xa0],
                &p,
                &s,
            ),
            "wrapper",
        ),
        refused(
            "the payload's length in five bytes where two do",
            strings(
                &[0x84],
                &h,
                &[0xa0, 0x5a, 0, 0, 0, payload.len().to_le_bytes()[0]],
                &payload,
                &s,
            ),
            "wrapper",
        ),
        refused(
            "the payload's length in nine bytes",
            strings(
                &[0x84],
                &h,
                &[
                    0xa0,
                    0x5b,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    payload.len().to_le_bytes()[0],
                ],
                &payload,
                &s,
            ),
            "wrapper",
        ),
        refused(
            "a payload of indefinite length",
            strings(
                &[0x84],
                &h,
                &[0xa0, 0x5f],
                &p,
                &[&[0xff], s.as_slice()].concat(),
            ),
            "wrapper",
        ),
        refused(
            "a payload longer than what follows",
            strings(&[0x84], &h, &[0xa0, 0x59, 0xff, 0xff], &payload, &s),
            "wrapper",
        ),
        refused(
            "a payload that is elsewhere (nil)",
            strings(&[0x84], &h, &[0xa0], &[0xf6], &s),
            "wrapper",
        ),
        refused(
            "a payload that is text",
            strings(&[0x84], &h, &[0xa0], &cbor(3, &payload), &s),
            "wrapper",
        ),
        refused(
            "an unprotected header with a key id",
            strings(
                &[0x84],
                &h,
                &[&[0xa1, 0x04], kid.as_slice()].concat(),
                &p,
                &s,
            ),
            "wrapper",
        ),
        refused(
            "an unprotected header of indefinite length",
            strings(&[0x84], &h, &[0xbf, 0xff], &p, &s),
            "wrapper",
        ),
        refused(
            "an unprotected header whose size takes two bytes",
            strings(&[0x84], &h, &[0xb8, 0x00], &p, &s),
            "wrapper",
        ),
        refused(
            "an unprotected header that is nil",
            strings(&[0x84], &h, &[0xf6], &p, &s),
            "wrapper",
        ),
        refused(
            "a signature of 63 bytes",
            strings(&[0x84], &h, &[0xa0], &p, &cbor(2, &signature[..63])),
            "wrapper",
        ),
        refused(
            "a signature of 65 bytes",
            strings(
                &[0x84],
                &h,
                &[0xa0],
                &p,
                &cbor(2, &[&signature, &[0][..]].concat()),
            ),
            "wrapper",
        ),
        refused(
            "an empty signature",
            strings(&[0x84], &h, &[0xa0], &p, &[0x40]),
            "wrapper",
        ),
        refused(
            "a signature that is text",
            strings(&[0x84], &h, &[0xa0], &p, &cbor(3, &signature)),
            "wrapper",
        ),
        refused(
            "a protected header with a fourth key",
            map(&[
                &[0xa4, 0x01, 0x32, 0x03],
                &kind,
                &[0x04],
                &kid,
                &[0x05, 0x40],
            ]),
            "wrapper",
        ),
        refused(
            "a protected header without key id",
            map(&[&[0xa2, 0x01, 0x32, 0x03], &kind]),
            "wrapper",
        ),
        refused(
            "a protected header without algorithm",
            map(&[&[0xa2, 0x03], &kind, &[0x04], &kid]),
            "wrapper",
        ),
        refused(
            "a protected header without content type",
            map(&[&[0xa2, 0x01, 0x32, 0x04], &kid]),
            "wrapper",
        ),
        refused(
            "a protected header whose keys fall",
            map(&[&[0xa3, 0x04], &kid, &[0x03], &kind, &[0x01, 0x32]]),
            "wrapper",
        ),
        refused(
            "a protected header with content type before algorithm",
            map(&[&[0xa3, 0x03], &kind, &[0x01, 0x32, 0x04], &kid]),
            "wrapper",
        ),
        refused(
            "a protected header with the algorithm twice",
            map(&[&[0xa3, 0x01, 0x32, 0x01, 0x32, 0x04], &kid]),
            "wrapper",
        ),
        refused(
            "a protected header of indefinite size",
            map(&[&[0xbf, 0x01, 0x32, 0x03], &kind, &[0x04], &kid, &[0xff]]),
            "wrapper",
        ),
        refused(
            "a protected header whose size takes two bytes",
            map(&[&[0xb8, 0x03, 0x01, 0x32, 0x03], &kind, &[0x04], &kid]),
            "wrapper",
        ),
        refused(
            "a key of the protected header in two bytes",
            map(&[&[0xa3, 0x18, 0x01, 0x32, 0x03], &kind, &[0x04], &kid]),
            "wrapper",
        ),
        refused(
            "a byte after the protected map",
            map(&[&[0xa3, 0x01, 0x32, 0x03], &kind, &[0x04], &kid, &[0x00]]),
            "wrapper",
        ),
        refused(
            "the algorithm EdDSA (-8)",
            under(&protected(0x27, &clock, key), &payload),
            "wrapper",
        ),
        refused(
            "the algorithm ES256 (-7)",
            under(&protected(0x26, &clock, key), &payload),
            "wrapper",
        ),
        refused(
            "the algorithm 19",
            under(&protected(0x13, &clock, key), &payload),
            "wrapper",
        ),
        refused(
            "the algorithm -19 in two bytes",
            map(&[&[0xa3, 0x01, 0x38, 0x12, 0x03], &kind, &[0x04], &kid]),
            "wrapper",
        ),
        refused(
            "the algorithm as text",
            map(&[
                &[0xa3, 0x01, 0x67],
                b"Ed25519",
                &[0x03],
                &kind,
                &[0x04],
                &kid,
            ]),
            "wrapper",
        ),
        refused(
            "a content type that is bytes",
            map(&[
                &[0xa3, 0x01, 0x32, 0x03],
                &cbor(2, clock.as_bytes()),
                &[0x04],
                &kid,
            ]),
            "wrapper",
        ),
        refused(
            "a content type that is a number",
            map(&[&[0xa3, 0x01, 0x32, 0x03, 0x18, 0x2a, 0x04], &kid]),
            "wrapper",
        ),
        refused(
            "a content type whose length takes three bytes",
            map(&[
                &[
                    0xa3,
                    0x01,
                    0x32,
                    0x03,
                    0x79,
                    0x00,
                    clock.len().to_le_bytes()[0],
                ],
                clock.as_bytes(),
                &[0x04],
                &kid,
            ]),
            "wrapper",
        ),
        refused(
            "a key id of 15 bytes",
            map(&[
                &[0xa3, 0x01, 0x32, 0x03],
                &kind,
                &[0x04],
                &cbor(2, &key.as_bytes()[..15]),
            ]),
            "wrapper",
        ),
        refused(
            "a key id of 17 bytes",
            map(&[
                &[0xa3, 0x01, 0x32, 0x03],
                &kind,
                &[0x04],
                &cbor(2, &[0; 17]),
            ]),
            "wrapper",
        ),
        refused(
            "a key id that is text",
            map(&[
                &[0xa3, 0x01, 0x32, 0x03],
                &kind,
                &[0x04],
                &cbor(3, &[b'k'; 16]),
            ]),
            "wrapper",
        ),
        refused(
            "an empty key id",
            map(&[&[0xa3, 0x01, 0x32, 0x03], &kind, &[0x04, 0x40]]),
            "wrapper",
        ),
    ];
    for wrong in [
        "text/plain",
        "application/vnd.affiant.clock.v1",
        "application/vnd.affiant.clock.v1+cbor",
        "application/vnd.affiant.clock+protobuf",
        "application/vnd.affiant..v1+protobuf",
        "application/vnd.affiant.clock.v0+protobuf",
        "application/vnd.affiant.clock.v01+protobuf",
        "application/vnd.affiant.clock.v10000+protobuf",
        "application/vnd.affiant.clock.v1+protobuf; charset=utf-8",
        "application/vnd.affiant.Clock.v1+protobuf",
        "application/vnd.affiant.clock2.v1+protobuf",
        "Application/vnd.affiant.clock.v1+protobuf",
        " application/vnd.affiant.clock.v1+protobuf",
        "application/vnd.affiant.a-kind-whose-name-has-more-than-forty-letters.v1+protobuf",
    ] {
        out.push(refused(
            &format!("the content type {wrong:?}"),
            with_type(wrong),
            "content-type",
        ));
    }
    let broken = [
        b"application/vnd.affiant.",
        [0xff].as_slice(),
        b".v1+protobuf",
    ]
    .concat();
    let broken = map(&[&[0xa3, 0x01, 0x32, 0x03], &cbor(3, &broken), &[0x04], &kid]);
    out.push(refused(
        "a content type that is not utf-8",
        broken,
        "content-type",
    ));
    let long = [whole, vec![0; 64 * 1024]].concat();
    out.push(refused("more than 65,536 bytes", long, "too-long"));
    out
}
