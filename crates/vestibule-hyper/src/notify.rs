//! Tells the service manager how far the server is.
//!
//! Source: sd_notify(3): a datagram to the socket named in `NOTIFY_SOCKET`, a path, or a name that
//! begins with `@` on Linux.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The server accepts connections.
pub(crate) const READY: &[u8] = b"READY=1";

/// The server drains.
pub(crate) const STOPPING: &[u8] = b"STOPPING=1";

/// Sends `state` to the service manager that set `NOTIFY_SOCKET`; without one, does nothing.
///
/// For a supervisor of workers. A server that is [run](crate::Bound::run) sends `READY=1` and `STOPPING=1` itself. A
/// message that cannot be sent is an event of level WARN.
///
/// ```
/// vestibule_hyper::notify(b"STATUS=2 workers serve");
/// ```
///
/// Source: sd_notify(3), which lists the assignments.
#[doc(alias("sd_notify", "systemd"))]
pub fn notify(state: &[u8]) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&name, state) {
        tracing::warn!(target: "vestibule", socket = ?name, "cannot notify the service manager: {error}");
    }
}

fn send(name: &OsStr, state: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state, &address(name)?)?;
    Ok(())
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_an_abstract_name() {
        let path = std::env::temp_dir().join(format!("vestibule-notify-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), READY).unwrap();
        let mut heard = [0; 32];
        let count = socket.recv(&mut heard).unwrap();
        assert_eq!(&heard[..count], READY);
        std::fs::remove_file(&path).unwrap();
        assert!(send(path.as_os_str(), READY).is_err());
        #[cfg(target_os = "linux")]
        assert!(!address(OsStr::new("@vestibule")).unwrap().is_unnamed());
    }
}
