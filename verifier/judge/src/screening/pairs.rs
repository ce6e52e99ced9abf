//! Labelled pairs of names: how well names are told apart, measured.

use serde::Serialize;

use super::{
    align::Pair,
    class::Class,
    import::{
        Fault, ImportError, Kind, Place,
        sheet::{Columns, Sheet},
    },
    index,
};

const KIND: Kind = Kind::Pairs;

/// Two names, and whether somebody says that they are one organisation's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelledPair {
    /// The name that is asked for.
    pub name1: String,
    /// The name that could be on a list.
    pub name2: String,
    /// The label.
    pub is_match: bool,
}

/// Reads a CSV with the columns `name1`, `name2` and `is_match` (true or false), in any order; other
/// columns are for people.
///
/// # Errors
/// As the importers of lists.
pub fn read_pairs(bytes: &[u8]) -> Result<Vec<LabelledPair>, ImportError> {
    let mut sheet = Sheet::new(KIND, bytes)?;
    let columns = Columns::read(&mut sheet)?;
    let name1 = columns.need(KIND, &["name1"])?;
    let name2 = columns.need(KIND, &["name2"])?;
    let label = columns.need(KIND, &["is_match"])?;
    let mut pairs = Vec::new();
    while let Some(row) = sheet.row()? {
        columns.check(KIND, &row)?;
        let field = |at: usize| row.fields.get(at).map_or("", |it| it.trim());
        let is_match = match field(label).to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => true,
            "false" | "0" | "no" => false,
            other => {
                let value = other.chars().take(40).collect();
                let place = Place::column(row.line, "is_match");
                return Err(ImportError::new(KIND, place, Fault::NoLabel { value }));
            }
        };
        pairs.push(LabelledPair {
            name1: field(name1).to_owned(),
            name2: field(name2).to_owned(),
            is_match,
        });
    }
    if pairs.is_empty() {
        return Err(ImportError::new(KIND, Place::default(), Fault::Empty));
    }
    Ok(pairs)
}

/// A labelled pair, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// The pair.
    #[serde(flatten)]
    pub pair: LabelledPair,
    /// How near its names are; `None` for not at all.
    pub class: Option<Class>,
    /// Words that stand for each other.
    pub tokens: Vec<Pair>,
}

impl Judged {
    /// Judges a pair at the one setting that there is.
    pub fn of(pair: LabelledPair) -> Self {
        let found = index::compare(&pair.name1, &pair.name2);
        let (class, tokens) = found.map_or((None, Vec::new()), |it| (Some(it.0), it.1));
        Self {
            pair,
            class,
            tokens,
        }
    }

    /// Whether it counts as a match: exact, strong and possible do.
    pub fn is_match(&self) -> bool {
        self.class.is_some_and(Class::is_match)
    }
}

/// How labels and classes agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// Labelled a match, and found one.
    pub true_positives: u64,
    /// Labelled none, and found one.
    pub false_positives: u64,
    /// Labelled a match, and not found.
    pub false_negatives: u64,
    /// Labelled none, and not found.
    pub true_negatives: u64,
}

impl Score {
    /// Counts pairs that were judged.
    pub fn of<'a>(judged: impl IntoIterator<Item = &'a Judged>) -> Self {
        let mut score = Self::default();
        for it in judged {
            let count = match (it.pair.is_match, it.is_match()) {
                (true, true) => &mut score.true_positives,
                (false, true) => &mut score.false_positives,
                (true, false) => &mut score.false_negatives,
                (false, false) => &mut score.true_negatives,
            };
            *count += 1;
        }
        score
    }

    /// Share of what was found that is labelled so; `None` when nothing was found.
    pub fn precision(&self) -> Option<f64> {
        share(self.true_positives, self.false_positives)
    }

    /// Share of what is labelled so that was found; `None` when nothing is labelled so.
    pub fn recall(&self) -> Option<f64> {
        share(self.true_positives, self.false_negatives)
    }

    /// The harmonic mean of both.
    pub fn f1(&self) -> Option<f64> {
        let (precision, recall) = (self.precision()?, self.recall()?);
        let sum = precision + recall;
        Some(if sum > 0.0 {
            2.0 * precision * recall / sum
        } else {
            0.0
        })
    }
}

fn share(part: u64, rest: u64) -> Option<f64> {
    let count = |it: u64| u32::try_from(it).unwrap_or(u32::MAX);
    let (part, all) = (count(part), count(part.saturating_add(rest)));
    (all > 0).then(|| f64::from(part) / f64::from(all))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_by_column_names_and_counted() {
        let file = "note,is_match,name2,name1\nx,true,Example Ltd,Example Limited\n,false,Other,Example\n,true,Other,Example\n";
        let judged: Vec<Judged> = read_pairs(file.as_bytes())
            .unwrap()
            .into_iter()
            .map(Judged::of)
            .collect();
        let score = Score::of(&judged);
        assert_eq!(
            (
                score.true_positives,
                score.false_negatives,
                score.true_negatives
            ),
            (1, 1, 1)
        );
        assert_eq!((score.precision(), score.recall()), (Some(1.0), Some(0.5)));
        assert_eq!(Score::default().f1(), None);
    }

    #[test]
    fn a_label_that_is_none_is_refused_with_its_place() {
        let error = read_pairs(b"name1,name2,is_match\na,b,maybe\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "labelled pairs (CSV), line 2, column is_match: `maybe` is neither true nor false; label each pair true or false"
        );
        let error = read_pairs(b"name1,is_match\na,true\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "labelled pairs (CSV), line 1: there is no column `name2`; give the file as its source publishes it, with its header"
        );
    }
}
