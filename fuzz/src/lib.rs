//! What the fuzz targets do with their bytes: read them as requests, send those through
//! the layer, and compare what happens with plain readings of RFC 9110, RFC 3986 and the
//! crate's own documentation. Only the public API is used.

mod cache_control;
mod delta;
mod delta_site;
mod evidence;
mod exchange;
mod inner;
mod links;
mod location;
mod place;
mod request;
mod script;
mod site;
mod tags;

pub use delta::delta;
pub use delta_site::prepare_deltas;
pub use links::links;
pub use location::location;
pub use request::request;
pub use site::prepare;
pub use tags::tags;

/// The seeds are inputs that must hold, also where nobody fuzzes.
#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    fn run_seeds(target: &str, run: fn(&[u8]) -> usize) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let mut seeds =
            fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()).collect::<Vec<_>>();
        seeds.sort();
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for seed in seeds {
            println!("{target}: {}", seed.display());
            let judged = run(&fs::read(&seed).unwrap());
            assert!(judged > 0, "{} says nothing", seed.display());
        }
    }

    #[test]
    fn request() {
        run_seeds("request", crate::request);
    }

    #[test]
    fn tags() {
        run_seeds("tags", crate::tags);
    }

    #[test]
    fn location() {
        run_seeds("location", crate::location);
    }

    #[test]
    fn links() {
        run_seeds("links", crate::links);
    }

    #[test]
    fn delta() {
        run_seeds("delta", crate::delta);
    }
}
