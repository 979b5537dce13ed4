#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fields::cache_control::CacheControl;

fuzz_target!(|value: &[u8]| {
    let control = CacheControl::parse(value);
    assert_eq!(CacheControl::parse(&control.to_string()), control);
});
