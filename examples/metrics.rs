//! What the layer does, as Prometheus reads it:
//!
//! ```sh
//! cargo run --example metrics      # then look at http://127.0.0.1:3000/metrics
//! ```

use axum::{Router, response::Html, routing::get};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower_http::services::ServeDir;
use tower_static_url::{StaticPrefix, StaticUrlLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let prometheus = PrometheusBuilder::new().install_recorder()?;
    tower_static_url::metrics::describe();

    let site = "examples/site";
    let layer = StaticUrlLayer::builder("/static").root(site).memory_budget(16 << 20).build()?;
    let app = Router::new()
        .route("/", get(page))
        .route("/metrics", get(async move || prometheus.render()))
        .nest_service("/static", ServeDir::new(site).redirect_path_prefix("/static"));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}/ and /metrics", listener.local_addr()?);
    axum::serve(listener, Router::new().fallback_service(layer.wrap(app))).await?;
    Ok(())
}

async fn page(prefix: StaticPrefix) -> Html<String> {
    let (style, script) = (prefix.url("css/app.css"), prefix.url("js/app.js"));
    Html(format!(
        r#"<!doctype html>
<link rel="stylesheet" href="{style}">
<script type="module" src="{script}"></script>
<p>Look at <a href="/metrics">what was counted</a>."#
    ))
}
