//! What the tests share: requests in a line, directories that end with the test.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64ct::{Base64, Encoding};
use vestibule_auth::Identity;
use vestibule_core::http::HeaderValue;
use vestibule_core::{App, Failure, Request, Response};

/// An app that says who asks, or "nobody".
pub(crate) async fn who(request: Request) -> String {
    Identity::of(&request).map_or("nobody".to_owned(), |it| it.subject().to_owned())
}

/// Whether this process is the one whose whole output is looked at for secrets; then every event of the
/// crate is printed, the finest too.
pub(crate) fn is_heard() -> bool {
    static HEARD: LazyLock<bool> = LazyLock::new(|| {
        let is_heard = std::env::var_os(HEARD_VARIABLE).is_some();
        if is_heard {
            let level = tracing_subscriber::filter::LevelFilter::TRACE;
            tracing_subscriber::fmt().with_max_level(level).init();
        }
        is_heard
    });
    *HEARD
}

pub(crate) const HEARD_VARIABLE: &str = "VESTIBULE_AUTH_IS_HEARD";

/// A request for `target` with these header lines.
pub(crate) fn request(target: &str, headers: &[(&'static str, &[u8])]) -> Request {
    is_heard();
    let mut request = Request::default();
    let (method, target) = target.split_once(' ').unwrap_or(("GET", target));
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = target.parse().unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value).unwrap();
        request.headers_mut().append(*name, value);
    }
    request
}

pub(crate) fn basic(user: &str, password: &str) -> Vec<u8> {
    let text = Base64::encode_string(format!("{user}:{password}").as_bytes());
    format!("Basic {text}").into_bytes()
}

/// The answer to `GET /` with this `Authorization`.
pub(crate) async fn ask(app: &impl App, authorization: impl AsRef<[u8]>) -> Response {
    let request = request("/", &[("authorization", authorization.as_ref())]);
    let response = app.call(request).await;
    if is_heard() {
        let (parts, cause) = (response.headers(), Failure::of(&response));
        println!("{} {parts:?} {cause:?}", response.status());
        println!("{}", cause.map(ToString::to_string).unwrap_or_default());
    }
    response
}

/// The status, and the body as text.
pub(crate) async fn read(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect(1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> Vec<&'a str> {
    let all = response.headers().get_all(name).iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

/// A directory of the test's own.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        is_heard();
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "vestibule-auth-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
