//! The processes of the compose file: each with the command line and the environment that the file
//! gives it, and on one machine.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use http::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use super::{build::Build, dockerfile, installed, kit, read, replaced, run};
use crate::{
    fleet::node::LOOKS_EVERY,
    support::{
        self,
        demo::{Demo, example_binary, http_client, terminate},
        proxy::{Proxy, unused_address},
    },
};

const NODES: [&str; 2] = ["app1", "app2"];

#[tokio::test]
#[ignore = "needs nginx, SeaweedFS, node and the schema: tests/e2e/install.sh"]
async fn a_deploy_rolls_over_the_services() {
    let stage = Stage::start(Build::first()).await;
    let Stage { first, next, .. } = &stage;
    stage.publish(first);
    let mut one = stage.start_node("app1", first);
    let two = stage.start_node("app2", first);
    let nginx = stage.start_nginx().await;
    let front = nginx.address;
    first.assert_is_current(front);
    let everywhere = [one.address, two.address, front];
    everywhere.iter().for_each(|address| first.assert_is_served(*address));

    stage.publish(next);
    tokio::time::sleep(LOOKS_EVERY).await;
    one = stage.replace(one, "app1", next);
    next.assert_is_current(one.address);
    first.assert_is_current(two.address);
    let both_are_served = || {
        for build in [first, next] {
            everywhere.iter().for_each(|address| build.assert_is_served(*address));
        }
    };
    both_are_served();

    let two = stage.replace(two, "app2", next);
    for address in [one.address, two.address, front] {
        next.assert_is_current(address);
    }
    both_are_served();
}

#[test]
#[ignore = "needs node and the schema: tests/e2e/install.sh"]
fn what_the_file_names_is_there() {
    let compose = compose();
    let build = &compose["services"]["publish"]["build"];
    let context = kit(build["context"].as_str().unwrap());
    assert!(context.join(build["dockerfile"].as_str().unwrap()).exists(), "{build}");

    for (name, service) in compose["services"].as_object().unwrap() {
        for volume in strings(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            let is_there = match source.strip_prefix("./") {
                Some(file) => kit(file).exists(),
                None => compose["volumes"].get(source).is_some(),
            };
            assert!(is_there, "{name}: {volume}");
        }
        for dependency in service["depends_on"].as_object().into_iter().flatten() {
            assert!(compose["services"].get(dependency.0).is_some(), "{name}: {dependency:?}");
        }
    }
}

/// nginx knows the addresses that the nodes have.
#[test]
#[ignore = "needs node and the schema: tests/e2e/install.sh"]
fn the_addresses_agree() {
    let (compose, config) = (compose(), read("nginx.conf"));
    let services = &compose["services"];
    let hosts = strings(&services["nginx"]["extra_hosts"]);
    for name in NODES {
        let address = services[name]["networks"]["default"]["ipv4_address"].as_str().unwrap();
        assert!(hosts.contains(&format!("{name}={address}")), "{name}: {address}");
        assert!(config.contains(&format!("server {name}:3000 ")), "{config}");
    }
    let [port] = &strings(&services["nginx"]["ports"])[..] else { panic!("{services}") };
    let inside = port.rsplit(':').next().unwrap();
    assert!(config.contains(&format!("listen {inside};")), "{config}");
}

/// The services, with what stands for their images and volumes.
struct Stage {
    compose: Value,
    first: Build,
    next: Build,
    folder: TempDir,
    store: Proxy,
    nodes: [SocketAddr; 2],
}

impl Stage {
    async fn start(first: Build) -> Self {
        let compose = compose();
        let store = start_store(&compose).await;
        let nodes = [(); 2].map(|()| unused_address());
        let folder = tempfile::tempdir().unwrap();
        Self { compose, first, next: Build::next(), folder, store, nodes }
    }

    fn publish(&self, build: &Build) {
        run(&mut self.command("publish", build, &[]));
    }

    fn start_node(&self, name: &str, build: &Build) -> Demo {
        let address = self.nodes[NODES.iter().position(|node| *node == name).unwrap()];
        let places = [("0.0.0.0:3000", address.to_string())];
        let node = Demo::run(self.command(name, build, &places));
        let health = dockerfile::command_of("HEALTHCHECK");
        assert_eq!(health[0], "deploy");
        let places = [("127.0.0.1:3000", address.to_string())];
        let arguments = health[1..].iter().map(|argument| replaced(argument, &places));
        run(Command::new(example_binary("deploy")).args(arguments));
        node
    }

    /// As Docker stops a container, and starts another one with the same address and volume.
    fn replace(&self, mut node: Demo, name: &str, build: &Build) -> Demo {
        terminate(node.process.child.id());
        assert!(node.process.child.wait().unwrap().success());
        self.start_node(name, build)
    }

    /// Returns what Docker runs for a service.
    fn command(&self, name: &str, build: &Build, places: &[(&str, String)]) -> Command {
        let service = &self.compose["services"][name];
        let entrypoint = match service["entrypoint"].as_array() {
            Some(_) => strings(&service["entrypoint"]),
            None => dockerfile::command_of("ENTRYPOINT"),
        };
        let program = match &*entrypoint[0] {
            "deploy" => example_binary("deploy"),
            "static-url" => env!("CARGO_BIN_EXE_static-url").into(),
            other => panic!("the image has no {other}"),
        };
        let mut places = places.to_owned();
        places.extend([
            ("/srv/dist", build.root().display().to_string()),
            ("/var/lib/site", self.folder.path().join(name).display().to_string()),
            ("http://store:8333", format!("http://{}", self.store.address)),
        ]);
        let mut command = Command::new(program);
        for argument in entrypoint[1..].iter().chain(&strings(&service["command"])) {
            command.arg(replaced(argument, &places));
        }
        for (name, value) in service["environment"].as_object().unwrap() {
            command.env(name, replaced(value.as_str().unwrap(), &places));
        }
        command.env_remove("STATIC_URL_SALT");
        fs::create_dir_all(self.folder.path().join(name)).unwrap();
        command
    }

    async fn start_nginx(&self) -> Proxy {
        let [one, two] = self.nodes.map(|node| node.to_string());
        let recipe = |folder: &Path, port: u16, _| {
            let name = folder.display();
            let places = [
                ("app1:3000", one.clone()),
                ("app2:3000", two.clone()),
                ("listen 8080", format!("listen 127.0.0.1:{port}")),
                ("/dev/stdout", format!("{name}/access.log")),
            ];
            let site = folder.join("site.conf");
            fs::write(&site, replaced(&read("nginx.conf"), &places)).unwrap();
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|it| format!("{it}_temp_path {name}/{it};"))
                .join(" ");
            let config = format!(
                "daemon off; pid {name}/pid; events {{}} http {{ {temporary} include {}; }}\n",
                site.display()
            );
            fs::write(folder.join("nginx.conf"), config).unwrap();
            let mut command = Command::new("nginx");
            command
                .args(["-e", "stderr", "-p"])
                .arg(folder)
                .arg("-c")
                .arg(folder.join("nginx.conf"));
            command
        };
        Proxy::start(recipe, self.nodes[0], async |nginx| {
            is_well(&format!("http://{nginx}/healthz")).await
        })
        .await
    }
}

/// For SeaweedFS itself, beside the one where it speaks S3.
const PORTS_OF_THE_STORE: [&str; 7] = [
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port.grpc",
    "admin.port",
];

async fn start_store(compose: &Value) -> Proxy {
    let service = &compose["services"]["store"];
    assert_eq!(strings(&service["entrypoint"]), ["weed"]);
    let arguments = strings(&service["command"]);
    let filer = unused_address();
    let recipe = |folder: &Path, port: u16, _| {
        let data = folder.join("data");
        fs::create_dir_all(&data).unwrap();
        let places = [
            ("-ip=store", "-ip=127.0.0.1".into()),
            ("0.0.0.0", "127.0.0.1".into()),
            ("/data", data.display().to_string()),
            ("/etc/seaweedfs/s3.json", kit("s3.json").display().to_string()),
        ];
        let mut command = Command::new(weed());
        command.args(arguments.iter().map(|argument| replaced(argument, &places)));
        command.arg(format!("-s3.port={port}")).args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
        command.arg(format!("-filer.port={}", filer.port()));
        command.arg(format!("-s3.localSocket={}", folder.join("s3.sock").display()));
        for part in PORTS_OF_THE_STORE {
            command.arg(format!("-{part}={}", unused_address().port()));
        }
        command.current_dir(folder);
        command
    };
    let health = strings(&service["healthcheck"]["test"]);
    let urls = health.iter().filter(|word| word.starts_with("http:")).collect::<Vec<_>>();
    assert_eq!(urls.len(), 2);
    let is_ready = async |store: SocketAddr| {
        let ports = [("127.0.0.1:8333", store.to_string()), ("127.0.0.1:8888", filer.to_string())];
        is_well(&replaced(urls[0], &ports)).await && is_well(&replaced(urls[1], &ports)).await
    };
    Proxy::start(recipe, unused_address(), is_ready).await
}

fn weed() -> PathBuf {
    installed("../stores/seaweedfs/bin/weed")
}

async fn is_well(url: &str) -> bool {
    let (client, request) = (http_client(), support::get(url));
    let answered = tokio::time::timeout(Duration::from_secs(3), client.request(request)).await;
    answered.is_ok_and(|response| response.is_ok_and(|it| it.status() == StatusCode::OK))
}

/// Returns the file as the schema permits it.
fn compose() -> Value {
    let script = installed("npm/compose.mjs");
    let json = run(Command::new("node").arg(script).arg(kit("compose.yaml")));
    serde_json::from_str(&json).unwrap()
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|item| item.as_str().unwrap().to_owned()).collect()
}
