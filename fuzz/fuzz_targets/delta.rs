#![no_main]

use tower_static_url_fuzz::{delta, prepare_deltas};

libfuzzer_sys::fuzz_target!(init: prepare_deltas(), |data: &[u8]| {
    delta(data);
});
