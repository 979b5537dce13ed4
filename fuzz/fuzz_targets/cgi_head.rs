#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_environ::Head;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some((_, length))) = Head::parse(bytes) {
        assert!(length <= bytes.len());
    }
});
