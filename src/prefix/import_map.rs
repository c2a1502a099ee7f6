//! How do modules find each other by short names? With an import map, made of the listed files.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};

use crate::{
    Error, ErrorKind,
    prefix::{StaticPrefix, html::Attribute},
};

/// An import map: names that modules import by, the URLs of the files that are meant, and their
/// digests.
///
/// The [`Display`](fmt::Display) form is JSON. It is ASCII without `<`, `>` and `&`, and so is
/// safe inside of a `<script>` element, whatever the names are.
///
/// Made by [`StaticPrefix::import_map`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportMap<'p> {
    prefix: &'p StaticPrefix,
    /// Names and URLs.
    imports: BTreeMap<String, String>,
    /// URLs and digests.
    integrity: BTreeMap<String, String>,
}

impl StaticPrefix {
    /// Returns an import map, so that modules can `import "app"` where they would have to
    /// know the version. Each item is a name and the logical path of a file. If both are
    /// directories, with a slash at the end, the name stands for all files below it; the path
    /// `/` is the whole tree. If a name comes twice, the later item counts.
    ///
    /// The map has the `integrity` of each of these files, so that a browser refuses a module
    /// whose bytes are others. Of a directory these are the modules, `*.js` and `*.mjs`. What
    /// they import with relative URLs is not known here: see
    /// [`with_integrity`](ImportMap::with_integrity). As with [`integrity`](Self::integrity),
    /// there is none in development and without a manifest.
    ///
    /// A [fingerprinted](crate::StaticUrlLayerBuilder::fingerprinted) module has its URL without
    /// a version, also below a directory. A module below a directory is imported by its name as
    /// it is, without escapes: `import "lib/100%.js"`.
    ///
    /// ```
    /// use tower_static_url::{Manifest, StaticUrlLayer, VersionSource};
    ///
    /// let files = [("js/app.js", "import 'lib/greet.js'"), ("js/lib/greet.js", "alert('hi')")];
    /// let manifest = Manifest::from_files(files)?;
    /// let builder = StaticUrlLayer::builder("/static").manifest(manifest);
    /// let prefix = builder.version(VersionSource::literal("v1")).build()?.prefix();
    ///
    /// let map = prefix.import_map([("app", "js/app.js"), ("lib/", "js/lib/")])?;
    /// assert_eq!(
    ///     map.to_string(),
    ///     concat!(
    ///         r#"{"imports":{"app":"/static/v1/js/app.js","lib/":"/static/v1/js/lib/"},"#,
    ///         r#""integrity":{"#,
    ///         r#""/static/v1/js/app.js":"sha256-et+PERBba147+KC8Tl0+LvNvo6cV2TXEKDyV7i9+wek=","#,
    ///         r#""/static/v1/js/lib/greet.js":"sha256-XTqNqFSUlZHAW7f/OGNYSOEzxKhjdAAGMXoid2VEbJk="}}"#
    ///     )
    /// );
    /// let page = format!(r#"{}<script type="module">import "app"</script>"#, map.to_html());
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`NotListed`](ErrorKind::NotListed): the manifest does not list a path, or has no file
    ///   below a directory. The text names up to three similar ones.
    /// - [`InvalidImport`](ErrorKind::InvalidImport): a name is empty, or one of a name and its
    ///   path is a directory and the other is not. A browser would ignore such an item.
    pub fn import_map<'n>(
        &self,
        imports: impl IntoIterator<Item = (&'n str, &'n str)>,
    ) -> Result<ImportMap<'_>, Error> {
        let without_slash = |(name, path): (&'n str, &'n str)| (name, path.trim_start_matches('/'));
        let imports = imports.into_iter().map(without_slash).collect::<BTreeMap<_, _>>();
        let mut map =
            ImportMap { prefix: self, imports: BTreeMap::new(), integrity: BTreeMap::new() };
        for (name, path) in &imports {
            map.add(name, path)?;
        }
        for (name, directory) in imports.into_iter().filter(|(_, path)| is_directory(path)) {
            map.add_exceptions(name, directory);
        }
        Ok(map)
    }
}

fn is_directory(path: &str) -> bool {
    path.is_empty() || path.ends_with('/')
}

fn is_module(path: &str) -> bool {
    path.ends_with(".js") || path.ends_with(".mjs")
}

fn check_import(name: &str, path: &str) -> Result<(), Error> {
    let invalid = |why: &str| {
        let message = format!("import {name:?} of {path:?}: {why}");
        Err(Error::new(ErrorKind::InvalidImport, message))
    };
    match (name.ends_with('/'), is_directory(path)) {
        _ if name.is_empty() => invalid("the name is empty"),
        (true, false) => invalid("the name ends with `/`, but the path does not"),
        (false, true) => invalid("the path is a directory, but the name does not end with `/`"),
        _ => Ok(()),
    }
}

impl ImportMap<'_> {
    /// Adds the `integrity` of further files, those that modules import with relative URLs. A
    /// path with a slash at its end stands for all modules below that directory, `*.js` and
    /// `*.mjs`; `/` for those of the whole tree.
    ///
    /// Each file takes about 120 bytes of the page.
    ///
    /// ```
    /// # use tower_static_url::{Manifest, StaticUrlLayer};
    /// let files = [("js/app.js", "import './greet.js'"), ("js/greet.js", "alert('hi')")];
    /// let manifest = Manifest::from_files(files)?;
    /// let prefix = StaticUrlLayer::builder("/static").manifest(manifest).build()?.prefix();
    /// let map = prefix.import_map([("app", "js/app.js")])?;
    /// assert!(!map.to_string().contains("greet.js"));
    /// let map = map.with_integrity(["js/"])?;
    /// assert!(map.to_string().contains("greet.js"));
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotListed`](ErrorKind::NotListed): as [`StaticPrefix::import_map`].
    pub fn with_integrity<'n>(
        mut self,
        paths: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, Error> {
        for path in paths {
            self.add_integrity(path.trim_start_matches('/'))?;
        }
        Ok(self)
    }

    /// Removes all `integrity`. The map is then small, and a browser takes modules as they come.
    pub fn without_integrity(mut self) -> Self {
        self.integrity.clear();
        self
    }

    /// Returns `<script type="importmap">…</script>`, to be put into a page as it is. It has to
    /// precede every other module script of the page.
    pub fn to_html(&self) -> String {
        format!("<script type=\"importmap\">{self}</script>")
    }

    /// Returns [the element](Self::to_html) with a `nonce`, for a `Content-Security-Policy` that
    /// has it.
    ///
    /// ```
    /// # use tower_static_url::{Manifest, StaticUrlLayer};
    /// # let manifest = Manifest::from_files([("app.js", "")])?;
    /// # let prefix = StaticUrlLayer::builder("/static").manifest(manifest).build()?.prefix();
    /// let html = prefix.import_map([("app", "app.js")])?.to_html_with_nonce("h2DMTvcUmX");
    /// assert!(html.starts_with(r#"<script type="importmap" nonce="h2DMTvcUmX">{"imports""#));
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    pub fn to_html_with_nonce(&self, nonce: &str) -> String {
        format!("<script type=\"importmap\" nonce=\"{}\">{self}</script>", Attribute(nonce))
    }

    /// Returns `'sha256-…'`, with its quotes: the source expression that admits
    /// [the element](Self::to_html) where `script-src` of a `Content-Security-Policy` forbids
    /// inline scripts. It holds for the text alone: put nothing between the tags but the map.
    ///
    /// ```
    /// # use tower_static_url::{Manifest, StaticUrlLayer};
    /// # let manifest = Manifest::from_files([("app.js", "")])?;
    /// # let prefix = StaticUrlLayer::builder("/static").manifest(manifest).build()?.prefix();
    /// let map = prefix.import_map([("app", "app.js")])?;
    /// let policy = format!("script-src 'self' {}", map.csp_hash());
    /// assert!(policy.starts_with("script-src 'self' 'sha256-"));
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    pub fn csp_hash(&self) -> String {
        format!("'sha256-{}'", BASE64.encode(&Sha256::digest(self.to_string())))
    }

    fn add(&mut self, name: &str, path: &str) -> Result<(), Error> {
        check_import(name, path)?;
        let prefix = self.prefix;
        let url =
            if is_directory(path) { prefix.listed_directory(path) } else { prefix.listed(path) }?;
        self.imports.insert(name.to_owned(), url.to_url());
        self.add_integrity(path)
    }

    fn add_integrity(&mut self, path: &str) -> Result<(), Error> {
        let prefix = self.prefix;
        if !is_directory(path) {
            let url = prefix.try_url(path)?;
            self.add_integrity_of(path, url);
            return Ok(());
        }
        prefix.listed_directory(path)?;
        for path in prefix.snapshot.paths_from(path).filter(|path| is_module(path)) {
            self.add_integrity_of(path, prefix.url(path));
        }
        Ok(())
    }

    fn add_integrity_of(&mut self, path: &str, url: String) {
        if let Some(digest) = self.prefix.integrity(path) {
            self.integrity.insert(as_resolved(&url), digest.clone());
            self.integrity.insert(url, digest);
        }
    }

    /// Maps the modules below a directory whose URLs are not that of the directory and their
    /// names: fingerprinted ones, and those whose names have to be escaped. A longer name wins
    /// over a shorter one.
    fn add_exceptions(&mut self, name: &str, directory: &str) {
        let prefix = self.prefix;
        let modules = prefix.snapshot.paths_from(directory).filter(|path| is_module(path));
        for path in modules {
            let rest = &path[directory.len()..];
            let url = prefix.url(path);
            let name_of_file = format!("{name}{rest}");
            let is_regular = url.strip_prefix(&self.imports[name]) == Some(rest);
            if !is_regular && self.directory_of(&name_of_file) == Some(name) {
                self.imports.entry(name_of_file).or_insert(url);
            }
        }
    }

    /// Returns the name of the directory that a name is below: the longest one.
    fn directory_of(&self, name: &str) -> Option<&str> {
        let mut directories = name.rmatch_indices('/').map(|(slash, _)| &name[..=slash]);
        directories.find_map(|directory| Some(self.imports.get_key_value(directory)?.0.as_str()))
    }
}

/// Returns the URL as a browser spells it that resolves the path itself, in a relative import.
/// The URL standard escapes less in a path than [`StaticPrefix::url`] does.
fn as_resolved(url: &str) -> String {
    const KEPT: [(&str, &str); 7] = [
        ("%26", "&"),
        ("%27", "'"),
        ("%28", "("),
        ("%29", ")"),
        ("%5B", "["),
        ("%5D", "]"),
        ("%7C", "|"),
    ];
    KEPT.iter().fold(url.to_owned(), |url, (escape, plain)| url.replace(escape, plain))
}

impl fmt::Display for ImportMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{\"imports\":")?;
        write_object(f, &self.imports)?;
        if !self.integrity.is_empty() {
            f.write_str(",\"integrity\":")?;
            write_object(f, &self.integrity)?;
        }
        f.write_char('}')
    }
}

fn write_object(f: &mut fmt::Formatter<'_>, members: &BTreeMap<String, String>) -> fmt::Result {
    f.write_char('{')?;
    for (i, (name, value)) in members.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(f, "{comma}{}:{}", Text(name), Text(value))?;
    }
    f.write_char('}')
}

/// A string of JSON (RFC 8259 §7) that is safe inside of a `<script>` element: all that HTML,
/// JavaScript or the encoding of a page could take for something else is escaped.
struct Text<'t>(&'t str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '<' | '>' | '&' | '\'' => write_escape(f, c)?,
                ' '..='~' => f.write_char(c)?,
                _ => write_escape(f, c)?,
            }
        }
        f.write_char('"')
    }
}

fn write_escape(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    let mut units = [0; 2];
    c.encode_utf16(&mut units).iter().try_for_each(|unit| write!(f, "\\u{unit:04x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (name, text, expected) in [
            ("nothing", "", r#""""#),
            ("plain", "/static/v1/a-b_c.js", r#""/static/v1/a-b_c.js""#),
            ("quote", "a\"b", r#""a\"b""#),
            ("backslash", "a\\b", r#""a\\b""#),
            ("end of the script", "</script>", r#""\u003c/script\u003e""#),
            ("comment", "<!--", r#""\u003c!--""#),
            ("reference", "&lt;", r#""\u0026lt;""#),
            ("apostrophe", "it's", r#""it\u0027s""#),
            ("controls", "\0\n\r\t\u{1f}\u{7f}", r#""\u0000\u000a\u000d\u0009\u001f\u007f""#),
            ("line separators", "\u{2028}\u{2029}", r#""\u2028\u2029""#),
            ("non-ASCII", "ü鳥", r#""\u00fc\u9ce5""#),
            ("two units", "😀", r#""\ud83d\ude00""#),
            ("other ASCII", "%;,#?@{}[]`", r#""%;,#?@{}[]`""#),
        ] {
            assert_eq!(Text(text).to_string(), expected, "{name}");
        }
    }

    #[test]
    fn urls_as_resolved() {
        for (name, url, expected) in [
            ("nothing to do", "/static/v1/a%20b%23.js", "/static/v1/a%20b%23.js"),
            ("characters of a path", "/%26%27%28%29%5B%5D%7C", "/&'()[]|"),
            ("an escaped escape", "/%2526", "/%2526"),
            ("two escapes", "/%25%26", "/%25&"),
        ] {
            assert_eq!(as_resolved(url), expected, "{name}");
        }
    }

    #[test]
    fn what_a_browser_would_ignore_is_refused() {
        for (name, import, path, expected) in [
            ("file", "app", "app.js", None),
            ("directory", "lib/", "js/lib/", None),
            ("whole tree", "all/", "", None),
            ("no name", "", "app.js", Some("the name is empty")),
            ("no name of a directory", "", "js/", Some("the name is empty")),
            (
                "no slash",
                "lib",
                "js/",
                Some("the path is a directory, but the name does not end with `/`"),
            ),
            ("slash", "lib/", "a.js", Some("the name ends with `/`, but the path does not")),
        ] {
            let error = check_import(import, path).err();
            let expected = expected.map(|why| format!("import {import:?} of {path:?}: {why}"));
            assert_eq!(error.map(|error| error.to_string()), expected, "{name}");
        }
    }
}
