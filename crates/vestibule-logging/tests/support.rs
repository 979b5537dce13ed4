//! What the tests share.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use vestibule_core::{Address, App, Peer, Request, Response};

/// A directory of a test's own, which ends with it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vestibule-logging-{}-{next}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A request from a client on the network.
pub(crate) fn get(target: &str) -> Request {
    let mut request = Request::default();
    *request.uri_mut() = target.parse().unwrap();
    let peer = Address::Tcp("192.0.2.1:4711".parse().unwrap());
    let local = Address::Tcp("192.0.2.9:80".parse().unwrap());
    request.extensions_mut().insert(Peer::new(peer, local));
    request
}

/// Calls the app and reads the whole response.
pub(crate) async fn ask(app: &impl App, request: Request) -> Response {
    let (parts, body) = app.call(request).await.into_parts();
    let bytes = body.collect(1 << 20).await.unwrap_or_default();
    Response::from_parts(parts, bytes.into())
}

/// Runs a program with `input`; gives what it printed. The Debian package that has it is `package`.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str, package: &str) -> String {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child =
        child.unwrap_or_else(|error| panic!("{program}: {error}; install the package `{package}`"));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {error}\n{text}");
    text
}
