//! How does the response with a whole file become one with a delta? By other content, and by the
//! fields that describe it.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::{
    delta::{asked::DCZ, workshop::Pair},
    header::{
        USE_AS_DICTIONARY, add_vary,
        cache_control::{Directive, directives, to_private},
        etag::EntityTag,
        head::ResponseFields,
        number,
        stored::{DIGEST_FIELDS, fields_to_store, may_be_stored},
        targeted::remove_targeted,
    },
    snapshot::file::File,
};

/// What a response with a delta and one without have in `Vary`.
pub(crate) const VARY: [&str; 2] = ["accept-encoding", "available-dictionary"];

/// The same as a value.
const VARY_LINE: &str = "accept-encoding, available-dictionary";

/// Fields that say something of the bytes that are sent, besides those of the
/// [content](DIGEST_FIELDS): digests of what is selected, with its coding (RFC 9530 §3; RFC 3230
/// §4.3.2), and what follows the content or frames it.
const OF_THESE_BYTES: [&str; 4] = ["repr-digest", "digest", "trailer", "transfer-encoding"];

/// Whether a response is the whole file, proven, and for everybody: the layer gives its own tags
/// to nothing else.
pub(super) fn is_whole<B>(response: &Response<B>, file: &File) -> bool {
    let headers = response.headers();
    let tag = headers.get(header::ETAG).and_then(|tag| EntityTag::parse(tag.as_bytes()));
    response.status() == StatusCode::OK
        && tag.is_some_and(|tag| file.is_own_tag(&tag))
        && is_for_everybody(headers)
        && !ResponseFields::of(headers).caching.is_private
        && !DIGEST_FIELDS.iter().chain(&OF_THESE_BYTES).any(|name| headers.contains_key(*name))
}

/// Whether every cache may keep a response, and use it without asking.
pub(crate) fn is_for_everybody(headers: &HeaderMap) -> bool {
    let asks = |directive: &Directive<'_>| {
        ["no-cache", "no-store", "private"].iter().any(|name| directive.is(name))
    };
    headers.contains_key(header::CACHE_CONTROL)
        && !directives(headers).any(|directive| asks(&directive))
}

/// Adds to `Vary` what a response with a delta and one without have there.
pub(crate) fn vary_as_delta(headers: &mut HeaderMap) {
    match headers.get(header::VARY) {
        None => drop(headers.insert(header::VARY, HeaderValue::from_static(VARY_LINE))),
        Some(line) if line == VARY_LINE => {}
        Some(_) => add_vary(headers, &VARY),
    }
}

/// Returns the length of the content, if the fields tell it.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    number(headers.get(header::CONTENT_LENGTH)?.as_bytes())
}

/// Returns the fields of a whole file that every later response has, too. `None` if there are
/// others.
pub(super) fn lasting_fields(headers: &HeaderMap) -> Option<HeaderMap> {
    may_be_stored(headers, &VARY).then(|| {
        let mut fields = fields_to_store(headers);
        // The offer depends on the URL as the client spells it.
        for name in
            [header::CONTENT_ENCODING, header::CONTENT_LENGTH, header::ETAG, USE_AS_DICTIONARY]
        {
            fields.remove(name);
        }
        fields
    })
}

/// Edits the fields of the whole file. There are no parts of a delta.
pub(super) fn edit(headers: &mut HeaderMap, pair: &Pair, delta: &Bytes, is_shared: bool) {
    headers.remove(header::ACCEPT_RANGES);
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(DCZ));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(delta.len()));
    headers.insert(header::ETAG, etag(pair));
    vary_as_delta(headers);
    if !is_shared {
        restrict(headers);
    }
}

/// Lets only the browser itself keep a response.
pub(crate) fn restrict(headers: &mut HeaderMap) {
    remove_targeted(headers);
    let private = to_private(&directives(headers).collect::<Vec<_>>());
    if let Some(private) = private {
        headers.insert(header::CACHE_CONTROL, private);
    }
}

/// Makes the tag of a delta, of what it makes and of what it needs: weak, because an encoder need
/// not make the same bytes twice.
fn etag(pair: &Pair) -> HeaderValue {
    let content = HEXLOWER.encode(&pair.content);
    let dictionary = dictionary_in_tag(&pair.dictionary);
    let tag = format!("W/\"{content}-dcz-{dictionary}\"");
    HeaderValue::from_maybe_shared(Bytes::from(tag)).expect("hexadecimal digits are visible ASCII")
}

/// Returns what the tags of all deltas against a dictionary end with.
pub(crate) fn dictionary_in_tag(sha256: &[u8; 32]) -> String {
    HEXLOWER.encode(&sha256[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_selects_deltas_is_there_once() {
        for (name, lines, expected) in [
            ("nothing yet", &[][..], VARY_LINE),
            ("both", &[VARY_LINE], VARY_LINE),
            ("one", &["accept-encoding"], VARY_LINE),
            ("others", &["origin"], "origin, accept-encoding, available-dictionary"),
            ("everything", &["*"], "*"),
        ] {
            let lines = lines.iter().map(|line| (header::VARY, HeaderValue::from_static(line)));
            let mut headers = lines.collect::<HeaderMap>();
            vary_as_delta(&mut headers);
            let vary = headers.get_all(header::VARY).iter().collect::<Vec<_>>();
            assert_eq!(vary, [expected], "{name}");
        }
        assert_eq!(VARY.join(", "), VARY_LINE);
    }

    #[test]
    fn what_every_cache_may_keep() {
        for (name, value, expected) in [
            ("for a year", "public, max-age=31536000, immutable", true),
            ("nothing said", "", true),
            ("only the browser", "max-age=60, Private", false),
            ("after asking", "max-age=60, no-cache", false),
            ("never", "no-store", false),
        ] {
            let line = (header::CACHE_CONTROL, HeaderValue::from_static(value));
            assert_eq!(is_for_everybody(&HeaderMap::from_iter([line])), expected, "{name}");
        }
        assert!(!is_for_everybody(&HeaderMap::new()));
    }
}
