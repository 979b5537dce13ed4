#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fuzz::{app, converse};
use vestibule_gateway::Server;
use vestibule_gateway::parse::{Limits, uwsgi};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some((_, length))) = uwsgi(bytes, &Limits::default()) {
        assert!(length <= bytes.len());
    }
    converse(Server::uwsgi(app), bytes);
});
