//! Envelopes, shown leaves and the text formats of the log.

use affiant_proto::{Seed, salted::MAX_LEAF_BYTES, v1};
use prost::Message as _;

use super::{ReadAs, Refused};
use crate::{
    bytes::{field, number, statement},
    example::{Example, signer},
};

/// Envelopes around the example's usage record.
pub fn envelopes() -> Vec<Refused> {
    let example = Example::new();
    let message = example.usage.message();
    let refused =
        |fault: &str, bytes: Vec<u8>, code| Refused::new(fault, ReadAs::Envelope, bytes, code);
    let with = |fault: &str, code, change: &dyn Fn(&mut v1::Envelope)| {
        let mut changed = message.clone();
        change(&mut changed);
        refused(fault, changed.encode_to_vec(), code)
    };
    let leaves: Vec<u8> = message
        .leaves
        .iter()
        .flat_map(|leaf| field(2, leaf))
        .collect();
    let (first, seed) = (field(1, &message.statement), field(3, &message.seed));
    let clock = example.clock.as_bytes();
    // One byte that is missing at the end, and one that stands alone in the middle.
    let mut cut = message.statement.clone();
    cut.pop();
    let tea = statement(
        "tea-leaves",
        &[field(1, &header(&example)), number(2, 1)].concat(),
        &signer(5),
    );
    vec![
        refused("no bytes", Vec::new(), "spelling"),
        refused("not protobuf", vec![0xff; 9], "spelling"),
        refused(
            "leaves before the statement",
            [leaves.clone(), first.clone(), seed.clone()].concat(),
            "spelling",
        ),
        refused(
            "the seed before the leaves",
            [first.clone(), seed.clone(), leaves.clone()].concat(),
            "spelling",
        ),
        refused(
            "an unknown field",
            [first.clone(), leaves.clone(), seed.clone(), number(4, 1)].concat(),
            "spelling",
        ),
        refused(
            "the statement twice",
            [first.clone(), first.clone(), leaves.clone(), seed.clone()].concat(),
            "spelling",
        ),
        refused(
            "the seed twice",
            [first.clone(), leaves.clone(), seed.clone(), seed.clone()].concat(),
            "spelling",
        ),
        refused(
            "an empty seed that is spelled out",
            [field(1, clock), field(3, &[])].concat(),
            "spelling",
        ),
        refused(
            "more than 2,097,152 bytes",
            field(2, &vec![0; 2 * 1024 * 1024]),
            "too-long",
        ),
        with("a statement that is cut off", "spelling", &|m| {
            m.statement.clone_from(&cut)
        }),
        with("no statement", "spelling", &|m| m.statement.clear()),
        with("no leaves", "leaves", &|m| m.leaves.clear()),
        with("no seed", "leaves", &|m| m.seed.clear()),
        with("neither leaves nor seed", "leaves", &|m| {
            m.leaves.clear();
            m.seed.clear();
        }),
        with("a seed of 15 bytes", "leaves", &|m| m.seed.truncate(15)),
        with("a seed of 17 bytes", "leaves", &|m| m.seed.push(0)),
        with("another seed", "leaves", &|m| m.seed[15] ^= 1),
        with("the last leaf withheld", "leaves", &|m| {
            m.leaves.pop();
        }),
        with("the totals line withheld", "leaves", &|m| {
            m.leaves.remove(0);
        }),
        with("a leaf emptied", "leaves", &|m| m.leaves[3].clear()),
        with("two leaves swapped", "leaves", &|m| m.leaves.swap(1, 2)),
        with("a leaf twice", "leaves", &|m| {
            let again = m.leaves[5].clone();
            m.leaves.push(again);
        }),
        with("a leaf's last bit flipped", "leaves", &|m| {
            *m.leaves[4].last_mut().unwrap() ^= 1
        }),
        with("a leaf of more than 4,096 bytes", "leaves", &|m| {
            m.leaves[1] = vec![0; MAX_LEAF_BYTES + 1]
        }),
        with("more than 4,097 leaves", "leaves", &|m| {
            m.leaves = vec![Vec::new(); 4_098]
        }),
        with(
            "leaves under a statement that has no root",
            "leaves",
            &|m| m.statement = clock.to_vec(),
        ),
        with(
            "a seed under a statement that has no root",
            "leaves",
            &|m| {
                m.statement = clock.to_vec();
                m.leaves.clear();
            },
        ),
        with(
            "leaves under a statement of an unknown kind",
            "leaves",
            &|m| m.statement.clone_from(&tea),
        ),
    ]
}

fn header(example: &Example) -> Vec<u8> {
    let affiant_proto::Body::Clock(clock) = example.clock.body() else {
        unreachable!()
    };
    clock.header.as_ref().unwrap().encode_to_vec()
}

/// Leaves shown alone, under the root of the example's usage record.
pub fn shown() -> Vec<Refused> {
    let example = Example::new();
    let tree = example.usage.tree().unwrap();
    let disclosed = tree.disclose(&[2].into());
    let leaf = disclosed.shown[0].clone();
    let root = tree.root().as_bytes().to_vec();
    let proof = disclosed.proof.clone();
    let refused = |fault: &str,
                   content: &[u8],
                   root: &[u8],
                   count,
                   index,
                   salt,
                   proof: &[affiant_proto::tlog::Hash]| {
        let read_as = ReadAs::Shown {
            root: root.to_vec(),
            count,
            index,
            salt,
            proof: proof.to_vec(),
        };
        Refused::new(fault, read_as, content.to_vec(), "leaves")
    };
    let (content, salt) = (leaf.content.as_slice(), leaf.salt);
    let mut flipped = content.to_vec();
    flipped[0] ^= 1;
    let mut reversed = proof.clone();
    reversed.reverse();
    let longer = [proof.as_slice(), &[tree.root()]].concat();
    vec![
        refused("another content", &flipped, &root, 6, 2, salt, &proof),
        refused(
            "the content of its neighbour",
            &tree.leaves()[3],
            &root,
            6,
            2,
            salt,
            &proof,
        ),
        refused(
            "the salt of its neighbour",
            content,
            &root,
            6,
            2,
            Seed::new([0xa3; 16]).salt(3),
            &proof,
        ),
        refused("another index", content, &root, 6, 3, salt, &proof),
        refused(
            "an index beyond the count",
            content,
            &root,
            6,
            6,
            salt,
            &proof,
        ),
        refused(
            "another count, under which the tree has another shape",
            content,
            &root,
            4,
            2,
            salt,
            &proof,
        ),
        refused("another root", content, &[0; 32], 6, 2, salt, &proof),
        refused(
            "a root of 31 bytes",
            content,
            &root[..31],
            6,
            2,
            salt,
            &proof,
        ),
        refused(
            "a proof in another order",
            content,
            &root,
            6,
            2,
            salt,
            &reversed,
        ),
        refused(
            "a proof that lacks its last hash",
            content,
            &root,
            6,
            2,
            salt,
            &proof[..proof.len() - 1],
        ),
        refused(
            "a proof with a hash too many",
            content,
            &root,
            6,
            2,
            salt,
            &longer,
        ),
        refused(
            "a content of more than 4,096 bytes",
            &vec![0; MAX_LEAF_BYTES + 1],
            &root,
            6,
            2,
            salt,
            &proof,
        ),
    ]
}

/// Notes, checkpoints, keys and requests of the log.
pub fn notes() -> Vec<Refused> {
    let example = Example::new();
    let signed = example.checkpoint();
    let (note, text) = (signed.note().to_string(), signed.checkpoint().to_string());
    let is = |fault: &str, read_as, bytes: String, refusal| {
        Refused::new(fault, read_as, bytes.into_bytes(), refusal)
    };
    let a_note = |fault: &str, bytes: String| is(fault, ReadAs::Note, bytes, "note");
    let a_text = |fault: &str, bytes: String| is(fault, ReadAs::Checkpoint, bytes, "checkpoint");
    let line = note.lines().last().unwrap().to_owned();
    let vkey = affiant_proto::tlog::NoteKey::new(
        "log.example/1".parse().unwrap(),
        affiant_proto::Signer::public_key(&signer(2)).clone(),
    );
    let vkey = vkey.unwrap().to_string();
    let witness = Example::witness().key().to_string();
    let root = text.lines().nth(2).unwrap().to_owned();
    let request = format!("old 3\n{root}\n\n{note}");
    let ask =
        |fault: &str, bytes: String| is(fault, ReadAs::AddCheckpoint, bytes, "add-checkpoint");
    let key = |fault: &str, bytes: String| is(fault, ReadAs::LogKey, bytes, "vkey");
    vec![
        a_note("no bytes", String::new()),
        a_note("a text without signatures", text.clone()),
        a_note("a blank line and nothing after it", format!("{text}\n")),
        a_note(
            "a last line without its newline",
            note.trim_end().to_owned(),
        ),
        a_note("a carriage return", note.replace('\n', "\r\n")),
        a_note("a tab in the text", note.replacen("6\n", "6\t\n", 1)),
        a_note(
            "a hyphen where the em dash is due",
            note.replace('\u{2014}', "-"),
        ),
        a_note(
            "a signature line without name",
            note.replace(" log.example/1 ", " "),
        ),
        a_note(
            "a signature that is not base64",
            note.replace(&line, "\u{2014} log.example/1 !!!!"),
        ),
        a_note(
            "a signature without padding",
            note.trim_end().trim_end_matches('=').to_owned() + "\n",
        ),
        a_note(
            "a signature of a key id alone",
            note.replace(&line, "\u{2014} log.example/1 AAAAAA=="),
        ),
        a_note(
            "a key name with a plus",
            note.replace(" log.example/1 ", " log+example/1 "),
        ),
        a_note(
            "more than 100 signatures",
            format!("{text}\n{}", format!("{line}\n").repeat(101)),
        ),
        a_text("two lines", format!("log.example/1\n6\n{}", "")),
        a_text("no newline at the end", text.trim_end().to_owned()),
        a_text("an empty line at the end", format!("{text}\n")),
        a_text(
            "a size with a leading zero",
            text.replace("\n6\n", "\n06\n"),
        ),
        a_text("a size with a sign", text.replace("\n6\n", "\n+6\n")),
        a_text(
            "a size above 2^63",
            text.replace("\n6\n", "\n9223372036854775809\n"),
        ),
        a_text(
            "a size in hexadecimal digits",
            text.replace("\n6\n", "\n0x6\n"),
        ),
        a_text(
            "an empty tree under another root than the empty one",
            text.replace("\n6\n", "\n0\n"),
        ),
        a_text(
            "a root of 31 bytes",
            format!("log.example/1\n6\n{}=\n", "A".repeat(43).split_at(42).0),
        ),
        a_text(
            "an origin with a space",
            text.replace("log.example", "log example"),
        ),
        a_text(
            "an origin of 101 bytes",
            text.replace("log.example/1", &"o".repeat(101)),
        ),
        key("a witness's key", witness),
        key(
            "another id than that of name and key",
            vkey.replacen(&vkey.split('+').nth(1).unwrap().to_owned(), "00000000", 1),
        ),
        key(
            "an id in capitals",
            vkey.splitn(3, '+')
                .enumerate()
                .map(|(n, part)| {
                    if n == 1 {
                        part.to_uppercase()
                    } else {
                        part.to_owned()
                    }
                })
                .collect::<Vec<_>>()
                .join("+"),
        ),
        key(
            "another name",
            vkey.replace("log.example/1", "log.example/2"),
        ),
        key("two parts", "log.example/1+00000000".into()),
        is(
            "a log's key where a witness's is due",
            ReadAs::WitnessKey,
            vkey,
            "vkey",
        ),
        ask("no first line", request.replacen("old 3\n", "", 1)),
        ask(
            "an old size with a leading zero",
            request.replacen("old 3", "old 03", 1),
        ),
        ask(
            "an old size above 2^63",
            request.replacen("old 3", "old 9223372036854775809", 1),
        ),
        ask(
            "a proof line that is not a hash",
            request.replacen(&root, "AAAA", 1),
        ),
        ask(
            "64 proof lines",
            format!("old 3\n{}\n{note}", format!("{root}\n").repeat(64)),
        ),
        ask(
            "no empty line after the proof",
            request.replacen("\n\n", "\n", 1),
        ),
        ask("no note", format!("old 3\n{root}\n\n")),
    ]
}
