//! `static-url version DIR`

use serde_json::json;
use tower_static_url::Error;

use crate::{Done, args::Version, identity::Tree, output::say};

pub(crate) fn run(args: Version) -> Result<Done, Error> {
    let Tree { manifest, version } = Tree::scan(&args.files, &args.identity)?;
    if args.format.json {
        say(json!({
            "version": version,
            "digest": manifest.digest_hex(),
            "files": manifest.len(),
            "bytes": manifest.iter().map(|(_, info)| info.length()).sum::<u64>(),
        }));
    } else {
        say(version);
    }
    Ok(Done::WithSuccess)
}
