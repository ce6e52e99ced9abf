//! Statements in any other spelling than the one that is accepted. All signatures are right for
//! the bytes as they are: nothing but the spelling is wrong.

use affiant_proto::Signer as _;
use prost::Message as _;

use super::{ReadAs, Refused};
use crate::{
    bytes::{
        Parts, cbor, content_type, field, number, protected, signed, statement, varint, wrapped,
    },
    example::{Example, ORIGIN, signer},
};

fn refused(fault: &str, bytes: Vec<u8>, step: &'static str) -> Refused {
    Refused::new(fault, ReadAs::Statement, bytes, step)
}

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

fn header_bytes() -> Vec<u8> {
    let clock = Parts::of(Example::new().clock.as_bytes()).payload;
    assert_eq!(clock[0], 0x0a);
    clock[2..].to_vec()
}

fn clock(payload: &[u8]) -> Vec<u8> {
    statement("clock", payload, &signer(1))
}

/// Faults of the payload's protobuf.
pub fn payload() -> Vec<Refused> {
    let header = header_bytes();
    let lead = field(1, &header);
    let of = |kind: &str, fields: &[&[u8]]| {
        statement(
            kind,
            &[&lead, fields.concat().as_slice()].concat(),
            &signer(1),
        )
    };
    let length = header.len().to_le_bytes()[0];
    // Time is field 4 of the header, and its own fields begin after tag and length.
    let at = header.len() - field(4, &time()).len();
    let (before, time_field) = header.split_at(at);
    assert_eq!(time_field, field(4, &time()));
    let with_time = |time: &[u8]| clock(&field(1, &[before, &field(4, time)].concat()));
    let refused = |fault: &str, bytes, step| refused(fault, bytes, step);
    vec![
        refused(
            "an unknown field, a number",
            clock(&[lead.clone(), number(15, 1)].concat()),
            "respelled",
        ),
        refused(
            "an unknown field, empty bytes",
            clock(&[lead.clone(), field(2, &[])].concat()),
            "respelled",
        ),
        refused(
            "an unknown field before the header",
            clock(&[field(2, &[]), lead.clone()].concat()),
            "respelled",
        ),
        refused(
            "an unknown field of four bytes",
            clock(&[&lead, &[0x15, 0, 0, 0, 0][..]].concat()),
            "respelled",
        ),
        refused(
            "an unknown group",
            clock(&[&lead, &[0x13, 0x14][..]].concat()),
            "respelled",
        ),
        refused(
            "an unknown field within the header",
            clock(&field(1, &[header.clone(), number(9, 1)].concat())),
            "respelled",
        ),
        refused(
            "the header twice",
            clock(&[lead.clone(), lead.clone()].concat()),
            "respelled",
        ),
        refused(
            "the header in two parts",
            clock(&[field(1, before), field(1, time_field)].concat()),
            "respelled",
        ),
        refused(
            "a singular string twice",
            of("hold", &[&field(4, b"a"), &field(4, b"b")]),
            "respelled",
        ),
        refused(
            "a singular number twice",
            of("hold", &[&number(2, 1), &number(2, 2)]),
            "respelled",
        ),
        refused(
            "a length as a long varint",
            clock(&[&[0x0a, length | 0x80, 0x00], header.as_slice()].concat()),
            "respelled",
        ),
        refused(
            "a tag as a long varint",
            clock(&[&[0x8a, 0x00, length], header.as_slice()].concat()),
            "respelled",
        ),
        refused(
            "a number as a long varint",
            of("hold", &[&[0x10, 0x81, 0x00]]),
            "respelled",
        ),
        refused(
            "a number of 32 bits with more than 32",
            of("usage", &[&[0x10, 0x81, 0x80, 0x80, 0x80, 0x10]]),
            "respelled",
        ),
        refused(
            "a number beyond 64 bits",
            of(
                "hold",
                &[&[
                    0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
                ]],
            ),
            "payload",
        ),
        refused(
            "a varint of eleven bytes",
            of(
                "hold",
                &[&[
                    0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01,
                ]],
            ),
            "payload",
        ),
        refused(
            "a zero that is spelled out",
            of("hold", &[&number(2, 0)]),
            "respelled",
        ),
        refused(
            "an empty string that is spelled out",
            of("hold", &[&field(4, &[])]),
            "respelled",
        ),
        refused(
            "a false that is spelled out",
            of("hold", &[&number(5, 0)]),
            "respelled",
        ),
        refused(
            "a true that is a two",
            of("hold", &[&number(5, 2)]),
            "respelled",
        ),
        refused(
            "an enumeration's zero that is spelled out",
            of("host-event", &[&number(3, 0)]),
            "respelled",
        ),
        refused(
            "a negative enumeration in five bytes where ten are due",
            of("host-event", &[&[0x18, 0xff, 0xff, 0xff, 0xff, 0x0f]]),
            "respelled",
        ),
        refused(
            "fields out of order",
            of("hold", &[&number(3, 7), &number(2, 6)]),
            "respelled",
        ),
        refused(
            "the header after another field",
            statement("hold", &[number(2, 6), lead.clone()].concat(), &signer(1)),
            "respelled",
        ),
        refused(
            "fields out of order within the header",
            clock(&field(1, &[time_field, before].concat())),
            "respelled",
        ),
        refused(
            "fields out of order within the time",
            with_time(&[number(3, 4), time()[..time().len() - 2].to_vec()].concat()),
            "respelled",
        ),
        refused(
            "two alternatives of a oneof",
            of(
                "tenant-event",
                &[&field(3, &field(1, b"p")), &field(4, &field(1, b"f"))],
            ),
            "respelled",
        ),
        refused(
            "one alternative of a oneof twice",
            of(
                "tenant-event",
                &[&field(3, &field(1, b"p")), &field(3, &field(1, b"q"))],
            ),
            "respelled",
        ),
        refused(
            "an element of a list out of its place",
            of(
                "genesis",
                &[
                    &field(6, &field(1, b"Ann")),
                    &field(2, b"o"),
                    &field(6, &field(1, b"Bo")),
                ],
            ),
            "respelled",
        ),
        refused(
            "a string that is not utf-8",
            of("hold", &[&field(4, &[0xff])]),
            "payload",
        ),
        refused(
            "a string with a surrogate",
            of("hold", &[&field(4, &[0xed, 0xa0, 0x80])]),
            "payload",
        ),
        refused(
            "a string with an overlong slash",
            of("hold", &[&field(4, &[0xc0, 0xaf])]),
            "payload",
        ),
        refused(
            "a number where bytes are due",
            of("fork", &[&number(2, 1)]),
            "payload",
        ),
        refused(
            "bytes where a number is due",
            of("hold", &[&field(2, &[1])]),
            "payload",
        ),
        refused(
            "four bytes where a number is due",
            of("hold", &[&[0x15, 1, 0, 0, 0]]),
            "payload",
        ),
        refused(
            "the field number zero",
            clock(&[&lead, &[0x02, 0x00][..]].concat()),
            "payload",
        ),
        refused(
            "a wire type that is not defined",
            clock(&[&lead, &[0x16, 0x00][..]].concat()),
            "payload",
        ),
        refused(
            "a group that does not end",
            clock(&[&lead, &[0x13][..]].concat()),
            "payload",
        ),
        refused(
            "a group that ends and never began",
            clock(&[&lead, &[0x14][..]].concat()),
            "payload",
        ),
        refused(
            "a field longer than the payload",
            of("hold", &[&[0x22, 0x7f, b'x']]),
            "payload",
        ),
        refused(
            "a payload that ends within a tag",
            clock(&[&lead, &[0x80][..]].concat()),
            "payload",
        ),
        refused(
            "a payload that ends after a tag",
            clock(&[&lead, &[0x12][..]].concat()),
            "payload",
        ),
        refused(
            "a payload of another kind, read as this one",
            statement(
                "clock",
                &Parts::of(Example::new().enrolment.as_bytes()).payload,
                &signer(1),
            ),
            "respelled",
        ),
        refused(
            "an unknown kind whose header has a long length",
            statement(
                "tea-leaves",
                &[&[0x0a, length | 0x80, 0x00], header.as_slice()].concat(),
                &signer(1),
            ),
            "respelled",
        ),
        refused(
            "an unknown kind whose header has an unknown field",
            statement(
                "tea-leaves",
                &field(1, &[header.clone(), number(9, 1)].concat()),
                &signer(1),
            ),
            "respelled",
        ),
        refused(
            "an unknown kind whose header is not its first field",
            statement(
                "tea-leaves",
                &[number(2, 1), lead.clone()].concat(),
                &signer(1),
            ),
            "header",
        ),
        refused(
            "an unknown kind that is cut off in its header",
            statement("tea-leaves", &lead[..lead.len() - 1], &signer(1)),
            "payload",
        ),
    ]
}

fn time() -> Vec<u8> {
    crate::example::time(1_000).encode_to_vec()
}

/// Faults of the header in payloads that are spelled rightly.
pub fn header() -> Vec<Refused> {
    let (chain, previous) = (field(1, &[0xc0; 32]), field(3, &[0xb0; 32]));
    let sequence = number(2, 3);
    let moment = field(4, &time());
    let seen = |origin: &str, size: u64, root: &[u8]| {
        let parts = [
            if origin.is_empty() {
                Vec::new()
            } else {
                field(1, origin.as_bytes())
            },
            if size == 0 {
                Vec::new()
            } else {
                number(2, size)
            },
            if root.is_empty() {
                Vec::new()
            } else {
                field(3, root)
            },
        ];
        field(5, &parts.concat())
    };
    let linked = |rest: &[&[u8]]| {
        clock(&field(
            1,
            &[&chain, &sequence, &previous, rest.concat().as_slice()].concat(),
        ))
    };
    let of = |parts: &[&[u8]]| clock(&field(1, &parts.concat()));
    let instant = number(1, 1_700_000_000_000);
    let mut out = vec![
        refused("no header", clock(&[]), "header"),
        refused(
            "no header but other fields",
            statement("hold", &number(2, 6), &signer(1)),
            "header",
        ),
        refused("an empty header", clock(&[0x0a, 0x00]), "header"),
        refused(
            "a chain of 31 bytes",
            of(&[&field(1, &[0xc0; 31]), &sequence, &previous, &moment]),
            "header",
        ),
        refused(
            "a chain of 33 bytes",
            of(&[&field(1, &[0xc0; 33]), &sequence, &previous, &moment]),
            "header",
        ),
        refused(
            "a previous of 31 bytes",
            of(&[&chain, &sequence, &field(3, &[0xb0; 31]), &moment]),
            "header",
        ),
        refused(
            "a previous of 64 bytes",
            of(&[&chain, &sequence, &field(3, &[0xb0; 64]), &moment]),
            "header",
        ),
        refused(
            "a chain, and sequence 0",
            of(&[&chain, &previous, &moment]),
            "header",
        ),
        refused("a chain alone", of(&[&chain, &moment]), "header"),
        refused(
            "a sequence without chain",
            of(&[&sequence, &previous, &moment]),
            "header",
        ),
        refused(
            "a previous without chain and sequence",
            of(&[&previous, &moment]),
            "header",
        ),
        refused("a sequence alone", of(&[&sequence, &moment]), "header"),
        refused(
            "a sequence without previous",
            of(&[&chain, &sequence, &moment]),
            "header",
        ),
        refused("no time", linked(&[]), "header"),
        refused(
            "a time that says nothing of its clock",
            linked(&[&field(4, &instant)]),
            "header",
        ),
        refused("an empty time", linked(&[&field(4, &[])]), "header"),
        refused(
            "a clock state that is not defined",
            linked(&[&field(4, &[instant.clone(), number(2, 4)].concat())]),
            "header",
        ),
        refused(
            "a negative clock state",
            linked(&[&field(
                4,
                &[
                    instant.clone(),
                    [&[0x10], varint(u64::MAX).as_slice()].concat(),
                ]
                .concat(),
            )]),
            "header",
        ),
        refused(
            "a checkpoint of size 0",
            linked(&[&moment, &seen(ORIGIN, 0, &[0xd0; 32])]),
            "header",
        ),
        refused(
            "a checkpoint without origin",
            linked(&[&moment, &seen("", 5, &[0xd0; 32])]),
            "header",
        ),
        refused(
            "a checkpoint whose origin has a space",
            linked(&[&moment, &seen("log example", 5, &[0xd0; 32])]),
            "header",
        ),
        refused(
            "a checkpoint whose origin has a no-break space",
            linked(&[&moment, &seen("log\u{a0}example", 5, &[0xd0; 32])]),
            "header",
        ),
        refused(
            "a checkpoint whose origin has a plus",
            linked(&[&moment, &seen("log+example", 5, &[0xd0; 32])]),
            "header",
        ),
        refused(
            "a checkpoint whose origin has a newline",
            linked(&[&moment, &seen("log\n", 5, &[0xd0; 32])]),
            "header",
        ),
        refused(
            "a checkpoint whose origin has 101 bytes",
            linked(&[&moment, &seen(&"o".repeat(101), 5, &[0xd0; 32])]),
            "header",
        ),
        refused(
            "a checkpoint without root",
            linked(&[&moment, &seen(ORIGIN, 5, &[])]),
            "header",
        ),
        refused(
            "a checkpoint whose root has 31 bytes",
            linked(&[&moment, &seen(ORIGIN, 5, &[0xd0; 31])]),
            "header",
        ),
        refused(
            "an empty checkpoint",
            linked(&[&moment, &[0x2a, 0x00]]),
            "header",
        ),
    ];
    let unknown = |payload: &[u8]| statement("tea-leaves", payload, &signer(1));
    out.push(refused(
        "an unknown kind without header",
        unknown(&[]),
        "header",
    ));
    out.push(refused(
        "an unknown kind with an empty header",
        unknown(&[0x0a, 0x00]),
        "header",
    ));
    out
}
