//! A usage record that was admitted, changed in every place: all of it is refused, and for the
//! reason that belongs to the place.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
#[path = "vectors/bytes.rs"]
mod bytes;
#[allow(dead_code)]
#[path = "vectors/example.rs"]
mod example;
#[allow(dead_code)]
#[path = "vectors/messages.rs"]
mod messages;

use std::collections::{BTreeMap, BTreeSet};

use affiant_judge::admission::{HostChain, Sources};
use affiant_proto::{Envelope, SaltedTree, authority::Revocations, v1};
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Value, bytes::Bytes};

use bytes::{Parts, wrapped};
use example::{Example, NVML_ONLY, follow, lines, totals, tree, usage_body, usage_tree};

/// Reads and admits an envelope as the record after inventory and workloads; gives the code of
/// the refusal, and holds that a refusal changes nothing.
fn refusal(chain: &HostChain, envelope: &[u8]) -> Option<&'static str> {
    let mut next = chain.clone();
    let code = match Envelope::parse(envelope) {
        Err(bad) => bad.code(),
        Ok(envelope) => next
            .admit(envelope, NVML_ONLY, &Revocations::default())
            .err()?
            .code(),
    };
    assert_eq!(&next, chain, "a refusal leaves the chain as it was");
    Some(code)
}

/// The regions of a field of type bytes, string or message: its tag and length, and its content.
struct Regions {
    bytes: Vec<u8>,
    at: usize,
    named: Vec<(String, std::ops::Range<usize>)>,
}

impl Regions {
    fn of(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            at: 0,
            named: Vec::new(),
        }
    }

    fn take(&mut self, name: &str, count: usize) {
        self.named.push((name.to_owned(), self.at..self.at + count));
        self.at += count;
    }

    fn varint(&mut self) -> (usize, usize) {
        let start = self.at;
        let rest = &self.bytes[start..];
        let length = rest.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let value = rest[..length]
            .iter()
            .rev()
            .fold(0_usize, |n, byte| n << 7 | usize::from(byte & 0x7f));
        (length, value)
    }

    /// Names the fields of a message up to `end`; `name` tells the name of a field's number, and
    /// whether its content is a message of which `inner` names the fields.
    fn fields(&mut self, before: &str, end: usize, message: &prost_reflect::MessageDescriptor) {
        while self.at < end {
            let (tag_length, tag) = self.varint();
            let field = message.get_field(u32::try_from(tag >> 3).unwrap()).unwrap();
            let name = format!("{before}.{}", field.name());
            self.take(&format!("{name} (tag)"), tag_length);
            let (length, value) = self.varint();
            match (tag & 7, field.kind()) {
                (2, prost_reflect::Kind::Message(inner)) => {
                    self.take(&format!("{name} (length)"), length);
                    self.fields(&name, self.at + value, &inner);
                }
                (2, _) => {
                    self.take(&format!("{name} (length)"), length);
                    self.take(&name, value);
                }
                _ => self.take(&name, length),
            }
        }
        assert_eq!(self.at, end);
    }
}

/// Names every byte of the example's usage envelope.
fn regions(envelope: &Envelope) -> Regions {
    let pool = messages::pool();
    let parts = Parts::of(envelope.statement().as_bytes());
    let mut all = Regions::of(envelope.to_bytes());
    all.take("envelope.statement (tag)", 1);
    let (length, _) = all.varint();
    all.take("envelope.statement (length)", length);
    all.take("cose array", 1);
    all.take("protected (length)", 2);
    all.take("protected map", 1);
    all.take("algorithm", 2);
    all.take("content type (key and length)", 3);
    all.take(
        "content type",
        "application/vnd.affiant.usage.v1+protobuf".len(),
    );
    all.take("key id (key and length)", 2);
    all.take("key id", 16);
    all.take("unprotected", 1);
    let length = if parts.payload.len() < 256 { 2 } else { 3 };
    all.take("payload (length)", length);
    let end = all.at + parts.payload.len();
    all.fields("payload", end, &messages::named(&pool, "Usage"));
    all.take("signature (length)", 2);
    all.take("signature", 64);
    for leaf in envelope.tree().unwrap().leaves() {
        all.take("envelope.leaves (tag)", 1);
        let (length, _) = all.varint();
        all.take("envelope.leaves (length)", length);
        all.take("leaf", leaf.len());
    }
    all.take("envelope.seed (tag)", 1);
    all.take("envelope.seed (length)", 1);
    all.take("seed", 16);
    assert_eq!(all.at, all.bytes.len(), "every byte has a name");
    all
}

/// The reasons that belong to a region. The top bit of a number makes it another spelling.
fn due(region: &str) -> &'static [&'static str] {
    match region {
        "leaf" | "seed" => &["leaves"],
        "signature" | "key id" => &["signature"],
        // Another word is another kind: one without a root for the leaves, or none at all.
        "content type" => &["leaves", "spelling"],
        "payload.usage_root" => &["leaves"],
        "payload.usage_count" => &["leaves", "spelling"],
        "payload.header.chain" => &["other-chain"],
        "payload.header.previous" => &["forked"],
        "payload.header.sequence" => &["missing", "past", "spelling"],
        _ if region.contains('(') => &["spelling", "leaves", "signature", "forked"],
        _ if region.starts_with("payload.") => &["signature", "spelling"],
        _ => &["spelling"],
    }
}

#[test]
fn every_bit_of_an_admitted_record_is_held_by_something() {
    let example = Example::new();
    let chain = example.chain_after(2);
    let all = regions(&example.usage);
    assert_eq!(
        refusal(&chain, &all.bytes),
        None,
        "unchanged, it is admitted"
    );
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (region, range) in &all.named {
        for byte in range.clone() {
            for bit in 0..8 {
                let mut changed = all.bytes.clone();
                changed[byte] ^= 1 << bit;
                let code = refusal(&chain, &changed).unwrap_or_else(|| {
                    panic!("{region}: byte {byte} bit {bit} changed, and admitted")
                });
                assert!(
                    due(region).contains(&code),
                    "{region}: byte {byte} bit {bit}: {code}"
                );
                found.entry(region).or_default().insert(code);
            }
        }
    }
    let names = found.keys().filter(|name| !name.contains('('));
    let payload: Vec<&str> = names
        .copied()
        .filter(|name| name.starts_with("payload."))
        .collect();
    assert_eq!(
        payload.len(),
        19,
        "every field of header and record has a value: {payload:?}"
    );
    for (region, code) in [
        ("payload.boot", "signature"),
        ("payload.end_ms", "signature"),
        ("content type", "leaves"),
    ] {
        assert!(
            found[region].contains(code),
            "{region}: {:?}",
            found[region]
        );
    }
}

#[test]
fn every_cut_of_an_admitted_record_is_refused() {
    let example = Example::new();
    let chain = example.chain_after(2);
    let whole = example.usage.to_bytes();
    for end in 0..whole.len() {
        assert!(refusal(&chain, &whole[..end]).is_some(), "cut at {end}");
    }
    for more in [0x00, 0x08, 0x1a, 0x20, 0xff] {
        assert_eq!(
            refusal(&chain, &[whole.as_slice(), &[more]].concat()),
            Some("spelling")
        );
    }
}

/// Changes one field, or takes it away, in a payload that keeps its one spelling.
fn changes(message: &DynamicMessage, before: &str) -> Vec<(String, DynamicMessage)> {
    let mut out = Vec::new();
    for (field, value) in message.fields() {
        let name = format!("{before}{}", field.name());
        let mut without = message.clone();
        without.clear_field(&field);
        out.push((format!("{name} taken away"), without));
        let mut with = |name: String, value: Value| {
            let mut changed = message.clone();
            changed.set_field(&field, value);
            out.push((name, changed));
        };
        match value {
            Value::Message(inner) => {
                for (name, inner) in changes(inner, &format!("{name}.")) {
                    with(name, Value::Message(inner));
                }
            }
            value => with(name, other(&field, value)),
        }
    }
    out
}

fn other(field: &FieldDescriptor, value: &Value) -> Value {
    match value {
        Value::U32(n) => Value::U32(n + 1),
        Value::U64(n) => Value::U64(n + 1),
        Value::EnumNumber(n) => Value::EnumNumber(n + 1),
        Value::String(text) => Value::String(format!("{text}x")),
        Value::Bytes(bytes) => {
            let mut changed = bytes.to_vec();
            changed[0] ^= 1;
            Value::Bytes(Bytes::from(changed))
        }
        other => panic!(
            "{} has a value of another type: {other:?}",
            field.full_name()
        ),
    }
}

#[test]
fn every_field_changed_under_the_old_signature_is_refused_for_its_reason() {
    let example = Example::new();
    let chain = example.chain_after(2);
    let message = example.usage.message();
    let parts = Parts::of(&message.statement);
    let payload = messages::decode(messages::named(&messages::pool(), "Usage"), &parts.payload);
    assert_eq!(payload.encode_to_vec(), parts.payload);
    let all = changes(&payload, "");
    for (name, changed) in &all {
        let statement = wrapped(&parts.protected, &changed.encode_to_vec(), &parts.signature);
        let envelope = v1::Envelope {
            statement,
            ..message.clone()
        };
        let due = match name.as_str() {
            "header.chain" => "other-chain",
            "header.sequence" => "missing",
            "header.previous" => "forked",
            "usage_root" | "usage_count" | "usage_root taken away" | "usage_count taken away" => {
                "leaves"
            }
            "header taken away" => "spelling",
            // A header that could not be is not even read.
            _ if name.ends_with("taken away")
                && name.starts_with("header.")
                && !["max_error_ms", "header.checkpoint", "unix_ms"]
                    .iter()
                    .any(|optional| {
                        name.strip_suffix(" taken away")
                            .unwrap()
                            .ends_with(optional)
                    }) =>
            {
                "spelling"
            }
            _ => "signature",
        };
        assert_eq!(
            refusal(&chain, &envelope.encode_to_vec()),
            Some(due),
            "{name}"
        );
    }
    assert_eq!(
        all.len(),
        2 * 19 + 3,
        "nineteen values changed and taken away, three messages taken away"
    );
}

#[test]
fn the_signature_of_one_statement_fits_no_other() {
    let example = Example::new();
    let chain = example.chain_after(2);
    let message = example.usage.message();
    let parts = Parts::of(&message.statement);
    for other in example
        .log()
        .into_iter()
        .filter(|other| *other != example.usage.statement())
    {
        let lent = Parts::of(other.as_bytes());
        let statement = wrapped(&parts.protected, &parts.payload, &lent.signature);
        let envelope = v1::Envelope {
            statement,
            ..message.clone()
        };
        assert_eq!(
            refusal(&chain, &envelope.encode_to_vec()),
            Some("signature")
        );
    }
}

/// A record of the example's host over changed figures, signed by the right key.
fn record(chain: &HostChain, start_ms: u64, change: impl FnOnce(&mut v1::Usage)) -> Envelope {
    let tree = usage_tree(&totals(), &lines());
    let mut body = v1::Usage {
        start_ms,
        end_ms: start_ms + 10_000,
        ..usage_body(&tree)
    };
    change(&mut body);
    follow(chain.state(), body, Some(tree), 5)
}

fn admit(chain: &mut HostChain, envelope: &Envelope) -> Result<(), &'static str> {
    chain
        .admit(envelope.clone(), NVML_ONLY, &Revocations::default())
        .map(|_| ())
        .map_err(|refusal| refusal.code())
}

#[test]
fn a_replayed_or_reordered_record_is_refused_and_the_chain_goes_on() {
    let example = Example::new();
    let mut chain = example.chain_after(3);
    let mut ahead = chain.clone();
    let first = record(&chain, 70_000, |_| {});
    admit(&mut ahead, &first).unwrap();
    let second = record(&ahead, 80_000, |_| {});
    assert_eq!(
        admit(&mut chain, &second),
        Err("missing"),
        "the second before the first"
    );
    admit(&mut chain, &first).unwrap();
    assert_eq!(admit(&mut chain, &first), Err("past"), "the first twice");
    admit(&mut chain, &second).unwrap();
    for old in [
        &example.inventory,
        &example.workloads,
        &example.usage,
        &first,
        &second,
    ] {
        assert_eq!(admit(&mut chain, old), Err("past"));
    }
    assert_eq!(chain.state().sequence(), 5);
}

#[test]
fn a_fork_is_refused_on_both_sides_and_a_frozen_chain_takes_nothing() {
    let example = Example::new();
    let mut chain = example.chain_after(3);
    let one = record(&chain, 70_000, |_| {});
    let two = record(&chain, 70_000, |usage| usage.wall_end_ms += 1);
    let mut other = chain.clone();
    admit(&mut chain, &one).unwrap();
    admit(&mut other, &two).unwrap();
    assert_eq!(
        admit(&mut chain, &two),
        Err("past"),
        "a second payload at one sequence"
    );
    let on_other = record(&other, 80_000, |_| {});
    assert_eq!(
        admit(&mut chain, &on_other),
        Err("forked"),
        "what continues the other history"
    );
    chain.freeze(4);
    let next = record(&chain, 80_000, |_| {});
    assert_eq!(admit(&mut chain, &next), Err("frozen"));
}

#[test]
fn intervals_overlap_never_and_abut_always() {
    let example = Example::new();
    let chain = example.chain_after(3);
    for (start, due) in [
        (69_999, Err("overlap")),
        (60_000, Err("overlap")),
        (70_001, Err("apart")),
        (70_000, Ok(())),
    ] {
        assert_eq!(
            admit(&mut chain.clone(), &record(&chain, start, |_| {})),
            due,
            "from {start}"
        );
    }
    let next_boot = record(&chain, 5, |usage| usage.boot = 2);
    admit(&mut chain.clone(), &next_boot).unwrap();
    for boot in [0, 3, u32::MAX] {
        let wrong = record(&chain, 5, |usage| usage.boot = boot);
        assert_eq!(
            admit(&mut chain.clone(), &wrong),
            Err("usage"),
            "boot {boot} after 1"
        );
    }
}

#[test]
fn lines_that_do_not_sum_to_the_totals_line_are_refused_though_signed() {
    let example = Example::new();
    let chain = example.chain_after(3);
    let signed = |change: &dyn Fn(&mut v1::Totals, &mut Vec<v1::UsageLine>)| {
        let (mut totals, mut lines) = (totals(), lines().to_vec());
        change(&mut totals, &mut lines);
        let tree = usage_tree(&totals, &lines);
        let body = v1::Usage {
            start_ms: 70_000,
            end_ms: 80_000,
            ..usage_body(&tree)
        };
        admit(
            &mut chain.clone(),
            &follow(chain.state(), body, Some(tree), 5),
        )
    };
    assert_eq!(signed(&|_, _| {}), Ok(()));
    for place in 0..5 {
        assert_eq!(
            signed(&|_, lines| lines[place].time_ms -= 1),
            Err("sum"),
            "line {place} shortened"
        );
        assert_eq!(
            signed(&|_, lines| {
                lines.remove(place);
            }),
            Err("sum"),
            "line {place} kept back"
        );
    }
    assert_eq!(
        signed(&|totals, _| totals.devices[0].energy_mj = Some(1)),
        Err("sum")
    );
    assert_eq!(
        signed(&|totals, _| totals.devices[1].not_observed_ms -= 1),
        Err("sum")
    );
    assert_eq!(
        signed(&|_, lines| lines.swap(0, 1)),
        Err("usage"),
        "lines in another order"
    );
}

#[test]
fn lines_point_into_the_tables_in_force_and_no_others() {
    let example = Example::new();
    let mut chain = example.chain_after(3);
    for (inventory, workloads) in [(0, 2), (2, 2), (1, 1), (1, 3), (1, 0)] {
        let wrong = record(&chain, 70_000, |usage| {
            (usage.inventory, usage.workloads) = (inventory, workloads)
        });
        assert_eq!(
            admit(&mut chain.clone(), &wrong),
            Err("not-in-force"),
            "{inventory}, {workloads}"
        );
    }
    // A new table takes the place of the old from its own sequence on.
    let table = tree(0xa4, &example::workloads());
    let body = v1::Workloads {
        header: None,
        root: table.root().as_bytes().to_vec(),
        count: table.count(),
    };
    let replaced = follow(chain.state(), body, Some(table), 5);
    admit(&mut chain, &replaced).unwrap();
    let stale = record(&chain, 70_000, |_| {});
    assert_eq!(admit(&mut chain.clone(), &stale), Err("not-in-force"));
    let fresh = record(&chain, 70_000, |usage| usage.workloads = 4);
    admit(&mut chain, &fresh).unwrap();
}

#[test]
fn a_recorded_source_is_believed_only_where_that_was_asked_for() {
    let example = Example::new();
    let chain = example.chain_after(3);
    let asked = Sources {
        accept_recorded: true,
    };
    for (source, code) in [
        (v1::SourceKind::Recorded, "source"),
        (v1::SourceKind::Simulated, "source"),
    ] {
        let table: SaltedTree = tree(0xa5, &example::devices());
        let body = v1::Inventory {
            header: None,
            source: source.into(),
            library: "/traces/eight.trace".into(),
            library_digest: example::stand_in("trace"),
            driver_version: "580".into(),
            root: table.root().as_bytes().to_vec(),
            count: table.count(),
        };
        let inventory = follow(chain.state(), body, Some(table), 5);
        assert_eq!(admit(&mut chain.clone(), &inventory), Err(code));
        let mut believing = chain.clone();
        believing
            .admit(inventory, asked, &Revocations::default())
            .unwrap();
        let usage = record(&believing, 70_000, |usage| {
            usage.source = source.into();
            usage.inventory = 4;
        });
        assert_eq!(admit(&mut believing.clone(), &usage), Err(code));
        believing
            .admit(usage, asked, &Revocations::default())
            .unwrap();
        let mixed = record(&believing, 80_000, |usage| usage.inventory = 4);
        let refusal = believing
            .admit(mixed, asked, &Revocations::default())
            .unwrap_err();
        assert_eq!(
            refusal.code(),
            "usage",
            "nvml usage over a {source:?} inventory"
        );
    }
}
