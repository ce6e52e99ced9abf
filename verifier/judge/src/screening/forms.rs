//! Legal forms: what they are left out as, and which contradict each other. `forms.csv` beside this crate.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use super::words::{is_one_slip, rows};

/// Most words of a form as it is written.
pub(crate) const MAX_WORDS: usize = 9;

/// The family whose forms contradict nothing: translations and forms that many countries have.
const ANY: &str = "any";

/// Forms that some countries write in front of the name, and that mean nothing else there.
const LEADING: [&str; 4] = ["pt", "ab", "oy", "pat"];

/// A legal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Form {
    family: &'static str,
    code: &'static str,
}

impl Form {
    /// A form of no particular country.
    pub(crate) const UNIVERSAL: Self = Self {
        family: ANY,
        code: "co",
    };

    /// Whether both cannot be the form of one organisation: different ones of one country.
    pub(crate) fn contradicts(self, other: Self) -> bool {
        self.family != ANY && self.family == other.family && self.code != other.code
    }
}

/// Where a form may stand to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Anywhere,
    AtTheEnd,
}

/// Looks a phrase up.
pub(crate) fn look_up(phrase: &str) -> Option<(Form, Standing)> {
    table().get(phrase).copied()
}

/// The word of a form that `word` is a slip of or that was cut off in it: "joynt", "compan". Of at least
/// five letters; only in a form of several words is it taken for one.
pub(crate) fn corrected(word: &str) -> &str {
    static WORDS: OnceLock<BTreeSet<&'static str>> = OnceLock::new();
    let words = WORDS.get_or_init(|| {
        let several = table().keys().filter(|it| it.contains(' '));
        several
            .flat_map(|it| it.split(' '))
            .filter(|it| it.len() >= 5)
            .collect()
    });
    if word.len() < 5 || words.contains(word) {
        return word;
    }
    let first = word.get(..1);
    let near =
        |it: &&&'static str| it.get(..1) == first && is_one_slip(it.as_bytes(), word.as_bytes());
    words.iter().find(near).copied().unwrap_or(word)
}

/// Whether a form that stands at ends only may stand in front as well.
pub(crate) fn may_lead(phrase: &str) -> bool {
    LEADING.contains(&phrase)
}

fn table() -> &'static BTreeMap<&'static str, (Form, Standing)> {
    static TABLE: OnceLock<BTreeMap<&'static str, (Form, Standing)>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = BTreeMap::new();
        for line in rows(include_str!("../../screening/forms.csv")) {
            let mut fields = line.splitn(3, ',');
            let (Some(family), Some(code), Some(phrases)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            for phrase in phrases.split(';') {
                let (phrase, standing) = match phrase.strip_prefix('*') {
                    Some(phrase) => (phrase, Standing::Anywhere),
                    None => (phrase, Standing::AtTheEnd),
                };
                // The first line that has a phrase counts: universal forms stand before others.
                let form = (Form { family, code }, standing);
                table.entry(phrase).or_insert(form);
            }
        }
        table
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_and_forms_of_one_country_contradict_each_other() {
        for line in rows(include_str!("../../screening/forms.csv")) {
            assert_eq!(line.split(',').count(), 3, "{line}");
        }
        assert!(table().keys().all(|it| it.split(' ').count() <= MAX_WORDS));
        let form = |phrase| look_up(phrase).unwrap().0;
        assert!(form("sas").contradicts(form("sarl")));
        assert!(!form("gmbh").contradicts(form("sarl")));
        assert!(!form("limited").contradicts(form("joint stock company")));
        assert!(!form("gmbh").contradicts(form("gesellschaft mit beschrankter haftung")));
    }
}
