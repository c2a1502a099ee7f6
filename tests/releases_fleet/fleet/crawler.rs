//! Visitors with pages of every release, who ask every node through every proxy, all the time.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use axum::{body::Body, http::Request};
use tokio::task::JoinHandle;

use super::{balancer::NODE, edition::Edition};
use crate::support::{
    Answer, YEAR, ask,
    demo::{HttpClient, http_client},
};

/// For one that hangs, not for one that is slow.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Crawler {
    state: Arc<State>,
    visitors: Vec<JoinHandle<()>>,
}

struct State {
    proxies: Vec<SocketAddr>,
    nodes: usize,
    client: HttpClient,
    urls: Mutex<Vec<(String, Vec<u8>)>>,
    /// How many requests were answered.
    count: AtomicUsize,
    /// What was wrong, and how often.
    wrong: Mutex<BTreeMap<String, usize>>,
    is_over: AtomicBool,
}

impl Crawler {
    /// One visitor for each proxy.
    pub(crate) fn start(proxies: Vec<SocketAddr>, nodes: usize, edition: &Edition) -> Self {
        let state = Arc::new(State {
            proxies,
            nodes,
            client: http_client(),
            urls: Mutex::new(edition.urls.clone()),
            count: AtomicUsize::new(0),
            wrong: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let visitors = 0..state.proxies.len();
        let visitors = visitors.map(|proxy| tokio::spawn(visit(Arc::clone(&state), proxy)));
        Self { visitors: visitors.collect(), state }
    }

    /// From now on there are pages of this release, too.
    pub(crate) fn add(&self, edition: &Edition) {
        let mut urls = self.state.urls.lock().unwrap();
        let new = edition.urls.iter().filter(|url| !urls.contains(url)).cloned();
        let new = new.collect::<Vec<_>>();
        urls.extend(new);
    }

    /// Waits until about every URL was asked for, from every node and through every proxy.
    pub(crate) async fn crawl(&self) {
        let urls = self.state.urls.lock().unwrap().len();
        let goal = self.state.count.load(SeqCst) + urls * self.state.nodes * 2 * 3;
        let end = Instant::now() + PATIENCE;
        while self.state.count.load(SeqCst) < goal {
            assert!(Instant::now() < end, "the visitors get no answers");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn assert_that_all_was_right(&mut self) {
        self.state.is_over.store(true, SeqCst);
        for visitor in self.visitors.drain(..) {
            visitor.await.unwrap();
        }
        let wrong = self.state.wrong.lock().unwrap();
        let count = self.state.count.load(SeqCst);
        assert!(wrong.is_empty(), "of {count}: {wrong:#?}");
    }
}

/// Asks for each URL in turn: once for what the cache may have, and once past it.
async fn visit(state: Arc<State>, proxy: usize) {
    let address = state.proxies[proxy];
    let mut turn = proxy;
    while !state.is_over.load(SeqCst) {
        turn += 1;
        let (url, bytes) = {
            let urls = state.urls.lock().unwrap();
            urls[turn / state.nodes % urls.len()].clone()
        };
        let node = turn % state.nodes;
        for query in ["", &format!("?past-the-cache={proxy}-{turn}")] {
            let request = Request::get(format!("http://{address}{url}{query}"));
            let request = request.header(NODE, node).body(Body::empty()).unwrap();
            let answer = ask(state.client.clone(), request).await;
            state.note(&url, node, &answer, &bytes);
        }
    }
}

impl State {
    fn note(&self, url: &str, node: usize, answer: &Answer, bytes: &[u8]) {
        self.count.fetch_add(1, SeqCst);
        let has_own_bytes = answer.body == bytes;
        if answer.status == 200 && has_own_bytes && answer.cache_control() == YEAR {
            return;
        }
        let (status, field) = (answer.status, answer.cache_control());
        let what = format!("{url} from {node}: {status}, {field:?}, its own: {has_own_bytes}");
        *self.wrong.lock().unwrap().entry(what).or_default() += 1;
    }
}
