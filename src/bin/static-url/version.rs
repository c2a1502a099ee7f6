//! `static-url version DIR`

use crate::{Done, Failure, args::Version, identity::Tree, output::say};
use serde_json::json;

pub(crate) fn run(args: Version) -> Result<Done, Failure> {
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
