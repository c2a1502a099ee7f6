//! Two stores that speak S3, each with a directory and ports of its own.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
};
use serde_json::json;
use tempfile::TempDir;

use super::proxy::unused_address;

pub const BUCKET: &str = "releases";

/// How long a store may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port that was free may be taken a moment later.
const ATTEMPTS: usize = 3;

/// Says how to start a store: in which directory, and at which ports.
type Recipe = fn(&Path, &[SocketAddr]) -> Command;

/// A running store. It ends with its handle.
pub struct Store {
    recipe: Recipe,
    addresses: Vec<SocketAddr>,
    directory: TempDir,
    child: Option<Child>,
}

/// A user of the store.
#[derive(Clone, Copy, Debug)]
pub struct Credentials {
    pub id: &'static str,
    pub secret: &'static str,
}

/// May do everything.
pub const OWNER: Credentials = Credentials { id: "S3RVER", secret: "S3RVER" };

/// May read, and list.
pub const READER: Credentials = Credentials { id: "reader", secret: "reader-secret" };

impl Store {
    /// A server as fleets have it in production.
    pub async fn seaweedfs() -> Self {
        Self::start(seaweedfs, 8).await
    }

    /// Ignores conditions. It has one user.
    pub async fn s3rver() -> Self {
        Self::start(s3rver, 1).await
    }

    async fn start(recipe: Recipe, ports: usize) -> Self {
        for _ in 0..ATTEMPTS {
            let addresses = (0..ports).map(|_| unused_address()).collect();
            let directory = tempfile::tempdir().unwrap();
            let mut store = Self { recipe, addresses, directory, child: None };
            if store.try_start().await {
                return store;
            }
            eprintln!("it does not start: {}", store.log());
        }
        panic!("no store after {ATTEMPTS} attempts (tests/e2e/stores.sh)");
    }

    /// Where it speaks S3.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            self.signal(&child, "CONT");
            self.signal(&child, "KILL");
            let _ = child.wait();
        }
    }

    /// Starts it again after it was killed, at the same address and with what it had.
    pub async fn restart(&mut self) {
        self.kill();
        assert!(self.try_start().await, "{}", self.log());
    }

    /// Starts it again with nothing in it.
    pub async fn wipe(&mut self) {
        self.kill();
        fs::remove_dir_all(self.data()).unwrap();
        self.restart().await;
    }

    /// It keeps its connections, and accepts others, but does not answer.
    pub fn pause(&self) {
        self.signal(self.child.as_ref().unwrap(), "STOP");
    }

    pub fn resume(&self) {
        self.signal(self.child.as_ref().unwrap(), "CONT");
    }

    async fn try_start(&mut self) -> bool {
        fs::create_dir_all(self.data()).unwrap();
        let mut command = (self.recipe)(self.directory.path(), &self.addresses);
        let log = File::create(self.directory.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // What is sent to the test, such as Ctrl-C, is not for it.
        command.process_group(0);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{:?}: {error} (tests/e2e/stores.sh)", command.get_program())
        });
        self.child = Some(child);
        let (client, end) = (client(self.address(), OWNER), Instant::now() + PATIENCE);
        while self.is_running() && Instant::now() < end {
            if client.put(&"is-ready".into(), "yes".into()).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.kill();
        false
    }

    fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// To its group: some have children.
    fn signal(&self, child: &Child, signal: &str) {
        let group = format!("-{}", child.id());
        let _ = Command::new("kill").args(["-s", signal, "--", &group]).status();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.kill();
        // SeaweedFS has sockets here, whatever it is told.
        for address in &self.addresses {
            for part in ["master", "volume", "filer", "s3"] {
                let _ =
                    fs::remove_file(format!("/tmp/seaweedfs-{part}-grpc-{}.sock", address.port()));
            }
        }
    }
}

/// A client that asks once, and does not wait for long.
pub fn client(address: SocketAddr, credentials: Credentials) -> AmazonS3 {
    let options = ClientOptions::new()
        .with_allow_http(true)
        .with_connect_timeout(Duration::from_millis(500))
        .with_timeout(Duration::from_secs(30));
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    AmazonS3Builder::new()
        .with_endpoint(format!("http://{address}"))
        .with_region("us-east-1")
        .with_bucket_name(BUCKET)
        .with_access_key_id(credentials.id)
        .with_secret_access_key(credentials.secret)
        .with_client_options(options)
        .with_retry(retry)
        .build()
        .unwrap()
}

/// The same for the crate.
pub fn shared(address: SocketAddr, credentials: Credentials) -> Arc<dyn ObjectStore> {
    Arc::new(client(address, credentials))
}

/// The variables that lead the command and the demo to a store.
pub fn variables(address: SocketAddr, credentials: Credentials) -> [(String, String); 5] {
    [
        ("AWS_ENDPOINT", format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true".into()),
        ("AWS_REGION", "us-east-1".into()),
        ("AWS_ACCESS_KEY_ID", credentials.id.into()),
        ("AWS_SECRET_ACCESS_KEY", credentials.secret.into()),
    ]
    .map(|(name, value)| (name.into(), value))
}

fn seaweedfs(directory: &Path, addresses: &[SocketAddr]) -> Command {
    let identity = |Credentials { id, secret }, actions: &[&str]| {
        let credentials = json!([{ "accessKey": id, "secretKey": secret }]);
        json!({ "name": id, "credentials": credentials, "actions": actions })
    };
    let identities = [
        identity(OWNER, &["Admin", "Read", "List", "Tagging", "Write"]),
        identity(READER, &["Read", "List"]),
    ];
    let config = directory.join("s3.json");
    fs::write(&config, json!({ "identities": identities }).to_string()).unwrap();

    let mut command = Command::new(installed("seaweedfs/bin/weed"));
    command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
    command.args(["-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=50"]);
    // Else a store that has data waits for its own vote, for a quarter of a minute.
    command.arg("-master.electionTimeout=1s");
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
    command.arg(format!("-dir={}", directory.join("data").display()));
    command.arg(format!("-s3.config={}", config.display()));
    for part in ["filer", "s3"] {
        let socket = directory.join(part).with_extension("sock");
        command.arg(format!("-{part}.localSocket={}", socket.display()));
    }
    let ports = [
        "s3.port",
        "s3.port.grpc",
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
    ];
    for (name, address) in ports.iter().zip(addresses) {
        command.arg(format!("-{name}={}", address.port()));
    }
    command.current_dir(directory);
    command
}

fn s3rver(directory: &Path, addresses: &[SocketAddr]) -> Command {
    let mut command = Command::new("node");
    command.arg(installed("s3rver/node_modules/s3rver/bin/s3rver.js"));
    command.arg("--directory").arg(directory.join("data"));
    command.args(["--address", "127.0.0.1", "--port", &addresses[0].port().to_string()]);
    command.args(["--no-vhost-buckets", "--configure-bucket", BUCKET]);
    command
}

/// Where `tests/e2e/stores.sh` installs to.
fn installed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/stores").join(path)
}
