//! Faults of the payload's protobuf, in statements that are rightly wrapped and signed.

use super::{Refused, clock, moment as time, statement as refused};
use crate::{
    bytes::{Parts, field, number, statement},
    example::{Example, signer},
};

fn header_bytes() -> Vec<u8> {
    let clock = Parts::of(Example::new().clock.as_bytes()).payload;
    assert_eq!(clock[0], 0x0a);
    clock[2..].to_vec()
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
