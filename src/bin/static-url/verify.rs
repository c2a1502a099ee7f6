//! `static-url verify FOLDER`

use serde_json::json;
use tower_static_url::{
    Error,
    releases::{Damage, Releases},
};

use crate::{Done, args::Verify, output::say};

pub(crate) fn run(args: Verify) -> Result<Done, Error> {
    let damages = Releases::open(args.folder.folder)?.verify()?;
    if args.format.json {
        say(damages.iter().map(to_json).collect::<serde_json::Value>());
    } else if damages.is_empty() {
        say("all files are as they were published");
    } else {
        damages.iter().for_each(say);
    }
    Ok(if damages.is_empty() { Done::WithSuccess } else { Done::WithDamage })
}

fn to_json(damage: &Damage) -> serde_json::Value {
    json!({ "path": damage.path().to_string_lossy(), "why": damage.why() })
}
