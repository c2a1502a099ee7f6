//! What does a deploy cost a visitor who has the files of the version before?

use std::{
    cmp::Reverse,
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
    num::NonZero,
    ops::Range,
    panic,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
};

use sha2::{Digest as _, Sha256};
use zstd::stream::write::Encoder;

use super::{
    encode::{LARGEST, encode},
    unchanged::unchanged,
};
use crate::{
    Error, ErrorKind, Fingerprinted, Manifest,
    header::content_coding::SIBLINGS,
    manifest::{FileIndex, FileInfo},
    snapshot::dictionary::offered,
};

/// The level of a build step, which has time.
const LEVEL: i32 = 19;

/// Measures what visitors download after a deploy, if they have all files of the version before
/// and their browser takes [deltas](crate::StaticUrlLayerBuilder::deltas).
///
/// ```
/// use tower_static_url::{Manifest, Upgrade};
///
/// # let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
/// # let script = (0..1000).map(|i| format!("add({i});\n")).collect::<String>();
/// # std::fs::write(old.path().join("app.js"), &script).unwrap();
/// # std::fs::write(new.path().join("app.js"), script + "start();\n").unwrap();
/// # let (old, new) = (old.path(), new.path());
/// let upgrade = Upgrade::new(&Manifest::scan(old)?, old, &Manifest::scan(new)?, new);
/// let files = upgrade.measure()?;
/// assert_eq!(files[0].path(), "app.js");
/// assert_eq!(files[0].dictionary(), Some("app.js"));
/// assert!(files[0].sent() < files[0].compressed());
/// # Ok::<(), tower_static_url::Error>(())
/// ```
///
/// The same rules as for requests say which old file a browser has for a new one:
///
/// - The file of the same path. With [`fingerprinted`](Self::fingerprinted), paths that differ
///   only in the hash are the same. Of several such files a browser keeps one: the largest, and
///   of those the first by its path.
/// - Only the 400 largest files of the old version are offered as dictionaries.
///
/// Pre-compressed files are not measured if the file itself is there: nobody downloads both.
#[derive(Clone, Debug)]
#[must_use]
pub struct Upgrade {
    old: Tree,
    new: Tree,
    fingerprinted: Option<Fingerprinted>,
}

/// What a file of the new version costs. All lengths are in bytes, of bodies without their
/// header fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradedFile {
    path: Box<str>,
    dictionary: Option<Box<str>>,
    length: u64,
    compressed: u64,
    delta: Option<u64>,
    is_cached: bool,
}

/// The files of a version, and where they are.
#[derive(Clone, Debug)]
struct Tree {
    manifest: Manifest,
    root: PathBuf,
}

/// A file of a tree.
type Listed<'t> = (&'t str, &'t FileInfo);

impl Upgrade {
    /// Compares two versions, each with the directory of its files.
    pub fn new(
        old: &Manifest,
        old_root: impl Into<PathBuf>,
        new: &Manifest,
        new_root: impl Into<PathBuf>,
    ) -> Self {
        let tree = |manifest: &Manifest, root| Tree { manifest: manifest.clone(), root };
        let (old, new) = (tree(old, old_root.into()), tree(new, new_root.into()));
        Self { old, new, fingerprinted: None }
    }

    /// Declares which files are fingerprinted. See
    /// [`StaticUrlLayerBuilder::fingerprinted`](crate::StaticUrlLayerBuilder::fingerprinted).
    pub fn fingerprinted(self, rule: Fingerprinted) -> Self {
        Self { fingerprinted: Some(rule), ..self }
    }

    /// Measures every file of the new version, on all cores. The files come in bytewise order of
    /// their paths.
    ///
    /// It takes about half a second for each megabyte: that is compression as a build step does
    /// it. A delta takes some milliseconds.
    ///
    /// # Errors
    ///
    /// - [`Io`](ErrorKind::Io): a file cannot be read.
    /// - [`ChangedFile`](ErrorKind::ChangedFile): a file differs from the manifest.
    pub fn measure(&self) -> Result<Vec<UpgradedFile>, Error> {
        self.measure_with_progress(|_| ())
    }

    /// Does the same as [`measure`](Self::measure), and calls `progress` after each file with how
    /// many of them are done, from the threads that do the work.
    ///
    /// # Errors
    ///
    /// The same as [`measure`](Self::measure).
    pub fn measure_with_progress(
        &self,
        progress: impl Fn(usize) + Sync,
    ) -> Result<Vec<UpgradedFile>, Error> {
        let dictionaries = self.dictionaries();
        let mut files = self.new.files().collect::<Vec<_>>();
        // The largest first, so that all threads have something to do up to the end.
        files.sort_by_key(|(_, info)| Reverse(info.length()));
        let measure = |&(path, info): &Listed<'_>| {
            let dictionary = dictionaries.get(&*self.key(path)).copied();
            self.measure_file((path, info), dictionary)
        };
        let mut measured = on_all_cores(&files, measure, progress)?;
        measured.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(measured)
    }

    /// Returns the file that a browser has for each path, up to the hash.
    fn dictionaries(&self) -> HashMap<String, Listed<'_>> {
        let files = self.old.files().collect::<Vec<_>>();
        let listed = files.iter().enumerate();
        let listed = listed.map(|(i, (path, info))| (FileIndex(i), *path, info.length()));
        let offered = offered(listed, files.len(), |_, path| self.hash(path));
        let offered = files.into_iter().zip(offered).filter(|(_, is_offered)| *is_offered);
        offered.map(|(file, _)| (self.key(file.0), file)).collect()
    }

    fn hash(&self, path: &str) -> Option<Range<usize>> {
        self.fingerprinted.as_ref()?.position(path)
    }

    /// Returns a path without its hash. No path has the character in its place.
    fn key(&self, path: &str) -> String {
        self.hash(path)
            .map_or_else(|| path.into(), |at| [&path[..at.start], "\0", &path[at.end..]].concat())
    }

    fn measure_file(
        &self,
        (path, info): Listed<'_>,
        dictionary: Option<Listed<'_>>,
    ) -> Result<UpgradedFile, Error> {
        let content = self.new.read(path, info)?;
        Ok(UpgradedFile {
            path: path.into(),
            dictionary: dictionary.map(|(path, _)| path.into()),
            length: info.length(),
            compressed: self.new.compressed((path, info), content.as_deref())?,
            delta: match dictionary.zip(content) {
                Some((dictionary, content)) => self.delta(dictionary, info, &content)?,
                None => None,
            },
            is_cached: self.is_cached(path, info),
        })
    }

    /// Returns the length of a delta. `None` if a file is too large for one.
    fn delta(
        &self,
        (path, old): Listed<'_>,
        new: &FileInfo,
        content: &[u8],
    ) -> Result<Option<u64>, Error> {
        if old.sha256() == new.sha256()
            && let Some(body) = unchanged(old.sha256(), old.length())
        {
            return Ok(Some(body.len() as u64));
        }
        let Some(dictionary) = self.old.read(path, old)? else { return Ok(None) };
        let body = encode(&dictionary, old.sha256(), content)
            .map_err(|error| Error::io("compress", Path::new(path), error))?;
        Ok(Some(body.len() as u64))
    }

    /// Whether the URL is the same as before: a fingerprinted file needs no version in it.
    fn is_cached(&self, path: &str, info: &FileInfo) -> bool {
        let is_fingerprinted = self.hash(path).is_some();
        is_fingerprinted && self.old.manifest.get(path) == Some(info)
    }
}

impl UpgradedFile {
    /// Returns the logical path of the file.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the path of the old file that the browser has for it, if any. It is another one
    /// only if both are fingerprinted.
    pub fn dictionary(&self) -> Option<&str> {
        self.dictionary.as_deref()
    }

    /// Returns the length of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the length of the file as a build step compresses it, with zstd at level 19, or
    /// its own if that is not smaller.
    pub fn compressed(&self) -> u64 {
        self.compressed
    }

    /// Returns the length of the delta, if there is a dictionary. The delta of a file that has
    /// not changed has some 60 bytes.
    pub fn delta(&self) -> Option<u64> {
        self.delta
    }

    /// Whether the browser does not ask for the file: it is fingerprinted and has not changed,
    /// so its URL is the same.
    pub fn is_cached(&self) -> bool {
        self.is_cached
    }

    /// Returns how much the visitor downloads: nothing if the file [is
    /// cached](Self::is_cached), else the smaller of the delta and the compressed file.
    pub fn sent(&self) -> u64 {
        if self.is_cached {
            return 0;
        }
        self.delta.map_or(self.compressed, |delta| delta.min(self.compressed))
    }
}

impl Tree {
    /// Returns the files, but not those that are other forms of one.
    fn files(&self) -> impl Iterator<Item = Listed<'_>> {
        self.manifest.iter().filter(|(path, _)| {
            let file = SIBLINGS.iter().find_map(|(suffix, _)| path.strip_suffix(suffix));
            file.is_none_or(|file| self.manifest.get(file).is_none())
        })
    }

    /// Reads a file. `None` if it is too large for a delta.
    fn read(&self, path: &str, info: &FileInfo) -> Result<Option<Vec<u8>>, Error> {
        if info.length() > LARGEST {
            return Ok(None);
        }
        let (mut content, at) = (Vec::new(), self.root.join(path));
        // A byte more than it should have is enough to see that it has changed.
        File::open(&at)
            .and_then(|file| file.take(info.length() + 1).read_to_end(&mut content))
            .map_err(|error| Error::io("read", &at, error))?;
        if Sha256::digest(&content)[..] == *info.sha256() {
            return Ok(Some(content));
        }
        let message = format!("{at:?} has changed since it was listed");
        Err(Error::new(ErrorKind::ChangedFile, message))
    }

    /// Returns how long the file is when it is compressed. It is read if there is no `content`.
    fn compressed(&self, file: Listed<'_>, content: Option<&[u8]>) -> Result<u64, Error> {
        let (at, length) = (self.root.join(file.0), file.1.length());
        let compressed = match content {
            Some(content) => compressed_length(content, length),
            None => File::open(&at).and_then(|file| compressed_length(file, length)),
        };
        Ok(compressed.map_err(|error| Error::io("compress", &at, error))?.min(length))
    }
}

/// Returns the length of some content as zstd. It is an error if it has another length.
fn compressed_length(mut content: impl Read, length: u64) -> io::Result<u64> {
    let mut encoder = Encoder::new(Count(0), LEVEL)?;
    encoder.set_pledged_src_size(Some(length))?;
    io::copy(&mut content, &mut encoder)?;
    Ok(encoder.finish()?.0)
}

/// Counts what is written to it.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Does something with each item, until it fails. The results come in any order.
fn on_all_cores<T: Sync, R: Send>(
    items: &[T],
    run: impl Fn(&T) -> Result<R, Error> + Sync,
    progress: impl Fn(usize) + Sync,
) -> Result<Vec<R>, Error> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let has_failed = AtomicBool::new(false);
    let worker = || {
        let mut results = Vec::new();
        while !has_failed.load(Relaxed)
            && let Some(item) = items.get(next.fetch_add(1, Relaxed))
        {
            results.push(run(item).inspect_err(|_| has_failed.store(true, Relaxed))?);
            progress(done.fetch_add(1, Relaxed) + 1);
        }
        Ok(results)
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    thread::scope(|scope| {
        let workers = (1..threads).map(|_| scope.spawn(worker)).collect::<Vec<_>>();
        let mut results = vec![worker()];
        for worker in workers {
            results.push(worker.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        }
        Ok(results.into_iter().collect::<Result<Vec<_>, Error>>()?.into_iter().flatten().collect())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::delta::encode::tests::noise;
    use crate::snapshot::dictionary::MOST;

    fn tree(files: &[(&str, &[u8])]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    fn upgrade(old: &TempDir, new: &TempDir) -> Upgrade {
        let (old, new) = (old.path(), new.path());
        Upgrade::new(&Manifest::scan(old).unwrap(), old, &Manifest::scan(new).unwrap(), new)
    }

    /// The files by their paths, with what is sent, the dictionary, and whether it is cached.
    fn measure(upgrade: &Upgrade) -> HashMap<String, UpgradedFile> {
        let files = upgrade.measure().unwrap().into_iter();
        files.map(|file| (file.path().to_owned(), file)).collect()
    }

    fn edited(content: &[u8]) -> Vec<u8> {
        [content, b"one new line"].concat()
    }

    #[test]
    fn the_smaller_of_the_delta_and_the_compressed_file_is_sent() {
        let (app, text) = (noise(1, 20_000), b"text ".repeat(2000));
        let old = tree(&[
            ("app.js", &app),
            ("same.png", &app),
            ("other.txt", &noise(2, 20_000)),
            ("tiny", b"ab"),
            ("gone", b"gone"),
        ]);
        let new = tree(&[
            ("app.js", &edited(&app)),
            ("same.png", &app),
            ("other.txt", &text),
            ("tiny", b"ab"),
            ("new.js", &app),
        ]);
        let files = measure(&upgrade(&old, &new));
        assert_eq!(files.len(), 5);
        let app = &files["app.js"];
        assert_eq!((app.length(), app.compressed()), (20_012, 20_012), "noise");
        assert_eq!((app.dictionary(), app.delta()), (Some("app.js"), Some(app.sent())));
        assert!(app.sent() < 400, "{app:?}");
        assert_eq!((files["same.png"].delta(), files["same.png"].sent()), (Some(62), 62));
        let other = &files["other.txt"];
        assert!(other.compressed() < 100 && other.sent() == other.compressed(), "{other:?}");
        assert!(other.delta().unwrap() > other.sent(), "{other:?}");
        assert_eq!((files["tiny"].sent(), files["tiny"].compressed()), (2, 2));
        let new = &files["new.js"];
        assert_eq!((new.dictionary(), new.delta(), new.sent()), (None, None, 20_000));
    }

    #[test]
    fn names_that_differ_in_the_hash_are_one_file() {
        let (small, large) = (noise(1, 20_000), noise(2, 30_000));
        let old = tree(&[
            ("assets/index-9fQ2LmXc.js", &small),
            ("assets/index-Bx7a91Zq.js", &large),
            ("assets/index-Cx7a91Zq.js", &edited(&small)),
            ("assets/same-Bx7a91Zq.js", &small),
        ]);
        let new = tree(&[
            ("assets/index-Dx7a91Zq.js", &edited(&large)),
            ("assets/index-Ex7a91Zq.css", &large),
            ("assets/same-Bx7a91Zq.js", &small),
        ]);
        let upgrade = upgrade(&old, &new);
        let without = measure(&upgrade);
        assert_eq!(without["assets/index-Dx7a91Zq.js"].dictionary(), None);
        assert_eq!(without["assets/same-Bx7a91Zq.js"].sent(), 62);
        let files = measure(&upgrade.fingerprinted(Fingerprinted::vite()));
        let index = &files["assets/index-Dx7a91Zq.js"];
        assert_eq!(index.dictionary(), Some("assets/index-Bx7a91Zq.js"), "the largest");
        assert!(index.sent() < 400, "{index:?}");
        assert_eq!(files["assets/index-Ex7a91Zq.css"].dictionary(), None);
        let same = &files["assets/same-Bx7a91Zq.js"];
        assert!(same.is_cached() && same.sent() == 0, "{same:?}");
    }

    #[test]
    fn of_equally_large_dictionaries_the_first_counts() {
        let old = tree(&[("b-Bx7a91Zq.js", b"bbbb"), ("b-9fQ2LmXc.js", b"aaaa")]);
        let new = tree(&[("b-Dx7a91Zq.js", b"cccc")]);
        let upgrade = upgrade(&old, &new).fingerprinted(Fingerprinted::vite().below(""));
        assert_eq!(measure(&upgrade)["b-Dx7a91Zq.js"].dictionary(), Some("b-9fQ2LmXc.js"));
    }

    #[test]
    fn only_the_largest_files_are_offered() {
        let names = (0..=MOST).map(|i| format!("{i:04}")).collect::<Vec<_>>();
        let contents = (0..=MOST).map(|i| noise(1, 100 + i)).collect::<Vec<_>>();
        let files = names.iter().map(|name| &**name).zip(contents.iter().map(|it| &**it));
        let old = tree(&files.collect::<Vec<_>>());
        let files = measure(&upgrade(&old, &old));
        assert_eq!(files["0000"].dictionary(), None, "the smallest");
        assert_eq!(files.values().filter(|file| file.dictionary().is_some()).count(), 400);
    }

    #[test]
    fn pre_compressed_forms_are_not_files_of_their_own() {
        let old = tree(&[("app.js", b"app"), ("app.js.br", b"app"), ("only.br", b"only")]);
        let files = measure(&upgrade(&old, &old));
        let mut paths = files.keys().collect::<Vec<_>>();
        paths.sort();
        assert_eq!(paths, ["app.js", "only.br"]);
    }

    #[test]
    fn a_file_that_is_too_large_for_a_delta_is_compressed() {
        let (old, new) = (tree(&[("large", b"small")]), tree(&[("large", b"")]));
        let large = File::options().write(true).open(new.path().join("large")).unwrap();
        large.set_len(LARGEST + 1).unwrap();
        for (old, new) in [(&old, &new), (&new, &old)] {
            let file = &measure(&upgrade(old, new))["large"];
            assert_eq!((file.dictionary(), file.delta()), (Some("large"), None));
            assert!(file.sent() == file.compressed() && file.sent() < 10_000, "{file:?}");
        }
    }

    #[test]
    fn a_file_that_has_changed_or_is_gone_is_named() {
        let (old, new) = (tree(&[("app.js", b"old")]), tree(&[("app.js", b"new!")]));
        for (root, what) in [(&old, "old"), (&new, "new")] {
            let upgrade = upgrade(&old, &new);
            let path = root.path().join("app.js");
            let before = fs::read(&path).unwrap();
            fs::write(&path, "other").unwrap();
            let error = upgrade.measure().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ChangedFile, "{what}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{what}: {error}");
            fs::remove_file(&path).unwrap();
            assert_eq!(upgrade.measure().unwrap_err().kind(), ErrorKind::Io, "{what}");
            fs::write(&path, before).unwrap();
        }
    }
}
