//! `static-url nginx DIR --mount /static [--app URL]`
//!
//! The path that a `location` is compared with is not what the client has spelled: nginx has
//! decoded it, and has removed dot segments and double slashes. The layer takes a URL as it is
//! spelled. What the two would take for different paths is refused by `$request_uri`, or left to
//! the application.

mod alone;
mod args;
mod behind;
mod site;
mod spell;
mod text;

use std::fs;

use tower_static_url::{Error, StaticUrlLayer, VersionSource};

pub(crate) use self::args::Nginx;
use self::site::{Kept, Site};
use crate::{Done, Failure, WRONG_ARGUMENTS, output::print};

pub(crate) fn run(args: Nginx) -> Result<Done, Failure> {
    let mount = mount(&args.mount)?;
    let text =
        if has_releases(&args) { of_releases(&mount, &args) } else { of_tree(&mount, &args) };
    print(text?.as_bytes())?;
    Ok(Done::WithSuccess)
}

/// Checks a mount, and removes a slash at its end.
fn mount(mount: &str) -> Result<String, Error> {
    let builder = StaticUrlLayer::builder(mount).version(VersionSource::literal("v1"));
    Ok(builder.build()?.prefix().mount().trim_end_matches('/').to_owned())
}

/// Whether the directory is one of releases. With an application, the configuration may be made
/// before the first release, and on another machine.
fn has_releases(args: &Nginx) -> bool {
    let is_marked = fs::symlink_metadata(args.directory.join(".static-url")).is_ok();
    is_marked || (args.app.is_some() && !args.directory.exists())
}

fn of_tree(mount: &str, args: &Nginx) -> Result<String, Failure> {
    let site = Site::of_tree(mount, args)?;
    Ok(match &args.app {
        Some(app) => behind::tree(&site, app),
        None => alone::tree(&site),
    })
}

fn of_releases(mount: &str, args: &Nginx) -> Result<String, Failure> {
    let wrong = |text: &str| Err(Failure { text: text.into(), code: WRONG_ARGUMENTS });
    if args.identity.build_id.is_some() || args.identity.literal.is_some() {
        return wrong("releases have their versions: leave out --build-id and --literal");
    }
    match &args.app {
        Some(_) if !args.fingerprinted.is_empty() => {
            wrong("the application answers for files without a version: leave out --fingerprinted")
        }
        Some(app) => Ok(behind::releases(mount, &Kept::open(&args.directory)?, app)),
        None => {
            let (site, kept) = Site::of_releases(mount, args)?;
            Ok(alone::releases(&site, &kept))
        }
    }
}
