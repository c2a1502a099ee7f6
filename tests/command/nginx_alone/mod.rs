//! The configuration that `static-url nginx` prints without an application, in nginx, beside what
//! the layer answers around `ServeDir` for the same files.

mod sites;

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
};

use self::sites::{Sites, WAYS, open_to_all, start, start_beside};
use super::{
    path_of, succeed,
    support::{
        HELLO, SHEET, YEAR, gzip, mtime, set_modified, tree,
        wire::{Answer, Connection},
        write,
    },
};

const OLD_SHEET: &str = "body { color: old }";
const LONG: &str = "0123456789";
const NO_CACHE: &str = "no-cache";
const NO_STORE: &str = "no-store";

/// What both answer in the same way: status, `Cache-Control` and body.
#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn nginx_answers_as_the_layer_does() {
    for way in &WAYS {
        let sites = Sites::new(way);
        for (name, path, status, policy, body) in [
            ("current", "NEW/css/app.css", 200, YEAR, SHEET),
            ("with a query", "NEW/css/app.css?v=1&next=//evil.example/../x", 200, YEAR, SHEET),
            ("encoded", "NEW/css/%61pp%2ecss", 200, YEAR, SHEET),
            ("a space", "NEW/with%20space.txt", 200, YEAR, "space"),
            ("a percent", "NEW/100%25.txt", 200, YEAR, "percent"),
            ("not ASCII", "NEW/f%C3%BCnke.txt", 200, YEAR, "tobias"),
            ("a semicolon", "NEW/semi;colon.txt", 200, YEAR, "semicolon"),
            ("a plus", "NEW/plus+plus.txt", 200, YEAR, "plus"),
            ("a hash", "NEW/hash%23tag.txt", 200, YEAR, "hash"),
            ("a question mark", "NEW/question%3F.txt", 200, YEAR, "question"),
            ("a dollar", "NEW/$file.txt", 200, YEAR, "dollar"),
            ("quotes", "NEW/it's%20%22so%22.txt", 200, YEAR, "quotes"),
            ("a line feed", "NEW/two%0Alines.txt", 200, YEAR, "lines"),
            ("brackets", "NEW/(round)%20%7Bcurly%7D%20%5Bsquare%5D.txt", 200, YEAR, "brackets"),
            ("empty", "NEW/empty.txt", 200, YEAR, ""),
            ("a page", "NEW/index.html", 200, YEAR, "<h1>home</h1>"),
            ("unversioned", "css/app.css", 200, NO_CACHE, SHEET),
            ("unversioned, with a query", "css/app.css?next=//x", 200, NO_CACHE, SHEET),
            ("unversioned, at the top", "hello.txt", 200, NO_CACHE, HELLO),
            ("unknown version", "UNKNOWN/css/app.css", 200, NO_CACHE, SHEET),
            ("unknown version, at the top", "UNKNOWN/hello.txt", 200, NO_CACHE, HELLO),
            ("a real year", "2024/year.txt", 200, NO_CACHE, "a real folder"),
            ("a link to a file", "NEW/link.txt", 200, YEAR, HELLO),
            ("in a link to a directory", "NEW/styles/app.css", 200, YEAR, SHEET),
            // Names with a hash.
            ("fingerprinted", "assets/index-Bx7a91Zq.js", 200, YEAR, "hashed"),
            (
                "fingerprinted, hard to spell",
                "assets/f%C3%BCnke%20it's-9fQ2LmXc.js",
                200,
                YEAR,
                "hashed, too",
            ),
            ("fingerprinted, current", "NEW/assets/index-Bx7a91Zq.js", 200, YEAR, "hashed"),
            ("fingerprinted, unknown", "UNKNOWN/assets/index-Bx7a91Zq.js", 200, NO_CACHE, "hashed"),
            ("a word is no hash", "assets/component-settings.js", 200, NO_CACHE, "a word"),
            // What has no file.
            ("missing, current", "NEW/missing.js", 404, NO_STORE, ""),
            ("missing, unknown", "UNKNOWN/missing.js", 404, NO_STORE, ""),
            ("a version twice", "NEW/NEW/css/app.css", 404, NO_STORE, ""),
            ("below a file", "NEW/css/app.css/x", 404, NO_STORE, ""),
            ("a slash behind a file", "NEW/css/app.css/", 404, NO_STORE, ""),
            ("another case", "NEW/CSS/app.css", 404, NO_STORE, ""),
            ("a line feed behind it", "NEW/css/app.css%0A", 404, NO_STORE, ""),
            ("decoded twice", "NEW/with%2520space.txt", 404, NO_STORE, ""),
            // What nginx would normalize.
            ("no open redirect", "NEW//evil.example", 404, NO_STORE, ""),
            ("no open redirect to a directory", "NEW//docs", 404, NO_STORE, ""),
            ("an empty segment", "NEW/css//app.css", 404, NO_STORE, ""),
            ("dots", "NEW/css/../css/app.css", 404, NO_STORE, ""),
            ("encoded dots", "NEW/%2e%2e/NEW/css/app.css", 404, NO_STORE, ""),
            ("half encoded dots", "NEW/css/.%2E/app.css", 404, NO_STORE, ""),
            ("a dot", "NEW/./css/app.css", 404, NO_STORE, ""),
            ("an encoded slash", "NEW/css%2fapp.css", 404, NO_STORE, ""),
            ("a backslash", "NEW/css%5Capp.css", 404, NO_STORE, ""),
            // What the layer does not list.
            (".env, current", "NEW/.env", 404, NO_STORE, ""),
            (".git, current", "NEW/.git/config", 404, NO_STORE, ""),
            (".git, encoded", "NEW/%2Egit/config", 404, NO_STORE, ""),
            (".git, unknown", "UNKNOWN/.git/config", 404, NO_STORE, ""),
            (".well-known", "NEW/.well-known/security.txt", 404, NO_STORE, ""),
            ("a swap file", "NEW/css/.app.css.swp", 404, NO_STORE, ""),
            ("a backup", "NEW/css/app.css~", 404, NO_STORE, ""),
            ("a lock", "NEW/%23notes%23", 404, NO_STORE, ""),
            ("Thumbs.db", "NEW/Thumbs.db", 404, NO_STORE, ""),
            ("desktop.ini", "NEW/js/desktop.ini", 404, NO_STORE, ""),
            // Directories.
            ("the page of a directory", "docs/", 200, NO_CACHE, "<h1>docs</h1>"),
            ("the same, current", "NEW/docs/", 200, NO_CACHE, "<h1>docs</h1>"),
            ("the same, unknown", "UNKNOWN/docs/", 200, NO_CACHE, "<h1>docs</h1>"),
            ("the page of the tree", "", 200, NO_CACHE, "<h1>home</h1>"),
            ("the same, current", "NEW/", 200, NO_CACHE, "<h1>home</h1>"),
            ("a directory without a page", "NEW/pictures/", 404, NO_STORE, ""),
        ] {
            let name = format!("{}: {name}", way.name);
            let answer = sites.ask("GET", path, &[]);
            assert_answer(&name, &answer, status, policy, body);
            let own = sites.ask_the_layer("GET", path, &[]);
            assert_answer(&format!("{name}, by the layer"), &own, status, policy, body);
            let head = sites.ask("HEAD", path, &[]);
            assert_answer(&format!("{name}, HEAD"), &head, status, policy, "");
            for field in ["content-length", "last-modified", "etag", "vary"] {
                assert_eq!(head.field(field), answer.field(field), "{name}: {field}");
            }
        }
    }
}

fn assert_answer(name: &str, answer: &Answer, status: u16, policy: &str, body: &str) {
    assert_eq!(answer.status, status, "{name}: {answer:?}");
    assert_eq!(answer.cache_control(), policy, "{name}: {answer:?}");
    // The text of an error is for people.
    if status < 400 {
        assert_eq!(answer.text(), body, "{name}: {answer:?}");
    }
}

/// Errors without a version are of the rest of the site, where the mount is `/`.
#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn what_is_no_file_is_not_stored() {
    for way in &WAYS {
        let sites = Sites::new(way);
        for path in [
            "missing.js",
            "NEW",
            "UNKNOWN",
            "css/missing.css",
            "css/NEW/app.css",
            "NEW%2Fcss/app.css",
            ".env",
            ".git/config",
            "%2egit/",
            "css/app.css~",
            "css/app.css/",
            "assets/index-9fQ2LmXc.js",
            // A directory called like a version.
            "0123456789abcdef/hello.txt",
            "pictures/",
        ] {
            let (answer, own) =
                (sites.ask("GET", path, &[]), sites.ask_the_layer("GET", path, &[]));
            assert_answer(&format!("{}: {path}", way.name), &answer, 404, NO_STORE, "");
            // Beside the files there may be more, which the layer passes on.
            assert!(own.status == 404 || sites.mount.is_empty(), "{}: {path}", way.name);
            assert!(!answer.text().contains("secret"), "{answer:?}");
        }
        let answer = sites.ask("GET", "0123456789abcdef/real.txt", &[]);
        assert_answer(way.name, &answer, 200, NO_CACHE, "a folder shaped like a version");
    }
}

/// The version in a URL is made up by whoever asks.
#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn nothing_else_is_immutable() {
    for way in &WAYS {
        let sites = Sites::new(way);
        let new = sites.versions[1].clone();
        let (shorter, longer) = (&new[1..], format!("{new}0"));
        for segment in [
            "UNKNOWN",
            "0123456789abcde0",
            "ffffffffffffffff",
            "v0.0.0",
            "latest",
            // What the classic expression, `([a-f0-9-]+/)?`, takes for a version.
            "deadbeef",
            "fade",
            "-",
            "2024",
            shorter,
            &longer,
            &new.replace(|c: char| c.is_ascii_lowercase(), "A"),
            "OLD",
        ] {
            let answer = sites.ask("GET", &format!("{segment}/css/app.css"), &[]);
            let is_kept = way.has_releases && segment == "OLD";
            let is_year = answer.cache_control() == YEAR;
            assert_eq!(is_year, is_kept, "{}: {segment}: {answer:?}", way.name);
            assert!(is_kept || [NO_CACHE, NO_STORE].contains(&&*answer.cache_control()));
            assert!(answer.status == 404 || is_kept || answer.text() == SHEET, "{answer:?}");
        }
    }
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn what_was_kept_is_immutable() {
    let sites = Sites::new(&WAYS[4]);
    for (name, path, status, policy, body) in [
        ("a kept file", "OLD/css/app.css", 200, YEAR, OLD_SHEET),
        ("one that is gone since", "OLD/js/gone.js", 200, YEAR, "gone"),
        ("without its version", "js/gone.js", 404, NO_STORE, ""),
        ("a removed name with a hash", "assets/panel-Bx7a91Zq.js", 200, YEAR, "removed"),
        ("what came later", "OLD/js/lazy.js", 404, NO_STORE, ""),
        ("a directory", "OLD/docs", 404, NO_STORE, ""),
        ("the page of a directory", "OLD/docs/", 404, NO_STORE, ""),
        ("the top", "OLD/", 404, NO_STORE, ""),
        ("dots", "OLD/../NEW/css/app.css", 404, NO_STORE, ""),
    ] {
        for (who, answer) in [
            ("nginx", sites.ask("GET", path, &[])),
            ("the layer", sites.ask_the_layer("GET", path, &[])),
        ] {
            assert_answer(&format!("{name}, by {who}"), &answer, status, policy, body);
        }
    }
    let accepted = [("Accept-Encoding", "gzip")];
    assert!(sites.ask("GET", "OLD/css/app.css", &accepted).body == gzip(OLD_SHEET));
    let releases = sites.folder.path().join("releases");
    let secret = sites.folder.path().join("secret.txt");
    fs::write(&secret, "secret").unwrap();
    symlink(&secret, releases.join("files").join(&sites.versions[0]).join("link.txt")).unwrap();
    assert!(sites.ask("GET", "OLD/link.txt", &[]).text() != "secret");
}

/// The configuration is of the release before, until it is made again.
#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn what_is_published_later_is_found_at_once() {
    let sites = Sites::new(&WAYS[4]);
    let releases = sites.folder.path().join("releases");
    let releases = releases.to_str().unwrap();
    let next = tree([("css/app.css", "next"), ("next.js", "next")]);
    let version = succeed(&["version", path_of(&next)]).trim_end().to_owned();
    let path = format!("{version}/css/app.css");
    assert_answer("not yet", &sites.ask("GET", &path, &[]), 200, NO_CACHE, SHEET);
    succeed(&["publish", path_of(&next), "--to", releases]);
    assert_answer("published", &sites.ask("GET", &path, &[]), 200, YEAR, "next");
    assert_answer("without", &sites.ask("GET", "css/app.css", &[]), 200, NO_CACHE, SHEET);
    succeed(&["withdraw", &sites.versions[0], releases]);
    let answer = sites.ask("GET", "OLD/css/app.css", &[]);
    assert_answer("withdrawn", &answer, 200, NO_CACHE, SHEET);
}

/// A version that is called like a directory, which a literal one can be.
#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn a_listed_path_is_not_taken_for_a_kept_one() {
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    let releases = folder.path().join("releases").to_str().unwrap().to_owned();
    let old = tree([("a.txt", "of the release 2024")]);
    let new = tree([("2024/a.txt", "of the year 2024")]);
    for (root, version) in [(&old, "2024"), (&new, "v2")] {
        succeed(&["publish", path_of(root), "--to", &releases, "--literal", version]);
    }
    let nginx = start(&succeed(&["nginx", &releases, "--mount", "/static"]));
    let answer = Connection::to(nginx.address).exchange("GET", "/static/2024/a.txt", &[]);
    assert_answer("2024/a.txt", &answer, 200, NO_CACHE, "of the year 2024");
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn a_redirect_stays_on_its_host() {
    for way in &WAYS {
        let sites = Sites::new(way);
        for path in ["docs", "NEW/docs", "UNKNOWN/docs", "NEW/docs?a=//evil.example", "pictures"] {
            let host = [("Host", "evil.example:81")];
            let (answer, own) =
                (sites.ask("GET", path, &[]), sites.ask_the_layer("GET", path, &[]));
            let name = format!("{}: {path}", way.name);
            assert_eq!((answer.status, own.status), (302, 307), "{name}: {answer:?}");
            assert_eq!(answer.cache_control(), NO_CACHE, "{name}");
            let (before, query) = path.split_once('?').unwrap_or((path, ""));
            let mut expected = sites.url(&format!("{before}/"));
            if !query.is_empty() {
                expected += &format!("?{query}");
            }
            assert_eq!(answer.field("location"), expected, "{name}");
            assert_eq!(own.field("location"), expected, "{name}");
            let mut connection = Connection::to(sites.nginx.address);
            let line =
                format!("GET {} HTTP/1.1\r\n{}: {}\r\n\r\n", sites.url(path), host[0].0, host[0].1);
            connection.write(line.as_bytes());
            assert_eq!(connection.read("GET").unwrap().field("location"), expected, "{name}");
        }
        if !sites.mount.is_empty() {
            let answer = Connection::to(sites.nginx.address).exchange("GET", sites.mount, &[]);
            assert_eq!(answer.field("location"), sites.url(""), "{}: {answer:?}", way.name);
            let beside = format!("{}foo/css/app.bin", sites.mount);
            let answer = Connection::to(sites.nginx.address).exchange("GET", &beside, &[]);
            assert_eq!((answer.status, &*answer.cache_control()), (404, ""), "outside the mount");
        }
    }
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn conditions_and_ranges() {
    for way in &WAYS {
        let sites = Sites::new(way);
        let plain = sites.ask("GET", "long.txt", &[]);
        let (date, tag) = (plain.field("last-modified"), plain.field("etag"));
        assert!(!tag.is_empty(), "a browser can ask: {plain:?}");
        assert_eq!(sites.ask("GET", "NEW/long.txt", &[]).field("etag"), "");
        let other = "Tue, 14 Nov 2023 22:13:21 GMT";
        for (path, policy) in [("NEW/long.txt", YEAR), ("UNKNOWN/long.txt", NO_CACHE)] {
            let name = format!("{}: {path}", way.name);
            for (fields, status, body) in [
                (vec![("If-Modified-Since", &*date)], 304, ""),
                (vec![("If-Modified-Since", other)], 200, LONG),
                (vec![("Range", "bytes=2-4")], 206, "234"),
                (vec![("Range", "bytes=-1")], 206, "9"),
                (vec![("Range", "bytes=8-")], 206, "89"),
                (vec![("Range", "bytes=2-4"), ("If-Range", "\"other\"")], 200, LONG),
            ] {
                let answer = sites.ask("GET", path, &fields);
                assert_answer(&format!("{name}: {fields:?}"), &answer, status, policy, body);
            }
            // A copy that was not to be trusted is no copy of what the current URL names.
            let answer = sites.ask("GET", path, &[("If-None-Match", &tag)]);
            let expected = if policy == YEAR { (200, LONG) } else { (304, "") };
            assert_eq!((answer.status, &*answer.text()), expected, "{name}: {answer:?}");
            let answer = sites.ask("GET", path, &[("If-Match", "\"other\"")]);
            assert_answer(&format!("{name}: If-Match"), &answer, 412, NO_STORE, "");
            // nginx has put the first line there already when it finds that it has no such range.
            let answer = sites.ask("GET", path, &[("Range", "bytes=1000-")]);
            assert_eq!(answer.status, 416, "{name}");
            assert_eq!(answer.cache_control(), format!("{policy} | no-store"), "{name}");
            assert_eq!(answer.field("content-range"), "bytes */10", "{name}");
        }
    }
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn errors_before_and_after_the_file_was_looked_for() {
    for way in &WAYS {
        let sites = Sites::new(way);
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"] {
            for path in ["NEW/css/app.css", "css/app.css", "UNKNOWN/css/app.css", "NEW/missing"] {
                let answer = sites.ask(method, path, &[]);
                let name = format!("{}: {method} {path}", way.name);
                assert_answer(&name, &answer, 405, NO_STORE, "");
                assert_eq!(answer.field("allow"), "GET, HEAD", "{name}");
            }
        }
        // nginx refuses what is no URL, before it looks at its configuration. Nobody stores a 400
        // that does not say for how long.
        for path in ["NEW/%00", "NEW/css/app.css%00.js", "NEW/100%.txt", "NEW/%zz"] {
            let answer = sites.ask("GET", path, &[]);
            assert_answer(&format!("{}: {path}", way.name), &answer, 400, "", "");
        }
    }
    let sites = Sites::new(&WAYS[0]);
    let css = sites.roots[1].path().join("css/app.css");
    fs::set_permissions(&css, Permissions::from_mode(0o000)).unwrap();
    let answer = sites.ask("GET", "NEW/css/app.css", &[]);
    // As a user without rights, nginx runs its workers as itself.
    assert_answer("not readable", &answer, 403, NO_STORE, "");
    fs::set_permissions(&css, Permissions::from_mode(0o644)).unwrap();
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn siblings_and_types() {
    for way in &WAYS {
        let sites = Sites::new(way);
        for (path, policy) in [("NEW/css/app.css", YEAR), ("css/app.css", NO_CACHE)] {
            for (accepted, is_gzip) in [
                (vec![("Accept-Encoding", "gzip, br")], true),
                (vec![("Accept-Encoding", "gzip"), ("Via", "1.1 varnish")], true),
                (vec![("Accept-Encoding", "gzip;q=0")], false),
                (vec![("Accept-Encoding", "br")], false),
                (vec![], false),
            ] {
                let answer = sites.ask("GET", path, &accepted);
                let name = format!("{}: {path}: {accepted:?}", way.name);
                assert_eq!((answer.status, &*answer.cache_control()), (200, policy), "{name}");
                assert_eq!(answer.field("vary"), "Accept-Encoding", "{name}");
                let (coding, body) =
                    if is_gzip { ("gzip", gzip(SHEET)) } else { ("", SHEET.into()) };
                assert_eq!(answer.field("content-encoding"), coding, "{name}");
                assert!(answer.body == body, "{name}: {answer:?}");
                assert_eq!(answer.field("content-type"), "text/css", "{name}");
                let own = sites.ask_the_layer("GET", path, &accepted);
                assert!(own.body == body, "{name}, by the layer: {own:?}");
            }
        }
        for (path, expected) in [
            ("NEW/js/app.mjs", "text/javascript"),
            ("NEW/app.wasm", "application/wasm"),
            ("NEW/site.webmanifest", "application/manifest+json"),
            ("NEW/docs/", "text/html"),
            ("NEW/hello.txt", "text/plain"),
        ] {
            for path in [path, &path.replace("NEW/", "")] {
                let answer = sites.ask("GET", path, &[]);
                assert_eq!(answer.field("content-type"), expected, "{}: {path}", way.name);
                let own = sites.ask_the_layer("GET", path, &[]).field("content-type");
                // RFC 9239 §6: one is another name of the other.
                let own = own.replace("application/javascript", "text/javascript");
                assert_eq!(own, expected, "{}: {path}, by the layer", way.name);
            }
        }
    }
}

/// What nginx does not answer itself, the application does.
#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn a_directory_with_an_application() {
    for way in WAYS.iter().filter(|way| !way.has_releases) {
        let mut sites = Sites::new(way);
        sites.put_in_front_of_the_layer();
        for (path, is_by_nginx) in [
            ("NEW/with%20space.txt", true),
            ("NEW/f%C3%BCnke.txt", true),
            ("assets/index-Bx7a91Zq.js", true),
            ("NEW/assets/component-settings.js", true),
            ("hello.txt", false),
            ("UNKNOWN/hello.txt", false),
            ("assets/component-settings.js", false),
            ("NEW/missing.js", false),
            ("NEW/docs", false),
            ("NEW/docs/", false),
            ("NEW/", false),
            ("NEW/.env", false),
            ("NEW/.git/config", false),
            ("NEW/css/app.css~", false),
            ("NEW/Thumbs.db", false),
            ("NEW//evil.example", false),
            ("NEW/%2e%2e/NEW/hello.txt", false),
            ("NEW/hello.txt%0A", false),
            ("0123456789abcdef/real.txt", false),
        ] {
            let name = format!("{}: {path}", way.name);
            let (answer, own) =
                (sites.ask("GET", path, &[]), sites.ask_the_layer("GET", path, &[]));
            let fields = ["cache-control", "location"];
            assert_eq!(fields.map(|it| answer.field(it)), fields.map(|it| own.field(it)), "{name}");
            assert_eq!((answer.status, answer.text()), (own.status, own.text()), "{name}");
            let tag = if is_by_nginx { String::new() } else { own.field("etag") };
            assert_eq!(answer.field("etag"), tag, "{name}");
        }
        for (method, fields, status) in [
            ("POST", vec![], 405),
            ("GET", vec![("Range", "bytes=1000-")], 416),
            ("GET", vec![("Range", "bytes=0-1")], 206),
        ] {
            let answer = sites.ask(method, "NEW/hello.txt", &fields);
            let own = sites.ask_the_layer(method, "NEW/hello.txt", &fields);
            assert_eq!((answer.status, own.status), (status, status), "{}: {fields:?}", way.name);
            assert_eq!(answer.cache_control(), own.cache_control(), "{}: {fields:?}", way.name);
        }
    }
}

/// All names that nginx has to read, at once.
#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn nginx_reads_every_folder_and_mount() {
    for (folder, mount) in [
        ("with space; {}", "/static"),
        (r#"quoted" and 'quoted'"#, "/a/b"),
        (r"back\slash", "/v1.0+(x)"),
        ("ünïcödé # ~", "/"),
        ("[a]*?", "/.well-known/static/"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        open_to_all(directory.path());
        let folder = directory.path().join(folder);
        let css = folder.join("css/app.css");
        write(&folder, "css/app.css", SHEET);
        write(&folder, "hello.txt", HELLO);
        open_to_all(css.parent().unwrap());
        set_modified(&css, mtime());
        let version = succeed(&["version", folder.to_str().unwrap()]);
        let args = ["nginx", folder.to_str().unwrap(), "--mount", mount];
        let nginx = start(&succeed(&args));
        let mount = mount.trim_end_matches('/');
        let url = format!("{mount}/{}/css/app.css", version.trim_end());
        let answer = Connection::to(nginx.address).exchange("GET", &url, &[]);
        assert_answer(&url, &answer, 200, YEAR, SHEET);
        // With an application as well.
        let app = "http://127.0.0.1:9";
        let nginx = start_beside(app, &succeed(&[&args[..], &["--app", app]].concat()));
        let url = url.replace("css/app.css", "hello.txt");
        // A path with a dot is the application's, which is not there.
        let expected = if mount.contains("/.") { 502 } else { 200 };
        let answer = Connection::to(nginx.address).exchange("GET", &url, &[]);
        assert_eq!((answer.status, answer.text() == HELLO), (expected, expected == 200), "{url}");
    }
}

/// More than nginx reads into one expression.
#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn many_fingerprinted_files() {
    let root = tree([("index.html", "")]);
    open_to_all(root.path());
    let names = (0..500).map(|i| format!("assets/part-{i:03}aB7xZ.js")).collect::<Vec<_>>();
    names.iter().for_each(|name| write(root.path(), name, name));
    let args = ["nginx", path_of(&root), "--mount", "/static", "--fingerprinted", "vite"];
    let nginx = start(&succeed(&args));
    let mut connection = Connection::to(nginx.address);
    for name in &names {
        let answer = connection.exchange("GET", &format!("/static/{name}"), &[]);
        assert_answer(name, &answer, 200, YEAR, name);
    }
}
