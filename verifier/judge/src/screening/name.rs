//! A name as it is compared: tokens, with what each tells; legal forms apart.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    fold::{self, Before, Piece},
    forms::{self, Form, Standing},
    number, pinyin,
    words::{self, MAX_PHRASE, Sort},
};

/// Most words of a name that are compared. The longest names on the lists of July 2026 have some 40;
/// what comes after counts for equality only.
pub const MAX_TOKENS: usize = 64;

/// Most characters of one name. The longest on those lists has some 300; with 64 tokens a pairing is
/// a few thousand comparisons.
pub const MAX_CHARS: usize = 1_024;

/// One word of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Folded, in the table's spelling where the table has it.
    pub text: Box<str>,
    /// What sort of word it is.
    pub sort: Sort,
    /// What it tells, in thousandths of a name of its own.
    pub weight: u32,
    #[serde(skip)]
    pub(crate) group: Option<&'static str>,
    /// As it stood, folded: numbers by how they were written.
    #[serde(skip)]
    pub(crate) written: Box<str>,
    /// A number that ranks one of many.
    #[serde(skip)]
    pub(crate) ordinal: bool,
    /// A city that firms carry in front, or leave out.
    #[serde(skip)]
    pub(crate) front: bool,
    /// First letters of its syllables, where it is pinyin of at least two.
    #[serde(skip)]
    pub(crate) initials: Option<Box<str>>,
    #[serde(skip)]
    pub(crate) pinyin: bool,
}

/// A name, read. Made by [`Name::read`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    tokens: Vec<Token>,
    forms: BTreeSet<Form>,
    key: Box<str>,
    whole: Box<str>,
    /// First letters of every word, and whether an acronym may leave it out.
    letters: Vec<(u8, bool)>,
}

impl Name {
    /// Reads a name in any script; `None` when nothing of it can be compared.
    pub fn read(text: &str) -> Option<Self> {
        let bounded: String = text.chars().take(MAX_CHARS).collect();
        let pieces = fold::pieces(&bounded);
        let marked = legal_forms(&pieces);
        let kept = |marked: &[Option<Form>]| -> Vec<Piece> {
            let pairs = pieces.iter().zip(marked);
            pairs
                .filter(|(_, form)| form.is_none())
                .map(|(piece, _)| piece.clone())
                .collect()
        };
        let mut left = kept(&marked);
        if left.is_empty() {
            left.clone_from(&pieces);
        }
        let mut tokens = tokens(&left, true);
        if tokens.is_empty() {
            tokens = self::tokens(&left, false);
        }
        if tokens.is_empty() {
            return None;
        }
        let key: String = tokens.iter().map(|it| it.text.as_ref()).collect();
        let whole: String = left.iter().map(|it| it.text.as_str()).collect();
        let letters = letters(&pieces, &marked);
        tokens.truncate(MAX_TOKENS);
        Some(Self {
            tokens,
            forms: marked.into_iter().flatten().collect(),
            key: key.replace(' ', "").into(),
            whole: whole.into(),
            letters,
        })
    }

    /// The words that are compared, at least one.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// All words without what parts them: two names with one key are the same name.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The same with stop words, as they were written: "van der Bilt" is "Vanderbilt".
    pub(crate) fn whole(&self) -> &str {
        &self.whole
    }

    /// What all tokens weigh.
    pub(crate) fn weight(&self) -> u32 {
        self.tokens.iter().map(|it| it.weight).sum()
    }

    pub(crate) fn tokens_mut(&mut self) -> &mut [Token] {
        &mut self.tokens
    }

    /// Whether the legal forms of both cannot be those of one organisation.
    pub(crate) fn forms_contradict(&self, other: &Self) -> bool {
        let both = |one: &Form| other.forms.iter().any(|it| one.contradicts(*it));
        self.forms.intersection(&other.forms).next().is_none() && self.forms.iter().any(both)
    }

    /// First letters of all words, legal forms and stop words among them; the flag says that an acronym
    /// may leave one out.
    pub(crate) fn letters(&self) -> &[(u8, bool)] {
        &self.letters
    }
}

/// Which pieces are of a legal form.
fn legal_forms(pieces: &[Piece]) -> Vec<Option<Form>> {
    let mut marked: Vec<Option<Form>> = pieces
        .iter()
        .map(|it| it.form.then_some(Form::UNIVERSAL))
        .collect();
    let mut at = 0;
    while at < pieces.len() {
        let found = form_at(pieces, &marked, at, |_, standing| {
            standing == Standing::Anywhere
        });
        at += mark(&mut marked, at, found).max(1);
    }
    // At the ends, also what elsewhere is a word.
    while let Some(last) = marked.iter().rposition(Option::is_none) {
        let from = last.saturating_sub(forms::MAX_WORDS - 1);
        let found = (from..=last).find_map(|at| {
            let found = form_at(pieces, &marked, at, |_, _| true)?;
            (at + found.1 == last + 1).then_some((at, found))
        });
        let Some((at, found)) = found else { break };
        mark(&mut marked, at, Some(found));
    }
    while let Some(first) = marked.iter().position(Option::is_none) {
        let found = form_at(pieces, &marked, first, |phrase, _| forms::may_lead(phrase));
        if mark(&mut marked, first, found) == 0 {
            break;
        }
    }
    marked
}

fn mark(marked: &mut [Option<Form>], at: usize, found: Option<(Form, usize)>) -> usize {
    let Some((form, length)) = found else {
        return 0;
    };
    let range = marked.get_mut(at..at + length).unwrap_or_default();
    range.iter_mut().for_each(|it| *it = Some(form));
    length
}

/// The longest form that begins at a place where no other was found.
fn form_at(
    pieces: &[Piece],
    marked: &[Option<Form>],
    at: usize,
    allowed: impl Fn(&str, Standing) -> bool,
) -> Option<(Form, usize)> {
    let free = marked
        .get(at..)?
        .iter()
        .take_while(|it| it.is_none())
        .count();
    (1..=free.min(forms::MAX_WORDS)).rev().find_map(|length| {
        let run = pieces.get(at..at + length)?;
        let mut phrase = phrase(run);
        let mut found = forms::look_up(&phrase);
        if found.is_none() && length > 1 {
            let words: Vec<&str> = run.iter().map(|it| forms::corrected(&it.text)).collect();
            phrase = words.join(" ");
            found = forms::look_up(&phrase);
        }
        let (form, standing) = found?;
        allowed(&phrase, standing).then_some((form, length))
    })
}

fn phrase(pieces: &[Piece]) -> String {
    let texts: Vec<&str> = pieces.iter().map(|it| it.text.as_str()).collect();
    texts.join(" ")
}

fn tokens(pieces: &[Piece], without_stops: bool) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(pieces.len());
    let (mut at, mut ordinal) = (0, false);
    while let Some(piece) = pieces.get(at) {
        let ordinal_now = std::mem::take(&mut ordinal) || piece.ordinal;
        if let Some((token, length)) = number_at(pieces, at, ordinal_now) {
            tokens.push(token);
            at += length;
            continue;
        }
        let longest = MAX_PHRASE.min(pieces.len() - at);
        let known = (1..=longest).rev().find_map(|length| {
            let phrase = phrase(pieces.get(at..at + length)?);
            Some((words::look_up(&phrase)?, length))
        });
        match known {
            Some((word, length)) if word.sort == Sort::Stop && without_stops => {
                // A single letter is a conjunction only between words.
                let inside = at > 0 && at + 1 < pieces.len();
                if piece.text.len() == 1 && !inside {
                    tokens.push(own(piece));
                } else {
                    ordinal = word.text == "no";
                }
                at += length;
            }
            Some((word, length)) => {
                tokens.push(known_token(word, &piece.text));
                at += length;
            }
            None => {
                match words::look_up_misspelt(&piece.text) {
                    Some(word) => tokens.push(known_token(word, &piece.text)),
                    None => tokens.push(own(piece)),
                }
                at += 1;
            }
        }
    }
    tokens
}

fn known_token(word: words::Word, written: &str) -> Token {
    Token {
        text: word.text.into(),
        sort: word.sort,
        weight: word.sort.weight(),
        group: word.group,
        written: written.into(),
        ordinal: false,
        front: word.front,
        initials: initials(word.text),
        pinyin: word.sort == Sort::Place && pinyin::syllables(word.text).is_some(),
    }
}

/// First letters of a phrase, or of the syllables of a word.
fn initials(text: &str) -> Option<Box<str>> {
    if text.contains(' ') {
        let words = text.split(' ').filter_map(|it| it.chars().next());
        return Some(words.collect::<String>().into());
    }
    pinyin::initials(text).map(Into::into)
}

fn own(piece: &Piece) -> Token {
    let text = pinyin::plain(&piece.text).unwrap_or_else(|| piece.text.clone());
    let is_pinyin = pinyin::syllables(&text).is_some();
    // A single letter is an initial of something that is not known.
    let weight = if text.len() == 1 {
        Sort::Own.weight() / 2
    } else {
        Sort::Own.weight()
    };
    Token {
        initials: pinyin::initials(&text).map(Into::into),
        text: text.into(),
        sort: Sort::Own,
        weight,
        group: None,
        written: piece.text.as_str().into(),
        ordinal: false,
        front: false,
        pinyin: is_pinyin,
    }
}

/// A number at a place: in digits or words anywhere; Roman where it is written in capitals and has
/// more than one letter, or stands at the end of a name.
fn number_at(pieces: &[Piece], at: usize, ordinal: bool) -> Option<(Token, usize)> {
    let piece = pieces.get(at)?;
    let next = pieces
        .get(at + 1)
        .filter(|it| matches!(it.before, Before::Space | Before::Hyphen));
    let found = number::read(&piece.text, next.map(|it| it.text.as_str()));
    let (value, ordinal, words) = match found {
        Some(it) => (it.value, it.ordinal || ordinal, it.words),
        None => {
            let last = at > 0 && at + 1 == pieces.len();
            let sure = piece.capitals || piece.text.starts_with("ii");
            let fits = sure && (piece.text.len() > 1 || last) && at > 0;
            let value = number::roman(&piece.text).filter(|_| fits || ordinal)?;
            (value, ordinal, 1)
        }
    };
    let weight = Sort::Number.weight() * if ordinal { 2 } else { 1 };
    let token = Token {
        text: value.to_string().into(),
        sort: Sort::Number,
        weight,
        group: None,
        written: piece.text.as_str().into(),
        ordinal,
        front: false,
        initials: None,
        pinyin: false,
    };
    Some((token, words))
}

fn letters(pieces: &[Piece], marked: &[Option<Form>]) -> Vec<(u8, bool)> {
    let pairs = pieces.iter().zip(marked).take(MAX_TOKENS);
    let letter = |(piece, form): (&Piece, &Option<Form>)| {
        let first = piece.text.bytes().next()?;
        let word = words::look_up(&piece.text);
        let skipped = word.is_some_and(|it| it.sort == Sort::Stop || it.group == Some("company"));
        Some((first, form.is_some() || skipped))
    };
    pairs.filter_map(letter).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(text: &str) -> String {
        let name = Name::read(text).unwrap();
        let texts: Vec<&str> = name.tokens().iter().map(|it| it.text.as_ref()).collect();
        texts.join("|")
    }

    #[test]
    fn legal_forms_stop_words_and_spellings_do_not_make_another_name() {
        for (one, other) in [
            ("OAO Gazprom", "Open Joint Stock Company Gazprom"),
            (
                "JSC TACTICAL MISSILES CORP.",
                "TACTICAL MISSILES CORPORATION JOINT STOCK COMPANY",
            ),
            (
                "SRL PRO TRAFFIC",
                "Societatea cu Răspundere Limitată PRO TRAFFIC",
            ),
            ("The Univ. of Example", "University of Example"),
            ("FABERLIC EUROPE Sp. z o.o.", "Faberlic Europe"),
            ("1st International Bank", "First International Bank"),
            ("Brigade Fourty-four", "Brigade 44"),
            ("P.T. Astra International", "PT Astra International"),
            ("JPMorgan Chase & Co.", "JPMorgan Chase and Co."),
            ("四川大学", "Sichuan University"),
            ("Peking Univ", "北京大学"),
            ("Lvneng Keji Youxian Gongsi", "Luneng Technology Co., Ltd."),
        ] {
            assert_eq!(key(one), key(other), "{one} / {other}");
        }
    }

    #[test]
    fn a_name_that_is_only_a_form_or_a_stop_word_is_still_a_name() {
        assert_eq!(key("The Of"), "the|of");
        assert_eq!(key("LLC"), "llc");
        assert_eq!(Name::read(" .,- "), None);
        assert_eq!(Name::read(""), None);
    }
}
