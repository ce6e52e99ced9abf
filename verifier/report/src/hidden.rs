//! Characters that no reader sees, and that change how he reads the rest.

/// Tells whether a character moves a cursor, ends a line, turns the reading direction, or takes no room:
/// with it a text that others chose could pass for another. The two joiners (U+200C, U+200D) are not
/// among them, for names in several scripts are spelled with these.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
