#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fields::quality::{Quality, Weights};

fuzz_target!(|value: &[u8]| {
    for weight in &Weights::parse(value) {
        assert!(weight.quality() <= Quality::ONE);
        let _ = weight.parameters().count();
    }
});
