//! SIGKILL at random moments, under honest and equivocating requests at once: what was cosigned is
//! one line of growth.
//!
//! `AFFIANT_ROUNDS` sets the number of rounds (10), `AFFIANT_SEED` the seed; a failure prints it.

use affiant_proto::tlog::{Hash, root_at};

use super::*;

/// Callers at a time, and the histories that they show.
const CALLERS: u64 = 4;
const HISTORIES: u64 = 3;

/// Most entries by which a history grows in one round.
const GROWTH: u64 = 40;

/// A xorshift generator: the rounds replay from their seed.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn request_at(tree: &MemoryTree, old: u64, new: u64) -> String {
    let root = tree.root(new).unwrap();
    let checkpoint = Checkpoint::new(ORIGIN.parse().unwrap(), new, root).unwrap();
    let note = checkpoint.sign(&signer()).unwrap().into_note();
    let proof = consistency_proof(tree, old, new).unwrap();
    AddCheckpoint::new(old, proof, note).unwrap().to_string()
}

/// Shows one history after the other, whichever grows, until the witness is gone; gives what was
/// cosigned.
fn call(port: u16, histories: &[MemoryTree], mut random: Random, key: &CosignerKey) -> Vec<Note> {
    let (mut cosigned, mut known) = (Vec::new(), 0);
    loop {
        let tree = &histories[usize::try_from(random.below(HISTORIES)).unwrap()];
        if known > tree.size() {
            known = tree.size();
        }
        let new = known + random.below(tree.size() - known + 1);
        let Some((status, _, body)) = send(
            port,
            "POST",
            "/add-checkpoint",
            &request_at(tree, known, new),
        ) else {
            return cosigned;
        };
        match status {
            200 => {
                let root = tree.root(new).unwrap();
                let checkpoint = Checkpoint::new(ORIGIN.parse().unwrap(), new, root).unwrap();
                let mut note = checkpoint.sign(&signer()).unwrap().into_note();
                for line in parse_signature_lines(body.as_bytes()).unwrap() {
                    note.add(line).unwrap();
                }
                verify_cosignature(&note, key).unwrap();
                cosigned.push(note);
                known = new;
            }
            409 => known = body.trim_end().parse().unwrap(),
            422 => {}
            other => panic!("{other}: {body}"),
        }
    }
}

#[test]
fn a_witness_killed_at_any_moment_never_signs_a_fork() {
    let (rounds, seed) = (
        setting("AFFIANT_ROUNDS", 10),
        setting("AFFIANT_SEED", 0x5eed),
    );
    println!("{rounds} rounds, seed {seed}");
    let mut random = Random(seed.max(1));
    let folder = tempfile::tempdir().unwrap();
    let key = init(folder.path());
    // The line that was cosigned, as far as is known, and what was shown in the round before.
    let (mut line, mut shown): (Vec<Hash>, Vec<Vec<Hash>>) = (Vec::new(), Vec::new());
    let (mut cosigned, mut forked) = (Vec::new(), 0);
    for round in 0..=rounds {
        let mut witness = Running::start(folder.path());
        // What it remembers is the beginning of something that it was shown.
        let (status, body) = witness.get(&shown_at(ORIGIN));
        if status == 200 {
            let note = Note::parse(body.as_bytes()).unwrap();
            verify_cosignature(&note, &key).unwrap();
            let now: Checkpoint = note.text().parse().unwrap();
            let size = usize::try_from(now.size()).unwrap();
            let begins = |leaves: &&Vec<Hash>| {
                leaves.len() >= size && {
                    let tree: MemoryTree = leaves.iter().copied().collect();
                    root_at(&tree, now.size()).unwrap() == *now.root()
                }
            };
            let found = shown.iter().chain([&line]).find(begins);
            let found = found.unwrap_or_else(|| panic!("seed {seed}, round {round}: {body}"));
            line = found[..size].to_vec();
        } else {
            assert!(
                cosigned.is_empty(),
                "seed {seed}, round {round}: forgot all"
            );
        }
        if round == rounds {
            break;
        }
        // Histories that part anywhere in what was cosigned, or go on from its end.
        shown = (0..HISTORIES)
            .map(|history| {
                let keep = match random.below(2) {
                    0 => line.len(),
                    _ => usize::try_from(random.below(line.len() as u64 + 1)).unwrap(),
                };
                let length = line.len() as u64 + 1 + random.below(GROWTH);
                let more = (keep as u64..length)
                    .map(|n| leaf_hash(&[round, history, n].map(u64::to_be_bytes).concat()));
                line[..keep].iter().copied().chain(more).collect()
            })
            .collect();
        let histories: Vec<MemoryTree> = shown
            .iter()
            .map(|leaves| leaves.iter().copied().collect())
            .collect();
        let (port, wait) = (witness.port, 5 + random.below(120));
        let seeds: Vec<Random> = (0..CALLERS)
            .map(|_| Random(1 + random.below(1 << 60)))
            .collect();
        let got: Vec<Note> = std::thread::scope(|scope| {
            let (histories, key) = (&histories, &key);
            let callers: Vec<_> = seeds
                .into_iter()
                .map(|random| scope.spawn(move || call(port, histories, random, key)))
                .collect();
            // The moment is the point.
            sleep(Duration::from_millis(wait));
            witness.child.kill().unwrap();
            witness.child.wait().unwrap();
            callers
                .into_iter()
                .flat_map(|it| it.join().unwrap())
                .collect()
        });
        forked += usize::from(histories.len() > 1 && !got.is_empty());
        cosigned.extend(got);
    }
    let tree: MemoryTree = line.iter().copied().collect();
    for note in &cosigned {
        let checkpoint: Checkpoint = note.text().parse().unwrap();
        assert!(checkpoint.size() <= tree.size(), "seed {seed}: went back");
        let root = root_at(&tree, checkpoint.size()).unwrap();
        assert_eq!(
            root,
            *checkpoint.root(),
            "seed {seed}: a fork was cosigned: {note}"
        );
    }
    println!(
        "{} cosignatures, all of one line of {} entries",
        cosigned.len(),
        tree.size()
    );
    assert!(
        forked > 0 && cosigned.len() as u64 >= rounds,
        "seed {seed}: nothing was tried"
    );
}
