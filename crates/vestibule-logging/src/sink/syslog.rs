//! The syslog of this machine, on its unix socket.
//!
//! Source: RFC 3164, section 4.1, in the form that local programs use: `<134>vestibule[99]: line`. The
//! time is the daemon's to add, which knows the zone.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// A connection to the daemon; made again when the daemon was started again.
pub(super) struct Syslog {
    path: PathBuf,
    socket: UnixDatagram,
    head: String,
}

impl Syslog {
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self {
            path: path.to_owned(),
            socket,
            head: format!("<{PRIORITY}>vestibule[{}]: ", std::process::id()),
        })
    }

    /// Sends the first of some lines; gives how many bytes of them that was.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let end = lines.iter().position(|&byte| byte == b'\n');
        let line = &lines[..end.unwrap_or(lines.len())];
        let datagram = [self.head.as_bytes(), line].concat();
        if self.socket.send(&datagram).is_err() {
            self.socket = UnixDatagram::unbound()?;
            self.socket.connect(&self.path)?;
            self.socket.send(&datagram)?;
        }
        Ok(end.map_or(lines.len(), |end| end + 1))
    }
}

/// The facility `local0` (16), the severity `info` (6).
const PRIORITY: u8 = 16 * 8 + 6;
