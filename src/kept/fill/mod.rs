//! How does a file get into the directory that another node has published? From another release
//! or the node's own tree, if they have the same bytes, else from the bucket. Each content once at
//! a time, and never half.

mod large;
mod queue;
mod streaming;
mod wanted;

use std::{io, sync::Arc, time::Instant};

use futures_util::StreamExt as _;
use http::StatusCode;
use sha2::{Digest as _, Sha256};
use tokio::{sync::watch, task::spawn_blocking};

pub(super) use self::{queue::Fills, streaming::Streaming};
use self::{streaming::Arrived, wanted::Wanted};
use crate::{
    kept::{
        Kept,
        flight::Landing,
        shelf::{CheckLanding, Checked, KeptSnapshot, LARGE, Opened},
    },
    manifest::{FileIndex, stored::Wrong},
    observe::{
        event::{self, Event, KeptEvent},
        log,
    },
    releases::{
        KeptRelease,
        bucket::StoreError,
        filled::NewFile,
        source::{NO_ANSWER, Source},
    },
    snapshot::current::Handle,
};

/// Why a file could not be filled.
#[derive(Debug)]
enum Failure {
    /// Later it may.
    Unavailable(String),
    /// The bucket has it no longer, or something else in its place.
    Wrong(String),
}

impl Failure {
    fn of(self, path: &str) -> Wrong {
        let path = path.to_owned();
        match self {
            Self::Unavailable(why) => Wrong { path, why, is_unreadable: true },
            Self::Wrong(why) => Wrong { path, why, is_unreadable: false },
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing | StoreError::Wrong(_) => Self::Wrong(error.to_string()),
            StoreError::Unavailable(why) | StoreError::Denied(why) => Self::Unavailable(why),
        }
    }
}

impl From<io::Error> for Failure {
    /// The disk is full, for example.
    fn from(error: io::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Kept {
    /// Fetches the listing of a release, and opens the release.
    pub(super) fn fetch_and_open(
        self: Arc<Self>,
        release: Arc<KeptRelease>,
        landing: Landing<Opened>,
    ) {
        self.releases.clone().spawn(async move {
            let Ok(_waiting) = self.fills.wait() else {
                return landing.land(Err(StatusCode::SERVICE_UNAVAILABLE));
            };
            let _running = self.fills.listings.acquire().await;
            let release = match self.releases.source() {
                // Known from the disk alone, as it was before the bucket has answered.
                Some(source) if release.shelves().is_empty() => {
                    self.on_other_shelves(&release, source).await.unwrap_or(release)
                }
                _ => release,
            };
            let status = match self.releases.fetch_listing(&release).await {
                Ok(()) => {
                    let kept = Arc::clone(&self);
                    let opened = spawn_blocking(move || kept.open_now(&release)).await;
                    let failed = |_| Err(StatusCode::SERVICE_UNAVAILABLE);
                    let opened = opened.unwrap_or_else(failed);
                    return landing.land(
                        opened.and_then(|opened| opened.ok_or(StatusCode::SERVICE_UNAVAILABLE)),
                    );
                }
                Err(StoreError::Missing | StoreError::Wrong(_)) => StatusCode::BAD_GATEWAY,
                Err(StoreError::Unavailable(_) | StoreError::Denied(_)) => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
            };
            landing.land(Err(status));
        });
    }

    /// Fills a file and its siblings, and then checks them. If one is large, the requests that
    /// wait do not wait for all of it.
    pub(super) fn fill_soon(
        self: Arc<Self>,
        opened: Arc<KeptSnapshot>,
        file: FileIndex,
        current: Handle,
        landing: CheckLanding,
    ) {
        self.releases.clone().spawn(async move {
            let filled = match self.fill_small(&opened, file, &current).await {
                Ok(large) if large.is_empty() => self.check_filled(&opened, file).await,
                Ok(large) => return self.stream(&opened, file, large, landing).await,
                Err(wrong) => Err(wrong),
            };
            if filled.is_err() && !self.releases.has_listing(&opened.release) {
                // It was withdrawn. If the bucket still has it, it is opened anew.
                self.shelf.forget(&opened.release);
            }
            landing.land(self.conclude(&opened, file, filled).map(|()| Checked::File));
        });
    }

    /// Fills what is not large, or is here. Returns the positions of the other parts.
    async fn fill_small(
        &self,
        opened: &KeptSnapshot,
        file: FileIndex,
        current: &Handle,
    ) -> Result<Vec<usize>, Wrong> {
        let (Some(files), Some(source)) = (opened.files(), self.releases.source()) else {
            return Ok(Vec::new());
        };
        let path = files.path(file).unwrap_or_default();
        let _waiting = self.fills.wait().map_err(|why| why.of(path))?;
        let release = self.as_known(opened);
        let mut large = Vec::new();
        for (position, (_, path, info)) in files.parts(file).into_iter().enumerate() {
            let wanted = Wanted { release: &release, path, info };
            let is_filled = self.fill(&wanted, source, current).await;
            if !is_filled.map_err(|why| why.of(path))? {
                large.push(position);
            }
        }
        Ok(large)
    }

    /// Returns a release as it is known now: it may have come to other shelves since it was opened.
    fn as_known(&self, opened: &KeptSnapshot) -> Arc<KeptRelease> {
        let known = self.releases.kept(opened.release.version());
        let known = known.filter(|known| known.is_same(&opened.release));
        known.unwrap_or_else(|| Arc::clone(&opened.release))
    }

    /// Checks a file that has been filled. Its bytes were right: if they are not any more, or were
    /// deleted to make room, that is no fault of the bucket.
    async fn check_filled(
        self: &Arc<Self>,
        opened: &Arc<KeptSnapshot>,
        file: FileIndex,
    ) -> Result<(), Wrong> {
        let (kept, opened) = (Arc::clone(self), Arc::clone(opened));
        let checked = spawn_blocking(move || kept.check_now(&opened, file)).await;
        let checked =
            checked.unwrap_or_else(|error| Err(Failure::Unavailable(error.to_string()).of("")));
        checked.map_err(|wrong| Wrong { is_unreadable: true, ..wrong })
    }

    /// Fills one file, unless it is there. If the same content is on its way already, waits for
    /// it first. Returns whether it is there now: a large one has yet to come from the bucket.
    async fn fill(
        &self,
        wanted: &Wanted<'_>,
        source: &Source,
        current: &Handle,
    ) -> Result<bool, Failure> {
        let _landing = self.fills.alone(wanted.info.sha256()).await;
        if wanted.is_here().await {
            return Ok(true);
        }
        self.make_room(wanted, source).await?;
        let filled = self.fill_from_anywhere(wanted, source, current).await;
        if filled.is_err() {
            source.budget.remove(wanted.release.version(), wanted.info.length());
        }
        filled
    }

    async fn fill_from_anywhere(
        &self,
        wanted: &Wanted<'_>,
        source: &Source,
        current: &Handle,
    ) -> Result<bool, Failure> {
        if self.fill_from_here(wanted, Some(current)).await {
            event::emit(Event::Kept(KeptEvent::Reused));
            return Ok(true);
        }
        if wanted.info.length() > LARGE {
            source.budget.remove(wanted.release.version(), wanted.info.length());
            return Ok(false);
        }
        self.fetch(wanted, source, None).await.map(|()| true)
    }

    /// Fetches a file from the shelves that are known to have it, else from others.
    async fn fetch(
        &self,
        wanted: &Wanted<'_>,
        source: &Source,
        arrived: Option<&watch::Sender<Arrived>>,
    ) -> Result<(), Failure> {
        let fetched = self.fetch_from_shelves(wanted, source, arrived).await;
        event::emit(Event::Kept(match &fetched {
            Ok(()) => KeptEvent::Fetched { length: wanted.info.length() },
            Err(_) => KeptEvent::NotFetched,
        }));
        fetched
    }

    async fn fetch_from_shelves(
        &self,
        wanted: &Wanted<'_>,
        source: &Source,
        arrived: Option<&watch::Sender<Arrived>>,
    ) -> Result<(), Failure> {
        let failure = match self.fill_from_bucket(wanted, source, arrived).await {
            Err(failure @ Failure::Wrong(_)) => failure,
            filled => return filled,
        };
        let has_begun =
            |arrived: &watch::Sender<Arrived>| !matches!(*arrived.borrow(), Arrived::Waiting);
        if arrived.is_some_and(has_begun) {
            return Err(failure);
        }
        // Perhaps the shelf is gone, and a newer one has it.
        match self.on_other_shelves(wanted.release, source).await {
            Some(release) => {
                let wanted = Wanted { release: &release, ..*wanted };
                self.fill_from_bucket(&wanted, source, arrived).await
            }
            None if source.has_answered() => Err(failure),
            None => Err(Failure::Unavailable(NO_ANSWER.into())),
        }
    }

    /// Keeps the directory within its budget.
    async fn make_room(&self, wanted: &Wanted<'_>, source: &Source) -> Result<(), Failure> {
        if wanted.release.is_own() {
            return Ok(());
        }
        let (version, length) = (wanted.release.version(), wanted.info.length());
        let Some(emptied) = source.budget.add(version, length, Instant::now()) else {
            return Err(Failure::Unavailable("it is longer than all filled files may be".into()));
        };
        for version in emptied {
            self.shelf.forget_version(&version);
            let releases = self.releases.clone();
            let emptied = spawn_blocking(move || releases.empty(&version)).await;
            if let Ok(Err(error)) = emptied {
                log::not_emptied(&error);
            }
        }
        Ok(())
    }

    /// Takes the file from another release or from the node's own tree. Returns whether one of
    /// them has it.
    async fn fill_from_here(&self, wanted: &Wanted<'_>, current: Option<&Handle>) -> bool {
        let (releases, release) = (self.releases.clone(), Arc::clone(wanted.release));
        let (path, info) = (wanted.path.to_owned(), wanted.info.clone());
        let files = current.and_then(|current| current.files());
        let own = files.and_then(|files| files.paths_of(info.sha256()).next());
        let roots = self.roots.iter();
        let own = own.map(|own| roots.map(|root| root.join(own)).collect::<Vec<_>>());
        let mut others = self.shelf.find_content(info.sha256());
        others.extend(releases.find_content(info.sha256()));
        let filled = spawn_blocking(move || {
            let wanted = Wanted { release: &release, path: &path, info: &info };
            others.iter().any(|(other, path)| wanted.take(other, path, &releases))
                || own.into_iter().flatten().any(|own| wanted.copy(&own, &releases).is_ok())
        });
        filled.await.unwrap_or(false)
    }

    /// Fetches a file. Tells `arrived`, if there is one, how much has come.
    async fn fill_from_bucket(
        &self,
        wanted: &Wanted<'_>,
        source: &Source,
        arrived: Option<&watch::Sender<Arrived>>,
    ) -> Result<(), Failure> {
        let _running = self.fills.running.acquire().await;
        let (sha256, length) = (wanted.info.sha256(), wanted.info.length());
        let mut blob = source.blob(wanted.release, sha256, length).await?;
        let mut file = self.begin_file().await?;
        let reader = Arc::new(file.reader()?);
        let (mut digest, mut written) = (Sha256::new(), 0);
        while let Some(piece) = blob.next().await {
            let piece = source.watch(piece)?;
            digest.update(&piece);
            file.write(&piece)?;
            written += piece.len() as u64;
            if let Some(arrived) = arrived {
                arrived.send_replace(Arrived::Some(Arc::clone(&reader), written));
            }
        }
        if <[u8; 32]>::from(digest.finalize()) != *sha256 {
            return Err(Failure::Wrong("the bucket has other bytes".into()));
        }
        let (releases, release) = (self.releases.clone(), Arc::clone(wanted.release));
        let path = wanted.path.to_owned();
        let finished = spawn_blocking(move || file.finish(&releases, &release, &path)).await;
        finished.map_err(io::Error::other)??;
        if let Some(arrived) = arrived {
            arrived.send_replace(Arrived::Right(reader));
        }
        Ok(())
    }

    /// Begins a file, on a thread that may wait: whoever deletes keeps others from it, and needs
    /// those of the bucket meanwhile.
    async fn begin_file(&self) -> Result<NewFile, Failure> {
        let releases = self.releases.clone();
        let begun = spawn_blocking(move || releases.begin_file()).await;
        begun.map_err(io::Error::other)?.map_err(|error| {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            Failure::Unavailable(format!("{error}: {}", why.unwrap_or_default()))
        })
    }

    /// Looks at the bucket again. Returns the release if other shelves have it than was known.
    async fn on_other_shelves(
        &self,
        release: &KeptRelease,
        source: &Source,
    ) -> Option<Arc<KeptRelease>> {
        source.distrust();
        let releases = self.releases.clone();
        if let Ok(Err(error)) = spawn_blocking(move || releases.refresh()).await {
            log::releases_not_refreshed(&error);
        }
        let found = self.releases.kept(release.version())?;
        (found.is_same(release) && found.shelves() != release.shelves()).then_some(found)
    }
}
