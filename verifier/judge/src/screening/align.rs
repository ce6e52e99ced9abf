//! Pairing: which words of one name stand for which of another, none used twice.
//!
//! A word pairs with a word, with a few that it runs together ("Goodwill", "Good Will"), or with those
//! whose first letters it has ("BAAI"). The best pair is taken first, then the best of what is left.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    name::{Name, Token},
    similar,
    words::{self, Sort},
};

/// Most words that one may run together: a firm's name of four syllables, written apart.
const MAX_TOGETHER: usize = 4;
/// Fewest letters of an acronym: two are the first letters of half of all names.
const MIN_ACRONYM: usize = 3;
/// Most letters of an acronym; the longest on the lists of July 2026 has nine.
const MAX_ACRONYM: usize = 10;
/// A run of words by its first letters.
const ACRONYM: u32 = 900;
/// A whole name by its first letters: four letters and more, and three, which chance has often.
const WHOLE_ACRONYM: u32 = 850;
const SHORT_ACRONYM: u32 = 830;
/// A word that is alike only among words that are the same: one letter in three or four.
const AMONG_SAME: u32 = 670;
/// What must be the same beside such a word: more than one name of its own.
const SAME_BESIDE: u32 = 1_500;
/// Numbers of a series that one slip makes one of the other.
const NEXT_OF_SERIES: u32 = 700;

/// Words of both names that stand for each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// In the name that was asked for.
    pub asked: String,
    /// In the name on the list.
    pub listed: String,
    /// How alike they are, in thousandths.
    pub alike: u32,
    /// What the pair weighs, in thousandths of a name of its own.
    pub weight: u32,
    #[serde(skip)]
    pub(crate) telling: bool,
}

impl Pair {
    /// Names that a file says are of one organisation.
    pub(crate) fn of_aliases(asked: &Name, listed: &Name) -> Self {
        Self {
            asked: asked.whole().to_owned(),
            listed: listed.whole().to_owned(),
            alike: 1_000,
            weight: asked.weight().min(listed.weight()),
            telling: true,
        }
    }
}

/// How two names lie beside each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alignment {
    pub(crate) pairs: Vec<Pair>,
    /// Weight that found its like, and weight that found only something alike.
    pub(crate) matched: u64,
    pub(crate) lost: u64,
    /// What stands alone on either side.
    pub(crate) asked_alone: u64,
    pub(crate) listed_alone: u64,
    /// Every word found its like.
    pub(crate) asked_whole: bool,
    pub(crate) listed_whole: bool,
    /// Numbers that cannot be of one organisation.
    pub(crate) numbers_differ: bool,
    /// A number of a series that is another one.
    pub(crate) series_differ: bool,
}

impl Alignment {
    /// Weight of pairs that can tell an organisation by themselves.
    pub(crate) fn telling(&self) -> u32 {
        self.pairs
            .iter()
            .filter(|it| it.telling)
            .map(|it| it.weight)
            .sum()
    }
}

struct Candidate {
    asked: (usize, usize),
    listed: (usize, usize),
    alike: u32,
    weight: u32,
}

impl Candidate {
    fn gain(&self) -> u64 {
        u64::from(self.alike) * u64::from(self.weight)
    }
}

/// Pairs the words of two names.
pub(crate) fn align(asked: &Name, listed: &Name) -> Alignment {
    let (a, b) = (asked.tokens(), listed.tokens());
    let mut candidates = Vec::new();
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            let alike = similar::alike(x, y);
            if alike > 0 {
                push(&mut candidates, a, b, (i, 1), (j, 1), alike);
            }
        }
    }
    for (i, x) in a.iter().enumerate() {
        for (j, length, alike) in runs(x, b) {
            // A whole name by its first letters is another matter.
            if alike == ACRONYM && a.len() == 1 && length == b.len() {
                continue;
            }
            push(&mut candidates, a, b, (i, 1), (j, length), alike);
        }
    }
    for (j, y) in b.iter().enumerate() {
        for (i, length, alike) in runs(y, a) {
            if alike == ACRONYM && b.len() == 1 && length == a.len() {
                continue;
            }
            push(&mut candidates, a, b, (i, length), (j, 1), alike);
        }
    }
    whole_acronyms(asked, listed, &mut candidates);
    candidates.sort_by_key(|it| (std::cmp::Reverse(it.gain()), it.asked, it.listed));
    let mut laid = Laid::new(a, b);
    candidates.iter().for_each(|it| laid.take(it));
    laid.among_same();
    laid.numbers();
    laid.finish()
}

/// Two names that are the same but for where their words part.
pub(crate) fn as_one_word(asked: &Name, listed: &Name) -> Alignment {
    let weight = asked.weight().min(listed.weight());
    Alignment {
        pairs: vec![Pair::of_aliases(asked, listed)],
        matched: u64::from(weight) * 1_000,
        asked_whole: true,
        listed_whole: true,
        ..Alignment::default()
    }
}

fn push(
    candidates: &mut Vec<Candidate>,
    a: &[Token],
    b: &[Token],
    asked: (usize, usize),
    listed: (usize, usize),
    alike: u32,
) {
    let weight = weight(a, asked).min(weight(b, listed));
    candidates.push(Candidate {
        asked,
        listed,
        alike,
        weight,
    });
}

fn weight(tokens: &[Token], (from, length): (usize, usize)) -> u32 {
    let range = tokens.get(from..from + length).unwrap_or_default();
    range.iter().map(|it| it.weight).sum()
}

/// Runs of `others` that `word` stands for: run together, or by their first letters.
fn runs<'a>(
    word: &'a Token,
    others: &'a [Token],
) -> impl Iterator<Item = (usize, usize, u32)> + 'a {
    (0..others.len()).filter_map(move |from| {
        let rest = others.get(from..)?;
        together(&word.text, rest)
            .map(|length| (from, length, 1_000))
            .or_else(|| Some((from, by_letters(word, rest)?, ACRONYM)))
    })
}

/// How many words, at least two, `text` is when they are run together.
fn together(text: &str, words: &[Token]) -> Option<usize> {
    let mut left = text;
    for (at, word) in words.iter().take(MAX_TOGETHER).enumerate() {
        left = left.strip_prefix(word.text.as_ref())?;
        if left.is_empty() {
            return (at > 0).then_some(at + 1);
        }
    }
    None
}

/// How many words, at least two, `word` has the first letters of, each one letter or those of its
/// syllables. Behind them may stand the first letter of the legal form, which is not among the words.
fn by_letters(word: &Token, words: &[Token]) -> Option<usize> {
    let letters = word.text.as_ref();
    let fits = word.sort == Sort::Own && (MIN_ACRONYM..=MAX_ACRONYM).contains(&letters.len());
    if !fits || !letters.bytes().all(|b| b.is_ascii_lowercase()) {
        return None;
    }
    let without_form = letters
        .strip_suffix('c')
        .filter(|it| it.len() >= MIN_ACRONYM);
    let ways = [Some(letters), without_form];
    let length = ways
        .into_iter()
        .flatten()
        .find_map(|it| spelt(it, words, &mut BTreeSet::new()))
        .filter(|it| *it >= 2)?;
    let run = words.get(..length)?;
    let described = run.iter().all(|it| !it.sort.is_telling());
    (letters.len() > MIN_ACRONYM || described).then_some(length)
}

/// How many words `letters` are the first letters of. "Group" and its like may be left out. `tried` has
/// what is left of letters and words where they are not.
fn spelt(letters: &str, words: &[Token], tried: &mut BTreeSet<(usize, usize)>) -> Option<usize> {
    let left = (letters.len(), words.len());
    if tried.contains(&left) {
        return None;
    }
    let skipped = words.first().is_some_and(|it| it.group == Some("company"));
    if letters.is_empty() {
        return Some(usize::from(skipped));
    }
    let (word, rest) = words.split_first()?;
    let first = word.text.get(..1)?;
    let ways = [word.initials.as_deref(), Some(first), skipped.then_some("")];
    let found = ways.into_iter().flatten().find_map(|way| {
        let left = letters.strip_prefix(way)?;
        Some(spelt(left, rest, tried)? + 1)
    });
    if found.is_none() {
        tried.insert(left);
    }
    found
}

/// A name of one word that has the first letters of the whole other name.
fn whole_acronyms(asked: &Name, listed: &Name, candidates: &mut Vec<Candidate>) {
    let (a, b) = (asked.tokens(), listed.tokens());
    for (short, long, turned) in [(asked, listed, false), (listed, asked, true)] {
        let ([word], many) = (short.tokens(), long.tokens()) else {
            continue;
        };
        if !is_acronym_of(word, long) {
            continue;
        }
        let alike = if word.text.len() > 3 {
            WHOLE_ACRONYM
        } else {
            SHORT_ACRONYM
        };
        let (one, all) = ((0, 1), (0, many.len()));
        let (asked, listed) = if turned { (all, one) } else { (one, all) };
        push(candidates, a, b, asked, listed, alike);
    }
}

/// Whether a word has the first letters of a name of at least two words, legal forms and stop words
/// left out or not.
///
/// Three letters are too few for a name that has a word of its own: thousands of firms have them.
/// Organisations that describe themselves are the ones that go by three.
fn is_acronym_of(word: &Token, name: &Name) -> bool {
    let letters = word.text.len();
    let described = name.tokens().iter().all(|it| !it.sort.is_telling());
    word.sort == Sort::Own
        && (MIN_ACRONYM..=MAX_ACRONYM).contains(&letters)
        && (letters > MIN_ACRONYM || described)
        && name.tokens().len() >= 2
        && (covers(word.text.as_bytes(), name.letters())
            || spelt(&word.text, name.tokens(), &mut BTreeSet::new()) == Some(name.tokens().len()))
}

/// Whether a word is made of these letters in order, of which those that are optional may be left out.
fn covers(word: &[u8], letters: &[(u8, bool)]) -> bool {
    // How much of the word may be made of the letters so far.
    let mut made = vec![false; word.len() + 1];
    if let Some(nothing) = made.first_mut() {
        *nothing = true;
    }
    for (letter, optional) in letters {
        let longer = made
            .iter()
            .zip(word)
            .map(|(made, next)| *made && next == letter);
        let longer: Vec<bool> = std::iter::once(false).chain(longer).collect();
        for (made, longer) in made.iter_mut().zip(longer) {
            *made = longer || *made && *optional;
        }
    }
    made.last().copied().unwrap_or_default()
}

/// What is paired so far.
struct Laid<'a> {
    a: &'a [Token],
    b: &'a [Token],
    a_used: Vec<bool>,
    b_used: Vec<bool>,
    out: Alignment,
}

impl<'a> Laid<'a> {
    fn new(a: &'a [Token], b: &'a [Token]) -> Self {
        Self {
            a,
            b,
            a_used: vec![false; a.len()],
            b_used: vec![false; b.len()],
            out: Alignment::default(),
        }
    }

    fn take(&mut self, it: &Candidate) {
        let range = |(from, length): (usize, usize)| from..from + length;
        let free = |used: &[bool], at| {
            used.get(range(at))
                .is_some_and(|it| it.iter().all(|used| !used))
        };
        if !free(&self.a_used, it.asked) || !free(&self.b_used, it.listed) {
            return;
        }
        for (used, at) in [(&mut self.a_used, it.asked), (&mut self.b_used, it.listed)] {
            used.get_mut(range(at)).unwrap_or_default().fill(true);
        }
        let (a, b) = (self.a.get(range(it.asked)), self.b.get(range(it.listed)));
        let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
        let text = |tokens: &[Token]| -> String {
            let texts: Vec<&str> = tokens.iter().map(|it| it.text.as_ref()).collect();
            texts.join(" ")
        };
        let telling = |tokens: &[Token]| tokens.iter().any(|it| it.sort.is_telling());
        self.out.matched += u64::from(it.weight) * u64::from(it.alike);
        self.out.lost += u64::from(it.weight) * u64::from(1_000 - it.alike.min(1_000));
        self.out.pairs.push(Pair {
            asked: text(a),
            listed: text(b),
            alike: it.alike,
            weight: it.weight,
            // A slip of the one may be a common word of the other: then it tells nothing.
            // First letters are no slip.
            telling: telling(a) && telling(b)
                || [WHOLE_ACRONYM, SHORT_ACRONYM, ACRONYM, similar::SYLLABLES].contains(&it.alike),
        });
    }

    /// Pairs short words of which one letter is another, where all else is the same and there is
    /// enough of it.
    fn among_same(&mut self) {
        let alone = |tokens: &[Token], used: &[bool]| -> Vec<usize> {
            let all = tokens.iter().zip(used).enumerate();
            all.filter(|(_, (_, used))| !**used)
                .map(|(at, _)| at)
                .collect()
        };
        let (asked, listed) = (alone(self.a, &self.a_used), alone(self.b, &self.b_used));
        let ([i], [j]) = (asked.as_slice(), listed.as_slice()) else {
            return;
        };
        let (Some(x), Some(y)) = (self.a.get(*i), self.b.get(*j)) else {
            return;
        };
        let same: u32 = self
            .out
            .pairs
            .iter()
            .filter(|it| it.alike == 1_000)
            .map(|it| it.weight)
            .sum();
        let short = x.text.len().max(y.text.len()) <= 4 && x.text.len().min(y.text.len()) >= 3;
        let own = x.sort == Sort::Own && y.sort == Sort::Own;
        if own
            && short
            && self.out.lost == 0
            && self.out.telling() >= Sort::Own.weight()
            && same >= SAME_BESIDE
            && words::is_one_slip(x.text.as_bytes(), y.text.as_bytes())
        {
            self.take(&Candidate {
                asked: (*i, 1),
                listed: (*j, 1),
                alike: AMONG_SAME,
                weight: x.weight.min(y.weight),
            });
        }
    }

    /// Numbers must agree. One of a series ("Fund V", "Fund VI") may be a slip for the next where a name
    /// of its own is the same; what is ranked ("38th Institute") never.
    fn numbers(&mut self) {
        let alone = |tokens: &[Token], used: &[bool]| -> Vec<usize> {
            let all = tokens.iter().zip(used).enumerate();
            all.filter(|(_, (it, used))| it.sort == Sort::Number && !**used)
                .map(|(at, _)| at)
                .collect()
        };
        let (asked, listed) = (alone(self.a, &self.a_used), alone(self.b, &self.b_used));
        if asked.is_empty() || listed.is_empty() {
            return;
        }
        if let ([i], [j]) = (asked.as_slice(), listed.as_slice())
            && let (Some(x), Some(y)) = (self.a.get(*i), self.b.get(*j))
            && !x.ordinal
            && !y.ordinal
            && words::is_one_slip(x.written.as_bytes(), y.written.as_bytes())
            && self.out.telling() >= Sort::Own.weight()
        {
            self.out.series_differ = true;
            let weight = x.weight.min(y.weight);
            self.take(&Candidate {
                asked: (*i, 1),
                listed: (*j, 1),
                alike: NEXT_OF_SERIES,
                weight,
            });
            return;
        }
        self.out.numbers_differ = true;
    }

    fn finish(mut self) -> Alignment {
        let has_place = |tokens: &[Token], used: &[bool]| {
            tokens
                .iter()
                .zip(used)
                .any(|(it, used)| !used && matches!(it.sort, Sort::Place | Sort::Land))
        };
        let both = has_place(self.a, &self.a_used) && has_place(self.b, &self.b_used);
        let alone = |tokens: &[Token], used: &[bool]| -> u64 {
            let all = tokens.iter().zip(used).enumerate();
            all.filter(|(_, (_, used))| !**used)
                .map(|(at, (token, _))| u64::from(price_alone(token, at == 0 && !both)) * 1_000)
                .sum()
        };
        self.out.asked_alone = alone(self.a, &self.a_used);
        self.out.listed_alone = alone(self.b, &self.b_used);
        self.out.asked_whole = self.a_used.iter().all(|used| *used);
        self.out.listed_whole = self.b_used.iter().all(|used| *used);
        self.out
    }
}

/// What a word costs that the other name has not.
///
/// A Chinese firm carries its city in front and is called without it as often; a place behind a name,
/// or another place in the other name, is another branch. The first of a series often goes without its
/// number.
fn price_alone(token: &Token, leads: bool) -> u32 {
    match token.sort {
        Sort::Place | Sort::Land if leads && token.front => token.weight / 2,
        Sort::Place | Sort::Land => 500,
        Sort::Number if token.ordinal => token.weight,
        Sort::Number if token.text.as_ref() == "1" => 100,
        Sort::Number => 150,
        // "Group" behind a name is the same firms.
        Sort::Body if token.group == Some("company") => token.weight / 3,
        _ => token.weight,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_against_very_many_words_of_one_letter_is_answered_at_once() {
        assert!(!covers(b"cccccccccz", &[(b'c', true); 64]));
        assert!(covers(b"ccc", &[(b'c', true); 64]));
        assert!(!covers(b"ccc", &[(b'c', false); 64]));
    }

    #[test]
    fn only_letters_that_are_optional_may_be_left_out() {
        let institute = |optional| [(b'z', false), (b'o', optional), (b'j', false)];
        assert!(covers(b"zj", &institute(true)));
        assert!(covers(b"zoj", &institute(true)));
        assert!(!covers(b"zj", &institute(false)));
        assert!(covers(b"", &[(b'c', true)]));
        assert!(!covers(b"", &[(b'c', false)]));
    }
}
