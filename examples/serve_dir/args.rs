//! The command line.

use std::{ffi::OsString, path::PathBuf};

pub(crate) const USAGE: &str = "\
Serves a folder of static files below a versioned prefix, and shows at / what a
browser takes from its cache.

Usage: serve_dir [--root DIR] [--listen ADDR:PORT] [--watch | --no-watch]
                 [--memory MIB]

Options:
  --root DIR           the folder to serve [default: the small site in examples/site]
  --listen ADDR:PORT   where to listen; port 0 takes a free one [default: 127.0.0.1:3000]
  --watch, --no-watch  whether to follow the files while they change: a new version for
                       the server, and for the pages that are open
                       [default: --watch in a debug build, else --no-watch]
  --memory MIB         answer from so much memory for the files that are asked for again
                       [default: 0, all come from the disk]
  -h, --help           print this help";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Serve(Args),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) root: PathBuf,
    /// Not a `SocketAddr`, so that `localhost:3000` is an address too.
    pub(crate) listen: String,
    pub(crate) watch: bool,
    /// In bytes.
    pub(crate) memory: u64,
}

/// # Errors
///
/// One line that names what is wrong.
pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut parsed = Args {
        root: crate::BUNDLED_SITE.into(),
        listen: "127.0.0.1:3000".into(),
        watch: cfg!(debug_assertions),
        memory: 0,
    };
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--root") => parsed.root = value("--root DIR", args.next())?.into(),
            Some("--listen") => parsed.listen = address(value("--listen ADDR:PORT", args.next())?)?,
            Some("--watch") => parsed.watch = true,
            Some("--no-watch") => parsed.watch = false,
            Some("--memory") => parsed.memory = mebibytes(value("--memory MIB", args.next())?)?,
            Some("-h" | "--help") => return Ok(Command::Help),
            _ => return Err(format!("unknown argument {arg:?}; --help lists them all")),
        }
    }
    Ok(Command::Serve(parsed))
}

/// What looks like the next option is no value: a folder of such a name can be
/// written `./--root`.
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

fn mebibytes(value: OsString) -> Result<u64, String> {
    let number = value.to_str().and_then(|value| value.parse::<u64>().ok());
    let bytes = number.and_then(|number| number.checked_mul(1024 * 1024));
    bytes.ok_or_else(|| format!("{value:?} is not a number of mebibytes: --memory MIB"))
}
