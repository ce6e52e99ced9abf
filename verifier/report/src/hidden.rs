//! Characters that no reader sees, and that change how he reads the rest.

/// Tells whether a character moves a cursor, ends a line, turns the reading direction, or takes no room:
/// with it a text that others chose could pass for another. The two joiners (U+200C, U+200D) are not
/// among them, for names in several scripts are spelled with these.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // A hyphen that may never show, marks of direction, a vowel separator of no width.
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            // Tags: a second text inside of one.
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_hidden_and_what_scripts_are_spelled_with_is_not() {
        let hidden = "\u{1b}\u{85}\u{ad}\u{61c}\u{180e}\u{200b}\u{200f}\u{202e}\u{2060}\u{2066}\u{feff}\u{e0001}\u{e007f}";
        assert_eq!(hidden.chars().find(|c| !is_hidden(*c)), None);
        let seen = "Aé\u{301} \u{3000}\u{200c}\u{200d}شر公\u{fe0f}\u{e0100}";
        assert_eq!(seen.chars().find(|c| is_hidden(*c)), None);
    }
}
