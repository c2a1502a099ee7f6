//! Draws the picture of a rolling deploy, from the counters of two nodes:
//!
//! ```sh
//! cargo run --example rolling_deploy > src/docs/rolling_deploy.svg
//! ```
//!
//! Visitors with open pages ask two nodes in turn for their files. One node gets the new release
//! after 20 seconds, the other after 40. Nothing is measured but what the layers count, and
//! nothing is left to chance or to a clock, so the picture is the same each time.

use std::{error::Error, fmt::Write as _, fs, path::Path};

use axum::{Router, body::Body, http::Request};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tower::ServiceExt as _;
use tower_http::services::ServeDir;
use tower_static_url::{StaticUrlLayer, releases::Releases};

const SECONDS: usize = 100;
const DEPLOYS: [usize; 2] = [20, 40];
const VISITORS: usize = 60;
/// A page is loaded again after so many seconds.
const STAY: usize = 30;
const OUTCOMES: [(&str, &str); 3] =
    [("current", "#2f9e77"), ("kept", "#5b8def"), ("stale", "#e07a5f")];

/// What was counted in each second, for each outcome.
type Counts = Vec<[u64; 3]>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let counters = PrometheusBuilder::new().install_recorder()?;
    let alone = simulate(&counters, false).await?;
    let kept = simulate(&counters, true).await?;
    print!("{}", draw(&[("Each node has its own release", &alone), ("With releases", &kept)])?);
    Ok(())
}

/// A server, and the directory that it serves.
struct Node {
    layer: StaticUrlLayer,
    root: tempfile::TempDir,
}

impl Node {
    fn new(releases: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let root = tempfile::tempdir()?;
        fs::write(root.path().join("app.js"), "old")?;
        let mut builder = StaticUrlLayer::builder("/static").root(root.path());
        if let Some(folder) = releases {
            let releases = Releases::folder(folder)?;
            let files = ServeDir::new(releases.files());
            builder = builder.releases(releases, files);
        }
        Ok(Self { layer: builder.build()?, root })
    }

    fn deploy(&self, has_releases: bool) -> Result<(), Box<dyn Error>> {
        fs::write(self.root.path().join("app.js"), "new!")?;
        self.layer.reload()?;
        if has_releases {
            self.layer.publish()?;
        }
        Ok(())
    }

    async fn ask(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let files = Router::new().nest_service("/static", ServeDir::new(self.root.path()));
        self.layer.wrap(files).oneshot(Request::get(url).body(Body::empty())?).await?;
        Ok(())
    }
}

async fn simulate(
    counters: &PrometheusHandle,
    has_releases: bool,
) -> Result<Counts, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let releases = has_releases.then_some(folder.path());
    let nodes = [Node::new(releases)?, Node::new(releases)?];
    if has_releases {
        nodes[0].layer.publish()?;
    }
    let mut pages = vec![nodes[0].layer.prefix().url("app.js"); VISITORS];
    let (mut counts, mut before) = (Counts::new(), read(counters));
    for second in 0..SECONDS {
        for (node, _) in nodes.iter().zip(DEPLOYS).filter(|(_, at)| *at == second) {
            node.deploy(has_releases)?;
        }
        for (visitor, page) in pages.iter_mut().enumerate() {
            if visitor % STAY == second % STAY {
                *page = nodes[(visitor + second / STAY) % 2].layer.prefix().url("app.js");
            }
            nodes[(visitor / 2 + second) % 2].ask(page).await?;
        }
        let after = read(counters);
        counts.push(std::array::from_fn(|i| after[i] - before[i]));
        before = after;
    }
    Ok(counts)
}

/// Returns what was counted so far, for each outcome.
fn read(counters: &PrometheusHandle) -> [u64; 3] {
    let text = counters.render();
    OUTCOMES.map(|(outcome, _)| {
        let name = format!("static_url_requests_total{{outcome=\"{outcome}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.and_then(|count| count.parse().ok()).unwrap_or(0)
    })
}

const WIDTH: usize = 300;
const HEIGHT: usize = 120;

fn draw(panels: &[(&str, &Counts)]) -> Result<String, std::fmt::Error> {
    let mut svg = String::new();
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 200" width="700" role="img" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(svg, "<title>Requests by outcome while a deploy rolls over two nodes</title>")?;
    writeln!(svg, r##"<rect width="700" height="200" fill="#ffffff"/>"##)?;
    for (i, (title, counts)) in panels.iter().enumerate() {
        writeln!(svg, r#"<g transform="translate({}, 40)">"#, 30 + i * 340)?;
        writeln!(svg, r#"<text y="-14" font-weight="bold">{title}</text>"#)?;
        draw_counts(&mut svg, counts)?;
        writeln!(svg, "</g>")?;
    }
    for (i, (outcome, colour)) in OUTCOMES.iter().enumerate() {
        let x = 30 + i * 90;
        writeln!(svg, r#"<rect x="{x}" y="182" width="10" height="10" fill="{colour}"/>"#)?;
        writeln!(svg, r#"<text x="{}" y="192">{outcome}</text>"#, x + 14)?;
    }
    writeln!(svg, "</svg>")?;
    Ok(svg)
}

/// Draws a bar for each second, and a line for each deploy.
fn draw_counts(svg: &mut String, counts: &Counts) -> std::fmt::Result {
    let width = WIDTH / SECONDS;
    for (second, counted) in counts.iter().enumerate() {
        let mut y = HEIGHT;
        for (count, (_, colour)) in counted.iter().zip(OUTCOMES) {
            let height = *count as usize * HEIGHT / VISITORS;
            y -= height;
            let x = second * width;
            if height > 0 {
                writeln!(
                    svg,
                    r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{colour}"/>"#
                )?;
            }
        }
    }
    for (node, at) in DEPLOYS.iter().enumerate() {
        let x = at * width;
        writeln!(svg, r##"<path d="M{x} 0V{HEIGHT}" stroke="#222222" stroke-dasharray="3"/>"##)?;
        let y = HEIGHT + 14;
        writeln!(svg, r#"<text x="{x}" y="{y}" font-size="10">node {}</text>"#, node + 1)?;
    }
    Ok(())
}
