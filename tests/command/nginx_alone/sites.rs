//! nginx and the layer, each with the same files.

use std::{
    fs::{self, Permissions},
    net::{SocketAddr, TcpStream},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceBuilder;
use tower_http::services::ServeDir;
use tower_static_url::{
    Fingerprinted, StaticUrlLayer, UnlistedPolicy, VersionSource, releases::Releases,
};

use super::{LONG, OLD_SHEET};
use crate::{
    path_of, succeed,
    support::{
        gzip,
        proxy::{Proxy, nginx_including, ready_text, unused_address},
        site, tree,
        wire::{Answer, Connection, Server},
        write,
    },
};

/// Of the right shape, and never published.
const UNKNOWN: &str = "00000000000000aa";

/// What an administrator may have beside it.
const OTHER_LOCATION: &str = r#"location ~* \.(css|js|txt)$ { return 200 "from somewhere else"; }"#;

/// The files as they are now. `OLD` in a path is the version of other ones, which may be kept.
fn new_tree() -> TempDir {
    let root = site();
    for (path, content) in [
        ("index.html", "<h1>home</h1>"),
        ("js/app.mjs", "export {}"),
        ("js/lazy.js", "lazy"),
        ("site.webmanifest", "{}"),
        ("app.wasm", "\0asm"),
        ("long.txt", LONG),
        ("empty.txt", ""),
        ("$file.txt", "dollar"),
        ("(round) {curly} [square].txt", "brackets"),
        ("it's \"so\".txt", "quotes"),
        ("two\nlines.txt", "lines"),
        ("docsindex.html", "not of the directory"),
        ("pictures/teal.svg", "<svg/>"),
        ("assets/index-Bx7a91Zq.js", "hashed"),
        ("assets/f\u{fc}nke it's-9fQ2LmXc.js", "hashed, too"),
        ("assets/component-settings.js", "a word"),
        // What the layer does not list.
        (".env", "secret"),
        (".git/config", "secret"),
        (".well-known/security.txt", "secret"),
        ("css/.app.css.swp", "secret"),
        ("css/app.css~", "secret"),
        ("#notes#", "secret"),
        ("Thumbs.db", "secret"),
        ("js/desktop.ini", "secret"),
    ] {
        write(root.path(), path, content);
    }
    symlink(root.path().join("hello.txt"), root.path().join("link.txt")).unwrap();
    symlink(root.path().join("css"), root.path().join("styles")).unwrap();
    open_to_all(root.path());
    root
}

fn old_tree() -> TempDir {
    let root = tree([
        ("css/app.css", OLD_SHEET),
        ("js/gone.js", "gone"),
        ("docs/index.html", "<h1>old docs</h1>"),
        ("assets/panel-Bx7a91Zq.js", "removed"),
    ]);
    write(root.path(), "css/app.css.gz", gzip(OLD_SHEET));
    open_to_all(root.path());
    root
}

/// The workers of nginx are another user.
pub(super) fn open_to_all(directory: &Path) {
    fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
}

/// How the files get to nginx.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) mount: &'static str,
    pub(super) literals: Option<[&'static str; 2]>,
    pub(super) has_releases: bool,
}

pub(super) const WAYS: [Way; 5] = [
    Way { name: "a directory", mount: "/static", literals: None, has_releases: false },
    Way {
        name: "a literal version",
        mount: "/a/b",
        literals: Some(["v1.2-B", "v1.3-C"]),
        has_releases: false,
    },
    Way { name: "the whole site", mount: "/", literals: None, has_releases: false },
    Way {
        name: "an odd mount",
        mount: "/v1.0+(x)$&'!*,;=:@~/~s~",
        literals: None,
        has_releases: false,
    },
    Way { name: "releases", mount: "/static", literals: None, has_releases: true },
];

/// nginx, and the layer, each with the same files.
pub(super) struct Sites {
    pub(super) nginx: Proxy,
    layer: Server,
    pub(super) mount: &'static str,
    pub(super) versions: [String; 2],
    /// What the command was asked for.
    args: Vec<String>,
    pub(super) folder: TempDir,
    pub(super) roots: [TempDir; 2],
}

impl Sites {
    pub(super) fn new(way: &Way) -> Self {
        let folder = tempfile::tempdir().unwrap();
        open_to_all(folder.path());
        let roots = [old_tree(), new_tree()];
        let identity = |index: usize| match way.literals {
            Some(literals) => vec!["--literal", literals[index]],
            None => vec![],
        };
        let of = |index: usize| [&[path_of(&roots[index])], &*identity(index)].concat();
        let versions = [0, 1]
            .map(|index| succeed(&[&["version"], &*of(index)].concat()).trim_end().to_owned());
        let releases = folder.path().join("releases");
        if way.has_releases {
            let to = ["--to", releases.to_str().unwrap()];
            for index in [0, 1] {
                succeed(&[&["publish"], &*of(index), &to].concat());
            }
        }
        let files = if way.has_releases { vec![releases.to_str().unwrap()] } else { of(1) };
        let args = ["--mount", way.mount, "--fingerprinted", "vite"];
        let args = [&["nginx"], &*files, &args].concat();
        let printed = succeed(&args);
        let args = args.into_iter().map(str::to_owned).collect();
        let layer = layer(way, roots[1].path(), way.has_releases.then_some(&*releases));
        assert_eq!(layer.prefix().version(), versions[1], "{}", way.name);
        let mount = way.mount.trim_end_matches('/');
        let service = ServeDir::new(roots[1].path()).precompressed_gzip();
        let server = if mount.is_empty() {
            Server::start(ServiceBuilder::new().layer(layer).service(service))
        } else {
            let service = service.redirect_path_prefix(mount);
            let service = ServiceBuilder::new().layer(layer.nested()).service(service);
            Server::start(axum::Router::new().nest_service(mount, service))
        };
        Self { nginx: start(&printed), layer: server, mount, versions, args, folder, roots }
    }

    /// Lets nginx leave the rest to the layer.
    pub(super) fn put_in_front_of_the_layer(&mut self) {
        let app = format!("http://{}", self.layer.address);
        let args = self.args.iter().map(String::as_str).chain(["--app", &app]);
        self.nginx = start_beside(&app, &succeed(&args.collect::<Vec<_>>()));
    }

    pub(super) fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        Connection::to(self.nginx.address).exchange(method, &self.url(path), fields)
    }

    pub(super) fn ask_the_layer(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        Connection::open(&self.layer).exchange(method, &self.url(path), fields)
    }

    /// Returns the URL of a path below the mount. Words in capitals are versions.
    pub(super) fn url(&self, path: &str) -> String {
        let unknown = match &*self.versions[1] {
            literal if literal.starts_with('v') => "v9.9-Z",
            _ => UNKNOWN,
        };
        let [old, new] = &self.versions;
        let path = path.replace("OLD", old).replace("NEW", new).replace("UNKNOWN", unknown);
        format!("{}/{path}", self.mount)
    }
}

fn layer(way: &Way, root: &Path, releases: Option<&Path>) -> StaticUrlLayer {
    let mut builder = StaticUrlLayer::builder(way.mount)
        .root(root)
        .fingerprinted(Fingerprinted::vite())
        .unlisted(UnlistedPolicy::NotFound);
    if let Some([_, new]) = way.literals {
        builder = builder.version(VersionSource::literal(new));
    }
    if let Some(releases) = releases {
        let releases = Releases::open(releases).unwrap();
        let files = ServeDir::new(releases.files()).precompressed_gzip();
        builder = builder.releases(releases, files);
    }
    builder.build().unwrap()
}

/// Starts nginx with what was printed for nginx alone.
pub(super) fn start(printed: &str) -> Proxy {
    start_with(&format!("{OTHER_LOCATION}\n{printed}"))
}

/// Starts nginx with what was printed beside an application.
pub(super) fn start_beside(app: &str, printed: &str) -> Proxy {
    let rest = format!("location / {{ proxy_pass {app}; proxy_set_header Host $http_host; }}");
    start_with(&format!("{printed}\n{rest}"))
}

fn start_with(inside: &str) -> Proxy {
    let text = std::cell::RefCell::new(String::new());
    let recipe = |folder: &Path, port: u16, _: SocketAddr| {
        *text.borrow_mut() = ready_text(folder);
        let mut tested = nginx_including(folder, port, inside);
        let tested = tested.arg("-t").output().unwrap();
        let said = String::from_utf8_lossy(&tested.stderr);
        assert!(tested.status.success() && !said.contains("[warn]"), "{inside}: {said}");
        nginx_including(folder, port, inside)
    };
    let is_ready = async |address: SocketAddr| {
        let is_there = TcpStream::connect(address).is_ok();
        is_there
            && Connection::to(address).exchange("GET", "/is-ready", &[]).text() == *text.borrow()
    };
    Runtime::new().unwrap().block_on(Proxy::start(recipe, unused_address(), is_ready))
}
