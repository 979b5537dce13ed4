#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fields::date::HttpDate;

fuzz_target!(|input: (i64, &[u8])| {
    let now = HttpDate::from_unix(input.0);
    if let Some(date) = HttpDate::parse(input.1, now) {
        assert_eq!(HttpDate::parse(&date.to_bytes(), now), Some(date));
    }
});
