#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_auth::{HashKind, Htpasswd, PasswordHash};

fuzz_target!(|text: &str| {
    let users = Htpasswd::parse(text);
    assert!(users.len() <= text.lines().count());
    for line in text.lines() {
        let stored = line.split_once(':').map_or(line, |(_, stored)| stored);
        // Slow hashes are only parsed.
        if let Ok(hash) = PasswordHash::parse(stored)
            && matches!(hash.kind(), HashKind::Sha1 | HashKind::Apr1)
        {
            let _ = hash.verify(line.as_bytes());
        }
    }
});
