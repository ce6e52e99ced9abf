//! Bundles that hold, and the same after somebody changed them.

use affiant_proto::{
    Body,
    tlog::{Note, leaf_hash, multi_proof},
    v1,
};
use affiant_report::{
    Period, Scope, Trust,
    evidence::{Entry, Reader, spell},
    files,
};

use crate::support::{self, Files, Use, World, played, reference};

/// A bundle.
pub struct Case {
    pub name: String,
    pub files: Files,
    /// Nobody changed it.
    pub must_hold: bool,
}

/// Bundles that are read with one trust and one kept checkpoint.
pub struct Group {
    pub trust: Trust,
    pub since: Option<Note>,
    pub cases: Vec<Case>,
}

/// The files that a reader without the rules can verify; `report.html` and `VERIFY.md` are made
/// from the report.
const READ: [&str; 5] = [
    files::REPORT,
    files::SIGNATURE,
    files::CHECKPOINT,
    files::CONSISTENCY,
    files::EVIDENCE,
];

pub fn all() -> Vec<Group> {
    let mut groups = vec![flipped(), rearranged(), insiders(), after_a_change_of_key()];
    groups.extend(successions());
    groups
}

fn held(name: &str, files: Files) -> Case {
    Case {
        must_hold: true,
        ..Case::new(name, files)
    }
}

/// One bit flipped, at some 50 places of each file.
fn flipped() -> Group {
    let (mut world, period) = played();
    let whole = world.report(period, Scope::Tenant("acme".into()));
    let mut cases = vec![held("one tenant's", whole.clone())];
    for name in READ {
        let length = whole[name].len();
        for at in (0..length).step_by((length / 50) | 1) {
            let mut changed = whole.clone();
            changed.get_mut(name).unwrap()[at] ^= 1 << (at % 7);
            cases.push(Case::new(format!("{name} byte {at}"), changed));
        }
        let mut missing = whole.clone();
        missing.remove(name);
        cases.push(Case::new(format!("without {name}"), missing));
        let mut longer = whole.clone();
        longer.get_mut(name).unwrap().push(b'\n');
        cases.push(Case::new(format!("{name} with a byte more"), longer));
        let mut shorter = whole.clone();
        shorter.get_mut(name).unwrap().pop();
        cases.push(Case::new(format!("{name} with a byte less"), shorter));
    }
    Group {
        trust: world.trust(),
        since: None,
        cases,
    }
}

/// Entries left out, doubled, disclosed less: each with a good multi-proof.
fn rearranged() -> Group {
    let (mut world, period) = played();
    let since = world.checkpoint().into_note();
    let whole = world.report(period, Scope::All);
    let mut cases = vec![held("everybody's", whole.clone())];
    let count = entries(&whole).len();
    for at in (0..count).step_by(7) {
        let left_out = with_entries(&whole, &world, |entries| drop(entries.remove(at)));
        cases.push(Case::new(
            format!("without the entry at place {at}"),
            left_out,
        ));
        let withheld = with_entries(&whole, &world, |entries| {
            let shown = &mut entries[at].disclosure;
            shown.shown.pop();
        });
        cases.push(Case::new(format!("a leaf less at place {at}"), withheld));
    }
    let cut = with_entries(&whole, &world, |entries| entries.truncate(count / 2));
    cases.push(Case::new("cut in the middle", cut));
    Group {
        trust: world.trust().without_witnesses(),
        since: Some(since),
        cases,
    }
}

fn entries(files: &Files) -> Vec<Entry> {
    let mut reader = Reader::open(files[files::EVIDENCE].as_slice()).unwrap();
    std::iter::from_fn(|| reader.next_entry().unwrap()).collect()
}

fn with_entries(whole: &Files, world: &World, change: impl FnOnce(&mut Vec<Entry>)) -> Files {
    let head = Reader::open(whole[files::EVIDENCE].as_slice())
        .unwrap()
        .head();
    let mut changed = entries(whole);
    change(&mut changed);
    let indices: Vec<u64> = changed.iter().map(|entry| entry.index).collect();
    let proof = multi_proof(&world.tree, &indices, head.size).unwrap();
    let mut files = whole.clone();
    let bytes = spell(head.size, head.root, &changed, &proof);
    files.insert(files::EVIDENCE.into(), bytes);
    files
}

/// An insider with all keys leaves a record out of the log and reports on what remains: a reader
/// who kept a checkpoint sees it, and so does everybody where a chain breaks.
fn insiders() -> Group {
    let (world, period) = played();
    let since = world.checkpoint().into_note();
    let trust = world.trust().without_witnesses();
    let is_usage = |at: &usize| matches!(world.log[*at].statement().body(), Body::Usage(_));
    let records: Vec<usize> = (0..world.log.len()).filter(is_usage).collect();
    let mut cases = Vec::new();
    for at in records {
        let (mut world, _) = played();
        world = world.without(at);
        let (files, _) = world.report_anyway(period, Scope::All);
        cases.push(Case::new(format!("a log that never had entry {at}"), files));
    }
    Group {
        trust,
        since: Some(since),
        cases,
    }
}

/// A period that begins late in the log, between two changes of a record key.
fn after_a_change_of_key() -> Group {
    let (mut world, _) = played();
    let quiet: &[&[Use<'_>]] = &[&[(0, "acme", 10_000)], &[]];
    world.change_key(0, 70);
    world.tick(quiet);
    let from = world.now;
    world.tick(quiet);
    world.change_key(0, 71);
    world.tick(quiet);
    let to = world.now;
    world.tick(quiet);
    world.operator(v1::Revocation {
        key_id: world.record_key(0).as_bytes().to_vec(),
        from_index: world.log.len() as u64 - 5,
        reason: "copied from the host".into(),
        r#use: v1::KeyUse::Record.into(),
        ..v1::Revocation::default()
    });
    world.clock();
    let period = Period::new(from, to).unwrap();
    let whole = world.report(period, Scope::All);
    let one = world.report(period, Scope::Tenant("acme".into()));
    Group {
        trust: world.trust(),
        since: None,
        cases: vec![held("late, everybody's", whole), held("late, one's", one)],
    }
}

/// A log that lost its second half and went on by two officers, read by those who kept what
/// stands, what is lost, and what never was.
fn successions() -> Vec<Group> {
    let mut groups = Vec::new();
    for declared_less in [false, true] {
        let (mut world, period) = played();
        let last = world.checkpoint();
        let lost = world.lose(world.log.len() / 2);
        let stands = world.checkpoint();
        let between = {
            let mut tree = world.tree.clone();
            for one in &lost[..lost.len() / 2] {
                tree.push(leaf_hash(one.statement().digest().as_bytes()));
            }
            support::checkpoint_of(&tree, support::ORIGIN, 2)
        };
        let never = {
            let leaves = (0..stands.checkpoint().size()).map(|n| leaf_hash(&n.to_be_bytes()));
            support::checkpoint_of(&leaves.collect(), support::ORIGIN, 2)
        };
        world.succeed(reference(if declared_less { &between } else { &last }));
        world.clock();
        world.resend(lost);
        world.clock();
        let period = Period::new(period.from(), world.now).unwrap();
        let files = world.report(period, Scope::All);
        for kept in [&stands, &between, &last, &never] {
            let size = kept.checkpoint().size();
            groups.push(Group {
                trust: world.trust().without_witnesses(),
                since: Some(kept.note().clone()),
                cases: vec![Case::new(format!("went on, {size} kept"), files.clone())],
            });
        }
    }
    groups
}
