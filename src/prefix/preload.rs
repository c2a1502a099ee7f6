//! What should a browser fetch before it finds out by itself? Preload links, as a `Link` field
//! or as elements of HTML.

use std::fmt::Write as _;

use http::HeaderValue;

use crate::{
    Error, ErrorKind,
    prefix::{StaticPrefix, html::Attribute},
};

/// The default budget of a `Link` field, in bytes.
const BUDGET: usize = 1024;

/// A file to preload: an item of [`StaticPrefix::preloads`].
///
/// ```
/// use tower_static_url::{Preload, PreloadAs};
///
/// const OF_EVERY_PAGE: [Preload<'_>; 4] = [
///     Preload::new("css/app.css"),
///     Preload::module("js/app.js"),
///     Preload::new("fonts/body.woff2"),
///     Preload::new("data/start").load_as(PreloadAs::Fetch),
/// ];
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preload<'p> {
    path: &'p str,
    load_as: Option<PreloadAs>,
    is_cross_origin: bool,
    has_integrity: bool,
}

/// For what a file is preloaded. The browser uses it for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PreloadAs {
    /// `<script src>`
    Script,
    /// `<script type="module" src>` and `import`
    Module,
    /// `<link rel="stylesheet">`
    Style,
    /// `@font-face`
    Font,
    /// `<img>`, and images of style sheets
    Image,
    /// `fetch()`
    Fetch,
}

impl<'p> Preload<'p> {
    /// Preloads the file at a logical path. What for is told by its name:
    ///
    /// | name ends with | [`PreloadAs`] |
    /// |---|---|
    /// | `.js` | `Script`: for a module write [`Preload::module`] |
    /// | `.mjs` | `Module` |
    /// | `.css` | `Style` |
    /// | `.woff2`, `.woff`, `.ttf`, `.otf` | `Font` |
    /// | `.avif`, `.gif`, `.ico`, `.jpeg`, `.jpg`, `.png`, `.svg`, `.webp` | `Image` |
    /// | `.json`, `.wasm` | `Fetch` |
    pub const fn new(path: &'p str) -> Self {
        Self { path, load_as: None, is_cross_origin: false, has_integrity: true }
    }

    /// Preloads a module: for `<script type="module">` and `import`. An
    /// [element](Preloads::to_html) compiles it ahead, too; for a `Link` field see
    /// [`without_import_map`](Preloads::without_import_map).
    pub const fn module(path: &'p str) -> Self {
        Self::new(path).load_as(PreloadAs::Module)
    }

    /// Sets what the file is for, if its name does not tell.
    pub const fn load_as(mut self, load_as: PreloadAs) -> Self {
        self.load_as = Some(load_as);
        self
    }

    /// Adds `crossorigin`, for an element that has it, and for images that CSS fetches in that
    /// way (`mask-image`, `shape-outside`). Fonts, modules, files for `fetch()`, and scripts and
    /// style sheets of another origin are fetched with CORS anyway.
    pub const fn crossorigin(mut self) -> Self {
        self.is_cross_origin = true;
        self
    }

    /// Leaves out `integrity`, for a file that is rewritten on its way to the browser.
    pub const fn without_integrity(mut self) -> Self {
        self.has_integrity = false;
        self
    }
}

impl<'p> From<&'p str> for Preload<'p> {
    fn from(path: &'p str) -> Self {
        Self::new(path)
    }
}

impl PreloadAs {
    fn of_name(path: &str) -> Option<Self> {
        let (_, extension) = path.rsplit_once('.')?;
        Some(match &*extension.to_ascii_lowercase() {
            "js" => Self::Script,
            "mjs" => Self::Module,
            "css" => Self::Style,
            "otf" | "ttf" | "woff" | "woff2" => Self::Font,
            "avif" | "gif" | "ico" | "jpeg" | "jpg" | "png" | "svg" | "webp" => Self::Image,
            "json" | "wasm" => Self::Fetch,
            _ => return None,
        })
    }

    /// Returns the value of `as`.
    fn as_str(self) -> &'static str {
        match self {
            Self::Script | Self::Module => "script",
            Self::Style => "style",
            Self::Font => "font",
            Self::Image => "image",
            Self::Fetch => "fetch",
        }
    }

    /// Browsers check the digests of these only, and warn of others.
    fn has_integrity(self) -> bool {
        matches!(self, Self::Script | Self::Module | Self::Style)
    }

    /// Whether a browser fetches such a file with CORS: not at all, always, or if it has
    /// another origin, where there is no integrity without CORS.
    fn is_cross_origin(self, of_another_origin: bool) -> bool {
        match self {
            Self::Font | Self::Fetch | Self::Module => true,
            Self::Script | Self::Style => of_another_origin,
            Self::Image => false,
        }
    }
}

impl StaticPrefix {
    /// Returns links with which a browser preloads these files, as a value of the field
    /// [`Link`](Preloads::header) and as [elements of HTML](Preloads::to_html). The most
    /// important file comes first.
    ///
    /// Scripts, modules and style sheets have their [`integrity`](Self::integrity). A browser
    /// uses a preloaded file for an element with the same `integrity`, or with none. All links
    /// to another [origin](crate::StaticUrlLayerBuilder::origin) are as the page
    /// [Preloading](crate::docs::preloading) has it.
    ///
    /// ```
    /// use axum::{http::header::LINK, response::{Html, IntoResponse}};
    /// use tower_static_url::{Preload, StaticPrefix};
    ///
    /// async fn page(files: StaticPrefix) -> Result<impl IntoResponse, String> {
    ///     let preloads = ["css/app.css".into(), Preload::module("js/app.js")];
    ///     let preloads = files.preloads(preloads).map_err(|error| error.to_string())?;
    ///     let fields = preloads.header().map(|link| [(LINK, link)]);
    ///     Ok((fields, Html("<!doctype html>…")))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`NotListed`](ErrorKind::NotListed): the manifest does not list a path
    /// - [`UnknownDestination`](ErrorKind::UnknownDestination): the name of a file does not tell
    ///   what it is for
    pub fn preloads<'p, P>(&self, files: impl IntoIterator<Item = P>) -> Result<Preloads, Error>
    where
        P: Into<Preload<'p>>,
    {
        let links = files.into_iter().map(|file| Link::new(self, file.into()));
        Ok(Preloads {
            links: links.collect::<Result<_, _>>()?,
            budget: BUDGET,
            has_import_map: true,
        })
    }
}

/// Links with which a browser preloads files. Made by [`StaticPrefix::preloads`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preloads {
    links: Vec<Link>,
    budget: usize,
    has_import_map: bool,
}

impl Preloads {
    /// Sets how many bytes the `Link` field may have. Default: 1024. Many proxies refuse or drop
    /// a response whose fields are larger than 4 or 8 KiB together.
    pub fn budget(mut self, bytes: usize) -> Self {
        self.budget = bytes;
        self
    }

    /// Makes modules `rel=modulepreload` also in the `Link` field, so that the browser compiles
    /// them ahead. Only for pages without an import map.
    ///
    /// The field precedes the map of the page. If the browser has compiled a module when the map
    /// comes, names that this module imports stay unknown, and some browsers then ignore the
    /// map. So by default modules in the field are `rel=preload; as=script`, with which they are
    /// only fetched.
    ///
    /// ```
    /// # use tower_static_url::{Manifest, Preload, StaticUrlLayer, VersionSource};
    /// # let manifest = Manifest::from_files([("app.js", "")])?;
    /// # let builder = StaticUrlLayer::builder("/static").manifest(manifest);
    /// # let prefix = builder.version(VersionSource::literal("v1")).build()?.prefix();
    /// let preloads = prefix.preloads([Preload::module("app.js").without_integrity()])?;
    /// let field = preloads.header().unwrap();
    /// assert_eq!(field, "</static/v1/app.js>; rel=preload; as=script; crossorigin");
    /// let field = preloads.without_import_map().header().unwrap();
    /// assert_eq!(field, "</static/v1/app.js>; rel=modulepreload");
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    pub fn without_import_map(mut self) -> Self {
        self.has_import_map = false;
        self
    }

    /// Returns the value of a `Link` field: each link, in the order given, that still fits into
    /// the [budget](Self::budget). `None` if there is none.
    ///
    /// ```
    /// # use tower_static_url::{Manifest, StaticUrlLayer, VersionSource};
    /// let files = [("app.css", "body { color: teal }"), ("body.woff2", "…")];
    /// let manifest = Manifest::from_files(files)?;
    /// let builder = StaticUrlLayer::builder("/static").manifest(manifest);
    /// let prefix = builder.version(VersionSource::literal("v1")).build()?.prefix();
    /// assert_eq!(
    ///     prefix.preloads(["app.css", "body.woff2"])?.header().unwrap(),
    ///     concat!(
    ///         "</static/v1/app.css>; rel=preload; as=style; ",
    ///         r#"integrity="sha256-VnKFUdrJfo9U3fz5G3s5L6lmsis6wpB2O0ZEWphETe0=", "#,
    ///         "</static/v1/body.woff2>; rel=preload; as=font; crossorigin"
    ///     )
    /// );
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    pub fn header(&self) -> Option<HeaderValue> {
        let mut value = String::new();
        for link in self.fitting().filter_map(|(_, field)| field) {
            let comma = if value.is_empty() { "" } else { ", " };
            value.extend([comma, &link]);
        }
        // A URL is ASCII, so that this cannot fail.
        HeaderValue::try_from(value).ok().filter(|value| !value.is_empty())
    }

    /// Returns the logical paths of the files that do not fit into the budget of the
    /// [`Link`](Self::header) field.
    pub fn left_out(&self) -> impl Iterator<Item = &str> {
        self.fitting().filter(|(_, field)| field.is_none()).map(|(link, _)| &*link.path)
    }

    /// Returns all links as elements of HTML, `<link rel="preload" …>` or `rel="modulepreload"`,
    /// whatever the budget is. They belong in the `<head>`, behind an import map.
    ///
    /// ```
    /// # use tower_static_url::{Manifest, StaticUrlLayer, VersionSource};
    /// # let manifest = Manifest::from_files([("body.woff2", "…")])?;
    /// # let builder = StaticUrlLayer::builder("/static").manifest(manifest);
    /// # let prefix = builder.version(VersionSource::literal("v1")).build()?.prefix();
    /// assert_eq!(
    ///     prefix.preloads(["body.woff2"])?.to_html(),
    ///     r#"<link href="/static/v1/body.woff2" rel="preload" as="font" crossorigin>"#
    /// );
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    pub fn to_html(&self) -> String {
        self.links.iter().map(Link::to_html).collect()
    }

    /// Returns each link, with its text if that fits into the budget.
    fn fitting(&self) -> impl Iterator<Item = (&Link, Option<String>)> {
        let mut used = 0;
        self.links.iter().map(move |link| {
            let field = link.to_field(self.has_import_map);
            let comma = if used == 0 { 0 } else { ", ".len() };
            if used + comma + field.len() > self.budget {
                return (link, None);
            }
            used += comma + field.len();
            (link, Some(field))
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    path: Box<str>,
    url: String,
    load_as: PreloadAs,
    integrity: Option<String>,
    is_cross_origin: bool,
}

impl Link {
    fn new(prefix: &StaticPrefix, file: Preload<'_>) -> Result<Self, Error> {
        let url = prefix.listed(file.path)?;
        let unknown = || {
            let message = format!("{:?}: the name does not tell what to preload it as", url.path);
            Error::new(ErrorKind::UnknownDestination, message)
        };
        let load_as = file.load_as.or_else(|| PreloadAs::of_name(url.path)).ok_or_else(unknown)?;
        let of_another_origin = !prefix.snapshot.settings().origin.is_empty();
        let has_integrity = file.has_integrity && load_as.has_integrity();
        let is_cross_origin = load_as.is_cross_origin(of_another_origin) || file.is_cross_origin;
        Ok(Self {
            path: url.path.into(),
            url: url.to_url(),
            load_as,
            integrity: has_integrity.then(|| prefix.integrity(file.path)).flatten(),
            is_cross_origin,
        })
    }

    /// Returns a `link-value` (RFC 8288 §3).
    fn to_field(&self, has_import_map: bool) -> String {
        let mut field = format!("<{}>", self.url);
        for (name, value) in self.attributes(!has_import_map) {
            field.extend(["; ", name]);
            match value {
                // Base64 is no token (RFC 9110 §5.6.2), and has neither a quote nor a backslash.
                Some(value) if name == "integrity" => field.extend(["=\"", value, "\""]),
                Some(value) => field.extend(["=", value]),
                None => {}
            }
        }
        field
    }

    fn to_html(&self) -> String {
        let mut html = format!("<link href=\"{}\"", Attribute(&self.url));
        for (name, value) in self.attributes(true) {
            html.extend([" ", name]);
            if let Some(value) = value {
                let _ = write!(html, "=\"{}\"", Attribute(value));
            }
        }
        html.push('>');
        html
    }

    /// Returns names and values of attributes. A module is compiled with a `rel` of its own, which
    /// implies the rest.
    fn attributes(
        &self,
        compiles_modules: bool,
    ) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        let is_compiled = compiles_modules && self.load_as == PreloadAs::Module;
        let rel = if is_compiled { "modulepreload" } else { "preload" };
        let load_as = (!is_compiled).then(|| ("as", Some(self.load_as.as_str())));
        let integrity = self.integrity.as_deref().map(|integrity| ("integrity", Some(integrity)));
        let is_cross_origin = self.is_cross_origin && !is_compiled;
        let crossorigin = is_cross_origin.then_some(("crossorigin", None));
        let others = load_as.into_iter().chain(integrity).chain(crossorigin);
        std::iter::once(("rel", Some(rel))).chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(url: &str, load_as: PreloadAs, integrity: Option<&str>, is_cross_origin: bool) -> Link {
        let integrity = integrity.map(str::to_owned);
        Link { path: url.into(), url: url.to_owned(), load_as, integrity, is_cross_origin }
    }

    #[test]
    fn purposes() {
        use PreloadAs::*;
        for (path, expected) in [
            ("js/app.js", Some(Script)),
            ("js/app.mjs", Some(Module)),
            ("css/app.css", Some(Style)),
            ("CSS/APP.CSS", Some(Style)),
            ("body.woff2", Some(Font)),
            ("photo.jpeg", Some(Image)),
            ("sprite.svg", Some(Image)),
            ("data.json", Some(Fetch)),
            ("app_bg.wasm", Some(Fetch)),
            ("app.css.map", None),
            ("film.mp4", None),
            ("css", None),
            ("js.d/app", None),
            ("", None),
        ] {
            assert_eq!(PreloadAs::of_name(path), expected, "{path}");
        }
    }

    #[test]
    fn fields_and_elements() {
        use PreloadAs::*;
        for (name, link, field, html) in [
            (
                "style",
                link("/a.css", Style, Some("sha256-+/="), false),
                "</a.css>; rel=preload; as=style; integrity=\"sha256-+/=\"",
                "<link href=\"/a.css\" rel=\"preload\" as=\"style\" integrity=\"sha256-+/=\">",
            ),
            (
                "style of another origin",
                link("http://a/a.css", Style, Some("sha256-="), true),
                "<http://a/a.css>; rel=preload; as=style; integrity=\"sha256-=\"; crossorigin",
                "<link href=\"http://a/a.css\" rel=\"preload\" as=\"style\" integrity=\"sha256-=\" crossorigin>",
            ),
            (
                "module",
                link("/a.js", Module, Some("sha256-="), true),
                "</a.js>; rel=preload; as=script; integrity=\"sha256-=\"; crossorigin",
                "<link href=\"/a.js\" rel=\"modulepreload\" integrity=\"sha256-=\">",
            ),
            (
                "what a mount and a query may have",
                link("/a'b&c/x,y;z?a=1&b", Fetch, None, true),
                "</a'b&c/x,y;z?a=1&b>; rel=preload; as=fetch; crossorigin",
                "<link href=\"/a&#39;b&amp;c/x,y;z?a=1&amp;b\" rel=\"preload\" as=\"fetch\" crossorigin>",
            ),
        ] {
            assert_eq!(link.to_field(true), field, "{name}");
            assert_eq!(link.to_html(), html, "{name}");
        }
    }

    #[test]
    fn where_no_import_map_follows() {
        let module = link("/a.js", PreloadAs::Module, Some("sha256-="), true);
        let expected = "</a.js>; rel=modulepreload; integrity=\"sha256-=\"";
        assert_eq!(module.to_field(false), expected);
        let script = link("/a.js", PreloadAs::Script, None, false);
        assert_eq!(script.to_field(false), script.to_field(true));
    }

    #[test]
    fn what_fits() {
        // Of 26, 66 and 26 bytes.
        let links = [1, 41, 1].map(|n| link(&"x".repeat(n), PreloadAs::Image, None, false));
        let lengths = links.each_ref().map(|link| link.to_field(true).len());
        assert_eq!(lengths, [26, 66, 26]);
        for (name, budget, length, left_out) in [
            ("all", 122, Some(122), [].as_slice()),
            ("one byte short: the last", 121, Some(94), &["x"]),
            ("the second, to the byte", 94, Some(94), &["x"]),
            ("not the second, but the third", 93, Some(54), &[&"x".repeat(41)]),
            ("the first, to the byte", 26, Some(26), &[&"x".repeat(41), "x"]),
            ("none", 25, None, &["x", &"x".repeat(41), "x"]),
            ("nothing", 0, None, &["x", &"x".repeat(41), "x"]),
        ] {
            let preloads = Preloads { links: links.to_vec(), budget, has_import_map: true };
            assert_eq!(preloads.header().map(|value| value.len()), length, "{name}");
            assert_eq!(preloads.left_out().collect::<Vec<_>>(), left_out, "{name}");
        }
        let none = Preloads { links: Vec::new(), budget: BUDGET, has_import_map: true };
        assert_eq!((none.header(), none.to_html()), (None, String::new()));
    }
}
