#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fields::range::{Outcome, Range};

fuzz_target!(|input: (u64, &[u8])| {
    let (length, value) = input;
    if let Some(Outcome::Satisfiable(ranges)) =
        Range::parse(value).map(|range| range.within(length))
    {
        assert!(!ranges.is_empty());
        assert!(ranges.iter().all(|range| range.last() < length));
    }
});
