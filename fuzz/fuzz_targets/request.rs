#![no_main]

use tower_static_url_fuzz::{prepare, request};

libfuzzer_sys::fuzz_target!(init: prepare(), |data: &[u8]| {
    request(data);
});
