//! `static-url withdraw VERSION URL`

use serde_json::json;

use crate::{Done, Failure, args::Withdraw, output::say};

pub(crate) fn run(args: Withdraw) -> Result<Done, Failure> {
    args.at.place.open()?.withdraw(&args.release)?;
    if args.format.json {
        say(json!({ "withdrawn": args.release }));
    } else {
        say(format_args!("{}  withdrawn", args.release));
    }
    Ok(Done::WithSuccess)
}
