//! nginx answers for everything below the mount, and there is no application.

use super::{
    site::{Kept, Site},
    spell::{but, escaped, quoted, shape},
    text::{COMPRESSED, IMMUTABLE, TYPES, fingerprinted, location, named, no_links, not_listed},
};

/// With the tags of nginx, which it makes of time and length, so that browsers can ask. Nodes make
/// different ones of the same bytes, which costs a download, and pins nothing.
const REVALIDATED: &str = "add_header Cache-Control \"no-cache\";";

/// Paths that nginx has made plain, and methods that read nothing. Each location has its own `if`s.
const PLAIN: &str = r#"# What the browser has spelled, before nginx has decoded and shortened it.
if ($request_uri ~* "^[^?]*(?://|/(?:\.|%2e){1,2}(?:[/?]|$)|%2f|%5c|\\\\)") {
    return 404;
}
if ($request_method !~ "^(?:GET|HEAD)$") {
    add_header Allow "GET, HEAD" always;
    add_header Cache-Control "no-store" always;
    return 405;
}"#;

/// `redirect` spells what it has captured as a URL, and keeps the query.
const ADD_SLASH: &str = r#"rewrite "(?s)^(.*[^/])\z" "$1/" redirect;"#;

/// A file that URLs without a version lead to.
const FILE: &str = "\"/$static_url_file\"";

/// Returns the configuration for one directory of files.
pub(super) fn tree(site: &Site) -> String {
    let Site { mount, root, version, .. } = site;
    let checks = format!("{PLAIN}\n{}", not_listed(&escaped(mount)));
    let common = common(mount, &format!("root {};", quoted(root)));
    let files = [current(site, &checks), without_version(site, &checks)];
    let parts = [vec![common.clone()], fingerprinted_files(site, &checks), files.to_vec()];
    let head = format!(
        "\
# For the inside of a `server`: the files in {},
# version {version}.
#
# Make this again for each deploy: it is for this version only. What changes in this directory
# would be cached for a year under the old version, so put each build into a directory of its own.",
        quoted(root)
    );
    written(&head, site, &parts.concat(), &[directories(site, &common)])
}

/// Returns the configuration for kept releases.
pub(super) fn releases(site: &Site, kept: &Kept) -> String {
    let Site { mount, root, version, .. } = site;
    let root = format!("root {};\n{}", quoted(root), no_links(&kept.folder));
    let common = common(mount, &root);
    let files = [current(site, PLAIN), kept_files(site, kept), without_version(site, PLAIN)];
    let parts = [vec![common.clone()], fingerprinted_files(site, PLAIN), files.to_vec()];
    let head = format!(
        "\
# For the inside of a `server`: the releases that are kept in {}.
# Those that are published later are found at once.
#
# Make this again for each deploy: without a version, URLs lead to the files of the newest
# release, and that is {version} here.",
        quoted(&kept.folder)
    );
    let others = [not_kept(site, kept, &common), directories(site, &common)];
    written(&head, site, &parts.concat(), &others)
}

fn written(head: &str, site: &Site, parts: &[String], others: &[String]) -> String {
    let mount = &site.mount;
    let parts = parts.iter().map(String::as_str).collect::<Vec<_>>();
    let mut all = vec![location(&format!("^~ {}", quoted(&format!("{mount}/"))), &parts)];
    if !mount.is_empty() {
        let slash = "absolute_redirect off;\nadd_header Cache-Control \"no-cache\";";
        all.push(location(&format!("= {}", quoted(mount)), &[&format!("{slash}\n{ADD_SLASH}")]));
    }
    all.extend_from_slice(others);
    all.push(errors(mount));
    format!("{head}\n\n{}\n", all.join("\n\n"))
}

/// Returns what all locations have but that of errors.
fn common(mount: &str, root: &str) -> String {
    let errors = named(mount, "errors");
    format!(
        "{root}\n\
         error_page 400 401 403 404 408 411 412 413 416 429 500 502 503 504 {errors};\n\
         absolute_redirect off;\n\n\
         # A `.gz` beside a file. For `.br` and `.zst`, nginx needs modules of others.\n\
         {COMPRESSED}\n\n{TYPES}"
    )
}

/// Whatever the error is, and after a year as well.
fn errors(mount: &str) -> String {
    let text = "types {}\ndefault_type text/plain;\n\
                add_header Cache-Control \"no-store\" always;\n\
                return 404 \"$status\\n\";";
    location(&named(mount, "errors"), &[text])
}

fn regex(expression: &str, parts: &[&str]) -> String {
    location(&format!("~ \"{expression}\""), parts)
}

fn tried(file: &str, otherwise: &str) -> String {
    format!("try_files {file} {otherwise};")
}

fn fingerprinted_files(site: &Site, checks: &str) -> Vec<String> {
    let one = |root: &str, expression: &str| {
        let file = format!("root {};\n{}", quoted(root), tried(FILE, "=404"));
        let why = "# The names of these files change with their bytes.";
        regex(expression, &[&format!("{why}\n{file}"), checks, IMMUTABLE])
    };
    fingerprinted(site).iter().map(|(group, expression)| one(&group.root, expression)).collect()
}

fn current(site: &Site, checks: &str) -> String {
    let (mount, version) = (escaped(&site.mount), escaped(&site.version));
    let expression = format!("(?s)^{mount}/{version}/(?<static_url_file>.*)\\z");
    regex(&expression, &[checks, &tried(FILE, &named(&site.mount, "directories")), IMMUTABLE])
}

/// Without a version, or with an unknown one.
fn without_version(site: &Site, checks: &str) -> String {
    let expression = format!("(?s)^{}/{}\\z", escaped(&site.mount), file(site));
    let tried = tried(FILE, &named(&site.mount, "directories"));
    regex(&expression, &[checks, &tried, REVALIDATED])
}

/// Returns an expression for the path of a file, after something that looks like a version.
fn file(site: &Site) -> String {
    format!("(?:{}/)?(?<static_url_file>.*)", shape(&site.version, &site.directories))
}

/// Returns the location that adds a slash to a directory, and that has its page.
fn directories(site: &Site, common: &str) -> String {
    let is_missing = format!(
        "if (!-d {}) {{\n    return 404;\n}}",
        quoted(&format!("{}/$static_url_file", site.root))
    );
    let page = tried("\"/${static_url_file}index.html\"", "=404");
    let steps = format!("{is_missing}\n{ADD_SLASH}\n{page}");
    location(&named(&site.mount, "directories"), &[common, &steps, REVALIDATED])
}

/// Returns the location of the files of kept releases.
fn kept_files(site: &Site, kept: &Kept) -> String {
    let mount = escaped(&site.mount);
    // What it is in the newest release, if it is of no kept one.
    let newest = format!("(?={}\\z)", file(site));
    let release = format!("{}(?<static_url_release>[^/]+)", but(&kept.no_versions));
    let expression = format!("(?s)^{mount}/{newest}{release}/(?<static_url_path>.*)\\z");
    let tried = tried("\"/$static_url_release/$static_url_path\"", &named(&site.mount, "not kept"));
    let files = format!("root {};\n{tried}", quoted(&kept.files));
    regex(&expression, &[PLAIN, &files, IMMUTABLE])
}

/// Returns the location of what is no file of a kept release.
fn not_kept(site: &Site, kept: &Kept, common: &str) -> String {
    let release = quoted(&format!("{}/$static_url_release", kept.files));
    let steps = format!(
        "# A release that is kept does not have it, and that of another one is not the same.\n\
         if (-d {release}) {{\n    return 404;\n}}\n{}",
        tried(FILE, &named(&site.mount, "directories")),
    );
    location(&named(&site.mount, "not kept"), &[common, &steps, REVALIDATED])
}
