//! How do handlers link to files? With the prefix that the layer puts into each request.

mod html;
pub(crate) mod import_map;
pub(crate) mod preload;

use std::{collections::BTreeSet, fmt, iter};

use data_encoding::BASE64;

use crate::{
    Error, ErrorKind,
    manifest::FileInfo,
    snapshot::current::Handle,
    url::{encode, encode_suffix},
};

/// How many paths an error of [`StaticPrefix::try_url`] suggests at most.
const SUGGESTIONS: usize = 3;

/// The current prefix, `/static/3f9c2a7be01d4c55/`, and a way to make links below it.
///
/// The layer puts it into the extensions of every request, also of those outside the mount.
/// With the `axum` feature it is an extractor. For links outside of a request, as in mail or
/// jobs, call [`StaticUrlLayer::prefix`](crate::StaticUrlLayer::prefix).
///
/// Clones are cheap. A value never changes: its version, URLs and digests belong together.
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

    /// Returns `[origin]<mount>/<version>/`, to use as the base of relative links.
    pub fn as_str(&self) -> &str {
        self.snapshot.prefix()
    }

    /// Returns the version: `3f9c2a7be01d4c55`.
    pub fn version(&self) -> &str {
        self.snapshot.version()
    }

    /// Returns the URL path under which the files live: `/static`, or `/`.
    pub fn mount(&self) -> &str {
        match self.snapshot.mount() {
            "" => "/",
            mount => mount,
        }
    }

    /// Returns the versioned URL of a logical path such as `css/app.css`. A
    /// [fingerprinted](crate::StaticUrlLayerBuilder::fingerprinted) file needs no version: it
    /// gets its URL without one.
    ///
    /// Give the path unencoded: `100%.txt` becomes `…/100%25.txt`. Leading slashes are
    /// ignored. A query or fragment is kept (`img/sprite.svg#cart`), unless the manifest lists
    /// a file whose name contains the `?` or `#`.
    ///
    /// Never fails: it does not check that the file exists ([`try_url`](Self::try_url) does).
    /// It does not remove `..` segments either, and a browser resolves them: do not give it
    /// untrusted input.
    pub fn url(&self, path: &str) -> String {
        self.display(path).to_url()
    }

    /// Returns the URL as [`url`](Self::url) does, to write it straight into a page without an
    /// allocation.
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
        DisplayUrl { base: self.snapshot.prefix_of(path), path, suffix }
    }

    /// Returns the URL as [`url`](Self::url) does, if the manifest lists the path. Without a
    /// manifest every path is accepted.
    ///
    /// Use it in tests, and in templates that should fail rather than contain a dead link.
    ///
    /// # Errors
    ///
    /// [`NotListed`](ErrorKind::NotListed): the manifest does not list the path. The text
    /// names the path and up to three similar ones.
    pub fn try_url(&self, path: &str) -> Result<String, Error> {
        Ok(self.listed(path)?.to_url())
    }

    /// Returns the URL as [`url`](Self::url) does, but without the
    /// [origin](crate::StaticUrlLayerBuilder::origin). Use it for files that a browser refuses
    /// to load from another origin, even with CORS (workers, SVG `<use>`), and where you put
    /// another origin in front yourself, as in mail.
    ///
    /// ```
    /// # use tower_static_url::{Manifest, StaticUrlLayer};
    /// let manifest = Manifest::from_files([("worker.js", "…")])?;
    /// let builder = StaticUrlLayer::builder("/static").manifest(manifest);
    /// let prefix = builder.origin("https://cdn.example.com").build()?.prefix();
    /// let (mount, version) = (prefix.mount(), prefix.version());
    /// assert_eq!(prefix.path("worker.js"), format!("{mount}/{version}/worker.js"));
    /// assert_eq!(
    ///     prefix.url("worker.js"),
    ///     format!("https://cdn.example.com{mount}/{version}/worker.js")
    /// );
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    pub fn path(&self, path: &str) -> String {
        let url = self.display(path);
        DisplayUrl { base: self.snapshot.without_origin(url.base), ..url }.to_url()
    }

    /// Returns the URL without version and origin: `/static/sw.js`. Use it for files whose URL
    /// must stay the same, such as a service worker, a web app manifest, a feed or an
    /// `og:image`. By default a browser asks before each use of such a file
    /// ([`unversioned`](crate::StaticUrlLayerBuilder::unversioned)).
    ///
    /// ```
    /// # use tower_static_url::{Manifest, StaticUrlLayer};
    /// # let manifest = Manifest::from_files([("sw.js", "…")])?;
    /// # let prefix = StaticUrlLayer::builder("/static").manifest(manifest).build()?.prefix();
    /// assert_eq!(prefix.unversioned("sw.js"), "/static/sw.js");
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    pub fn unversioned(&self, path: &str) -> String {
        let mount = self.snapshot.mount();
        let DisplayUrl { path, suffix, .. } = self.display(path);
        join([mount, "/"].into_iter().chain(encode(path)).chain(encode_suffix(suffix)))
    }

    /// Returns the digest, length and modification time of a file, or `None` if the manifest
    /// does not list it.
    pub fn get(&self, path: &str) -> Option<&FileInfo> {
        let (path, _) = self.split_suffix(path.trim_start_matches('/'));
        self.snapshot.info(path)
    }

    /// Returns `sha256-…` for the `integrity` attribute (Subresource Integrity). A browser
    /// refuses a script or style sheet whose bytes have another digest.
    ///
    /// Returns `None` if the manifest does not list the path, and always
    /// [in development](crate::StaticUrlLayerBuilder::development). The digest is that of the
    /// file on disk: do not use it for files that are rewritten on their way to the browser.
    pub fn integrity(&self, path: &str) -> Option<String> {
        if self.snapshot.settings().is_development {
            return None;
        }
        Some(format!("sha256-{}", BASE64.encode(self.get(path)?.sha256())))
    }

    /// Returns the logical paths that the manifest lists, in bytewise order. Without a manifest
    /// there are none.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.snapshot.paths()
    }

    /// Returns the logical paths that were added, changed or removed since `older`, in bytewise
    /// order. Where a deploy matters to a page only if certain files have changed, ask for these:
    ///
    /// ```
    /// # use tower_static_url::StaticUrlLayer;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let assets = folder.path();
    /// # std::fs::create_dir(assets.join("js")).unwrap();
    /// # std::fs::write(assets.join("app.css"), "teal").unwrap();
    /// # std::fs::write(assets.join("js/app.js"), "1").unwrap();
    /// let layer = StaticUrlLayer::new("/static", assets)?;
    /// std::fs::write(assets.join("app.css"), "navy").unwrap();
    /// let reload = layer.reload()?;
    /// let is_script = |path: &str| path.starts_with("js/");
    /// assert!(reload.has_changed());
    /// assert!(!reload.after().changed_since(reload.before()).any(is_script));
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    pub fn changed_since<'p>(&'p self, older: &'p Self) -> impl Iterator<Item = &'p str> {
        let digest = |prefix: &'p Self, path| prefix.snapshot.info(path).map(FileInfo::sha256);
        merge(self.paths(), older.paths())
            .filter(move |path| digest(self, path) != digest(older, path))
    }

    /// Returns the prefix of a kept release, by its version: what the pages of that release link
    /// to. With [`changed_since`](Self::changed_since) it tells whether a page that names its
    /// version is out of date. `None` if the layer has no
    /// [`releases`](crate::StaticUrlLayerBuilder::releases), or none of this version.
    ///
    /// The version may come from a client: it is only looked for. What is known of a release is
    /// read on another thread, at most once for each version, and an unknown version makes the
    /// layer look for what was published since, as a URL with such a version does.
    ///
    /// ```
    /// use tower_http::services::ServeDir;
    /// use tower_static_url::{StaticUrlLayer, releases::Releases};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_static_url::Error> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (assets, site) = (folder.path().join("assets"), folder.path().join("site"));
    /// # std::fs::create_dir(&assets).unwrap();
    /// # std::fs::write(assets.join("app.css"), "teal").unwrap();
    /// let releases = Releases::folder(site)?;
    /// let files = ServeDir::new(releases.files());
    /// let builder = StaticUrlLayer::builder("/static").root(&assets).releases(releases, files);
    /// let layer = builder.build()?;
    /// layer.publish()?;
    /// let version_of_the_page = layer.prefix().version().to_owned();
    ///
    /// std::fs::write(assets.join("app.css"), "navy").unwrap();
    /// let files = layer.reload()?.after().clone();
    /// let older = files.kept(&version_of_the_page).await.expect("it was published");
    /// assert!(files.changed_since(&older).eq(["app.css"]));
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "releases")]
    pub async fn kept(&self, version: &str) -> Option<Self> {
        if version == self.version() {
            return Some(self.clone());
        }
        let kept = self.snapshot.settings().kept.as_ref()?;
        kept.snapshot(version).await.map(Self::new)
    }

    #[cfg(feature = "axum")]
    pub(crate) fn follow(&self) -> Self {
        Self::new(self.snapshot.follow())
    }

    fn listed<'p>(&'p self, path: &'p str) -> Result<DisplayUrl<'p>, Error> {
        let url = self.display(path);
        if self.snapshot.has_manifest() && self.snapshot.find(url.path).is_none() {
            return Err(not_listed(url.path, self.paths()));
        }
        Ok(url)
    }

    /// Returns the URL of a directory. Its path is empty or ends with a slash.
    fn listed_directory<'p>(&'p self, path: &'p str) -> Result<DisplayUrl<'p>, Error> {
        let is_listed = self.snapshot.paths_from(path).next().is_some();
        if self.snapshot.has_manifest() && !is_listed {
            let directories = self.paths().flat_map(directories_above).collect::<BTreeSet<_>>();
            return Err(not_listed(path, directories.into_iter()));
        }
        Ok(DisplayUrl { base: self.as_str(), path, suffix: "" })
    }

    /// Splits a path from its query and fragment. The path is the longest one that is listed,
    /// else all up to the first `?` or `#`.
    fn split_suffix<'p>(&self, path: &'p str) -> (&'p str, &'p str) {
        let Some(first) = path.find(['?', '#']) else { return (path, "") };
        let marks = path.rmatch_indices(['?', '#']).map(|(i, _)| i);
        let ends = [path.len()].into_iter().chain(marks);
        let listed = ends.into_iter().find(|&end| self.snapshot.find(&path[..end]).is_some());
        path.split_at(listed.unwrap_or(first))
    }
}

fn not_listed<'p>(path: &str, listed: impl Iterator<Item = &'p str>) -> Error {
    let nearest = nearest(path, listed).into_iter().map(|path| format!("{path:?}"));
    let nearest = nearest.collect::<Vec<_>>().join(", ");
    let message = match nearest.as_str() {
        "" => format!("{path:?} is not listed"),
        _ => format!("{path:?} is not listed; nearest is {nearest}"),
    };
    Error::new(ErrorKind::NotListed, message)
}

/// Returns the listed paths that may have been meant: few edits away, or a file or directory of
/// the same name in another directory.
fn nearest<'p>(path: &str, listed: impl Iterator<Item = &'p str>) -> Vec<&'p str> {
    let name = |path: &str| {
        let path = path.strip_suffix('/').unwrap_or(path);
        path.rsplit('/').next().unwrap_or(path).to_lowercase()
    };
    let (wanted, wanted_name) = (path.to_lowercase(), name(path));
    let distance = |listed: &str| {
        if name(listed) == wanted_name {
            return 0;
        }
        strsim::osa_distance(&wanted, &listed.to_lowercase())
    };
    let limit = 2.max(path.chars().count() / 4);
    let paths = listed.map(|listed| (distance(listed), listed));
    let mut near = paths.filter(|&(distance, _)| distance <= limit).collect::<Vec<_>>();
    near.sort_unstable();
    near.into_iter().take(SUGGESTIONS).map(|(_, listed)| listed).collect()
}

/// Returns the directories that a path is below, each with a slash at its end.
fn directories_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(slash, _)| &path[..=slash])
}

/// Merges two sorted sequences. An item of both comes once.
fn merge<'p>(
    one: impl Iterator<Item = &'p str>,
    other: impl Iterator<Item = &'p str>,
) -> impl Iterator<Item = &'p str> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(left), Some(right)) if left == right => {
            other.next();
            one.next()
        }
        (Some(left), Some(right)) if left > right => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}

/// A URL below a [`StaticPrefix`] that can be formatted; see [`StaticPrefix::display`].
#[derive(Clone, Copy, Debug)]
pub struct DisplayUrl<'p> {
    base: &'p str,
    path: &'p str,
    suffix: &'p str,
}

impl<'p> DisplayUrl<'p> {
    fn to_url(self) -> String {
        join(self.parts())
    }

    fn parts(self) -> impl Iterator<Item = &'p str> + Clone {
        iter::once(self.base).chain(encode(self.path)).chain(encode_suffix(self.suffix))
    }
}

/// Joins the parts in one allocation of the right size.
fn join<'p>(parts: impl Iterator<Item = &'p str> + Clone) -> String {
    let mut joined = String::with_capacity(parts.clone().map(str::len).sum());
    joined.extend(parts);
    joined
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

/// Two prefixes are equal if they give the same URLs for the same files.
impl PartialEq for StaticPrefix {
    fn eq(&self, other: &Self) -> bool {
        self.snapshot.is_same(&other.snapshot)
    }
}

impl Eq for StaticPrefix {}

/// Serializes the text that [`as_str`](StaticPrefix::as_str) returns, for the context of a
/// template.
#[cfg(feature = "serde")]
impl serde::Serialize for StaticPrefix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_meant() {
        let listed = ["css/app.css", "js/", "js/lib/", "js/vendor/lib/", "js/app.js"];
        for (name, path, expected) in [
            ("a typo", "js/lbi/", ["js/lib/"].as_slice()),
            ("another directory", "lib/", &["js/lib/", "js/vendor/lib/"]),
            ("a file elsewhere", "app.css", &["css/app.css"]),
            ("nothing like it", "fonts/body.woff2", &[]),
        ] {
            assert_eq!(nearest(path, listed.into_iter()), expected, "{name}");
        }
        let above = directories_above("a/b/c.js").collect::<Vec<_>>();
        assert_eq!(above, ["a/", "a/b/"]);
    }

    #[test]
    fn merging() {
        for (name, one, other, expected) in [
            ("nothing", &[][..], &[][..], &[][..]),
            ("one only", &["a", "b"], &[], &["a", "b"]),
            ("other only", &[], &["a", "b"], &["a", "b"]),
            ("the same", &["a", "b"], &["a", "b"], &["a", "b"]),
            ("in turn", &["a", "c"], &["b", "d"], &["a", "b", "c", "d"]),
            ("one longer", &["b", "x", "y"], &["a", "x"], &["a", "b", "x", "y"]),
        ] {
            let merged = merge(one.iter().copied(), other.iter().copied());
            assert_eq!(merged.collect::<Vec<_>>(), expected, "{name}");
        }
    }
}
