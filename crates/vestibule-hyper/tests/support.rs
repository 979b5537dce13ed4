//! A running server, and clients that write what they are told.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vestibule_core::{Address, App};
use vestibule_hyper::{Drained, Server};

pub(crate) use crate::echo::{answers, echo};

/// A server on a free port; it ends with the test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Drained>,
}

impl Running {
    pub(crate) async fn start(app: impl App) -> Self {
        Self::with(Server::new(app).lame_duck(Duration::ZERO)).await
    }

    /// With limits so short that a kept connection ends soon: tests read to its end.
    pub(crate) async fn brief(app: impl App) -> Self {
        let brief = Duration::from_millis(500);
        let server = Server::new(app).header_timeout(brief).idle_timeout(brief);
        Self::with(server.lame_duck(Duration::ZERO)).await
    }

    pub(crate) async fn with(server: Server<impl App>) -> Self {
        let bound = server.bind("127.0.0.1:0").await.unwrap();
        let Address::Tcp(address) = *bound.address() else {
            panic!("not a TCP address")
        };
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(bound.run_until(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            stop,
            ended,
        }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends bytes, and reads to the end of the connection.
    pub(crate) fn send<B: AsRef<[u8]>>(
        &self,
        bytes: B,
    ) -> impl Future<Output = String> + Send + use<B> {
        let (address, bytes) = (self.address, bytes.as_ref().to_vec());
        async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let (mut reader, mut writer) = stream.split();
            let mut read = Vec::new();
            // What the server refuses to take is not its fault.
            let write = writer.write_all(&bytes);
            let both = async { tokio::join!(write, reader.read_to_end(&mut read)) };
            let _ = soon(both).await;
            String::from_utf8_lossy(&read).into_owned()
        }
    }

    /// Asks the server to end and waits until it has.
    pub(crate) async fn stop(self) -> Drained {
        let _ = self.stop.send(());
        soon(self.ended).await.unwrap()
    }

    /// Drops the future that serves.
    pub(crate) fn abort(&self) {
        self.ended.abort();
    }

    /// Asks the server to end.
    pub(crate) fn begin_stop(self) -> JoinHandle<Drained> {
        let _ = self.stop.send(());
        self.ended
    }
}

/// A raw connection.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    /// Writes what the server still takes.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Writes pieces that arrive apart.
    pub(crate) async fn pieces<'a, T: AsRef<[u8]> + ?Sized + 'a>(
        &mut self,
        pieces: impl IntoIterator<Item = &'a T>,
    ) {
        self.0.set_nodelay(true).unwrap();
        for piece in pieces {
            self.write(piece.as_ref()).await;
            // The server has its turn before the next piece is there.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Reads up to and including `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        soon(async {
            while !read.ends_with(end.as_bytes()) {
                match self.0.read_u8().await {
                    Ok(byte) => read.push(byte),
                    Err(error) => panic!(
                        "{error} after {:?}, before {end:?}",
                        String::from_utf8_lossy(&read)
                    ),
                }
            }
        })
        .await;
        String::from_utf8(read).unwrap()
    }

    /// Reads to the end of the connection, however it ends.
    pub(crate) async fn rest(&mut self) -> String {
        self.rest_and_reset().await.0
    }

    /// Reads to the end of the connection; true when it ended in a reset.
    pub(crate) async fn rest_and_reset(&mut self) -> (String, bool) {
        let mut read = Vec::new();
        let ended = soon(self.0.read_to_end(&mut read)).await;
        (String::from_utf8_lossy(&read).into_owned(), ended.is_err())
    }
}

/// What `future` gives within ten seconds.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .expect("it takes too long")
}

/// Waits until `is_true`.
pub(crate) async fn eventually(what: &str, is_true: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_true() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

/// Waits until nobody listens there.
pub(crate) async fn port_closes(address: impl std::net::ToSocketAddrs) {
    let is_closed = || std::net::TcpStream::connect(&address).is_err();
    eventually("the port is closed", is_closed).await;
}
