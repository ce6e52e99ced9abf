//! Faults of the header, in payloads that are rightly spelled.

use super::{Refused, clock, moment as time, statement as refused};
use crate::{
    bytes::{field, number, statement, varint},
    example::{ORIGIN, signer},
};

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
