//! `static-url completions SHELL`

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{Done, Failure, output::print};

/// Prints what makes a shell complete the arguments of this command.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  static-url completions bash > /etc/bash_completion.d/static-url
  static-url completions zsh > /usr/local/share/zsh/site-functions/_static-url
  static-url completions fish > ~/.config/fish/completions/static-url.fish")]
pub(crate) struct Completions {
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: Completions) -> Result<Done, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Args::command(), "static-url", &mut text);
    print(mended(&String::from_utf8_lossy(&text)).as_bytes())?;
    Ok(Done::WithSuccess)
}

/// The generator for bash spells a name with a hyphen in two ways (clap_complete 4.6.11), so that
/// no command completes its options.
fn mended(text: &str) -> String {
    text.replace("static__subcmd__url", "static__url")
}
