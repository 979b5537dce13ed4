//! Situations of sites, browsers and download programs, over real sockets. Each request is sent
//! with HTTP/1.1 and with HTTP/2.

mod archives;
mod compression;
mod deploys;
mod entity_tags;
mod growing_files;
mod hashed_names;
mod header_rules;
mod links;
mod listings;
mod media_types;
mod ranges;
mod redirects;
mod sidecar_rights;
mod single_page_apps;
mod stored_encoded;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vestibule::http::{Uri, Version};
use vestibule::hyper::{Drained, Server};
use vestibule::prelude::*;
use vestibule_test::Answer;

/// The versions that [`Site::ask`] uses.
pub(crate) const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// An app behind a real server on a free port of the loopback address. The server stops when the
/// value is dropped.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    _serving: JoinHandle<Drained>,
}

impl Site {
    /// Serves `app`.
    pub(crate) async fn start(app: impl App) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = Server::new(app).bind(listener).await.unwrap();
        let until = async { drop(stopped.await) };
        Self {
            address,
            stop: Some(stop),
            _serving: tokio::spawn(server.run_until(until)),
        }
    }

    /// Sends the request of `text`, such as `"GET /a HTTP/1.1\nrange: bytes=0-1"`, once in each
    /// version.
    ///
    /// `Host` is added. Responses are read to their end; an error in the body is in
    /// [`Answer::error`].
    pub(crate) async fn ask(&self, text: &str) -> [Answer; 2] {
        let mut answers = Vec::new();
        for version in VERSIONS {
            let mut connection = Connection::open(self.address, version).await;
            answers.push(Answer::read(connection.send(text).await).await);
        }
        answers.try_into().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

/// A client's connection, for tests that read a body piece by piece or send several requests.
pub(crate) enum Connection {
    Http1(http1::SendRequest<Body>, SocketAddr),
    Http2(http2::SendRequest<Body>, SocketAddr),
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr, version: Version) -> Self {
        let socket = TokioIo::new(TcpStream::connect(address).await.unwrap());
        if version == Version::HTTP_2 {
            let executor = TokioExecutor::new();
            let (sender, connection) = http2::handshake(executor, socket).await.unwrap();
            tokio::spawn(connection);
            return Self::Http2(sender, address);
        }
        let (sender, connection) = http1::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        Self::Http1(sender, address)
    }

    /// Sends the request of `text`. Does not read the body of the response.
    pub(crate) async fn send(&mut self, text: &str) -> Response {
        let mut request = vestibule_test::request(text);
        let response = match self {
            Self::Http1(sender, address) => {
                let host = address.to_string().parse().unwrap();
                request.headers_mut().entry("host").or_insert(host);
                sender.send_request(request).await
            }
            Self::Http2(sender, address) => {
                let path = request.uri().path_and_query().unwrap().as_str();
                let uri = Uri::builder()
                    .scheme("http")
                    .authority(address.to_string())
                    .path_and_query(path);
                *request.uri_mut() = uri.build().unwrap();
                *request.version_mut() = Version::HTTP_2;
                sender.send_request(request).await
            }
        };
        response.unwrap().map(Body::new)
    }
}

/// A temporary folder, which is removed when the value is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Creates a folder with `files`, each a path and its content.
    pub(crate) fn with(files: &[(&str, &[u8])]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vestibule-site-{}-{count}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(folder.path()).unwrap();
        for (name, content) in files {
            folder.write(name, content);
        }
        folder
    }

    /// Writes a file, and creates its parent folders.
    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn the_site_answers_in_both_versions() {
    use vestibule::files::StaticFiles;

    let folder = Folder::with(&[("a/b.txt", b"hello")]);
    let site = Site::start(StaticFiles::new(folder.path())).await;
    let answers = site.ask("GET /a/b.txt HTTP/1.1\nrange: bytes=1-3").await;
    for (answer, version) in answers.iter().zip(VERSIONS) {
        assert_eq!(answer.version, version);
        assert_eq!(answer.status, 206);
        assert_eq!(answer.text(), "ell");
    }
}
