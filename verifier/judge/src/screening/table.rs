//! From a text to numbers, many to many: sorted hashes, found by halving.
//!
//! Half a million texts of a few letters each would be that many allocations in a map. What is found by
//! its hash is a candidate only: whoever asks compares the words themselves.

/// Sorted pairs of a text's hash and a number.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pairs: Vec<(u64, u32)>,
}

impl Table {
    pub(super) fn add(&mut self, text: &[u8], number: u32) {
        self.pairs.push((hash(text), number));
    }

    /// Sorts what was added; before the first [`find`](Self::find).
    pub(super) fn close(&mut self) {
        self.pairs.sort_unstable();
        self.pairs.dedup();
        self.pairs.shrink_to_fit();
    }

    pub(super) fn find(&self, text: &[u8]) -> impl Iterator<Item = u32> {
        let due = hash(text);
        let from = self.pairs.partition_point(|(hash, _)| *hash < due);
        let rest = self.pairs.get(from..).unwrap_or_default();
        rest.iter()
            .take_while(move |(hash, _)| *hash == due)
            .map(|(_, number)| *number)
    }
}

/// FNV-1a: the same on every machine, and good enough for words.
fn hash(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Letters of a word in which slips are looked for: in longer ones the first ten.
const MAX_LETTERS: usize = 10;

/// What is left of a word without none, one or two of its letters (Garbe's symmetric deletion): two
/// words within two slips have one of these in common.
pub(super) fn with_letters_left_out(word: &[u8], mut each: impl FnMut(&[u8])) {
    let word = word.get(..word.len().min(MAX_LETTERS)).unwrap_or_default();
    each(word);
    if word.len() < 4 {
        return;
    }
    let without = |word: &[u8], at: usize, out: &mut Vec<u8>| {
        out.clear();
        out.extend_from_slice(word.get(..at).unwrap_or_default());
        out.extend_from_slice(word.get(at + 1..).unwrap_or_default());
    };
    let (mut one, mut two) = (
        Vec::with_capacity(MAX_LETTERS),
        Vec::with_capacity(MAX_LETTERS),
    );
    for first in 0..word.len() {
        without(word, first, &mut one);
        each(&one);
        if word.len() > 4 {
            for second in first..one.len() {
                without(&one, second, &mut two);
                each(&two);
            }
        }
    }
}
