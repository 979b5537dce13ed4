//! The client behind trusted proxies.
//!
//! Source: RFC 7239; `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `-Prefix` have none.

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use vestibule_core::{
    Address, App, Mount, Network, Outline, Peer, Request, Response, Role, Scheme,
};
use vestibule_fields::forwarded::{Forwarded, Node};
use vestibule_fields::forwarding;
use vestibule_fields::host::Host;
use vestibule_fields::list::{Lines, Quotes};

/// Replaces [`Peer`] and [`Scheme`] by what trusted proxies tell of the client.
///
/// The list of `X-Forwarded-For` is read from its right end, since each proxy adds to it there: as long
/// as an address is a trusted proxy's, the one to its left is believed. The first that is not a proxy is
/// the client; a client may have written all that is to the left of it. Scheme and host are taken from
/// the same proxy that named the client.
///
/// Reads `X-Forwarded-For` and `X-Forwarded-Proto`, or `Forwarded` instead when
/// [`forwarded`](Self::forwarded) is on; never both. No proxy is trusted by default.
///
/// All fields that proxies set (`vestibule_fields::forwarding`) are removed from every request, whatever
/// its peer is, so that an app inside cannot believe what a client wrote. When the peer is trusted, the
/// fields that were read are set again, with the values that are believed and no others:
/// `X-Forwarded-For` and `X-Real-IP` (one address), `X-Forwarded-Proto` and `X-Forwarded-Host`, or
/// `Forwarded`. [`pass`](Self::pass) keeps further fields of trusted proxies. Fields that name a user,
/// such as `Remote-User`, are removed unless the peer is trusted.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{Address, App, Peer, Request};
/// use vestibule_security::ProxyHeaders;
///
/// let who = |request: Request| async move {
///     let told = request.headers()["x-forwarded-for"].to_str().unwrap();
///     format!("{} {told}", Peer::of(&request).unwrap().address())
/// };
/// let app = ProxyHeaders::new(who).trust("10.0.0.0/8".parse().unwrap());
///
/// let proxy = Address::Tcp("10.0.0.1:5000".parse().unwrap());
/// let mut request = Request::default();
/// request.extensions_mut().insert(Peer::new(proxy, Address::Unix(None)));
/// request.headers_mut().insert("x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.0.0.2".parse().unwrap());
///
/// let body = app.call(request).await.into_body();
/// assert_eq!(body.collect(99).await.unwrap(), "192.0.2.7:0 192.0.2.7");
/// # }
/// ```
#[doc(alias(
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "client ip",
    "reverse proxy"
))]
#[derive(Clone, Debug)]
pub struct ProxyHeaders<A> {
    app: A,
    trust: Trust,
    reads_forwarded: bool,
    reads_host: bool,
    reads_port: bool,
    reads_prefix: bool,
    passed: Vec<HeaderName>,
}

#[derive(Clone, Debug, Default)]
struct Trust {
    networks: Vec<Network>,
    unix: bool,
    count: usize,
}

impl<A: App> ProxyHeaders<A> {
    /// Wraps `app`. Nobody is trusted yet.
    pub fn new(app: A) -> Self {
        Self {
            app,
            trust: Trust::default(),
            reads_forwarded: false,
            reads_host: false,
            reads_port: false,
            reads_prefix: false,
            passed: Vec::new(),
        }
    }

    /// Trusts proxies of these addresses.
    #[must_use]
    pub fn trust(mut self, network: Network) -> Self {
        self.trust.networks.push(network);
        self
    }

    /// Sets whether a peer on a unix socket is a trusted proxy. Defaults to `false`.
    #[must_use]
    pub fn trust_unix(mut self, trusts: bool) -> Self {
        self.trust.unix = trusts;
        self
    }

    /// Trusts so many proxies, whatever their addresses are: for proxies whose addresses change, when
    /// nobody can reach this server but through all of them.
    #[must_use]
    pub fn trust_count(mut self, count: usize) -> Self {
        self.trust.count = count;
        self
    }

    /// Whether `Forwarded` is read, and `X-Forwarded-For` and `-Proto` are not: no. Which of the two a
    /// proxy writes is in its manual; of the other it passes on what the client wrote.
    #[must_use]
    pub fn forwarded(mut self, reads: bool) -> Self {
        self.reads_forwarded = reads;
        self
    }

    /// Whether `X-Forwarded-Host`, or `host` of `Forwarded`, replaces `Host`: no.
    #[must_use]
    pub fn host(mut self, reads: bool) -> Self {
        self.reads_host = reads;
        self
    }

    /// Sets whether `X-Forwarded-Port` is the port that the client connected to. It replaces the port of
    /// `Host`, which is left out where it is the default one of the scheme, and the port of the socket
    /// in [`Peer::local`]. `Forwarded` has no port of its own. Defaults to `false`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{Address, App, Peer, Request};
    /// use vestibule_security::ProxyHeaders;
    ///
    /// let app = |request: Request| async move { request.headers()["host"].to_str().unwrap().to_owned() };
    /// let app = ProxyHeaders::new(app).trust_unix(true).port(true);
    ///
    /// let mut request = Request::default();
    /// request.extensions_mut().insert(Peer::new(Address::Unix(None), Address::Unix(None)));
    /// request.headers_mut().insert("host", "site.test".parse().unwrap());
    /// request.headers_mut().insert("x-forwarded-port", "8443".parse().unwrap());
    /// assert_eq!(app.call(request).await.into_body().as_bytes().unwrap(), "site.test:8443");
    /// # }
    /// ```
    #[must_use]
    pub fn port(mut self, reads: bool) -> Self {
        self.reads_port = reads;
        self
    }

    /// Whether `X-Forwarded-Prefix` is the mount of this server, which the proxy has cut off the path:
    /// no. The path of the request is the whole one then, and [`Mount`] has its two parts. A router of
    /// axum inside expects the path without the prefix: `from_service(router).below_mount(true)` of
    /// `vestibule-tower`.
    #[must_use]
    pub fn prefix(mut self, reads: bool) -> Self {
        self.reads_prefix = reads;
        self
    }

    /// Passes a field of trusted proxies on to the app, unchanged: `Client-Cert`, for one. Otherwise it
    /// would be removed, as all fields that proxies set. Use it for fields that the proxy always sets or
    /// removes itself.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use http::HeaderName;
    /// use vestibule_core::{Address, App, Peer, Request};
    /// use vestibule_security::ProxyHeaders;
    ///
    /// let app = |request: Request| async move { request.headers().contains_key("client-cert").to_string() };
    /// let app = ProxyHeaders::new(app)
    ///     .trust("10.0.0.0/8".parse().unwrap())
    ///     .pass(HeaderName::from_static("client-cert"));
    ///
    /// for (peer, want) in [("10.0.0.1:5000", "true"), ("192.0.2.7:5000", "false")] {
    ///     let mut request = Request::default();
    ///     request.headers_mut().insert("client-cert", ":MIIB:".parse().unwrap());
    ///     let peer = Address::Tcp(peer.parse().unwrap());
    ///     request.extensions_mut().insert(Peer::new(peer, Address::Unix(None)));
    ///     assert_eq!(app.call(request).await.into_body().as_bytes().unwrap(), want);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn pass(mut self, name: HeaderName) -> Self {
        self.passed.push(name);
        self
    }

    fn apply(&self, request: &mut Request) {
        let peer = Peer::of(request).cloned();
        let is_trusted = peer
            .as_ref()
            .is_some_and(|peer| self.trust.believes(peer.address()));
        let told = match (is_trusted, self.reads_forwarded) {
            (false, _) => None,
            (true, true) => told_by_forwarded(request.headers(), &self.trust),
            (true, false) => Some(told_by_x_forwarded(request.headers(), &self.trust)),
        };
        let prefix = last(request.headers(), &PREFIX)
            .filter(|_| is_trusted && self.reads_prefix)
            .map(<[u8]>::to_vec);
        // On every path, before anything is set.
        let is_proxied = self.clear(request.headers_mut(), is_trusted) || is_trusted;
        let Some(mut peer) = peer else {
            return;
        };
        if is_proxied {
            if let Some(client) = told.as_ref().and_then(|told| told.client) {
                let connection = peer.connection().clone();
                peer = Peer::new(client.into(), peer.local().clone()).with_connection(connection);
            }
            // The fields are gone, and a page for this machine alone has to know all the same.
            request.extensions_mut().insert(peer.clone().proxied(true));
        }
        let Some(told) = told else {
            return;
        };
        if let Some(scheme) = told.scheme {
            request.extensions_mut().insert(scheme);
        }
        if let Some(host) = told.host.filter(|_| self.reads_host) {
            request.headers_mut().insert(HOST, host);
        }
        if let Some(port) = told.port.filter(|_| self.reads_port) {
            set_port(request, &peer, port);
        }
        self.tell(request, &peer);
        if let Some(prefix) = prefix {
            mount(request, &prefix);
        }
    }

    /// Removes what the peer may not say, and returns whether there was something of a proxy.
    fn clear(&self, headers: &mut HeaderMap, is_trusted: bool) -> bool {
        let was_told = headers.keys().any(forwarding::is_forwarding);
        if is_trusted {
            forwarding::clear_look_alikes(headers);
            forwarding::remove_where(headers, |name| {
                forwarding::is_forwarding(name) && !self.passed.contains(name)
            });
        } else {
            forwarding::clear(headers);
            forwarding::clear_user(headers);
        }
        was_told
    }

    /// Sets the fields that were read to what is believed.
    fn tell(&self, request: &mut Request, client: &Peer) {
        let ip = client.address().ip();
        let scheme = Scheme::of(request).as_str();
        let host = request.headers().get(HOST).cloned();
        let headers = request.headers_mut();
        let mut set = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        if self.reads_forwarded {
            let node = ip.map_or("unknown".to_owned(), |ip| match ip {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("\"[{ip}]\""),
            });
            set(FORWARDED, format!("for={node};proto={scheme}"));
            return;
        }
        if let Some(ip) = ip {
            set(FOR, ip.to_string());
            set(REAL_IP, ip.to_string());
        }
        set(PROTO, scheme.to_owned());
        if let Some(host) = host.filter(Host::is_valid) {
            headers.insert(FORWARDED_HOST, host);
        }
    }
}

impl<A: App> App for ProxyHeaders<A> {
    async fn call(&self, mut request: Request) -> Response {
        self.apply(&mut request);
        self.app.call(request).await
    }

    fn describe(&self, outline: &mut Outline) {
        outline.role(Role::CLIENT_IP).wraps(&self.app);
    }
}

impl Trust {
    /// Whether the peer is a proxy.
    fn believes(&self, peer: &Address) -> bool {
        match peer {
            _ if self.count > 0 => true,
            Address::Unix(_) => self.unix,
            other => other.ip().is_some_and(|ip| self.is_proxy(ip)),
        }
    }

    fn is_proxy(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(ip))
    }

    /// Returns how many of the proxies that were told, counted from the nearest, are believed at least in
    /// part, and the client that the last of them names. The peer itself is a proxy.
    fn client(&self, told: &[Option<Node>]) -> (usize, Option<SocketAddr>) {
        let mut found = None;
        for (at, node) in told.iter().rev().enumerate() {
            // A hidden or broken entry is written by a trusted proxy, and nothing to its left is known.
            let Some(Node::Ip(ip, port)) = *node else {
                return (at, found);
            };
            found = Some(SocketAddr::new(ip, port.unwrap_or(0)));
            let is_proxy = match self.count {
                0 => self.is_proxy(ip),
                count => at + 1 < count,
            };
            if !is_proxy {
                return (at, found);
            }
        }
        (told.len().saturating_sub(1), found)
    }
}

/// The claims of proxies that are believed.
#[derive(Debug, Default)]
struct Told {
    client: Option<SocketAddr>,
    scheme: Option<Scheme>,
    host: Option<HeaderValue>,
    port: Option<u16>,
}

fn told_by_x_forwarded(headers: &HeaderMap, trust: &Trust) -> Told {
    let elements = Lines::from_headers(headers, FOR).elements(Quotes::Escaped);
    let clients: Vec<Option<Node>> = elements.map(Node::parse).collect();
    let (at, client) = trust.client(&clients);
    Told {
        client,
        scheme: said(headers, &PROTO, at).and_then(scheme),
        host: said(headers, &FORWARDED_HOST, at).and_then(host),
        port: said(headers, &FORWARDED_PORT, at).and_then(port),
    }
}

fn told_by_forwarded(headers: &HeaderMap, trust: &Trust) -> Option<Told> {
    let hops = Forwarded::from_headers(headers).hops()?;
    let clients: Vec<Option<Node>> = hops.iter().map(|hop| hop.client).collect();
    let (at, client) = trust.client(&clients);
    // The proxy that names the client also saw its scheme and its host; those behind it saw a proxy's.
    let hop = hops.into_iter().rev().nth(at).unwrap_or_default();
    Some(Told {
        client,
        scheme: hop.proto.and_then(|text| scheme(text.as_bytes())),
        host: hop.host.and_then(|text| host(text.as_bytes())),
        port: None,
    })
}

/// The word of the proxy `at` hops from the nearest. A list that is shorter than that was not written by
/// every proxy: then it is the word of the nearest.
fn said<'a>(headers: &'a HeaderMap, name: &HeaderName, at: usize) -> Option<&'a [u8]> {
    let lines = Lines::from_headers(headers, name.clone());
    let all: Vec<&[u8]> = lines.elements(Quotes::Escaped).collect();
    all.iter().rev().nth(at).or_else(|| all.last()).copied()
}

/// The last element of a list: the word of the nearest proxy.
fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    said(headers, name, 0)
}

/// A WebSocket over TLS is `wss` to some proxies, as Traefik: it came by https.
fn scheme(text: &[u8]) -> Option<Scheme> {
    let is_any = |names: [&str; 2]| {
        names
            .iter()
            .any(|it| text.eq_ignore_ascii_case(it.as_bytes()))
    };
    match text {
        _ if is_any(["https", "wss"]) => Some(Scheme::Https),
        _ if is_any(["http", "ws"]) => Some(Scheme::Http),
        _ => None,
    }
}

fn host(text: &[u8]) -> Option<HeaderValue> {
    Host::parse(text).map(|host| host.to_header_value())
}

/// A port from 1 to 65535, in digits.
fn port(text: &[u8]) -> Option<u16> {
    let is_number = text.len() <= 5 && text.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    digits.parse().ok().filter(|port| *port > 0)
}

/// Sets the port that the client connected to: in `Host`, and of our end of the connection.
fn set_port(request: &mut Request, peer: &Peer, port: u16) {
    let is_default = port == Scheme::of(request).default_port();
    let headers = request.headers_mut();
    if let Some(own) = headers.get(HOST).filter(Host::is_valid) {
        let text = own.to_str().unwrap_or_default();
        // The colons of an IPv6 address are inside of brackets.
        let name = match text.rsplit_once(':') {
            Some((name, digits)) if !digits.ends_with(']') => name,
            _ => text,
        };
        let host = if is_default {
            name.to_owned()
        } else {
            format!("{name}:{port}")
        };
        if let Ok(host) = HeaderValue::try_from(host) {
            headers.insert(HOST, host);
        }
    }
    if let Address::Tcp(local) = peer.local() {
        let local = Address::Tcp(SocketAddr::new(local.ip(), port));
        let peer = Peer::new(peer.address().clone(), local)
            .with_connection(peer.connection().clone())
            .proxied(true);
        request.extensions_mut().insert(peer);
    }
}

/// Puts the prefix before the path; one that is no path is not believed.
fn mount(request: &mut Request, prefix: &[u8]) {
    let is_path = |byte: &u8| byte.is_ascii_graphic() && !b"?#\"<>`\\".contains(byte);
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    let Ok(prefix) = std::str::from_utf8(prefix) else {
        return;
    };
    let is_prefix = prefix.starts_with('/')
        && !prefix.starts_with("//")
        && prefix.bytes().all(|it| is_path(&it));
    let target = request.uri().path_and_query().map_or("/", |it| it.as_str());
    if !is_prefix || !target.starts_with('/') || Mount::of(request).is_some() {
        return;
    }
    let Ok(target) = PathAndQuery::try_from(format!("{prefix}{target}")) else {
        return;
    };
    let path = target.path().to_owned();
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(target);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        let mount = Mount::new(path, prefix.len());
        request.extensions_mut().insert(mount);
    }
}

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

#[cfg(test)]
mod tests {
    use super::*;

    type Plain = fn(Request) -> std::future::Ready<()>;

    /// Peer, scheme, host, mount and path as the app sees them.
    fn seen(
        options: impl Fn(
            ProxyHeaders<fn(Request) -> std::future::Ready<()>>,
        ) -> ProxyHeaders<fn(Request) -> std::future::Ready<()>>,
        peer: &str,
        headers: &[(&'static str, &'static str)],
    ) -> (String, &'static str, String, String) {
        let mut request = Request::default();
        *request.uri_mut() = "/a//b?q".parse().unwrap();
        request
            .headers_mut()
            .insert(HOST, "own.test".parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let address = match peer.parse::<IpAddr>() {
            Ok(ip) => Address::Tcp(SocketAddr::new(ip, 9)),
            Err(_) => Address::Unix(None),
        };
        request
            .extensions_mut()
            .insert(Peer::new(address, Address::Unix(None)));
        let app: Plain = |_| std::future::ready(());
        options(ProxyHeaders::new(app)).apply(&mut request);
        let mount = Mount::of(&request).map_or(String::new(), |it| it.prefix().to_owned());
        (
            Peer::of(&request).unwrap().address().to_string(),
            Scheme::of(&request).as_str(),
            request.headers()[HOST].to_str().unwrap().to_owned(),
            format!("{mount}|{}", request.uri()),
        )
    }

    #[test]
    fn clients_by_network() {
        let cases: [(&str, &'static [&'static str], &str); 11] = [
            ("10.0.0.1", &["192.0.2.7"], "192.0.2.7:0"),
            ("10.0.0.1", &["6.6.6.6, 192.0.2.7"], "192.0.2.7:0"),
            ("10.0.0.1", &["6.6.6.6, 192.0.2.7, 10.0.0.2"], "192.0.2.7:0"),
            ("10.0.0.1", &["6.6.6.6", "192.0.2.7:81"], "192.0.2.7:81"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3:0"),
            ("10.0.0.1", &["192.0.2.7, junk, 10.0.0.2"], "10.0.0.2:0"),
            ("10.0.0.1", &["unknown"], "10.0.0.1:9"),
            ("10.0.0.1", &[], "10.0.0.1:9"),
            ("10.0.0.1", &["2001:db8::1"], "[2001:db8::1]:0"),
            ("192.0.2.1", &["6.6.6.6"], "192.0.2.1:9"),
            ("unix", &["6.6.6.6"], "unix:"),
        ];
        for (peer, lines, client) in cases {
            let headers: Vec<_> = lines
                .iter()
                .map(|line| ("x-forwarded-for", *line))
                .collect();
            let trust = |it: ProxyHeaders<_>| it.trust("10.0.0.0/8".parse().unwrap());
            assert_eq!(seen(trust, peer, &headers).0, client, "{peer} {lines:?}");
        }
    }

    #[test]
    fn clients_by_count() {
        let headers = [("x-forwarded-for", "6.6.6.6, 192.0.2.7, 198.51.100.2")];
        let cases = [
            (0, "unix:"),
            (1, "198.51.100.2:0"),
            (2, "192.0.2.7:0"),
            (9, "6.6.6.6:0"),
        ];
        for (count, client) in cases {
            let got = seen(|it| it.trust_count(count), "unix", &headers);
            assert_eq!(got.0, client, "{count}");
        }
    }

    #[test]
    fn schemes_and_hosts() {
        let headers = [
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-proto", "http, https"),
            ("x-forwarded-host", "evil.test, real.test"),
        ];
        let (client, scheme, host, _) = seen(|it| it.trust_unix(true), "unix", &headers);
        assert_eq!(
            (&*client, scheme, &*host),
            ("192.0.2.7:0", "https", "own.test")
        );
        let (.., host, _) = seen(|it| it.trust_unix(true).host(true), "unix", &headers);
        assert_eq!(host, "real.test");
        let (_, scheme, ..) = seen(|it| it.host(true), "unix", &headers);
        assert_eq!(scheme, "http");
        let bad = [
            ("x-forwarded-host", "a@b"),
            ("x-forwarded-proto", "javascript"),
        ];
        let (_, scheme, host, _) = seen(|it| it.trust_unix(true).host(true), "unix", &bad);
        assert_eq!((scheme, &*host), ("http", "own.test"));
    }

    #[test]
    fn only_one_kind_of_field_is_read() {
        let headers = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "http"),
            (
                "forwarded",
                "for=6.6.6.7, for=\"[2001:db8::1]\";proto=https;host=real.test",
            ),
        ];
        let options = |it: ProxyHeaders<_>| it.trust_unix(true).forwarded(true).host(true);
        let (client, scheme, host, _) = seen(options, "unix", &headers);
        assert_eq!(
            (&*client, scheme, &*host),
            ("[2001:db8::1]:0", "https", "real.test")
        );
        let (client, ..) = seen(|it| it.trust_unix(true), "unix", &headers);
        assert_eq!(client, "6.6.6.6:0");
        let broken = [("forwarded", "for=192.0.2.1, for")];
        assert_eq!(seen(options, "unix", &broken).0, "unix:");
    }

    #[test]
    fn scheme_and_host_are_of_the_hop_that_names_the_client() {
        type Headers = &'static [(&'static str, &'static str)];
        let cases: [(Headers, &str, &str); 12] = [
            (
                &[(
                    "forwarded",
                    "for=203.0.113.7;proto=https;host=a.test, for=10.0.0.9;proto=http;host=b.test",
                )],
                "203.0.113.7:0 https a.test",
                "",
            ),
            // The client may have written all that is to the left of its own address.
            (
                &[(
                    "forwarded",
                    "for=10.0.0.1;proto=https, for=203.0.113.7;proto=http, for=10.0.0.9;proto=https",
                )],
                "203.0.113.7:0 http own.test",
                "",
            ),
            (
                &[("forwarded", "for=203.0.113.7;proto=https, for=10.0.0.9")],
                "203.0.113.7:0 https own.test",
                "",
            ),
            (
                &[("forwarded", "for=203.0.113.7, for=10.0.0.9;proto=https")],
                "203.0.113.7:0 http own.test",
                "",
            ),
            (
                &[(
                    "forwarded",
                    "for=unknown;proto=https, for=10.0.0.9;proto=http",
                )],
                "10.0.0.9:0 https own.test",
                "",
            ),
            (
                &[("forwarded", "proto=wss;for=203.0.113.7")],
                "203.0.113.7:0 https own.test",
                "",
            ),
            (
                &[("forwarded", "proto=https;host=a.test")],
                "10.0.0.1:9 https a.test",
                "",
            ),
            (
                &[
                    ("x-forwarded-for", "203.0.113.7, 10.0.0.9"),
                    ("x-forwarded-proto", "https, http"),
                    ("x-forwarded-host", "a.test, b.test"),
                ],
                "203.0.113.7:0 https a.test",
                "x",
            ),
            (
                &[
                    ("x-forwarded-for", "6.6.6.6, 203.0.113.7, 10.0.0.9"),
                    ("x-forwarded-proto", "https, http, https"),
                ],
                "203.0.113.7:0 http own.test",
                "x",
            ),
            // A proxy that replaces the list says one word, for all.
            (
                &[
                    ("x-forwarded-for", "203.0.113.7, 10.0.0.9"),
                    ("x-forwarded-proto", "https"),
                ],
                "203.0.113.7:0 https own.test",
                "x",
            ),
            (
                &[
                    ("x-forwarded-for", "203.0.113.7"),
                    ("x-forwarded-proto", "wss"),
                ],
                "203.0.113.7:0 https own.test",
                "x",
            ),
            (
                &[
                    ("x-forwarded-for", "203.0.113.7"),
                    ("x-forwarded-proto", "WS"),
                ],
                "203.0.113.7:0 http own.test",
                "x",
            ),
        ];
        for (headers, want, kind) in cases {
            let options = |it: ProxyHeaders<_>| {
                let it = it.trust("10.0.0.0/8".parse().unwrap()).host(true);
                it.forwarded(kind.is_empty())
            };
            let (client, scheme, host, _) = seen(options, "10.0.0.1", headers);
            assert_eq!(format!("{client} {scheme} {host}"), want, "{headers:?}");
        }
    }

    #[test]
    fn ports() {
        let cases: [(&str, &'static str, &'static str, &str); 12] = [
            ("8443", "https", "own.test", "own.test:8443"),
            ("443", "https", "own.test:9", "own.test"),
            ("80", "https", "own.test", "own.test:80"),
            ("80", "http", "own.test:8080", "own.test"),
            ("1, 8443", "https", "own.test", "own.test:8443"),
            ("8443", "https", "[::1]", "[::1]:8443"),
            ("8443", "https", "[::1]:9", "[::1]:8443"),
            ("443", "https", "[::1]:9", "[::1]"),
            ("0", "https", "own.test:9", "own.test:9"),
            ("65536", "https", "own.test:9", "own.test:9"),
            ("+80", "https", "own.test:9", "own.test:9"),
            ("", "https", "own.test:9", "own.test:9"),
        ];
        for (port, scheme, host, want) in cases {
            let mut request = Request::default();
            let local = Address::Tcp("10.0.0.9:8080".parse().unwrap());
            let proxy = Address::Tcp("10.0.0.1:5000".parse().unwrap());
            request
                .extensions_mut()
                .insert(Peer::new(proxy, local.clone()));
            let headers = request.headers_mut();
            headers.insert(HOST, host.parse().unwrap());
            headers.insert(FORWARDED_PORT, port.parse().unwrap());
            headers.insert(PROTO, scheme.parse().unwrap());
            let app: Plain = |_| std::future::ready(());
            let proxies = ProxyHeaders::new(app).trust("10.0.0.0/8".parse().unwrap());
            let mut off = Request::default();
            *off.headers_mut() = request.headers().clone();
            *off.extensions_mut() = request.extensions().clone();
            proxies.apply(&mut off);
            assert_eq!(off.headers()[HOST], host, "not asked for");
            proxies.port(true).apply(&mut request);
            assert_eq!(request.headers()[HOST], want, "{port} {scheme} {host}");
            let moved = Peer::of(&request).unwrap().local() != &local;
            assert_eq!(moved, host != want || port == "8443", "{port}");
            assert!(Peer::of(&request).unwrap().is_proxied());
        }
    }

    #[test]
    fn prefixes_are_mounts() {
        let cases = [
            ("/app", "/app|/app/a//b?q"),
            ("/app/", "/app|/app/a//b?q"),
            ("/evil, /app", "/app|/app/a//b?q"),
            ("/", "|/a//b?q"),
            ("//evil.test", "|/a//b?q"),
            ("app", "|/a//b?q"),
            ("/a?b", "|/a//b?q"),
            ("/a b", "|/a//b?q"),
        ];
        for (prefix, path) in cases {
            let headers = [("x-forwarded-prefix", prefix)];
            let got = seen(|it| it.trust_unix(true).prefix(true), "unix", &headers);
            assert_eq!(got.3, path, "{prefix}");
        }
        let off = seen(
            |it| it.trust_unix(true),
            "unix",
            &[("x-forwarded-prefix", "/app")],
        );
        assert_eq!(off.3, "|/a//b?q");
    }
}
