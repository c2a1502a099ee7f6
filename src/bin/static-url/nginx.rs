//! `static-url nginx FOLDER --mount /static --app URL`

use std::{fmt::Write as _, path::Path};

use tower_static_url::{Error, StaticUrlLayer, VersionSource, releases::Releases};

use crate::{Done, Failure, args::Nginx, output::say};

pub(crate) fn run(args: Nginx) -> Result<Done, Failure> {
    let folder = args.folder.as_path();
    // The configuration may be made before the first release, and on another machine.
    if folder.exists() {
        Releases::open(folder)?;
    }
    let mount = mount(&args.mount)?;
    say(block(folder, &mount, &args.app).trim_end());
    Ok(Done::WithSuccess)
}

/// Checks a mount, and removes a slash at its end.
fn mount(mount: &str) -> Result<String, Error> {
    let builder = StaticUrlLayer::builder(mount).version(VersionSource::literal("v1"));
    Ok(builder.build()?.prefix().mount().trim_end_matches('/').to_owned())
}

/// Returns the two locations of a `server`.
///
/// The regular expression sees the path as nginx has normalized it: decoded, and without dot
/// segments and double slashes. The layer takes a URL as it is spelled, so what nginx would
/// normalize goes to the application.
fn block(folder: &Path, mount: &str, app: &str) -> String {
    let (files, mount) = (quoted(&folder.join("files")), escaped(mount));
    let from = quoted(Path::new(&format!("from={}", folder.display())));
    format!(
        r#"# Inside `server {{ … }}`: nginx answers for each file of a release that it finds in the
# directory of releases. The application answers for everything else.
location ~ "^{mount}/(?<release>[^/]+)/(?<file>.+)$" {{
    root {files};
    disable_symlinks on {from};
    try_files /$release/$file @app;
    error_page 403 404 405 = @app;

    # nginx would normalize such a path. The application takes it as it is spelled.
    if ($request_uri ~* "//|/\.|%2e|%2f|%5c|\\\\") {{
        return 404;
    }}
    # nginx would let caches keep the error for a range that the file does not have.
    if ($http_range) {{
        return 404;
    }}

    # The URL names these bytes. A tag of nginx would name their size and time.
    add_header Cache-Control "public, max-age=31536000, immutable";
    etag off;

    gzip off;
    gzip_static on;
    gzip_vary on;
    gzip_proxied any;

    # Browsers run no module of an unknown type.
    include mime.types;
    types {{
        text/javascript mjs;
    }}
}}

location @app {{
    proxy_pass {app};
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
}}
"#
    )
}

/// Quotes a path as nginx reads it. The arguments refuse what nginx cannot spell.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    format!("\"{}\"", path.replace('\\', r"\\").replace('"', "\\\""))
}

/// Escapes what a regular expression would take for more than a character.
fn escaped(mount: &str) -> String {
    mount.chars().fold(String::new(), |mut escaped, c| {
        if !c.is_ascii_alphanumeric() && !"/-_".contains(c) {
            escaped.push('\\');
        }
        let _ = escaped.write_char(c);
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_in_a_regular_expression() {
        for (mount, expected) in [
            ("", "^/(?<release>"),
            ("/static", "^/static/(?<release>"),
            ("/a-b_c/d", "^/a-b_c/d/(?<release>"),
            ("/v1.0+(x)$", r"^/v1\.0\+\(x\)\$/(?<release>"),
        ] {
            let block = block(Path::new("/releases"), mount, "http://127.0.0.1:3000");
            assert!(block.contains(&format!("location ~ \"{expected}")), "{block}");
        }
    }

    #[test]
    fn paths_in_quotes() {
        for (path, expected) in [
            ("/var/lib/site", r#""/var/lib/site""#),
            ("/with space; {}", r#""/with space; {}""#),
            (r#"/"quoted""#, r#""/\"quoted\"""#),
            (r"/back\slash", r#""/back\\slash""#),
        ] {
            assert_eq!(quoted(Path::new(path)), expected);
        }
    }
}
