//! Which options does the command line have?

use std::{ffi::OsString, path::PathBuf};

use tower_static_url::Fingerprinted;

pub(crate) const USAGE: &str = "\
Serves a directory of static files below a versioned prefix, and shows at / what
a browser takes from its cache.

Usage: serve_dir [--root DIR]... [--listen ADDR:PORT] [--watch | --no-watch | --poll]
                 [--memory MIB] [--unlisted-404] [--fingerprinted RULE]
                 [--remember FILE] [--releases DIR|URL]... [--publish] [--deltas]

Options:
  --root DIR           the directory to serve; if given again, a directory for the files
                       that those before do not have
                       [default: the small site in examples/site]
  --listen ADDR:PORT   where to listen; port 0 takes a free one [default: 127.0.0.1:3000]
  --watch, --no-watch  whether to watch the files: when one changes, the server has a
                       new version, and open pages show it
                       [default: --watch in a debug build, else --no-watch]
  --poll               watch by scanning the files every second, where the system sends no
                       events: Docker Desktop, WSL, network file systems
  --memory MIB         how much memory to use for files, so that the disk need not be
                       read again [default: 64; 0: all files come from the disk]
  --unlisted-404       answer 404 for what is not among the files, without looking
  --fingerprinted RULE the names of some files change with their content, so they are
                       cached for a year without a version; RULE is the tool that names
                       them: vite, webpack, esbuild, parcel, trunk or next
  --remember FILE      keep the digests of the files there, so that the next start reads
                       only what has changed
  --releases DIR       also answer for the versions that are kept there, so that pages from
                       before a restart still find their files; created if it is missing
  --releases URL       also answer for the versions that a store keeps, such as
                       s3://bucket/prefix, for all servers that use it; credentials and
                       AWS_ENDPOINT come from the environment; with a DIR as well, files
                       stay there over a restart, else they lie in a temporary directory
  --publish            keep the version with which the server starts there, too
  --deltas             send a browser that has a kept version of a file only what has
                       changed since
  -h, --help           print this help";

const MEBIBYTE: u64 = 1024 * 1024;

#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Serve(Args),
}

#[derive(Debug)]
pub(crate) struct Args {
    /// At least one.
    pub(crate) roots: Vec<PathBuf>,
    /// Not a `SocketAddr`, so that `localhost:3000` is an address too.
    pub(crate) listen: String,
    pub(crate) watch: bool,
    /// To watch without events.
    pub(crate) poll: bool,
    /// The budget in bytes.
    pub(crate) memory: u64,
    pub(crate) unlisted_404: bool,
    pub(crate) fingerprinted: Option<Fingerprinted>,
    pub(crate) remember: Option<PathBuf>,
    pub(crate) releases: Option<PathBuf>,
    /// The URL of a store.
    pub(crate) store: Option<String>,
    /// Only with one of them.
    pub(crate) publish: bool,
    /// Only with one of them.
    pub(crate) deltas: bool,
}

/// Parses the arguments after the program's name.
///
/// # Errors
///
/// One line that names what is wrong.
pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut parsed = Args {
        roots: Vec::new(),
        listen: "127.0.0.1:3000".into(),
        watch: cfg!(debug_assertions),
        poll: false,
        memory: 64 * MEBIBYTE,
        unlisted_404: false,
        fingerprinted: None,
        remember: None,
        releases: None,
        store: None,
        publish: false,
        deltas: false,
    };
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--root") => parsed.roots.push(value("--root DIR", args.next())?.into()),
            Some("--listen") => parsed.listen = address(value("--listen ADDR:PORT", args.next())?)?,
            Some("--watch") => (parsed.watch, parsed.poll) = (true, false),
            Some("--no-watch") => (parsed.watch, parsed.poll) = (false, false),
            Some("--poll") => (parsed.watch, parsed.poll) = (true, true),
            Some("--memory") => parsed.memory = mebibytes(value("--memory MIB", args.next())?)?,
            Some("--unlisted-404") => parsed.unlisted_404 = true,
            Some("--fingerprinted") => {
                parsed.fingerprinted = Some(rule(value("--fingerprinted RULE", args.next())?)?);
            }
            Some("--remember") => {
                parsed.remember = Some(value("--remember FILE", args.next())?.into());
            }
            Some("--releases") => {
                let value = value("--releases DIR|URL", args.next())?;
                match value.to_str().filter(|value| value.contains("://")) {
                    Some(url) => parsed.store = Some(url.into()),
                    None => parsed.releases = Some(value.into()),
                }
            }
            Some("--publish") => parsed.publish = true,
            Some("--deltas") => parsed.deltas = true,
            Some("-h" | "--help") => return Ok(Command::Help),
            _ => return Err(format!("unknown argument {arg:?}; --help lists them all")),
        }
    }
    if parsed.releases.is_none() && parsed.store.is_none() {
        for (option, is_given) in [("--publish", parsed.publish), ("--deltas", parsed.deltas)] {
            if is_given {
                return Err(format!("{option} needs a directory or a store: --releases DIR|URL"));
            }
        }
    }
    if parsed.roots.is_empty() {
        parsed.roots.push(crate::BUNDLED_SITE.into());
    }
    Ok(Command::Serve(parsed))
}

/// Takes the value of an option. An argument that starts with `--` is the next option, not a
/// value: write `./--root` for a directory of that name.
fn value(option: &str, value: Option<OsString>) -> Result<OsString, String> {
    let given = |value: &OsString| !value.is_empty() && !value.to_string_lossy().starts_with("--");
    value.filter(given).ok_or_else(|| format!("missing value: {option}"))
}

fn address(value: OsString) -> Result<String, String> {
    let is_address = |value: &&str| {
        value
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    let address = value.to_str().filter(is_address).map(String::from);
    address.ok_or_else(|| format!("{value:?} is not an address: --listen ADDR:PORT"))
}

fn rule(value: OsString) -> Result<Fingerprinted, String> {
    value.to_string_lossy().parse().map_err(|error: tower_static_url::Error| error.to_string())
}

fn mebibytes(value: OsString) -> Result<u64, String> {
    let number = value.to_str().and_then(|value| value.parse::<u64>().ok());
    let bytes = number.and_then(|number| number.checked_mul(MEBIBYTE));
    bytes.ok_or_else(|| format!("{value:?} is not a number of mebibytes: --memory MIB"))
}
