//! What does the page look like that links every file?

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

use tower_static_url::StaticPrefix;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const FOLLOW: &str = include_str!("changes.js");

#[derive(Clone, Copy)]
pub(crate) struct Options {
    /// The files are those of the bundled site, so the page can use its style and script.
    pub(crate) greets: bool,
    /// The server sends events of changes.
    pub(crate) follows: bool,
}

/// `kept` are the versions of the releases that are kept, if any are.
pub(crate) fn render(prefix: &StaticPrefix, kept: Option<&[String]>, options: Options) -> String {
    let mut html = String::new();
    // Writing to a `String` cannot fail.
    let _ = write_page(&mut html, prefix, kept, options);
    html
}

fn write_page(
    html: &mut String,
    prefix: &StaticPrefix,
    kept: Option<&[String]>,
    options: Options,
) -> fmt::Result {
    let paths = prefix.paths().collect::<Vec<_>>();
    write_head(html, prefix, options)?;
    write_intro(html, prefix, kept)?;
    if options.greets {
        html.push_str(POSTCARD);
    }
    html.push_str(SUMMARY);
    write_table(html, prefix, &paths)?;
    html.push_str("</main>\n");
    Ok(())
}

/// The script comes before any style sheet: it must run before the first file is requested.
fn write_head(html: &mut String, prefix: &StaticPrefix, options: Options) -> fmt::Result {
    write!(
        html,
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Static files of version {version}</title>
<link rel="icon" href="data:,">
<script>
{SCRIPT}</script>
<style>
{STYLE}</style>
"#,
        version = escape(prefix.version()),
    )?;
    if options.follows {
        write!(html, "<script>\n{FOLLOW}</script>\n")?;
    }
    if options.greets {
        write!(
            html,
            "<link rel=\"stylesheet\" data-path=\"css/app.css\" href=\"{}\">\n\
             <script type=\"module\" src=\"{}\"></script>\n",
            escape(&prefix.url("css/app.css")),
            escape(&prefix.url("js/app.js")),
        )?;
    }
    Ok(())
}

fn write_intro(html: &mut String, prefix: &StaticPrefix, kept: Option<&[String]>) -> fmt::Result {
    write!(
        html,
        r#"
<main>
<h1>Static files, cached for a year</h1>
<dl class="facts">
  <dt>Version</dt> <dd><code id="version">{version}</code></dd>
  <dt>Prefix</dt> <dd><code id="prefix">{prefix}</code></dd>
"#,
        version = escape(prefix.version()),
        prefix = escape(prefix.as_str()),
    )?;
    if let Some(kept) = kept {
        html.push_str("  <dt>Kept releases</dt> <dd id=\"kept\">");
        let versions = kept.iter().map(|version| format!("<code>{}</code>", escape(version)));
        let versions = versions.collect::<Vec<_>>().join(", ");
        html.push_str(if versions.is_empty() { "none" } else { &versions });
        html.push_str("</dd>\n");
    }
    html.push_str("</dl>\n");
    if let Ok(site) = prefix.try_url("index.html") {
        writeln!(html, r#"<p><a href="{}">Open the site itself</a></p>"#, escape(&site))?;
    }
    Ok(())
}

/// Styled by the site's `css/app.css`, and filled by its `js/app.js`.
const POSTCARD: &str = r#"
<article class="postcard" aria-label="A postcard, drawn by the bundled site's own files">
  <p data-greeting>Dear reader, …</p>
  <p>Paper, stamp and words are the bundled site's own files, each found by a relative URL.</p>
</article>
"#;

const SUMMARY: &str = r#"
<section aria-labelledby="summary-title">
<h2 id="summary-title">This visit</h2>
<p id="status" role="status">The links below work without JavaScript; to count what the cache
gives takes a script.</p>
<progress id="progress" value="0" aria-label="Files loaded" hidden></progress>
<ul class="totals" id="totals" hidden>
  <li class="network"><b data-total="network">0</b> from the network</li>
  <li class="network"><b data-total="deltas">0</b> of these as deltas</li>
  <li class="cache"><b data-total="cache">0</b> from the cache</li>
  <li class="checked"><b data-total="checked">0</b> unchanged, after asking</li>
  <li class="failed"><b data-total="failed">0</b> failed</li>
  <li><b data-total="bytes">0 B</b> transferred</li>
</ul>
<p><a class="button" href="/">Visit again</a> <button class="button" id="rest" type="button" hidden></button></p>
</section>
"#;

fn write_table(html: &mut String, prefix: &StaticPrefix, paths: &[&str]) -> fmt::Result {
    html.push_str(
        r#"
<table>
<caption>Every file of the tree</caption>
<thead>
<tr><th scope="col">File</th><th scope="col">Taken from</th><th scope="col">Transferred</th><th scope="col">Size</th></tr>
</thead>
<tbody id="files">
"#,
    );
    for (index, path) in paths.iter().enumerate() {
        write_row(html, index, path, &prefix.url(path))?;
    }
    html.push_str("</tbody>\n</table>\n");
    Ok(())
}

fn write_row(html: &mut String, index: usize, path: &str, url: &str) -> fmt::Result {
    let (folder, name) = path.split_at(path.rfind('/').map_or(0, |slash| slash + 1));
    writeln!(
        html,
        "<tr id=\"file-{index}\" data-path=\"{path}\"><th scope=\"row\"><a href=\"{url}\">\
         <span class=\"folder\">{folder}</span>{name}</a></th><td></td><td></td><td></td></tr>",
        path = escape(path),
        url = escape(url),
        folder = escape(folder),
        name = escape(name),
    )
}

/// Escapes a text for HTML, also in quoted attributes. A carriage return is escaped too, because
/// HTML would read it as a line feed.
fn escape(text: &str) -> Cow<'_, str> {
    const SPECIAL: [char; 6] = ['&', '<', '>', '"', '\'', '\r'];
    if !text.contains(SPECIAL) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\r' => escaped.push_str("&#13;"),
            _ => escaped.push(c),
        }
    }
    escaped.into()
}
