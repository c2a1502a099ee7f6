//! A running server, with the requests that it has shown to answer as it should.

use tower_static_url::StaticPrefix;

use crate::{
    Protocol, Result, client,
    fixture::{self, HELLO, LARGE, MEBIBYTE, SMALL, TWENTY},
    load::{self, Load, Settings},
    processes,
    servers::{Process, Server, Site},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Small,
    Large,
    /// The small file, which the client has already.
    NotModified,
    Hello,
    Mebibyte,
    Twenty,
}

impl Scenario {
    pub(crate) const ALL: [Self; 6] =
        [Self::Small, Self::Large, Self::NotModified, Self::Hello, Self::Mebibyte, Self::Twenty];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "1 KiB",
            Self::Large => "100 KiB",
            Self::NotModified => "304",
            Self::Hello => "5 B",
            Self::Mebibyte => "1 MiB",
            Self::Twenty => "20 MiB",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Small | Self::NotModified => SMALL,
            Self::Large => LARGE,
            Self::Hello => HELLO,
            Self::Mebibyte => MEBIBYTE,
            Self::Twenty => TWENTY,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Entrant {
    pub(crate) name: String,
    process: Process,
    protocol: Protocol,
    connections: usize,
    targets: [Target; Scenario::ALL.len()],
}

#[derive(Debug)]
struct Target {
    path: String,
    etag: Option<String>,
}

/// One turn under load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// CPU time of the server for a request, in microseconds.
    pub(crate) micros: f64,
    pub(crate) per_second: f64,
}

impl Entrant {
    /// Starts the server and asks for everything once.
    ///
    /// # Errors
    ///
    /// If an answer is another than it should be: nobody is measured while failing.
    pub(crate) async fn start(
        server: Server,
        site: &Site,
        prefix: &StaticPrefix,
        connections: usize,
    ) -> Result<Self> {
        let process = Process::start(server, site)?;
        let mut targets = Vec::new();
        for scenario in Scenario::ALL {
            let path = server.path(scenario.file(), prefix)?;
            let target = checked(scenario, path, &process, site.protocol).await;
            let problem = |problem| format!("{}, {}: {problem}", server.name, scenario.name());
            targets.push(target.map_err(problem)?);
        }
        let targets = targets.try_into().map_err(|_| "a target is missing")?;
        let (name, protocol) = (server.name.to_owned(), site.protocol);
        Ok(Self { name, process, protocol, connections, targets })
    }

    pub(crate) fn renamed(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    pub(crate) async fn measure(&self, scenario: Scenario, seconds: u32) -> Result<Sample> {
        let target = &self.targets[scenario as usize];
        let url = format!("http://{}{}", self.process.address, target.path);
        let settings = Settings { connections: self.connections, seconds };
        let workers = processes::workers(self.process.id())?;
        let before = processes::cpu_time(&workers)?;
        let Load { requests, per_second } =
            load::run(self.protocol, &url, target.etag.as_deref(), settings).await?;
        let spent = processes::cpu_time(&workers)?.saturating_sub(before);
        Ok(Sample { micros: spent.as_secs_f64() * 1e6 / requests, per_second })
    }

    pub(crate) fn resident(&self) -> Result<u64> {
        processes::resident(&processes::workers(self.process.id())?)
    }
}

async fn checked(
    scenario: Scenario,
    path: String,
    process: &Process,
    protocol: Protocol,
) -> Result<Target> {
    let whole = client::get(protocol, process.address, &path, None).await?;
    expect(whole.status, 200, &path)?;
    if whole.body != fixture::content(scenario.file()) {
        return Err(format!("{path}: {} other bytes", whole.body.len()).into());
    }
    if scenario != Scenario::NotModified {
        return Ok(Target { path, etag: None });
    }
    let etag = whole.etag().ok_or_else(|| format!("{path}: no ETag"))?;
    let answer = client::get(protocol, process.address, &path, Some(etag)).await?;
    expect(answer.status, 304, &path)?;
    Ok(Target { path, etag: Some(etag.to_owned()) })
}

fn expect(status: u16, expected: u16, path: &str) -> Result<()> {
    let problem = || format!("{path}: {status} instead of {expected}").into();
    if status == expected { Ok(()) } else { Err(problem()) }
}
