//! Listed files kept in memory, so that the inner service need not be asked for them.
//!
//! What is kept is what the inner service has sent, before any edit of ours: it stands
//! in for the service, and its answer is reviewed as the service's would be. (For the
//! whole file, wanted on no terms, that gives the same every time and is done once.)
//! Nothing is kept of which the SHA-256 is not the manifest's.

use std::{
    fmt,
    hash::{Hash, Hasher},
    mem,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use quick_cache::{Equivalent, OptionsBuilder, Weighter, sync::Cache};
use rustc_hash::{FxBuildHasher, FxHashSet};
use sha2::{Digest as _, Sha256};

use crate::{
    header::range::Part,
    header::{detached, members},
    snapshot::file::ServedFile,
    snapshot::files::FileIndex,
};

/// A file larger than this share of the budget is not kept: it would displace too many.
const LARGEST_SHARE: u64 = 32;

/// The share that knows which coding is chosen for which `Accept-Encoding`.
const CHOICES_SHARE: u64 = 8;

/// The share that may be used, on top of the budget, by what is just being read.
const READING_SHARE: u64 = 4;

/// Locks. Each guards its part of the budget, which must hold some of the largest files.
const SHARDS: usize = 8;

/// What an entry takes beside its content and header fields, roughly.
const OVERHEAD: usize = 512;
const CHOICE_OVERHEAD: usize = 128;

/// What a line takes in a map of header fields, and what a value takes beside its bytes.
const LINE: usize = 112;
const VALUE: usize = 56;

/// A longer `Accept-Encoding` is no browser's, and not kept.
const LONGEST_ACCEPT: usize = 128;

pub(crate) struct Memory {
    budget: u64,
    answers: Cache<Coded, Arc<Answer>, Weight, FxBuildHasher>,
    choices: Cache<Choice, &'static str, Weight, FxBuildHasher>,
    reading: Mutex<Reading>,
}

/// What is just being read, in order to be kept.
#[derive(Debug, Default)]
struct Reading {
    contents: FxHashSet<Coded>,
    bytes: u64,
}

/// A file in one of its codings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Coded {
    pub(crate) file: FileIndex,
    pub(crate) coding: &'static str,
}

/// What the inner service sends for a file in one coding.
#[derive(Debug)]
pub(crate) struct Answer {
    headers: HeaderMap,
    content: Bytes,
    /// What becomes of `headers` for those who want the whole on no terms: the same every
    /// time, because the snapshot is the same, and the answer has agreed with the file
    /// before it was kept.
    edited: OnceLock<HeaderMap>,
}

/// For what the inner service has chosen a coding: which one of several `Accept-Encoding`
/// selects is up to the service, so exactly the same value selects it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    file: FileIndex,
    accept: Option<Box<[u8]>>,
}

/// A [`Choice`] that is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'r> {
    pub(crate) file: FileIndex,
    pub(crate) accept: Option<&'r [u8]>,
}

impl Memory {
    /// `None` for a budget of 0.
    pub(crate) fn new(budget: u64) -> Option<Self> {
        let cache = |share: u64| {
            OptionsBuilder::new()
                .shards(SHARDS)
                .weight_capacity(share)
                // A guess at what it takes to index them; it grows where there are more.
                .estimated_items_capacity(usize::try_from(share / (16 * 1024)).unwrap_or(0).max(64))
                .build()
                .expect("options fail only where a capacity is missing, and both are set")
        };
        let choices = (budget / CHOICES_SHARE).max(1);
        let [answers, choices] = [cache(budget.checked_sub(choices)?), cache(choices)];
        Some(Self {
            budget,
            answers: Cache::with_options(answers, Weight, FxBuildHasher, Default::default()),
            choices: Cache::with_options(choices, Weight, FxBuildHasher, Default::default()),
            reading: Mutex::default(),
        })
    }

    /// Lets go of everything, and keeps nothing any more: a snapshot that is not the
    /// current one any more may still be held for long.
    pub(crate) fn retire(&self) {
        self.answers.set_capacity(0);
        self.choices.set_capacity(0);
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        // It is whole whenever the lock is free.
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The coding that the inner service chooses.
    pub(crate) fn chosen(&self, wanted: Wanted<'_>) -> Option<&'static str> {
        self.choices.get(&wanted)
    }

    /// What the inner service would answer.
    pub(crate) fn recall(&self, content: Coded) -> Option<Arc<Answer>> {
        self.answers.get(&content)
    }

    /// Begins to keep what a response carries that the inner service has chosen, where it
    /// may be kept. One response at a time fills the place of a file; any others that
    /// arrive meanwhile just pass.
    pub(crate) fn keep(
        self: &Arc<Self>,
        choice: &Choice,
        coding: &'static str,
        headers: &HeaderMap,
        file: &Arc<ServedFile>,
    ) -> Option<Box<Keeping>> {
        let length = file.info(coding)?.length;
        if length > self.budget / LARGEST_SHARE || !may_be_kept(headers) {
            return None;
        }
        self.choices.insert(choice.clone(), coding);
        let content = Coded { file: choice.file, coding };
        if self.answers.contains_key(&content) {
            return None;
        }
        let place = Place::take(self, content, file, length)?;
        Keeping::new(place, headers).map(Box::new)
    }
}

impl Answer {
    /// The whole, edited.
    pub(crate) fn edited(
        &self,
        edit: impl FnOnce(Response<Bytes>) -> Response<Bytes>,
    ) -> Response<Bytes> {
        let whole = || with(&self.headers, self.content.clone());
        // A clone has no room to spare.
        let headers = self.edited.get_or_init(|| edit(whole()).headers().clone());
        with(headers, self.content.clone())
    }

    /// To a request for this part of it.
    pub(crate) fn to(&self, part: Part) -> Option<Response<Bytes>> {
        match part {
            Part::Whole => Some(with(&self.headers, self.content.clone())),
            // There it would have to be counted.
            Part::Head if !self.headers.contains_key(header::CONTENT_LENGTH) => None,
            Part::Head => Some(with(&self.headers, Bytes::new())),
            Part::Range(range) => self.part(range.within(self.content.len())?),
        }
    }

    /// As RFC 9110 §15.3.7 has it: the fields of the whole, but for its length. `None`
    /// where the inner service does not say that it sends parts, and where another field
    /// is of the part alone.
    fn part(&self, range: Range<usize>) -> Option<Response<Bytes>> {
        if OF_WHAT_IS_SENT.iter().any(|name| self.headers.contains_key(*name)) {
            return None;
        }
        let accepts = self.headers.get(header::ACCEPT_RANGES)?;
        accepts.as_bytes().eq_ignore_ascii_case(b"bytes").then_some(())?;
        let (last, complete) = (range.end - 1, self.content.len());
        let content_range = format!("bytes {}-{last}/{complete}", range.start);
        let mut response = with(&self.headers, self.content.slice(range.clone()));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_RANGE, HeaderValue::try_from(content_range).ok()?);
        if let Some(length) = headers.get_mut(header::CONTENT_LENGTH) {
            *length = range.len().into();
        }
        Some(response)
    }
}

fn with(headers: &HeaderMap, content: Bytes) -> Response<Bytes> {
    let mut response = Response::new(content);
    *response.headers_mut() = headers.clone();
    response
}

/// What differs between a part and the whole, beside its length (RFC 9530 §2, and its
/// forerunner).
const OF_WHAT_IS_SENT: [&str; 2] = ["content-digest", "content-md5"];

/// What does not describe the content, but the connection or the moment at which it was
/// sent; a response with one of these is not kept. (`Set-Cookie` is among what makes one
/// personal.)
const OF_THE_MOMENT: [HeaderName; 9] = [
    header::AGE,
    header::CONNECTION,
    header::EXPIRES,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::WARNING,
];

fn may_be_kept(headers: &HeaderMap) -> bool {
    let mut varies = members(headers, header::VARY);
    !OF_THE_MOMENT.iter().any(|name| headers.contains_key(name))
        && varies.all(|name| name.eq_ignore_ascii_case(b"accept-encoding"))
}

/// The right to fill a place, and the memory that is set aside meanwhile.
struct Place {
    memory: Arc<Memory>,
    content: Coded,
    file: Arc<ServedFile>,
    length: u64,
}

impl Place {
    /// `None` where somebody else has it, or too much is being read already.
    fn take(
        memory: &Arc<Memory>,
        content: Coded,
        file: &Arc<ServedFile>,
        length: u64,
    ) -> Option<Self> {
        let mut reading = memory.reading();
        let bytes = reading.bytes.checked_add(length)?;
        if bytes > memory.budget / READING_SHARE || !reading.contents.insert(content) {
            return None;
        }
        reading.bytes = bytes;
        drop(reading);
        Some(Self { memory: Arc::clone(memory), content, file: Arc::clone(file), length })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut reading = self.memory.reading();
        reading.bytes -= self.length;
        reading.contents.remove(&self.content);
    }
}

/// A response being kept while it passes. What has become of it is seen when it is
/// dropped: many readers drop a body after its last byte, without asking for its end.
pub(crate) struct Keeping {
    place: Place,
    headers: HeaderMap,
    sha256: Sha256,
    bytes: Vec<u8>,
    is_spoiled: bool,
}

impl Keeping {
    fn new(place: Place, headers: &HeaderMap) -> Option<Self> {
        let mut headers = headers.clone();
        // What is sent later has another one.
        headers.remove(header::DATE);
        headers.values_mut().for_each(|value| *value = detached(value));
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(usize::try_from(place.length).ok()?).ok()?;
        Some(Self { place, headers, sha256: Sha256::new(), bytes, is_spoiled: false })
    }

    /// Takes in what passes.
    pub(crate) fn take_in<D: Buf, E>(&mut self, passed: &Option<Result<Frame<D>, E>>) {
        let Some(passed) = passed else { return };
        // There is no file in an error, nor in something else than data.
        let data = passed.as_ref().ok().and_then(Frame::data_ref);
        match data.map(Buf::chunk) {
            Some(chunk) if (self.bytes.len() + chunk.len()) as u64 <= self.place.length => {
                self.sha256.update(chunk);
                self.bytes.extend_from_slice(chunk);
            }
            _ => self.is_spoiled = true,
        }
    }

    fn is_the_file(&mut self) -> bool {
        let Place { content, file, length, .. } = &self.place;
        // What the inner service says of a file that has changed is for it to say.
        !self.is_spoiled
            && !file.has_changed()
            && self.bytes.len() as u64 == *length
            && file
                .info(content.coding)
                .is_some_and(|info| self.sha256.finalize_reset()[..] == info.sha256)
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        if self.is_the_file() {
            let headers = mem::take(&mut self.headers);
            let content = Bytes::from(mem::take(&mut self.bytes));
            let answer = Arc::new(Answer { headers, content, edited: OnceLock::new() });
            self.place.memory.answers.insert(self.place.content, answer);
        }
    }
}

/// In bytes.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Coded, Arc<Answer>> for Weight {
    fn weight(&self, _: &Coded, answer: &Arc<Answer>) -> u64 {
        let values = answer.headers.values().map(|value| VALUE + value.len()).sum::<usize>();
        // There are two maps with the same values; the edited one has two more lines at most.
        let lines = (2 * answer.headers.len() + 2) * LINE;
        (OVERHEAD + lines + values + answer.content.len()) as u64
    }
}

impl Weighter<Choice, &'static str> for Weight {
    fn weight(&self, choice: &Choice, _: &&'static str) -> u64 {
        (CHOICE_OVERHEAD + choice.accept.as_ref().map_or(0, |accept| accept.len())) as u64
    }
}

impl<'r> Wanted<'r> {
    /// What an `Accept-Encoding` selects; `None` where that is not in one short line.
    pub(crate) fn of(file: FileIndex, headers: &'r HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(header::ACCEPT_ENCODING).iter();
        let accept = lines.next().map(HeaderValue::as_bytes);
        let is_long = accept.is_some_and(|accept| accept.len() > LONGEST_ACCEPT);
        (!is_long && lines.next().is_none()).then_some(Self { file, accept })
    }

    pub(crate) fn to_choice(self) -> Choice {
        Choice { file: self.file, accept: self.accept.map(Box::from) }
    }
}

impl Choice {
    pub(crate) fn file(&self) -> FileIndex {
        self.file
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { file: self.file, accept: self.accept.as_deref() }
    }
}

impl Hash for Choice {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.wanted().hash(state);
    }
}

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { file, accept } = self;
        (file, accept).hash(state);
    }
}

impl Equivalent<Choice> for Wanted<'_> {
    fn equivalent(&self, choice: &Choice) -> bool {
        self.file == choice.file && self.accept == choice.accept.as_deref()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("budget", &self.budget).finish_non_exhaustive()
    }
}
