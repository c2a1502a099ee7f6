//! `static-url prune URL [--yes]`

use std::time::Duration;

use serde_json::json;
use tower_static_url::releases::{Release, Retention};

use crate::{
    Done, Failure,
    args::Prune,
    output::{say, to_json, to_line},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn run(args: Prune) -> Result<Done, Failure> {
    let store = args.at.place.open()?;
    let retention = Retention::default().age(DAY * args.days).newest(args.newest);
    let pruned = if args.yes { store.prune(&retention)? } else { store.expired(&retention)? };
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
