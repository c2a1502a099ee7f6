//! nginx with the `location` that django-static-url advises.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::Site;
use crate::{Protocol, Result};

/// The release since which `http2` is a directive, and no longer a word behind `listen`.
const HTTP2_DIRECTIVE: [u32; 3] = [1, 25, 1];

const OPEN_FILE_CACHE: &str = "open_file_cache max=1000 inactive=60s;";

/// The files of one nginx.
#[derive(Debug)]
pub(super) struct Nginx {
    folder: TempDir,
}

impl Nginx {
    pub(super) fn new(site: &Site, address: SocketAddr, open_file_cache: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let cache = if open_file_cache { OPEN_FILE_CACHE } else { "" };
        let text = configuration(site, &listen(site.protocol, address)?, cache);
        fs::write(folder.path().join("nginx.conf"), text)?;
        Ok(Self { folder })
    }

    /// nginx takes over the listening sockets that `NGINX` names, as when it is upgraded.
    pub(super) fn command(&self) -> Command {
        let mut command = self.nginx();
        command.env("NGINX", "0;");
        command
    }

    /// Whether it will stop, its workers too.
    pub(super) fn stop(&self) -> bool {
        let status = self.nginx().args(["-s", "stop"]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    fn nginx(&self) -> Command {
        let mut command = program();
        command.arg("-p").arg(self.folder.path()).args(["-e", "start.log", "-c", "nginx.conf"]);
        command
    }
}

/// Debian has it where only root's `PATH` finds it.
fn program() -> Command {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    let mut command = Command::new("nginx");
    command.env("PATH", path);
    command
}

fn listen(protocol: Protocol, address: SocketAddr) -> Result<String> {
    Ok(match protocol {
        Protocol::Http1 => format!("listen {address};"),
        Protocol::Http2 if version()? >= HTTP2_DIRECTIVE => format!("listen {address}; http2 on;"),
        Protocol::Http2 => format!("listen {address} http2;"),
    })
}

fn version() -> Result<[u32; 3]> {
    let output = program().arg("-v").output().map_err(|error| format!("nginx -v: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    parse_version(&text).ok_or_else(|| format!("nginx -v says {text:?}").into())
}

fn parse_version(text: &str) -> Option<[u32; 3]> {
    let (_, version) = text.trim().split_once("nginx/")?;
    let numbers = version.split(' ').next()?.split('.').map(|number| number.parse().ok());
    numbers.collect::<Option<Vec<u32>>>()?.try_into().ok()
}

fn configuration(site: &Site, listen: &str, cache: &str) -> String {
    let (workers, user) = (site.workers, user());
    let files = site.files();
    let files = files.display();
    format!(
        r#"daemon off;
{user}
worker_processes {workers};
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    types {{ text/plain txt; text/css css; }}
    default_type application/octet-stream;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    {cache}
    server {{
        {listen}
        location ~ ^/static/([a-f0-9-]+/)?(.*)$ {{ expires 7d; alias {files}/$2; }}
    }}
}}
"#
    )
}

/// Workers of a master that is root would be somebody who may not read our files.
fn user() -> &'static str {
    let root = Path::new("/proc/self").metadata().is_ok_and(|process| process.uid() == 0);
    if root { "user root;" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, expected) in [
            ("nginx version: nginx/1.22.1\n", Some([1, 22, 1])),
            ("nginx version: nginx/1.26.3 (Ubuntu)\n", Some([1, 26, 3])),
            ("nginx: command not found", None),
            ("nginx version: nginx/1.x", None),
        ] {
            assert_eq!(parse_version(text), expected, "{text:?}");
        }
        assert!([1, 22, 1] < HTTP2_DIRECTIVE && HTTP2_DIRECTIVE < [1, 26, 0]);
    }
}
