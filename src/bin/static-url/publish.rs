//! `static-url publish DIR --to FOLDER`

use serde_json::json;
use tower_static_url::{
    Error,
    releases::{Published, Releases},
};

use crate::{
    Done,
    args::Publish,
    identity::Tree,
    output::{bytes, say},
};

pub(crate) fn run(args: Publish) -> Result<Done, Error> {
    let Tree { manifest, version } = Tree::scan(&args.files, &args.identity)?;
    let releases = Releases::folder(args.to)?;
    let published = releases.publish(&version, &manifest, &args.files.directories)?;
    if args.format.json {
        say(json!({
            "version": published.version(),
            "digest": manifest.digest_hex(),
            "new": published.is_new(),
            "copied": published.copied(),
            "copied_bytes": published.copied_bytes(),
            "linked": published.linked(),
        }));
    } else {
        say(to_line(&published));
    }
    Ok(Done::WithSuccess)
}

fn to_line(published: &Published) -> String {
    let version = published.version();
    if !published.is_new() && published.copied() + published.linked() == 0 {
        return format!("{version}  was published before, and is the current release again");
    }
    format!(
        "{version}  published: {} files copied ({}), {} shared with other releases",
        published.copied(),
        bytes(published.copied_bytes()),
        published.linked(),
    )
}
