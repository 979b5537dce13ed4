//! A temporary folder, and requests and responses as text.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::HeaderMap;
use vestibule_core::{App, Request, Response};
use vestibule_lint::Lint;

/// A new folder below the system's temporary folder, removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vestibule-static-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        // The system's folder may be a link itself.
        Self(path.canonicalize().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and its parent folders, dated 6 November 1994.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        date(&path, 784_111_777);
        path
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Sets the modification time of a file, in seconds since 1970.
pub(crate) fn date(path: &Path, unix: i64) {
    let distance = Duration::from_secs(unix.unsigned_abs());
    let time = match unix < 0 {
        true => SystemTime::UNIX_EPOCH - distance,
        false => SystemTime::UNIX_EPOCH + distance,
    };
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

/// A response with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Returns the value of a field, empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} twice");
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Builds a request from `METHOD target` and lines `name: value`.
pub(crate) fn request(line: &str, fields: &[&str]) -> Request {
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = Request::default();
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = target.parse().unwrap();
    for field in fields {
        let (name, value) = field
            .split_once(": ")
            .unwrap_or((field.trim_end_matches(':'), ""));
        let name = http::HeaderName::try_from(name).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

pub(crate) async fn read(response: Response) -> Answer {
    let (head, body) = response.into_parts();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.collect(64 << 20).await.unwrap(),
    }
}

/// Sends a request through the lint, and checks the rules for every response.
pub(crate) async fn ask(app: &(impl App + Clone), line: &str, fields: &[&str]) -> Answer {
    let app = Lint::new(app.clone()).panics();
    let answer = read(app.call(request(line, fields)).await).await;
    check(&answer, line, fields);
    answer
}

/// Checks the rules for every response.
pub(crate) fn check(answer: &Answer, line: &str, fields: &[&str]) {
    let length = answer.header("content-length");
    let is_head = line.starts_with("HEAD ");
    if is_head || matches!(answer.status, 204 | 304) {
        assert!(answer.body.is_empty(), "{line} {fields:?}: a body");
    } else if !length.is_empty() {
        assert_eq!(length, answer.body.len().to_string(), "{line} {fields:?}");
    }
    if matches!(answer.status, 204 | 304) {
        assert_eq!(length, "", "{line} {fields:?}: a length without a body");
    }
    let location = answer.header("location");
    assert!(
        !location.starts_with("//") && !location.starts_with("/\\"),
        "{line}: {location}"
    );
}

/// Returns only the status.
pub(crate) async fn status(app: &(impl App + Clone), line: &str, fields: &[&str]) -> u16 {
    ask(app, line, fields).await.status
}
