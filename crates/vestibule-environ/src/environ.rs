//! The variables of one request, as a typed map.

use std::fmt;
use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::{HeaderName, Method, Version, header};
use vestibule_core::{Address, Body, HasExtensions, Mount, Peer, RemoteUser, Request, Scheme};

use crate::EnvironError;
use crate::path::decode_into;

/// CGI variables in their original order, and the body of the request.
///
/// Names and values are bytes, since web servers also send bytes that are not text. A name may
/// occur twice, as nginx does with `SCRIPT_NAME`; the last value counts.
///
/// A request that was made from variables has them as an extension:
///
/// ```
/// use vestibule_environ::{Environ, Mapping};
///
/// let environ = Environ::from_iter([("REQUEST_METHOD", "GET"), ("DOCUMENT_ROOT", "/srv")]);
/// let request = Mapping::new().request(environ).unwrap();
/// let environ = Environ::of(&request).unwrap();
/// assert_eq!(environ.get("DOCUMENT_ROOT"), Some(&b"/srv"[..]));
/// ```
#[doc(alias("cgi", "wsgi", "PEP 3333"))]
#[derive(Default)]
pub struct Environ {
    /// Names and values in one buffer, since a host creates a set of variables for every request.
    bytes: Vec<u8>,
    variables: Vec<Variable>,
    input: Body,
}

/// The offsets of a name and of its value, and the end of the value.
#[derive(Clone, Copy)]
struct Variable {
    name: usize,
    value: usize,
    end: usize,
}

impl Environ {
    /// Creates an empty set of variables with an empty body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the variables of this process, as a CGI program does.
    #[cfg(unix)]
    #[must_use]
    pub fn from_process() -> Self {
        use std::os::unix::ffi::OsStringExt;
        let variables =
            std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec()));
        Self::from_iter(variables)
    }

    /// Returns the variables that [`Mapping::request`](crate::Mapping::request) made a request
    /// from.
    ///
    /// `source` is a request of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<&Self> {
        source.extensions().get::<Arc<Self>>().map(AsRef::as_ref)
    }

    /// Adds a variable at the end.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.write(
            |bytes| bytes.extend_from_slice(name.as_ref()),
            |bytes| bytes.extend_from_slice(value.as_ref()),
        );
    }

    /// Adds a variable. The closures write its name and value directly into the buffer.
    fn write(&mut self, name: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        name(&mut self.bytes);
        let middle = self.bytes.len();
        value(&mut self.bytes);
        self.variables.push(Variable {
            name: start,
            value: middle,
            end: self.bytes.len(),
        });
    }

    fn pair(&self, variable: &Variable) -> (&[u8], &[u8]) {
        let Variable { name, value, end } = *variable;
        // The ranges are offsets in these bytes.
        let part = |range| self.bytes.get(range).unwrap_or_default();
        (part(name..value), part(value..end))
    }

    /// Replaces all variables with that name.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let bytes = &self.bytes;
        self.variables
            .retain(|it| bytes.get(it.name..it.value) != Some(name.as_bytes()));
        self.push(name, value);
    }

    /// Returns the value of a variable; the last one when there are several.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut all = self.variables.iter().rev().map(|it| self.pair(it));
        all.find_map(|(own, value)| (own == name.as_bytes()).then_some(value))
    }

    /// Returns the value if it is not empty. For most variables, empty means the same as absent.
    #[must_use]
    pub fn filled(&self, name: &str) -> Option<&[u8]> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Returns the value in Python's form: each byte is the character with that number (latin-1).
    ///
    /// ```
    /// use vestibule_environ::Environ;
    ///
    /// let mut environ = Environ::new();
    /// environ.push("PATH_INFO", *b"/caf\xc3\xa9");
    /// assert_eq!(environ.latin1("PATH_INFO").unwrap(), "/caf\u{c3}\u{a9}");
    /// ```
    #[must_use]
    pub fn latin1(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        Some(value.iter().copied().map(char::from).collect())
    }

    /// Iterates over all variables in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.variables.iter().map(|it| self.pair(it))
    }

    /// Returns the number of variables.
    #[must_use]
    pub fn len(&self) -> usize {
        self.variables.len()
    }

    /// Returns whether there are no variables.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }

    /// Takes the body, `wsgi.input` in WSGI, and leaves an empty one.
    #[must_use]
    pub fn take_input(&mut self) -> Body {
        std::mem::take(&mut self.input)
    }

    /// Sets the body.
    #[must_use]
    pub fn with_input(mut self, input: impl Into<Body>) -> Self {
        self.input = input.into();
        self
    }

    /// Returns `CONTENT_LENGTH`; `None` if it is absent or empty.
    ///
    /// # Errors
    ///
    /// Fails when it has another character than digits, or is larger than 2^63 - 1.
    pub fn content_length(&self) -> Result<Option<u64>, EnvironError> {
        let Some(digits) = self.filled("CONTENT_LENGTH") else {
            return Ok(None);
        };
        let length = digits
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| std::str::from_utf8(digits).ok()?.parse().ok())
            .flatten()
            .filter(|length| *length <= u64::MAX >> 1);
        length.map(Some).ok_or(EnvironError::ContentLength)
    }

    /// Returns the scheme: from `HTTPS`, else `REQUEST_SCHEME`, else `http`.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        let is_any = |value: &[u8], of: &[&str]| {
            of.iter()
                .any(|one| value.eq_ignore_ascii_case(one.as_bytes()))
        };
        let is_https = match self.get("HTTPS") {
            Some(value) if is_any(value, &["on", "1", "https"]) => true,
            _ => is_any(self.get("REQUEST_SCHEME").unwrap_or_default(), &["https"]),
        };
        match is_https {
            true => Scheme::Https,
            false => Scheme::Http,
        }
    }

    /// Returns the version in `SERVER_PROTOCOL`; HTTP/1.1 when it is missing or unknown.
    #[must_use]
    pub fn version(&self) -> Version {
        match self.get("SERVER_PROTOCOL").unwrap_or_default() {
            b"HTTP/0.9" => Version::HTTP_09,
            b"HTTP/1.0" => Version::HTTP_10,
            b"HTTP/2" | b"HTTP/2.0" => Version::HTTP_2,
            b"HTTP/3" | b"HTTP/3.0" => Version::HTTP_3,
            _ => Version::HTTP_11,
        }
    }

    /// Returns `REMOTE_ADDR` and `REMOTE_PORT`: the client, as the web server saw it. Port 0 means
    /// unknown. `None` when there is no address, as for the client of a unix socket.
    #[must_use]
    pub fn remote(&self) -> Option<SocketAddr> {
        let port = self.port("REMOTE_PORT").unwrap_or(0);
        Some(SocketAddr::new(self.ip("REMOTE_ADDR")?, port))
    }

    /// Returns `SERVER_ADDR` and `SERVER_PORT`: the address that the client connected to.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        let port = self.port("SERVER_PORT").unwrap_or(0);
        Some(SocketAddr::new(self.ip("SERVER_ADDR")?, port))
    }

    /// Returns a port from 1 to 65535. The client may control it: Apache takes `SERVER_PORT` from
    /// `Host`.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<u16> {
        let digits = self.get(name)?;
        let is_number = digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit);
        let port = is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?;
        port.filter(|port| *port > 0)
    }

    fn ip(&self, name: &str) -> Option<IpAddr> {
        let text = std::str::from_utf8(self.get(name)?).ok()?;
        match text.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => text.parse().ok(),
        }
    }
}

/// Converts a request to the variables of PEP 3333, for a host of WSGI apps or CGI programs.
///
/// `SCRIPT_NAME` is the mount and `PATH_INFO` the rest of the path, both decoded once;
/// `REQUEST_URI` and `RAW_URI` are the unchanged target. `REMOTE_USER` and `AUTH_TYPE` come from
/// [`RemoteUser`]. `SERVER_NAME` and `SERVER_PORT` come from the variables of the original request,
/// or else from the socket.
///
/// Several lines of one header are joined by `, `, those of `Cookie` by `; `. Headers with `_` in
/// their names are left out, since their variables would equal those of other headers. `Proxy` is
/// left out, since it would become `HTTP_PROXY` (httpoxy).
///
/// ```
/// use vestibule_core::Request;
/// use vestibule_environ::Environ;
///
/// let mut request = Request::default();
/// *request.uri_mut() = "/caf%C3%A9?q=%20".parse().unwrap();
/// let environ = Environ::from(request);
/// assert_eq!(environ.get("PATH_INFO"), Some("/caf\u{e9}".as_bytes()));
/// assert_eq!(environ.get("QUERY_STRING"), Some(&b"q=%20"[..]));
/// assert_eq!(environ.get("CONTENT_LENGTH"), None);
/// ```
impl From<Request> for Environ {
    fn from(request: Request) -> Self {
        let mut environ = Self {
            bytes: Vec::with_capacity(1024),
            variables: Vec::with_capacity(24),
            input: Body::empty(),
        };
        let uri = request.uri();
        let (prefix, rest) = match Mount::of(&request) {
            Some(mount) => (mount.prefix(), mount.rest()),
            None => ("", uri.path()),
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        environ.push("REQUEST_METHOD", request.method().as_str());
        for (name, raw) in [("SCRIPT_NAME", prefix), ("PATH_INFO", rest)] {
            let name = |bytes: &mut Vec<u8>| bytes.extend_from_slice(name.as_bytes());
            environ.write(name, |bytes| decode_into(raw.as_bytes(), bytes));
        }
        environ.push("QUERY_STRING", uri.query().unwrap_or_default());
        environ.push("REQUEST_URI", target);
        environ.push("RAW_URI", target);
        environ.push("SERVER_PROTOCOL", protocol(request.version()));
        environ.push("GATEWAY_INTERFACE", "CGI/1.1");
        environ.push("SERVER_SOFTWARE", SOFTWARE);
        let scheme = Scheme::of(&request);
        environ.push("REQUEST_SCHEME", scheme.as_str());
        environ.push("wsgi.url_scheme", scheme.as_str());
        if scheme == Scheme::Https {
            environ.push("HTTPS", "on");
        }
        environ.push_addresses(Peer::of(&request), scheme, request.headers());
        if let Some(user) = RemoteUser::of(&request) {
            environ.push("REMOTE_USER", user.name());
            environ.push("AUTH_TYPE", user.auth_type());
        }
        if let Some(origin) = Self::of(&request) {
            environ.keep_server(origin);
        }
        environ.push_headers(request.headers());
        environ.with_input(request.into_body())
    }
}

impl Environ {
    /// Sets the name and the port of the server, if the web server sent them with the original
    /// request.
    fn keep_server(&mut self, origin: &Self) {
        for name in ["SERVER_NAME", "SERVER_PORT"] {
            if let Some(value) = origin.filled(name) {
                self.set(name, value);
            }
        }
    }

    fn push_addresses(&mut self, peer: Option<&Peer>, scheme: Scheme, headers: &http::HeaderMap) {
        match peer.map(Peer::local) {
            Some(Address::Tcp(local)) => {
                let name = local.ip().to_string();
                self.push("SERVER_NAME", &name);
                self.push("SERVER_ADDR", &name);
                self.push_shown("SERVER_PORT", local.port());
            }
            _ => {
                // A unix socket has no port; that of the web server in front is in `Host`.
                let port = headers.get(header::HOST).and_then(port_of_host);
                self.push("SERVER_NAME", "localhost");
                self.push_shown("SERVER_PORT", port.unwrap_or(scheme.default_port()));
            }
        }
        match peer.map(Peer::address) {
            Some(Address::Tcp(remote)) => {
                self.push_shown("REMOTE_ADDR", remote.ip());
                // 0 is the port of a client that a proxy names by its address alone.
                if remote.port() != 0 {
                    self.push_shown("REMOTE_PORT", remote.port());
                }
            }
            // RFC 3875, section 4.1.8 requires the variable, but there is no address.
            _ => self.push("REMOTE_ADDR", ""),
        }
    }

    fn push_shown(&mut self, name: &str, value: impl fmt::Display) {
        self.write(
            |bytes| bytes.extend_from_slice(name.as_bytes()),
            // A write to memory cannot fail.
            |bytes| drop(write!(bytes, "{value}")),
        );
    }

    fn push_headers(&mut self, headers: &http::HeaderMap) {
        for name in headers.keys() {
            let is_refused = name.as_str().contains('_') || name.as_str() == "proxy";
            if is_refused || is_hop_by_hop(name) {
                continue;
            }
            let joint: &[u8] = match *name {
                header::COOKIE => b"; ",
                _ => b", ",
            };
            let prefix = match *name {
                header::CONTENT_TYPE | header::CONTENT_LENGTH => "",
                _ => "HTTP_",
            };
            let lines = headers.get_all(name).iter().enumerate();
            self.write(
                |bytes| upper(prefix, name, bytes),
                |bytes| {
                    for (at, line) in lines {
                        if at > 0 {
                            bytes.extend_from_slice(joint);
                        }
                        bytes.extend_from_slice(line.as_bytes());
                    }
                },
            );
        }
    }
}

/// Returns the port in `Host`, if it has one.
fn port_of_host(host: &http::HeaderValue) -> Option<u16> {
    let (_, digits) = host.to_str().ok()?.rsplit_once(':')?;
    let is_number = digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|_| is_number);
    port.filter(|port| *port > 0)
}

/// Writes the prefix and the name, with `-` as `_`.
fn upper(prefix: &str, name: &HeaderName, bytes: &mut Vec<u8>) {
    let shout = |byte: u8| match byte {
        b'-' => b'_',
        other => other.to_ascii_uppercase(),
    };
    bytes.extend_from_slice(prefix.as_bytes());
    bytes.extend(name.as_str().bytes().map(shout));
}

/// RFC 3875, section 4.1.17: the software that creates the variables.
const SOFTWARE: &str = concat!("vestibule/", env!("CARGO_PKG_VERSION"));

/// Returns whether a field belongs to the connection and ends at each server (RFC 9110, section
/// 7.6.1).
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE
    ) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Returns the protocol. It is never `HTTP/1`, since Python's servers send `HTTP/1.0`.
const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// Returns the method, if a gateway can serve it.
pub(crate) fn method(environ: &Environ) -> Result<Method, EnvironError> {
    let bytes = environ.get("REQUEST_METHOD").unwrap_or_default();
    match Method::from_bytes(bytes) {
        Ok(method) if method != Method::CONNECT => Ok(method),
        _ => Err(EnvironError::Method),
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Environ {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let mut environ = Self::new();
        for (name, value) in variables {
            environ.push(name, value);
        }
        environ
    }
}

impl fmt::Debug for Environ {
    /// Prints only the names: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(|(name, _)| String::from_utf8_lossy(name));
        f.debug_set().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Environ {
        Environ::from_iter([(name, value)])
    }

    #[test]
    fn the_last_of_two_values_counts() {
        let twice = Environ::from_iter([("SCRIPT_NAME", "/a"), ("SCRIPT_NAME", "/b")]);
        assert_eq!(twice.get("SCRIPT_NAME"), Some(&b"/b"[..]));
    }

    #[test]
    fn methods() {
        let cases = [
            ("GET", true),
            ("get", true),
            ("PROPFIND", true),
            ("", false),
            ("A B", false),
            ("CONNECT", false),
        ];
        for (text, is_method) in cases {
            let got = method(&one("REQUEST_METHOD", text));
            assert_eq!(got.is_ok(), is_method, "{text}");
            if let Ok(got) = got {
                assert_eq!(got.as_str(), text);
            }
        }
        assert!(method(&Environ::new()).is_err());
    }

    #[test]
    fn versions() {
        let cases = [
            ("HTTP/0.9", Version::HTTP_09),
            ("HTTP/1.0", Version::HTTP_10),
            ("HTTP/1.1", Version::HTTP_11),
            ("HTTP/2", Version::HTTP_2),
            ("HTTP/2.0", Version::HTTP_2),
            ("HTTP/3.0", Version::HTTP_3),
            ("INCLUDED", Version::HTTP_11),
            ("", Version::HTTP_11),
        ];
        for (text, version) in cases {
            assert_eq!(one("SERVER_PROTOCOL", text).version(), version, "{text}");
        }
    }

    #[test]
    fn schemes() {
        let cases: [(&[(&str, &str)], Scheme); 8] = [
            (&[], Scheme::Http),
            (&[("HTTPS", "on")], Scheme::Https),
            (&[("HTTPS", "ON")], Scheme::Https),
            (&[("HTTPS", "1")], Scheme::Https),
            (&[("HTTPS", "off")], Scheme::Http),
            (&[("HTTPS", "")], Scheme::Http),
            (&[("REQUEST_SCHEME", "https")], Scheme::Https),
            (&[("REQUEST_SCHEME", "http")], Scheme::Http),
        ];
        for (variables, scheme) in cases {
            let environ = Environ::from_iter(variables.iter().copied());
            assert_eq!(environ.scheme(), scheme, "{variables:?}");
        }
    }

    #[test]
    fn server_ports() {
        let cases = [
            ("80", Some(80)),
            ("65535", Some(65535)),
            ("65536", None),
            ("0", None),
            ("-1", None),
            ("+1", None),
            ("", None),
            ("80 ", None),
        ];
        for (text, port) in cases {
            assert_eq!(one("SERVER_PORT", text).port("SERVER_PORT"), port, "{text}");
        }
    }

    #[test]
    fn remote_addresses() {
        let cases = [
            ("192.0.2.1", Some("192.0.2.1:7")),
            ("::1", Some("[::1]:7")),
            ("[::1]", Some("[::1]:7")),
            ("::ffff:1.2.3.4", Some("[::ffff:1.2.3.4]:7")),
            ("", None),
            ("unix:", None),
            ("a.example", None),
        ];
        for (text, address) in cases {
            let mut environ = one("REMOTE_ADDR", text);
            environ.push("REMOTE_PORT", "7");
            let got = environ.remote().map(|it| it.to_string());
            assert_eq!(got.as_deref(), address, "{text}");
        }
        let port = one("REMOTE_ADDR", "::1").remote().map(|it| it.port());
        assert_eq!(port, Some(0));
    }

    #[test]
    fn content_lengths() {
        let cases = [
            ("", Ok(None)),
            ("0", Ok(Some(0))),
            ("007", Ok(Some(7))),
            ("9223372036854775807", Ok(Some(u64::MAX >> 1))),
            ("9223372036854775808", Err(EnvironError::ContentLength)),
            ("99999999999999999999", Err(EnvironError::ContentLength)),
            ("+1", Err(EnvironError::ContentLength)),
            ("-1", Err(EnvironError::ContentLength)),
            (" 1", Err(EnvironError::ContentLength)),
            ("1,1", Err(EnvironError::ContentLength)),
        ];
        for (text, length) in cases {
            assert_eq!(
                one("CONTENT_LENGTH", text).content_length(),
                length,
                "{text}"
            );
        }
    }

    /// The variables for a host of WSGI apps.
    #[test]
    fn variables_of_a_request() {
        let mut request = Request::default();
        *request.uri_mut() = "/app/a%2Fb//c?x=%41&y".parse().unwrap();
        *request.version_mut() = Version::HTTP_10;
        let headers = request.headers_mut();
        let lines = [
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-d", "1"),
            ("x-d", "2"),
            ("x_real", "evil"),
            ("proxy", "http://evil"),
            ("connection", "close"),
            ("content-type", "text/plain"),
            ("content-length", "3"),
        ];
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        let mount = Mount::new("/app/a%2Fb//c", 4);
        request.extensions_mut().insert(mount);
        let peer = Address::Tcp("192.0.2.1:4711".parse().unwrap());
        let peer = Peer::new(peer, Address::Unix(None));
        request.extensions_mut().insert(peer);
        let environ = Environ::from(request);
        let cases = [
            ("SCRIPT_NAME", Some("/app")),
            ("PATH_INFO", Some("/a/b//c")),
            ("QUERY_STRING", Some("x=%41&y")),
            ("REQUEST_URI", Some("/app/a%2Fb//c?x=%41&y")),
            ("RAW_URI", Some("/app/a%2Fb//c?x=%41&y")),
            ("SERVER_NAME", Some("localhost")),
            ("SERVER_PORT", Some("80")),
            ("SERVER_PROTOCOL", Some("HTTP/1.0")),
            ("REMOTE_ADDR", Some("192.0.2.1")),
            ("REMOTE_PORT", Some("4711")),
            ("HTTP_COOKIE", Some("a=1; b=2")),
            ("HTTP_X_D", Some("1, 2")),
            ("HTTP_X_REAL", None),
            ("HTTP_PROXY", None),
            ("HTTP_CONNECTION", None),
            ("CONTENT_TYPE", Some("text/plain")),
            ("CONTENT_LENGTH", Some("3")),
            ("HTTP_CONTENT_TYPE", None),
            ("wsgi.url_scheme", Some("http")),
        ];
        for (name, value) in cases {
            assert_eq!(environ.latin1(name).as_deref(), value, "{name}");
        }
    }

    #[test]
    fn ports_that_are_not_known_are_left_out() {
        let made = |peer: &str, local: &str, host: &str| {
            let address = |text: &str| match text.parse() {
                Ok(address) => Address::Tcp(address),
                Err(_) => Address::Unix(None),
            };
            let mut request = Request::default();
            let peer = Peer::new(address(peer), address(local));
            request.extensions_mut().insert(peer);
            if !host.is_empty() {
                let host = host.parse().unwrap();
                request.headers_mut().insert(header::HOST, host);
            }
            let environ = Environ::from(request);
            ["REMOTE_ADDR", "REMOTE_PORT", "SERVER_PORT"].map(|name| environ.latin1(name))
        };
        let cases = [
            ("192.0.2.1:7", "127.0.0.1:80", "a:9", "192.0.2.1", "7", "80"),
            ("192.0.2.1:0", "127.0.0.1:80", "a:9", "192.0.2.1", "-", "80"),
            ("[::1]:0", "[::1]:80", "a", "::1", "-", "80"),
            ("192.0.2.1:0", "unix", "a:9", "192.0.2.1", "-", "9"),
            ("unix", "unix", "a:9", "", "-", "9"),
            ("unix", "unix", "a", "", "-", "80"),
            ("unix", "unix", "[::1]", "", "-", "80"),
            ("unix", "unix", "[::1]:9", "", "-", "9"),
            ("unix", "unix", "a:", "", "-", "80"),
            ("unix", "unix", "a:0", "", "-", "80"),
            ("unix", "unix", "a:99999", "", "-", "80"),
            ("unix", "unix", "", "", "-", "80"),
        ];
        for (peer, local, host, address, port, server) in cases {
            let want = [address, port, server].map(|it| Some(it).filter(|it| *it != "-"));
            let got = made(peer, local, host);
            assert_eq!(
                got.each_ref().map(Option::as_deref),
                want,
                "{peer} {local} {host}"
            );
        }
    }

    /// Valid values of headers, and headers whose variables have the same name.
    #[test]
    fn headers_as_variables() {
        let value = |name: &'static str, text: &str| {
            let mut request = Request::default();
            let value = http::HeaderValue::from_str(text).unwrap();
            request.headers_mut().insert(name, value);
            Environ::from(request)
        };
        let large = "x".repeat(1 << 20);
        for text in ["a=b", "=", "a=b=c; d", "\t", "", "\u{e9}", &large] {
            let environ = value("a-b", text);
            assert_eq!(environ.get("HTTP_A_B"), Some(text.as_bytes()));
        }
        let mut request = Request::default();
        for (name, text) in [("a_b", "evil"), ("a-b", "good"), ("proxy", "http://evil")] {
            request.headers_mut().insert(name, text.parse().unwrap());
        }
        let environ = Environ::from(request);
        assert_eq!(environ.get("HTTP_A_B"), Some(&b"good"[..]));
        assert_eq!(environ.get("HTTP_PROXY"), None);
        // A line break cannot be in a header of a response, and is refused in a request.
        assert!(http::HeaderValue::from_bytes(b"a\nb").is_err());
        let broken = Environ::from_iter([("REQUEST_METHOD", "GET"), ("HTTP_A", "a\nb")]);
        assert!(crate::Mapping::new().request(broken).is_err());
    }

    #[test]
    fn the_user_and_the_server_name_are_kept() {
        let origin = Environ::from_iter([
            ("REQUEST_METHOD", "GET"),
            ("SERVER_NAME", "ex.test"),
            ("SERVER_PORT", "8443"),
            ("REMOTE_USER", "from the web server"),
        ]);
        let mut request = crate::Mapping::new().request(origin).unwrap();
        let user = RemoteUser::new("alice", "Basic");
        assert_eq!(Environ::of(&request).unwrap().len(), 4);
        request.extensions_mut().insert(user);
        let environ = Environ::from(request);
        let has = |name: &str| environ.latin1(name).unwrap_or_default();
        assert_eq!(
            (has("SERVER_NAME"), has("SERVER_PORT")),
            ("ex.test".into(), "8443".into())
        );
        assert_eq!(
            (has("REMOTE_USER"), has("AUTH_TYPE")),
            ("alice".into(), "Basic".into())
        );
        assert!(has("SERVER_SOFTWARE").starts_with("vestibule/"));
        let unknown = Environ::from(Request::default());
        assert_eq!(unknown.get("REMOTE_USER"), None);
    }
}
