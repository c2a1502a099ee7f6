//! The command line.

use std::path::PathBuf;

use crate::{
    Result,
    groups::{self, Group},
    servers::{self, Server},
};

pub(crate) const USAGE: &str = "\
Measures static file servers against each other.

Usage: cargo run --release -p peers -- [OPTIONS]
       cargo run --release -p peers -- growth [OPTIONS]
       cargo run --release -p peers -- cold [OPTIONS]

  (no command)         one table for HTTP/1.1, one for HTTP/2, one for two workers, and the goals
  growth               how the cost of a request grows with files and connections
  cold                 what files cost that are not in memory, and what they cost others

Options:
  --rounds N           how often each server is loaded [default: 5]
  --seconds S          how long each time [default: 2]
  --only NAME,…        these servers (and hyper, with which they are compared)
  --tables NAME,…      these tables: http1, http2, workers
  -h, --help           print this help";

#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Compare {
        effort: Effort,
        servers: Vec<Server>,
        groups: Vec<Group>,
    },
    Growth(Effort),
    Cold(Effort),
    /// What a server's own process does.
    Serve {
        server: Server,
        workers: usize,
        root: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) seconds: u32,
}

/// # Errors
///
/// One line that names what is wrong.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Command> {
    let mut args = args.into_iter().peekable();
    match args.peek().map(String::as_str) {
        Some("serve") => serve(args.skip(1)),
        Some("growth") => options(args.skip(1), Some(Command::Growth)),
        Some("cold") => options(args.skip(1), Some(Command::Cold)),
        _ => options(args, None),
    }
}

fn serve(args: impl Iterator<Item = String>) -> Result<Command> {
    match &args.collect::<Vec<_>>()[..] {
        [name, workers, root] => Ok(Command::Serve {
            server: servers::named(name)?,
            workers: number(workers)?,
            root: root.into(),
        }),
        _ => Err("serve takes NAME WORKERS ROOT".into()),
    }
}

/// Those that choose servers and tables are for the command without a name.
fn options(
    mut args: impl Iterator<Item = String>,
    named: Option<fn(Effort) -> Command>,
) -> Result<Command> {
    let mut effort = Effort { rounds: 5, seconds: 2 };
    let mut servers = servers::ALL.to_vec();
    let mut groups = groups::ALL.to_vec();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("missing value: {arg}"));
        match arg.as_str() {
            "--rounds" => effort.rounds = number(&value()?)?,
            "--seconds" => effort.seconds = number(&value()?)?,
            "--only" if named.is_none() => servers = only(&value()?)?,
            "--tables" if named.is_none() => {
                groups = value()?.split(',').map(groups::named).collect::<Result<_>>()?
            }
            "-h" | "--help" => return Ok(Command::Help),
            _ => return Err(format!("unknown argument {arg:?}; --help lists them all").into()),
        }
    }
    Ok(match named {
        Some(command) => command(effort),
        None => Command::Compare { effort, servers, groups },
    })
}

/// In the order of the tables, the first always among them.
fn only(names: &str) -> Result<Vec<Server>> {
    let chosen = names.split(',').map(servers::named).collect::<Result<Vec<_>>>()?;
    let is_chosen = |name| chosen.iter().any(|server| server.name == name);
    let kept = |(index, server): &(usize, &Server)| *index == 0 || is_chosen(server.name);
    Ok(servers::ALL.iter().enumerate().filter(kept).map(|(_, server)| *server).collect())
}

fn number<N: TryFrom<u64>>(text: &str) -> Result<N> {
    let number = text.parse().ok().filter(|&number: &u64| number > 0);
    let number = number.and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| format!("{text:?} is not a number above 0").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn defaults() {
        let Command::Compare { effort, servers, groups } = parsed("").unwrap() else {
            panic!("not a comparison")
        };
        assert_eq!(effort, Effort { rounds: 5, seconds: 2 });
        assert_eq!(servers.len(), servers::ALL.len());
        assert_eq!(groups.len(), groups::ALL.len());
    }

    #[test]
    fn choices() {
        let line = "--only nginx,ours --tables http2 --rounds 3 --seconds 1";
        let Command::Compare { effort, servers, groups } = parsed(line).unwrap() else {
            panic!("not a comparison")
        };
        assert_eq!(effort, Effort { rounds: 3, seconds: 1 });
        let names = servers.iter().map(|server| server.name).collect::<Vec<_>>();
        assert_eq!(names, ["hyper", "ours", "nginx"]);
        assert_eq!(groups.iter().map(|group| group.name).collect::<Vec<_>>(), ["http2"]);
    }

    #[test]
    fn mistakes() {
        for (line, expected) in [
            ("--rounds", "missing value: --rounds"),
            ("--rounds 0", "\"0\" is not a number above 0"),
            ("--seconds 1.5", "\"1.5\" is not a number above 0"),
            ("--quick", "unknown argument \"--quick\"; --help lists them all"),
            ("growth --only ours", "unknown argument \"--only\"; --help lists them all"),
            ("--tables http3", "no table \"http3\"; there are http1, http2, workers"),
            ("serve hyper", "serve takes NAME WORKERS ROOT"),
        ] {
            assert_eq!(parsed(line).unwrap_err().to_string(), expected, "{line}");
        }
        let error = parsed("--only apache").unwrap_err().to_string();
        assert!(error.starts_with("no server \"apache\"; there are hyper, servedir"), "{error}");
    }
}
