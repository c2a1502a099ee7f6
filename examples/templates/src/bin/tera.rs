//! Links in [tera](https://keats.github.io/tera) templates. Tera's functions belong to the engine
//! and its contexts hold only data, so the prefix of the request is handed to `static_url` beside
//! the context, for as long as the page is rendered.
//!
//! ```sh
//! cargo run -p templates --bin tera
//! ```

use std::sync::Arc;

use axum::{Router, http::StatusCode, response::Html, routing::get, serve::ListenerExt as _};
use tera::{Context, Kwargs, State, Tera, TeraResult};
use tower_http::services::ServeDir;
use tower_static_url::{StaticPrefix, StaticUrlLayer};

const SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../site");

/// The name ends in `.html`, so tera escapes what stands in `{{ }}`, and a URL is safe in an
/// attribute.
const TEMPLATES: [(&str, &str); 2] = [
    (
        "page.html",
        r#"<!doctype html>
<html lang="en">
<title>Tera</title>
<link rel="stylesheet" href="{{ static_url(path="css/app.css") }}">
{%- set digest = integrity(path="js/app.js") %}
<script type="module" src="{{ static_url(path="js/app.js") }}"
  {%- if digest %} integrity="{{ digest }}"{% endif %}></script>
<main class="postcard">
<p data-greeting>Dear reader, …</p>
<ul>
{%- for path in notes %}
  <li><a href="{{ static_url(path=path) }}">{{ path }}</a>
{%- endfor %}
</ul>
</main>
"#,
    ),
    ("typo.html", r#"<img src="{{ static_url(path="img/stmp.svg") }}">"#),
];

tokio::task_local! {
    /// Set while a page is rendered, and only for that page.
    static FILES: StaticPrefix;
}

fn static_url(arguments: Kwargs, _: &State) -> TeraResult<String> {
    let path = arguments.must_get("path")?;
    FILES.with(|files| files.try_url(path)).map_err(tera::Error::message)
}

fn integrity(arguments: Kwargs, _: &State) -> TeraResult<String> {
    let path = arguments.must_get("path")?;
    Ok(FILES.with(|files| files.integrity(path)).unwrap_or_default())
}

type Templates = axum::extract::State<Arc<Tera>>;

/// The prefix comes from the request: every link of a page has the same version.
async fn page(templates: Templates, files: StaticPrefix) -> Result<Html<String>, Failed> {
    let mut context = Context::new();
    let notes = files.paths().filter(|path| path.starts_with("notes/"));
    context.insert("notes", &notes.collect::<Vec<_>>());
    FILES.sync_scope(files, || templates.render("page.html", &context)).map(Html).map_err(failed)
}

/// A wrong path is an error that names the right one, and no broken link.
async fn typo(templates: Templates, files: StaticPrefix) -> Result<Html<String>, Failed> {
    let context = Context::new();
    FILES.sync_scope(files, || templates.render("typo.html", &context)).map(Html).map_err(failed)
}

type Failed = (StatusCode, String);

/// An application logs this, and sends a page without the text.
fn failed(error: tera::Error) -> Failed {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

pub fn router(root: &str) -> Router {
    let mut templates = Tera::new();
    templates.register_function("static_url", static_url);
    templates.register_function("integrity", integrity);
    templates.add_raw_templates(TEMPLATES).expect("the templates of this program are right");
    let files = ServeDir::new(root).redirect_path_prefix("/static");
    Router::new()
        .route("/", get(page))
        .route("/typo", get(typo))
        .nest_service("/static", files)
        .with_state(Arc::new(templates))
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
