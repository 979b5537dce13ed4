//! Copies source files from the crates and replaces std with loom: `std::sync` and `std::thread`
//! become `crate::sync` and `crate::thread`. Unit tests and inner docs are removed.

use std::path::Path;
use std::{env, fs};

/// Each part: its name, and the path of its file.
const PIECES: &[(&str, &str)] = &[
    ("bell", "vestibule-hyper/src/bell.rs"),
    ("channel", "vestibule-core/src/body/channel.rs"),
    ("feed", "vestibule-wsgi/src/feed.rs"),
    ("gate", "vestibule-socket/src/gate.rs"),
    ("lockout", "vestibule-auth/src/lockout.rs"),
    ("on_demand", "vestibule-logging/src/on_demand.rs"),
    ("outbox", "vestibule-wsgi/src/outbox.rs"),
    ("pending", "vestibule-logging/src/sink/pending.rs"),
    ("per_address", "vestibule-hyper/src/per_address.rs"),
    ("queue", "vestibule-wsgi/src/queue.rs"),
    ("piece_channel", "vestibule-environ/src/piece_channel.rs"),
    ("tally", "vestibule-hyper/src/tally.rs"),
    ("wait_queue", "vestibule-tower/src/wait_queue.rs"),
    ("waiting", "vestibule-auth/src/waiting.rs"),
];

fn main() {
    // The outbox is for the server, which is a feature there.
    println!("cargo::rustc-cfg=feature=\"wheel\"");
    println!("cargo::rustc-check-cfg=cfg(feature, values(\"wheel\"))");
    let room = env::var("OUT_DIR").expect("cargo says where");
    // A mistake in one piece, to see that its model finds it.
    let [piece, from, to] = ["MISTAKE_IN", "MISTAKE_FROM", "MISTAKE_TO"].map(|variable| {
        println!("cargo::rerun-if-env-changed={variable}");
        env::var(variable).unwrap_or_default()
    });
    for (name, path) in PIECES {
        let path = Path::new("../crates").join(path);
        println!("cargo::rerun-if-changed={}", path.display());
        let text = fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut text = modelled(&text);
        assert!(text.contains("crate::sync"), "{name} synchronises nothing");
        if piece == *name {
            assert_eq!(text.matches(&from).count(), 1, "`{from}` in {name}");
            text = text.replace(&from, &to);
        }
        fs::write(Path::new(&room).join(name).with_extension("rs"), text).expect("written");
    }
}

fn modelled(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.starts_with("//!"));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    text.replace("std::sync::", "crate::sync::")
        .replace("vestibule_socket::", "crate::rarely::")
        .replace("std::thread::", "crate::thread::")
}
