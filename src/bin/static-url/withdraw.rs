//! `static-url withdraw VERSION FOLDER`

use serde_json::json;
use tower_static_url::{Error, releases::Releases};

use crate::{Done, args::Withdraw, output::say};

pub(crate) fn run(args: Withdraw) -> Result<Done, Error> {
    Releases::open(args.folder.folder)?.withdraw(&args.release)?;
    if args.format.json {
        say(json!({ "withdrawn": args.release }));
    } else {
        say(format_args!("{}  withdrawn", args.release));
    }
    Ok(Done::WithSuccess)
}
