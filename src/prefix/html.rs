//! How is a text written into an attribute of HTML?

use std::fmt::{self, Write as _};

/// A text between double or single quotes.
pub(super) struct Attribute<'t>(pub(super) &'t str);

impl fmt::Display for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes() {
        for (name, text, expected) in [
            ("nothing", "", ""),
            ("plain", "/static/v1/a.js", "/static/v1/a.js"),
            ("markup", "<\"&'>", "&lt;&quot;&amp;&#39;&gt;"),
            ("a reference is text", "&amp;", "&amp;amp;"),
            ("non-ASCII", "ü", "ü"),
        ] {
            assert_eq!(Attribute(text).to_string(), expected, "{name}");
        }
    }
}
