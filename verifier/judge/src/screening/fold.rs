//! Folding: any script to pieces of lower-case ASCII.
//!
//! NFKC first, then Han by its table ([`han`]), everything else letter by letter (`any_ascii`). What
//! parts words is kept, for it says which single letters are initials.

use unicode_normalization::UnicodeNormalization as _;

use super::{
    forms,
    han::{self, Part},
    words,
};

/// What stands before a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing: the beginning, or the piece was cut from the one before it.
    Nothing,
    Space,
    Dot,
    Hyphen,
    /// Any other mark.
    Mark,
}

/// A word of a name, folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) before: Before,
    /// All its letters were capitals.
    pub(crate) capitals: bool,
    /// A legal form, by its script.
    pub(crate) form: bool,
    /// "No." stood before it.
    pub(crate) ordinal: bool,
}

/// Folds a text into pieces, in its order.
pub(crate) fn pieces(text: &str) -> Vec<Piece> {
    let mut fold = Fold::default();
    let chars: Vec<char> = text.nfkc().collect();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if han::is_han(c) {
            let run: String = chars
                .get(at..)
                .unwrap_or_default()
                .iter()
                .copied()
                .take_while(|c| han::is_han(*c))
                .collect();
            at += run.chars().count();
            fold.han(&run);
            continue;
        }
        at += 1;
        if is_apostrophe(c) {
            // A possessive says nothing; any other apostrophe is inside a word.
            let next = chars.get(at).copied();
            let ends = chars.get(at + 1).is_none_or(|c| !c.is_alphanumeric());
            if next.is_some_and(|c| c == 's' || c == 'S') && ends && fold.is_in_a_word() {
                at += 1;
            }
        } else if c.is_ascii() {
            fold.ascii(c);
        } else {
            any_ascii::any_ascii_char(c)
                .chars()
                .filter(|c| !is_apostrophe(*c))
                .for_each(|c| fold.ascii(c));
        }
    }
    fold.finish()
}

fn is_apostrophe(c: char) -> bool {
    matches!(
        c,
        '\'' | '’' | '‘' | 'ʼ' | '`' | '´' | 'ʹ' | 'ʿ' | 'ʾ' | 'ʻ' | '′'
    )
}

struct Fold {
    pieces: Vec<Piece>,
    current: String,
    before: Before,
    ordinal: bool,
}

impl Default for Fold {
    fn default() -> Self {
        Self {
            pieces: Vec::new(),
            current: String::new(),
            before: Before::Nothing,
            ordinal: false,
        }
    }
}

impl Fold {
    fn is_in_a_word(&self) -> bool {
        !self.current.is_empty()
    }

    fn ascii(&mut self, c: char) {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => self.current.push(c),
            '&' | '+' => self.word("and"),
            '%' => self.word("percent"),
            '.' => self.part(Before::Dot),
            '-' => self.part(Before::Hyphen),
            c if c.is_whitespace() => self.part(Before::Space),
            _ => self.part(Before::Mark),
        }
    }

    /// Ends a word. Of several marks the first counts, but that a dot with a space is a space.
    fn part(&mut self, before: Before) {
        let fresh = !self.current.is_empty();
        self.flush();
        self.before = match (fresh, self.before, before) {
            (true, _, before) => before,
            (false, Before::Dot | Before::Hyphen, before) => before,
            (false, Before::Nothing, before) if self.pieces.is_empty() => {
                let _ = before;
                Before::Nothing
            }
            (false, Before::Nothing, before) => before,
            (false, kept, _) => kept,
        };
    }

    /// A word that stands for a sign.
    fn word(&mut self, word: &str) {
        self.part(Before::Mark);
        self.current.push_str(word);
        self.part(Before::Mark);
    }

    fn flush(&mut self) {
        if self.current.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.current);
        let before = std::mem::replace(&mut self.before, Before::Nothing);
        match camel(&word) {
            Some(cut) => {
                let (head, tail) = word.split_at(cut);
                self.push(head, before);
                self.push(tail, Before::Nothing);
            }
            None => self.push(&word, before),
        }
    }

    fn push(&mut self, word: &str, before: Before) {
        let letters = word.bytes().any(|b| b.is_ascii_alphabetic());
        self.pieces.push(Piece {
            text: word.to_ascii_lowercase(),
            before,
            capitals: letters && !word.bytes().any(|b| b.is_ascii_lowercase()),
            form: false,
            ordinal: std::mem::take(&mut self.ordinal),
        });
    }

    fn han(&mut self, run: &str) {
        self.part(Before::Space);
        for part in han::read(run) {
            let text = match part {
                Part::Ordinal => {
                    self.ordinal = true;
                    continue;
                }
                Part::Form => {
                    self.push("co", Before::Space);
                    if let Some(last) = self.pieces.last_mut() {
                        last.form = true;
                    }
                    continue;
                }
                Part::Words(words) => words.to_owned(),
                Part::Number(number) => {
                    self.ordinal = true;
                    number.to_string()
                }
                Part::Pinyin(pinyin) => pinyin,
            };
            for word in text.split(' ') {
                // Of a few signs that count as Han no reading is known but a stroke.
                if word.bytes().all(|b| b.is_ascii_alphanumeric()) && !word.is_empty() {
                    self.push(word, Before::Space);
                }
            }
        }
        self.before = Before::Space;
    }

    fn finish(mut self) -> Vec<Piece> {
        self.flush();
        let pieces = joined(self.pieces, |before| before == Before::Dot);
        let pieces = joined(pieces, |before| before == Before::Space);
        with_prefixes(pieces)
    }
}

/// Where a word such as `SiemensAG` or `ZJLab` parts: where a capital follows a small letter or begins a
/// capitalised word, and what follows is a legal form or a word of the table.
fn camel(word: &str) -> Option<usize> {
    let bytes = word.as_bytes();
    (2..word.len().saturating_sub(1)).rev().find(|&at| {
        let upper = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_uppercase);
        let lower = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_lowercase);
        let cut = upper(at) && (lower(at - 1) || upper(at - 1) && lower(at + 1));
        cut && word.get(at..).is_some_and(|tail| {
            let tail = tail.to_ascii_lowercase();
            forms::look_up(&tail).is_some() || tail.len() >= 3 && words::look_up(&tail).is_some()
        })
    })
}

/// Joins runs of single letters that are parted as `of` says: "A.B.C.", "J S C".
fn joined(pieces: Vec<Piece>, of: impl Fn(Before) -> bool) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::with_capacity(pieces.len());
    // How many single letters the last piece was made of; 0 when it is no such run.
    let mut run = 0;
    for piece in pieces {
        let single = piece.text.len() == 1 && piece.text.bytes().all(|b| b.is_ascii_alphabetic());
        match out.last_mut() {
            Some(last) if single && run > 0 && of(piece.before) => {
                last.text.push_str(&piece.text);
                last.capitals &= piece.capitals;
                run += 1;
            }
            _ => {
                run = usize::from(single);
                out.push(piece);
            }
        }
    }
    out
}

/// Joins "co-operation" and its like: a company has no hyphen behind it.
fn with_prefixes(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match out.last_mut() {
            Some(last)
                if last.text == "co" && piece.before == Before::Hyphen && piece.text.len() > 3 =>
            {
                last.text.push_str(&piece.text);
            }
            _ => out.push(piece),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let texts: Vec<String> = pieces(text).into_iter().map(|it| it.text).collect();
        texts.join(" ")
    }

    #[test]
    fn any_script_becomes_words_of_small_ascii_letters() {
        for (text, words) in [
            ("Société Générale", "societe generale"),
            ("ООО «Газпром»", "ooo gazprom"),
            ("ООО\"БАЗО\"", "ooo bazo"),
            ("ＡＢＣ　Ｃｏ．", "abc co"),
            ("Ελληνική", "elliniki"),
            ("四川大学", "sichuan university"),
            ("々", ""),
            ("Finanzgruppe Groß & Söhne", "finanzgruppe gross and sohne"),
            ("№ 5", "no 5"),
            ("", ""),
            ("«»", ""),
        ] {
            assert_eq!(folded(text), words, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_was_folded_folds_to_itself(text in "\\PC{0,40}") {
            for piece in pieces(&text) {
                proptest::prop_assert_eq!(folded(&piece.text), piece.text);
            }
        }
    }

    #[test]
    fn initials_are_joined_and_possessives_left_out() {
        for (text, words) in [
            ("A.B.C. Company", "abc company"),
            ("G.m.b.H.", "gmbh"),
            ("Oboronnye Initsiativy o.O.O.", "oboronnye initsiativy ooo"),
            ("J S C Dux", "jsc dux"),
            ("Fund I, L.P.", "fund i lp"),
            ("L & H Sweden", "l and h sweden"),
            ("Deutsche Bank's AG", "deutsche bank ag"),
            ("Al-Qa'ida", "al qaida"),
            ("Xi'an", "xian"),
            ("Co-operation", "cooperation"),
            ("SiemensAG", "siemens ag"),
            ("ZJLab", "zj lab"),
            ("McKesson", "mckesson"),
            ("2007-1", "2007 1"),
        ] {
            assert_eq!(folded(text), words, "{text}");
        }
    }
}
