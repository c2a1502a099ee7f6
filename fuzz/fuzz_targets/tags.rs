#![no_main]

use tower_static_url_fuzz::{prepare, tags};

libfuzzer_sys::fuzz_target!(init: prepare(), |data: &[u8]| {
    tags(data);
});
