//! The smallest examples, which are what a newcomer copies first.
#![allow(dead_code, reason = "the examples' `main`")]

use std::{fs, net::Ipv4Addr};

use tokio::net::TcpListener;
use tower_static_url::StaticUrlLayer;

use crate::support::{Answer, YEAR, ask, demo::http_client, get, site};

#[path = "../../examples/axum.rs"]
mod with_axum;
#[path = "../../examples/hyper.rs"]
mod with_hyper;

/// `send` asks the server for a path.
async fn is_versioned(layer: &StaticUrlLayer, root: &str, send: impl AsyncFn(&str) -> Answer) {
    for content in ["p { color: teal }", "p { color: navy }"] {
        fs::write(format!("{root}/css/app.css"), content).unwrap();
        layer.reload().unwrap();
        let url = layer.prefix().url("css/app.css");
        let page = String::from_utf8(send("/").await.body.to_vec()).unwrap();
        assert_eq!(page, format!("<link rel=\"stylesheet\" href=\"{url}\">Hello"));
        let file = send(&url).await;
        assert_eq!((file.status.as_u16(), file.cache_control()), (200, YEAR.into()));
        assert_eq!(file.body, content);
    }
    assert_eq!(send("/no/such/path").await.status, 404);
}

#[tokio::test]
async fn axum_alone() {
    let site = site();
    let root = site.path().to_str().unwrap();
    let layer = StaticUrlLayer::new("/static", root).unwrap();
    let app = with_axum::app(&layer, root);
    is_versioned(&layer, root, async |path| ask(app.clone(), get(path)).await).await;
}

#[tokio::test]
async fn hyper_alone() {
    let site = site();
    let root = site.path().to_str().unwrap();
    let layer = StaticUrlLayer::new("/", root).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let server = with_hyper::serve(listener, layer.clone(), root);
    let client = http_client();
    let send = async |path: &str| ask(client.clone(), get(&format!("{origin}{path}"))).await;
    tokio::select! {
        served = server => panic!("{served:?}"),
        () = is_versioned(&layer, root, send) => {}
    }
}
