#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fields::list::{List, Quotes, trim};

fuzz_target!(|value: &[u8]| {
    for quotes in [Quotes::Escaped, Quotes::Opaque] {
        for element in List::new(value).quotes(quotes) {
            assert!(!element.is_empty() && trim(element) == element);
        }
    }
});
