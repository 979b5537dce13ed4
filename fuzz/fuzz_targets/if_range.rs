#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fields::date::HttpDate;
use vestibule_fields::if_range::IfRange;

fuzz_target!(|value: &[u8]| {
    assert!(!IfRange::parse(value, HttpDate::from_unix(0)).holds(None, None));
});
