#![no_main]

use tower_static_url_fuzz::{links, prepare};

libfuzzer_sys::fuzz_target!(init: prepare(), |data: &[u8]| {
    links(data);
});
