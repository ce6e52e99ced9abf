//! Syllables of Mandarin in pinyin without tones.
//!
//! Names of Chinese firms are two or three of some 400 syllables, so that one letter makes another
//! firm. What reads as pinyin is therefore compared more strictly than other words.

/// Initials, longest first.
const INITIALS: [&str; 24] = [
    "zh", "ch", "sh", "b", "p", "m", "f", "d", "t", "n", "l", "g", "k", "h", "j", "q", "x", "r",
    "z", "c", "s", "y", "w", "",
];

/// Finals that follow an initial, by what they begin with; `v` for ü after n and l.
const FINALS: [&str; 34] = [
    "a", "ai", "an", "ang", "ao", "e", "ei", "en", "eng", "er", "i", "ia", "ian", "iang", "iao",
    "ie", "in", "ing", "iong", "iu", "o", "ong", "ou", "u", "ua", "uai", "uan", "uang", "ui", "un",
    "uo", "ue", "v", "ve",
];

/// Longest syllable: "zhuang" and its like.
const MAX_SYLLABLE: usize = 6;

/// Most letters that are looked at: five syllables of the longest sort.
const MAX_LETTERS: usize = 30;

fn is_syllable(text: &str) -> bool {
    let Some(initial) = INITIALS.iter().find(|it| text.starts_with(**it)) else {
        return false;
    };
    let end = text.get(initial.len()..).unwrap_or_default();
    let known = FINALS.contains(&end);
    known
        && match *initial {
            "" => matches!(
                end,
                "a" | "ai" | "an" | "ang" | "ao" | "e" | "ei" | "en" | "er" | "o" | "ou"
            ),
            "zh" | "ch" | "sh" | "r" | "z" | "c" | "s" => {
                !matches!(
                    end,
                    "ia" | "ian"
                        | "iang"
                        | "iao"
                        | "ie"
                        | "in"
                        | "ing"
                        | "iong"
                        | "iu"
                        | "ue"
                        | "v"
                        | "ve"
                        | "er"
                ) && end != "o"
            }
            "j" | "q" | "x" => end.starts_with('i') || matches!(end, "u" | "ue" | "uan" | "un"),
            "y" => matches!(
                end,
                "a" | "an"
                    | "ang"
                    | "ao"
                    | "e"
                    | "i"
                    | "in"
                    | "ing"
                    | "ong"
                    | "ou"
                    | "u"
                    | "ue"
                    | "uan"
                    | "un"
                    | "o"
            ),
            "w" => matches!(
                end,
                "a" | "ai" | "an" | "ang" | "ei" | "en" | "eng" | "o" | "u"
            ),
            "b" | "p" | "m" | "f" => {
                !end.starts_with("ua")
                    && !matches!(
                        end,
                        "ong"
                            | "iong"
                            | "ui"
                            | "un"
                            | "uo"
                            | "ue"
                            | "v"
                            | "ve"
                            | "er"
                            | "iang"
                            | "ia"
                    )
            }
            "g" | "k" | "h" => {
                !end.starts_with('i') && !matches!(end, "o" | "ue" | "v" | "ve" | "er")
            }
            "d" | "t" => !matches!(
                end,
                "in" | "iang" | "iong" | "o" | "ua" | "uai" | "uang" | "ue" | "v" | "ve" | "er"
            ),
            _ => !matches!(end, "o" | "ua" | "uai" | "uang" | "ui" | "iong" | "er"),
        }
}

/// Parts a word into syllables; `None` when it is not pinyin from end to end.
///
/// Of several ways it takes the one with the longer syllables first, as the apostrophe rule of pinyin
/// has it.
pub(crate) fn syllables(word: &str) -> Option<Vec<&str>> {
    if word.is_empty() || word.len() > MAX_LETTERS || !word.bytes().all(|b| b.is_ascii_lowercase())
    {
        return None;
    }
    // ends[i]: how long the syllable is that begins at i, where the rest can be parted too.
    let mut lengths = [0_usize; MAX_LETTERS + 1];
    let mut open = [false; MAX_LETTERS + 1];
    *open.get_mut(word.len())? = true;
    for from in (0..word.len()).rev() {
        for length in (1..=MAX_SYLLABLE.min(word.len() - from)).rev() {
            let rest = open.get(from + length).copied().unwrap_or(false);
            if rest && word.get(from..from + length).is_some_and(is_syllable) {
                *lengths.get_mut(from)? = length;
                *open.get_mut(from)? = true;
                break;
            }
        }
    }
    let mut at = 0;
    let mut found = Vec::with_capacity(4);
    while at < word.len() {
        let length = lengths.get(at).copied().filter(|it| *it > 0)?;
        found.push(word.get(at..at + length)?);
        at += length;
    }
    Some(found)
}

/// First letters of the syllables, where there are at least two: "zj" of "zhejiang".
pub(crate) fn initials(word: &str) -> Option<String> {
    let syllables = syllables(word).filter(|it| it.len() >= 2)?;
    Some(
        syllables
            .iter()
            .filter_map(|it| it.chars().next())
            .collect(),
    )
}

/// Writes ü as u, which after n and l is spelt `v` or `yu` as well.
pub(crate) fn plain(word: &str) -> Option<String> {
    if !word.contains("lv") && !word.contains("nv") {
        return None;
    }
    syllables(word).map(|it| it.concat().replace("lv", "lu").replace("nv", "nu"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_of_pinyin_are_parted_and_other_words_are_not() {
        for (word, parts) in [
            ("sichuan", Some("si chuan")),
            ("zhejiang", Some("zhe jiang")),
            ("yunda", Some("yun da")),
            ("yuxin", Some("yu xin")),
            ("daxue", Some("da xue")),
            ("keji", Some("ke ji")),
            ("lvneng", Some("lv neng")),
            ("tsinghua", None),
            ("volkswagen", None),
            ("microsoft", None),
            ("vital", None),
            ("", None),
        ] {
            let found = syllables(word).map(|it| it.join(" "));
            assert_eq!(found.as_deref(), parts, "{word}");
        }
        assert_eq!(initials("zhejiang").unwrap(), "zj");
        assert_eq!(initials("hua"), None);
        assert_eq!(plain("lvneng").unwrap(), "luneng");
    }
}
