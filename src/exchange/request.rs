//! The decision on a request, pure: request head + snapshot → plan. What becomes
//! of the response is the plan's [`Review`].

use std::{mem, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::PathAndQuery,
};

use crate::{
    StalePolicy,
    exchange::response::{Review, Subject, Terms},
    header::content_coding::AcceptedCodings,
    header::etag::EntityTag,
    header::head::RequestFields,
    header::preconditions::Conditions,
    header::range::{self, Part, RangeEdit},
    memory::{Answer, Choice, Coded, Memory, Wanted},
    policy::Content,
    snapshot::Snapshot,
    snapshot::current::CurrentSnapshot,
    snapshot::file::{ServedFile, is_digest},
    snapshot::files::FileIndex,
    url::{Outcome, path_and_query, with_path, with_version},
};

/// What is to be done with a request. It is large, and to move it costs more than most of
/// the decision: it is read and edited where it stands.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Nothing of ours: request and response pass untouched.
    Pass(CurrentSnapshot),
    /// Answered here; to be taken out.
    Answer(Option<Response<Bytes>>),
    /// Goes to the inner service, edited; what comes back is reviewed.
    Forward { edit: RequestEdit, review: Review },
}

/// The part of a request that decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHead<'r> {
    pub(crate) method: &'r Method,
    pub(crate) uri: &'r Uri,
    pub(crate) headers: &'r HeaderMap,
}

/// What the inner service is asked instead.
#[derive(Debug)]
pub(crate) struct RequestEdit {
    path: PathEdit,
    fields: FieldEdit,
}

#[derive(Debug)]
enum PathEdit {
    Keep,
    /// To the one that is known for the file. It is fetched by [`RequestEdit::apply`]: a
    /// plan is moved several times, and is small without it.
    OfFile,
    To(PathAndQuery),
}

/// Who answers to the conditions and ranges of a request.
#[derive(Debug)]
enum FieldEdit {
    /// The inner service, or there are none.
    Keep,
    /// We: it sees no condition, and only a range that we stand by.
    Own(Box<OwnEdit>),
    /// The inner service, but for a `Range` that hangs on a tag of ours.
    DropRange,
}

#[derive(Debug)]
struct OwnEdit {
    range: RangeEdit,
    /// The only coding that will do.
    coding: Option<&'static str>,
}

/// Only GET and HEAD are ours; other methods have their URI rewritten, and no
/// error of theirs is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    Get,
    Head,
    Otherwise,
}

impl Asking {
    fn with(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            _ => Self::Otherwise,
        }
    }
}

/// A request below the mount, taken apart.
struct Asked<'r> {
    head: RequestHead<'r>,
    asking: Asking,
    fields: RequestFields,
    outcome: Outcome,
    /// What follows the mount and the version, if that is a plain path.
    rest: Option<&'r str>,
    /// The logical path is `rest` itself, without an escape.
    is_literal: bool,
    file: Option<(FileIndex, &'r Arc<ServedFile>)>,
}

/// Where a service stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// An outer router has stripped the mount off the paths that arrive.
    pub(crate) nested: bool,
    /// What the bodies carry can be kept and given again.
    pub(crate) carries_bytes: bool,
}

pub(crate) fn plan(head: RequestHead<'_>, place: Place, snapshot: CurrentSnapshot) -> Plan {
    let Some(asked) = Asked::of(head, place.nested, &snapshot) else {
        return Plan::Pass(snapshot);
    };
    let answer = asked.answer(&snapshot);
    if answer.is_some() {
        return Plan::Answer(answer);
    }
    let (terms, fields) = asked.terms();
    let memory = snapshot.memory().filter(|_| place.carries_bytes);
    let recalled = memory.map_or(Recalled::Nothing, |memory| asked.recall(memory, &fields));
    let path = match recalled {
        Recalled::Whole(_) | Recalled::Answer(_) => PathEdit::Keep,
        Recalled::Unknown(_) | Recalled::Nothing => asked.edit_path(snapshot.base(place.nested)),
    };
    let (subject, edit) = (asked.subject(place.nested), RequestEdit { path, fields });
    let review = |choice| Review::new(snapshot, subject, terms, choice);
    match recalled {
        Recalled::Whole(answer) => {
            let edit = |response| review(None).edit_recalled(response);
            Plan::Answer(Some(answer.edited(edit)))
        }
        Recalled::Answer(response) => Plan::Answer(Some(review(None).edit_recalled(response))),
        Recalled::Unknown(choice) => Plan::Forward { edit, review: review(Some(choice)) },
        Recalled::Nothing => Plan::Forward { edit, review: review(None) },
    }
}

/// What memory has for a request.
enum Recalled {
    /// All of what the inner service would say, wanted on no terms.
    Whole(Arc<Answer>),
    /// What the inner service would say.
    Answer(Response<Bytes>),
    /// Not yet what it will say.
    Unknown(Choice),
    /// Nothing, nor is there anything to keep.
    Nothing,
}

impl<'r> Asked<'r> {
    /// `None` outside the mount.
    fn of(head: RequestHead<'r>, nested: bool, snapshot: &'r Snapshot) -> Option<Self> {
        let (outcome, _, rest) = snapshot.divide(nested, head.uri.path())?;
        let located = snapshot.locate(rest);
        Some(Self {
            head,
            asking: Asking::with(head.method),
            fields: RequestFields::of(head.headers),
            // What is not plain has no version that could be taken off.
            outcome: located.as_ref().map_or(Outcome::Unversioned, |_| outcome),
            rest: located.as_ref().map(|_| rest),
            is_literal: located.as_ref().is_some_and(|it| it.is_literal),
            file: located.and_then(|it| it.file),
        })
    }

    fn file(&self) -> Option<&'r ServedFile> {
        self.file.map(|(_, file)| &**file)
    }

    /// The path loses its version.
    fn edit_path(&self, base: &str) -> PathEdit {
        let Some(rest) = self.rest.filter(|_| self.outcome != Outcome::Unversioned) else {
            return PathEdit::Keep;
        };
        match (self.file, self.head.uri.query()) {
            (Some(_), None) if self.is_literal => PathEdit::OfFile,
            (_, query) => path_and_query(base, rest, query).map_or(PathEdit::Keep, PathEdit::To),
        }
    }

    /// What the inner service would say to the edited request.
    fn recall(&self, memory: &Memory, edit: &FieldEdit) -> Recalled {
        let Some((file, part)) = self.recallable(edit) else { return Recalled::Nothing };
        let coding = match edit {
            FieldEdit::Own(own) => own.coding,
            FieldEdit::Keep | FieldEdit::DropRange => None,
        };
        if let Some(coding) = coding {
            let answer = memory.recall(Coded { file, coding });
            return answer.and_then(|it| it.to(part)).map_or(Recalled::Nothing, Recalled::Answer);
        }
        let Some(wanted) = Wanted::of(file, self.head.headers) else { return Recalled::Nothing };
        let coding = memory.chosen(wanted);
        let answer = coding.and_then(|coding| memory.recall(Coded { file, coding }));
        match (answer, part, edit) {
            (Some(answer), Part::Whole, FieldEdit::Keep) => Recalled::Whole(answer),
            (None, Part::Whole, _) => Recalled::Unknown(wanted.to_choice()),
            (answer, ..) => {
                answer.and_then(|it| it.to(part)).map_or(Recalled::Nothing, Recalled::Answer)
            }
        }
    }

    /// The file and the part of it that memory may be asked for: under the current version
    /// its bytes cannot change.
    fn recallable(&self, edit: &FieldEdit) -> Option<(FileIndex, Part)> {
        let (index, file) = self.file.filter(|_| self.outcome == Outcome::Current)?;
        if self.fields.authorization || self.head.uri.query().is_some() || file.must_ask() {
            return None;
        }
        let part = match (self.asking, edit) {
            (Asking::Otherwise, _) => return None,
            (Asking::Head, _) => Part::Head,
            (Asking::Get, FieldEdit::Own(own)) => own.range.part()?,
            (Asking::Get, FieldEdit::Keep | FieldEdit::DropRange) => Part::Whole,
        };
        Some((index, part))
    }

    /// On what terms the client wants an answer, and who answers to them.
    fn terms(&self) -> (Option<Box<Terms>>, FieldEdit) {
        if !self.fields.has_own() {
            return (None, FieldEdit::Keep);
        }
        let headers = self.head.headers;
        let (conditions, accepted) = (Conditions::of(headers), AcceptedCodings::of(headers));
        let (fields, expected) = self.own_fields(accepted);
        (Some(Box::new(Terms { conditions, accepted, expected })), fields)
    }

    fn subject(&self, nested: bool) -> Subject {
        Subject {
            nested,
            outcome: self.outcome,
            file: self.file.map(|(index, _)| index),
            asking: self.asking,
            authorized: self.fields.authorization,
        }
    }

    /// The answer, where the inner service need not be asked.
    fn answer(&self, snapshot: &Snapshot) -> Option<Response<Bytes>> {
        match self.outcome {
            _ if self.asking == Asking::Otherwise => None,
            Outcome::Current => self.answer_from_memory(snapshot),
            Outcome::Stale => answer_stale(snapshot, self.rest?, self.head.uri.query()),
            Outcome::Unversioned => None,
        }
    }

    /// 304 where `If-None-Match` names a tag of the file, and the browser need not have
    /// asked. Not where it was told to ask, nor where the file is known to have changed.
    fn answer_from_memory(&self, snapshot: &Snapshot) -> Option<Response<Bytes>> {
        let file =
            self.file().filter(|_| self.fields.if_none_match && !self.fields.precondition)?;
        let policies = &snapshot.settings().policies;
        if file.has_changed() || !policies.current.is_lasting() {
            return None;
        }
        let lines = self.head.headers.get_all(header::IF_NONE_MATCH);
        let accepts = |coding: &str| AcceptedCodings::is_one(self.head.headers, coding);
        let named = file.only_named(&lines, accepts)?;
        let learned = file.learned()?;
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        let headers = answer.headers_mut();
        headers.insert(header::ETAG, named.etag().clone());
        learned.write_to(headers);
        let ruling =
            policies.rule(Outcome::Current, StatusCode::NOT_MODIFIED, Content::AsVersioned);
        ruling.apply(headers, learned.said(), self.fields.authorization);
        Some(answer)
    }

    /// What is taken off a request for a listed file, and the tag that a part must
    /// have.
    fn own_fields(&self, accepted: AcceptedCodings) -> (FieldEdit, Option<HeaderValue>) {
        let headers = self.head.headers;
        let file = match self.file() {
            _ if self.asking == Asking::Otherwise => return (FieldEdit::Keep, None),
            None if has_digest_range(headers) => return (FieldEdit::DropRange, None),
            None => return (FieldEdit::Keep, None),
            Some(file) => file,
        };
        let accepted = file.acceptable(accepted);
        let own = |range, coding| FieldEdit::Own(Box::new(OwnEdit { range, coding }));
        // RFC 9110 §14.2: `Range` means something to GET alone.
        if self.asking == Asking::Head {
            return (own(RangeEdit::Drop, None), None);
        }
        if !self.fields.if_range || !self.fields.range {
            return (own(range::edit(headers, file.lengths(accepted)), None), None);
        }
        // §13.1.5: a part only of exactly what the client has the rest of. A date does
        // not tell: two versions of a file may have the same.
        let tag = only_line(headers).and_then(|line| EntityTag::parse(line.as_bytes()));
        let named = tag.and_then(|tag| file.strongly_named(&tag, accepted));
        let named = named
            .filter(|_| !file.has_changed())
            .map(|(coding, it)| (coding, it, range::edit(headers, [it.info.length].into_iter())));
        match named {
            None | Some((_, _, RangeEdit::Drop)) => (own(RangeEdit::Drop, None), None),
            Some((coding, it, range)) => (own(range, Some(coding)), Some(it.etag().clone())),
        }
    }
}

/// The answer to a stale version that is not to be served. Nobody keeps it: the
/// version may be the current one of the next node asked.
fn answer_stale(snapshot: &Snapshot, rest: &str, query: Option<&str>) -> Option<Response<Bytes>> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = match snapshot.settings().stale {
        StalePolicy::Serve => return None,
        StalePolicy::NotFound => StatusCode::NOT_FOUND,
        StalePolicy::Redirect => {
            let current = with_version(snapshot.mount(), snapshot.version(), rest, query);
            let location = HeaderValue::from_maybe_shared(Bytes::from(current)).ok()?;
            answer.headers_mut().insert(header::LOCATION, location);
            StatusCode::TEMPORARY_REDIRECT
        }
    };
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(answer)
}

fn only_line(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(header::IF_RANGE).iter();
    lines.next().filter(|_| lines.next().is_none())
}

/// Whether `If-Range` carries a tag that only we give to what is not listed, and
/// that the inner service therefore cannot honour.
fn has_digest_range(headers: &HeaderMap) -> bool {
    let tag = only_line(headers).and_then(|line| EntityTag::parse(line.as_bytes()));
    tag.is_some_and(|tag| is_digest(&tag))
}

impl RequestEdit {
    /// Edits the request, and notes in `review` what it was for where that is something
    /// else now.
    pub(crate) fn apply<B>(&mut self, request: &mut Request<B>, review: &mut Review) {
        let path = match mem::replace(&mut self.path, PathEdit::Keep) {
            PathEdit::Keep => None,
            PathEdit::OfFile => review.inner_path(),
            PathEdit::To(path) => Some(path),
        };
        if let Some(path) = path {
            let inner = with_path(request.uri(), path);
            review.uri = Some(mem::replace(request.uri_mut(), inner));
            review.host = request.headers().get(header::HOST).cloned();
        }
        let headers = request.headers_mut();
        match mem::replace(&mut self.fields, FieldEdit::Keep) {
            FieldEdit::Keep => {}
            FieldEdit::DropRange => {
                headers.remove(header::RANGE);
                headers.remove(header::IF_RANGE);
            }
            FieldEdit::Own(own) => {
                let OwnEdit { range, coding } = *own;
                for name in OWN_FIELDS {
                    headers.remove(name);
                }
                range.apply(headers);
                if let Some(coding) = coding {
                    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(coding));
                }
            }
        }
    }
}

/// The conditions of RFC 9110 §13.1.
const OWN_FIELDS: [header::HeaderName; 5] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
];
