//! Does a style sheet have a link that leaves the tree? Under a version, which is a segment
//! more, such a link leads elsewhere.

/// A longer link, in bytes, is data.
const LONGEST: usize = 1024;

/// Finds a relative link that climbs out of the tree, while the style sheet is read.
///
/// It does not parse CSS: whatever follows `url(` or a quotation mark outside of a comment can
/// be a link.
#[derive(Debug)]
pub(super) struct LinkFinder {
    /// How many directories the style sheet is in.
    depth: usize,
    state: State,
    /// The byte before.
    last: u8,
    link: Vec<u8>,
    climbs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Outside,
    Comment,
    Link,
}

impl LinkFinder {
    /// Returns `None` for a file that is not a style sheet.
    pub(super) fn of(logical: &str) -> Option<Self> {
        logical.ends_with(".css").then(|| Self {
            depth: logical.matches('/').count(),
            state: State::Outside,
            last: 0,
            link: Vec::new(),
            climbs: false,
        })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.climbs {
                return;
            }
            self.take(byte);
            self.last = byte;
        }
    }

    /// Whether a link has left the tree.
    pub(super) fn finish(mut self) -> bool {
        self.end_link();
        self.climbs
    }

    fn take(&mut self, byte: u8) {
        match (self.state, byte) {
            (State::Outside, b'*') if self.last == b'/' => self.state = State::Comment,
            (State::Comment, b'/') if self.last == b'*' => self.state = State::Outside,
            (State::Outside, b'(' | b'"' | b'\'') => self.state = State::Link,
            (State::Link, _) => self.take_in_link(byte),
            (State::Outside | State::Comment, _) => {}
        }
    }

    fn take_in_link(&mut self, byte: u8) {
        let is_blank = byte.is_ascii_whitespace();
        match byte {
            // `url( "a" )`
            b'"' | b'\'' if self.link.is_empty() && self.last != byte => {}
            _ if is_blank && self.link.is_empty() => {}
            b'"' | b'\'' | b')' | b'(' | b'?' | b'#' => self.end_link(),
            _ if is_blank || self.link.len() == LONGEST => self.end_link(),
            _ => self.link.push(byte),
        }
    }

    fn end_link(&mut self) {
        self.climbs |= climbs(&self.link, self.depth);
        self.link.clear();
        self.state = State::Outside;
    }
}

/// Whether a link in a file leads above the root of the tree.
fn climbs(link: &[u8], depth: usize) -> bool {
    let mut depth = Some(depth);
    // From another place: `/a`, `https://a`, `data:a`.
    let first = link.split(|&byte| byte == b'/').next().unwrap_or(link);
    if first.is_empty() || first.contains(&b':') {
        return false;
    }
    let segments = link.split(|&byte| byte == b'/').collect::<Vec<_>>();
    let directories = &segments[..segments.len() - 1];
    for segment in directories {
        depth = match *segment {
            b"." | b"" => depth,
            b".." => depth.and_then(|depth| depth.checked_sub(1)),
            _ => depth.map(|depth| depth + 1),
        };
        if depth.is_none() {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_climbing_link(logical: &str, content: &str, size: usize) -> bool {
        let mut finder = LinkFinder::of(logical).unwrap();
        content.as_bytes().chunks(size).for_each(|bytes| finder.update(bytes));
        finder.finish()
    }

    #[test]
    fn links_that_leave_the_tree() {
        let long = format!("a{{b:url(data:{}/../../../x)}}", "x".repeat(3000));
        for (name, logical, content, expected) in [
            ("below", "css/a.css", "a{b:url(img/x.png)}", false),
            ("beside", "css/a.css", "a{b:url(../img/x.png)}", false),
            ("above", "css/a.css", "a{b:url(../../media/x.png)}", true),
            ("above, from the top", "a.css", "a{b:url(../x.png)}", true),
            ("quoted", "a.css", "a{b:url( \"../x.png\" )}", true),
            ("in apostrophes", "a.css", "a{b:url('../x.png')}", true),
            ("imported", "a.css", "@import \"../x.css\";", true),
            ("imported with url", "a.css", "@import url(../x.css) screen;", true),
            ("down and further up", "css/a.css", "a{b:url(x/../../../y)}", true),
            ("down and up", "css/a.css", "a{b:url(x/../../y)}", false),
            ("with a query", "a.css", "a{b:url(x.png?../../y)}", false),
            ("from the origin", "a.css", "a{b:url(/../x.png)}", false),
            ("of another origin", "a.css", "a{b:url(https://a/../../x)}", false),
            ("of another host", "a.css", "a{b:url(//a/../../x)}", false),
            ("commented out", "a.css", "/* url(../x.png) */ a{}", false),
            ("after a comment", "a.css", "/* a */ a{b:url(../x.png)}", true),
            ("no links", "a.css", "a{b:calc((1px + 2px) / 3)}", false),
            ("data", "a.css", &*long, false),
            ("two", "a.css", "a{b:url(x),url(../y)}", true),
            ("at the end", "a.css", "@import '../x.css", true),
            ("empty", "a.css", "", false),
        ] {
            for size in [1, 2, 7, 10_000] {
                assert_eq!(has_climbing_link(logical, content, size), expected, "{name}, {size}");
            }
        }
        assert!(LinkFinder::of("a.js").is_none());
    }
}
