//! How alike two words are: slips of the keyboard and of the ear, in thousandths.

use super::{
    name::Token,
    words::{self, Sort},
};

/// A word of the same group, in a translation.
const TRANSLATED: u32 = 850;
/// A word that was cut off.
const CUT_OFF: u32 = 850;
/// The same sound, spelt another way.
const SAME_SOUND: u32 = 940;
/// First letters of the syllables.
pub(super) const SYLLABLES: u32 = 800;

/// Shortest word in which a slip is looked for: in fewer letters, most of them initials, one slip is
/// another word.
const MIN_LETTERS: usize = 5;
/// Longest word that is compared letter by letter; longer ones are equal or not.
const MAX_LETTERS: usize = 40;

/// Shortest word that is compared by its sound: shorter ones are initials as often, which have none.
pub(super) const SOUND_LETTERS: usize = 6;

/// What a slip may cost for each letter of the longer word: one letter in five.
const BUDGET_PER_LETTER: u32 = 220;
/// What slips may cost in all: two letters.
const BUDGET: u32 = 2_200;

/// A letter for another.
const LETTER: u32 = 1_000;
/// A vowel for another, or one more or less: spellings of foreign names differ in these first.
const VOWEL: u32 = 600;
/// A consonant for one that sounds much alike.
const KINDRED: u32 = 700;
/// A letter doubled.
const DOUBLED: u32 = 400;
/// Any slip between two words of pinyin, where each letter makes another firm.
const PINYIN: u32 = 1_600;

/// How alike two words are: 1,000 is the same, 0 is another word. Numbers are not compared here.
pub(crate) fn alike(a: &Token, b: &Token) -> u32 {
    if a.text == b.text && (a.sort == Sort::Number) == (b.sort == Sort::Number) {
        return 1_000;
    }
    if a.sort == Sort::Number || b.sort == Sort::Number {
        return 0;
    }
    if a.sort != Sort::Own && b.sort != Sort::Own {
        return if a.group.is_some() && a.group == b.group {
            TRANSLATED
        } else {
            0
        };
    }
    for (short, long) in [(a, b), (b, a)] {
        if short.sort == Sort::Own
            && long.sort != Sort::Own
            && words::is_cut_off(&short.text, &long.text)
        {
            return CUT_OFF;
        }
        if short.sort == Sort::Own && long.initials.as_deref() == Some(short.text.as_ref()) {
            return SYLLABLES;
        }
    }
    // A slip is one of what was written, and not of the table's spelling of it.
    let strict = a.pinyin && b.pinyin;
    let spelt =
        by_letters(&a.text, &b.text, strict).max(by_letters(&a.written, &b.written, strict));
    if spelt < SAME_SOUND
        && !(a.pinyin && b.pinyin)
        && a.text.len() >= SOUND_LETTERS
        && b.text.len() >= SOUND_LETTERS
        && sound(&a.text) == sound(&b.text)
    {
        return SAME_SOUND;
    }
    spelt
}

/// How alike two words are as letters; 0 when the slips are more than words of this length allow.
fn by_letters(a: &str, b: &str, pinyin: bool) -> u32 {
    let longest = a.len().max(b.len());
    if !(MIN_LETTERS..=MAX_LETTERS).contains(&longest) || a.is_empty() || b.is_empty() {
        return 0;
    }
    let letters = u32::try_from(longest).unwrap_or(u32::MAX);
    let budget = BUDGET.min(letters.saturating_mul(BUDGET_PER_LETTER));
    let Some(cost) = distance(a.as_bytes(), b.as_bytes(), budget, pinyin) else {
        return 0;
    };
    1_000 - (cost / letters).min(1_000)
}

/// The cheapest way from the one word to the other, or `None` above the budget.
///
/// Optimal string alignment (Damerau 1964), with prices.
fn distance(a: &[u8], b: &[u8], budget: u32, pinyin: bool) -> Option<u32> {
    // No slip is cheaper than a doubled letter.
    let apart = u32::try_from(a.len().abs_diff(b.len())).unwrap_or(u32::MAX);
    if apart.saturating_mul(DOUBLED) > budget {
        return None;
    }
    let price = |price: u32| if pinyin { PINYIN } else { price };
    let mut before = [0_u32; MAX_LETTERS + 1];
    let mut above = [0_u32; MAX_LETTERS + 1];
    let mut row = [0_u32; MAX_LETTERS + 1];
    for j in 0..b.len() {
        above[j + 1] = above[j] + price(alone(b, j));
    }
    for i in 0..a.len() {
        row[0] = above[0] + price(alone(a, i));
        let mut least = row[0];
        for j in 0..b.len() {
            let swap = if a[i] == b[j] {
                0
            } else {
                price(instead(a[i], b[j]))
            };
            let mut best = above[j] + swap;
            best = best.min(above[j + 1] + price(alone(a, i)));
            best = best.min(row[j] + price(alone(b, j)));
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] && a[i] != b[j] {
                best = best.min(before[j - 1] + price(LETTER));
            }
            row[j + 1] = best;
            least = least.min(best);
        }
        if least > budget {
            return None;
        }
        before = above;
        above = row;
    }
    let cost = above[b.len()];
    (cost <= budget).then_some(cost)
}

/// What it costs that a letter is there in one word only.
fn alone(word: &[u8], at: usize) -> u32 {
    let letter = word[at];
    if at > 0 && word[at - 1] == letter {
        DOUBLED
    } else if is_vowel(letter) || letter == b'h' && at > 0 {
        VOWEL
    } else {
        LETTER
    }
}

fn instead(a: u8, b: u8) -> u32 {
    if is_vowel(a) && is_vowel(b) {
        return VOWEL;
    }
    let (a, b) = (a.min(b), a.max(b));
    let kindred = matches!(
        (a, b),
        (b'c', b'k')
            | (b'c', b's')
            | (b's', b'z')
            | (b'k', b'q')
            | (b'v', b'w')
            | (b'i', b'y')
            | (b'i', b'j')
            | (b'j', b'y')
            | (b'f', b'v')
            | (b'm', b'n')
            | (b'd', b't')
            | (b'b', b'p')
            | (b'g', b'k')
            | (b'0', b'o')
            | (b'1', b'l')
            | (b'1', b'i')
    );
    if kindred { KINDRED } else { LETTER }
}

fn is_vowel(letter: u8) -> bool {
    matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u')
}

/// A word without what spellings of one sound differ in.
pub(crate) fn sound(word: &str) -> String {
    const SAME: [(&str, &str); 14] = [
        ("sch", "sh"),
        ("tch", "ch"),
        ("dzh", "j"),
        ("ph", "f"),
        ("kh", "h"),
        ("ck", "k"),
        ("ks", "x"),
        ("ts", "c"),
        ("iy", "i"),
        ("yi", "i"),
        ("ij", "i"),
        ("ou", "u"),
        ("qu", "kv"),
        ("w", "v"),
    ];
    let mut text = word.to_owned();
    for (from, to) in SAME {
        if text.contains(from) {
            text = text.replace(from, to);
        }
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let c = match c {
            'y' | 'j' => 'i',
            'c' | 'q' => 'k',
            'z' => 's',
            other => other,
        };
        if !out.ends_with(c) {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slip_in_five_letters_is_forgiven_and_more_is_another_word() {
        for (a, b, same) in [
            ("vitol", "vital", true),
            ("exxon", "exxor", true),
            ("ford", "fjord", true),
            ("snow", "snoe", false),
            ("mckesson", "mckenton", false),
            ("hathaway", "halloway", false),
            ("trafigura", "trafalgura", true),
            ("toyota", "otyota", true),
            ("lxc", "lau", false),
        ] {
            assert_eq!(by_letters(a, b, false) >= 800, same, "{a} {b}");
            assert_eq!(by_letters(a, b, false), by_letters(b, a, false), "{a} {b}");
        }
    }

    #[test]
    fn in_pinyin_each_letter_of_a_short_word_makes_another_firm() {
        for (a, b) in [
            ("yunda", "yuxin"),
            ("yuxin", "yixin"),
            ("huaxin", "huaxing"),
            ("keda", "kede"),
        ] {
            assert_eq!(by_letters(a, b, true), 0, "{a} {b}");
        }
    }

    #[test]
    fn words_of_any_length_are_compared_without_a_panic() {
        let long = "a".repeat(500);
        assert_eq!(by_letters(&long, "b", false), 0);
        assert_eq!(by_letters("", "b", false), 0);
        assert!(by_letters(&"a".repeat(40), &"a".repeat(39), false) > 900);
    }
}
