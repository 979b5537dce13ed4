#![no_main]

use libfuzzer_sys::fuzz_target;
use bytes::BytesMut;
use vestibule_gateway::parse::{Limits, pairs, record};

fuzz_target!(|bytes: &[u8]| {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(record)) = record(&mut buffer) {
        let _ = pairs(&record.content, &Limits::default());
    }
});
