#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fields::forwarded::Forwarded;

fuzz_target!(|value: &[u8]| {
    let _ = Forwarded::parse(value).hops();
});
