//! Text that others chose, made harmless for a page.

use std::fmt;

/// Writes text so that a browser shows it and never acts on it: markup is escaped, and control
/// characters and those that turn the reading direction are shown as replacement characters.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    f.write_char('\u{fffd}')?;
                }
                c if c.is_control() => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_direction_marks_are_shown_not_obeyed() {
        let shown = Text("<b onclick='x'>&\"\u{202e}\n深圳大学").to_string();
        assert_eq!(
            shown,
            "&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;\u{fffd}\u{fffd}深圳大学"
        );
    }
}
