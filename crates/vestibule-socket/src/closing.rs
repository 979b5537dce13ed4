//! Closing a socket that listens, without the loss of a connection.
//!
//! When a listening socket is closed, the kernel resets what waits in its queue, although each client there has connected
//! and may have sent its request. [`Listener::close`] first makes the kernel refuse new connections, and then empties the
//! queue.

use std::io;
#[cfg(any(target_os = "android", target_os = "linux"))]
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vestibule_core::Peer;

use crate::listener::Listening;
use crate::{Detached, Listener, Socket};

/// Whether this process alone listens on a socket, so that it may end the listening. A clone is of the same socket.
#[derive(Clone, Debug)]
pub struct Ownership(Arc<AtomicBool>);

impl Ownership {
    pub(crate) fn new(is_ours: bool) -> Self {
        Self(Arc::new(AtomicBool::new(is_ours)))
    }

    /// Says whether another process has a copy of the socket, and goes on to listen.
    pub fn set_ours(&self, is_ours: bool) {
        self.0.store(is_ours, Ordering::Relaxed);
    }

    fn is_ours(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Listener {
    /// Returns whether this process alone has the socket. It does when the socket was made here, and not when it was given.
    #[must_use]
    pub fn ownership(&self) -> Ownership {
        self.ownership.clone()
    }

    /// Stops listening: gives each connection that was made until now to `take`, and closes the socket.
    ///
    /// There must be no other copy of the socket in this process. When another process may have one (see
    /// [`ownership`](Self::ownership)), it takes what waits and closes its own copy.
    ///
    /// On Linux a client that connects while the socket is being closed is refused a second later, or reaches the server
    /// that listens there by then. Where the system cannot refuse new connections first, one that is made in the last
    /// microseconds may be reset.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime that has I/O and time.
    pub async fn close(self, mut take: impl FnMut(Socket, Peer)) {
        let are_under_way = self.refuse_new();
        self.take_waiting(&mut take);
        if are_under_way {
            tokio::time::sleep(HANDSHAKE).await;
            self.take_waiting(&mut take);
        }
    }

    /// Makes the kernel refuse connections that begin from now on, as far as the system can, while those that have begun
    /// still reach the queue. Does nothing when another process may have the socket (see [`ownership`](Self::ownership)).
    ///
    /// On Linux the first packet of a connection by TCP is ignored: its client tries again a second later, and is refused if
    /// no server listens there by then. The file of a unix socket is removed.
    ///
    /// Returns whether connections may be under way: their clients have sent the first packet, and their last is still to
    /// come. Those of this machine never are.
    fn refuse_new(&self) -> bool {
        if !self.ownership.is_ours() {
            return false;
        }
        match &self.socket {
            #[cfg(any(target_os = "android", target_os = "linux"))]
            Listening::Tcp(listener) => {
                refuse_new(socket2::SockRef::from(listener), listener.local_addr())
            }
            #[cfg(not(any(target_os = "android", target_os = "linux")))]
            Listening::Tcp(_) => false,
            #[cfg(unix)]
            Listening::Unix(_) => {
                if let Some(file) = &self.file {
                    file.remove();
                }
                false
            }
        }
    }

    /// Takes all connections that wait in the queue. It asks the kernel, since the runtime may not know of the last ones
    /// yet.
    fn take_waiting(&self, mut take: impl FnMut(Socket, Peer)) {
        let lost = |error: io::Error| {
            tracing::error!(target: "vestibule", "connections that wait are lost: {error}");
        };
        let waiting = match self.detach() {
            Ok(waiting) => waiting,
            Err(error) => return lost(error),
        };
        loop {
            match waiting.accept() {
                Ok((socket, peer)) => take(socket, peer),
                // A client that has given up, or a signal: the next one may be sound.
                Err(error) if is_passing(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return lost(error),
            }
        }
    }
}

impl Detached {
    /// Makes the kernel refuse connections that begin from now on, for all copies of the socket, and waits for those that
    /// have begun.
    ///
    /// It is for a process that gives copies of the socket to others: after this they take what waits and close their
    /// copies (see [`Listener::close`]), and no connection is lost. Does nothing when the socket was not made by this
    /// process (see [`Listener::ownership`]), for a unix socket, whose file is to be removed, and on other systems than
    /// Linux.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime that has time.
    pub async fn refuse_new(&self) {
        #[cfg(any(target_os = "android", target_os = "linux"))]
        if let Some(listener) = self.tcp()
            && self.ownership().is_ours()
            && refuse_new(socket2::SockRef::from(listener), listener.local_addr())
        {
            tokio::time::sleep(HANDSHAKE).await;
        }
    }
}

/// Attaches the filter. Returns whether connections may be under way.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn refuse_new(socket: socket2::SockRef<'_>, address: io::Result<SocketAddr>) -> bool {
    let filter = BEGINNINGS.map(|(code, jt, jf, k)| socket2::SockFilter::new(code, jt, jf, k));
    match socket.attach_filter(&filter) {
        Ok(()) => address.is_ok_and(|it| !it.ip().is_loopback()),
        Err(error) => {
            tracing::debug!(target: "vestibule", "new connections are not refused: {error}");
            false
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
    )
}

/// A filter for the packets of a listening socket that drops those with SYN and without ACK, which begin a connection.
///
/// Source: RFC 9293, section 3.1 (the flags are byte 13 of the header); linux/filter.h and linux/bpf_common.h (the codes).
#[cfg(any(target_os = "android", target_os = "linux"))]
const BEGINNINGS: [(u16, u8, u8, u32); 5] = [
    (0x30, 0, 0, 13),       // load the byte of the flags
    (0x54, 0, 0, 0x12),     // keep SYN and ACK
    (0x15, 0, 1, 0x02),     // SYN alone?
    (0x06, 0, 0, 0),        // drop the packet
    (0x06, 0, 0, u32::MAX), // take all of it
];

/// How long a connection that has begun gets to reach the queue: a way there and back, as a rule.
const HANDSHAKE: Duration = Duration::from_millis(200);

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::Bind;

    /// How many of 50 clients are handed out, with what they have sent: the runtime does not know of
    /// them yet.
    #[allow(clippy::unwrap_used, reason = "what fails here is a test")]
    async fn closed_with_waiting_clients(listener: Listener, address: &str) -> usize {
        let mut clients: Vec<_> = (0..50)
            .map(|_| match address.strip_prefix("unix:") {
                Some(path) => {
                    let mut client = std::os::unix::net::UnixStream::connect(path).unwrap();
                    client.write_all(b"hello").unwrap();
                    std::os::fd::OwnedFd::from(client)
                }
                None => {
                    let mut client = std::net::TcpStream::connect(address).unwrap();
                    client.write_all(b"hello").unwrap();
                    client.into()
                }
            })
            .collect();
        let mut taken = Vec::new();
        listener.close(|socket, _| taken.push(socket)).await;
        let mut answered = 0;
        for socket in taken {
            let mut text = [0; 5];
            match socket {
                Socket::Tcp(mut it) => it.read_exact(&mut text).await.unwrap(),
                Socket::Unix(mut it) => it.read_exact(&mut text).await.unwrap(),
            };
            answered += usize::from(&text == b"hello");
        }
        clients.clear();
        answered
    }

    #[tokio::test]
    async fn what_waits_is_taken_and_nothing_new_is_let_in() {
        let path = std::env::temp_dir().join(format!("vestibule-closing-{}", std::process::id()));
        let unix = format!("unix:{}", path.display());
        for place in ["127.0.0.1:0", "[::1]:0", &unix] {
            let listener = Listener::bind(Bind::from(place)).await.unwrap();
            let address = match place == unix {
                true => unix.clone(),
                false => listener.address().to_string(),
            };
            assert_eq!(
                closed_with_waiting_clients(listener, &address).await,
                50,
                "{place}"
            );
            match address.strip_prefix("unix:") {
                Some(path) => assert!(std::os::unix::net::UnixStream::connect(path).is_err()),
                None => assert!(std::net::TcpStream::connect(&address).is_err()),
            }
        }
    }

    #[cfg(any(target_os = "android", target_os = "linux"))]
    #[tokio::test]
    async fn a_copy_refuses_for_all_copies_and_keeps_what_waits() {
        let listener = Listener::bind(Bind::from("127.0.0.1:0")).await.unwrap();
        let address = listener.address().to_string();
        let copy = listener.detach().unwrap();
        let mut client = std::net::TcpStream::connect(&address).unwrap();
        client.write_all(b"hello").unwrap();
        copy.refuse_new().await;
        let late = tokio::net::TcpStream::connect(&address);
        let late = tokio::time::timeout(Duration::from_millis(300), late);
        assert!(late.await.is_err(), "the first packet is ignored");
        drop(copy);
        listener.ownership().set_ours(false);
        let mut taken = 0;
        listener.close(|_, _| taken += 1).await;
        assert_eq!(taken, 1);
    }

    #[tokio::test]
    async fn a_socket_that_another_process_has_goes_on_to_listen() {
        let listener = Listener::bind(Bind::from("127.0.0.1:0")).await.unwrap();
        let address = listener.address().to_string();
        let others = listener.as_fd().try_clone_to_owned().unwrap();
        listener.ownership().set_ours(false);
        assert_eq!(closed_with_waiting_clients(listener, &address).await, 50);
        let client = std::net::TcpStream::connect(&address).unwrap();
        let (_, peer) = std::net::TcpListener::from(others).accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    }
}
