//! Which requests get a delta, and where do its two contents come from?

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, Uri};

use crate::{
    StaticUrlOutcome,
    delta::{
        answer::{edit, is_whole, lasting_fields},
        asked::asked_dictionary,
        encode::{LARGEST, encode, memory_of},
        workshop::{Made, Pair, Refusal, Workshop},
    },
    exchange::{
        names_content,
        offer::offer_of,
        request::{RequestHead, must_bypass},
    },
    header::{
        AVAILABLE_DICTIONARY, USE_AS_DICTIONARY, content_coding::AcceptedCodings,
        head::RequestFields,
    },
    kept::{Kept, content::Content},
    manifest::FileInfo,
    observe::event::{self, DeltaEvent, Event},
    releases::DictionaryName,
    snapshot::{Below, Place, Snapshot, current::Handle, file::File},
    url::{Division, decode},
};

/// A dictionary may be so long in bytes, however short the file is. A longer one may have four
/// times the length of the file, because the old files of several deltas are in memory at the
/// same time.
const LONG: u64 = 16 << 20;

/// A request for a file by a client that has another version of it.
pub(crate) struct DeltaPlan {
    kept: Arc<Kept>,
    workshop: Arc<Workshop>,
    /// The release that has the file.
    snapshot: Handle,
    /// The layer's current snapshot.
    #[cfg_attr(
        not(feature = "object-store"),
        expect(dead_code, reason = "only a bucket needs it")
    )]
    current: Handle,
    outcome: StaticUrlOutcome,
    file: Arc<File>,
    name: DictionaryName,
    pair: Pair,
    /// The length of the content.
    length: u64,
    /// The length of the smallest form of the file that the client accepts.
    smallest: u64,
    is_head: bool,
    /// The response depends on nothing but the file and the codings that the client accepts.
    is_plain: bool,
    offer: Option<HeaderValue>,
    /// The delta was made for this request, and not for another that waits as well.
    is_maker: Arc<AtomicBool>,
}

/// Whether a request may be for a delta: the first look, which all requests pay for.
#[inline]
pub(crate) fn may_ask(snapshot: &Snapshot, headers: &HeaderMap) -> bool {
    snapshot.settings().deltas.is_some() && headers.contains_key(AVAILABLE_DICTIONARY)
}

impl DeltaPlan {
    /// Returns a plan if the request is for a file that the current snapshot names by its content,
    /// and asks for a delta.
    pub(crate) fn of(
        head: RequestHead<'_>,
        nested: bool,
        snapshot: &Handle,
        kept: &Arc<Kept>,
    ) -> Option<Arc<Self>> {
        if !may_ask(snapshot, head.headers) {
            return None;
        }
        let dictionary = asked_dictionary(head.method, head.headers)?;
        let Place::Below(below) = snapshot.locate(nested, head.uri.path()) else { return None };
        Self::new(head, dictionary, (snapshot, &below), kept, snapshot).map(Arc::new)
    }

    /// Returns a plan for a file of a kept release, as [`of`](Self::of) does. The file is as it is
    /// listed: a file of `snapshot` counts as read and checked once it is made.
    pub(crate) fn of_kept(
        head: RequestHead<'_>,
        nested: bool,
        snapshot: &Handle,
        kept: &Arc<Kept>,
        current: &Handle,
    ) -> Option<Arc<Self>> {
        let dictionary = asked_dictionary(head.method, head.headers)?;
        let Division { outcome, rest, .. } = snapshot.divide(nested, head.uri.path())?;
        let path = decode(rest)?;
        let index = snapshot.find(&path)?;
        let listed = snapshot.files()?.listed(index)?;
        let (is_literal, file) = (matches!(path, Cow::Borrowed(_)), Some((index, &listed)));
        let below = Below { outcome, rest: Some(rest), is_literal, file };
        let plan = Self::new(head, dictionary, (snapshot, &below), kept, current)?;
        // Nothing that the file remembers outlives the plan.
        Some(Arc::new(Self { is_plain: false, ..plan }))
    }

    fn new(
        head: RequestHead<'_>,
        dictionary: [u8; 32],
        (snapshot, below): (&Handle, &Below<'_, '_>),
        kept: &Arc<Kept>,
        current: &Handle,
    ) -> Option<Self> {
        let (index, file) = below.file?;
        if !names_content(snapshot, below.outcome, Some(index)) {
            return None;
        }
        let (path, info) = (file.path(), file.info()?);
        event::emit(Event::Delta { path, event: DeltaEvent::Asked });
        Some(Self {
            kept: Arc::clone(kept),
            workshop: Arc::clone(snapshot.settings().deltas.as_ref()?),
            current: current.clone(),
            outcome: below.outcome,
            file: Arc::clone(file),
            name: DictionaryName::of(path, snapshot.settings().fingerprinted.as_ref()),
            pair: Pair { dictionary, content: *info.sha256() },
            snapshot: snapshot.clone(),
            length: info.length(),
            smallest: smallest(head, file, info),
            is_head: *head.method == Method::HEAD,
            is_plain: is_plain(head, file, snapshot),
            offer: offer_of(snapshot, below),
            is_maker: Arc::default(),
        })
    }

    /// Responds without the inner service, if the delta has been made, and if it is known which
    /// fields a response for the file has. `uri` is that of the request.
    pub(crate) fn respond(&self, uri: &Uri) -> Option<Response<Bytes>> {
        let fields = self.file.delta_fields().filter(|_| self.is_plain)?;
        self.knows_dictionary().then_some(())?;
        let Some(Made::Delta(delta)) = self.known() else { return None };
        let saved = self.saved(&delta, self.smallest)?;
        let mut headers = fields.clone();
        if let Some(offer) = &self.offer {
            headers.insert(USE_AS_DICTIONARY, offer.clone());
        }
        if let Some(cdn) = &self.snapshot.settings().cdn {
            cdn.add_version(&mut headers, self.snapshot.version());
        }
        let (outcome, version) = (self.outcome, self.snapshot.version());
        event::emit(Event::Request { outcome, version, uri });
        self.emit(DeltaEvent::Reused { saved });
        Some(self.answer(headers, delta))
    }

    /// Whether a delta may take the place of a response. Remembers its fields for later ones.
    pub(super) fn is_for<B>(&self, response: &Response<B>) -> bool {
        let is_whole = is_whole(response, &self.file);
        if is_whole && self.is_plain {
            self.file.remember_delta_fields(|| {
                let mut fields = lasting_fields(response.headers())?;
                // What the file remembers outlives the version.
                if let Some(cdn) = &self.snapshot.settings().cdn {
                    cdn.remove_version(&mut fields, self.snapshot.version());
                }
                Some(fields)
            });
        }
        is_whole
    }

    /// Returns the delta that takes the place of a response of some length. Waits until it has
    /// been made.
    pub(super) async fn delta(self: Arc<Self>, ordinary: Option<u64>) -> Option<Bytes> {
        let smallest = ordinary.map_or(self.smallest, |length| length.min(self.smallest));
        let (found, is_new) = self.find_or_make().await;
        let found = found.and_then(|delta| {
            let saved = self.saved(&delta, smallest).ok_or(Refusal::NotSmaller)?;
            Ok((delta, saved))
        });
        let (delta, event) = match found {
            Ok((delta, saved)) if is_new => (Some(delta), DeltaEvent::Made { saved }),
            Ok((delta, saved)) => (Some(delta), DeltaEvent::Reused { saved }),
            Err(refusal) => (None, DeltaEvent::Refused(refusal)),
        };
        self.emit(event);
        delta
    }

    /// Returns the response with the delta. `headers` are those of the whole file.
    pub(super) fn answer(&self, mut headers: HeaderMap, delta: Bytes) -> Response<Bytes> {
        edit(&mut headers, &self.pair, &delta, self.workshop.settings().is_shared());
        let body = if self.is_head { Bytes::new() } else { delta };
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        response
    }

    /// Returns what has come of the pair, and whether it was made for this request.
    async fn find_or_make(&self) -> (Result<Bytes, Refusal>, bool) {
        if !self.knows_dictionary() {
            return (Err(Refusal::UnknownDictionary), false);
        }
        match self.known() {
            Some(made) => (made.into(), false),
            None => (self.make().await, self.is_maker.load(Relaxed)),
        }
    }

    async fn make(&self) -> Result<Bytes, Refusal> {
        let found = self.kept.releases().find_dictionary(self.name, &self.pair.dictionary);
        let (release, path) = found.ok_or(Refusal::UnknownDictionary)?;
        let dictionary = Content::in_release(&release, path, self.pair.dictionary);
        #[cfg(feature = "object-store")]
        if self.kept.may_bring(&dictionary) {
            return self.make_with_bucket(dictionary).await;
        }
        self.join(dictionary, Refusal::NoDictionary).await
    }

    /// Makes the delta with a dictionary that may have to come from the bucket first. As long as
    /// it is on its way, all who ask wait for it.
    #[cfg(feature = "object-store")]
    async fn make_with_bucket(&self, dictionary: Content) -> Result<Bytes, Refusal> {
        let mut made = self.join(dictionary.clone(), Refusal::NotHere).await;
        if made == Err(Refusal::NotHere) && self.kept.bring(&dictionary, &self.current).await {
            // Once more, because the first may have been begun by somebody else before it came.
            made = self.join(dictionary.clone(), Refusal::NotHere).await;
            if made == Err(Refusal::NotHere) {
                made = self.join(dictionary, Refusal::NotHere).await;
            }
        }
        if made == Err(Refusal::NotHere) {
            self.workshop.refuse_late(self.pair, Instant::now());
            return Err(Refusal::NoDictionary);
        }
        made
    }

    /// `missing` is what it means if the dictionary is not there.
    async fn join(&self, dictionary: Content, missing: Refusal) -> Result<Bytes, Refusal> {
        let (length, sha256) = (self.length, self.pair.dictionary);
        let version = self.snapshot.version();
        let content = self.kept.find_content(version, self.file.path(), self.pair.content);
        let is_maker = Arc::clone(&self.is_maker);
        let make = move || {
            is_maker.store(true, Relaxed);
            if length > LARGEST {
                return Err(Refusal::TooLarge);
            }
            let most = LARGEST.min(LONG.max(4 * length));
            let dictionary = dictionary.read(most).ok_or(missing)?;
            let content = content.read(length).ok_or(Refusal::NoContent)?;
            encode(&dictionary, &sha256, &content).map_err(|_| Refusal::Failed)
        };
        let flight = self.workshop.join(self.pair, memory_of(length, length), make)?;
        flight.landed().await.map_or(Err(Refusal::Failed), Into::into)
    }

    /// Whether a release that is kept has the dictionary at the path of the file, up to the hash
    /// in its name.
    fn knows_dictionary(&self) -> bool {
        let releases = self.kept.releases();
        self.pair.is_unchanged()
            || releases.find_dictionary(self.name, &self.pair.dictionary).is_some()
    }

    fn known(&self) -> Option<Made> {
        self.workshop.get(&self.pair, self.length, Instant::now())
    }

    fn emit(&self, event: DeltaEvent) {
        event::emit(Event::Delta { path: self.file.path(), event });
    }

    /// Returns how many bytes a delta saves. `None` if it is not the smallest response.
    fn saved(&self, delta: &Bytes, smallest: u64) -> Option<u64> {
        smallest.checked_sub(delta.len() as u64).filter(|&saved| saved > 0)
    }
}

/// Returns the length of the smallest form of a file that the client accepts.
fn smallest(head: RequestHead<'_>, file: &File, info: &FileInfo) -> u64 {
    let accepted = file.acceptable(AcceptedCodings::of(head.headers));
    file.lengths(accepted).min().unwrap_or(info.length())
}

/// Whether the response depends on nothing but the file and the codings that the client accepts.
fn is_plain(head: RequestHead<'_>, file: &File, snapshot: &Snapshot) -> bool {
    !RequestFields::of(head.headers).has_conditional()
        && head.uri.query().is_none()
        && !must_bypass(file, snapshot)
        && !file.has_changed()
        && file.stale_codings().is_empty()
}
