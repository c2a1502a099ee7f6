//! Links in [minijinja](https://docs.rs/minijinja) templates: `static_url` is a function in the
//! context of each page, because there it can hold the prefix of the request.
//!
//! ```sh
//! cargo run -p templates --bin minijinja
//! ```

use std::sync::Arc;

use axum::{
    Router, extract::State, http::StatusCode, response::Html, routing::get, serve::ListenerExt as _,
};
use minijinja::{Environment, Error, ErrorKind, Value, context};
use tower_http::services::ServeDir;
use tower_static_url::{StaticPrefix, StaticUrlLayer};

const SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../site");

/// The name ends in `.html`, so minijinja escapes what stands in `{{ }}`, and a URL is safe in
/// an attribute. It writes `/` as `&#x2f;`, which browsers read as `/`.
const TEMPLATES: [(&str, &str); 2] = [
    (
        "page.html",
        r#"<!doctype html>
<html lang="en">
<title>Minijinja</title>
<link rel="stylesheet" href="{{ static_url('css/app.css') }}">
{%- set digest = integrity('js/app.js') %}
<script type="module" src="{{ static_url('js/app.js') }}"
  {%- if digest %} integrity="{{ digest }}"{% endif %}></script>
<main class="postcard">
<p data-greeting>Dear reader, …</p>
<ul>
{%- for path in notes %}
  <li><a href="{{ static_url(path) }}">{{ path }}</a>
{%- endfor %}
</ul>
</main>
"#,
    ),
    ("typo.html", r#"<img src="{{ static_url('img/stmp.svg') }}">"#),
];

type Templates = State<Arc<Environment<'static>>>;

/// The prefix comes from the request: every link of a page has the same version.
async fn page(State(templates): Templates, files: StaticPrefix) -> Result<Html<String>, Failed> {
    let paths = files.paths().map(str::to_owned);
    let notes = paths.filter(|path| path.starts_with("notes/")).collect::<Vec<_>>();
    render(&templates, "page.html", &files, context! { notes })
}

/// A wrong path is an error that names the right one, and no broken link.
async fn typo(State(templates): Templates, files: StaticPrefix) -> Result<Html<String>, Failed> {
    render(&templates, "typo.html", &files, context! {})
}

fn render(
    templates: &Environment<'_>,
    name: &str,
    files: &StaticPrefix,
    context: Value,
) -> Result<Html<String>, Failed> {
    let (url, integrity) = (files.clone(), files.clone());
    let not_listed = |error| Error::new(ErrorKind::InvalidOperation, format!("{error}"));
    let static_url = move |path: &str| url.try_url(path).map_err(not_listed);
    let links = context! {
        static_url => Value::from_function(static_url),
        integrity => Value::from_function(move |path: &str| integrity.integrity(path)),
    };
    let template = templates.get_template(name).map_err(failed)?;
    template.render(context! { ..context, ..links }).map(Html).map_err(failed)
}

type Failed = (StatusCode, String);

/// An application logs this, and sends a page without the text.
fn failed(error: Error) -> Failed {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

pub fn router(root: &str) -> Router {
    let mut templates = Environment::new();
    for (name, source) in TEMPLATES {
        templates.add_template(name, source).expect("the templates of this program are right");
    }
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
