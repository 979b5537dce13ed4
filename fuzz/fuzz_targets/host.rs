#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fields::host::Host;

fuzz_target!(|value: &[u8]| {
    if let Some(host) = Host::parse(value) {
        assert_eq!(host.to_header_value().as_bytes(), value);
    }
});
