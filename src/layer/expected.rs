//! Is the version the one that is expected, such as the one that CI has printed?

use crate::{Error, ErrorKind, observe::log, snapshot::Snapshot};

/// What to do if the version is not the [expected](crate::StaticUrlLayerBuilder::expect_version)
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnexpectedPolicy {
    /// The layer is not built. The node does not start, and the deploy stops with an error.
    Refuse,
    /// The layer is built, with a WARN (feature `tracing`). The node serves what it has.
    Warn,
}

/// The version that is expected.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    version: Box<str>,
    policy: UnexpectedPolicy,
}

impl Expected {
    /// A version from a file or a variable has a line feed at its end.
    pub(crate) fn new(version: &str, policy: UnexpectedPolicy) -> Self {
        Self { version: version.trim().into(), policy }
    }

    pub(crate) fn check(&self, snapshot: &Snapshot) -> Result<(), Error> {
        if snapshot.version() == &*self.version {
            return Ok(());
        }
        let (version, expected) = (snapshot.version(), &self.version);
        let why = difference(snapshot, expected);
        let message = format!("version {version:?} is not {expected:?}, which is expected: {why}");
        match self.policy {
            UnexpectedPolicy::Refuse => Err(Error::new(ErrorKind::UnexpectedVersion, message)),
            UnexpectedPolicy::Warn => {
                log::unexpected_version(&message);
                Ok(())
            }
        }
    }
}

/// Says in which files the snapshot differs from the expected release, if that can be known.
#[cfg(feature = "releases")]
fn difference(snapshot: &Snapshot, expected: &str) -> String {
    use crate::{manifest::diff::First, snapshot::files::Files};

    let Some(actual) = snapshot.files().map(Files::to_manifest) else {
        return "without a list of the files nothing can be compared".into();
    };
    let Some(kept) = &snapshot.settings().kept else { return UNKNOWN.into() };
    let Some(expected) = kept.releases().read_manifest(expected) else {
        return "which files differ is not known, because no release of it was found".into();
    };
    match &*expected.diff(&actual) {
        [] => "the files are the same, so the source of the version or its salt is another".into(),
        differences => format!("compared with that release, {}", First(differences)),
    }
}

#[cfg(not(feature = "releases"))]
fn difference(_: &Snapshot, _: &str) -> String {
    UNKNOWN.into()
}

const UNKNOWN: &str = "which files differ is not known without releases; `static-url diff` \
                       compares two directories or their manifests";
