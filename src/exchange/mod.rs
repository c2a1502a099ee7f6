//! What does the layer do with one request and its response?
//!
//! Two functions decide, without I/O: [`request::plan`] turns a request head and a snapshot
//! into a plan. [`Exchange::on_response`] turns that and the inner service's response into
//! edits, and into [observations](crate::snapshot::file::Observation) about the file.

#[cfg(feature = "memory")]
pub(crate) mod from_memory;
#[cfg(feature = "delta")]
pub(crate) mod offer;
pub(crate) mod redirect;
pub(crate) mod request;
pub(crate) mod response;

use http::{HeaderMap, HeaderValue, Method, Uri, header, uri::Authority};

use crate::{
    header::{
        content_coding::AcceptedCodings,
        etag::EntityTag,
        preconditions::{Evaluation, Preconditions, Validators},
        range::ForwardedRange,
    },
    manifest::FileIndex,
    memory::Accept,
    snapshot::{Snapshot, current::Handle, file::File},
    url::StaticUrlOutcome,
};

/// A request on its way to the inner service, with all that is needed to edit its response.
#[derive(Debug)]
pub(crate) struct Exchange {
    snapshot: Handle,
    target: Target,
    /// Boxed, because most requests have none, and an exchange is moved several times.
    conditions: Option<Box<ClientConditions>>,
    /// The `Accept-Encoding` for which to store the response, if it is the whole file.
    stored_for: Option<Accept>,
    /// The client's target, if the request was rewritten.
    original: Option<Original>,
    /// The path below the version as the client spells it, if a dictionary is offered for it and
    /// it is not the logical path.
    #[cfg(feature = "delta")]
    spelled: Option<Box<str>>,
}

/// The resource that the client requested, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) nested: bool,
    pub(crate) outcome: StaticUrlOutcome,
    pub(crate) file: Option<FileIndex>,
    pub(crate) method: MethodKind,
    pub(crate) is_authorized: bool,
    /// The request to the inner service has a `Range`.
    pub(crate) range: ForwardedRange,
    /// The client accepts the coding of a sibling that was made of another content.
    pub(crate) accepts_stale_coding: bool,
}

/// Whether a URL stands for one content of a file, for ever: it has the current version, or is
/// that of a fingerprinted file.
#[inline]
pub(crate) fn names_content(
    snapshot: &Snapshot,
    outcome: StaticUrlOutcome,
    file: Option<FileIndex>,
) -> bool {
    match outcome {
        StaticUrlOutcome::Current => true,
        StaticUrlOutcome::Unversioned => file.is_some_and(|file| snapshot.is_fingerprinted(file)),
        StaticUrlOutcome::Kept | StaticUrlOutcome::Stale | StaticUrlOutcome::Outside => false,
    }
}

/// The methods as far as the layer treats them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MethodKind {
    Get,
    Head,
    /// The version is removed from the request; the response is left alone.
    Options,
    /// Request and response are left alone.
    Other,
}

impl MethodKind {
    pub(crate) fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::OPTIONS => Self::Options,
            _ => Self::Other,
        }
    }

    pub(crate) fn is_get_or_head(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

/// The conditions in a client's request.
#[derive(Debug)]
pub(crate) struct ClientConditions {
    pub(crate) preconditions: Preconditions,
    pub(crate) accepted: AcceptedCodings,
    /// The tag of an `If-Range` that matched, so that `Range` was forwarded. A 206 of anything
    /// else must not reach the client.
    pub(crate) if_range: Option<HeaderValue>,
}

impl ClientConditions {
    fn evaluate(&self, headers: &HeaderMap) -> Evaluation {
        let etag = headers.get(header::ETAG);
        self.preconditions.evaluate(Validators {
            etag: etag.and_then(|etag| EntityTag::parse(etag.as_bytes())),
            last_modified: headers.get(header::LAST_MODIFIED),
        })
    }
}

/// The target as the client sent it.
#[derive(Debug)]
struct Original {
    uri: Uri,
    host: Option<HeaderValue>,
}

impl Original {
    #[inline]
    fn new(uri: Uri, headers: &HeaderMap) -> Self {
        let host = if uri.authority().is_none() { host(headers).cloned() } else { None };
        Self { uri, host }
    }

    /// Returns the authority of the target URI: that of an absolute request target, else the
    /// `Host` field (RFC 9110 §7.1).
    fn authority(&self) -> Option<&str> {
        let target = self.uri.authority().map(Authority::as_str);
        target.or_else(|| self.host.as_ref()?.to_str().ok())
    }
}

/// Returns the authority of a request that has not been edited.
#[cfg(feature = "releases")]
pub(crate) fn authority(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    Original::new(uri.clone(), headers).authority().map(str::to_owned)
}

/// Returns `Host`. Most clients send it first (RFC 9110 §7.2), where it costs no look-up.
fn host(headers: &HeaderMap) -> Option<&HeaderValue> {
    match headers.iter().next() {
        Some((name, value)) if *name == header::HOST => Some(value),
        _ => headers.get(header::HOST),
    }
}

impl Exchange {
    pub(crate) fn new(
        snapshot: Handle,
        target: Target,
        conditions: Option<Box<ClientConditions>>,
        stored_for: Option<Accept>,
        #[cfg(feature = "delta")] spelled: Option<Box<str>>,
    ) -> Self {
        Self {
            snapshot,
            target,
            conditions,
            stored_for,
            original: None,
            #[cfg(feature = "delta")]
            spelled,
        }
    }

    pub(crate) fn snapshot(&self) -> &Handle {
        &self.snapshot
    }

    pub(crate) fn outcome(&self) -> StaticUrlOutcome {
        self.target.outcome
    }

    #[inline]
    fn file(&self) -> Option<&File> {
        self.snapshot.file(self.target.file?).map(|file| &**file)
    }

    #[inline]
    fn names_content(&self) -> bool {
        let Target { outcome, file, .. } = self.target;
        names_content(&self.snapshot, outcome, file)
    }

    /// Whether all requests for the file without conditions get the same fields.
    #[cfg(feature = "memory")]
    fn has_usual_fields(&self) -> bool {
        #[cfg(feature = "delta")]
        return self.has_usual_offer();
        #[cfg(not(feature = "delta"))]
        true
    }

    fn is_development(&self) -> bool {
        self.snapshot.settings().is_development
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_anywhere() {
        for (name, uri, lines, expected) in [
            ("first", "/x", &[("host", "a"), ("accept", "b")][..], Some("a")),
            ("later", "/x", &[("accept", "b"), ("host", "a")], Some("a")),
            ("nowhere", "/x", &[("accept", "b")], None),
            ("also in the target", "http://c/x", &[("host", "a")], Some("c")),
        ] {
            let line = |&(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            let headers = lines.iter().map(line).collect::<HeaderMap>();
            let original = Original::new(uri.parse().unwrap(), &headers);
            assert_eq!(original.authority(), expected, "{name}");
        }
    }

    #[test]
    fn the_target_says_of_whom_the_client_asks() {
        for (name, uri, host, expected) in [
            ("in the target", "http://a.example/x", None, Some("a.example")),
            ("in the field", "/x", Some("b.example:81"), Some("b.example:81")),
            ("in both", "http://a.example/x", Some("b.example"), Some("a.example")),
            ("nowhere", "/x", None, None),
        ] {
            let host = host.map(HeaderValue::from_static);
            let original = Original { uri: uri.parse().unwrap(), host };
            assert_eq!(original.authority(), expected, "{name}");
        }
    }
}
