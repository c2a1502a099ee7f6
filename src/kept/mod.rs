//! How is a URL answered that has the version of another release? From that release's own files:
//! a kept release is a snapshot of its own, in which its version is the current one, and a
//! service over the directory of releases reads the bytes.

#[cfg(feature = "delta")]
pub(crate) mod content;
#[cfg(feature = "object-store")]
mod fill;
mod find;
pub(crate) mod flight;
#[cfg(feature = "memory")]
mod from_memory;
#[cfg(not(feature = "memory"))]
#[path = "from_memory_off.rs"]
mod from_memory;
mod in_flight;
mod prefix;
mod refresh;
mod respond;
mod service;
mod shelf;
pub(crate) mod unshared;
pub(crate) mod worker;

use std::{path::PathBuf, sync::Arc, time::Instant};

use http::Response;

pub use self::service::EmptyBody;
pub(crate) use self::{
    find::{find, find_outside, may_be_below, remove_version},
    in_flight::{Content, InFlight, Responding, begin},
    service::{FolderService, KeptBody},
};
use self::{flight::Flight, refresh::Refresh, respond::refuse, shelf::Shelf, worker::Worker};
use crate::{
    ResponseBody, UnlistedPolicy,
    releases::Releases,
    snapshot::{Settings, current::Handle, evidence::LengthTrust},
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
    /// Where the files of the current release are.
    #[cfg(any(feature = "delta", feature = "object-store"))]
    roots: Vec<PathBuf>,
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

/// Which release is wanted.
#[derive(Debug)]
enum Wanted {
    Version(Box<str>),
    /// The newest one that lists this logical path: a fingerprinted one.
    Newest {
        path: Box<str>,
    },
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
            // Pages are those of the current release.
            version_header: None,
            kept: None,
            ..settings.clone()
        };
        find_by_name(&releases, &settings);
        #[cfg(not(any(feature = "delta", feature = "object-store")))]
        drop(roots);
        Self {
            releases,
            folder,
            settings,
            refresh: Refresh::new(Instant::now()),
            shelf: Shelf::default(),
            worker: Arc::default(),
            worker_for_large: Arc::default(),
            #[cfg(any(feature = "delta", feature = "object-store"))]
            roots,
            #[cfg(feature = "object-store")]
            fills: fill::Fills::new(),
        }
    }

    pub(crate) fn releases(&self) -> &Releases {
        &self.releases
    }
}

/// Lets the releases find what is not asked for by its version.
fn find_by_name(releases: &Releases, settings: &Settings) {
    #[cfg(feature = "delta")]
    if settings.deltas.is_some() {
        return releases.find_dictionaries_by(settings.fingerprinted.as_ref());
    }
    if let Some(rule) = &settings.fingerprinted {
        releases.find_by(rule);
    }
}
