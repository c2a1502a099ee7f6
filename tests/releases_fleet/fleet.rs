//! Three nodes that share no disk, behind three proxies: every URL that a page has ever linked to
//! gives its own bytes, from every node and at every moment, while releases come and go.

pub(crate) mod balancer;
pub(crate) mod crawler;
pub(crate) mod edition;
pub(crate) mod node;

use std::collections::HashSet;

use self::{balancer::Balancer, crawler::Crawler, edition::Edition, node::Node};
use crate::support::{
    counter::Counter,
    proxy::{self, Proxy, Recipe},
    store::{Credentials, OWNER, READER, Store},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Varnish, Squid and SeaweedFS: tests/e2e/install.sh"]
async fn a_fleet_with_seaweedfs() {
    Fleet::start(Store::seaweedfs().await, READER).await.deploy_and_roll_back().await;
}

/// It ignores conditions. It also has no users who may only read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Varnish, Squid and s3rver: tests/e2e/install.sh"]
async fn a_fleet_with_s3rver() {
    Fleet::start(Store::s3rver().await, OWNER).await.deploy_and_roll_back().await;
}

const NODES: usize = 3;

struct Fleet {
    crawler: Crawler,
    nodes: Vec<Node>,
    balancer: Balancer,
    counter: Counter,
    credentials: Credentials,
    editions: Vec<Edition>,
    _proxies: Vec<Proxy>,
    store: Store,
}

impl Fleet {
    async fn start(store: Store, credentials: Credentials) -> Self {
        let editions = (1..=4).map(Edition::new).collect::<Vec<_>>();
        let counter = Counter::start(store.address()).await;
        editions[0].publish(&store).await;
        let node = || Node::start(&editions[0], counter.address, credentials);
        let nodes = (0..NODES).map(|_| node()).collect::<Vec<_>>();
        let balancer = Balancer::start(nodes.iter().map(Node::address).collect()).await;
        let mut proxies = Vec::new();
        for recipe in [proxy::nginx, proxy::varnish, proxy::squid] as [Recipe; 3] {
            let proxy = Proxy::start(recipe, balancer.address, async |proxy| {
                balancer.is_behind(proxy).await
            });
            proxies.push(proxy.await);
        }
        let addresses = proxies.iter().map(|proxy| proxy.address).collect();
        let crawler = Crawler::start(addresses, NODES, &editions[0]);
        let _proxies = proxies;
        Self { crawler, nodes, balancer, counter, credentials, editions, _proxies, store }
    }

    async fn deploy_and_roll_back(mut self) {
        self.crawler.crawl().await;
        // A rolling deploy, a rollback that rolls as well, and another deploy.
        for edition in [1, 0, 2] {
            self.publish(edition).await;
            for node in 0..NODES {
                self.replace(node, edition);
                self.crawler.crawl().await;
            }
        }
        // Blue and green: all at once, by nodes that have nothing on their disks.
        self.publish(3).await;
        let green = || Node::start(&self.editions[3], self.counter.address, self.credentials);
        let green = (0..NODES).map(|_| green()).collect::<Vec<_>>();
        self.balancer.forward_to(green.iter().map(Node::address).collect());
        let blue = std::mem::replace(&mut self.nodes, green);
        self.crawler.crawl().await;
        blue.into_iter().for_each(Node::end);
        self.crawler.crawl().await;
        self.crawler.assert_that_all_was_right().await;
        self.assert_that_each_blob_came_once();
        self.assert_that_nodes_only_read();
    }

    /// Publishes as a CI job would. From two seconds after that, every node must know the
    /// release.
    async fn publish(&self, edition: usize) {
        let edition = &self.editions[edition];
        edition.publish(&self.store).await;
        tokio::time::sleep(node::LOOKS_EVERY).await;
        self.crawler.add(edition);
    }

    /// The next node is up before the last one ends, and takes over what is on its disk.
    fn replace(&mut self, index: usize, edition: usize) {
        let next = self.nodes[index].next(&self.editions[edition]);
        let last = std::mem::replace(&mut self.nodes[index], next);
        self.balancer.forward_to(self.nodes.iter().map(Node::address).collect());
        last.end();
    }

    /// Each node, of which there were six in all with a disk of their own, has fetched a content
    /// at most once.
    fn assert_that_each_blob_came_once(&self) {
        let calls = self.counter.take();
        let blobs =
            calls.iter().filter(|call| call.method == "GET" && call.key.contains("/blobs/"));
        let blobs = blobs.map(|call| &*call.key).collect::<Vec<_>>();
        let distinct = blobs.iter().collect::<HashSet<_>>().len();
        assert!(distinct > 0 && blobs.len() <= distinct * 2 * NODES, "{distinct}: {blobs:?}");
    }

    fn assert_that_nodes_only_read(&self) {
        let calls = self.counter.take();
        let writes = calls.iter().filter(|call| !["GET", "LIST", "HEAD"].contains(&&*call.method));
        assert_eq!(writes.count(), 0, "{calls:?}");
    }
}
