//! A client without a socket.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use vestibule_core::{App, Body, Request, Response};
use vestibule_fields::date::HttpDate;

use crate::{Answer, request};

/// Sends a request, given as text, to an app. The response is text too, for comparisons and
/// snapshots. [`request`] and [`Answer`] describe both formats.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{CollectError, Request};
/// use vestibule_test::ask;
///
/// async fn echo(request: Request) -> Result<Vec<u8>, CollectError> {
///     Ok(request.into_body().collect(1024).await?.to_vec())
/// }
///
/// assert_eq!(ask(&echo, "POST / HTTP/1.1\nhost: x\n\nbody").await, "\
/// HTTP/1.1 200 OK
/// content-type: application/octet-stream
///
/// body");
/// # }
/// ```
///
/// # Panics
///
/// Panics if the text is not a request.
pub async fn ask<A: App>(app: &A, text: &str) -> String {
    answer(app, text).await.to_string()
}

/// Sends a request as [`ask`], and returns the response in its parts.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::Request;
///
/// let app = |_: Request| async { "hello" };
/// let answer = vestibule_test::answer(&app, "GET /").await;
/// assert_eq!((answer.status.as_u16(), answer.text()), (200, "hello".to_owned()));
/// # }
/// ```
///
/// # Panics
///
/// Panics if the text is not a request.
pub async fn answer<A: App>(app: &A, text: &str) -> Answer {
    Answer::read(app.call(request(text)).await).await
}

/// A client that stores cookies, and optionally follows redirects.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use http::StatusCode;
/// use vestibule_core::{IntoResponse, Request};
/// use vestibule_test::Client;
///
/// let app = |request: Request| async move {
///     match request.uri().path() {
///         "/login" => (StatusCode::SEE_OTHER, [("set-cookie", "user=me; Path=/"), ("location", "/home")], ()).into_response(),
///         _ => format!("{:?}", request.headers().get("cookie")).into_response(),
///     }
/// };
/// let mut client = Client::new(app).follow(5);
/// let answer = client.ask("POST /login").await;
/// assert_eq!(answer.text(), "Some(\"user=me\")");
/// # }
/// ```
#[doc(alias("TestClient", "TestServer", "oneshot"))]
pub struct Client<A> {
    app: A,
    follow: usize,
    cookies: Vec<Cookie>,
}

impl<A: App> Client<A> {
    /// Creates a client of `app`, without cookies. It does not follow redirects.
    pub const fn new(app: A) -> Self {
        Self {
            app,
            follow: 0,
            cookies: Vec::new(),
        }
    }

    /// Sets the maximum number of redirects to follow for each request. Defaults to 0.
    #[must_use]
    pub const fn follow(mut self, redirects: usize) -> Self {
        self.follow = redirects;
        self
    }

    /// Sends a request, given as text, and reads the response to its end.
    ///
    /// # Panics
    ///
    /// Panics if the text is not a request.
    pub async fn ask(&mut self, text: &str) -> Answer {
        self.send(request(text)).await
    }

    /// Sends a request and reads the response to its end.
    pub async fn send(&mut self, request: Request) -> Answer {
        let (mut method, mut uri) = (request.method().clone(), request.uri().clone());
        let (mut headers, version) = (request.headers().clone(), request.version());
        let mut body = request.body().as_bytes().cloned();
        let mut answer = Answer::read(self.call(request).await).await;
        for _ in 0..self.follow {
            let Some(next) = redirect(&answer, &uri) else {
                break;
            };
            uri = next;
            // RFC 9110, section 15.4: 303 is followed by a GET. So are 301 and 302 after a POST, by
            // convention.
            let status = answer.status.as_u16();
            if (status == 303 && method != Method::HEAD)
                || (method == Method::POST && status <= 302)
            {
                method = Method::GET;
                body = None;
                headers.remove(CONTENT_LENGTH);
                headers.remove(CONTENT_TYPE);
            }
            let mut request = Request::new(body.clone().map_or_else(Body::empty, Body::from));
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            *request.version_mut() = version;
            answer = Answer::read(self.call(request).await).await;
        }
        answer
    }

    /// Sends a request, given as text. The test reads the body of the response frame by frame.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{Body, Request, Response};
    /// use vestibule_test::{Client, Piece};
    ///
    /// let app = |_: Request| async {
    ///     let (mut sender, body) = Body::channel();
    ///     tokio::spawn(async move {
    ///         for text in ["tick", "tock"] {
    ///             sender.send(text).await?;
    ///         }
    ///         sender.finish();
    ///         Ok::<_, vestibule_core::Closed>(())
    ///     });
    ///     Response::new(body)
    /// };
    /// let mut reply = Client::new(app).open("GET /").await;
    /// assert_eq!(reply.status, 200);
    /// assert_eq!(reply.next().await, Some(Piece::Data("tick".into())));
    /// assert_eq!(reply.next().await, Some(Piece::Data("tock".into())));
    /// assert_eq!(reply.next().await, None);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the text is not a request.
    pub async fn open(&mut self, text: &str) -> Reply {
        let (head, body) = self.call(request(text)).await.into_parts();
        Reply {
            status: head.status,
            headers: head.headers,
            extensions: head.extensions,
            body,
        }
    }

    /// Returns the stored cookies as `name=value`.
    pub fn cookies(&self) -> impl Iterator<Item = String> {
        self.cookies.iter().map(Cookie::pair)
    }

    /// Sends a request with the cookies for its URL, and stores the cookies of the response.
    async fn call(&mut self, mut request: Request) -> Response {
        let (host, path) = (host_of(&request), request.uri().path().to_owned());
        let own = self
            .cookies
            .iter()
            .filter(|cookie| cookie.is_for(&host, &path));
        let pairs: Vec<_> = own.map(Cookie::pair).collect();
        if let Ok(value) = HeaderValue::from_str(&pairs.join("; "))
            && !pairs.is_empty()
            && !request.headers().contains_key(COOKIE)
        {
            request.headers_mut().insert(COOKIE, value);
        }
        let response = self.app.call(request).await;
        for value in response.headers().get_all(SET_COOKIE) {
            let Some((cookie, is_over)) = value
                .to_str()
                .ok()
                .and_then(|text| Cookie::parse(text, &host, &path))
            else {
                continue;
            };
            self.cookies.retain(|other| !other.is_same(&cookie));
            if !is_over {
                self.cookies.push(cookie);
            }
        }
        response
    }
}

impl<A: fmt::Debug> fmt::Debug for Client<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("app", &self.app)
            .field("follow", &self.follow)
            .field("cookies", &self.cookies)
            .finish()
    }
}

/// A response whose body is read frame by frame. A drop before its end simulates a client that
/// closes the connection.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The extensions that layers have stored.
    pub extensions: http::Extensions,
    /// The rest of the body.
    pub body: Body,
}

/// An element of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A chunk of data.
    Data(Bytes),
    /// The trailers.
    Trailers(HeaderMap),
    /// The error that ended the body.
    Error(String),
}

impl Reply {
    /// Returns the next element of the body, or `None` at its end.
    pub async fn next(&mut self) -> Option<Piece> {
        Some(match self.body.frame().await? {
            Ok(frame) => match frame.into_data() {
                Ok(data) => Piece::Data(data),
                Err(frame) => Piece::Trailers(frame.into_trailers().unwrap_or_default()),
            },
            Err(error) => Piece::Error(error.to_string()),
        })
    }
}

/// A stored cookie. `Secure` is ignored, since there is no connection.
#[derive(Clone, Debug)]
struct Cookie {
    name: String,
    value: String,
    host: String,
    path: String,
}

impl Cookie {
    /// Returns the cookie, and whether it has already expired. Servers remove a cookie in this way.
    fn parse(text: &str, host: &str, path: &str) -> Option<(Self, bool)> {
        let mut parts = text.split(';').map(str::trim);
        let (name, value) = parts.next()?.split_once('=')?;
        let mut cookie = Self {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
            host: host.to_owned(),
            path: default_path(path).to_owned(),
        };
        let now = HttpDate::from(SystemTime::now());
        let (mut expires, mut max_age) = (None, None);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match (&*name.trim().to_ascii_lowercase(), value.trim()) {
                ("path", path) if path.starts_with('/') => path.clone_into(&mut cookie.path),
                ("expires", date) => expires = HttpDate::parse(date, now),
                ("max-age", age) => max_age = age.parse::<i64>().ok(),
                _ => {}
            }
        }
        // RFC 6265, section 5.3: Max-Age has precedence.
        let is_over = match (max_age, expires) {
            (Some(age), _) => age <= 0,
            (None, Some(date)) => date <= now,
            (None, None) => false,
        };
        Some((cookie, is_over))
    }

    fn pair(&self) -> String {
        format!("{}={}", self.name, self.value)
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.host, &self.path) == (&other.name, &other.host, &other.path)
    }

    /// Path matching of RFC 6265, section 5.1.4.
    fn is_for(&self, host: &str, path: &str) -> bool {
        let is_below = path.strip_prefix(&*self.path).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/')
        });
        self.host == host && is_below
    }
}

/// Returns the directory of a path.
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

fn host_of(request: &Request) -> String {
    let field = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    request
        .uri()
        .host()
        .or(field)
        .unwrap_or_default()
        .to_ascii_lowercase()
}

/// Returns the target of a redirect relative to `base`. All hosts lead to the same app.
fn redirect(answer: &Answer, base: &Uri) -> Option<Uri> {
    let is_redirect = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = answer.headers.get(LOCATION)?.to_str().ok()?;
    if !is_redirect {
        return None;
    }
    let location = location.split('#').next().unwrap_or_default();
    if location.contains("://") {
        return location.parse().ok();
    }
    let (reference, query) = match location.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (location, None),
    };
    let path = match reference {
        "" => base.path().to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("{}/{path}", default_path(base.path()).trim_end_matches('/')),
    };
    let path = without_dots(&path);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let origin = match (base.scheme_str(), base.authority()) {
        (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
        _ => String::new(),
    };
    format!("{origin}{path}{query}").parse().ok()
}

/// Removes dot segments (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use vestibule_core::IntoResponse;

    use super::*;

    #[tokio::test]
    async fn redirects_are_resolved() {
        // Each row: the base, the location, the target.
        let cases = [
            ("/a/b", "/c", Some("/c")),
            ("/a/b", "c", Some("/a/c")),
            ("/a/b", "../c?d#e", Some("/c?d")),
            ("/a/b/", "..", Some("/a/")),
            ("/a/b", "?q", Some("/a/b?q")),
            ("http://h/a", "b", Some("http://h/b")),
            ("/a", "https://h/b", Some("https://h/b")),
        ];
        for (base, location, want) in cases {
            let response = (StatusCode::FOUND, [("location", location)], ()).into_response();
            let answer = Answer::read(response).await;
            let next = redirect(&answer, &base.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(next.as_deref(), want, "{base} {location}");
        }
    }

    #[test]
    fn cookies_are_for_their_path() {
        let cases = [
            ("a=b", "/x/y", "/x/z", true),
            ("a=b", "/x/y", "/z", false),
            ("a=b; Path=/x", "/", "/x", true),
            ("a=b; Path=/x", "/", "/xy", false),
            ("a=b; path=/", "/x/y", "/", true),
        ];
        for (text, set_at, path, is_sent) in cases {
            let (cookie, is_over) = Cookie::parse(text, "h", set_at).unwrap();
            assert!(!is_over);
            assert_eq!(cookie.is_for("h", path), is_sent, "{text}, {path}");
            assert!(!cookie.is_for("other", path));
        }
        for text in ["a=; Max-Age=0", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"] {
            assert!(Cookie::parse(text, "h", "/").unwrap().1, "{text}");
        }
        assert!(
            !Cookie::parse(
                "a=; Max-Age=9; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
                "h",
                "/"
            )
            .unwrap()
            .1
        );
    }
}
