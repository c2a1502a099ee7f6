//! How is a URL answered that has the version of another release? From that release's own files:
//! a kept release is a snapshot of its own, in which its version is the current one, and a
//! service over the directory of releases reads the bytes.

mod flight;
mod in_flight;
mod refresh;
mod service;
mod shelf;
mod worker;

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};

pub(crate) use self::in_flight::{Content, InFlight};
pub use self::service::EmptyBody;
pub(crate) use self::service::{FolderService, KeptBody};
use self::{
    flight::{Flight, Landing},
    refresh::{FRESH, FRESH_FOR_UNKNOWN, PATIENCE, Refresh},
    service::Responding,
    shelf::{KeptSnapshot, Shelf},
    worker::Worker,
};
use crate::{
    ResponseBody, ResponseFuture, StaticUrlOutcome, UnlistedPolicy,
    exchange::{
        self, MethodKind,
        redirect::restore_mount,
        request::{Plan, RequestHead, plan_without_releases},
    },
    layer::service::extend,
    observe::log,
    releases::Releases,
    snapshot::{Below, Place, Settings, Snapshot, current::Handle},
    url::{decode, path_and_query, with_path},
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
    /// The release is not known to be kept, or not to list the path. If it turns out not to, the
    /// request is one like any other.
    pub(crate) is_uncertain: bool,
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

/// A request below the mount, as far as the releases matter.
struct Asked<'r> {
    /// The first segment.
    version: Option<&'r str>,
    outcome: StaticUrlOutcome,
    /// The logical path, if the URL has no version and the name is a fingerprinted one.
    fingerprinted: Option<Box<str>>,
}

impl Kept {
    pub(crate) fn new(releases: Releases, folder: FolderService, settings: &Settings) -> Self {
        let settings = Settings {
            // A mismatch is a fault of the store, and logged once.
            is_development: false,
            memory_budget: 0,
            unlisted: UnlistedPolicy::Ask,
            stale_shapes: [].into(),
            kept: None,
            ..settings.clone()
        };
        Self {
            releases,
            folder,
            settings,
            refresh: Refresh::new(Instant::now()),
            shelf: Shelf::default(),
            worker: Arc::default(),
        }
    }

    pub(crate) fn releases(&self) -> &Releases {
        &self.releases
    }
}

/// Returns what to do if a request may be for a kept release. The current version, and files that
/// the current manifest lists without one, come from the current release.
#[inline]
pub(crate) fn find(
    snapshot: &Handle,
    nested: bool,
    head: RequestHead<'_>,
    place: &Place<'_, '_>,
) -> Option<Box<KeptPlan>> {
    match place {
        Place::Below(below) if below.outcome == StaticUrlOutcome::Current => None,
        _ => {
            let kept = snapshot.settings().kept.as_ref()?;
            let is_read = MethodKind::of(head.method).is_get_or_head();
            let path = head.uri.path();
            is_read.then(|| find_other(kept, snapshot, nested, path, place)).flatten()
        }
    }
}

/// Removes the version of a kept release from an `OPTIONS` request.
#[inline]
pub(crate) fn without_version<'r>(
    snapshot: &Snapshot,
    nested: bool,
    head: RequestHead<'r>,
    below: Below<'r, 'r>,
) -> Below<'r, 'r> {
    let (outcome, is_options) = (below.outcome, *head.method == Method::OPTIONS);
    if outcome == StaticUrlOutcome::Current || !is_options {
        return below;
    }
    let place = Place::Below(below);
    let kept = snapshot.settings().kept.as_ref();
    let version = kept.and_then(|kept| {
        let asked = Asked::of(snapshot, nested, head.uri.path(), &place)?;
        asked.version.filter(|version| kept.releases.kept(version).is_some())
    });
    let rest = version.and_then(|version| {
        let below = head.uri.path().strip_prefix(snapshot.base(nested))?;
        below.strip_prefix('/')?.strip_prefix(version)?.strip_prefix('/')
    });
    match rest {
        Some(rest) => {
            let rest = Some(rest);
            Below { outcome: StaticUrlOutcome::Kept, rest, is_literal: false, file: None }
        }
        None => below,
    }
}

#[cold]
fn find_other(
    kept: &Arc<Kept>,
    snapshot: &Handle,
    nested: bool,
    path: &str,
    place: &Place<'_, '_>,
) -> Option<Box<KeptPlan>> {
    let asked = Asked::of(snapshot, nested, path, place)?;
    let plan = |wanted, refresh, is_uncertain| {
        let (kept, current) = (Arc::clone(kept), snapshot.clone());
        Some(Box::new(KeptPlan { kept, current, nested, wanted, refresh, is_uncertain }))
    };
    let wanted = asked.wanted(&kept.releases);
    // With a mount of `/`, the rest of the site may have a path that starts like a version.
    let is_shared = snapshot.settings().mount.is_root();
    let now = Instant::now();
    if let Some(wanted) = wanted {
        return plan(wanted, kept.refresh_after(now, FRESH), is_shared);
    }
    let is_expected = asked.outcome == StaticUrlOutcome::Stale || asked.fingerprinted.is_some();
    let fresh = if is_expected { FRESH_FOR_UNKNOWN } else { FRESH };
    let refresh = kept.refresh_after(now, fresh)?;
    plan(asked.unknown()?, Some(refresh), true)
}

impl<'r> Asked<'r> {
    fn of(snapshot: &Snapshot, nested: bool, path: &'r str, place: &Place<'_, 'r>) -> Option<Self> {
        let (outcome, rest) = match *place {
            Place::Below(Below {
                outcome: StaticUrlOutcome::Unversioned, file: Some(_), ..
            }) => {
                return None;
            }
            // What is not plain keeps its version.
            Place::Below(Below { outcome, rest, .. }) => (outcome, rest?),
            Place::Outside { is_version_shaped } if snapshot.settings().mount.is_root() => {
                let stale = StaticUrlOutcome::Stale;
                let outcome = if is_version_shaped { stale } else { StaticUrlOutcome::Unversioned };
                (outcome, path.strip_prefix('/')?)
            }
            Place::Outside { .. } => return None,
        };
        let below = path.strip_prefix(snapshot.base(nested))?.strip_prefix('/')?;
        let version = below.split_once('/').map(|(version, _)| version);
        let rule = snapshot.settings().fingerprinted.as_ref();
        let rule = rule.filter(|_| outcome == StaticUrlOutcome::Unversioned);
        let fingerprinted = rule.and_then(|rule| {
            let path = decode(rest)?;
            rule.position(&path).map(|_| Box::from(&*path))
        });
        Some(Self { version, outcome, fingerprinted })
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
    fn refresh_after(
        self: &Arc<Self>,
        now: Instant,
        fresh: std::time::Duration,
    ) -> Option<Arc<Flight<()>>> {
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
        let waiting = thread::Builder::new().name("static-url-patience".into()).spawn(move || {
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
        drop(waiting);
    }
}

/// How is a request answered?
impl KeptPlan {
    pub(crate) fn current(&self) -> &Handle {
        &self.current
    }

    pub(crate) fn outcome(&self) -> StaticUrlOutcome {
        match self.wanted {
            Wanted::Version(_) => StaticUrlOutcome::Kept,
            Wanted::Newest { .. } => StaticUrlOutcome::Unversioned,
        }
    }

    /// Responds for the release. `None` if there is none, or if it does not list the path and
    /// others may.
    async fn respond(self, parts: Parts) -> Option<KeptResponse> {
        let Self { kept, wanted, refresh, .. } = &self;
        if let Some(refresh) = refresh {
            refresh.landed().await;
        }
        let release = match wanted {
            Wanted::Version(version) => kept.releases.kept(version),
            Wanted::Newest { path } => kept.releases.newest_with(path),
        };
        let request = Request::from_parts(parts, EmptyBody);
        let release = release?;
        let response = match kept.open(&release).await {
            Ok(opened) => self.respond_from(&opened, request).await,
            Err(status) => Err(status),
        };
        match response {
            Err(StatusCode::NOT_FOUND) if self.is_uncertain => None,
            response => Some(response.unwrap_or_else(refuse)),
        }
    }

    async fn respond_from(
        &self,
        opened: &Arc<KeptSnapshot>,
        mut request: Request<EmptyBody>,
    ) -> Result<KeptResponse, StatusCode> {
        let kept = &self.kept;
        let (snapshot, original) = (&opened.handle, request.uri().clone());
        let division = snapshot.divide(self.nested, original.path());
        let rest = division.map(|division| division.rest).ok_or(StatusCode::NOT_FOUND)?;
        let path = decode(rest).ok_or(StatusCode::NOT_FOUND)?;
        let index = snapshot.find(&path).ok_or(StatusCode::NOT_FOUND)?;
        kept.check(opened, index).await?;
        let file = snapshot.file(index).cloned().ok_or(StatusCode::NOT_FOUND)?;
        let plan = plan_without_releases(RequestHead::of(&request), self.nested, snapshot.clone());
        let (mut edit, mut exchange) = match plan {
            Plan::Forward { edit, exchange } => (edit, exchange),
            Plan::Respond(response) => {
                let response = response.ok_or(StatusCode::NOT_FOUND)?;
                return Ok(response.map(ResponseBody::whole));
            }
            Plan::Pass { .. } | Plan::Kept(_) => return Err(StatusCode::NOT_FOUND),
        };
        let authority = exchange::authority(&original, request.headers());
        edit.keep_path();
        edit.apply(&mut request, &mut exchange);
        let version = snapshot.version();
        if let Some(path) = path_and_query(&format!("/{version}"), rest, original.query()) {
            *request.uri_mut() = with_path(&original, path);
        }
        extend(&mut request, &self.current, self.outcome());
        let responding = kept.folder.respond(request);
        let response = ResponseFuture::<Responding, KeptBody>::forward(responding, exchange).await;
        let mut response = response.map_err(|error| {
            log::kept_service_failed(version, &path, &*error);
            StatusCode::BAD_GATEWAY
        })?;
        if file.has_changed() || response.status() == StatusCode::NOT_FOUND {
            kept.shelf.put_away(opened, index, Instant::now());
            return Err(StatusCode::BAD_GATEWAY);
        }
        restore_location(&mut response, snapshot, authority.as_deref());
        Ok(response)
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
