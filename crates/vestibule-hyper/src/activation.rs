//! Sockets that were opened before the process began.
//!
//! Source: sd_listen_fds(3): `LISTEN_FDS` and `LISTEN_PID`, descriptors from 3 on, and their names
//! in `LISTEN_FDNAMES`, with colons between.

use std::io;

use listenfd::ListenFd;

use crate::Bind;

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
    pub fn inherited() -> io::Result<Vec<(String, Self)>> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').filter(|name| !name.is_empty());
        let mut sockets = ListenFd::from_env();
        let mut inherited = Vec::with_capacity(sockets.len());
        for at in 0..sockets.len() {
            let name = names.next().unwrap_or("unknown").to_owned();
            let bind = match sockets.take_tcp_listener(at) {
                Ok(listener) => listener.map(Self::from),
                Err(_) => sockets.take_unix_listener(at)?.map(Self::from),
            };
            inherited.extend(bind.map(|bind| (name, bind)));
        }
        Ok(inherited)
    }
}
