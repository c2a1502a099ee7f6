//! A page whose files come from another origin: what a browser asks of that origin before it takes
//! fonts, modules and files with `integrity`, and what it never takes from there.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{
    Router, extract::Request, http::HeaderValue, middleware::map_request, response::Html,
    routing::get,
};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::{net::TcpListener, runtime::Runtime};
use tower::util::option_layer;
use tower_http::{
    cors::{AllowOrigin, Any, CorsLayer},
    services::ServeDir,
};
use tower_static_url::{StaticPrefix, StaticUrlLayer};

use crate::{
    Browser,
    support::{tree, write},
};

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn with_cors_for_everybody() {
    let site = Site::start(|_| Some(CorsLayer::new().allow_origin(Any)));
    site.assert_taken_once_for_each_deploy();
}

/// `Vary: Origin` does not keep the browser from using its copies.
#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn with_cors_for_the_page_alone() {
    let site = Site::start(|page| {
        let origin = format!("http://{page}").parse::<HeaderValue>().unwrap();
        Some(CorsLayer::new().allow_origin(AllowOrigin::list([origin])))
    });
    site.assert_taken_once_for_each_deploy();
}

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn without_cors_they_are_refused() {
    let site = Site::start(|_| None);
    let refused = json!({
        "ran": [], "font": "error", "color": "rgb(0, 0, 0)",
        "refused": ["app.css", "classic.js", "module.js"], "worker": "from its own origin",
    });
    assert_eq!(site.load(), refused);
}

/// A page on one port, and its files on another.
struct Site {
    root: TempDir,
    layer: StaticUrlLayer,
    page: SocketAddr,
    browser: Browser,
    /// The paths that the other origin was asked for.
    asked: Arc<Mutex<Vec<String>>>,
    _profile: TempDir,
    _runtime: Runtime,
}

/// What the page takes from the other origin.
const FILES: [&str; 5] = ["app.css", "classic.js", "dep.js", "module.js", "tiny.ttf"];

impl Site {
    /// `cors` is for the origin of the files; it gets the address of the page.
    fn start(cors: impl FnOnce(SocketAddr) -> Option<CorsLayer>) -> Self {
        let root = tree([]);
        write_files(&root, 1);
        let (runtime, profile) = (Runtime::new().unwrap(), tempdir().unwrap());
        let bind = || runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let (for_page, for_files) = (bind(), bind());
        let [page, files] = [&for_page, &for_files].map(|it| it.local_addr().unwrap());
        let builder = StaticUrlLayer::builder("/static").root(root.path());
        let layer = builder.origin(format!("http://{files}")).build().unwrap();
        let served = || {
            let files = ServeDir::new(root.path()).redirect_path_prefix("/static");
            Router::new().nest_service("/static", files)
        };
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let record = {
            let asked = Arc::clone(&asked);
            move |request: Request| {
                asked.lock().unwrap().push(request.uri().path().to_owned());
                async { request }
            }
        };
        let cdn = Router::new()
            .fallback_service(layer.wrap(served()))
            .layer(option_layer(cors(page)))
            .layer(map_request(record));
        let app = layer.wrap(served().route("/", get(html)));
        runtime.spawn(async { axum::serve(for_files, cdn).await });
        runtime.spawn(async { axum::serve(for_page, app.into_make_service()).await });
        let browser = Browser::start(runtime.handle(), profile.path());
        Self { root, layer, page, browser, asked, _profile: profile, _runtime: runtime }
    }

    /// Loads the page, and returns what has become of its files.
    fn load(&self) -> Value {
        self.browser.open("about:blank");
        self.asked.lock().unwrap().clear();
        self.browser.open(&format!("http://{}/", self.page));
        self.browser.run(RESULT)
    }

    fn assert_taken_once_for_each_deploy(&self) {
        for release in 1..=3 {
            write_files(&self.root, release);
            self.layer.reload().unwrap();
            let expected = json!({
                "ran": [format!("classic {release}"), format!("module {release}")],
                "font": "loaded", "color": format!("rgb({release}, 0, 0)"),
                "refused": [], "worker": "from its own origin",
            });
            assert_eq!(self.load(), expected);
            let mut asked = self.asked.lock().unwrap().clone();
            asked.sort();
            let version = self.layer.prefix().version().to_owned();
            assert_eq!(asked, FILES.map(|file| format!("/static/{version}/{file}")));
            assert_eq!(self.load(), expected);
            assert_eq!(*self.asked.lock().unwrap(), [""; 0], "all is in the cache");
        }
    }
}

fn write_files(root: &TempDir, release: u32) {
    let import = "import { name } from './dep.js';";
    for (path, content) in [
        (
            "app.css",
            format!(
                "@font-face {{ font-family: Tiny; src: url(tiny.ttf) }}
                body {{ font-family: Tiny; color: rgb({release}, 0, 0) }}"
            ),
        ),
        ("classic.js", format!("ran.push('classic {release}');")),
        ("module.js", format!("{import} ran.push(`${{name}} {release}`);")),
        ("dep.js", "export const name = 'module';".into()),
        ("worker.js", "postMessage('from its own origin');".into()),
        ("sprite.svg", SPRITE.into()),
    ] {
        write(root.path(), path, content);
    }
    write(root.path(), "tiny.ttf", tiny_font());
}

const SPRITE: &str = "<svg xmlns='http://www.w3.org/2000/svg'><symbol id='a'/></svg>";

async fn html(files: StaticPrefix) -> Html<String> {
    let integrity = |attribute: &str, name: &str| {
        let integrity = files.integrity(name).unwrap();
        format!(
            "{attribute}='{}' integrity='{integrity}' crossorigin onerror='refused.push({name:?})'",
            files.url(name)
        )
    };
    Html(format!(
        "<!doctype html><title>Another origin</title>
        <script>window.ran = []; window.refused = [];</script>
        <link rel='stylesheet' {css}>
        <style>@font-face {{ font-family: Direct; src: url('{font}') }}</style>
        <script {classic}></script>
        <script type='module' src='{module}' onerror='refused.push(\"module.js\")'></script>
        <svg><use href='{sprite}#a'></use></svg>
        <p>A</p>
        <script>window.urls = {{ elsewhere: '{worker}', here: '{own_worker}' }}</script>",
        css = integrity("href", "app.css"),
        font = files.url("tiny.ttf"),
        classic = integrity("src", "classic.js"),
        module = files.url("module.js"),
        sprite = files.url("sprite.svg"),
        worker = files.url("worker.js"),
        own_worker = files.path("worker.js"),
    ))
}

/// What came of each file, after `load`. A worker from another origin is an exception at once.
const RESULT: &str = "
    const font = document.fonts.load('16px Direct', 'A').then(() => 'loaded', () => 'error');
    const worker = () => {
        try {
            new Worker(urls.elsewhere);
            return 'from another origin';
        } catch {
            const worker = new Worker(urls.here);
            return new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data));
        }
    };
    const { color } = getComputedStyle(document.body);
    Promise.all([font, worker()]).then(([font, worker]) =>
        done({ ran, font, color, refused: refused.sort(), worker }));
";

/// A TrueType font with a square for an A: the least that browsers take.
fn tiny_font() -> Vec<u8> {
    const HEAD: [i32; 27] = [
        1, 0, 1, 0, 0, 0, 0x5f0f, 0x3cf5, 0, 1000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 500, 500, 0, 8, 2,
        0, 0,
    ];
    const OS2: [i32; 39] = [
        0, 600, 400, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0x40, 0x41, 0x41, 800, -200, 0, 800, 200,
    ];
    let tables: [(&[u8; 4], &[i32]); 10] = [
        (b"OS/2", &OS2),
        (
            b"cmap",
            &[
                0, 1, 3, 1, 0, 12, 4, 32, 0, 4, 4, 1, 0, 0x41, 0xffff, 0, 0x41, 0xffff, -0x40, 1,
                0, 0,
            ],
        ),
        (b"glyf", &[1, 0, 0, 500, 500, 3, 0, 0x0101, 0x0101, 0, 500, 0, -500, 0, 0, 500, 0]),
        (b"head", &HEAD),
        (b"hhea", &[1, 0, 800, -200, 0, 600, 0, 0, 500, 1, 0, 0, 0, 0, 0, 0, 0, 2]),
        (b"hmtx", &[600, 0, 600, 0]),
        (b"loca", &[0, 0, 17]),
        (b"maxp", &[1, 0, 2, 4, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]),
        (b"name", &[0, 0, 6]),
        (b"post", &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    fn words(words: &[i32]) -> impl Iterator<Item = u8> {
        words.iter().flat_map(|word| (*word as u16).to_be_bytes())
    }
    let directory = [1, 0, tables.len() as i32, 128, 3, 32];
    let mut font = words(&directory).collect::<Vec<_>>();
    let mut content = Vec::new();
    let start = font.len() + 16 * tables.len();
    for (tag, table) in tables {
        font.extend(tag);
        // Browsers do not look at checksums.
        let (checksum, length) = (0, 2 * table.len());
        for number in [checksum, start + content.len(), length] {
            font.extend((number as u32).to_be_bytes());
        }
        content.extend(words(table));
        content.resize(content.len().next_multiple_of(4), 0);
    }
    [font, content].concat()
}
