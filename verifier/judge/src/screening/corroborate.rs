//! What else is known of both: countries, addresses, identifiers. They move a class, and never away.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    class::Class,
    fold, lands,
    list::Entry,
    words::{self, Sort},
};

/// Who is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// All its names, in any script.
    pub names: Vec<String>,
    /// Countries: ISO codes or names.
    pub countries: Vec<String>,
    /// Addresses as they are written.
    pub addresses: Vec<String>,
    /// Numbers in registers.
    pub identifiers: Vec<String>,
}

/// What two sides say of one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// One side says nothing, or not enough.
    #[default]
    Unknown,
    /// Both say the same.
    Agrees,
    /// Both cannot be.
    Contradicts,
}

/// What beside the name speaks for a hit, or against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Corroboration {
    /// Countries have one in common, or none.
    pub country: Agreement,
    /// Addresses share street and number, or are in different cities.
    pub address: Agreement,
    /// A number in a register is the same.
    pub identifier: Agreement,
}

impl Corroboration {
    /// Where a class moves to.
    ///
    /// A number of a register or an address raises it, another country lowers it by one, and another
    /// city as well only then: firms have branches. An exact name stays visible as strong at least, and
    /// a possible one as context: a person clears, and not a field that may be wrong.
    pub(super) fn moved(self, class: Class) -> Class {
        use Agreement::{Agrees, Contradicts};
        if self.identifier == Agrees {
            return class.max(Class::Strong);
        }
        if self.country == Contradicts {
            return match class {
                Class::Exact => Class::Strong,
                Class::Strong => Class::Possible,
                Class::Possible if self.address == Contradicts => Class::Context,
                other => other,
            };
        }
        match class {
            Class::Possible if self.address == Agrees => Class::Strong,
            other => other,
        }
    }
}

/// What is known of a subject or an entry, read for comparison.
#[derive(Clone, Debug)]
pub(super) struct Known {
    countries: BTreeSet<&'static str>,
    addresses: Vec<Address>,
    pub(super) identifiers: BTreeSet<String>,
}

impl Known {
    pub(super) fn of(subject: &Subject) -> Self {
        Self::read(&subject.countries, &subject.addresses, &subject.identifiers)
    }

    pub(super) fn of_entry(entry: &Entry) -> Self {
        Self::read(&entry.countries, &entry.addresses, &entry.identifiers)
    }

    fn read(countries: &[String], addresses: &[String], identifiers: &[String]) -> Self {
        Self {
            countries: countries
                .iter()
                .filter_map(|it| lands::code_of(it))
                .map(one_country)
                .collect(),
            addresses: addresses.iter().map(|it| Address::read(it)).collect(),
            identifiers: identifiers.iter().flat_map(|it| numbers_in(it)).collect(),
        }
    }

    pub(super) fn beside(&self, listed: &Self) -> Corroboration {
        let common = |empty: bool, common: bool| match (empty, common) {
            (true, _) => Agreement::Unknown,
            (false, true) => Agreement::Agrees,
            (false, false) => Agreement::Contradicts,
        };
        let country = common(
            self.countries.is_empty() || listed.countries.is_empty(),
            !self.countries.is_disjoint(&listed.countries),
        );
        // Another number says little: an organisation has several.
        let identifier = match self.identifiers.is_disjoint(&listed.identifiers) {
            true => Agreement::Unknown,
            false => Agreement::Agrees,
        };
        Corroboration {
            country,
            address: self.address_beside(listed),
            identifier,
        }
    }

    fn address_beside(&self, listed: &Self) -> Agreement {
        let pairs = || {
            self.addresses
                .iter()
                .flat_map(|a| listed.addresses.iter().map(move |b| (a, b)))
        };
        if pairs().any(|(a, b)| a.agrees(b)) {
            return Agreement::Agrees;
        }
        let cities = |all: &[Address]| -> BTreeSet<&'static str> {
            all.iter()
                .flat_map(|it| it.cities.iter().copied())
                .collect()
        };
        let (a, b) = (cities(&self.addresses), cities(&listed.addresses));
        if a.is_empty() || b.is_empty() || !a.is_disjoint(&b) {
            Agreement::Unknown
        } else {
            Agreement::Contradicts
        }
    }
}

/// Hong Kong and Macau stand under China on some lists and beside it on others.
fn one_country(code: &'static str) -> &'static str {
    if matches!(code, "HK" | "MO") {
        "CN"
    } else {
        code
    }
}

#[derive(Clone, Debug)]
struct Address {
    cities: BTreeSet<&'static str>,
    numbers: BTreeSet<String>,
    words: BTreeSet<String>,
}

impl Address {
    fn read(text: &str) -> Self {
        let mut it = Self {
            cities: BTreeSet::new(),
            numbers: BTreeSet::new(),
            words: BTreeSet::new(),
        };
        let pieces: Vec<String> = fold::pieces(text).into_iter().map(|it| it.text).collect();
        for (at, piece) in pieces.iter().enumerate() {
            let two = pieces.get(at + 1).map(|next| format!("{piece} {next}"));
            let word = two
                .as_deref()
                .and_then(words::look_up)
                .or_else(|| words::look_up(piece));
            match word {
                Some(word) if word.sort == Sort::Place => {
                    it.cities.insert(word.text);
                }
                Some(_) => {}
                None if piece.bytes().any(|b| b.is_ascii_digit()) => {
                    it.numbers.insert(piece.clone());
                }
                None if !STREETS.contains(&piece.as_str()) && piece.len() > 2 => {
                    it.words.insert(piece.clone());
                }
                None => {}
            }
        }
        it
    }

    /// One number and two names of the same place, or four names.
    fn agrees(&self, other: &Self) -> bool {
        let numbers = self.numbers.intersection(&other.numbers).count();
        let words = self.words.intersection(&other.words).count();
        numbers >= 1 && words >= 2 || words >= 4
    }
}

/// Words that addresses have in common whatever the place.
const STREETS: [&str; 26] = [
    "street", "road", "avenue", "lane", "floor", "room", "building", "block", "flat", "unit",
    "suite", "house", "tower", "plaza", "mansion", "village", "area", "box", "lu", "jie", "ulitsa",
    "rue", "strasse", "drive", "high", "address",
];

/// Numbers of registers in a field such as "CN, 91110000MA005UCQ5P, Registration ID": of at least eight
/// letters and digits, five of them digits.
pub(super) fn numbers_in(field: &str) -> Vec<String> {
    let parts = field.split([',', ';']).map(|part| -> String {
        part.chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_uppercase()
    });
    parts
        .filter(|it| it.len() >= 8 && it.bytes().filter(u8::is_ascii_digit).count() >= 5)
        .collect()
}
