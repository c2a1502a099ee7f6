//! `static-url verify URL`

use serde_json::json;
use tower_static_url::releases::Damage;

use crate::{Done, Failure, args::Verify, output::say};

pub(crate) fn run(args: Verify) -> Result<Done, Failure> {
    let damages = args.at.place.open()?.verify()?;
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
