#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fields::media_type::MediaType;

fuzz_target!(|value: &[u8]| {
    if let Some(media_type) = MediaType::parse(value) {
        for (name, value) in media_type.parameters() {
            assert!(!name.is_empty());
            let _ = value.len();
        }
    }
});
