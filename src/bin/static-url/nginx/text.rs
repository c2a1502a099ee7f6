//! The parts of which every configuration is made.

use super::{
    site::{Group, Site},
    spell::{IGNORED, escaped, lines_of, quoted},
};

/// The URL names these bytes. A tag of nginx is made of their time and length: it would confirm a
/// copy of another node, which has other bytes of that length and time.
pub(super) const IMMUTABLE: &str = "\
# The URL names these bytes. A tag of nginx would name their size and time.
add_header Cache-Control \"public, max-age=31536000, immutable\";
etag off;";

pub(super) const COMPRESSED: &str = "\
gzip_static on;
gzip_vary on;
gzip_proxied any;";

pub(super) const TYPES: &str = "\
# Browsers run no module of an unknown type.
include mime.types;
types {
    text/javascript mjs;
    application/manifest+json webmanifest;
}";

/// Returns a location, with an empty line between its parts. Empty parts are left out.
pub(super) fn location(name: &str, parts: &[&str]) -> String {
    let parts = parts.iter().filter(|part| !part.is_empty()).map(|part| indented(part));
    format!("location {name} {{\n{}\n}}", parts.collect::<Vec<_>>().join("\n\n"))
}

/// Returns a text with each line four spaces to the right.
fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| match line {
        "" => String::new(),
        _ => format!("    {line}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the name of a location that only the configuration uses. nginx would take a dollar for
/// a variable.
pub(super) fn named(mount: &str, what: &str) -> String {
    quoted(&format!("@{}/ {what}", mount.replace('$', "%24")))
}

/// Returns the line that lets nginx follow no link below a directory.
pub(super) fn no_links(folder: &str) -> String {
    format!("disable_symlinks on {};", quoted(&format!("from={folder}")))
}

/// Returns the check that leaves out what the layer does not list. The mount is escaped.
pub(super) fn not_listed(mount: &str) -> String {
    format!(
        "# The layer does not list these.\n\
         if ($uri ~ \"(?s)^{mount}/{IGNORED}(?:/|\\z)\") {{\n    return 404;\n}}"
    )
}

/// Returns regular expressions for the fingerprinted files, with where these are. Nothing shorter
/// tells a hash from a word, and a `map` cannot be in a `server`.
pub(super) fn fingerprinted(site: &Site) -> Vec<(&Group, String)> {
    let mount = escaped(&site.mount);
    let expression =
        |lines: &String| format!("(?xs)^{mount}/(?<static_url_file>\n    {lines}\n)\\z");
    let groups = site.fingerprinted.iter().flat_map(|group| {
        let parts = lines_of(group.paths.iter().map(String::as_str));
        parts.iter().map(|lines| (group, expression(lines))).collect::<Vec<_>>()
    });
    groups.collect()
}
