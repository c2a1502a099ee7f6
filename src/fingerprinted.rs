//! Which files carry a hash of their content in their own name? The naming rules of bundlers.
//!
//! (Not to be confused with the [fingerprint](crate::manifest::fingerprint) of a file's
//! attributes, which tells whether it has to be read again.)

use std::{fmt, iter, ops::Range, str::FromStr, sync::Arc};

use crate::{Error, ErrorKind};

/// A rule that tells which files are fingerprinted: their own names change with their content,
/// as `assets/index-Bx7a91Zq.js` does. For
/// [`StaticUrlLayerBuilder::fingerprinted`](crate::StaticUrlLayerBuilder::fingerprinted).
///
/// There is a rule for each of the usual bundlers, with its default settings. If you have
/// changed where it puts its files, say so with [`below`](Self::below). If you have changed how
/// it names them, write a rule of your own with [`from_fn`](Self::from_fn). Several rules are
/// combined with [`or`](Self::or).
///
/// ```
/// use tower_static_url::Fingerprinted;
///
/// let rule = Fingerprinted::vite();
/// assert_eq!(rule.hash("assets/index-Bx7a91Zq.js"), Some("Bx7a91Zq"));
/// assert_eq!(rule.hash("assets/component-settings.js"), None);
/// assert_eq!(rule.hash("index-Bx7a91Zq.js"), None, "not below `assets/`");
/// assert_eq!(rule.below("").hash("index-Bx7a91Zq.js"), Some("Bx7a91Zq"));
///
/// // For the command line or a configuration file:
/// let rule = "webpack".parse::<Fingerprinted>()?;
/// assert_eq!(rule.hash("main.0a1b2c3d4e5f60718293.js"), Some("0a1b2c3d4e5f60718293"));
/// # Ok::<(), tower_static_url::Error>(())
/// ```
///
/// # What is no hash
///
/// A browser keeps a fingerprinted file for a year, and does not ask. The ready rules are
/// therefore strict, and rather miss a hash than take a word for one:
///
/// - The hash stands where the bundler puts it, and has the bundler's alphabet and length.
/// - What reads like a word, a date or a size is no hash: `settings`, `darkMode`, `LICENSES`,
///   `20241231`, `1024x768`, `IMG_1234`. Some hashes look like that by chance: about 1 in 50 of
///   Vite's, 1 in 30 of esbuild's, and 1 in 40 of those with 8 hexadecimal digits. Such a file
///   is like any other.
/// - Source maps are never fingerprinted. They are named after the hash of their script, and
///   change when the script does not.
///
/// No rule can tell a hash from a name that somebody made up to look like one. See
/// [`fingerprinted`](crate::StaticUrlLayerBuilder::fingerprinted) for what happens to a file
/// that keeps its name and changes.
#[derive(Clone)]
pub struct Fingerprinted {
    rules: Arc<[Rule]>,
}

#[derive(Clone)]
struct Rule {
    kind: Kind,
    /// Without slashes at its ends. Files anywhere in the tree are below an empty one.
    directory: Box<str>,
}

#[derive(Clone)]
enum Kind {
    Bundler(Bundler),
    Own(Arc<OwnRule>),
}

type OwnRule = dyn Fn(&str) -> Option<&str> + Send + Sync;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bundler {
    Vite,
    Webpack,
    Esbuild,
    Parcel,
    Trunk,
    Next,
}

impl Fingerprinted {
    /// Returns the rule of Vite and Rollup: `assets/index-Bx7a91Zq.js`, below a directory
    /// `assets`.
    ///
    /// Vite copies the directory `public` as it is. Do not put files with names of this form
    /// into `public/assets`.
    pub fn vite() -> Self {
        Self::bundler(Bundler::Vite)
    }

    /// Returns the rule of webpack and Rspack, for names with `[contenthash]`:
    /// `main.0a1b2c3d4e5f60718293.js`, `787.1a2b3c4d.chunk.css`, and
    /// `0a1b2c3d4e5f60718293.png` of an asset module. The hash has 8, 16, 20 or 32 hexadecimal
    /// digits.
    ///
    /// A `[chunkhash]` or `[fullhash]` looks the same, but is no hash of the file: do not use
    /// them with this rule.
    pub fn webpack() -> Self {
        Self::bundler(Bundler::Webpack)
    }

    /// Returns the rule of esbuild, for its default names of chunks and assets:
    /// `chunk-3QKLPG2T.js`. Entry points have such names if `--entry-names` contains `[hash]`.
    pub fn esbuild() -> Self {
        Self::bundler(Bundler::Esbuild)
    }

    /// Returns the rule of Parcel: `index.1a2b3c4d.js`.
    ///
    /// With `--no-content-hash` the names look the same, but do not change with the content:
    /// do not use this rule then.
    pub fn parcel() -> Self {
        Self::bundler(Bundler::Parcel)
    }

    /// Returns the rule of trunk: `app-1a2b3c4d5e6f7081.js`, `app-1a2b3c4d5e6f7081_bg.wasm`.
    ///
    /// Files below `snippets` are not fingerprinted: the hash there is of the crate's name, not
    /// of the content.
    pub fn trunk() -> Self {
        Self::bundler(Bundler::Trunk)
    }

    /// Returns the rule of Next.js for its static files, below a directory `_next/static`:
    /// `chunks/main-1a2b3c4d5e6f7081.js`, `css/1a2b3c4d5e6f7081.css`, `media/…`, and the
    /// manifests in the directory of a build id (`…/_buildManifest.js`), if it is one that
    /// Next.js has generated.
    ///
    /// If you serve `.next/static` at a mount `/_next/static`, call `below("")`.
    pub fn next() -> Self {
        Self::bundler(Bundler::Next)
    }

    /// Makes a rule of your own. It is called with a logical path, and returns the part of it
    /// that is a hash of the content, or `None` if the file is not fingerprinted. What is not a
    /// part of the given path, is empty or contains a slash counts as `None`.
    ///
    /// The rule is called for each file when the layer is built or reloaded, not for each
    /// request. It must return the same for a path each time.
    ///
    /// ```
    /// use tower_static_url::Fingerprinted;
    ///
    /// // SvelteKit: `_app/immutable/nodes/0.Bx7a91Zq.js`, `_app/immutable/chunks/Bx7a91Zq.js`
    /// let rule = Fingerprinted::from_fn(|path| {
    ///     let name = path.strip_prefix("_app/immutable/")?.rsplit('/').next()?;
    ///     let (stem, _) = name.rsplit_once('.')?;
    ///     let hash = stem.rsplit('.').next()?;
    ///     (hash.len() == 8).then_some(hash)
    /// });
    /// assert_eq!(rule.hash("_app/immutable/nodes/0.Bx7a91Zq.js"), Some("Bx7a91Zq"));
    /// assert_eq!(rule.hash("_app/version.json"), None);
    /// ```
    pub fn from_fn<F>(rule: F) -> Self
    where
        F: Fn(&str) -> Option<&str> + Send + Sync + 'static,
    {
        Self::of(Kind::Own(Arc::new(rule)), "")
    }

    fn bundler(bundler: Bundler) -> Self {
        Self::of(Kind::Bundler(bundler), bundler.directory())
    }

    fn of(kind: Kind, directory: &str) -> Self {
        Self { rules: [Rule { kind, directory: directory.into() }].into() }
    }

    /// Replaces the directory below which the files are: `below("static")` for a Vite whose
    /// `build.assetsDir` is `static`. The directory may be anywhere in the tree; slashes at its
    /// ends are ignored. With an empty one, files anywhere are matched.
    #[must_use]
    pub fn below(self, directory: &str) -> Self {
        let directory = directory.trim_matches('/');
        let rules = self.rules.iter().cloned();
        Self { rules: rules.map(|rule| Rule { directory: directory.into(), ..rule }).collect() }
    }

    /// Adds the rules of `other`. The first rule that finds a hash counts.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { rules: self.rules.iter().chain(&*other.rules).cloned().collect() }
    }

    /// Returns the hash in a logical path, or `None` if the file is not fingerprinted. Use it in
    /// tests of your build's output.
    pub fn hash<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.get(self.position(path)?)
    }

    /// Returns where in a logical path the hash is. Two paths that differ in nothing else are
    /// versions of one file.
    pub(crate) fn position(&self, path: &str) -> Option<Range<usize>> {
        self.rules.iter().find_map(|rule| rule.position(path))
    }

    /// Returns the name of the rule by which a file is fingerprinted, for the log.
    pub(crate) fn name(&self, path: &str) -> &'static str {
        let mut rules = self.rules.iter();
        let rule = rules.find(|rule| rule.position(path).is_some());
        rule.map_or("none", |rule| rule.kind.name())
    }
}

impl FromStr for Fingerprinted {
    type Err = Error;

    /// Parses the name of a ready rule: `vite`, `webpack`, `esbuild`, `parcel`, `trunk` or
    /// `next`.
    ///
    /// # Errors
    ///
    /// [`UnknownRule`](ErrorKind::UnknownRule): there is no rule of that name. The text lists
    /// those that there are.
    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Bundler::ALL.into_iter().find(|bundler| bundler.name() == name);
        found.map(Self::bundler).ok_or_else(|| {
            let known = Bundler::ALL.map(Bundler::name).join(", ");
            let message = format!("fingerprint rule {name:?} is unknown; the known ones: {known}");
            Error::new(ErrorKind::UnknownRule, message)
        })
    }
}

impl fmt::Debug for Fingerprinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.rules.iter().map(|rule| (rule.kind.name(), &rule.directory));
        f.debug_map().entries(rules).finish()
    }
}

impl Rule {
    fn position(&self, path: &str) -> Option<Range<usize>> {
        if !is_below(&self.directory, path) {
            return None;
        }
        let hash = match &self.kind {
            Kind::Bundler(bundler) => bundler.hash(FileName::of(path)?)?,
            Kind::Own(rule) => rule(path)?,
        };
        position_in(path, hash).filter(|_| !hash.is_empty() && !hash.contains('/'))
    }
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Bundler(bundler) => bundler.name(),
            Self::Own(_) => "own",
        }
    }
}

/// Whether one of the directories above a file, with those above it, is this one.
fn is_below(directory: &str, path: &str) -> bool {
    let mut found = path.match_indices(directory);
    directory.is_empty()
        || found.any(|(start, _)| {
            let (above, below) = (&path[..start], &path[start + directory.len()..]);
            (above.is_empty() || above.ends_with('/')) && below.starts_with('/')
        })
}

/// Returns where in `whole` its slice `part` is. `None` if it is no slice of it.
fn position_in(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let range = start..start.checked_add(part.len())?;
    (whole.get(range.clone()) == Some(part)).then_some(range)
}

/// The last segments of a path, as far as the rules need them.
#[derive(Clone, Copy)]
struct FileName<'p> {
    /// The name of the directory.
    parent: &'p str,
    /// The name up to the last dot.
    stem: &'p str,
    extension: &'p str,
}

impl<'p> FileName<'p> {
    /// Returns `None` if the name has no extension.
    fn of(path: &'p str) -> Option<Self> {
        let mut segments = path.rsplit('/');
        let (stem, extension) = segments.next()?.rsplit_once('.')?;
        let parent = segments.next().unwrap_or("");
        (!stem.is_empty() && !extension.is_empty()).then_some(Self { parent, stem, extension })
    }
}

impl Bundler {
    const ALL: [Self; 6] =
        [Self::Vite, Self::Webpack, Self::Esbuild, Self::Parcel, Self::Trunk, Self::Next];

    fn name(self) -> &'static str {
        match self {
            Self::Vite => "vite",
            Self::Webpack => "webpack",
            Self::Esbuild => "esbuild",
            Self::Parcel => "parcel",
            Self::Trunk => "trunk",
            Self::Next => "next",
        }
    }

    /// The directory into which it writes, if that is fixed.
    fn directory(self) -> &'static str {
        match self {
            Self::Vite => "assets",
            Self::Next => "_next/static",
            Self::Webpack | Self::Esbuild | Self::Parcel | Self::Trunk => "",
        }
    }

    /// Returns the hash in a file's name.
    fn hash(self, name: FileName<'_>) -> Option<&str> {
        if name.extension == "map" {
            return None;
        }
        match self {
            Self::Vite => after('-', &[8], name.stem).find(|hash| is_base64(hash) || is_hex(hash)),
            Self::Webpack => webpack(name.stem),
            Self::Esbuild => after('-', &[8], name.stem).find(|hash| is_base32(hash)),
            Self::Parcel => after('.', &[8], name.stem).find(|hash| is_hex(hash)),
            Self::Trunk => trunk(name),
            Self::Next => next(name),
        }
    }
}

fn webpack(stem: &str) -> Option<&str> {
    // What create-react-app calls a chunk.
    let stem = stem.strip_suffix(".chunk").unwrap_or(stem);
    let named = after('.', &[8, 16, 20, 32], stem).chain(after('-', &[16, 20, 32], stem));
    named.chain(whole(&[20, 32], stem)).find(|hash| is_hex(hash))
}

fn trunk(name: FileName<'_>) -> Option<&str> {
    let is_wasm = name.extension == "wasm";
    let stem = name.stem.strip_suffix("_bg").filter(|_| is_wasm).unwrap_or(name.stem);
    // The number is not padded with zeros.
    after('-', &[16, 15, 14], stem).find(|hash| is_hex(hash))
}

fn next(name: FileName<'_>) -> Option<&str> {
    const MANIFESTS: [&str; 4] =
        ["_buildManifest", "_ssgManifest", "_middlewareManifest", "_clientMiddlewareManifest"];
    if MANIFESTS.contains(&name.stem) {
        return Some(name.parent).filter(|id| is_build_id(id));
    }
    let stem = name.stem;
    // Fonts: `<hash>-s.p.woff2`, `<hash>-s.woff2`.
    let font = stem.strip_suffix(".p").unwrap_or(stem).strip_suffix("-s");
    let hex = after('-', &[16], stem).chain(after('.', &[16, 8], stem));
    let hex = hex.chain(whole(&[16], font.unwrap_or(stem)));
    // Turbopack's since Next.js 16.
    let base38 = after('-', &[13], stem).chain(after('.', &[13], stem));
    let base38 = base38.chain(whole(&[13], stem));
    hex.filter(|hash| is_hex(hash)).chain(base38.filter(|hash| is_base38(hash))).next()
}

/// Returns the ends of a name that have one of these lengths and follow a separator.
fn after<'p>(
    separator: char,
    lengths: &'static [usize],
    stem: &'p str,
) -> impl Iterator<Item = &'p str> {
    lengths.iter().filter_map(move |length| {
        let (name, hash) = stem.split_at_checked(stem.len().checked_sub(*length)?)?;
        let name = name.strip_suffix(separator)?;
        (!name.is_empty()).then_some(hash)
    })
}

/// Returns the whole name, if it has one of these lengths.
fn whole<'p>(lengths: &[usize], stem: &'p str) -> Option<&'p str> {
    lengths.contains(&stem.len()).then_some(stem)
}

/// Whether this is a hash in lower-case hexadecimal digits. Without a letter it may be a date
/// or a number, and without a digit a word.
fn is_hex(text: &str) -> bool {
    has(text, u8::is_ascii_digit)
        && has(text, u8::is_ascii_lowercase)
        && all(text, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether this is a hash in URL-safe base64 (RFC 4648 §5). What has only one case may be a
/// word, a size or a version, unless digits are all over it.
fn is_base64(text: &str) -> bool {
    let cases = [has(text, u8::is_ascii_uppercase), has(text, u8::is_ascii_lowercase)];
    let is_random = match cases {
        [true, true] => !reads_like_words(text),
        [false, false] => false,
        _ => is_interspersed(text),
    };
    is_random && all(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether digits and letters take turns, more often than in `img10a` or `1024x768`.
fn is_interspersed(text: &str) -> bool {
    let kinds = text.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.is_ascii_digit());
    kinds.clone().zip(kinds.skip(1)).filter(|(kind, next)| kind != next).count() >= 3
}

/// Whether this is a hash in base32 (RFC 4648 §6).
fn is_base32(text: &str) -> bool {
    has(text, u8::is_ascii_uppercase)
        && all(text, |byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
        && !reads_like_words(text)
}

/// Whether this is a hash in Turbopack's base 38.
fn is_base38(text: &str) -> bool {
    has(text, u8::is_ascii_digit)
        && has(text, u8::is_ascii_lowercase)
        && all(text, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'_'))
}

/// Whether this is a build id that Next.js has generated, of which no two are the same. One of
/// the site's own may be kept from build to build.
fn is_build_id(text: &str) -> bool {
    text.len() == 21 && has(text, u8::is_ascii_digit) && is_base64(text)
}

/// Whether a text reads like words: `LICENSES`, `Settings`, `darkMode`, `My-Photo`.
fn reads_like_words(text: &str) -> bool {
    // Many hashes look like several short words, so those have to be simpler.
    let most_consonants = if words(text).nth(1).is_some() { 2 } else { 3 };
    words(text).all(|word| reads_like_word(word, most_consonants))
}

/// Splits a text at punctuation, and where a capital follows a small letter.
fn words(text: &str) -> impl Iterator<Item = &str> {
    // A number at the end makes a word no hash: `Photo123`. Capitals are hashes too often.
    let is_number = |c: char| c.is_ascii_digit() && has(text, u8::is_ascii_lowercase);
    let text = text.trim_end_matches(is_number);
    text.split(['-', '_']).flat_map(|part| {
        let mut rest = Some(part).filter(|part| !part.is_empty());
        iter::from_fn(move || {
            let is_end = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
            let part = rest?;
            let end = part.as_bytes().windows(2).position(is_end).map(|last| last + 1);
            rest = end.map(|end| &part[end..]);
            Some(&part[..end.unwrap_or(part.len())])
        })
    })
}

/// Whether letters can be spoken: there is a vowel, and neither too many consonants follow each
/// other nor three vowels. Many hashes are of capitals, so those need a vowel more often.
fn reads_like_word(word: &str, most_consonants: usize) -> bool {
    let is_vowel = |c: char| "aeiouyAEIOUY".contains(c);
    let (_, others) = word.split_at_checked(1).unwrap_or_default();
    let is_capitals = all(word, u8::is_ascii_uppercase);
    let vowels = word.chars().filter(|&c| is_vowel(c)).count();
    word.len() > 1
        && all(word, u8::is_ascii_alphabetic)
        && (is_capitals || all(others, u8::is_ascii_lowercase))
        && vowels >= if is_capitals { word.len().div_ceil(3) } else { 1 }
        && !word.split(|c| !is_vowel(c)).any(|vowels| vowels.len() > 2)
        && word.split(is_vowel).all(|consonants| consonants.len() <= most_consonants)
}

fn has(text: &str, is_wanted: impl Fn(&u8) -> bool) -> bool {
    text.as_bytes().iter().any(is_wanted)
}

fn all(text: &str, is_allowed: impl Fn(&u8) -> bool) -> bool {
    text.as_bytes().iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hash<'p>(rule: &str, path: &'p str) -> Option<&'p str> {
        rule.parse::<Fingerprinted>().unwrap().hash(path)
    }

    /// Names from real builds.
    #[test]
    fn names_of_bundlers() {
        for (rule, path, expected) in [
            ("vite", "assets/index-Bx7a91Zq.js", "Bx7a91Zq"),
            ("vite", "assets/index-DiwrgTda.css", "DiwrgTda"),
            ("vite", "assets/react-CHdo91hT.svg", "CHdo91hT"),
            ("vite", "assets/_plugin-vue_export-helper-DlAUqK2U.js", "DlAUqK2U"),
            ("vite", "assets/index-legacy-Cq1-F_xz.js", "Cq1-F_xz"),
            ("vite", "assets/index--x2_Ab-C.js", "-x2_Ab-C"),
            ("vite", "admin/assets/deep/er/page-Bx7a91Zq.js", "Bx7a91Zq"),
            ("vite", "assets/inter-latin-400-normal-C38fXH4l.woff2", "C38fXH4l"),
            // Before Vite 5.
            ("vite", "assets/index-3a1f0c9e.js", "3a1f0c9e"),
            ("webpack", "main.0a1b2c3d4e5f60718293.js", "0a1b2c3d4e5f60718293"),
            ("webpack", "js/app-0a1b2c3d4e5f60718293.js", "0a1b2c3d4e5f60718293"),
            ("webpack", "0a1b2c3d4e5f60718293.png", "0a1b2c3d4e5f60718293"),
            ("webpack", "static/js/main.e6c13ad2.js", "e6c13ad2"),
            ("webpack", "static/js/787.4e2a0cf3.chunk.js", "4e2a0cf3"),
            ("webpack", "static/css/main.073c9b0a.css", "073c9b0a"),
            (
                "webpack",
                "static/media/logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg",
                "6ce24c58023cc2f8fd88fe9d219db6c6",
            ),
            ("webpack", "app.1a2b3c4d5e6f7081.js", "1a2b3c4d5e6f7081"),
            ("esbuild", "chunk-3QKLPG2T.js", "3QKLPG2T"),
            ("esbuild", "out/app-ZWFVHKLC.css", "ZWFVHKLC"),
            ("esbuild", "logo-5DXKQ2JN.png", "5DXKQ2JN"),
            ("parcel", "index.1a2b3c4d.js", "1a2b3c4d"),
            ("parcel", "parcel.7cc0ee8a.css", "7cc0ee8a"),
            ("trunk", "trunk-example-61548d88d76db941.js", "61548d88d76db941"),
            ("trunk", "trunk-example-61548d88d76db941_bg.wasm", "61548d88d76db941"),
            ("trunk", "index-597d90855083f957.css", "597d90855083f957"),
            ("trunk", "index-97d90855083f957.css", "97d90855083f957"),
            ("next", "_next/static/chunks/main-1a2b3c4d5e6f7081.js", "1a2b3c4d5e6f7081"),
            ("next", "_next/static/chunks/4bd1b696-1a2b3c4d5e6f7081.js", "1a2b3c4d5e6f7081"),
            ("next", "_next/static/chunks/964.1a2b3c4d5e6f7081.js", "1a2b3c4d5e6f7081"),
            ("next", "_next/static/chunks/app/page-1a2b3c4d5e6f7081.js", "1a2b3c4d5e6f7081"),
            ("next", "_next/static/chunks/04748864d9267696.js", "04748864d9267696"),
            ("next", "_next/static/chunks/04ittye2u-_86.js", "04ittye2u-_86"),
            ("next", "_next/static/chunks/02-blbd0utox5.css", "02-blbd0utox5"),
            ("next", "_next/static/chunks/turbopack-2f80zoicn2in5.js", "2f80zoicn2in5"),
            ("next", "_next/static/css/1a2b3c4d5e6f7081.css", "1a2b3c4d5e6f7081"),
            ("next", "_next/static/media/logo.1a2b3c4d.png", "1a2b3c4d"),
            ("next", "_next/static/media/a-bcdefgh.1a2b3c4d.png", "1a2b3c4d"),
            ("next", "_next/static/media/e4af272ccee01ff0-s.p.woff2", "e4af272ccee01ff0"),
            ("next", "_next/static/media/e4af272ccee01ff0-s.woff2", "e4af272ccee01ff0"),
            (
                "next",
                "_next/static/media/0c89a48fa5027cee-s.p.2cyn07wtgehh0.woff2",
                "2cyn07wtgehh0",
            ),
            (
                "next",
                "_next/static/Gsje49LXJKMf9E0vHerzn/_buildManifest.js",
                "Gsje49LXJKMf9E0vHerzn",
            ),
            (
                "next",
                "_next/static/49kOATa7OE-FlW-S744BL/_clientMiddlewareManifest.json",
                "49kOATa7OE-FlW-S744BL",
            ),
        ] {
            assert_eq!(hash(rule, path), Some(expected), "{rule} {path}");
        }
    }

    #[test]
    fn names_of_people() {
        for path in [
            // Words of eight letters.
            "assets/my-greatest.js",
            "assets/component-settings.js",
            "assets/component-Settings.js",
            "assets/THIRD-PARTY-LICENSES.txt",
            "assets/docs-SECURITY.md",
            "assets/logo-darkMode.svg",
            "assets/Photo-My-Photo.jpg",
            "assets/photo-IMG_1234.jpg",
            "assets/mail-TEMPLATE.html",
            "assets/hero-Spring25.jpg",
            "assets/team-Photo123.jpg",
            "assets/font-Roboto24.woff2",
            "assets/modal-backdrop.png",
            "assets/a-deadbeef.js",
            "assets/a.deadbeef.js",
            // Dates, numbers and sizes.
            "assets/report-20241231.pdf",
            "assets/report.20241231.pdf",
            "assets/report-20241231235959.pdf",
            "assets/photo-12-31-24.jpg",
            "assets/hero-1280x720.jpg",
            "assets/hero-1024x768.jpg",
            "assets/hero-v2-final.png",
            // Versions.
            "assets/jquery-3.7.1.min.js",
            "assets/jquery.min.js",
            "assets/bootstrap-5.3.3-dist.css",
            "assets/polyfill-1a2b3c4.js",
            // Beside a fingerprinted file, and not named after its own content.
            "assets/index-Bx7a91Zq.js.map",
            "assets/main.0a1b2c3d4e5f60718293.js.map",
            "assets/main.0a1b2c3d4e5f60718293.js.LICENSE.txt",
            "assets/index-Bx7a91Zq.js.gz",
            "assets/index-Bx7a91Zq.map",
            "snippets/dioxus-267e64abc8c52eea/inline0.js",
            // Too little.
            "assets/-Bx7a91Zq.js",
            "assets/Bx7a91Zq.js",
            "assets/index-Bx7a91Z.js",
            "assets/index-Bx7a91Zqq.js",
            "assets/index-Bx7a91Zq",
            "assets/index-Bx7a91Zq.",
            "assets/index_Bx7a91Zq.js",
            "assets/.js",
            "assets/",
            "assets",
            "",
            // Elsewhere.
            "index-Bx7a91Zq.js",
            "my-assets/index-Bx7a91Zq.js",
            "assets-old/index-Bx7a91Zq.js",
            "_next/static/development/_buildManifest.js",
            "_next/static/my-release-2026-11-26/_buildManifest.js",
            "_next/data/04748864d9267696.js",
            // Not ASCII, where a hash would begin.
            "assets/ü-ü-Bx7a91Z.js",
            "assets/ix-éx7a91Z.js",
        ] {
            for bundler in Bundler::ALL {
                assert_eq!(hash(bundler.name(), path), None, "{} {path}", bundler.name());
            }
        }
    }

    #[test]
    fn directories() {
        let vite = Fingerprinted::vite();
        for (name, rule, path, expected) in [
            ("another", vite.clone().below("static"), "static/a-Bx7a91Zq.js", true),
            ("another, with slashes", vite.clone().below("/static/"), "static/a-Bx7a91Zq.js", true),
            ("not its own any more", vite.clone().below("static"), "assets/a-Bx7a91Zq.js", false),
            ("anywhere", vite.clone().below(""), "a-Bx7a91Zq.js", true),
            ("several", vite.clone().below("a/b"), "x/a/b/c/a-Bx7a91Zq.js", true),
            ("not all of them", vite.clone().below("a/b"), "a/x/b/a-Bx7a91Zq.js", false),
            ("a later one", vite.clone().below("b"), "bb/b/a-Bx7a91Zq.js", true),
            ("the file itself", vite.clone().below("a-Bx7a91Zq.js"), "a-Bx7a91Zq.js", false),
            (
                "of a rule of one's own",
                Fingerprinted::from_fn(|path| path.get(..)).below("x"),
                "y/a",
                false,
            ),
        ] {
            assert_eq!(rule.hash(path).is_some(), expected, "{name}");
        }
    }

    #[test]
    fn rules_of_ones_own() {
        for (name, rule, expected) in [
            ("a part", Fingerprinted::from_fn(|path| path.get(2..4)), Some("cd")),
            ("nothing", Fingerprinted::from_fn(|_| None), None),
            ("an empty part", Fingerprinted::from_fn(|path| path.get(2..2)), None),
            ("more than a segment", Fingerprinted::from_fn(|path| path.get(..)), None),
            ("another text", Fingerprinted::from_fn(|_| Some("cd")), None),
            (
                "the second",
                Fingerprinted::vite().or(Fingerprinted::from_fn(|p| p.get(..1))),
                Some("a"),
            ),
            (
                "the first",
                Fingerprinted::from_fn(|p| p.get(..1)).or(Fingerprinted::from_fn(|p| p.get(1..2))),
                Some("a"),
            ),
        ] {
            assert_eq!(rule.hash("abcd/ef"), expected, "{name}");
        }
    }

    #[test]
    fn rules_by_name() {
        for bundler in Bundler::ALL {
            let rule = bundler.name().parse::<Fingerprinted>().unwrap();
            assert_eq!(format!("{rule:?}"), format!("{:?}", Fingerprinted::bundler(bundler)));
        }
        for unknown in ["", "Vite", "rollup", "vite,next"] {
            let error = unknown.parse::<Fingerprinted>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownRule);
            assert_eq!(
                error.to_string(),
                format!(
                    "fingerprint rule {unknown:?} is unknown; the known ones: vite, webpack, \
                     esbuild, parcel, trunk, next"
                )
            );
        }
    }

    /// How many hashes are taken for something else; the docs give these numbers.
    #[test]
    fn few_hashes_look_like_words() {
        const HASHES: u32 = 20_000;
        let mut state = 1_u64;
        let mut random = |below: usize| {
            // SplitMix64
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % below
        };
        let base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let hex = &base64[52..62].chars().chain('a'..='f').collect::<String>();
        let base32 = &format!("{}234567", &base64[..26]);
        for (rule, alphabet, length, most) in [
            ("vite", base64, 8, 2.4),
            ("vite", hex, 8, 2.5),
            ("parcel", hex, 8, 2.5),
            ("webpack", hex, 20, 0.02),
            ("trunk", hex, 16, 0.1),
            ("esbuild", base32, 8, 3.5),
        ] {
            let separator = if ["parcel", "webpack"].contains(&rule) { '.' } else { '-' };
            let rule: Fingerprinted = rule.parse().unwrap();
            let missed = (0..HASHES).filter(|_| {
                let symbols = (0..length).map(|_| alphabet.as_bytes()[random(alphabet.len())]);
                let hash = String::from_utf8(symbols.collect()).unwrap();
                rule.hash(&format!("assets/index{separator}{hash}.js")).is_none()
            });
            let missed = f64::from(u32::try_from(missed.count()).unwrap());
            let percent = 100.0 * missed / f64::from(HASHES);
            println!("{rule:?} {percent}");
            assert!(percent <= most, "{rule:?} misses {percent} % of {length} {alphabet}");
        }
    }

    proptest! {
        #[test]
        fn a_hash_is_a_part_of_the_path(
            path in "((assets|_next/static|a)/)?([a-z]{0,3}[-._])?[-_.0-9a-zA-Zé/]{0,40}(\\.js)?",
        ) {
            for bundler in Bundler::ALL {
                let rule = Fingerprinted::bundler(bundler);
                for rule in [rule.clone(), rule.below("")] {
                    let Some(range) = rule.position(&path) else { continue };
                    prop_assert_eq!(rule.hash(&path), path.get(range.clone()));
                    prop_assert!(!path[range].contains('/'));
                }
            }
        }
    }
}
