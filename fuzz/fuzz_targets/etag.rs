#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fields::etag::{ETag, ETagList};

fuzz_target!(|value: &[u8]| {
    if let Some(tag) = ETag::parse(value) {
        assert_eq!(tag.to_header_value().as_bytes(), value);
    }
    for tag in &ETagList::parse(value) {
        assert!(tag.weak_eq(&tag));
    }
});
