#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use vestibule_fuzz::{app, converse};
use vestibule_gateway::Server;
use vestibule_gateway::parse::{Limits, pairs, record};

// Parses the bytes as records, as pairs, and as all input of a connection; the output consists of
// records.
fuzz_target!(|bytes: &[u8]| {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(record)) = record(&mut buffer) {
        let _ = pairs(&record.content, &Limits::default());
    }
    let _ = pairs(bytes, &Limits::default());
    let mut answer = BytesMut::from(&*converse(Server::fastcgi(app), bytes));
    while record(&mut answer).expect("ours are well formed").is_some() {}
    assert!(answer.is_empty(), "half a record");
});
