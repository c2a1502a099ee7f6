//! Behind a proxy that strips a path, or adds one: the mount is the path that browsers see, and
//! the layer is where the whole of it has been stripped. With a real nginx.
#![cfg(unix)]

use std::{fs, net::SocketAddr, path::Path, process::Command};

use axum::{Extension, Router, routing::get};
use tempfile::TempDir;
use tower::ServiceBuilder;
use tower_static_url::{StaticPrefix, StaticUrlLayer};

use crate::support::{
    HELLO, SHEET, ServeDir, YEAR, etag_of,
    proxy::{Proxy, path_with_servers},
    site,
    wire::{Answer, Connection, Server},
};

/// A way from a browser to the application.
struct Way {
    name: &'static str,
    /// What nginx does with a path.
    locations: &'static str,
    /// The path of the page and the mount, as browsers see them.
    page: &'static str,
    mount: &'static str,
    /// The same as the application sees them.
    page_inside: &'static str,
    mount_inside: &'static str,
}

const WAYS: [Way; 4] = [
    Way {
        name: "nginx strips `/app`",
        locations: "location /app/ { proxy_pass http://APP/; }",
        page: "/app/",
        mount: "/app/static",
        page_inside: "/",
        mount_inside: "/static",
    },
    Way {
        name: "nginx adds `/app`",
        locations: "location / { proxy_pass http://APP/app/; }",
        page: "/",
        mount: "/static",
        page_inside: "/app/",
        mount_inside: "/app/static",
    },
    Way {
        name: "nginx replaces one by another",
        locations: "location /shop/v2/ { proxy_pass http://APP/app/; }",
        page: "/shop/v2/",
        mount: "/shop/v2/static",
        page_inside: "/app/",
        mount_inside: "/app/static",
    },
    Way {
        name: "nginx passes the path on",
        locations: "location / { proxy_pass http://APP; }",
        page: "/app/",
        mount: "/app/static",
        page_inside: "/app/",
        mount_inside: "/app/static",
    },
];

/// The application of a way, with nginx in front.
struct Site {
    nginx: Proxy,
    layer: StaticUrlLayer,
    _app: Server,
    _root: TempDir,
}

impl Site {
    fn new(way: &'static Way) -> Self {
        let root = site();
        let layer = StaticUrlLayer::new(way.mount, root.path()).unwrap();
        let files = ServeDir::new(root.path()).redirect_path_prefix(way.mount);
        let files = ServiceBuilder::new().layer(layer.nested()).service(files);
        let page = get(async |files: StaticPrefix| files.url("css/app.css"));
        let router = Router::new()
            .route(way.page_inside, page)
            .nest_service(way.mount_inside, files)
            .layer(Extension(layer.clone()));
        let app = Server::start(router);
        let recipe = |folder: &Path, port, app| nginx(folder, port, app, way.locations);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let nginx = runtime.block_on(Proxy::start(recipe, app.address, async |nginx| {
            std::net::TcpStream::connect(nginx).is_ok() && ask(nginx, way.page).status == 200
        }));
        Self { nginx, layer, _app: app, _root: root }
    }

    fn ask(&self, path: &str) -> Answer {
        ask(self.nginx.address, path)
    }
}

fn ask(address: SocketAddr, path: &str) -> Answer {
    Connection::to(address).exchange("GET", path, &[])
}

fn nginx(folder: &Path, port: u16, app: SocketAddr, locations: &str) -> Command {
    let name = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|it| format!("{it}_temp_path \"{name}/{it}\";"))
        .join("\n");
    let locations = locations.replace("APP", &app.to_string());
    let config = format!(
        "daemon off;
        worker_processes 1;
        pid \"{name}/pid\";
        events {{}}
        http {{
            access_log off;
            {temporary}
            server {{
                listen 127.0.0.1:{port};
                {locations}
            }}
        }}\n"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, config).unwrap();
    let mut command = Command::new("nginx");
    command.env("PATH", path_with_servers());
    command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(file);
    command
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn a_page_links_to_what_the_browser_can_fetch() {
    for way in &WAYS {
        let (site, name) = (Site::new(way), way.name);
        let version = site.layer.prefix().version().to_owned();
        let url = site.ask(way.page).text();
        assert_eq!(url, format!("{}/{version}/css/app.css", way.mount), "{name}");
        let answer = site.ask(&url);
        assert_eq!((answer.status, &*answer.text()), (200, SHEET), "{name}: {answer:?}");
        assert_eq!(answer.cache_control(), YEAR, "{name}");
        assert_eq!(answer.field("etag"), etag_of(SHEET), "{name}");
        let again = [("If-None-Match", &*etag_of(SHEET))];
        let again = Connection::to(site.nginx.address).exchange("GET", &url, &again);
        assert_eq!((again.status, &*again.cache_control()), (304, YEAR), "{name}");
    }
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn every_kind_of_url_is_what_it_is_without_a_proxy() {
    for way in &WAYS {
        let (site, name, mount) = (Site::new(way), way.name, way.mount);
        let prefix = site.layer.prefix();
        for (path, status, policy, body) in [
            (format!("{prefix}with%20space.txt"), 200, YEAR, "space"),
            (format!("{prefix}100%25.txt"), 200, YEAR, "percent"),
            (format!("{prefix}question%3F.txt"), 200, YEAR, "question"),
            (format!("{prefix}hash%23tag.txt"), 200, YEAR, "hash"),
            (format!("{prefix}f%C3%BCnke.txt"), 200, YEAR, "tobias"),
            (format!("{prefix}semi;colon.txt"), 200, YEAR, "semicolon"),
            (format!("{prefix}css/app.css?v=1&next=/a"), 200, YEAR, SHEET),
            (format!("{mount}/hello.txt"), 200, "no-cache", HELLO),
            (format!("{mount}/00000000000000aa/hello.txt"), 200, "no-cache", HELLO),
            (format!("{mount}/2024/year.txt"), 200, "no-cache", "a real folder"),
            (format!("{prefix}missing.js"), 404, "no-store", ""),
        ] {
            let answer = site.ask(&path);
            assert_eq!((answer.status, &*answer.text()), (status, body), "{name}: {path}");
            assert_eq!(answer.cache_control(), policy, "{name}: {path}");
        }
    }
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn a_redirect_leads_to_where_the_browser_is() {
    for way in &WAYS {
        let (site, name) = (Site::new(way), way.name);
        for directory in [format!("{}docs", site.layer.prefix()), format!("{}/docs", way.mount)] {
            let answer = site.ask(&directory);
            let location = answer.field("location");
            assert_eq!((answer.status, &*answer.cache_control()), (307, "no-cache"), "{name}");
            assert_eq!(location, format!("{directory}/"), "{name}");
            assert_eq!(site.ask(&location).text(), "<h1>docs</h1>", "{name}");
        }
    }
}

/// Whoever can send this field would decide from where the scripts of a cached page come.
#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn a_client_has_no_say_in_the_path() {
    let site = Site::new(&WAYS[0]);
    let expected = site.ask(WAYS[0].page).text();
    for name in ["X-Forwarded-Prefix", "X-Forwarded-Path", "X-Original-URI", "X-Script-Name"] {
        let fields = [(name, "//evil.example")];
        let mut connection = Connection::to(site.nginx.address);
        assert_eq!(connection.exchange("GET", WAYS[0].page, &fields).text(), expected, "{name}");
    }
}
