//! `vestibule serve --cors`: scripts of pages from other origins may read the site.
//!
//! Source: Fetch, sections 3.3.2 ("HTTP requests"), 3.3.3 ("HTTP responses") and 3.3.5 ("CORS protocol and HTTP
//! caches").

use std::fmt;

use vestibule::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use vestibule::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use vestibule::{App, Outline, Request, Response, Role};

/// Sets `Access-Control-Allow-Origin` on every response of the wrapped app, errors included, and answers preflights.
///
/// Credentials are never allowed: a browser sends no cookies and no saved passwords. A script may still set
/// `Authorization` itself.
#[derive(Clone, Debug)]
pub(crate) struct Cors<A> {
    app: A,
    origins: AllowedOrigins,
}

/// The origins whose scripts may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// All of them.
    Any,
    /// These, compared byte by byte with what browsers send.
    Listed(Vec<HeaderValue>),
}

impl AllowedOrigins {
    /// Reads the values of `--cors`; `None` when there are no values.
    ///
    /// # Errors
    ///
    /// When `*` and origins are given, since the origins would have no effect.
    pub(crate) fn from_options(values: &[String]) -> Result<Option<Self>, String> {
        match values {
            [] => Ok(None),
            [one] if one == "*" => Ok(Some(Self::Any)),
            several if several.iter().any(|value| value == "*") => {
                let text = "--cors: `*` allows every origin; leave it out, or the other origins";
                Err(text.to_owned())
            }
            several => {
                let listed = several.iter().filter_map(|value| value.parse().ok());
                Ok(Some(Self::Listed(listed.collect())))
            }
        }
    }

    /// The value of `Access-Control-Allow-Origin` in the response to a request with these headers.
    fn allow(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let listed = match self {
            Self::Any => return Some(ANY),
            Self::Listed(listed) => listed,
        };
        let mut lines = request.get_all(ORIGIN).iter();
        match (lines.next(), lines.next()) {
            (Some(origin), None) => listed.iter().find(|one| *one == origin).cloned(),
            _ => None,
        }
    }
}

impl fmt::Display for AllowedOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Listed(listed) => {
                let texts: Vec<_> = listed.iter().flat_map(HeaderValue::to_str).collect();
                f.write_str(&texts.join(" "))
            }
        }
    }
}

impl<A: App> Cors<A> {
    pub(crate) fn new(app: A, origins: AllowedOrigins) -> Self {
        Self { app, origins }
    }

    /// Answers a preflight: 204 with what is allowed, or 403.
    fn preflight(&self, request: &HeaderMap) -> Response {
        let mut response = Response::default();
        let is_allowed = request
            .get(ACCESS_CONTROL_REQUEST_METHOD)
            .is_some_and(|method| SAFELISTED.iter().any(|one| method == one.as_str()));
        let headers = response.headers_mut();
        match self.origins.allow(request).filter(|_| is_allowed) {
            Some(origin) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALL_HEADERS);
                headers.insert(ACCESS_CONTROL_MAX_AGE, TWO_HOURS);
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            None => *response.status_mut() = StatusCode::FORBIDDEN,
        }
        response.headers_mut().insert(VARY, PREFLIGHT_VARY);
        response
    }
}

impl<A: App> App for Cors<A> {
    async fn call(&self, request: Request) -> Response {
        if is_preflight(request.method(), request.headers()) {
            return self.preflight(request.headers());
        }
        let origin = self.origins.allow(request.headers());

        let mut response = self.app.call(request).await;

        if response.status().is_informational() {
            return response;
        }
        let headers = response.headers_mut();
        headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
        headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
        if let Some(origin) = origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANY);
        }
        // Any origin gets the same answer, so caches need not tell them apart.
        if self.origins != AllowedOrigins::Any {
            headers.append(VARY, VARIES_BY_ORIGIN);
        }
        response
    }

    fn describe(&self, outline: &mut Outline) {
        outline
            .role(Role::CORS)
            .option("origins", &self.origins)
            .wraps(&self.app);
    }
}

/// Whether a browser asks for permission before it sends its request.
fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Reads one value of `--cors`: `*`, or an origin as browsers write it.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let wrong = || "`*`, or scheme://host[:port], as in https://example.org".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(wrong());
    };
    if host.contains('*') {
        return Err("origins without patterns: repeat the option for each origin".to_owned());
    }
    let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    let host = host.strip_suffix('.').unwrap_or(&host);
    let port = uri.port_u16().filter(|port| {
        !matches!(
            (&*scheme, port),
            ("http", 80) | ("https", 443) | ("ws", 80) | ("wss", 443)
        )
    });
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    let normal = format!("{scheme}://{host}{port}");
    if normal == text {
        Ok(normal)
    } else {
        Err(format!("write it as browsers send it: {normal}"))
    }
}

/// A request with one of these needs no permission for its method; a site of files has no others.
const SAFELISTED: [Method; 3] = [Method::GET, Method::HEAD, Method::POST];

const ANY: HeaderValue = HeaderValue::from_static("*");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD");
/// `*` does not cover `Authorization`.
const ALL_HEADERS: HeaderValue = HeaderValue::from_static("*, authorization");
/// Chromium keeps a permission for at most two hours.
const TWO_HOURS: HeaderValue = HeaderValue::from_static("7200");
const VARIES_BY_ORIGIN: HeaderValue = HeaderValue::from_static("origin");
const PREFLIGHT_VARY: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> AllowedOrigins {
        let values = ["https://a.example".into(), "http://b:8080".into()];
        AllowedOrigins::from_options(&values).unwrap().unwrap()
    }

    #[test]
    fn only_a_listed_origin_is_echoed() {
        let cases: &[(&[&str], Option<&str>)] = &[
            (&["https://a.example"], Some("https://a.example")),
            (&["http://b:8080"], Some("http://b:8080")),
            (&[], None),
            (&["null"], None),
            (&["https://a.example:443"], None),
            (&["https://a.example/"], None),
            (&["https://a.example."], None),
            (&["HTTPS://a.example"], None),
            (&["http://a.example"], None),
            (&["https://a.example.evil"], None),
            (&["https://evil-a.example"], None),
            (&["https://a.example, https://x"], None),
            (&["https://a.example", "https://a.example"], None),
        ];
        for (lines, want) in cases {
            let mut headers = HeaderMap::new();
            for line in *lines {
                headers.append(ORIGIN, line.parse().unwrap());
            }
            let found = listed().allow(&headers);
            let found = found.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(found, *want, "{lines:?}");
            assert_eq!(AllowedOrigins::Any.allow(&headers), Some(ANY));
        }
    }

    #[test]
    fn an_option_is_an_origin_as_browsers_write_it() {
        for right in [
            "*",
            "https://a.example",
            "http://localhost:3000",
            "http://[::1]:8080",
            "chrome-extension://abcdefgh",
        ] {
            assert_eq!(origin(right).as_deref(), Ok(right));
        }
        let corrected = [
            ("https://A.example", "https://a.example"),
            ("https://a.example/", "https://a.example"),
            ("https://a.example/app?x", "https://a.example"),
            ("https://a.example:443", "https://a.example"),
            ("http://a.example.:80", "http://a.example"),
            ("https://user@a.example", "https://a.example"),
        ];
        for (wrong, right) in corrected {
            let fault = origin(wrong).unwrap_err();
            assert!(fault.ends_with(&format!(": {right}")), "{wrong}: {fault}");
        }
        for wrong in [
            "",
            "a.example",
            "null",
            "https://",
            "//a.example",
            "https://*.a",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
        let values = ["*".to_owned(), "https://a.example".to_owned()];
        assert!(AllowedOrigins::from_options(&values).is_err());
    }
}
