//! What does a browser keep of what it downloads, and what does it ask for? (RFC 9842 §2)

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderMap, Request, Response, header};
use http_body_util::Empty;
use sha2::{Digest as _, Sha256};
use urlpattern::{
    UrlPattern, UrlPatternMatchInput, UrlPatternOptions,
    quirks::{StringOrInit, process_construct_pattern_input},
};
use zstd::zstd_safe::{DCtx, DParameter, get_error_name};

use crate::{Result, site::Site};

const ORIGIN: &str = "https://www.example.com";

/// What the content of a `dcz` response begins with (RFC 9842 §5).
const MAGIC: [u8; 8] = [0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0];

/// A browser with an empty cache, at first.
#[derive(Default)]
pub(crate) struct Browser {
    /// The URLs for which it needs no request.
    cached: HashSet<String>,
    /// One for each pattern.
    dictionaries: HashMap<String, Dictionary>,
}

struct Dictionary {
    pattern: UrlPattern,
    sha256: [u8; 32],
    content: Bytes,
}

impl Browser {
    /// Downloads a file of some length. Returns its content and how many bytes the response had,
    /// or nothing if it is in the cache.
    pub(crate) async fn get(
        &mut self,
        site: &Site,
        url: String,
        length: usize,
    ) -> Result<Option<(Bytes, u64)>> {
        if self.cached.contains(&url) {
            return Ok(None);
        }
        let dictionary = self.dictionary(&url);
        let response = site.send(request(&url, dictionary)?).await?;
        let content = decode(&response, dictionary, length).map_err(|e| format!("{url}: {e}"))?;
        self.keep(url, response.headers(), &content)?;
        Ok(Some((content, response.body().len() as u64)))
    }

    /// Returns the dictionary of a URL: that of the longest pattern (§2.2.3).
    fn dictionary(&self, url: &str) -> Option<&Dictionary> {
        let url = format!("{ORIGIN}{url}").parse().ok()?;
        let input = UrlPatternMatchInput::Url(url);
        let matching = self
            .dictionaries
            .iter()
            .filter(|(_, dictionary)| dictionary.pattern.test(input.clone()).unwrap_or_default());
        matching.max_by_key(|(pattern, _)| pattern.len()).map(|(_, dictionary)| dictionary)
    }

    /// Keeps what a response lets it keep.
    fn keep(&mut self, url: String, headers: &HeaderMap, content: &Bytes) -> Result<()> {
        let field = |name: &str| headers.get(name).map_or(Ok(""), |value| value.to_str());
        if let Some(pattern) = offered(field("use-as-dictionary")?) {
            let base = format!("{ORIGIN}{url}");
            let init = StringOrInit::String(pattern.clone());
            let init = process_construct_pattern_input(init, Some(&base))?;
            let dictionary = Dictionary {
                pattern: UrlPattern::parse(init, UrlPatternOptions::default())?,
                sha256: Sha256::digest(content).into(),
                content: content.clone(),
            };
            self.dictionaries.insert(pattern, dictionary);
        }
        if field("cache-control")?.contains("immutable") {
            self.cached.insert(url);
        }
        Ok(())
    }
}

fn request(url: &str, dictionary: Option<&Dictionary>) -> Result<Request<Empty<Bytes>>> {
    let request = Request::get(url)
        .header(header::HOST, "www.example.com")
        .header("sec-fetch-site", "same-origin")
        .header(header::ACCEPT_ENCODING, "zstd, dcz");
    let request = match dictionary {
        Some(dictionary) => {
            let sha256 = BASE64.encode(&dictionary.sha256);
            request.header("available-dictionary", format!(":{sha256}:"))
        }
        None => request,
    };
    Ok(request.body(Empty::new())?)
}

/// Returns the pattern in `Use-As-Dictionary`, without its quotes (RFC 9651 §4.2.5).
fn offered(value: &str) -> Option<String> {
    let quoted = value.strip_prefix("match=\"")?.strip_suffix('"')?;
    let mut chars = quoted.chars();
    let unquote = || match chars.next()? {
        '\\' => chars.next(),
        other => Some(other),
    };
    Some(std::iter::from_fn(unquote).collect())
}

/// Returns the content of a response, of at most so many bytes.
fn decode(
    response: &Response<Bytes>,
    dictionary: Option<&Dictionary>,
    length: usize,
) -> Result<Bytes> {
    let (body, status) = (response.body(), response.status());
    if status != 200 {
        return Err(format!("{status}").into());
    }
    let coding = response.headers().get(header::CONTENT_ENCODING);
    match (coding.map(|coding| coding.as_bytes()), dictionary) {
        (None, _) => Ok(body.clone()),
        (Some(b"zstd"), _) => decompress(body, &[], length),
        (Some(b"dcz"), Some(dictionary)) => {
            let head = [&MAGIC[..], &dictionary.sha256].concat();
            let frame = body.strip_prefix(&*head).ok_or("a delta of something else")?;
            decompress(frame, &dictionary.content, length)
        }
        (Some(coding), _) => {
            let coding = String::from_utf8_lossy(coding);
            Err(format!("the client does not accept {coding}").into())
        }
    }
}

fn decompress(frame: &[u8], dictionary: &[u8], length: usize) -> Result<Bytes> {
    let mut context = DCtx::create();
    context.set_parameter(DParameter::WindowLogMax(27)).map_err(get_error_name)?;
    context.ref_prefix(dictionary).map_err(get_error_name)?;
    let mut content = Vec::with_capacity(length);
    context.decompress(&mut content, frame).map_err(get_error_name)?;
    Ok(content.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_unquoted() {
        for (name, value, expected) in [
            ("plain", r#"match="/static/:v/a.js""#, Some("/static/:v/a.js")),
            ("escapes", r#"match="/\\(1\\)\"""#, Some(r#"/\(1\)""#)),
            ("nothing", "", None),
        ] {
            assert_eq!(offered(value).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_longest_pattern_wins() {
        let mut browser = Browser::default();
        for (pattern, content) in [("/a/*", "short"), ("/a/b-*.js", "long"), ("/:v/c.js", "other")]
        {
            let offer = format!("match=\"{pattern}\"").parse().unwrap();
            let headers = HeaderMap::from_iter([("use-as-dictionary".parse().unwrap(), offer)]);
            browser.keep("/".into(), &headers, &content.into()).unwrap();
        }
        for (url, expected) in [
            ("/a/b-1.js", Some("long")),
            ("/a/c.css", Some("short")),
            ("/x/c.js", Some("other")),
            ("/x/y/c.js", None),
        ] {
            let found = browser.dictionary(url).map(|dictionary| &*dictionary.content);
            assert_eq!(found, expected.map(str::as_bytes), "{url}");
        }
    }
}
