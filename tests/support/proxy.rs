//! Shared caches as their packages have them, each with a folder and a port of its own.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, Permissions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::demo::terminate;

/// How long a cache may take to start, or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A port that was free may be taken a moment later.
const ATTEMPTS: usize = 5;

/// Says how to start a cache: its folder, its port, and the address behind it.
pub type Recipe = fn(&Path, u16, SocketAddr) -> Command;

/// A running server. It ends with its handle.
pub struct Proxy {
    pub address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Proxy {
    /// `is_ready` tells whether it is this server that listens at an address: something else may
    /// have taken the port.
    pub async fn start(
        recipe: impl Fn(&Path, u16, SocketAddr) -> Command,
        upstream: SocketAddr,
        is_ready: impl AsyncFn(SocketAddr) -> bool,
    ) -> Self {
        for _ in 0..ATTEMPTS {
            let mut proxy = Self::spawn(&recipe, upstream);
            if proxy.is_ready_in_time(&is_ready).await {
                return proxy;
            }
            eprintln!("it does not start: {}", proxy.log());
        }
        panic!("no server after {ATTEMPTS} attempts");
    }

    fn spawn(recipe: impl Fn(&Path, u16, SocketAddr) -> Command, upstream: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Started by root, some go on as another user.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let address = unused_address();
        let mut command = recipe(folder.path(), address.port(), upstream);
        let log = File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.env("PATH", path_with_servers());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{:?}: {error} (tests/e2e/install.sh)", command.get_program())
        });
        Self { address, child, folder }
    }

    async fn is_ready_in_time(&mut self, is_ready: impl AsyncFn(SocketAddr) -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() && Instant::now() < end {
            if is_ready(self.address).await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Some have children of their own, which end where they are asked to.
impl Drop for Proxy {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            terminate(self.child.id());
        }
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// These programs cannot be told to take any port that is free.
pub fn unused_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Debian has its servers where a user's own PATH does not look.
pub fn path_with_servers() -> OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    let servers = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::join_paths(env::split_paths(&own).chain(servers)).unwrap()
}

/// Keeps for ten minutes each file that does not say otherwise, errors too.
pub fn nginx(folder: &Path, port: u16, upstream: SocketAddr) -> Command {
    nginx_with(folder, port, upstream, "proxy_cache_valid any 10m;")
}

/// Keeps every file for a second, whatever it says, and then asks by its validators.
pub fn nginx_for_a_second(folder: &Path, port: u16, upstream: SocketAddr) -> Command {
    let settings = "proxy_ignore_headers Cache-Control Expires; proxy_cache_valid any 1s; \
                    proxy_cache_revalidate on;";
    nginx_with(folder, port, upstream, settings)
}

/// Gives everybody what the first one has got, in whatever coding.
pub fn nginx_without_vary(folder: &Path, port: u16, upstream: SocketAddr) -> Command {
    nginx_with(folder, port, upstream, "proxy_ignore_headers Vary;")
}

/// What only the nginx of this folder answers, at `/is-ready`.
pub fn ready_text(folder: &Path) -> String {
    folder.file_name().unwrap().to_string_lossy().into_owned()
}

/// With a `server` that has this inside, as an administrator would include it.
pub fn nginx_including(folder: &Path, port: u16, inside: &str) -> Command {
    let folder_name = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|it| format!("{it}_temp_path \"{folder_name}/{it}\";"))
        .join(" ");
    let text = ready_text(folder);
    let config = format!(
        "daemon off;
        worker_processes 1;
        pid \"{folder_name}/pid\";
        events {{}}
        http {{
            access_log off;
            include mime.types;
            {temporary}
            server {{
                listen 127.0.0.1:{port};
                location = /is-ready {{ return 200 \"{text}\"; }}
                include inside.conf;
            }}
        }}"
    );
    fs::copy("/etc/nginx/mime.types", folder.join("mime.types")).unwrap();
    fs::write(folder.join("inside.conf"), inside).unwrap();
    let config_file = write_config(folder, config);
    let mut command = Command::new("nginx");
    command.env("PATH", path_with_servers());
    command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(config_file);
    command
}

fn nginx_with(folder: &Path, port: u16, upstream: SocketAddr, settings: &str) -> Command {
    let folder_name = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|it| format!("{it}_temp_path {folder_name}/{it};"))
        .join(" ");
    let config = format!(
        "daemon off;
        worker_processes 1;
        pid {folder_name}/pid;
        events {{}}
        http {{
            access_log off;
            {temporary}
            proxy_cache_path {folder_name}/cache keys_zone=files:10m;
            proxy_cache files;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            server {{
                listen 127.0.0.1:{port};
                location / {{ proxy_pass http://{upstream}; }}
                location /static/ {{ proxy_pass http://{upstream}; {settings} }}
            }}
        }}"
    );
    let config_file = write_config(folder, config);
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(config_file);
    command
}

/// With the VCL that is built in.
pub fn varnish(folder: &Path, port: u16, upstream: SocketAddr) -> Command {
    let mut command = Command::new("varnishd");
    command.args(["-F", "-j", "none", "-s", "malloc,64m", "-n"]).arg(folder.join("work"));
    command.args(["-a", &format!("127.0.0.1:{port}"), "-b", &upstream.to_string()]);
    command
}

/// What clients accept reaches the server as it is.
pub fn varnish_without_gzip(folder: &Path, port: u16, upstream: SocketAddr) -> Command {
    let mut command = varnish(folder, port, upstream);
    command.args(["-p", "http_gzip_support=off"]);
    command
}

pub fn squid(folder: &Path, port: u16, upstream: SocketAddr) -> Command {
    let config = format!(
        "http_port 127.0.0.1:{port} accel defaultsite=localhost no-vhost
        cache_peer {ip} parent {upstream_port} 0 no-query no-digest originserver
        never_direct allow all
        http_access allow all
        negative_ttl 10 minutes
        cache_mem 64 MB
        memory_cache_shared off
        visible_hostname localhost
        access_log none
        cache_log /dev/null
        pid_filename none
        netdb_filename none
        pinger_enable off
        shutdown_lifetime 0 seconds",
        ip = upstream.ip(),
        upstream_port = upstream.port(),
    );
    let mut command = Command::new("squid");
    command.args(["-N", "-d", "1", "-f"]).arg(write_config(folder, config));
    command
}

pub fn haproxy(folder: &Path, port: u16, upstream: SocketAddr) -> Command {
    let config = format!(
        "defaults
            mode http
            timeout connect 30s
            timeout client 60s
            timeout server 60s
        cache files
            total-max-size 64
            max-age 31536000
            process-vary on
        frontend clients
            bind 127.0.0.1:{port}
            default_backend nodes
        backend nodes
            http-request cache-use files
            http-response cache-store files
            server balancer {upstream}"
    );
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(write_config(folder, config));
    command
}

fn write_config(folder: &Path, config: String) -> PathBuf {
    let file = folder.join("config");
    fs::write(&file, config + "\n").unwrap();
    file
}
