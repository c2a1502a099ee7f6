//! How is a URL answered that has the version of another release? From that release's own files:
//! a kept release is a snapshot of its own, in which its version is the current one, and a
//! service over the directory of releases reads the bytes.

#[cfg(feature = "object-store")]
mod fill;
mod flight;
#[cfg(feature = "memory")]
mod from_memory;
#[cfg(not(feature = "memory"))]
#[path = "from_memory_off.rs"]
mod from_memory;
mod in_flight;
mod refresh;
mod service;
mod shelf;
#[cfg(feature = "object-store")]
mod streaming;
mod worker;

use std::{
    future::ready,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};

pub(crate) use self::in_flight::{Content, InFlight, Responding, begin};
pub use self::service::EmptyBody;
use self::service::FolderResponding;
pub(crate) use self::service::{FolderService, KeptBody};
use self::{
    flight::{Flight, Landing},
    from_memory::Found,
    refresh::{FRESH, FRESH_FOR_UNKNOWN, PATIENCE, Refresh},
    shelf::{Checked, KeptSnapshot, Shelf},
    worker::Worker,
};
use crate::{
    ResponseBody, ResponseFuture, StaticUrlOutcome, UnlistedPolicy,
    exchange::{
        self, MethodKind,
        redirect::restore_mount,
        request::{Plan, RequestHead, not_modified, plan_without_releases},
    },
    layer::{body::BoxError, service::extend_kept},
    manifest::FileIndex,
    observe::log,
    releases::{KeptRelease, Releases},
    snapshot::{Below, Settings, Snapshot, current::Handle, evidence::LengthTrust},
    url::{decode, is_plain, path_and_query, with_path},
};

/// A response from the files of a kept release.
pub(crate) type KeptResponse = Response<ResponseBody<KeptBody>>;

/// The releases that a layer answers for, besides its current one.
#[derive(Debug)]
pub(crate) struct Kept {
    releases: Releases,
    folder: FolderService,
    settings: Settings,
    refresh: Refresh,
    shelf: Shelf,
    worker: Arc<Worker>,
    worker_for_large: Arc<Worker>,
    #[cfg(feature = "object-store")]
    fills: fill::Fills,
}

/// A request that a kept release may have to answer.
#[derive(Debug)]
pub(crate) struct KeptPlan {
    kept: Arc<Kept>,
    /// The layer's current snapshot, for handlers.
    current: Handle,
    nested: bool,
    wanted: Wanted,
    /// What has to be known first.
    refresh: Option<Arc<Flight<()>>>,
    /// A path that the release does not list belongs to the current tree, or to the rest of the
    /// site.
    is_shared: bool,
    /// The release is not known to be kept, or the path is shared. If the release does not
    /// respond, the request is one like any other.
    is_uncertain: bool,
}

/// Why a release does not respond.
enum Failed {
    With(StatusCode),
    /// The file is not what it was when it was checked.
    Changed(FileIndex),
}

impl From<StatusCode> for Failed {
    fn from(status: StatusCode) -> Self {
        Self::With(status)
    }
}

/// Which release is wanted.
#[derive(Debug)]
enum Wanted {
    Version(Box<str>),
    /// The newest one that lists this logical path: a fingerprinted one.
    Newest {
        path: Box<str>,
    },
}

/// A request that the current release does not answer, as far as the others matter.
struct Candidate<'r> {
    /// The first segment.
    version: Option<&'r str>,
    /// Somebody may have published it a moment ago.
    is_expected: bool,
    /// The logical path, if the URL has no version and the name is a fingerprinted one.
    fingerprinted: Option<Box<str>>,
}

impl Kept {
    pub(crate) fn new(
        releases: Releases,
        folder: FolderService,
        settings: &Settings,
        // Where the files of the current release are.
        roots: Vec<PathBuf>,
    ) -> Self {
        let settings = Settings {
            // A mismatch is a fault of the store, and logged once.
            is_development: false,
            trust: LengthTrust::WithDate,
            // The files come from the memory of the current release.
            memory_budget: 0,
            unlisted: UnlistedPolicy::Ask,
            stale_shapes: [].into(),
            kept: None,
            ..settings.clone()
        };
        if let Some(rule) = &settings.fingerprinted {
            releases.find_by(rule);
        }
        #[cfg(not(feature = "object-store"))]
        drop(roots);
        Self {
            releases,
            folder,
            settings,
            refresh: Refresh::new(Instant::now()),
            shelf: Shelf::default(),
            worker: Arc::default(),
            worker_for_large: Arc::default(),
            #[cfg(feature = "object-store")]
            fills: fill::Fills::new(roots),
        }
    }

    pub(crate) fn releases(&self) -> &Releases {
        &self.releases
    }
}

/// Returns what to do if a request below the mount may be for a kept release. The current version,
/// and files that the current manifest lists without one, come from the current release.
#[cold]
pub(crate) fn find(
    snapshot: &Handle,
    nested: bool,
    head: RequestHead<'_>,
    below: &Below<'_, '_>,
) -> Option<Box<KeptPlan>> {
    let is_unversioned = below.outcome == StaticUrlOutcome::Unversioned;
    if is_unversioned && below.file.is_some() {
        return None;
    }
    // What is not plain keeps its version.
    let rest = below.rest?;
    let is_in_tree = is_unversioned && has_in_tree(snapshot, below);
    // A release lists files alone.
    if is_in_tree && rest.ends_with('/') {
        return None;
    }
    let candidate = Candidate::of(snapshot, nested, head.uri.path(), rest, !is_unversioned)?;
    candidate.plan(snapshot, nested, is_in_tree || snapshot.settings().mount.is_root())
}

/// Whether the current tree has a directory or a page at a path that spells no listed file.
fn has_in_tree(snapshot: &Snapshot, below: &Below<'_, '_>) -> bool {
    snapshot.has_manifest() && snapshot.may_answer(below)
}

/// Whether a request that is not below the mount may be for a kept release. With a mount of `/`
/// only what is listed is below it, and a release may list more.
#[inline]
pub(crate) fn may_be_below(snapshot: &Snapshot, method: MethodKind) -> bool {
    let settings = snapshot.settings();
    settings.kept.is_some() && settings.mount.is_root() && method.is_get_or_head()
}

/// Returns what to do with such a request.
#[cold]
pub(crate) fn find_outside(
    snapshot: &Handle,
    head: RequestHead<'_>,
    is_version_shaped: bool,
) -> Option<Box<KeptPlan>> {
    let path = head.uri.path();
    let rest = path.strip_prefix('/')?;
    // The rest of the site may have a path that starts like a version.
    let candidate = Candidate::of(snapshot, false, path, rest, is_version_shaped)?;
    candidate.plan(snapshot, false, true).filter(|_| is_plain(rest))
}

/// Removes the version of a kept release from an `OPTIONS` request.
#[cold]
pub(crate) fn remove_version<'r>(
    snapshot: &Snapshot,
    nested: bool,
    head: RequestHead<'r>,
    below: &mut Below<'_, 'r>,
) {
    let Some(kept) = &snapshot.settings().kept else { return };
    let path = head.uri.path().strip_prefix(snapshot.base(nested));
    let path = path.and_then(|path| path.strip_prefix('/')).filter(|_| below.rest.is_some());
    if let Some((version, rest)) = path.and_then(|path| path.split_once('/'))
        && below.file.is_none()
        && !has_in_tree(snapshot, below)
        && kept.releases.kept(version).is_some()
    {
        let outcome = StaticUrlOutcome::Kept;
        *below = Below { outcome, rest: Some(rest), is_literal: false, file: None };
    }
}

impl<'r> Candidate<'r> {
    fn of(
        snapshot: &Snapshot,
        nested: bool,
        path: &'r str,
        rest: &str,
        is_versioned: bool,
    ) -> Option<Self> {
        let below = path.strip_prefix(snapshot.base(nested))?.strip_prefix('/')?;
        // Versions are short, and so are other segments.
        let version = below.bytes().position(|byte| byte == b'/').map(|slash| &below[..slash]);
        let rule = snapshot.settings().fingerprinted.as_ref().filter(|_| !is_versioned);
        let fingerprinted = rule.and_then(|rule| {
            let path = decode(rest)?;
            rule.position(&path).map(|_| Box::from(&*path))
        });
        let is_expected = is_versioned || fingerprinted.is_some();
        Some(Self { version, is_expected, fingerprinted })
    }

    /// `is_shared`: a path that the release does not list may belong to somebody else.
    fn plan(self, snapshot: &Handle, nested: bool, is_shared: bool) -> Option<Box<KeptPlan>> {
        let kept = snapshot.settings().kept.as_ref()?;
        let now = Instant::now();
        let (wanted, refresh, is_uncertain) = match self.wanted(&kept.releases) {
            Some(wanted) => (wanted, kept.refresh_after(now, FRESH), is_shared),
            None => {
                let fresh = if self.is_expected { FRESH_FOR_UNKNOWN } else { FRESH };
                let refresh = kept.refresh_after(now, fresh)?;
                (self.unknown()?, Some(refresh), true)
            }
        };
        let (kept, current) = (Arc::clone(kept), snapshot.clone());
        let plan = KeptPlan { kept, current, nested, wanted, refresh, is_shared, is_uncertain };
        Some(Box::new(plan))
    }

    /// Returns which known release is wanted.
    fn wanted(&self, releases: &Releases) -> Option<Wanted> {
        if let Some(version) = self.version.filter(|version| releases.kept(version).is_some()) {
            return Some(Wanted::Version(version.into()));
        }
        let path = self.fingerprinted.as_ref()?;
        releases.newest_with(path).map(|_| Wanted::Newest { path: path.clone() })
    }

    /// Returns which unknown release may be wanted.
    fn unknown(self) -> Option<Wanted> {
        let version = || self.version.map(|version| Wanted::Version(version.into()));
        self.fingerprinted.map(|path| Wanted::Newest { path }).or_else(version)
    }
}

/// What is known of the releases?
impl Kept {
    /// Returns the refresh for which to wait, if what is known is older than `fresh`.
    fn refresh_after(self: &Arc<Self>, now: Instant, fresh: Duration) -> Option<Arc<Flight<()>>> {
        self.refresh.join(now, fresh, |landing| {
            let kept = Arc::clone(self);
            let thread = thread::Builder::new().name("static-url-releases".into());
            // If no thread can be started, the landing is dropped, and nobody waits.
            if thread.spawn(move || kept.refresh_now(landing)).is_err() {
                self.refresh.end();
            }
        })
    }

    /// Reads the records again, and ends the flight after a second at the latest.
    fn refresh_now(self: Arc<Self>, landing: Landing<()>) {
        let (done, is_done) = mpsc::channel::<()>();
        let patience = thread::Builder::new().name("static-url-patience".into());
        // Without this thread nobody waits.
        let _ = patience.spawn(move || {
            let _ = is_done.recv_timeout(PATIENCE);
            landing.land(());
        });
        /// Ends the refresh, whatever happens.
        struct End<'k>(&'k Kept);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.refresh.end();
            }
        }
        let end = End(&self);
        if let Err(error) = self.releases.refresh() {
            log::releases_not_refreshed(&error);
        }
        drop(end);
        drop(done);
    }
}

/// How is a request answered?
impl KeptPlan {
    pub(crate) fn outcome(&self) -> StaticUrlOutcome {
        match self.wanted {
            Wanted::Version(_) => StaticUrlOutcome::Kept,
            Wanted::Newest { .. } => StaticUrlOutcome::Unversioned,
        }
    }

    /// Responds for the release. `None` if there is none, or if it does not list the path and
    /// others may.
    async fn respond(self: Box<Self>, request: Request<EmptyBody>) -> Option<KeptResponse> {
        let Self { kept, wanted, refresh, .. } = &*self;
        if let Some(refresh) = refresh {
            refresh.landed().await;
        }
        let release = match wanted {
            Wanted::Version(version) => kept.releases.kept(version),
            Wanted::Newest { path } => kept.releases.newest_with(path),
        };
        let release = release?;
        let response = self.respond_for(&release, request).await;
        match response {
            Err(StatusCode::NOT_FOUND) if self.is_shared => None,
            Err(StatusCode::BAD_GATEWAY) if self.is_gone(&release).await => {
                Some(refuse(StatusCode::NOT_FOUND))
            }
            Err(StatusCode::SERVICE_UNAVAILABLE) => {
                kept.shelf.log_news(release.version());
                Some(refuse(StatusCode::SERVICE_UNAVAILABLE))
            }
            response => Some(response.unwrap_or_else(refuse)),
        }
    }

    /// Whether a release has been withdrawn or pruned in the meantime, so that it is no fault that
    /// its files are not there. If not, logs what is wrong.
    async fn is_gone(&self, release: &KeptRelease) -> bool {
        let kept = &self.kept;
        if let Some(refresh) = kept.refresh_after(Instant::now(), FRESH_FOR_UNKNOWN) {
            refresh.landed().await;
        }
        let is_gone = kept.releases.kept(release.version()).is_none();
        if !is_gone {
            kept.shelf.log_news(release.version());
        }
        is_gone
    }

    /// Responds from the files of a release. The error is the status to send.
    async fn respond_for(
        &self,
        release: &Arc<KeptRelease>,
        request: Request<EmptyBody>,
    ) -> Result<KeptResponse, StatusCode> {
        let kept = &self.kept;
        // A file may be deleted to make room just before it is read. It is filled once more.
        let mut attempts = if kept.releases.is_filled() { 2 } else { 1 };
        loop {
            attempts -= 1;
            let opened = kept.open(release).await?;
            let changed = match self.respond_from(&opened, request.clone()).await {
                Err(Failed::Changed(file)) => file,
                Err(Failed::With(status)) => return Err(status),
                Ok(response) => return Ok(response),
            };
            kept.shelf.forget(release);
            if attempts == 0 {
                kept.shelf.add_changed(&opened, changed, Instant::now());
                return Err(StatusCode::BAD_GATEWAY);
            }
        }
    }

    async fn respond_from(
        &self,
        opened: &Arc<KeptSnapshot>,
        mut request: Request<EmptyBody>,
    ) -> Result<KeptResponse, Failed> {
        let kept = &self.kept;
        let (snapshot, original) = (&opened.handle, request.uri().clone());
        let division = snapshot.divide(self.nested, original.path());
        let rest = division.map(|division| division.rest).ok_or(StatusCode::NOT_FOUND)?;
        let path = decode(rest).ok_or(StatusCode::NOT_FOUND)?;
        let index = snapshot.find(&path).ok_or(StatusCode::NOT_FOUND)?;
        let is_current_too = self.is_current_too(opened, &path, index);
        if is_current_too && let Some(response) = self.respond_as_current(rest, &request) {
            return Ok(response.map(ResponseBody::whole));
        }
        // A client that has the listed bytes needs no others.
        if let Some(response) = opened.not_modified(index, RequestHead::of(&request)) {
            return Ok(response.map(ResponseBody::whole));
        }
        // The plan looks for the path as it is spelled, too.
        #[cfg(feature = "object-store")]
        if let Some(source) = kept.releases.source() {
            source.budget.ask(snapshot.version(), Instant::now());
        }
        let mut checked = Checked::File;
        for index in [snapshot.find(rest), Some(index)].into_iter().flatten() {
            checked = kept.check(opened, index, &self.current).await?;
        }
        let snapshot = &checked.opened(opened).handle;
        let file = snapshot.file(index).cloned().ok_or(StatusCode::NOT_FOUND)?;
        let plan = plan_without_releases(RequestHead::of(&request), self.nested, snapshot.clone());
        let (mut edit, mut exchange) = match plan {
            Plan::Forward { edit, exchange } => (edit, exchange),
            Plan::Respond(response) => {
                let response = response.ok_or(StatusCode::NOT_FOUND)?;
                return Ok(response.map(ResponseBody::whole));
            }
            Plan::Pass { .. } | Plan::Kept(_) => return Err(StatusCode::NOT_FOUND.into()),
        };
        let authority = exchange::authority(&original, request.headers());
        let (version, directory) = (snapshot.version(), checked.directory(snapshot.version()));
        let response = match self.look_up(is_current_too, &exchange, &edit, &request) {
            Found::Response(response) => Ok(response),
            Found::Nothing(recording) => {
                edit.keep_path();
                edit.apply(&mut request, &mut exchange);
                if let Some(path) = path_and_query(&directory, rest, original.query()) {
                    *request.uri_mut() = with_path(&original, path);
                }
                extend_kept(&mut request, &self.current, self.outcome());
                let response = checked.respond(&kept.folder, request).await;
                response.map(|response| recording.record(&exchange, response))
            }
        };
        let responding = ready(response);
        let response = ResponseFuture::<_, KeptBody>::forward(responding, exchange).await;
        let mut response = response.map_err(|error: BoxError| {
            log::kept_service_failed(version, &path, &*error);
            StatusCode::BAD_GATEWAY
        })?;
        if file.has_changed() || response.status() == StatusCode::NOT_FOUND {
            return Err(Failed::Changed(index));
        }
        restore_location(&mut response, snapshot, authority.as_deref());
        Ok(response)
    }
}

impl Checked {
    /// Returns the release as a snapshot that has the file.
    fn opened<'c>(&'c self, opened: &'c Arc<KeptSnapshot>) -> &'c Arc<KeptSnapshot> {
        match self {
            Self::File => opened,
            #[cfg(feature = "object-store")]
            Self::Streaming(streaming) => &streaming.opened,
        }
    }

    /// Returns the directory of the file, as the service sees it.
    fn directory(&self, version: &str) -> String {
        match self {
            Self::File => format!("/{version}"),
            #[cfg(feature = "object-store")]
            Self::Streaming(streaming) => format!("/{}", streaming.directory()),
        }
    }

    fn respond(&self, folder: &FolderService, request: Request<EmptyBody>) -> FolderResponding {
        match self {
            Self::File => folder.respond(request),
            #[cfg(feature = "object-store")]
            Self::Streaming(streaming) => Arc::clone(streaming).respond(folder, request),
        }
    }
}

impl KeptSnapshot {
    /// Returns a 304 for a file that has not been read yet. For others the plan knows more.
    fn not_modified(&self, index: FileIndex, head: RequestHead<'_>) -> Option<Response<Bytes>> {
        let files = self.handle.files().filter(|files| !files.is_made(index))?;
        not_modified(head, &self.handle, index, &files.listed(index)?)
    }
}

/// Puts the mount into a `Location` that starts with the version, as the service over the
/// directory of releases sees it.
fn restore_location(response: &mut KeptResponse, snapshot: &Snapshot, authority: Option<&str>) {
    let headers = response.headers_mut();
    let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    let restored = location.and_then(|location| {
        let restored = restore_mount(location, snapshot.mount(), snapshot.version(), authority)?;
        HeaderValue::from_maybe_shared(Bytes::from(restored)).ok()
    });
    if let Some(restored) = restored {
        headers.insert(header::LOCATION, restored);
    }
}

/// Makes an error without content, which nobody stores.
fn refuse(status: StatusCode) -> KeptResponse {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
