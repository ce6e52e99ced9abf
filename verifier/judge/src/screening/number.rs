//! Numbers in names: digits, ordinals, number words and Roman numerals, read as one value.

/// What kind of a number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) value: u64,
    /// It ranks one of many, such as "38th": then it is the name.
    pub(crate) ordinal: bool,
    /// How many words it took.
    pub(crate) words: usize,
}

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = [
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];
const ORDINALS: [&str; 13] = [
    "", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
    "tenth", "eleventh", "twelfth",
];

/// Reads the number that begins with `word`, and goes on with `next` where both are of one ("forty four").
pub(crate) fn read(word: &str, next: Option<&str>) -> Option<Number> {
    let number = |value, ordinal, words| {
        Some(Number {
            value,
            ordinal,
            words,
        })
    };
    if let Some(digits) = ["st", "nd", "rd", "th"]
        .iter()
        .find_map(|end| word.strip_suffix(end))
        && let Some(value) = digits_of(digits)
    {
        return number(value, true, 1);
    }
    if let Some(value) = digits_of(word) {
        return number(value, false, 1);
    }
    let position = |of: &[&str], word: &str| {
        of.iter()
            .position(|it| *it == word && !it.is_empty())
            .and_then(|it| u64::try_from(it).ok())
    };
    if let Some(value) = position(&ORDINALS, word) {
        return number(value, true, 1);
    }
    if let Some(value) = position(&ONES, word) {
        return number(value, false, 1);
    }
    // "fourty" is the commonest slip of the ten.
    let tens = position(&TENS, if word == "fourty" { "forty" } else { word })? * 10;
    let next = next.unwrap_or_default();
    match (
        position(ONES.get(..10)?, next),
        position(ORDINALS.get(..10)?, next),
    ) {
        (Some(one), _) => number(tens + one, false, 2),
        (_, Some(one)) => number(tens + one, true, 2),
        _ => number(tens, false, 1),
    }
}

/// Digits of a number that no overflow can come of: 18 are below 2⁶⁰.
fn digits_of(text: &str) -> Option<u64> {
    let fits = (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// Reads a Roman numeral below 40; larger ones are words of some language.
pub(crate) fn roman(word: &str) -> Option<u64> {
    if word.is_empty() || word.len() > 7 {
        return None;
    }
    let digit = |c: u8| match c {
        b'i' => Some(1),
        b'v' => Some(5),
        b'x' => Some(10),
        _ => None,
    };
    let digits: Vec<u64> = word.bytes().map(digit).collect::<Option<_>>()?;
    let mut value = 0;
    for (at, one) in digits.iter().enumerate() {
        let less = digits.get(at + 1).is_some_and(|next| next > one);
        value = if less { value + 100 - one } else { value + one };
    }
    // Each subtraction put 100 too much in; only proper numerals are written back as they were.
    let value = value % 100;
    let value = if value >= 40 { return None } else { value };
    (spelt(value) == word).then_some(value)
}

fn spelt(value: u64) -> String {
    const ONES: [&str; 10] = ["", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"];
    let tens = usize::try_from(value / 10).unwrap_or(0);
    let ones = usize::try_from(value % 10).unwrap_or(0);
    format!(
        "{}{}",
        "x".repeat(tens),
        ONES.get(ones).copied().unwrap_or_default()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_read_from_every_way_to_write_it() {
        for (word, next, value, ordinal, words) in [
            ("44", None, 44, false, 1),
            ("fourty", Some("four"), 44, false, 2),
            ("forty", Some("fourth"), 44, true, 2),
            ("38th", None, 38, true, 1),
            ("first", None, 1, true, 1),
            ("1st", Some("bank"), 1, true, 1),
            ("three", None, 3, false, 1),
            ("twenty", Some("bank"), 20, false, 1),
        ] {
            let read = read(word, next).unwrap();
            assert_eq!(
                (read.value, read.ordinal, read.words),
                (value, ordinal, words),
                "{word}"
            );
        }
        assert_eq!(read("bank", None), None);
        assert_eq!(read("th", None), None);
        assert_eq!(read(&"9".repeat(40), None), None);
    }

    #[test]
    fn roman_numerals_are_read_when_they_are_proper() {
        for (word, value) in [
            ("i", 1),
            ("iv", 4),
            ("viii", 8),
            ("ix", 9),
            ("xi", 11),
            ("xxxix", 39),
        ] {
            assert_eq!(roman(word), Some(value), "{word}");
        }
        for word in ["", "iiii", "vx", "ic", "iix", "bank", "xxxxi"] {
            assert_eq!(roman(word), None, "{word}");
        }
    }
}
