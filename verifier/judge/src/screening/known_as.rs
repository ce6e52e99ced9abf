//! One field, several names: "a.k.a." clauses, acronyms in parentheses, names on both sides of a slash.

use super::{fold, name::MAX_CHARS, words};

/// Most names that one field is read as. The longest clause on the lists of July 2026 has 31.
const MAX_NAMES: usize = 64;

/// Marks behind which another name of the same organisation stands, as they are written in lower case.
const MARKS: [&str; 21] = [
    "also known as",
    "a.k.a.",
    "a.k.a",
    "aka ",
    "aka:",
    "formerly known as",
    "f.k.a.",
    "f.k.a",
    "fka ",
    "now known as",
    "n.k.a.",
    "doing business as",
    "d.b.a.",
    "d/b/a",
    "operating as",
    "formerly",
    "alias ",
    "alias:",
    "previously known as",
    "trading as",
    "t/a ",
];

/// Words that only lead to a list of aliases.
const LEADS: [&str; 6] = [
    "the following",
    "and the following",
    "following",
    "and",
    "or",
    "aliases",
];

/// Reads a field as names, the first one first; each once.
pub(crate) fn names_in(field: &str) -> Vec<String> {
    let field: String = field.chars().take(MAX_CHARS * 4).collect();
    let mut names = Vec::new();
    for clause in clauses(&field) {
        for variant in variants(clause) {
            add(&mut names, &variant);
        }
    }
    names
}

/// Names behind marks only: of a field that is no name itself, such as an address.
pub(crate) fn aliases_in(field: &str) -> Vec<String> {
    let mut names = Vec::new();
    let lower = field.to_ascii_lowercase();
    let Some(at) = MARKS
        .iter()
        .filter_map(|mark| find_mark(&lower, mark))
        .map(|it| it.0)
        .min()
    else {
        return names;
    };
    let rest: String = field
        .get(at..)
        .unwrap_or_default()
        .chars()
        .take(MAX_CHARS * 4)
        .collect();
    // An address goes on behind its clause; what has a number in it is of the address.
    for clause in clauses(&rest) {
        if !clause.bytes().any(|b| b.is_ascii_digit()) {
            variants(clause).iter().for_each(|it| add(&mut names, it));
        }
    }
    names
}

fn add(names: &mut Vec<String>, name: &str) {
    let name = trimmed(name);
    let letters = name.chars().filter(|c| c.is_alphanumeric()).count();
    let fits = letters >= 2
        && !matches!(name, "and" | "or")
        && names.len() < MAX_NAMES
        && !fold::pieces(name).is_empty();
    if fits && !names.iter().any(|it| it == name) {
        names.push(name.to_owned());
    }
}

fn trimmed(text: &str) -> &str {
    let mut text = text;
    loop {
        let before = text;
        text = text.trim_matches(|c: char| {
            c.is_whitespace()
                || matches!(c, ',' | ';' | ':' | '—' | '–' | '"' | '“' | '”' | '•' | '-')
        });
        for end in [" and", " or"] {
            text = text.strip_suffix(end).unwrap_or(text);
        }
        // A bracket of which the other half is elsewhere.
        if text.ends_with(')') && !text.contains('(') {
            text = text.strip_suffix(')').unwrap_or(text);
        }
        if text.starts_with('(') && !text.contains(')') {
            text = text.strip_prefix('(').unwrap_or(text);
        }
        text = text.strip_suffix('(').unwrap_or(text);
        if text.len() == before.len() {
            return text;
        }
    }
}

/// Where a mark stands as a word, and where it ends.
fn find_mark(lower: &str, mark: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(at) = lower.get(from..).and_then(|it| it.find(mark)) {
        let at = from + at;
        let before = lower.get(..at).and_then(|it| it.chars().next_back());
        let end = at + mark.len();
        let after = lower.get(end..).and_then(|it| it.chars().next());
        let begins = before.is_none_or(|c| !c.is_alphanumeric());
        let ends = mark.ends_with([' ', ':', '.']) || after.is_none_or(|c| !c.is_alphanumeric());
        if begins && ends {
            return Some((at, end));
        }
        from = end;
    }
    None
}

/// Parts a field at marks; behind the first one at semicolons and dashes of lists as well.
fn clauses(field: &str) -> Vec<&str> {
    let lower = field.to_ascii_lowercase();
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    for mark in MARKS {
        let mut from = 0;
        while let Some((at, end)) = lower.get(from..).and_then(|it| find_mark(it, mark)) {
            cuts.push((from + at, from + end));
            from += end;
        }
    }
    if cuts.is_empty() {
        return field.split(';').map(without_lead).collect();
    }
    cuts.sort_unstable();
    let mut out = Vec::new();
    let mut from = 0;
    for (at, end) in cuts {
        if at >= from {
            out.push(field.get(from..at).unwrap_or_default());
        }
        from = from.max(end);
    }
    out.push(field.get(from..).unwrap_or_default());
    let parted = out
        .into_iter()
        .flat_map(|it| it.split([';', '—', '•', '\n']));
    parted.map(without_lead).collect()
}

/// Leaves out "the following three aliases:".
fn without_lead(clause: &str) -> &str {
    let text = clause.trim_start_matches([',', ' ', ':']);
    let lower = text.to_ascii_lowercase();
    // Whoever is meant by "and any successor" has no name.
    if lower.starts_with("and any ") || lower.starts_with("any successor") {
        return "";
    }
    let leads = LEADS.iter().any(|it| lower.starts_with(it)) && lower.contains("alias");
    match (leads, text.split_once(':')) {
        (true, Some((_, rest))) => rest,
        (true, None) => "",
        _ => text,
    }
}

/// A name with and without what stands in parentheses, and on both sides of a slash.
fn variants(clause: &str) -> Vec<String> {
    let clause = trimmed(clause);
    let mut out = vec![clause.to_owned()];
    // Two words that lists translate in two ways: research institute or academy, and research
    // institute or institute.
    for (word, other) in [("研究院", "学术院"), ("研究所", "所")] {
        if clause.contains(word) {
            out.push(clause.replace(word, other));
        }
    }
    if let Some((before, inside, after)) = brackets(clause) {
        if is_acronym(inside) {
            out = vec![format!("{before} {after}"), format!("{inside} {after}")];
        } else if is_another_name(inside) {
            out.push(format!("{before} {after}"));
            out.push(inside.to_owned());
        } else if inside.to_lowercase().contains("affiliated")
            || inside.to_lowercase().contains("individual")
        {
            out.push(format!("{before} {after}"));
        }
    }
    let sides: Vec<&str> = clause.split('/').map(str::trim).collect();
    let is_word = |side: &str, last: bool| {
        let mut words = side.split([' ', '-']);
        let word = if last {
            words.next_back()
        } else {
            words.next()
        };
        word.is_some_and(|it| words::look_up(&it.to_ascii_lowercase()).is_some())
    };
    // "Import/Export" is one word; names have more than one on a side, or spaces around the slash.
    if let [left, right] = sides.as_slice()
        && left.len() > 3
        && right.len() > 3
        && !(is_word(left, true) && is_word(right, false))
        && (clause.contains(" / ")
            || left.contains([' ', '-'])
                && right.contains(' ')
                && left.split(' ').count() <= 3
                && right.split(' ').count() <= 3)
    {
        out.push((*left).to_owned());
        out.push((*right).to_owned());
    }
    out
}

fn brackets(text: &str) -> Option<(&str, &str, &str)> {
    let from = text.find(['(', '（'])?;
    let inside = text.get(from..)?;
    let width = inside.chars().next()?.len_utf8();
    let to = inside.find([')', '）'])?;
    let before = text.get(..from)?.trim();
    let after = inside.get(to..)?.trim_start_matches([')', '）']).trim();
    let inside = inside
        .get(width..to)?
        .trim()
        .trim_matches(['"', '“', '”', '\'']);
    (!before.is_empty() && !inside.is_empty()).then_some((before, inside, after))
}

/// Capitals only, three letters or more: "(CETC)", not "(HK)".
fn is_acronym(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_ascii_alphabetic()).count();
    let capitals = text.chars().filter(|c| c.is_ascii_uppercase()).count();
    let usual = [
        "LTD", "LLC", "INC", "PLC", "PRC", "USA", "UAE", "GROUP", "LIMITED", "HOLDINGS", "PTE",
        "PVT", "DPRK",
    ];
    (3..=10).contains(&letters)
        && capitals * 3 >= letters * 2
        && !text.contains(' ')
        && !usual.contains(&text)
}

/// More than a place or a qualifier: another script.
fn is_another_name(text: &str) -> bool {
    text.chars()
        .filter(|c| !c.is_ascii() && c.is_alphabetic())
        .count()
        >= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_are_parted_into_names() {
        for (field, names) in [
            (
                "Acme Trading, a.k.a., the following three aliases: —Acme; —Acme Trade Co.; and —ATC",
                &["Acme Trading", "Acme", "Acme Trade Co.", "ATC"][..],
            ),
            ("Foo Works (f.k.a. Bar Works)", &["Foo Works", "Bar Works"]),
            (
                "Foo Works, formerly known as Bar Works, now known as Baz",
                &["Foo Works", "Bar Works", "Baz"],
            ),
            ("also known as: Li Example", &["Li Example"]),
            (
                "China Example Group Corporation (CEGC) 54th Institute",
                &[
                    "China Example Group Corporation 54th Institute",
                    "CEGC 54th Institute",
                ],
            ),
            (
                "Example (Beijing) Import/Export Co.",
                &["Example (Beijing) Import/Export Co."],
            ),
            (
                "King-Pai Technology (HK) Co., Limited",
                &["King-Pai Technology (HK) Co., Limited"],
            ),
            (
                "Al-Example/Example Army",
                &["Al-Example/Example Army", "Al-Example", "Example Army"],
            ),
            (
                "Central Institute of Motors; and",
                &["Central Institute of Motors"],
            ),
            ("Akademia Nauk", &["Akademia Nauk"]),
            ("", &[]),
        ] {
            assert_eq!(names_in(field), names, "{field}");
        }
    }

    #[test]
    fn an_address_gives_only_what_stands_behind_a_mark() {
        assert!(aliases_in("8 Pravdy Street, Moscow").is_empty());
        assert_eq!(
            aliases_in("a.k.a. Foo Works; 8 Pravdy Street, Moscow"),
            ["Foo Works"]
        );
    }
}
