//! `static-url prune FOLDER [--yes]`

use std::time::Duration;

use serde_json::json;
use tower_static_url::{
    Error,
    releases::{Release, Releases, Retention},
};

use crate::{
    Done,
    args::Prune,
    output::{say, to_json, to_line},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn run(args: Prune) -> Result<Done, Error> {
    let releases = Releases::open(args.folder.folder)?;
    let retention = Retention::default().age(DAY * args.days).newest(args.newest);
    let pruned =
        if args.yes { releases.prune(&retention)? } else { releases.expired(&retention)? };
    if args.format.json {
        let releases = pruned.iter().map(to_json).collect::<Vec<_>>();
        say(json!({ "deleted": args.yes, "releases": releases }));
    } else {
        show(&pruned, args.yes);
    }
    Ok(Done::WithSuccess)
}

fn show(pruned: &[Release], is_deleted: bool) {
    let what = if is_deleted { "deleted" } else { "would delete" };
    for release in pruned {
        say(format_args!("{what} {}", to_line(release)));
    }
    match (pruned, is_deleted) {
        ([], _) => say("nothing to delete"),
        (_, false) => say("nothing is deleted yet: add `--yes`"),
        (_, true) => {}
    }
}
