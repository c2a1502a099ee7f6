//! `static-url releases FOLDER`

use tower_static_url::Error;

use crate::{
    Done,
    args::Releases,
    output::{say, to_json, to_line},
};

pub(crate) fn run(args: Releases) -> Result<Done, Error> {
    let releases = tower_static_url::releases::Releases::open(args.folder.folder)?.list()?;
    if args.format.json {
        say(releases.iter().map(to_json).collect::<serde_json::Value>());
    } else {
        releases.iter().for_each(|release| say(to_line(release)));
    }
    Ok(Done::WithSuccess)
}
