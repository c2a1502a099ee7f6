//! `static-url man [COMMAND]`

use clap::{Args, CommandFactory as _};
use clap_mangen::Man as Page;

use crate::{Done, Failure, WRONG_ARGUMENTS, failed, output::print};

/// Prints the manual page, or that of one command.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  static-url man > /usr/local/share/man/man1/static-url.1
  static-url man publish > /usr/local/share/man/man1/static-url-publish.1
  static-url man publish | man -l -")]
pub(crate) struct Man {
    /// The command, such as `publish`.
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

pub(crate) fn run(args: Man) -> Result<Done, Failure> {
    let mut command = crate::Args::command();
    // Gives each command its whole name: `static-url publish`.
    command.build();
    let command = match &args.command {
        None => &command,
        Some(name) => command.find_subcommand(name).ok_or_else(|| Failure {
            text: format!("there is no command {name:?}"),
            code: WRONG_ARGUMENTS,
        })?,
    };
    let mut text = Vec::new();
    let page = Page::new(command.clone()).source(concat!("static-url ", env!("CARGO_PKG_VERSION")));
    let written = page.render(&mut text);
    written.map_err(|error| failed(error.to_string()))?;
    print(&text)?;
    Ok(Done::WithSuccess)
}
