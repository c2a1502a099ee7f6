//! `static-url publish DIR --to URL`

use serde_json::json;
use tower_static_url::releases::Published;

use crate::{
    Done, Failure,
    args::Publish,
    identity::Tree,
    output::{bar, bytes, files, say},
};

pub(crate) fn run(args: Publish) -> Result<Done, Failure> {
    let Tree { manifest, version } = Tree::scan(&args.files, &args.identity)?;
    let store = args.to.create()?;
    let bar = bar("publishing", manifest.len());
    let published = store.publish(&version, &manifest, &args.files.directories, |progress| {
        bar.set_position(progress.files() as u64)
    });
    bar.finish_and_clear();
    let published = published?;
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
        "{version}  published: {} copied ({}), {} shared with other releases",
        files(published.copied()),
        bytes(published.copied_bytes()),
        published.linked(),
    )
}
