//! The configuration that `static-url nginx` prints, in nginx: it answers for the files of kept
//! releases, and leaves the rest to the application.

use std::{
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    command::{publish, static_url},
    support::{
        self, YEAR,
        demo::Demo,
        etag_of, gzip, mtime,
        proxy::{Proxy, path_with_servers, unused_address},
        set_modified, tree,
        wire::{Answer, Connection},
        write,
    },
};

const OLD: &str = "body { color: old }";
const NEW: &str = "body { color: new }";

/// Is there only where nginx has not answered itself.
const BY_THE_APP: &str = "x-by-the-app";

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn nginx_answers_for_the_files_of_releases() {
    let site = Site::new();
    for (path, expected) in [
        ("OLD/css/app.css", OLD),
        ("OLD/css/app.css?v=1&next=/a", OLD),
        ("NEW/css/app.css", NEW),
        ("v1.2.3/css/app.css", OLD),
        ("OLD/css/%61pp.css", OLD),
        ("OLD/docs/index.html", "<h1>docs</h1>"),
        ("OLD/with%20space.txt", "space"),
        ("OLD/100%25.txt", "percent"),
        ("OLD/f%C3%BCnke.txt", "tobias"),
        ("OLD/semi;colon.txt", "semicolon"),
        ("OLD/plus+plus.txt", "plus"),
        ("OLD/hash%23tag.txt", "hash"),
        ("OLD/question%3F.txt", "question"),
        ("OLD/$file.txt", "dollar"),
        ("OLD/empty.txt", ""),
    ] {
        let answer = site.ask("GET", path, &[]);
        assert_found(path, &answer);
        assert_eq!(answer.text(), expected, "{path}");
    }
    let module = site.ask("GET", "OLD/js/app.mjs", &[]);
    assert_eq!(module.field("content-type"), "text/javascript");
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn nginx_leaves_the_rest_to_the_application() {
    let site = Site::new();
    for path in [
        // Without a version, or with one that is not kept.
        "",
        "css/app.css",
        "0123456789abcdef/css/app.css",
        "nonsense/css/app.css",
        // What the release does not list, and directories.
        "OLD/js/missing.js",
        "OLD",
        "OLD/",
        "OLD/docs",
        "OLD/docs/",
        "OLD/css/app.css/",
        "OLD/css/app.css/x",
        "OLD/CSS/app.css",
        // What nginx would normalize.
        "OLD//css/app.css",
        "/OLD/css/app.css",
        "OLD/css//app.css",
        "OLD/./css/app.css",
        "OLD/css/../css/app.css",
        "OLD/../NEW/css/app.css",
        "OLD/%2e%2e/NEW/css/app.css",
        "OLD/%2E%2E/NEW/css/app.css",
        "OLD/.%2e/NEW/css/app.css",
        "OLD/css%2fapp.css",
        "OLD/css%2Fapp.css",
        "OLD%2fcss/app.css",
        "OLD/css%5capp.css",
        "OLD/../../releases/OLD/",
        "%2e%2e/releases/.static-url",
        "OLD/../../.static-url",
        // Decoded once.
        "OLD/with%2520space.txt",
        "OLD/css/app%252ecss",
        // Links, whoever has put them there.
        "OLD/link.txt",
        "OLD/linked/secret.txt",
        "linked/secret.txt",
    ] {
        let (answer, own) = (site.ask("GET", path, &[]), site.ask_the_app("GET", path, &[]));
        assert_from_the_app(path, &answer, &own);
        assert!(answer.text() != "secret", "{path}: {answer:?}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let path = "OLD/css/app.css";
        let (answer, own) = (site.ask(method, path, &[]), site.ask_the_app(method, path, &[]));
        assert_from_the_app(method, &answer, &own);
    }
}

/// nginx refuses what is no URL, before it looks at its configuration.
#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn nginx_keeps_no_error() {
    let site = Site::new();
    for path in ["OLD/with space.txt", "OLD/100%.txt", "OLD/%00", "../../../etc/passwd"] {
        let answer = site.ask("GET", path, &[]);
        assert_eq!((answer.status, &*answer.cache_control()), (400, ""), "{path}: {answer:?}");
    }
    let range = [("Range", "bytes=1000-")];
    let answer = site.ask("GET", "OLD/css/app.css", &range);
    assert_eq!((answer.status, &*answer.cache_control()), (416, "no-store"), "{answer:?}");
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn conditions_and_ranges() {
    let site = Site::new();
    let path = "OLD/css/app.css";
    let plain = site.ask("GET", path, &[]);
    let (date, tag) = (plain.field("last-modified"), etag_of(OLD));
    let other_date = "Tue, 14 Nov 2023 22:13:21 GMT";
    assert_ne!(date, other_date);
    for (fields, status, body) in [
        (vec![], 200, OLD),
        (vec![("Range", "bytes=0-3")], 206, "body"),
        (vec![("Range", "bytes=-1")], 206, "}"),
        (vec![("If-Modified-Since", &*date)], 304, ""),
        (vec![("If-Modified-Since", other_date)], 200, OLD),
        // The tag of the layer: nginx has none.
        (vec![("If-None-Match", &*tag)], 200, OLD),
        (vec![("If-None-Match", &*tag), ("If-Modified-Since", &*date)], 200, OLD),
        // The layer compares no dates here.
        (vec![("Range", "bytes=0-3"), ("If-Range", &*date)], 200, OLD),
        (vec![("Range", "bytes=0-3"), ("If-Range", other_date)], 200, OLD),
        (vec![("Range", "bytes=0-3"), ("If-Range", &*tag)], 206, "body"),
    ] {
        let answer = site.ask("GET", path, &fields);
        assert_eq!((answer.status, &*answer.text()), (status, body), "{fields:?}: {answer:?}");
        assert_eq!(answer.cache_control(), YEAR, "{fields:?}");
        // RFC 9110 §14.2: a range is for GET.
        if status == 206 {
            continue;
        }
        let head = site.ask("HEAD", path, &fields);
        assert_eq!((head.status, &*head.text()), (status, ""), "{fields:?}: {head:?}");
        for name in ["cache-control", "content-length", "last-modified", "vary"] {
            assert_eq!(head.field(name), answer.field(name), "{fields:?}: {name}");
        }
    }
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn nginx_sends_compressed_files_as_they_were_published() {
    let site = Site::new();
    for (accepted, is_compressed) in [
        (vec![("Accept-Encoding", "gzip, br")], true),
        (vec![("Accept-Encoding", "gzip"), ("Via", "1.1 varnish")], true),
        (vec![("Accept-Encoding", "gzip;q=0")], false),
        (vec![("Accept-Encoding", "br")], false),
        (vec![], false),
    ] {
        let answer = site.ask("GET", "OLD/css/app.css", &accepted);
        assert_found("css/app.css", &answer);
        assert_eq!(answer.field("vary"), "Accept-Encoding", "{accepted:?}");
        let (coding, body) = if is_compressed { ("gzip", gzip(OLD)) } else { ("", OLD.into()) };
        assert_eq!(answer.field("content-encoding"), coding, "{accepted:?}");
        assert!(answer.body == body, "{accepted:?}: {answer:?}");
    }
    let alone = site.ask("GET", "OLD/long.txt", &[("Accept-Encoding", "gzip")]);
    assert_eq!((&*alone.field("vary"), &*alone.field("content-encoding")), ("", ""), "{alone:?}");
    let itself = site.ask("GET", "OLD/css/app.css.gz", &[]);
    assert_found("css/app.css.gz", &itself);
    assert!(itself.body == gzip(OLD));
}

/// So a leaked secret is gone at once.
#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn nginx_does_not_have_what_was_withdrawn() {
    let site = Site::new();
    let (old, path) = (site.old.clone(), "OLD/css/app.css");
    assert_found(path, &site.ask("GET", path, &[]));
    static_url(&["withdraw", &old, site.releases().to_str().unwrap()]);
    let answer = site.ask("GET", path, &[]);
    assert!(answer.text() != OLD, "{answer:?}");
    assert!(!answer.field(BY_THE_APP).is_empty(), "{answer:?}");
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn nginx_reads_every_folder_and_mount() {
    for (folder, mount) in [
        ("with space; {}", "/static"),
        (r#"quoted" and 'quoted'"#, "/a/b"),
        (r"back\slash", "/v1.0+(x)"),
        ("ünïcödé", "/"),
        ("not/yet/there", "/static/"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join(folder);
        let block = block(&folder, mount, unused_address().to_string());
        let config = config(directory.path(), 8080, unused_address(), &block);
        let tested = nginx(directory.path(), &config).arg("-t").output().unwrap();
        let said = String::from_utf8_lossy(&tested.stderr);
        assert!(tested.status.success(), "{block}: {said}");
        assert!(!said.contains("[warn]"), "{block}: {said}");
    }
}

fn assert_found(path: &str, answer: &Answer) {
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    assert_eq!(answer.cache_control(), YEAR, "{path}: {answer:?}");
    for name in ["etag", BY_THE_APP] {
        assert_eq!(answer.field(name), "", "{path}: {answer:?}");
    }
}

/// Whether nginx has sent what the application sends on the same request.
fn assert_from_the_app(case: &str, answer: &Answer, own: &Answer) {
    assert!(!answer.field(BY_THE_APP).is_empty(), "{case}: {answer:?}");
    assert_eq!((answer.status, answer.text()), (own.status, own.text()), "{case}");
    for name in ["cache-control", "etag", "location", "content-type", "content-length", "vary"] {
        assert_eq!(answer.field(name), own.field(name), "{case}: {name}");
    }
}

/// Two kept releases, nginx, and an application that is at the new one.
struct Site {
    nginx: Proxy,
    app: SocketAddr,
    old: String,
    new: String,
    folder: TempDir,
    _demo: Demo,
    _roots: [TempDir; 2],
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The workers of nginx are another user.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let releases = folder.path().join("releases");
        let roots = [old_tree(), tree([("css/app.css", NEW)])];
        let to = releases.to_str().unwrap();
        let old = publish(roots[0].path(), to);
        let literal = ["--literal", "v1.2.3"];
        let root = roots[0].path().to_str().unwrap();
        static_url(&[["publish", root, "--to", to].as_slice(), &literal].concat());
        let new = publish(roots[1].path(), to);
        let demo = app(roots[1].path(), &releases);
        put_links(folder.path(), &releases.join("files"), &old);
        let block = block(&releases, "/static", demo.address.to_string());
        let nginx = start(demo.address, &block);
        Self { nginx, app: demo.address, old, new, folder, _demo: demo, _roots: roots }
    }

    fn releases(&self) -> PathBuf {
        self.folder.path().join("releases")
    }

    fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        Connection::to(self.nginx.address).exchange(method, &self.url(path), fields)
    }

    fn ask_the_app(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        Connection::to(self.app).exchange(method, &self.url(path), fields)
    }

    fn url(&self, path: &str) -> String {
        format!("/static/{}", path.replace("OLD", &self.old).replace("NEW", &self.new))
    }
}

fn old_tree() -> TempDir {
    let root = tree([
        ("css/app.css", OLD),
        ("js/app.mjs", "export {}"),
        ("docs/index.html", "<h1>docs</h1>"),
        ("with space.txt", "space"),
        ("100%.txt", "percent"),
        ("fünke.txt", "tobias"),
        ("semi;colon.txt", "semicolon"),
        ("plus+plus.txt", "plus"),
        ("hash#tag.txt", "hash"),
        ("question?.txt", "question"),
        ("$file.txt", "dollar"),
        ("empty.txt", ""),
    ]);
    write(root.path(), "long.txt", "long ".repeat(1000));
    write(root.path(), "css/app.css.gz", gzip(OLD));
    root
}

/// As nobody should, but somebody may.
fn put_links(outside: &Path, files: &Path, version: &str) {
    let secrets = outside.join("secrets");
    support::write_at(&secrets.join("secret.txt"), "secret", mtime());
    let release = files.join(version);
    for directory in [files, &release] {
        symlink(&secrets, directory.join("linked")).unwrap();
    }
    symlink(secrets.join("secret.txt"), release.join("link.txt")).unwrap();
    set_modified(&secrets.join("secret.txt"), mtime());
}

fn app(root: &Path, releases: &Path) -> Demo {
    let mut command = Demo::command("--no-watch", root);
    command.arg("--releases").arg(releases);
    Demo::run(command)
}

/// Returns what the command prints.
fn block(releases: &Path, mount: &str, app: String) -> String {
    let app = format!("http://{app}");
    static_url(&["nginx", releases.to_str().unwrap(), "--mount", mount, "--app", &app])
}

fn start(app: SocketAddr, block: &str) -> Proxy {
    let recipe = |folder: &Path, port: u16, app: SocketAddr| {
        let config = config(folder, port, app, block);
        nginx(folder, &config)
    };
    let runtime = Runtime::new().unwrap();
    runtime.block_on(Proxy::start(recipe, app, async |nginx: SocketAddr| {
        let answer = std::net::TcpStream::connect(nginx).is_ok();
        answer && !Connection::to(nginx).exchange("GET", "/", &[]).field(BY_THE_APP).is_empty()
    }))
}

/// Writes a configuration, as an administrator would have one.
fn config(folder: &Path, port: u16, app: SocketAddr, block: &str) -> PathBuf {
    let name = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|it| format!("{it}_temp_path \"{name}/{it}\";"))
        .join("\n");
    let config = format!(
        "daemon off;
        worker_processes 1;
        pid \"{name}/pid\";
        events {{}}
        http {{
            access_log off;
            include mime.types;
            gzip on;
            gzip_types text/plain text/css;
            {temporary}
            server {{
                listen 127.0.0.1:{port};
                add_header {BY_THE_APP} yes always;
                location / {{ proxy_pass http://{app}; proxy_set_header Host $http_host; }}
                {block}
            }}
        }}\n"
    );
    fs::copy("/etc/nginx/mime.types", folder.join("mime.types")).unwrap();
    let file = folder.join("nginx.conf");
    fs::write(&file, config).unwrap();
    file
}

fn nginx(folder: &Path, config: &Path) -> Command {
    let mut command = Command::new("nginx");
    command.env("PATH", path_with_servers());
    command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(config);
    command
}
