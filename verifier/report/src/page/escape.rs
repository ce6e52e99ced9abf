//! Text that others chose, made harmless for a page.

use std::fmt;

use crate::hidden::is_hidden;

/// Writes text so that a browser shows it and never acts on it: markup is escaped, and what no reader
/// sees is shown as replacement characters.
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
                c if is_hidden(c) => f.write_char('\u{fffd}')?,
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
        let shown = Text("<b onclick='x'>&\"\u{202e}\n\u{2028}\u{200b}深圳大学").to_string();
        assert_eq!(
            shown,
            "&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;\u{fffd}\u{fffd}\u{fffd}\u{fffd}深圳大学"
        );
        assert_eq!(Text("می\u{200c}روم").to_string(), "می\u{200c}روم");
    }
}
