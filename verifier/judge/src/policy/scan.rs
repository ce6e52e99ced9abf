//! A look at the tokens of a policy file before Cedar reads it: how deep and how long each is.
//!
//! Cedar's parser and evaluator recurse, and tell by the room left on the stack when to give up. A
//! verdict must not depend on that, so what could come near is refused by its text alone.

/// Most policies of a pack. The default pack has some twenty.
pub(super) const MAX_POLICIES: usize = 256;
/// Most tokens of one policy, a string being one. Each operator nests what follows by one level at
/// most, so that none is deeper than 256: some 256 KiB of stack, where threads have 2 MiB.
pub(super) const MAX_TOKENS: usize = 512;
/// Most brackets in one another; each is some fifteen calls of the parser.
pub(super) const MAX_DEPTH: usize = 24;

/// One policy of a file: the text up to its semicolon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Statement {
    /// Byte offset of its first token.
    pub(super) start: usize,
    pub(super) tokens: usize,
    pub(super) depth: usize,
    /// Words of it that stand in no string.
    pub(super) words: Vec<String>,
}

/// Line and column of a byte offset, from 1; columns count characters.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before: String = text
        .char_indices()
        .take_while(|(at, _)| *at < offset)
        .map(|(_, c)| c)
        .collect();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

/// Parts a text of Cedar at its semicolons; strings and comments are read as Cedar reads them.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let mut all = Vec::new();
    let mut current: Option<Statement> = None;
    let mut depth = 0_usize;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        if c == '/' && chars.peek().is_some_and(|(_, next)| *next == '/') {
            while chars.next_if(|(_, c)| *c != '\n' && *c != '\r').is_some() {}
            continue;
        }
        let statement = current.get_or_insert_with(|| Statement {
            start: at,
            ..Default::default()
        });
        statement.tokens += 1;
        match c {
            '"' => {
                while let Some((_, c)) = chars.next() {
                    match c {
                        '\\' => {
                            chars.next();
                        }
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '(' | '[' | '{' => {
                depth += 1;
                statement.depth = statement.depth.max(depth);
            }
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ';' => {
                depth = 0;
                all.extend(current.take());
            }
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = String::from(c);
                let joins = |(_, c): &(usize, char)| c.is_alphanumeric() || *c == '_';
                while let Some((_, c)) = chars.next_if(joins) {
                    word.push(c);
                }
                statement.words.push(word);
            }
            _ => {}
        }
    }
    all.extend(current);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_and_brackets_in_strings_and_comments_count_for_nothing() {
        let text = "@says(\"a; (b \\\" ;\")\n// ; ((\nforbid(principal); \r\n  permit();";
        let found = statements(text);
        let shape: Vec<_> = found.iter().map(|s| (s.tokens, s.depth)).collect();
        assert_eq!(shape, [(10, 1), (4, 1)]);
        let second = found.get(1).map(|s| place(text, s.start));
        assert_eq!(second, Some((4, 3)));
    }

    #[test]
    fn an_open_string_or_a_missing_semicolon_ends_with_the_text() {
        assert_eq!(statements("forbid \"").len(), 1);
        assert_eq!(statements("forbid \"\\").len(), 1);
        assert_eq!(statements(" // nothing").len(), 0);
    }

    #[test]
    fn columns_count_characters_and_not_bytes() {
        assert_eq!(place("é\néé x", "é\néé ".len()), (2, 4));
        assert_eq!(place("abc", 99), (1, 4));
    }
}
