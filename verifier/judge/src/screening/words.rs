//! The neutral table of rarity: which words many names share, and how little each tells.
//!
//! It is data (`words.txt`, `places.txt` and `lands.csv` beside this crate), so that a pair of names is
//! judged alike whatever lists are loaded. A word that no file names is a name of its own.

use std::{collections::BTreeMap, ops::Bound, sync::OnceLock};

use serde::Serialize;

use super::lands;

/// Most words of a phrase that is read as one, such as "inner mongolia" or "islamic republic of iran".
pub(crate) const MAX_PHRASE: usize = 4;

/// What sort of word a token is, which decides how much it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// A name of its own: in no table.
    Own,
    /// A word that many unrelated firms take as their name, such as "star".
    Common,
    /// A line of business or subject, such as "shipbuilding".
    Trade,
    /// A field that half of all names have, such as "technology".
    Broad,
    /// What kind of institution it is, such as "university".
    Body,
    /// Size, rank or order, such as "international".
    General,
    /// A city, province or state.
    Place,
    /// A country, or its adjective.
    Land,
    /// More than a country, such as "europe".
    Region,
    /// A number.
    Number,
    /// Says nothing; never in a name that was read.
    #[serde(skip)]
    Stop,
}

impl Sort {
    /// What a word of this sort weighs, in thousandths of a name of its own.
    ///
    /// The order is that of how many names share one: of 10,000 names on the lists of July 2026 a
    /// third has a broad field, a sixth a city or country, one in fifty a given line of business.
    pub const fn weight(self) -> u32 {
        match self {
            Self::Own => 1_000,
            Self::Common => 600,
            Self::Trade => 500,
            Self::Place => 400,
            Self::Broad | Self::Number => 300,
            Self::Body | Self::General | Self::Land => 250,
            Self::Region => 150,
            Self::Stop => 0,
        }
    }

    /// Whether a word of this sort can by itself tell one organisation from others.
    pub const fn is_telling(self) -> bool {
        matches!(self, Self::Own | Self::Common)
    }
}

/// What the table says of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// How it is written here, whatever variant stood in the name.
    pub(crate) text: &'static str,
    pub(crate) sort: Sort,
    /// Words of one group stand for each other in translations.
    pub(crate) group: Option<&'static str>,
    /// A city that Chinese firms carry in front.
    pub(crate) front: bool,
}

/// Looks a folded word or phrase up; the words of a phrase are parted by one space.
pub(crate) fn look_up(phrase: &str) -> Option<Word> {
    table().get(phrase).copied()
}

/// Looks up the word that `text` is a slip of: at least five letters, the same first one, and one
/// letter more, less or other. Only what kind an institution is, and broad fields: other words have
/// neighbours that mean something else.
pub(crate) fn look_up_misspelt(text: &str) -> Option<Word> {
    if text.len() < 5 || !text.bytes().all(|b| b.is_ascii_lowercase()) {
        return None;
    }
    let first = text.get(..1)?;
    let next = char::from(first.bytes().next()?.saturating_add(1)).to_string();
    table()
        .range::<str, _>((Bound::Included(first), Bound::Excluded(next.as_str())))
        .filter(|(word, it)| {
            matches!(it.sort, Sort::Body | Sort::Broad)
                && word.len() >= 6
                && word.len().abs_diff(text.len()) <= 1
                && !word.contains(' ')
        })
        .find(|(word, _)| is_one_slip(word.as_bytes(), text.as_bytes()))
        .map(|(_, it)| *it)
}

/// Whether one letter more, less or other makes the one into the other.
pub(crate) fn is_one_slip(a: &[u8], b: &[u8]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let same = short.iter().zip(long).take_while(|(x, y)| x == y).count();
    let rest = |it: &[u8], skip: usize| it.get(skip..).unwrap_or_default().to_vec();
    match long.len() - short.len() {
        0 => same < short.len() && rest(short, same + 1) == rest(long, same + 1),
        1 => rest(short, same) == rest(long, same + 1),
        _ => false,
    }
}

/// Letters that `text` and a longer word begin with alike, where the word is a known one: a name that
/// was cut off, such as "manuf" or "technol".
pub(crate) fn is_cut_off(text: &str, word: &str) -> bool {
    text.len() >= 4 && word.len() >= text.len() + 2 && word.starts_with(text)
}

fn table() -> &'static BTreeMap<&'static str, Word> {
    static TABLE: OnceLock<BTreeMap<&'static str, Word>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = BTreeMap::new();
        for (phrases, word) in words().chain(places()).chain(lands()) {
            for phrase in phrases {
                table.insert(phrase, word);
            }
        }
        table
    })
}

type Line = (Vec<&'static str>, Word);

fn words() -> impl Iterator<Item = Line> {
    rows(include_str!("../../screening/words.txt")).filter_map(|line| {
        let (head, variants) = line.split_once(':')?;
        let (kind, text) = head.split_once(' ')?;
        let (sort, group) = match kind.split_once('~') {
            Some((sort, group)) => (sort, Some(group)),
            None => (kind, None),
        };
        let word = Word {
            text,
            sort: sort_named(sort)?,
            group,
            front: false,
        };
        Some((with_variants(text, variants), word))
    })
}

fn places() -> impl Iterator<Item = Line> {
    let mut front = true;
    rows(include_str!("../../screening/places.txt")).filter_map(move |line| {
        front &= line != "--";
        let (text, variants) = line.split_once(':')?;
        let word = Word {
            text,
            sort: Sort::Place,
            group: None,
            front,
        };
        Some((with_variants(text, variants), word))
    })
}

fn lands() -> impl Iterator<Item = Line> {
    lands::all().map(|land| {
        let word = Word {
            text: land.name(),
            sort: Sort::Land,
            group: None,
            front: land.code == "CN",
        };
        (land.names.clone(), word)
    })
}

/// Lines that say something.
pub(crate) fn rows(file: &'static str) -> impl Iterator<Item = &'static str> {
    let lines = file.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn with_variants(text: &'static str, variants: &'static str) -> Vec<&'static str> {
    let variants = variants.split(',').map(str::trim);
    let mut all = vec![text];
    all.extend(variants.filter(|it| !it.is_empty()));
    all
}

fn sort_named(name: &str) -> Option<Sort> {
    Some(match name {
        "stop" => Sort::Stop,
        "body" => Sort::Body,
        "broad" => Sort::Broad,
        "trade" => Sort::Trade,
        "general" => Sort::General,
        "common" => Sort::Common,
        "region" => Sort::Region,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_line_of_the_files_is_read_and_no_word_stands_twice() {
        let files = [
            include_str!("../../screening/words.txt"),
            include_str!("../../screening/places.txt"),
        ];
        let lines: usize = files.iter().map(|file| rows(file).count()).sum();
        let read: Vec<Line> = words().chain(places()).collect();
        assert_eq!(
            read.len() + 1,
            lines,
            "but for the line that parts the cities"
        );
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (phrases, word) in read.into_iter().chain(lands()) {
            for phrase in phrases {
                assert!(
                    phrase.bytes().all(|b| b.is_ascii_lowercase() || b == b' '),
                    "{phrase:?}"
                );
                assert!(phrase.split(' ').count() <= MAX_PHRASE, "{phrase:?}");
                assert_eq!(seen.insert(phrase, word.text), None, "{phrase:?}");
            }
        }
    }

    #[test]
    fn a_slip_in_a_broad_word_is_understood_and_a_slip_in_a_city_is_not() {
        assert_eq!(look_up_misspelt("insitute").unwrap().text, "institute");
        assert_eq!(look_up_misspelt("univercity").unwrap().text, "university");
        assert_eq!(look_up_misspelt("wuhen"), None);
    }

    #[test]
    fn one_slip_is_one_letter_more_less_or_other() {
        for (a, b, one) in [
            ("abc", "abc", false),
            ("abc", "abd", true),
            ("abc", "ab", true),
            ("ac", "abc", true),
            ("abc", "acb", false),
            ("", "ab", false),
        ] {
            assert_eq!(is_one_slip(a.as_bytes(), b.as_bytes()), one, "{a} {b}");
            assert_eq!(is_one_slip(b.as_bytes(), a.as_bytes()), one, "{b} {a}");
        }
    }
}
