//! Sockets that were opened before the process began, and those that are opened for others.
//!
//! Source: sd_listen_fds(3): `LISTEN_FDS` and `LISTEN_PID`, descriptors from 3 on, and their names
//! in `LISTEN_FDNAMES`, with colons between.

use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};

use listenfd::ListenFd;
#[cfg(unix)]
use vestibule_core::App;
#[cfg(unix)]
use vestibule_socket::{Detached, SocketFile};

use crate::Bind;
#[cfg(unix)]
use crate::Bound;

impl Bind {
    /// The sockets that a service manager hands over, with their names, in its order: systemd's
    /// socket activation, and whatever speaks it. None when the process was not started so.
    ///
    /// With these a restart refuses no connection: the sockets stay open in the service manager
    /// while one process ends and the next begins.
    ///
    /// The variables are read once and removed from the environment: call it before other threads
    /// start. A socket without a name is called `unknown`, as systemd does.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// # async fn app(_: vestibule_core::Request) -> &'static str { "hello" }
    /// use vestibule_hyper::{Bind, Server};
    ///
    /// let server = match Bind::inherited()?.pop() {
    ///     Some((_name, socket)) => Server::new(app).bind(socket).await?,
    ///     None => Server::new(app).bind("127.0.0.1:0").await?,
    /// };
    /// # drop(server);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When one of them is not a TCP or unix stream socket.
    #[doc(alias("systemd", "socket activation", "LISTEN_FDS"))]
    pub fn inherited() -> io::Result<Vec<(String, Self)>> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        // An empty one keeps its place, so that the others keep theirs.
        let mut names = names.split(':');
        let mut sockets = ListenFd::from_env();
        let mut inherited = Vec::with_capacity(sockets.len());
        for at in 0..sockets.len() {
            let name = names.next().filter(|name| !name.is_empty());
            let name = name.unwrap_or("unknown").to_owned();
            inherited.extend(take(&mut sockets, at)?.map(|bind| (name, bind)));
        }
        Ok(inherited)
    }
}

/// Takes the inherited socket at `index`: TCP, or a unix stream socket.
#[cfg(unix)]
fn take(sockets: &mut ListenFd, index: usize) -> io::Result<Option<Bind>> {
    match sockets.take_tcp_listener(index) {
        Ok(listener) => Ok(listener.map(Bind::from)),
        Err(_) => Ok(sockets.take_unix_listener(index)?.map(Bind::from)),
    }
}

/// Takes the inherited TCP socket at `index`: other systems hand over no unix sockets.
#[cfg(not(unix))]
fn take(sockets: &mut ListenFd, index: usize) -> io::Result<Option<Bind>> {
    Ok(sockets.take_tcp_listener(index)?.map(Bind::from))
}

/// Sockets that listen, to be handed to processes that serve them with [`Bind::inherited`]: for a
/// supervisor of workers. Connections wait in their queues until one accepts.
///
/// The files of unix sockets are removed when this is dropped.
#[cfg(unix)]
#[derive(Debug)]
pub struct Sockets {
    sockets: Vec<Detached>,
    files: Vec<SocketFile>,
}

#[cfg(unix)]
impl Sockets {
    /// The sockets, in the order of binding. Each is closed in children, until its `FD_CLOEXEC` is
    /// taken away.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    /// Makes the kernel refuse new connections, and waits for those that have begun.
    ///
    /// A supervisor that ends calls this before its workers drain, and drops its sockets when they do:
    /// each worker takes the connections that wait, and none is lost. A unix socket loses its file. A
    /// socket from a service manager stays as it is, since the service manager goes on to listen.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime that has time.
    pub async fn refuse_new(&mut self) {
        self.files.clear();
        for socket in &self.sockets {
            socket.refuse_new().await;
        }
    }
}

#[cfg(unix)]
impl<A: App> Bound<A> {
    /// Gives the sockets away instead of serving them.
    ///
    /// # Errors
    ///
    /// When no descriptor is free.
    pub fn into_sockets(self) -> io::Result<Sockets> {
        let mut all = Sockets {
            sockets: Vec::new(),
            files: Vec::new(),
        };
        for listener in self.into_listeners() {
            all.sockets.push(listener.socket.detach()?);
            all.files.extend(listener.socket.file().cloned());
        }
        Ok(all)
    }
}
