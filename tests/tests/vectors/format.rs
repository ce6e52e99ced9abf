//! `proto/FORMAT.md` held against the code: its hexadecimal blocks, its tables of messages and
//! sizes, its limits, kinds and codes.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use affiant_proto::{
    Envelope, Kind, SaltedTree, Seed, Signer as _, envelope, salted, statement,
    tlog::{self, leaf_hash},
    usage, v1,
};
use prost::Message as _;
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};

use crate::{
    bytes::{Parts, hex, signed},
    example::{Example, KEYS, lines, public, seal, signer, tree, usage_body, workloads},
    golden, lines as corpus, refused, regenerating,
};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../proto/FORMAT.md")
}

fn text() -> String {
    fs::read_to_string(path()).unwrap()
}

/// The worked example, by the name of its block.
fn blocks() -> Vec<(String, Vec<u8>)> {
    let example = Example::new();
    let mut out = Vec::new();
    for (name, byte) in KEYS {
        let key = signer(byte);
        out.push((format!("{name}-public"), public(byte)));
        out.push((
            format!("{name}-id"),
            key.public_key().id().as_bytes().to_vec(),
        ));
    }
    let named = [
        ("genesis", &example.genesis),
        ("clock", &example.clock),
        ("enrolment", &example.enrolment),
        ("inventory", example.inventory.statement()),
        ("workloads", example.workloads.statement()),
        ("usage", example.usage.statement()),
    ];
    for (name, statement) in named {
        let parts = Parts::of(statement.as_bytes());
        out.push((format!("{name}-payload"), parts.payload.clone()));
        if name == "enrolment" {
            out.push((format!("{name}-protected"), parts.protected.clone()));
            out.push((
                format!("{name}-signed"),
                signed(&parts.protected, &parts.payload),
            ));
            out.push((format!("{name}-signature"), parts.signature.clone()));
        }
        out.push((format!("{name}-statement"), statement.as_bytes().to_vec()));
        out.push((
            format!("{name}-digest"),
            statement.digest().as_bytes().to_vec(),
        ));
    }
    let envelopes = [
        ("inventory", &example.inventory),
        ("workloads", &example.workloads),
        ("usage", &example.usage),
    ];
    for (name, envelope) in envelopes {
        let tree = envelope.tree().unwrap();
        for (leaf, index) in tree.leaves().iter().zip(0..) {
            let salt = tree.seed().salt(index);
            out.push((format!("{name}-leaf-{index}"), leaf.clone()));
            out.push((format!("{name}-salt-{index}"), salt.to_vec()));
            let hash = salted::salted_leaf(&salt, leaf);
            out.push((format!("{name}-hash-{index}"), hash.as_bytes().to_vec()));
        }
        out.push((format!("{name}-root"), tree.root().as_bytes().to_vec()));
    }
    out.push(("usage-envelope".into(), example.usage.to_bytes()));
    let tree = example.usage.tree().unwrap();
    let shown = tree.disclose(&[0, 2].into());
    shown.matches(tree.root().as_bytes(), tree.count()).unwrap();
    out.push(("shown-proof".into(), joined(&shown.proof)));
    let log = example.tree();
    let path = tlog::inclusion_proof(&log, 5, 6).unwrap();
    out.push((
        "usage-entry".into(),
        example.usage.statement().digest().as_bytes().to_vec(),
    ));
    let leaf = leaf_hash(example.usage.statement().digest().as_bytes());
    out.push(("usage-log-leaf".into(), leaf.as_bytes().to_vec()));
    out.push(("usage-inclusion".into(), joined(&path)));
    out.push(("log-root".into(), log.root(6).unwrap().as_bytes().to_vec()));
    out
}

fn joined(hashes: &[tlog::Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// Generated parts of the document: what stands between `<!-- NAME -->` and `<!-- end NAME -->`.
fn parts() -> Vec<(&'static str, String)> {
    let note = made("notes.json");
    let quoted = |name: &str| format!("```text\n{}```\n", note[name].as_str().unwrap());
    let keys = [&note["log_vkey"], &note["witness_vkey"]].map(|key| key.as_str().unwrap());
    vec![
        ("messages", messages()),
        ("sizes", sizes()),
        ("vkeys", format!("```text\n{}\n{}\n```\n", keys[0], keys[1])),
        ("note", quoted("cosigned_note")),
        ("accumulated", accumulated()),
    ]
}

fn made(file: &str) -> serde_json::Value {
    let all = golden::all();
    all.into_iter().find(|(name, _)| *name == file).unwrap().1
}

fn accumulated() -> String {
    let after = crate::accumulated::accumulated()["after_records"].clone();
    let mut rows: Vec<(u32, String)> = after
        .as_object()
        .unwrap()
        .iter()
        .map(|(count, hash)| (count.parse().unwrap(), hash.as_str().unwrap().to_owned()))
        .collect();
    rows.sort();
    let rows = rows
        .iter()
        .map(|(count, hash)| format!("| {count} | `{hash}` |\n"));
    format!(
        "| records | SHA-256 |\n|---|---|\n{}",
        rows.collect::<String>()
    )
}

/// Every message of `statement.proto` as tables, with its comments.
fn messages() -> String {
    let proto = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let mut compiler = protox::Compiler::new([proto]).unwrap();
    compiler
        .include_source_info(true)
        .open_file("affiant/v1/statement.proto")
        .unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(compiler.file_descriptor_set()).unwrap();
    let file = pool.get_file_by_name("affiant/v1/statement.proto").unwrap();
    let mut out = String::new();
    for message in file.messages() {
        let about = comment(&file, message.path());
        writeln!(out, "### {}\n", message.name()).unwrap();
        if !about.is_empty() {
            writeln!(out, "{about}\n").unwrap();
        }
        out += "| number | field | type | |\n|---|---|---|---|\n";
        for field in message.fields() {
            let about = comment(&file, field.path());
            writeln!(
                out,
                "| {} | `{}` | {} | {about} |",
                field.number(),
                field.name(),
                kind(&message, &field)
            )
            .unwrap();
        }
        out.push('\n');
    }
    for set in file.enums() {
        writeln!(out, "### {}\n", set.name()).unwrap();
        let about = comment(&file, set.path());
        if !about.is_empty() {
            writeln!(out, "{about}\n").unwrap();
        }
        let values = set
            .values()
            .map(|value| format!("{} `{}`", value.number(), value.name()));
        writeln!(out, "{}\n", values.collect::<Vec<_>>().join(" · ")).unwrap();
    }
    out.trim_end().to_owned() + "\n"
}

fn kind(message: &MessageDescriptor, field: &FieldDescriptor) -> String {
    let name = match field.kind() {
        prost_reflect::Kind::Message(of) => of.name().to_owned(),
        prost_reflect::Kind::Enum(of) => of.name().to_owned(),
        other => format!("{other:?}"),
    };
    let choice = field
        .containing_oneof()
        .filter(|oneof| !oneof.is_synthetic());
    let presence = if field.is_list() {
        "repeated "
    } else if choice.is_some() {
        assert_eq!(
            message
                .oneofs()
                .filter(|oneof| !oneof.is_synthetic())
                .count(),
            1
        );
        "one of "
    } else if field.field_descriptor_proto().proto3_optional() {
        "optional "
    } else {
        ""
    };
    format!("{presence}{name}")
}

fn comment(file: &prost_reflect::FileDescriptor, path: &[i32]) -> String {
    let info = file
        .file_descriptor_proto()
        .source_code_info
        .as_ref()
        .unwrap();
    let found = info.location.iter().find(|location| location.path == path);
    let comment = found
        .map(|location| location.leading_comments())
        .unwrap_or_default();
    comment.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A record of an 8-GPU host that has run for ten days, as a line of the table of sizes.
fn sizes() -> String {
    let mut rows = String::from("| what | bytes | of these never compressible |\n|---|---|---|\n");
    let mut row = |what: &str, bytes: usize, fixed: &str| {
        writeln!(rows, "| {what} | {bytes} | {fixed} |").unwrap();
    };
    let devices = 8_u32;
    let attributed = |device| v1::UsageLine {
        device,
        kind: v1::LineKind::Attributed.into(),
        workload: Some(device),
        time_ms: 9_800,
        allocated_ms: Some(10_000),
        busy_ms: Some(9_312),
        energy_mj: Some(6_212_345),
        memory_peak_bytes: Some(137_438_953_472),
        sm_permille: Some(812),
        tensor_permille: Some(430),
        samples: 10,
        ..Default::default()
    };
    let idle = |device, time_ms| v1::UsageLine {
        device,
        kind: v1::LineKind::Idle.into(),
        time_ms,
        energy_mj: Some(712_345),
        samples: 10,
        ..Default::default()
    };
    let lost = v1::UsageLine {
        device: 7,
        kind: v1::LineKind::NotObserved.into(),
        reason: v1::Reason::DriverHung.into(),
        time_ms: 10_000,
        missing: 10,
        ..Default::default()
    };
    let totals = |busy: bool| v1::Totals {
        devices: (0..devices)
            .map(|_| v1::DeviceTotals {
                attributed_ms: if busy { 9_800 } else { 0 },
                idle_ms: if busy { 200 } else { 10_000 },
                energy_mj: Some(6_924_690),
                ..Default::default()
            })
            .collect(),
    };
    let record = |busy: bool, seen: Option<v1::CheckpointRef>| {
        let mut leaves = vec![totals(busy).encode_to_vec()];
        for device in 0..devices {
            if busy {
                leaves.push(attributed(device).encode_to_vec());
            }
            leaves.push(idle(device, if busy { 200 } else { 10_000 }).encode_to_vec());
        }
        let tree = SaltedTree::new(Seed::new([7; 16]), leaves).unwrap();
        let body = v1::Usage {
            start_ms: 864_000_000,
            end_ms: 864_010_000,
            inventory: 1,
            workloads: 86_000,
            ..usage_body(&tree)
        };
        let place = crate::example::next(
            affiant_proto::digest(b"chain"),
            86_412,
            affiant_proto::digest(b"head"),
        );
        Envelope::join(seal(body, place, 864_010_000, seen, 5), Some(tree)).unwrap()
    };
    let seen = v1::CheckpointRef {
        origin: "log.example/1".into(),
        size: 1_080_000_000,
        root: vec![7; 32],
    };
    let bare = record(false, None);
    let parts = Parts::of(bare.statement().as_bytes());
    let wrapper = bare.statement().as_bytes().len() - parts.payload.len();
    row(
        "statement, all but its payload (`usage`)",
        wrapper,
        "64: signature",
    );
    row(
        "payload of a usage record that embeds no checkpoint",
        parts.payload.len(),
        "64: previous, usage_root",
    );
    let with = record(false, Some(seen.clone()));
    let more = with.statement().as_bytes().len() - bare.statement().as_bytes().len();
    row(
        "the embedded checkpoint",
        more,
        "32: root, new at most once a minute",
    );
    let seed = bare.to_bytes().len()
        - v1::Envelope {
            seed: Vec::new(),
            totals: None,
            ..bare.message()
        }
        .encoded_len();
    row("the seed, framed", seed, "16");
    row("totals line of 8 devices", totals(true).encoded_len(), "0");
    row(
        "attributed line, everything measured",
        attributed(7).encoded_len(),
        "0",
    );
    row("idle line", idle(7, 10_000).encoded_len(), "0");
    row("not-observed line", lost.encoded_len(), "0");
    row("framing of a line in its envelope", 2, "0");
    row(
        "envelope of 8 idle GPUs, with a checkpoint",
        with.to_bytes().len(),
        "176",
    );
    row(
        "envelope of 8 GPUs with one workload each, with a checkpoint",
        record(true, Some(seen)).to_bytes().len(),
        "176",
    );
    let [slurm, kubernetes] = workloads();
    row("workload of Slurm, in its leaf", slurm.encoded_len(), "0");
    row(
        "workload of Kubernetes, in its leaf",
        kubernetes.encoded_len(),
        "some 30: pod uid, container id",
    );
    let device = &crate::example::devices()[0];
    row(
        "device, in its leaf",
        device.encoded_len(),
        "some 20: uuid, serial",
    );
    let shown = lines()[0];
    let leaf = 2 + 2 + (2 + 16) + (2 + shown.encoded_len());
    row("a line shown in a bundle, with its salt", leaf, "16: salt");
    row(
        "its proof, one of 17 leaves shown",
        32 * proof_of_one(17),
        "all",
    );
    row("entry of the log in its lowest tile", 32, "all");
    rows
}

fn proof_of_one(leaves: u32) -> usize {
    let empty = vec![v1::UsageLine::default(); leaves as usize];
    tree(1, &empty).disclose(&[leaves / 2].into()).proof.len()
}

#[test]
fn the_worked_example_of_the_specification_is_what_the_code_makes() {
    let mut document = text();
    let made = blocks();
    if regenerating() {
        document = rewritten(&document, &made);
        for (name, part) in parts() {
            let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end {name} -->"));
            let (before, rest) = document
                .split_once(&begin)
                .unwrap_or_else(|| panic!("FORMAT.md has no part {name}"));
            let (_, after) = rest.split_once(&end).unwrap();
            document = format!("{before}{begin}{part}{end}{after}");
        }
        fs::write(path(), &document).unwrap();
    }
    let mut shown = BTreeSet::new();
    for (name, block) in fences(&document) {
        let Some((_, bytes)) = made.iter().find(|(made, _)| *made == name) else {
            panic!("FORMAT.md shows `{name}`, which nothing makes");
        };
        assert!(
            block == wrapped(bytes),
            "the block `{name}` of FORMAT.md is stale: REGENERATE=1"
        );
        assert!(shown.insert(name.clone()), "`{name}` is shown twice");
    }
    for due in [
        "enrolment-statement",
        "inventory-root",
        "workloads-root",
        "usage-statement",
        "usage-root",
        "usage-envelope",
        "shown-proof",
        "usage-inclusion",
    ] {
        assert!(shown.contains(due), "FORMAT.md lost its block `{due}`");
    }
    for (name, part) in parts() {
        let whole = format!("<!-- {name} -->\n{part}<!-- end {name} -->");
        assert!(
            document.contains(&whole),
            "the part `{name}` of FORMAT.md is stale: REGENERATE=1"
        );
    }
}

/// Blocks that begin with "```hex NAME".
fn fences(document: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut rest = document;
    while let Some((_, after)) = rest.split_once("```hex ") {
        let (name, after) = after.split_once('\n').unwrap();
        let (block, after) = after.split_once("```").unwrap();
        out.push((name.to_owned(), block.to_owned()));
        rest = after;
    }
    out
}

fn rewritten(document: &str, made: &[(String, Vec<u8>)]) -> String {
    let mut out = document.to_owned();
    for (name, old) in fences(document) {
        if let Some((_, bytes)) = made.iter().find(|(made, _)| *made == name) {
            out = out.replace(
                &format!("```hex {name}\n{old}```"),
                &format!("```hex {name}\n{}```", wrapped(bytes)),
            );
        }
    }
    out
}

/// 32 bytes a line.
fn wrapped(bytes: &[u8]) -> String {
    bytes.chunks(32).map(|line| hex(line) + "\n").collect()
}

#[test]
fn the_specification_names_every_kind_code_and_limit() {
    let document = text();
    for kind in Kind::ALL {
        let name = kind.name();
        let name = name.strip_suffix(".v1").unwrap();
        assert!(
            document.contains(&format!("`{name}`")),
            "FORMAT.md does not name the kind {name}"
        );
    }
    for (file, _) in refused::all() {
        for line in corpus(file) {
            let refusal = line["refusal"].as_str().unwrap();
            assert!(
                document.contains(&format!("`{refusal}`")),
                "FORMAT.md does not name the refusal {refusal}"
            );
        }
    }
    for code in [
        "deployment",
        "officer",
        "frozen",
        "not-in-force",
        "other-chain",
    ] {
        assert!(
            document.contains(&format!("| `{code}` |")),
            "FORMAT.md has no row for {code}"
        );
    }
    for (what, limit) in [
        ("a statement", statement::MAX_STATEMENT_BYTES as u64),
        ("an envelope", envelope::MAX_ENVELOPE_BYTES as u64),
        ("leaves under one root", salted::MAX_LEAVES as u64),
        ("a leaf", salted::MAX_LEAF_BYTES as u64),
        ("devices of a host", usage::MAX_DEVICES as u64),
        ("workloads in force", usage::MAX_WORKLOADS as u64),
        ("interval of a record", usage::MAX_INTERVAL_MS),
        ("a note", tlog::MAX_NOTE_BYTES as u64),
        ("signatures on a note", tlog::MAX_SIGNATURES as u64),
        (
            "proof lines of add-checkpoint",
            tlog::MAX_PROOF_LINES as u64,
        ),
        (
            "a block of a filed segment",
            affiant_report::segment::MAX_BLOCK_ENTRIES as u64,
        ),
        (
            "a frame of `evidence.bin`",
            affiant_report::evidence::MAX_FRAME_BYTES as u64,
        ),
        (
            "entries of `evidence.bin`",
            affiant_report::evidence::MAX_ENTRIES,
        ),
        (
            "earlier sizes in `consistency`",
            affiant_report::consistency::MAX_EARLIER as u64,
        ),
        ("a period", affiant_report::scope::MAX_PERIOD_MS),
    ] {
        let due = format!("| {what} | {} ", grouped(limit));
        assert!(document.contains(&due), "FORMAT.md has no row `{due}`");
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
