#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tower_static_url_fuzz::tags(data);
});
