#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fields::accept_encoding::AcceptEncoding;

fuzz_target!(|value: &[u8]| {
    let _ = AcceptEncoding::parse(value).choose(&["zstd", "br", "gzip"]);
});
