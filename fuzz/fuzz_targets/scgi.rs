#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fuzz::{app, converse};
use vestibule_gateway::Server;
use vestibule_gateway::parse::{Limits, scgi};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some((_, length))) = scgi(bytes, &Limits::default()) {
        assert!(length <= bytes.len());
    }
    converse(Server::scgi(app), bytes);
});
