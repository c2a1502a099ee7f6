//! `static-url releases URL`

use crate::{
    Done, Failure,
    args::Releases,
    output::{say, to_json, to_line},
};

pub(crate) fn run(args: Releases) -> Result<Done, Failure> {
    let releases = args.at.place.open()?.list()?;
    if args.format.json {
        say(releases.iter().map(to_json).collect::<serde_json::Value>());
    } else {
        releases.iter().for_each(|release| say(to_line(release)));
    }
    Ok(Done::WithSuccess)
}
