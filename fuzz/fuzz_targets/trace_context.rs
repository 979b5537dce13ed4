#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fields::trace_context::TraceParent;

fuzz_target!(|value: &[u8]| {
    if let Some(parent) = TraceParent::parse(value) {
        let written = parent.to_header_value();
        assert_eq!(TraceParent::parse(&written), Some(parent));
    }
});
