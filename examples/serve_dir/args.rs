//! Which options does the command line have?

use std::{ffi::OsString, path::PathBuf};

pub(crate) const USAGE: &str = "\
Serves a directory of static files below a versioned prefix, and shows at / what
a browser takes from its cache.

Usage: serve_dir [--root DIR] [--listen ADDR:PORT] [--watch | --no-watch]
                 [--memory MIB]

Options:
  --root DIR           the directory to serve [default: the small site in examples/site]
  --listen ADDR:PORT   where to listen; port 0 takes a free one [default: 127.0.0.1:3000]
  --watch, --no-watch  whether to watch the files: when one changes, the server has a
                       new version, and open pages show it
                       [default: --watch in a debug build, else --no-watch]
  --memory MIB         how much memory to use for files, so that the disk need not be
                       read again [default: 64; 0: all files come from the disk]
  -h, --help           print this help";

const MEBIBYTE: u64 = 1024 * 1024;

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
    /// The budget in bytes.
    pub(crate) memory: u64,
}

/// Parses the arguments after the program's name.
///
/// # Errors
///
/// One line that names what is wrong.
pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut parsed = Args {
        root: crate::BUNDLED_SITE.into(),
        listen: "127.0.0.1:3000".into(),
        watch: cfg!(debug_assertions),
        memory: 64 * MEBIBYTE,
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

fn mebibytes(value: OsString) -> Result<u64, String> {
    let number = value.to_str().and_then(|value| value.parse::<u64>().ok());
    let bytes = number.and_then(|number| number.checked_mul(MEBIBYTE));
    bytes.ok_or_else(|| format!("{value:?} is not a number of mebibytes: --memory MIB"))
}
