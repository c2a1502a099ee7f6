//! Links in [askama](https://askama.rs) templates: the prefix is a field of the template.
//!
//! ```sh
//! cargo run -p templates --bin askama
//! ```

use askama::Template;
use axum::{Router, http::StatusCode, response::Html, routing::get, serve::ListenerExt as _};
use tower_http::services::ServeDir;
use tower_static_url::{StaticPrefix, StaticUrlLayer};

const SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../site");

/// Askama escapes what stands in `{{ }}`, so a URL is safe in an attribute. An application has
/// its templates in files: `#[template(path = "page.html")]`.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<title>Askama</title>
<link rel="stylesheet" href="{{ files.try_url("css/app.css")? }}">
<script type="module" src="{{ files.try_url("js/app.js")? }}"
  {%- if let Some(digest) = files.integrity("js/app.js") %} integrity="{{ digest }}"{% endif %}></script>
<main class="postcard">
<p data-greeting>Dear reader, …</p>
<ul>
{%- for path in self.notes() %}
  <li><a href="{{ files.display(path) }}">{{ path }}</a>
{%- endfor %}
</ul>
</main>
"#
)]
struct Page {
    files: StaticPrefix,
}

impl Page {
    fn notes(&self) -> impl Iterator<Item = &str> {
        self.files.paths().filter(|path| path.starts_with("notes/"))
    }
}

/// The prefix comes from the request: every link of a page has the same version.
async fn page(files: StaticPrefix) -> Result<Html<String>, Failed> {
    Page { files }.render().map(Html).map_err(failed)
}

#[derive(Template)]
#[template(ext = "html", source = r#"<img src="{{ files.try_url("img/stmp.svg")? }}">"#)]
struct Typo {
    files: StaticPrefix,
}

/// A wrong path is an error that names the right one, and no broken link.
async fn typo(files: StaticPrefix) -> Result<Html<String>, Failed> {
    Typo { files }.render().map(Html).map_err(failed)
}

type Failed = (StatusCode, String);

/// An application logs this, and sends a page without the text.
fn failed(error: askama::Error) -> Failed {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

pub fn router(root: &str) -> Router {
    let files = ServeDir::new(root).redirect_path_prefix("/static");
    Router::new().route("/", get(page)).route("/typo", get(typo)).nest_service("/static", files)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layer = StaticUrlLayer::new("/static", SITE)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}/ and, with a mistake, /typo", listener.local_addr()?);
    let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));
    axum::serve(listener, layer.wrap(router(SITE)).into_make_service()).await?;
    Ok(())
}
