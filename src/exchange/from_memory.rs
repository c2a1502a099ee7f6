//! Can memory stand in for the inner service?

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};
#[cfg(feature = "releases")]
use http_body::Body;

#[cfg(feature = "releases")]
use crate::{
    exchange::request::{RequestEdit, RequestHead},
    memory::Recorder,
    snapshot::file::File,
};
use crate::{
    exchange::{
        Exchange, MethodKind,
        request::{FieldEdit, IncomingRequest, Plan, must_bypass},
    },
    header::range::Part,
    manifest::FileIndex,
    memory::{Accept, FileKey, Key, Memory, SelectionRef, StoredResponse, Variant},
    observe::event::{self, Event},
    snapshot::Snapshot,
};

/// What memory has for a request.
pub(crate) enum LookUp {
    Hit(Hit),
    /// Nothing yet, but the response may be stored.
    Miss(Accept),
    /// Nothing, and the response may not be stored.
    Bypass,
}

/// A response in place of the inner service's.
pub(crate) enum Hit {
    /// The whole file, for a request without conditions.
    Whole(Arc<StoredResponse>),
    /// A part, or a response that is still subject to conditions.
    Other(Response<Bytes>),
}

impl Hit {
    pub(super) fn into_plan(self, exchange: Exchange) -> Plan {
        let response = match self {
            Self::Whole(stored) if exchange.has_usual_fields() => {
                stored.edited(|whole| exchange.on_stored_response(whole))
            }
            Self::Whole(stored) => exchange.on_stored_response(stored.whole()),
            Self::Other(response) => exchange.on_stored_response(response),
        };
        event::emit(Event::FromMemory { length: response.body().len() as u64 });
        Plan::Respond(Some(response))
    }
}

impl IncomingRequest<'_> {
    /// Looks up what the inner service would send for the edited request.
    pub(super) fn look_up(&self, snapshot: &Snapshot, fields: &FieldEdit) -> LookUp {
        let Some(memory) = snapshot.memory() else { return LookUp::Bypass };
        let Some((file, part)) = self.storable(snapshot, fields) else { return LookUp::Bypass };
        let file = FileKey::from(file);
        let get = |coding| memory.get(Key { file, variant: Variant { coding } });
        look_up(memory, get, (file, self.head.headers), part, fields)
    }

    /// Returns the file, and the part of it that was requested, if it may come from memory.
    /// Only under a URL that stands for its content can its bytes not change.
    fn storable(&self, snapshot: &Snapshot, fields: &FieldEdit) -> Option<(FileIndex, Part)> {
        let (index, file) = self.below.file.filter(|_| self.names_content(snapshot))?;
        if self.fields.authorization
            || self.head.uri.query().is_some()
            || must_bypass(file, snapshot)
            || self.accepts_stale_coding()
        {
            return None;
        }
        Some((index, part(self.method, fields)?))
    }
}

/// `get` returns what is stored in a coding.
#[inline(always)]
fn look_up(
    memory: &Memory,
    get: impl Fn(&'static str) -> Option<Arc<StoredResponse>>,
    (file, headers): (FileKey, &HeaderMap),
    part: Part,
    fields: &FieldEdit,
) -> LookUp {
    let hit = |stored: Option<Arc<StoredResponse>>| {
        stored
            .and_then(|stored| stored.part(part))
            .map_or(LookUp::Bypass, |response| LookUp::Hit(Hit::Other(response)))
    };
    if let FieldEdit::Strip(stripped) = fields
        && let Some(coding) = stripped.coding
    {
        return hit(get(coding));
    }
    let Some(wanted) = SelectionRef::of(file, headers) else { return LookUp::Bypass };
    match (memory.selected(wanted).and_then(get), part, fields) {
        (Some(stored), Part::Whole, FieldEdit::Keep) => LookUp::Hit(Hit::Whole(stored)),
        (None, Part::Whole, _) => LookUp::Miss(wanted.to_accept()),
        (stored, ..) => hit(stored),
    }
}

/// Returns the part of a file that an edited request wants, if it is one.
#[inline(always)]
fn part(method: MethodKind, fields: &FieldEdit) -> Option<Part> {
    match (method, fields) {
        (MethodKind::Options | MethodKind::Other, _) => None,
        (MethodKind::Head, _) => Some(Part::Head),
        (MethodKind::Get, FieldEdit::Strip(stripped)) => stripped.range.part(),
        (MethodKind::Get, FieldEdit::Keep | FieldEdit::DropRange) => Some(Part::Whole),
    }
}

#[cfg(feature = "releases")]
impl Exchange {
    /// Looks up what the service over the releases would send for an edited request, in a memory
    /// that is not that of the release.
    pub(crate) fn look_up_kept(
        &self,
        memory: &Memory,
        head: RequestHead<'_>,
        edit: &RequestEdit,
    ) -> LookUp {
        let file = self.file().filter(|file| {
            self.names_content()
                && !self.target.is_authorized
                && !self.target.accepts_stale_coding
                && head.uri.query().is_none()
                && !must_bypass(file, &self.snapshot)
        });
        let wanted = part(self.target.method, &edit.fields);
        let (Some(file), Some(part)) = (file, wanted) else { return LookUp::Bypass };
        let key = kept_key(file);
        let get = |coding| {
            let stored = memory.get(Key { file: key, variant: Variant { coding } })?;
            let listed = file.listed_in(coding)?;
            (stored.sha256() == listed.sha256()).then_some(stored)
        };
        look_up(memory, get, (key, head.headers), part, &edit.fields)
    }

    /// Begins to record what that service sends.
    pub(crate) fn record_kept<B: Body>(
        &self,
        memory: &Arc<Memory>,
        accept: &Accept,
        response: &Response<B>,
    ) -> Option<Box<Recorder>> {
        self.record_in(memory, kept_key(self.file()?), accept, response)
    }
}

#[cfg(feature = "releases")]
fn kept_key(file: &File) -> FileKey {
    FileKey::of_kept(&file.digest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Manifest, StaticUrlLayer, VersionSource,
        exchange::request::{RequestHead, plan},
    };
    use http::Request;

    const CONTENT: &str = "hello world";
    const FILE: &str = "/static/v1/a";

    fn layer() -> StaticUrlLayer {
        let manifest = Manifest::from_files([("a", CONTENT), ("b", CONTENT)]).unwrap();
        let version = VersionSource::literal("v1");
        let builder = StaticUrlLayer::builder("/static").manifest(manifest).version(version);
        builder.memory_budget(1 << 20).build().unwrap()
    }

    /// Sends a request, to which the inner service responds with the file and these fields.
    /// Returns `inner`, or status, length, range and body of what was made in its place.
    fn send(
        layer: &StaticUrlLayer,
        request: http::request::Builder,
        status: u16,
        inner: &[(&str, &str)],
    ) -> String {
        let request = request.body(()).unwrap();
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let head = RequestHead { method, uri, headers };
        let exchange = match plan(head, false, layer.current().handle()) {
            Plan::Pass { .. } => return "inner".into(),
            #[cfg(feature = "releases")]
            Plan::Kept(_) => unreachable!("there are no releases"),
            Plan::Respond(response) => {
                let response = response.unwrap();
                let fields = ["content-length", "content-range"].map(|name| {
                    response.headers().get(name).map_or("-", |value| value.to_str().unwrap())
                });
                let body = str::from_utf8(response.body()).unwrap();
                return format!("{} {} {body}", response.status().as_u16(), fields.join(" "));
            }
            Plan::Forward { exchange, .. } => exchange,
        };
        let response = Response::builder().status(status).header("accept-ranges", "bytes");
        let response = response.header("content-length", CONTENT.len());
        let add = |response: http::response::Builder, &(name, value): &(&str, &str)| {
            response.header(name, value)
        };
        let response = inner.iter().fold(response, add);
        let mut response = response.body(CONTENT.to_owned()).unwrap();
        let recorder = exchange.record(&response);
        let edit = exchange.on_response(&mut response, Some(CONTENT.len() as u64));
        exchange.remember(edit.observations);
        if let Some(mut recorder) = recorder {
            recorder.record(CONTENT.as_bytes());
        }
        "inner".into()
    }

    fn get(uri: &str) -> http::request::Builder {
        Request::get(uri)
    }

    #[test]
    fn which_requests_are_answered_from_memory() {
        let whole = "200 11 - hello world";
        let tag = || {
            let manifest = Manifest::from_files([("a", CONTENT)]).unwrap();
            crate::snapshot::representation::strong_etag(manifest.get("a").unwrap().sha256())
        };
        let part = "206 5 bytes 0-4/11 hello";
        for (name, request, expected) in [
            ("the same", get(FILE), whole),
            ("its fields", Request::head(FILE), "200 11 - "),
            ("no file", Request::options(FILE), "inner"),
            ("another method", Request::post(FILE), "inner"),
            ("another file", get("/static/v1/b"), "inner"),
            ("with a query", get("/static/v1/a?b"), "inner"),
            ("unversioned", get("/static/a"), "inner"),
            ("stale", get("/static/v2/a"), "inner"),
            ("authorized", get(FILE).header("authorization", "Basic YTpi"), "inner"),
            ("another selection", get(FILE).header("accept-encoding", "gzip"), "inner"),
            ("a part", get(FILE).header("range", "bytes=0-4"), part),
            ("several parts", get(FILE).header("range", "bytes=0-1,3-4"), whole),
            ("no part", get(FILE).header("range", "bytes=11-"), "inner"),
            ("a part, HEAD", Request::head(FILE).header("range", "bytes=0-4"), "200 11 - "),
            ("a part, unversioned", get("/static/a").header("range", "bytes=0-4"), "inner"),
            (
                "a part that the client has begun",
                get(FILE).header("range", "bytes=0-4").header("if-range", tag()),
                part,
            ),
            (
                "a part of another file",
                get(FILE).header("range", "bytes=0-4").header("if-range", "\"x\""),
                whole,
            ),
            ("a copy", get(FILE).header("if-none-match", tag()), "304 - - "),
            ("another copy", get(FILE).header("if-none-match", "\"x\""), whole),
            ("it must be another", get(FILE).header("if-match", "\"x\""), "412 - - "),
        ] {
            let layer = layer();
            assert_eq!(send(&layer, get(FILE), 200, &[]), "inner");
            assert_eq!(send(&layer, request, 200, &[]), expected, "{name}");
        }
    }

    #[test]
    fn which_responses_are_stored() {
        for (name, first, status, fields, is_stored) in [
            ("the file", get(FILE), 200, &[][..], true),
            ("with a lifetime", get(FILE), 200, &[("cache-control", "max-age=9")], true),
            ("another status", get(FILE), 203, &[], false),
            ("an error", get(FILE), 404, &[], false),
            ("for one client", get(FILE), 200, &[("set-cookie", "a=b")], false),
            ("never again", get(FILE), 200, &[("cache-control", "no-store")], false),
            ("with a time of its own", get(FILE), 200, &[("expires", "0")], false),
            ("in another coding", get(FILE), 200, &[("content-encoding", "gzip")], false),
            ("without a version", get("/static/a"), 200, &[], false),
            ("with a query", get("/static/v1/a?b"), 200, &[], false),
            ("for an authorized client", get(FILE).header("authorization", "b"), 200, &[], false),
            ("without content", Request::head(FILE), 200, &[], false),
            ("a part", get(FILE).header("range", "bytes=0-4"), 206, &[], false),
        ] {
            let layer = layer();
            assert_eq!(send(&layer, first, status, fields), "inner", "{name}");
            let expected = if is_stored { "200 11 - hello world" } else { "inner" };
            assert_eq!(send(&layer, get(FILE), 200, &[]), expected, "{name}");
        }
    }

    /// Once a response was for one client, even what is stored already is not sent.
    #[test]
    fn a_file_that_has_become_private_is_left_to_the_inner_service() {
        let layer = layer();
        let zipped = || get(FILE).header("accept-encoding", "gzip");
        assert_eq!(send(&layer, get(FILE), 200, &[]), "inner");
        assert_eq!(send(&layer, get(FILE), 200, &[]), "200 11 - hello world");
        assert_eq!(send(&layer, zipped(), 200, &[("set-cookie", "a=b")]), "inner");
        assert_eq!(send(&layer, get(FILE), 200, &[]), "inner");
    }
}
