//! From a pairing to a class.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    align::{self, Alignment},
    name::{Name, Token},
    similar,
    words::Sort,
};

/// How near a name is to one on a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A unit of it, or it is a unit of: one name stands whole inside the other.
    Context,
    /// Somebody has to look.
    Possible,
    /// The same but for order, spelling or a word that tells little.
    Strong,
    /// The same, written another way.
    Exact,
}

impl Class {
    /// Spells the class as tables and reports do.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Possible => "possible",
            Self::Strong => "strong",
            Self::Exact => "exact",
        }
    }

    /// Whether it says that both may be one organisation; a context does not.
    pub const fn is_match(self) -> bool {
        !matches!(self, Self::Context)
    }
}

/// A text that names no class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a class of hits: exact, strong, possible or context")]
pub struct NotAClass;

impl FromStr for Class {
    type Err = NotAClass;

    fn from_str(text: &str) -> Result<Self, NotAClass> {
        let all = [Self::Exact, Self::Strong, Self::Possible, Self::Context];
        let named = all.into_iter().find(|class| class.as_str() == text);
        named.ok_or(NotAClass)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// From here on a pairing is possible; thousandths of what both names weigh together.
const POSSIBLE: u64 = 815;
/// The same, where no word is a name of its own: one general word more makes another institution.
const POSSIBLE_IF_GENERAL: u64 = 880;
/// From here on it is strong.
const STRONG: u64 = 930;
const STRONG_IF_GENERAL: u64 = 950;
/// What has to be paired at least, in thousandths of a name of its own.
const ENOUGH: u64 = 500;
/// What a word costs that only the list has, in thousandths of what one costs that was asked for: lists
/// spell names out.
const LISTED_ALONE: u64 = 800;
/// What it costs that legal forms contradict each other.
const OTHER_FORM: u64 = 150;
/// What a contained name has to weigh.
const CONTAINED: u32 = 550;

/// Judges two names that were read.
pub(crate) fn judge(asked: &Name, listed: &Name) -> Option<(Class, Alignment)> {
    let mut alignment = align::align(asked, listed);
    if asked.key() == listed.key() || asked.whole() == listed.whole() {
        if !alignment.asked_whole {
            alignment = align::as_one_word(asked, listed);
        }
        return Some((Class::Exact, alignment));
    }
    if !alignment.numbers_differ
        && let Some(class) = by_weight(&alignment, asked.forms_contradict(listed))
    {
        return Some((class, alignment));
    }
    is_context(asked, listed, &alignment).then_some((Class::Context, alignment))
}

fn by_weight(it: &Alignment, other_form: bool) -> Option<Class> {
    if it.matched < ENOUGH * 1_000 {
        return None;
    }
    let form = if other_form { OTHER_FORM * 1_000 } else { 0 };
    let against = it.lost + it.asked_alone + it.listed_alone * LISTED_ALONE / 1_000 + form;
    let share = it.matched * 1_000 / (it.matched + against).max(1);
    let general = it.telling() == 0;
    let (possible, strong) = if general {
        (POSSIBLE_IF_GENERAL, STRONG_IF_GENERAL)
    } else {
        (POSSIBLE, STRONG)
    };
    if share >= strong && !it.series_differ {
        Some(Class::Strong)
    } else {
        (share >= possible).then_some(Class::Possible)
    }
}

/// Whether one name stands whole inside the other.
fn is_context(asked: &Name, listed: &Name, alignment: &Alignment) -> bool {
    let (a, b) = (asked.tokens(), listed.tokens());
    let whole = if a.len() < b.len() {
        alignment.asked_whole
    } else {
        alignment.listed_whole
    };
    let (inner, outer) = if a.len() < b.len() { (a, b) } else { (b, a) };
    // "X Group" is whole where X is.
    let is_group = |it: &Token| it.group == Some("company");
    let inner = match inner.split_last() {
        Some((last, rest)) if is_group(last) && !rest.is_empty() => rest,
        _ => inner,
    };
    if inner.len() >= outer.len() || !tells_enough(inner) {
        return false;
    }
    let stands_in = outer.windows(inner.len()).any(|window| {
        window
            .iter()
            .zip(inner)
            .all(|(x, y)| similar::alike(x, y) == 1_000)
    });
    // In another order or with words between, only a name of its own says so.
    stands_in
        || whole && alignment.lost == 0 && alignment.telling() >= 800 && !alignment.numbers_differ
}

/// Whether words name an organisation, and not only a city or a trade.
pub(crate) fn tells_enough(words: &[Token]) -> bool {
    let weight: u32 = words.iter().map(|it| it.weight).sum();
    let has = |sorts: &[Sort]| words.iter().any(|it| sorts.contains(&it.sort));
    match words {
        [] => false,
        [word] => word.sort == Sort::Own && word.weight >= 800 && word.text.len() >= 4,
        _ if weight < CONTAINED => false,
        _ => {
            has(&[Sort::Own])
                || has(&[Sort::Body])
                || has(&[Sort::Place, Sort::Land]) && has(&[Sort::Trade])
        }
    }
}
