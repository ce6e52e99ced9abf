//! The first digits of an id or digest, by which people name it.

use std::{fmt, str::FromStr};

/// Fewest digits: of a thousand ids two begin with the same eight in one log of 8,000
/// (1,000² / 2 / 2^32), and then both are named.
pub const MIN_DIGITS: usize = 8;

/// Most digits: those of a SHA-256.
pub const MAX_DIGITS: usize = 64;

/// The first hexadecimal digits of an id or digest, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstDigits(String);

/// Why a text names no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not {MIN_DIGITS} to {MAX_DIGITS} hexadecimal digits, the first of an id or all of it"
)]
pub struct NotDigits(String);

/// Why digits name none of those that there are, or more than one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotOne {
    /// None begins so.
    #[error("none begins with {0}")]
    None(FirstDigits),
    /// Several do.
    #[error("{0} is not enough to tell which; these begin so: {named}", named = .1.join(", "))]
    Several(FirstDigits, Vec<String>),
}

/// Most candidates that are named.
const MAX_NAMED: usize = 10;

impl FromStr for FirstDigits {
    type Err = NotDigits;

    fn from_str(text: &str) -> Result<Self, NotDigits> {
        let text = text.trim();
        let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match hexadecimal && (MIN_DIGITS..=MAX_DIGITS).contains(&text.len()) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(NotDigits(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for FirstDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FirstDigits {
    /// Tells whether an id begins so.
    pub fn begins(&self, id: &str) -> bool {
        id.starts_with(&self.0)
    }

    /// Picks the one that begins so; `id` gives the id of each.
    pub fn one<T>(
        &self,
        all: impl IntoIterator<Item = T>,
        id: impl Fn(&T) -> &str,
    ) -> Result<T, NotOne> {
        let mut found: Vec<T> = all.into_iter().filter(|it| self.begins(id(it))).collect();
        // One that is named whole is meant, whatever begins with it.
        if let Some(whole) = found.iter().position(|it| id(it) == self.0) {
            return Ok(found.swap_remove(whole));
        }
        match (found.pop(), found.is_empty()) {
            (Some(one), true) => Ok(one),
            (None, _) => Err(NotOne::None(self.clone())),
            (Some(last), false) => {
                found.push(last);
                let named = found.iter().take(MAX_NAMED).map(|it| id(it).to_owned());
                let mut named: Vec<String> = named.collect();
                let more = found.len().saturating_sub(MAX_NAMED);
                if more > 0 {
                    named.push(format!("and {more} more"));
                }
                Err(NotOne::Several(self.clone(), named))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn one(digits: &str, of: &[&str]) -> Result<String, NotOne> {
        let digits: FirstDigits = digits.parse().unwrap();
        let found = digits.one(of.iter().copied(), |it| it)?;
        Ok(found.to_owned())
    }

    #[test]
    fn eight_digits_name_the_one_that_begins_so_and_two_such_are_told_apart_or_not_at_all() {
        let all = ["0123456789", "0123456799", "ff"];
        assert_eq!(one("012345678", &all).unwrap(), "0123456789");
        assert_eq!(one("012345679", &all).unwrap(), "0123456799");
        let said = one("01234567", &all).unwrap_err().to_string();
        assert!(said.contains("0123456789, 0123456799"), "{said}");
        assert_eq!(
            one("ffffffff", &all),
            Err(NotOne::None("ffffffff".parse().unwrap()))
        );
        // Named whole, although another one begins with it.
        assert_eq!(
            one("01234567", &["0123456789", "01234567"]).unwrap(),
            "01234567"
        );
        assert_eq!(one("ABCDEF012", &["abcdef0123"]).unwrap(), "abcdef0123");
    }

    #[test]
    fn what_is_too_short_or_too_long_or_no_digit_names_nothing() {
        let long = "a".repeat(MAX_DIGITS + 1);
        for bad in [
            "",
            "0123456",
            "0123456g",
            "01234 567",
            long.as_str(),
            "０１２３４５６７",
        ] {
            assert!(bad.parse::<FirstDigits>().is_err(), "{bad}");
        }
    }

    #[test]
    fn of_very_many_candidates_only_some_are_named() {
        let all: Vec<String> = (0..99).map(|n| format!("00000000{n:02}")).collect();
        let digits: FirstDigits = "00000000".parse().unwrap();
        let said = digits.one(&all, |it| it.as_str()).unwrap_err().to_string();
        assert!(said.ends_with("and 89 more"), "{said}");
    }
}
