//! The secrets of connections in a file, from which Wireshark decrypts what it has recorded.
//!
//! Source: the format of `SSLKEYLOGFILE` (draft-ietf-tls-keylogfile). The variable itself is never read: an environment that
//! is inherited must not open all connections.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use rustls::KeyLog;

/// Appends a line for each secret.
pub(super) struct KeyLogFile(File);

impl KeyLogFile {
    /// Opens the file to append to it. A new one is for its owner alone.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map(Self)
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = line(label, client_random, secret);
        // One write, so that lines of several threads and processes do not mix. A full disk ends no connection.
        let _ = (&self.0).write_all(line.as_bytes());
    }
}

impl fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLogFile")
    }
}

fn line(label: &str, client_random: &[u8], secret: &[u8]) -> String {
    let hexadecimal =
        |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    format!(
        "{label} {} {}\n",
        hexadecimal(client_random),
        hexadecimal(secret)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_three_parts() {
        assert_eq!(
            line("CLIENT_RANDOM", &[1, 0xab], &[0xff]),
            "CLIENT_RANDOM 01ab ff\n"
        );
    }
}
