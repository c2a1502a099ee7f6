//! The servers that are compared.

mod embedded;
mod floor;
mod layers;
mod listen;
mod nginx;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tower_static_url::StaticPrefix;

use self::nginx::Nginx;
use crate::{Protocol, Result, fixture::MOUNT};

/// All of them, in the order of the tables. The first is what the others are compared with.
pub(crate) const ALL: &[Server] = &[
    Server { name: "hyper", urls: Urls::Versioned, kind: Kind::Rust(floor::run) },
    Server { name: "servedir", urls: Urls::Plain, kind: Kind::Rust(layers::servedir) },
    Server { name: "stack", urls: Urls::Plain, kind: Kind::Rust(layers::stack) },
    Server { name: "naive", urls: Urls::Versioned, kind: Kind::Rust(layers::naive) },
    Server {
        name: "ours",
        urls: Urls::Versioned,
        kind: Kind::Rust(|site| layers::ours(site, |builder| builder)),
    },
    Server { name: "ours-disk", urls: Urls::Versioned, kind: Kind::Rust(layers::ours_disk) },
    Server {
        name: "ours-memory",
        urls: Urls::Versioned,
        kind: Kind::Rust(|site| {
            layers::ours(site, |builder| builder.memory_budget(64 * 1024 * 1024))
        }),
    },
    Server { name: "memory-serve", urls: Urls::Hashed, kind: Kind::Rust(embedded::memory_serve) },
    Server { name: "static-serve", urls: Urls::Plain, kind: Kind::Rust(embedded::static_serve) },
    Server { name: "nginx", urls: Urls::Versioned, kind: Kind::Nginx { open_file_cache: false } },
    Server {
        name: "nginx-ofc",
        urls: Urls::Versioned,
        kind: Kind::Nginx { open_file_cache: true },
    },
];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    urls: Urls,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// This program once more, which then calls the function.
    Rust(fn(&Site) -> Result<()>),
    Nginx {
        open_file_cache: bool,
    },
}

/// Where a server has the files.
#[derive(Clone, Copy, Debug)]
enum Urls {
    /// `/static/1k.txt`
    Plain,
    /// `/static/3f9c2a7be01d4c55/1k.txt`
    Versioned,
    /// `/static/1k.3f9c2a7be01d4c55.txt`
    Hashed,
}

/// What is served, and how.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Has the folder [`MOUNT`].
    pub(crate) root: PathBuf,
    pub(crate) workers: usize,
    pub(crate) protocol: Protocol,
}

impl Site {
    fn files(&self) -> PathBuf {
        self.root.join(MOUNT)
    }
}

pub(crate) fn named(name: &str) -> Result<Server> {
    let server = ALL.iter().find(|server| server.name == name).copied();
    let names = || ALL.iter().map(|server| server.name).collect::<Vec<_>>().join(", ");
    server.ok_or_else(|| format!("no server {name:?}; there are {}", names()).into())
}

impl Server {
    /// The path of a URL of this file.
    pub(crate) fn path(&self, file: &str, prefix: &StaticPrefix) -> Result<String> {
        match self.urls {
            Urls::Plain => Ok(format!("/{MOUNT}/{file}")),
            Urls::Versioned => Ok(prefix.url(file)),
            Urls::Hashed => embedded::hashed_path(file),
        }
    }

    /// The process of [`Process::start`].
    pub(crate) fn run(&self, site: &Site) -> Result<()> {
        match self.kind {
            Kind::Rust(run) => run(site),
            Kind::Nginx { .. } => Err(format!("{} is a program of its own", self.name).into()),
        }
    }
}

/// A server that runs, until this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    nginx: Option<Nginx>,
}

impl Process {
    /// Connections can be made at once: the server gets a socket that listens already, on
    /// a port of the system's choice, as its standard input.
    pub(crate) fn start(server: Server, site: &Site) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (mut command, nginx) = match server.kind {
            Kind::Rust(_) => (serve_command(server, site)?, None),
            Kind::Nginx { open_file_cache } => {
                let nginx = Nginx::new(site, address, open_file_cache)?;
                (nginx.command(), Some(nginx))
            }
        };
        let child = command.stdin(Stdio::from(OwnedFd::from(listener))).spawn();
        let child = child.map_err(|error| format!("cannot start {}: {error}", server.name))?;
        Ok(Self { child, address, nginx })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    /// nginx must be asked to stop: its workers would outlive a master that is killed.
    fn drop(&mut self) {
        let asked = self.nginx.as_ref().is_some_and(Nginx::stop);
        if !asked {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn serve_command(server: Server, site: &Site) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", server.name, &site.workers.to_string()]).arg(&site.root);
    Ok(command)
}

/// The version under which the files have their URLs.
pub(crate) fn prefix(root: &Path) -> Result<StaticPrefix> {
    let layer = tower_static_url::StaticUrlLayer::new(&format!("/{MOUNT}"), root.join(MOUNT))?;
    Ok(layer.prefix())
}
