use std::{fmt, iter};

use data_encoding::BASE64;

use crate::{
    Error, ErrorKind,
    manifest::FileInfo,
    snapshot::published::Handle,
    url::{encode, encode_suffix},
};

/// How many names an error of [`StaticPrefix::try_url`] suggests.
const SUGGESTIONS: usize = 3;

/// The current prefix, `/static/3f9c2a7be01d4c55/`, and the way to link below it.
///
/// The layer puts it into the extensions of every request, also of those outside
/// the mount. With the `axum` feature it is an extractor. Outside of a request
/// (mail, jobs) [`StaticUrlLayer::prefix`](crate::StaticUrlLayer::prefix) hands
/// out the same type. A clone is cheap, and never changes: all that it says
/// belongs to one version.
///
/// ```
/// use tower_static_url::{Manifest, StaticUrlLayer};
///
/// let manifest = Manifest::from_files([("css/app.css", "…"), ("img/two words.png", "…")])?;
/// let layer = StaticUrlLayer::builder("/static").manifest(manifest).build()?;
/// let prefix = layer.prefix();
///
/// let css = prefix.url("css/app.css");
/// assert_eq!(css, format!("{prefix}css/app.css"));
/// assert_eq!(css, format!("/static/{}/css/app.css", prefix.version()));
/// assert_eq!(prefix.url("img/two words.png"), format!("{prefix}img/two%20words.png"));
///
/// let typo = prefix.try_url("css/ap.css").unwrap_err();
/// assert_eq!(typo.to_string(), r#""css/ap.css" is not listed; nearest is "css/app.css""#);
/// # Ok::<(), tower_static_url::Error>(())
/// ```
#[derive(Clone)]
pub struct StaticPrefix {
    snapshot: Handle,
}

impl StaticPrefix {
    pub(crate) fn new(snapshot: Handle) -> Self {
        Self { snapshot }
    }

    /// `[origin]<mount>/<version>/`
    pub fn as_str(&self) -> &str {
        self.snapshot.prefix()
    }

    /// The version alone: `3f9c2a7be01d4c55`.
    pub fn version(&self) -> &str {
        self.snapshot.version()
    }

    /// The URL of a logical path such as `css/app.css`, percent-encoded once.
    ///
    /// The path is not encoded yet: `100%.txt` gives `…/100%25.txt`. Slashes in
    /// front are tolerated. What follows a `?` or `#` is a query or a fragment and
    /// stays (`img/sprite.svg#cart`), unless the manifest lists a file whose name
    /// has that character.
    ///
    /// Whether such a file exists is not asked ([`try_url`](Self::try_url) asks), and a
    /// `..` stays what it is to a browser: do not give it what a stranger has typed.
    pub fn url(&self, path: &str) -> String {
        self.display(path).to_url()
    }

    /// As [`url`](Self::url), to be written straight into a page: nothing is allocated.
    ///
    /// ```
    /// # use tower_static_url::{Manifest, StaticUrlLayer};
    /// # let manifest = Manifest::from_files([("css/app.css", "…")])?;
    /// # let prefix = StaticUrlLayer::builder("/static").manifest(manifest).build()?.prefix();
    /// let page = format!("<link rel=stylesheet href={}>", prefix.display("css/app.css"));
    /// assert_eq!(page, format!("<link rel=stylesheet href={prefix}css/app.css>"));
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    pub fn display<'p>(&'p self, path: &'p str) -> DisplayUrl<'p> {
        let (path, suffix) = self.split_suffix(path.trim_start_matches('/'));
        DisplayUrl { prefix: self, path, suffix }
    }

    /// As [`url`](Self::url), for a path that the manifest lists. Without a
    /// manifest every path will do.
    ///
    /// # Errors
    ///
    /// [`NotListed`](ErrorKind::NotListed), naming the path and the nearest listed
    /// ones. Meant for tests and templates that would rather stop than link to
    /// nothing; in production [`url`](Self::url) never fails a page.
    pub fn try_url(&self, path: &str) -> Result<String, Error> {
        let url = self.display(path);
        if self.snapshot.has_manifest() && self.snapshot.find(url.path).is_none() {
            return Err(self.not_listed(url.path));
        }
        Ok(url.to_url())
    }

    /// `sha256-…` for the `integrity` attribute (Subresource Integrity), if the
    /// manifest lists the path. A browser refuses a script or style sheet whose
    /// bytes have another digest.
    ///
    /// `None` also [in development](crate::StaticUrlLayerBuilder::development). The
    /// digest is of the file as it is: do not use it for files that something
    /// between the disk and the browser rewrites.
    pub fn integrity(&self, path: &str) -> Option<String> {
        if self.snapshot.settings().development {
            return None;
        }
        let (path, _) = self.split_suffix(path.trim_start_matches('/'));
        let info = self.snapshot.info(path)?;
        Some(format!("sha256-{}", BASE64.encode(info.sha256())))
    }

    /// The logical paths that the manifest lists, in bytewise order; empty without
    /// a manifest.
    pub fn paths(&self) -> Vec<&str> {
        self.snapshot.paths().collect()
    }

    /// The logical paths that are listed here and were not in `older`, or with other
    /// bytes, or that are listed no more; in bytewise order.
    pub fn changed_since<'p>(&'p self, older: &'p Self) -> Vec<&'p str> {
        let digest = |prefix: &'p Self, path| prefix.snapshot.info(path).map(FileInfo::sha256);
        let paths = self.snapshot.paths().chain(older.snapshot.paths());
        let mut changed =
            paths.filter(|path| digest(self, path) != digest(older, path)).collect::<Vec<_>>();
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// Path, and the query and fragment: the longest path that is listed, else all
    /// up to the first `?` or `#`.
    fn split_suffix<'p>(&self, path: &'p str) -> (&'p str, &'p str) {
        let Some(first) = path.find(['?', '#']) else { return (path, "") };
        let marks = path.rmatch_indices(['?', '#']).map(|(i, _)| i);
        let ends = [path.len()].into_iter().chain(marks);
        let listed = ends.into_iter().find(|&end| self.snapshot.find(&path[..end]).is_some());
        path.split_at(listed.unwrap_or(first))
    }

    fn not_listed(&self, path: &str) -> Error {
        let nearest = self.nearest(path).into_iter().map(|path| format!("{path:?}"));
        let nearest = nearest.collect::<Vec<_>>().join(", ");
        let message = match nearest.as_str() {
            "" => format!("{path:?} is not listed"),
            _ => format!("{path:?} is not listed; nearest is {nearest}"),
        };
        Error::new(ErrorKind::NotListed, message)
    }

    /// The listed paths that `path` may be a slip of: few edits away, or a file of
    /// the same name in another folder.
    fn nearest(&self, path: &str) -> Vec<&str> {
        let file_name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_lowercase();
        let (wanted, wanted_name) = (path.to_lowercase(), file_name(path));
        let distance = |listed: &str| match file_name(listed) == wanted_name {
            true => 0,
            false => strsim::osa_distance(&wanted, &listed.to_lowercase()),
        };
        let limit = 2.max(path.chars().count() / 4);
        let paths = self.snapshot.paths().map(|listed| (distance(listed), listed));
        let mut near = paths.filter(|&(distance, _)| distance <= limit).collect::<Vec<_>>();
        near.sort_unstable();
        near.into_iter().take(SUGGESTIONS).map(|(_, listed)| listed).collect()
    }
}

/// A URL below a [`StaticPrefix`], not yet written; see [`StaticPrefix::display`].
#[derive(Clone, Copy, Debug)]
pub struct DisplayUrl<'p> {
    prefix: &'p StaticPrefix,
    path: &'p str,
    suffix: &'p str,
}

impl<'p> DisplayUrl<'p> {
    /// In one allocation of the right size.
    fn to_url(self) -> String {
        let length = self.parts().map(str::len).sum();
        let mut url = String::with_capacity(length);
        url.extend(self.parts());
        url
    }

    fn parts(self) -> impl Iterator<Item = &'p str> {
        let prefix = iter::once(self.prefix.as_str());
        prefix.chain(encode(self.path)).chain(encode_suffix(self.suffix))
    }
}

impl fmt::Display for DisplayUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().try_for_each(|part| f.write_str(part))
    }
}

impl fmt::Display for StaticPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for StaticPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StaticPrefix").field(&self.as_str()).finish()
    }
}

impl AsRef<str> for StaticPrefix {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}
