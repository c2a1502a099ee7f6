//! nginx answers for what has a version, and the application for everything else.

use super::{
    site::{Kept, Site},
    spell::{escaped, quoted},
    text::{COMPRESSED, IMMUTABLE, TYPES, fingerprinted, location, no_links, not_listed},
};

/// nginx would normalize such a path. And it would let caches keep the error for a range that the
/// file does not have.
const TO_THE_APP: &str = r#"# nginx would normalize such a path. The application takes it as it is spelled.
if ($request_uri ~* "//|/\.|%2e|%2f|%5c|\\\\") {
    return 404;
}
# nginx would let caches keep the error for a range that the file does not have.
if ($http_range) {
    return 404;
}"#;

/// Returns the configuration for kept releases.
pub(super) fn releases(mount: &str, kept: &Kept, app: &str) -> String {
    let segment = "(?<static_url_release>[^/]+)/(?<static_url_file>.+)";
    let expression = format!("(?s)^{}/{segment}\\z", escaped(mount));
    let root = format!("root {};\n{}", quoted(&kept.files), no_links(&kept.folder));
    let files = answered(&expression, &root, "/$static_url_release/$static_url_file", "");
    let head = "\
# Inside `server { … }`: nginx answers for each file of a release that it finds in the
# directory of releases. The application answers for everything else. Put it before locations
# with other regular expressions.";
    format!("{head}\n{files}\n\n{}\n", application(app))
}

/// Returns the configuration for one directory of files.
pub(super) fn tree(site: &Site, app: &str) -> String {
    let (mount, version) = (escaped(&site.mount), &site.version);
    let root = format!("root {};", quoted(&site.root));
    let ignored = not_listed(&mount);
    let current = format!("(?s)^{mount}/{}/(?<static_url_file>.+)\\z", escaped(version));
    let fingerprinted = fingerprinted(site).into_iter().map(|(_, expression)| expression);
    let files = [current].into_iter().chain(fingerprinted);
    let files = files.map(|it| answered(&it, &root, "/$static_url_file", &ignored));
    let head = format!(
        "\
# Inside `server {{ … }}`: nginx answers for the files in {},
# version {version}. The application answers for everything else. Put it before
# locations with other regular expressions.
#
# Make this again for each deploy: it is for this version only. What changes in this directory
# would be cached for a year under the old version, so put each build into a directory of its own.",
        quoted(&site.root)
    );
    format!("{head}\n{}\n\n{}\n", files.collect::<Vec<_>>().join("\n\n"), application(app))
}

fn answered(expression: &str, root: &str, file: &str, ignored: &str) -> String {
    let files = format!("{root}\ntry_files {file} @app;\nerror_page 403 404 405 = @app;");
    let compressed = format!("gzip off;\n{COMPRESSED}");
    let parts = [&*files, TO_THE_APP, ignored, IMMUTABLE, &compressed, TYPES];
    location(&format!("~ \"{expression}\""), &parts)
}

fn application(app: &str) -> String {
    let pass =
        format!("proxy_pass {app};\nproxy_http_version 1.1;\nproxy_set_header Host $http_host;");
    location("@app", &[&pass])
}
