//! Names in Han characters: read word by word into what lists call these words in English.
//!
//! Lists are translations. A name that is only romanised ("sichuandaxue") meets none of them, so
//! words that names consist of are translated by a table, well-known institutions as a whole, and the
//! rest is written in pinyin.

use std::{collections::BTreeMap, sync::OnceLock};

use super::words::rows;

/// Most characters of an entry of the table; "中国运载火箭技术研究院" has eleven.
const MAX_WORD: usize = 14;

/// Single characters that name a unit only where they end a word.
const SUFFIXES: &str = "厂局部院系所站台园港省市县区";

/// What a stretch of a name reads as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// English words of the table.
    Words(&'static str),
    /// A legal form.
    Form,
    /// "No.": a number follows.
    Ordinal,
    /// A number in Han characters.
    Number(u32),
    /// Characters that no entry has, in pinyin.
    Pinyin(String),
}

/// Whether a character is Han, of any plane.
pub(crate) fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}' | '々' | '〇')
}

/// Reads a run of Han characters.
pub(crate) fn read(run: &str) -> Vec<Part> {
    let chars: Vec<char> = run.chars().map(simplified).collect();
    let mut parts = Vec::new();
    let mut unknown = String::new();
    let mut at = 0;
    while at < chars.len() {
        if chars.get(at) == Some(&'第') {
            flush(&mut unknown, &mut parts);
            parts.push(Part::Ordinal);
            at += 1;
            continue;
        }
        let numbered = parts.last() == Some(&Part::Ordinal) && unknown.is_empty();
        if let Some((number, length)) = number(chars.get(at..).unwrap_or_default(), numbered) {
            flush(&mut unknown, &mut parts);
            parts.push(Part::Number(number));
            at += length;
        } else if let Some((english, length)) = word_at(&chars, at, !unknown.is_empty()) {
            flush(&mut unknown, &mut parts);
            match english {
                "" => {}
                "=" => parts.push(Part::Form),
                words => parts.push(Part::Words(words)),
            }
            at += length;
        } else {
            let c = chars.get(at).copied().unwrap_or_default();
            unknown.push_str(pinyin(c));
            at += 1;
        }
    }
    flush(&mut unknown, &mut parts);
    parts
}

/// A character in pinyin: of several readings the one that names have.
fn pinyin(c: char) -> &'static str {
    match c {
        '长' => "chang",
        '重' => "chong",
        '厦' => "xia",
        '朝' => "chao",
        '乐' => "le",
        '行' => "hang",
        '单' => "shan",
        '曾' => "zeng",
        c => any_ascii::any_ascii_char(c),
    }
}

fn flush(unknown: &mut String, parts: &mut Vec<Part>) {
    if !unknown.is_empty() {
        let pinyin = std::mem::take(unknown).to_ascii_lowercase();
        parts.push(Part::Pinyin(pinyin));
    }
}

/// The longest entry at a place. A single character counts only where it cannot be half of a name:
/// what it names as a word of its own, it seldom means inside one.
fn word_at(chars: &[char], at: usize, after_unknown: bool) -> Option<(&'static str, usize)> {
    let longest = longest_at(chars, at)?;
    if longest.1 > 1 {
        return Some(longest);
    }
    let is_suffix = chars.get(at).is_some_and(|c| SUFFIXES.contains(*c));
    let ends = at + 1 == chars.len() || longest_at(chars, at + 1).is_some();
    (ends && (is_suffix || !after_unknown)).then_some(longest)
}

fn longest_at(chars: &[char], at: usize) -> Option<(&'static str, usize)> {
    let rest = chars.get(at..)?;
    (1..=MAX_WORD.min(rest.len())).rev().find_map(|length| {
        let word: String = rest.get(..length)?.iter().collect();
        table().get(word.as_str()).map(|english| (*english, length))
    })
}

/// A number after 第, or one right before what is numbered: 十四所.
fn number(chars: &[char], after_ordinal: bool) -> Option<(u32, usize)> {
    const DIGITS: &str = "〇一二三四五六七八九";
    let digit = |c: &char| DIGITS.chars().position(|it| it == *c);
    let length = chars
        .iter()
        .take_while(|c| digit(c).is_some() || matches!(c, '十' | '百'))
        .count();
    let after = chars.get(length);
    let counted = after.is_some_and(|c| matches!(c, '所' | '院' | '厂' | '局'));
    if length == 0 || length > 6 || !(after_ordinal || counted && length > 1) {
        return None;
    }
    let run = chars.get(..length)?;
    let value = |it: &char| digit(it).and_then(|it| u32::try_from(it).ok()).unwrap_or(0);
    if run.iter().all(|c| digit(c).is_some()) {
        return Some((run.iter().fold(0, |sum, c| sum * 10 + value(c)), length));
    }
    let (mut sum, mut pending) = (0, None);
    for c in run {
        match c {
            '百' => sum += pending.take().unwrap_or(1) * 100,
            '十' => sum += pending.take().unwrap_or(1) * 10,
            c => pending = Some(value(c)),
        }
    }
    Some((sum + pending.unwrap_or(0), length))
}

fn simplified(c: char) -> char {
    static VARIANTS: OnceLock<BTreeMap<char, char>> = OnceLock::new();
    let variants = VARIANTS.get_or_init(|| {
        let pairs = rows(include_str!("../../screening/variants.txt"));
        let pairs = pairs.flat_map(str::split_whitespace);
        let read = |pair: &str| {
            let mut chars = pair.chars();
            Some((chars.next()?, chars.next()?))
        };
        pairs.filter_map(read).collect()
    });
    variants.get(&c).copied().unwrap_or(c)
}

fn table() -> &'static BTreeMap<&'static str, &'static str> {
    static TABLE: OnceLock<BTreeMap<&'static str, &'static str>> = OnceLock::new();
    TABLE.get_or_init(|| {
        rows(include_str!("../../screening/han.txt"))
            .filter_map(|line| line.split_once(':'))
            .flat_map(|(han, english)| {
                han.split_whitespace()
                    .map(move |word| (word, english.trim()))
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(run: &str) -> String {
        let text = |part: Part| match part {
            Part::Words(words) => words.to_owned(),
            Part::Form => "=".to_owned(),
            Part::Ordinal => "#".to_owned(),
            Part::Number(n) => n.to_string(),
            Part::Pinyin(text) => format!("'{text}'"),
        };
        read(run)
            .into_iter()
            .map(text)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn names_are_read_word_by_word_and_the_rest_in_pinyin() {
        for (run, english) in [
            ("四川大学", "sichuan university"),
            ("成都運達科技", "chengdu 'yunda' technology"),
            (
                "北京华信通达科技有限公司",
                "beijing 'huaxintongda' technology =",
            ),
            (
                "中国电子科技集团公司第五十四研究所",
                "china electronic technology group = # 54 research institute",
            ),
            ("十四所", "14 institute"),
            ("云从科技", "'yuncong' technology"),
            ("三一重工", "'sanyi' heavy industry"),
            ("國立臺灣大學", "national taiwan university"),
        ] {
            assert_eq!(words(run), english, "{run}");
        }
    }

    #[test]
    fn every_entry_is_within_its_bounds_and_stands_once() {
        let mut seen = std::collections::BTreeSet::new();
        for line in rows(include_str!("../../screening/han.txt")) {
            let (han, english) = line.split_once(':').unwrap_or_default();
            assert!(
                english.trim() == "="
                    || english
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b == b' ' || b.is_ascii_digit()),
                "{line}"
            );
            for word in han.split_whitespace() {
                assert!(
                    word.chars().all(is_han) && word.chars().count() <= MAX_WORD,
                    "{word}"
                );
                assert!(
                    word.chars().all(|c| simplified(c) == c),
                    "{word} is traditional"
                );
                assert!(seen.insert(word), "{word}");
            }
        }
        assert!(seen.len() > 300);
    }
}
