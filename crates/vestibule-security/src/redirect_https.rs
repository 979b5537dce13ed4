//! Redirects plain HTTP to HTTPS.
//!
//! Source: RFC 9110, section 15.4.9 (308 Permanent Redirect).

use http::header::{HOST, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use vestibule_core::{
    App, IntoResponse, Outline, PathError, Request, Response, Scheme, UnknownPrefix,
};
use vestibule_fields::host::Host;

/// Answers requests with the scheme `http` with a 308 to the same URL with `https`. The app gets
/// the others.
///
/// The scheme is the [`Scheme`] of the request. So put this layer inside
/// [`ProxyHeaders`](crate::ProxyHeaders) if there is a proxy, and outside of layers that ask for a
/// password. A request without a `Host`, or without a path, gets a 400. A 308 keeps the method, and
/// the client sends the body again.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Request};
/// use vestibule_security::RedirectHttps;
///
/// let app = RedirectHttps::new(|_: Request| async { "secret" });
/// let mut request = Request::default();
/// request.headers_mut().insert("host", "example.org:80".parse().unwrap());
/// *request.uri_mut() = "/a?b".parse().unwrap();
///
/// let response = app.call(request).await;
/// assert_eq!(response.status(), 308);
/// assert_eq!(response.headers()["location"], "https://example.org/a?b");
/// # }
/// ```
#[doc(alias("https", "tls", "ssl"))]
#[derive(Clone, Debug)]
pub struct RedirectHttps<A> {
    app: A,
    port: u16,
}

impl<A: App> RedirectHttps<A> {
    /// Wraps `app`. The port of https defaults to 443.
    pub fn new(app: A) -> Self {
        Self { app, port: 443 }
    }

    /// Sets the port of https. Defaults to 443.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }
}

impl<A: App> App for RedirectHttps<A> {
    async fn call(&self, request: Request) -> Response {
        if Scheme::of(&request) == Scheme::Https {
            return self.app.call(request).await;
        }
        // Browsers store a permanent redirect, so the target must not lack a part of the path.
        if UnknownPrefix::of(&request).is_some() {
            return PathError::UnknownPrefix.into_response();
        }
        match location(request.headers(), request.uri(), self.port) {
            Some(location) => {
                (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)], ()).into_response()
            }
            None => StatusCode::BAD_REQUEST.into_response(),
        }
    }

    fn describe(&self, outline: &mut Outline) {
        outline.option("port", self.port).wraps(&self.app);
    }
}

/// Returns the same URL with `https`, or `None` if the request has no host or no path.
fn location(headers: &HeaderMap, uri: &Uri, port: u16) -> Option<HeaderValue> {
    let host = Host::parse(headers.get(HOST)?)?;
    let (name, path) = (host.name(), uri.path_and_query()?.as_str());
    if !path.starts_with('/') {
        return None;
    }
    let text = match port {
        443 => format!("https://{name}{path}"),
        port => format!("https://{name}:{port}{path}"),
    };
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_location_is_the_same_url_with_https() {
        let cases = [
            (Some("a"), "/", 443, Some("https://a/")),
            (Some("a:80"), "/b?c=%0a", 443, Some("https://a/b?c=%0a")),
            (Some("a:80"), "//b/", 8443, Some("https://a:8443//b/")),
            (Some("[::1]:80"), "/", 443, Some("https://[::1]/")),
            (Some("a"), "http://b/c", 443, Some("https://a/c")),
            (Some("a"), "*", 443, None),
            (Some("a@b"), "/", 443, None),
            (Some("a/b"), "/", 443, None),
            (Some(""), "/", 443, None),
            (None, "/", 443, None),
        ];
        for (host, uri, port, want) in cases {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(HOST, host.parse().unwrap());
            }
            let got = location(&headers, &uri.parse().unwrap(), port);
            let got = got.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(got, want, "{host:?} {uri}");
        }
    }
}
