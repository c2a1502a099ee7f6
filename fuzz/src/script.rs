//! An input, read as text: what site there is, what it is asked, and what the service
//! behind the layer says to that.
//!
//! ```text
//! /static nested                          the site
//! GET {m}/{v}/hello.txt                   a request
//! if-none-match: {tag}
//! < 200 etag unsized                      how the inner service answers
//! < cache-control: private
//!                                         an empty line: the next request
//! HEAD {m}/{v}/css/app.css
//! ```

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

/// More would only make an input slow.
const MOST_EXCHANGES: usize = 8;
const LONGEST_LINE: usize = 4096;

pub(crate) struct Script<'d> {
    /// The first line.
    pub(crate) site: Vec<&'d str>,
    pub(crate) exchanges: Vec<Exchange>,
}

#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) request: Request<()>,
    pub(crate) answer: Answer,
}

/// What the inner service is told to say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    words: Vec<String>,
    pub(crate) lines: HeaderMap,
}

impl Answer {
    pub(crate) fn says(&self, word: &str) -> bool {
        self.words.iter().any(|it| it == word)
    }

    /// Of the words only these, and no lines.
    pub(crate) fn only(mut self, words: &[&str]) -> Self {
        self.words.retain(|word| words.contains(&&**word));
        Self { words: self.words, lines: HeaderMap::new() }
    }

    pub(crate) fn status(&self) -> Option<u16> {
        let mut numbers = self.words.iter().filter_map(|word| word.parse().ok());
        numbers.find(|status| (200..600).contains(status))
    }
}

impl<'d> Script<'d> {
    /// `fill` replaces the gaps of a line.
    pub(crate) fn parse(data: &'d [u8], fill: impl Fn(&[&str], &[u8]) -> Vec<u8>) -> Self {
        let mut lines = data.split(|&byte| byte == b'\n');
        let site = lines.next().and_then(|line| std::str::from_utf8(line).ok());
        let site = site.unwrap_or_default().split(' ').collect::<Vec<_>>();
        let lines = lines.filter(|line| line.len() <= LONGEST_LINE);
        let lines = lines.map(|line| fill(&site, line)).collect::<Vec<_>>();
        let paragraphs = lines.split(|line| line.is_empty());
        let exchanges = paragraphs.filter_map(Exchange::parse).take(MOST_EXCHANGES).collect();
        Self { site, exchanges }
    }
}

impl Exchange {
    /// `None` for what no HTTP server would let through.
    fn parse(lines: &[Vec<u8>]) -> Option<Self> {
        let (first, lines) = lines.split_first()?;
        let space = first.iter().position(|&byte| byte == b' ')?;
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(&first[..space]).ok()?;
        *request.uri_mut() = Uri::try_from(&first[space + 1..]).ok()?;
        let mut answer = Answer::default();
        for line in lines {
            match line.strip_prefix(b"< ") {
                Some(line) => answer.read(line),
                None => drop(read_field(line, request.headers_mut())),
            }
        }
        Some(Self { request, answer })
    }
}

impl Answer {
    fn read(&mut self, line: &[u8]) {
        if read_field(line, &mut self.lines).is_none() {
            let words = String::from_utf8_lossy(line);
            self.words.extend(words.split(' ').map(str::to_owned));
        }
    }
}

/// `name: value`, without the white space around the value (RFC 9112 §5.1).
fn read_field(line: &[u8], fields: &mut HeaderMap) -> Option<()> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    fields.append(name, value);
    Some(())
}
