//! Converts variables to a request.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::header::{self, HeaderMap};
use http::uri::Uri;
use http::{HeaderName, HeaderValue};
use vestibule_core::{Address, Body, Mount, Peer, RemoteUser, Request};
use vestibule_fields::cookie;
use vestibule_fields::forwarding::named_by_connection;
use vestibule_fields::host::Host;
use vestibule_fields::list::trim;

use crate::environ::{is_hop_by_hop, method};
use crate::path::{PathSource, target};
use crate::{Environ, EnvironError};

/// The rules that convert variables to a request.
///
/// | variable | result |
/// |---|---|
/// | `REQUEST_METHOD`, `SERVER_PROTOCOL` | method and version |
/// | `REQUEST_URI`, `SCRIPT_NAME`, `PATH_INFO`, `QUERY_STRING` | the URI, and the [`Mount`] |
/// | `HTTP_FOO_BAR` | the header `foo-bar`, one line for each variable |
/// | `CONTENT_TYPE`, `CONTENT_LENGTH` | headers; the body must have that length |
/// | `HTTPS`, `REQUEST_SCHEME` | [`Scheme`](vestibule_core::Scheme) |
/// | `REMOTE_*`, `SERVER_ADDR`, `SERVER_PORT` | [`Peer`] |
/// | all | [`Environ::of`] |
///
/// `HTTP_PROXY` never becomes a header (httpoxy). Neither do fields of the connection, nor
/// `Expect`, which the web server has already handled. `X-Forwarded-*` are normal headers: this
/// crate does not know their author.
///
/// ```
/// use vestibule_core::Mount;
/// use vestibule_environ::{Environ, Mapping};
///
/// let environ = Environ::from_iter([
///     ("REQUEST_METHOD", "GET"),
///     ("REQUEST_URI", "/app/a%2Fb?q=1"),
///     ("SCRIPT_NAME", "/app"),
///     ("PATH_INFO", "/a/b"),
///     ("HTTP_X_COLOUR", "red"),
///     ("HTTP_PROXY", "http://evil.example/"),
/// ]);
/// let request = Mapping::new().request(environ).unwrap();
/// assert_eq!(request.uri(), "/app/a%2Fb?q=1");
/// assert_eq!(Mount::rest_of(&request), "/a%2Fb");
/// assert_eq!(request.headers()["x-colour"], "red");
/// assert!(!request.headers().contains_key("proxy"));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Mapping {
    mount: Option<String>,
    path_source: PathSource,
    trusts_remote_user: bool,
}

impl Mapping {
    /// Creates the mapping that works with every web server: the mount is `SCRIPT_NAME`, if it is
    /// valid.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the mount path of the app, such as `/app`, instead of `SCRIPT_NAME`.
    ///
    /// A path outside it has no mount.
    pub fn mount(mut self, prefix: impl Into<String>) -> Self {
        self.mount = Some(prefix.into());
        self
    }

    /// Sets the source of the path. Defaults to [`PathSource::Auto`].
    pub const fn path_source(mut self, source: PathSource) -> Self {
        self.path_source = source;
        self
    }

    /// Sets whether `REMOTE_USER` is trusted. Defaults to `false`.
    ///
    /// Enable it only when the web server authenticates users itself. nginx fills `REMOTE_USER`
    /// with the name from *any* `Authorization: Basic`, without a check.
    pub const fn trust_remote_user(mut self, trusts: bool) -> Self {
        self.trusts_remote_user = trusts;
        self
    }

    /// Converts variables to a request.
    ///
    /// # Errors
    ///
    /// Fails when the variables are not a valid request. The [`EnvironError`] converts to a
    /// response.
    pub fn request(&self, mut environ: Environ) -> Result<Request, EnvironError> {
        let method = method(&environ)?;
        let target = target(&environ, self.path_source, self.mount.as_deref())?;
        let length = environ.content_length()?;
        let mut headers = headers(&environ)?;
        match host(&headers, &environ)? {
            Some(host) => drop(headers.insert(header::HOST, host)),
            None => drop(headers.remove(header::HOST)),
        }
        let body = match (environ.take_input(), length) {
            (_, Some(0)) => Body::empty(),
            (body, Some(length)) if body.as_bytes().map(|it| it.len() as u64) != Some(length) => {
                body.with_length(length)
            }
            (body, _) => body,
        };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.version_mut() = environ.version();
        *request.headers_mut() = headers;
        let path = target.text.path().to_owned();
        *request.uri_mut() = Uri::from(target.text);
        let extensions = request.extensions_mut();
        if target.prefix > 0 {
            extensions.insert(Mount::new(path, target.prefix));
        }
        if let Some(peer) = peer(&environ) {
            extensions.insert(peer);
        }
        extensions.insert(environ.scheme());
        if let Some(user) = environ
            .filled("REMOTE_USER")
            .filter(|_| self.trusts_remote_user)
        {
            let name = String::from_utf8_lossy(user).into_owned();
            extensions.insert(RemoteUser::new(name, auth_type(&environ)));
        }
        extensions.insert(Arc::new(environ));
        Ok(request)
    }
}

fn peer(environ: &Environ) -> Option<Peer> {
    let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let local = environ.local().unwrap_or(nowhere);
    Some(Peer::new(Address::Tcp(environ.remote()?), local.into()))
}

fn headers(environ: &Environ) -> Result<HeaderMap, EnvironError> {
    let mut headers = HeaderMap::new();
    for (name, value) in environ.iter() {
        if let Some(name) = header_name(name) {
            headers
                .try_append(name, header_value(value)?)
                .map_err(|_| EnvironError::Header)?;
        }
    }
    // nginx sends both forms; the CGI variable takes precedence.
    for (name, variable) in [
        (header::CONTENT_TYPE, "CONTENT_TYPE"),
        (header::CONTENT_LENGTH, "CONTENT_LENGTH"),
    ] {
        if let Some(value) = environ.filled(variable) {
            headers.insert(name, header_value(value)?);
        }
    }
    // The idiom of mod_rewrite, since Apache hides the field from CGI programs.
    let redirected = environ.filled("REDIRECT_HTTP_AUTHORIZATION");
    if let (Some(value), false) = (redirected, headers.contains_key(header::AUTHORIZATION)) {
        headers.insert(header::AUTHORIZATION, header_value(value)?);
    }
    remove_hop_by_hop(&mut headers);
    // nginx sends a variable for each field.
    cookie::join(&mut headers);
    Ok(headers)
}

/// Converts `HTTP_FOO_BAR` to `foo-bar`; returns `None` for a variable that is not a header.
fn header_name(variable: &[u8]) -> Option<HeaderName> {
    let shouted = variable.strip_prefix(b"HTTP_")?;
    if matches!(
        shouted,
        b"PROXY" | b"EXPECT" | b"CONTENT_TYPE" | b"CONTENT_LENGTH"
    ) {
        return None;
    }
    let dashed = shouted.iter().map(|byte| match byte {
        b'_' => b'-',
        other => *other,
    });
    HeaderName::from_bytes(&dashed.collect::<Vec<_>>()).ok()
}

fn header_value(value: &[u8]) -> Result<HeaderValue, EnvironError> {
    HeaderValue::from_bytes(trim(value)).map_err(|_| EnvironError::Header)
}

/// Removes the fields of the connection, and those that `Connection` lists.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named = named_by_connection(headers);
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|it| is_hop_by_hop(it))
        .cloned()
        .collect();
    for name in own.iter().chain(&named) {
        headers.remove(name);
    }
}

/// Returns `HTTP_HOST`, or else a host from `SERVER_NAME` and `SERVER_PORT`.
fn host(headers: &HeaderMap, environ: &Environ) -> Result<Option<HeaderValue>, EnvironError> {
    if headers.contains_key(header::HOST) {
        let host = Host::from_headers(headers).ok_or(EnvironError::Host)?;
        return Ok(Some(host.to_header_value()));
    }
    let name = environ.filled("SERVER_NAME").unwrap_or_default();
    let Ok(name) = std::str::from_utf8(name) else {
        return Ok(None);
    };
    let mut text = match name.contains(':') && !name.starts_with('[') {
        true => format!("[{name}]"),
        false => name.to_owned(),
    };
    let default_port = environ.scheme().default_port();
    if let Some(port) = environ.port("SERVER_PORT").filter(|it| *it != default_port) {
        text = format!("{text}:{port}");
    }
    // A configured name may not be a host, such as `_`; the request then has none.
    Ok(Host::parse(&text).map(|host| host.to_header_value()))
}

/// Returns `AUTH_TYPE`, if it is a scheme that web servers know.
fn auth_type(environ: &Environ) -> &'static str {
    let told = environ.filled("AUTH_TYPE").unwrap_or_default();
    let schemes = ["Basic", "Bearer", "Digest", "Negotiate", "NTLM"];
    let known = |scheme: &&str| scheme.as_bytes().eq_ignore_ascii_case(told);
    schemes.into_iter().find(known).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vestibule_core::Scheme;

    use super::*;

    fn mapped(variables: &[(&str, &[u8])]) -> Result<Request, EnvironError> {
        let mut environ = Environ::from_iter([("REQUEST_METHOD", "POST")]);
        for (name, value) in variables {
            environ.push(*name, *value);
        }
        Mapping::new().request(environ)
    }

    /// Returns the values of a header, joined by `|`; empty when there is none.
    fn lines(variables: &[(&str, &[u8])], name: &str) -> Result<String, EnvironError> {
        let request = mapped(variables)?;
        let values = request.headers().get_all(name).iter();
        let values: Vec<_> = values
            .map(|it| {
                it.as_bytes()
                    .iter()
                    .copied()
                    .map(char::from)
                    .collect::<String>()
            })
            .collect();
        Ok(values.join("|"))
    }

    type Case<'a> = (
        &'a [(&'a str, &'a [u8])],
        &'a str,
        Result<&'a str, EnvironError>,
    );

    fn check(cases: &[Case<'_>]) {
        for (variables, name, expected) in cases {
            let got = lines(variables, name);
            assert_eq!(got.as_deref().map_err(|it| *it), *expected, "{variables:?}");
        }
    }

    #[test]
    fn headers_are_appended() {
        check(&[(&[("HTTP_X_D", b"1"), ("HTTP_X_D", b"2")], "x-d", Ok("1|2"))]);
    }

    #[test]
    fn hosts() {
        let bad = Err(EnvironError::Host);
        check(&[
            (&[("HTTP_HOST", b"ex.test:81")], "host", Ok("ex.test:81")),
            (
                &[("HTTP_HOST", b"ex.test"), ("SERVER_PORT", b"81")],
                "host",
                Ok("ex.test"),
            ),
            (
                &[("SERVER_NAME", b"ex.test"), ("SERVER_PORT", b"81")],
                "host",
                Ok("ex.test:81"),
            ),
            (
                &[("SERVER_NAME", b"ex.test"), ("SERVER_PORT", b"80")],
                "host",
                Ok("ex.test"),
            ),
            (
                &[
                    ("SERVER_NAME", b"e"),
                    ("SERVER_PORT", b"443"),
                    ("HTTPS", b"on"),
                ],
                "host",
                Ok("e"),
            ),
            (
                &[("SERVER_NAME", b"::1"), ("SERVER_PORT", b"81")],
                "host",
                Ok("[::1]:81"),
            ),
            (
                &[("SERVER_NAME", b""), ("SERVER_PORT", b"81")],
                "host",
                Ok(""),
            ),
            (&[("SERVER_NAME", b"a/b")], "host", Ok("")),
            (&[("HTTP_HOST", b"a@b")], "host", bad),
            (&[("HTTP_HOST", b"a/b")], "host", bad),
            (&[("HTTP_HOST", b"a b")], "host", bad),
            (&[("HTTP_HOST", b"a"), ("HTTP_HOST", b"b")], "host", bad),
        ]);
    }

    #[test]
    fn scheme_and_peer_of_the_connection() {
        let request = mapped(&[("HTTPS", b"on"), ("REMOTE_ADDR", b"192.0.2.1")]).unwrap();
        assert_eq!(Scheme::of(&request), Scheme::Https);
        let peer = Peer::of(&request).unwrap();
        assert_eq!(peer.address().to_string(), "192.0.2.1:0");
        assert!(Peer::of(&mapped(&[("REMOTE_ADDR", b"unix:")]).unwrap()).is_none());
    }

    #[test]
    fn remote_users_are_not_trusted() {
        let environ = || Environ::from_iter([("REQUEST_METHOD", "GET"), ("REMOTE_USER", "a")]);
        let request = Mapping::new().request(environ()).unwrap();
        assert!(request.extensions().get::<RemoteUser>().is_none());
        let trusting = Mapping::new().trust_remote_user(true);
        let request = trusting.request(environ()).unwrap();
        let user = RemoteUser::of(&request).unwrap();
        assert_eq!((user.name(), user.auth_type()), ("a", ""));
    }

    #[test]
    fn content_type_and_length() {
        check(&[
            (
                &[("CONTENT_TYPE", b"a/b"), ("HTTP_CONTENT_TYPE", b"c/d")],
                "content-type",
                Ok("a/b"),
            ),
            (&[("CONTENT_TYPE", b"")], "content-type", Ok("")),
            (
                &[("CONTENT_LENGTH", b"3"), ("HTTP_CONTENT_LENGTH", b"4")],
                "content-length",
                Ok("3"),
            ),
            (&[("CONTENT_LENGTH", b"")], "content-length", Ok("")),
            (
                &[("CONTENT_LENGTH", b"x")],
                "x",
                Err(EnvironError::ContentLength),
            ),
        ]);
    }

    #[tokio::test]
    async fn short_bodies_are_errors() {
        for (length, is_whole) in [("3", true), ("4", false), ("2", false)] {
            let mut environ = Environ::from_iter([("REQUEST_METHOD", "POST")]);
            environ.push("CONTENT_LENGTH", length);
            let request = Mapping::new().request(environ.with_input("abc")).unwrap();
            let read = request.into_body().collect(10).await;
            assert_eq!(read.is_ok(), is_whole, "{length}");
        }
    }

    #[test]
    fn queries_of_rewritten_paths() {
        let cases = [
            ("a=1", "/new?a=1"),
            ("", "/new"),
            ("a b", "/new?a%20b"),
            ("?", "/new??"),
        ];
        for (query, target) in cases {
            let request = mapped(&[
                ("REQUEST_URI", b"/old"),
                ("PATH_INFO", b"/new"),
                ("QUERY_STRING", query.as_bytes()),
            ]);
            assert_eq!(request.unwrap().uri().to_string(), target, "{query}");
        }
        // At the root of a mount, the target may end in `?`.
        let request = mapped(&[("REQUEST_URI", b"/a?"), ("SCRIPT_NAME", b"/a")]);
        assert_eq!(request.unwrap().uri().to_string(), "/a?");
    }

    #[tokio::test]
    async fn bodies_without_a_length() {
        let environ = Environ::from_iter([("REQUEST_METHOD", "POST")]);
        let request = Mapping::new().request(environ.with_input("abc")).unwrap();
        assert!(request.headers().get("content-length").is_none());
        assert_eq!(request.into_body().collect(10).await.unwrap(), "abc");
    }

    #[test]
    fn headers_of_variables() {
        check(&[
            (&[("HTTP_X_L", b" caf\xe9\t")], "x-l", Ok("caf\u{e9}")),
            (&[("HTTP_", b"a")], "", Ok("")),
            (&[("HTTP_A B", b"a")], "a b", Ok("")),
            (&[("HTTP_X", b"a\nb")], "x", Err(EnvironError::Header)),
            (&[("HTTP_X", b"a\0")], "x", Err(EnvironError::Header)),
            (&[("HTTP_PROXY", b"evil")], "proxy", Ok("")),
            (&[("HTTP_CONNECTION", b"close")], "connection", Ok("")),
            (
                &[("HTTP_CONNECTION", b"x-a, host"), ("HTTP_X_A", b"1")],
                "x-a",
                Ok(""),
            ),
            (
                &[("HTTP_CONNECTION", b"host"), ("HTTP_HOST", b"a")],
                "host",
                Ok("a"),
            ),
            // A client that removes the field would get the address of the web server.
            (
                &[
                    ("HTTP_CONNECTION", b"x-forwarded-for"),
                    ("HTTP_X_FORWARDED_FOR", b"192.0.2.7"),
                ],
                "x-forwarded-for",
                Ok("192.0.2.7"),
            ),
            (
                &[
                    ("HTTP_CONNECTION", b"X_Real_IP"),
                    ("HTTP_X_REAL_IP", b"192.0.2.7"),
                ],
                "x-real-ip",
                Ok("192.0.2.7"),
            ),
            (
                &[
                    ("HTTP_CONNECTION", b"cookie, authorization"),
                    ("HTTP_COOKIE", b"a=b"),
                ],
                "cookie",
                Ok("a=b"),
            ),
            (&[("HTTP_KEEP_ALIVE", b"1")], "keep-alive", Ok("")),
            (&[("HTTP_TE", b"trailers")], "te", Ok("")),
            (&[("HTTP_TRAILER", b"x")], "trailer", Ok("")),
            (&[("HTTP_UPGRADE", b"h2c")], "upgrade", Ok("")),
            (
                &[("HTTP_TRANSFER_ENCODING", b"chunked")],
                "transfer-encoding",
                Ok(""),
            ),
            (
                &[("HTTP_PROXY_CONNECTION", b"x")],
                "proxy-connection",
                Ok(""),
            ),
            (
                &[("HTTP_COOKIE", b"a=1"), ("HTTP_COOKIE", b"b=2")],
                "cookie",
                Ok("a=1; b=2"),
            ),
            (&[("HTTP_COOKIE", b"a=1, b=2")], "cookie", Ok("a=1, b=2")),
            (
                &[("REDIRECT_HTTP_AUTHORIZATION", b"Basic x")],
                "authorization",
                Ok("Basic x"),
            ),
            (
                &[
                    ("HTTP_AUTHORIZATION", b"y"),
                    ("REDIRECT_HTTP_AUTHORIZATION", b"x"),
                ],
                "authorization",
                Ok("y"),
            ),
            (
                &[("HTTP_X_FORWARDED_FOR", b"6.6.6.6")],
                "x-forwarded-for",
                Ok("6.6.6.6"),
            ),
            (&[("HTTP_EXPECT", b"100-continue")], "expect", Ok("")),
            (&[("PATH", b"/bin")], "path", Ok("")),
        ]);
    }

    #[test]
    fn other_variables_are_in_the_extension() {
        let request = mapped(&[("SSL_PROTOCOL", b"TLSv1.3")]).unwrap();
        let environ = Environ::of(&request).unwrap();
        assert_eq!(environ.get("SSL_PROTOCOL"), Some(&b"TLSv1.3"[..]));
        assert!(request.headers().is_empty());
    }

    proptest! {
        #[test]
        fn every_input_gives_a_request_or_an_error(
            variables in proptest::collection::vec(
                ("(REQUEST_URI|SCRIPT_NAME|PATH_INFO|QUERY_STRING|HTTP_HOST|HTTP_[A-Z_]{0,9}|CONTENT_LENGTH|SERVER_NAME)",
                 proptest::collection::vec(any::<u8>(), 0..20)), 0..8),
            mount in proptest::option::of("(/|/a|/a/|/%41)"),
        ) {
            let mut environ = Environ::from_iter(variables);
            environ.push("REQUEST_METHOD", "GET");
            let mut mapping = Mapping::new();
            mapping.mount = mount;
            if let Ok(request) = mapping.request(environ)
                && let Some(mount) = Mount::of(&request)
            {
                let both = format!("{}{}", mount.prefix(), mount.rest());
                prop_assert_eq!(both, request.uri().path());
            }
        }

        /// For each mount, `SCRIPT_NAME` and `PATH_INFO` together are the decoded path.
        #[test]
        fn mount_and_rest_are_the_decoded_path(
            path in "(/(a|A|%61|b|\\.|%2F|%2f|%E9|caf%C3%A9|;x=1|%25|%zz)?){1,5}",
            mount in proptest::option::of("(|/|/a|/a/|/a/b|/%61|a|//|/a%2Fb)"),
        ) {
            let mut environ = Environ::from_iter([("REQUEST_METHOD", "GET")]);
            environ.push("REQUEST_URI", &*path);
            let mut mapping = Mapping::new();
            mapping.mount = mount;
            let request = mapping.request(environ).unwrap();
            prop_assert_eq!(request.uri().path(), &*path);
            let out = Environ::from(request);
            let part = |name| out.get(name).unwrap_or_default().to_vec();
            let both = [part("SCRIPT_NAME"), part("PATH_INFO")].concat();
            let mut decoded = Vec::new();
            crate::path::decode_into(path.as_bytes(), &mut decoded);
            prop_assert_eq!(both, decoded);
        }

        /// A request that is converted to variables and back does not change.
        #[test]
        fn a_request_as_variables_as_a_request(
            path in "(/[a-z%]?(%2F|%41|//|%E9|;|\\.|%25)?){1,4}",
            query in proptest::option::of("[a-z=&%+]{0,8}"),
            mount in "(/a)?",
        ) {
            let path = format!("{mount}{path}");
            let text = match query {
                Some(query) => format!("{path}?{query}"),
                None => path.clone(),
            };
            let mut request = Request::default();
            *request.uri_mut() = text.parse().unwrap();
            if !mount.is_empty() {
                request.extensions_mut().insert(Mount::new(path, mount.len()));
            }
            let back = Mapping::new().request(Environ::from(request)).unwrap();
            prop_assert_eq!(back.uri().to_string(), text);
            prop_assert_eq!(Mount::of(&back).map_or("", |it| it.prefix()), mount);
        }
    }
}
