//! How is a request answered that a kept release may have to answer?

use std::{future::ready, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;

#[cfg(feature = "delta")]
use crate::delta::DeltaPlan;
use crate::{
    ResponseBody, ResponseFuture, StaticUrlOutcome,
    exchange::{
        self,
        redirect::restore_mount,
        request::{Plan, RequestHead, not_modified, plan_without_releases},
    },
    kept::{
        EmptyBody, FolderService, KeptBody, KeptPlan, KeptResponse, Wanted,
        from_memory::Found,
        refresh::FRESH_FOR_UNKNOWN,
        service::FolderResponding,
        shelf::{Checked, KeptSnapshot},
    },
    layer::{body::BoxError, service::extend_kept},
    manifest::FileIndex,
    observe::{
        event::{self, Event, KeptEvent},
        log,
    },
    releases::KeptRelease,
    snapshot::{Place, Snapshot},
    url::{decode, path_and_query, with_path},
};

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

impl KeptPlan {
    pub(crate) fn outcome(&self) -> StaticUrlOutcome {
        match self.wanted {
            Wanted::Version(_) => StaticUrlOutcome::Kept,
            Wanted::Newest { .. } => StaticUrlOutcome::Unversioned,
        }
    }

    /// Responds for the release. `None` if there is none, or if it does not list the path and
    /// others may.
    pub(super) async fn respond(
        self: Box<Self>,
        request: Request<EmptyBody>,
    ) -> Option<KeptResponse> {
        let uri = request.uri().clone();
        let response = self.respond_if_kept(request).await;
        self.emit(&uri, response.as_ref().map(Response::status));
        response
    }

    /// Emits what the request has turned out to be for.
    fn emit(&self, uri: &Uri, status: Option<StatusCode>) {
        let (outcome, version) = match (&self.wanted, status) {
            (Wanted::Version(version), Some(_)) => (self.outcome(), &**version),
            (Wanted::Newest { .. }, Some(_)) => (self.outcome(), self.current.version()),
            (_, None) => match self.current.locate(self.nested, uri.path()) {
                Place::Below(below) => (below.outcome, self.current.version()),
                Place::Outside { .. } => return,
            },
        };
        event::emit(Event::Request { outcome, version, uri });
        if status.is_some_and(|status| status.is_server_error()) {
            event::emit(Event::Kept(KeptEvent::Failed));
        }
    }

    async fn respond_if_kept(&self, request: Request<EmptyBody>) -> Option<KeptResponse> {
        let Self { kept, wanted, refresh, .. } = self;
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
            if attempts == 0 && kept.releases.is_filled() {
                return Err(StatusCode::SERVICE_UNAVAILABLE);
            }
            if attempts == 0 {
                kept.shelf.add_changed(&opened, changed, Instant::now());
                return Err(StatusCode::BAD_GATEWAY);
            }
        }
    }

    async fn respond_from(
        &self,
        opened: &Arc<KeptSnapshot>,
        request: Request<EmptyBody>,
    ) -> Result<KeptResponse, Failed> {
        #[cfg(feature = "delta")]
        if crate::delta::may_ask(&opened.handle, request.headers()) {
            return self.respond_with_delta(opened, request).await;
        }
        self.respond_ordinary(opened, request).await
    }

    #[cfg(feature = "delta")]
    async fn respond_with_delta(
        &self,
        opened: &Arc<KeptSnapshot>,
        request: Request<EmptyBody>,
    ) -> Result<KeptResponse, Failed> {
        let (kept, snapshot) = (&self.kept, &opened.handle);
        let ordinary = self.respond_ordinary(opened, request.clone()).await?;
        let head = RequestHead::of(&request);
        if ordinary.status() != StatusCode::OK {
            return Ok(ordinary);
        }
        let delta = DeltaPlan::of_kept(head, self.nested, snapshot, kept, &self.current);
        Ok(match delta {
            Some(delta) => delta.replace_soon(ordinary).await,
            None => ordinary,
        })
    }

    async fn respond_ordinary(
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
        if is_current_too && let Some(response) = self.respond_as_current(opened, rest, &request) {
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
        let (response, is_from_memory) =
            match self.look_up(is_current_too, &exchange, &edit, &request) {
                Found::Response(response) => (Ok(response), true),
                Found::Nothing(recording) => {
                    edit.keep_path();
                    edit.apply(&mut request, &mut exchange);
                    if let Some(path) = path_and_query(&directory, rest, original.query()) {
                        *request.uri_mut() = with_path(&original, path);
                    }
                    extend_kept(&mut request, &self.current, self.outcome());
                    let response = checked.respond(&kept.folder, request).await;
                    (response.map(|response| recording.record(&exchange, response)), false)
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
        event::emit(if is_from_memory {
            let length = response.body().size_hint().exact().unwrap_or_default();
            Event::FromMemory { length }
        } else {
            Event::Kept(checked.event())
        });
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

    /// Returns where the bytes of the response come from.
    fn event(&self) -> KeptEvent {
        match self {
            Self::File => KeptEvent::FromDirectory,
            #[cfg(feature = "object-store")]
            Self::Streaming(_) => KeptEvent::FromBucket,
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
pub(super) fn refuse(status: StatusCode) -> KeptResponse {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
