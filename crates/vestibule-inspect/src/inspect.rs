//! The page, and its data as JSON.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use vestibule_core::{
    App, Body, IntoResponse, Mount, Outline, Peer, Request, Response, Stack, Timings,
};
use vestibule_fields::method::is_registered;

use crate::json;

/// Shows the layers of a stack: the page at its mount, and JSON at `json` below it.
///
/// Clients on other machines (see [`Peer::is_local`]) get a 404, as for an unknown path. Methods other than
/// GET and HEAD get a 405, or a 501 if they are not registered with IANA.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, CatchPanic, Mounts, Request, Stack};
/// use vestibule_inspect::Inspect;
///
/// let stack = Stack::new().with(CatchPanic::new).timed();
/// let app = stack.app(Mounts::new().at("/-/stack", Inspect::new(&stack).to_everyone()));
///
/// let mut request = Request::default();
/// *request.uri_mut() = "/-/stack/json".parse().unwrap();
/// let body = app.call(request).await.into_body().collect(9999).await.unwrap();
/// assert!(body.starts_with(br#"{"is_timed":true,"layers":[{"name":"CatchPanic","options":{},"count":0,"#));
/// # }
/// ```
#[doc(alias("dashboard", "profile", "waterfall"))]
#[derive(Clone, Debug)]
pub struct Inspect {
    outline: Outline,
    timings: Option<Timings>,
    is_public: bool,
}

impl Inspect {
    /// Creates the page of `stack`, with its current layers and with live times.
    #[must_use]
    pub fn new(stack: &Stack) -> Self {
        Self {
            outline: stack.outline(),
            timings: stack.timings(),
            is_public: false,
        }
    }

    /// Allows clients on all machines. Put an authentication layer in front.
    #[must_use]
    pub const fn to_everyone(mut self) -> Self {
        self.is_public = true;
        self
    }

    /// Returns the data of the page as JSON.
    ///
    /// ```
    /// use vestibule_core::Stack;
    /// use vestibule_inspect::Inspect;
    ///
    /// let json = Inspect::new(&Stack::new()).json();
    /// assert!(json.starts_with(r#"{"is_timed":false,"#));
    /// ```
    #[must_use]
    pub fn json(&self) -> String {
        json::write(&self.outline, self.timings.as_ref())
    }
}

impl App for Inspect {
    async fn call(&self, request: Request) -> Response {
        if !self.is_public && !Peer::is_local(&request) {
            return StatusCode::NOT_FOUND.into_response();
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return match is_registered(request.method()) {
                true => {
                    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")], "").into_response()
                }
                false => StatusCode::NOT_IMPLEMENTED.into_response(),
            };
        }
        let (kind, body) = match Mount::rest_of(&request) {
            "" | "/" => ("text/html; charset=utf-8", Body::from(PAGE)),
            "/json" => ("application/json", Body::from(self.json())),
            _ => return StatusCode::NOT_FOUND.into_response(),
        };
        let mut response = Response::new(match *request.method() {
            Method::HEAD => body.without_bytes(),
            _ => body,
        });
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, kind),
            (CACHE_CONTROL, "no-store"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn describe(&self, outline: &mut Outline) {
        if self.is_public {
            outline.option("for", "everyone");
        }
    }
}

const PAGE: &str = include_str!("page.html");
const CONTENT_SECURITY_POLICY: HeaderName = HeaderName::from_static("content-security-policy");
const X_CONTENT_TYPE_OPTIONS: HeaderName = HeaderName::from_static("x-content-type-options");
/// The page loads nothing else. Names and paths are inserted as text, never as markup.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

#[cfg(test)]
mod tests {
    use vestibule_core::{Address, Mounts};

    use super::*;

    async fn ask(app: &impl App, method: Method, path: &str, peer: &str) -> Response {
        let mut request = Request::default();
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        let address = Address::Tcp(peer.parse().unwrap());
        request
            .extensions_mut()
            .insert(Peer::new(address.clone(), address));
        app.call(request).await
    }

    fn frob() -> Method {
        Method::from_bytes(b"FROB").unwrap()
    }

    #[tokio::test]
    async fn the_page_is_for_local_clients_unless_it_is_open() {
        let stack = Stack::new().timed();
        let app = stack.app(Mounts::new().at("/-/stack", Inspect::new(&stack)));
        let (near, far) = ("127.0.0.1:1", "192.0.2.1:1");
        let cases = [
            (Method::GET, "/-/stack", near, 200),
            (Method::HEAD, "/-/stack/", near, 200),
            (Method::GET, "/-/stack/json", near, 200),
            (Method::GET, "/-/stack/other", near, 404),
            (Method::POST, "/-/stack", near, 405),
            (frob(), "/-/stack", near, 501),
            (Method::GET, "/-/stack", far, 404),
            (Method::POST, "/-/stack", far, 404),
        ];
        for (method, path, peer, want) in cases {
            let response = ask(&app, method.clone(), path, peer).await;
            assert_eq!(response.status(), want, "{method} {path} {peer}");
            let has_body = want == 200 && method == Method::GET;
            let body = response.into_body().collect(1 << 20).await.unwrap();
            assert_eq!(!body.is_empty(), has_body, "{method} {path}");
        }
    }

    #[test]
    fn the_page_loads_nothing_from_other_sites() {
        for outside in ["http://", "https://", "src=", "@import", "innerHTML"] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
    }
}
