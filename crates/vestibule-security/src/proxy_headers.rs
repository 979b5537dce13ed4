//! The client behind trusted proxies.
//!
//! Source: RFC 7239. `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `-Prefix` have no standard.

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

/// Replaces [`Peer`] and [`Scheme`] with the values that trusted proxies report for the client.
///
/// `X-Forwarded-For` is read from its right end, since each proxy appends one address. While an
/// address belongs to a trusted proxy, the address to its left is used. The first address that is
/// not a trusted proxy is the client; it may have invented all addresses further left. Scheme and
/// host come from the same proxy that reported the client.
///
/// Reads `X-Forwarded-For` and `X-Forwarded-Proto`, or else `Forwarded` if
/// [`forwarded`](Self::forwarded) is on; never both. No proxy is trusted by default.
///
/// All proxy fields (`vestibule_fields::forwarding`) are removed from every request, so that an
/// inner app cannot trust values from a client. If the peer is trusted, the fields that were read
/// are set again, with the accepted values only: `X-Forwarded-For` and `X-Real-IP` (one address),
/// `X-Forwarded-Proto` and `X-Forwarded-Host`, or `Forwarded`. [`pass`](Self::pass) keeps further
/// fields of trusted proxies. Fields that name a user, such as `Remote-User`, are removed unless
/// the peer is trusted.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{Address, App, Peer, Request};
/// use vestibule_security::ProxyHeaders;
///
/// let who = |request: Request| async move {
///     let reported = request.headers()["x-forwarded-for"].to_str().unwrap();
///     format!("{} {reported}", Peer::of(&request).unwrap().address())
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
    /// Wraps `app`. No proxy is trusted yet.
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

    /// Trusts proxies with an address in `network`.
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

    /// Trusts this number of proxies at any address. Defaults to 0. Use it for proxies with
    /// changing addresses, if this server can be reached only through all of them.
    #[must_use]
    pub fn trust_count(mut self, count: usize) -> Self {
        self.trust.count = count;
        self
    }

    /// Sets whether `Forwarded` is read instead of `X-Forwarded-For` and `X-Forwarded-Proto`.
    /// Defaults to `false`. Check the manual of your proxy for the field that it writes: it passes
    /// the other one through from the client unchanged.
    #[must_use]
    pub fn forwarded(mut self, reads: bool) -> Self {
        self.reads_forwarded = reads;
        self
    }

    /// Sets whether `X-Forwarded-Host`, or `host` of `Forwarded`, replaces `Host`. Defaults to
    /// `false`.
    #[must_use]
    pub fn host(mut self, reads: bool) -> Self {
        self.reads_host = reads;
        self
    }

    /// Sets whether `X-Forwarded-Port` is the port that the client connected to. Defaults to `false`.
    /// It replaces the port of `Host`, which is omitted if it is the default of the scheme, and the
    /// port in [`Peer::local`]. `Forwarded` has no port.
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

    /// Sets whether `X-Forwarded-Prefix` is the mount of this server, for a proxy that removes this
    /// prefix from the path. Defaults to `false`. The request then gets the whole path, and
    /// [`Mount`] has its two parts. An axum router inside expects the path without the prefix: use
    /// `from_service(router).below_mount(true)` of `vestibule-tower`.
    #[must_use]
    pub fn prefix(mut self, reads: bool) -> Self {
        self.reads_prefix = reads;
        self
    }

    /// Passes a field of trusted proxies to the app unchanged, such as `Client-Cert`. By default,
    /// all proxy fields are removed. Use it for fields that the proxy always sets or removes
    /// itself.
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
            .is_some_and(|peer| self.trust.is_trusted_peer(peer.address()));
        let reported = match (is_trusted, self.reads_forwarded) {
            (false, _) => None,
            (true, true) => from_forwarded(request.headers(), &self.trust),
            (true, false) => Some(from_x_forwarded(request.headers(), &self.trust)),
        };
        let prefix = last_element(request.headers(), &PREFIX)
            .filter(|_| is_trusted && self.reads_prefix)
            .map(<[u8]>::to_vec);
        // Clear the fields on every path, before any field is set.
        let is_proxied = self.clear(request.headers_mut(), is_trusted) || is_trusted;
        let Some(mut peer) = peer else {
            return;
        };
        if is_proxied {
            if let Some(client) = reported.as_ref().and_then(|reported| reported.client) {
                let connection = peer.connection().clone();
                peer = Peer::new(client.into(), peer.local().clone()).with_connection(connection);
            }
            // The fields are removed, but `Peer::is_local` must still see that a proxy was there.
            request.extensions_mut().insert(peer.clone().proxied(true));
        }
        let Some(reported) = reported else {
            return;
        };
        if let Some(scheme) = reported.scheme {
            request.extensions_mut().insert(scheme);
        }
        if let Some(host) = reported.host.filter(|_| self.reads_host) {
            request.headers_mut().insert(HOST, host);
        }
        if let Some(port) = reported.port.filter(|_| self.reads_port) {
            set_port(request, &peer, port);
        }
        self.set_accepted_fields(request, &peer);
        if let Some(prefix) = prefix {
            mount(request, &prefix);
        }
    }

    /// Removes the fields that this peer may not set, and returns whether there was a sign of a
    /// proxy.
    fn clear(&self, headers: &mut HeaderMap, is_trusted: bool) -> bool {
        let had_proxy_fields = headers.keys().any(forwarding::is_forwarding);
        if is_trusted {
            forwarding::clear_look_alikes(headers);
            forwarding::remove_where(headers, |name| {
                forwarding::is_forwarding(name) && !self.passed.contains(name)
            });
        } else {
            forwarding::clear(headers);
            forwarding::clear_user(headers);
        }
        had_proxy_fields
    }

    /// Sets the fields that were read to the accepted values.
    fn set_accepted_fields(&self, request: &mut Request, client: &Peer) {
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
    /// Returns whether the peer is a trusted proxy.
    fn is_trusted_peer(&self, peer: &Address) -> bool {
        match peer {
            _ if self.count > 0 => true,
            Address::Unix(_) => self.unix,
            other => other.ip().is_some_and(|ip| self.is_proxy(ip)),
        }
    }

    fn is_proxy(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(ip))
    }

    /// Returns the index of the entry that names the client, counted from the nearest proxy, and
    /// the client. The peer itself is a proxy.
    fn client(&self, reported: &[Option<Node>]) -> (usize, Option<SocketAddr>) {
        let mut found = None;
        for (at, node) in reported.iter().rev().enumerate() {
            // A trusted proxy wrote this hidden or broken entry, and the entries to its left are
            // unreliable.
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
        (reported.len().saturating_sub(1), found)
    }
}

/// The values that trusted proxies report.
#[derive(Debug, Default)]
struct ReportedClient {
    client: Option<SocketAddr>,
    scheme: Option<Scheme>,
    host: Option<HeaderValue>,
    port: Option<u16>,
}

fn from_x_forwarded(headers: &HeaderMap, trust: &Trust) -> ReportedClient {
    let elements = Lines::from_headers(headers, FOR).elements(Quotes::Escaped);
    let clients: Vec<Option<Node>> = elements.map(Node::parse).collect();
    let (at, client) = trust.client(&clients);
    ReportedClient {
        client,
        scheme: element_at(headers, &PROTO, at).and_then(scheme),
        host: element_at(headers, &FORWARDED_HOST, at).and_then(host),
        port: element_at(headers, &FORWARDED_PORT, at).and_then(port),
    }
}

fn from_forwarded(headers: &HeaderMap, trust: &Trust) -> Option<ReportedClient> {
    let hops = Forwarded::from_headers(headers).hops()?;
    let clients: Vec<Option<Node>> = hops.iter().map(|hop| hop.client).collect();
    let (at, client) = trust.client(&clients);
    // The proxy that reports the client also saw its scheme and host. The proxies after it saw a
    // proxy.
    let hop = hops.into_iter().rev().nth(at).unwrap_or_default();
    Some(ReportedClient {
        client,
        scheme: hop.proto.and_then(|text| scheme(text.as_bytes())),
        host: hop.host.and_then(|text| host(text.as_bytes())),
        port: None,
    })
}

/// Returns the list element of the proxy at distance `at` from the nearest one. If the list is
/// shorter, not every proxy appended to it, and the nearest proxy's element is used.
fn element_at<'a>(headers: &'a HeaderMap, name: &HeaderName, at: usize) -> Option<&'a [u8]> {
    let lines = Lines::from_headers(headers, name.clone());
    let all: Vec<&[u8]> = lines.elements(Quotes::Escaped).collect();
    all.iter().rev().nth(at).or_else(|| all.last()).copied()
}

/// Returns the last element of a list, which the nearest proxy wrote.
fn last_element<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    element_at(headers, name, 0)
}

/// Parses a scheme. Some proxies, such as Traefik, report `wss` for a WebSocket over TLS.
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

/// Parses a port from 1 to 65535.
fn port(text: &[u8]) -> Option<u16> {
    let is_number = text.len() <= 5 && text.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    digits.parse().ok().filter(|port| *port > 0)
}

/// Sets the port that the client connected to, in `Host` and in the local address.
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

/// Adds the prefix before the path. A prefix that is not a valid path is ignored.
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

    /// Returns peer, scheme, host, mount and path as the app sees them.
    fn app_sees(
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
    fn clients_are_found_by_network() {
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
            assert_eq!(
                app_sees(trust, peer, &headers).0,
                client,
                "{peer} {lines:?}"
            );
        }
    }

    #[test]
    fn clients_are_found_by_count() {
        let headers = [("x-forwarded-for", "6.6.6.6, 192.0.2.7, 198.51.100.2")];
        let cases = [
            (0, "unix:"),
            (1, "198.51.100.2:0"),
            (2, "192.0.2.7:0"),
            (9, "6.6.6.6:0"),
        ];
        for (count, client) in cases {
            let got = app_sees(|it| it.trust_count(count), "unix", &headers);
            assert_eq!(got.0, client, "{count}");
        }
    }

    #[test]
    fn schemes_and_hosts_of_trusted_proxies_are_used() {
        let headers = [
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-proto", "http, https"),
            ("x-forwarded-host", "evil.test, real.test"),
        ];
        let (client, scheme, host, _) = app_sees(|it| it.trust_unix(true), "unix", &headers);
        assert_eq!(
            (&*client, scheme, &*host),
            ("192.0.2.7:0", "https", "own.test")
        );
        let (.., host, _) = app_sees(|it| it.trust_unix(true).host(true), "unix", &headers);
        assert_eq!(host, "real.test");
        let (_, scheme, ..) = app_sees(|it| it.host(true), "unix", &headers);
        assert_eq!(scheme, "http");
        let bad = [
            ("x-forwarded-host", "a@b"),
            ("x-forwarded-proto", "javascript"),
        ];
        let (_, scheme, host, _) = app_sees(|it| it.trust_unix(true).host(true), "unix", &bad);
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
        let (client, scheme, host, _) = app_sees(options, "unix", &headers);
        assert_eq!(
            (&*client, scheme, &*host),
            ("[2001:db8::1]:0", "https", "real.test")
        );
        let (client, ..) = app_sees(|it| it.trust_unix(true), "unix", &headers);
        assert_eq!(client, "6.6.6.6:0");
        let broken = [("forwarded", "for=192.0.2.1, for")];
        assert_eq!(app_sees(options, "unix", &broken).0, "unix:");
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
            // The client may have invented all entries to the left of its own address.
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
            // A proxy that replaces the list writes one element, which is valid for all.
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
            let (client, scheme, host, _) = app_sees(options, "10.0.0.1", headers);
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
    fn valid_prefixes_become_mounts() {
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
            let got = app_sees(|it| it.trust_unix(true).prefix(true), "unix", &headers);
            assert_eq!(got.3, path, "{prefix}");
        }
        let off = app_sees(
            |it| it.trust_unix(true),
            "unix",
            &[("x-forwarded-prefix", "/app")],
        );
        assert_eq!(off.3, "|/a//b?q");
    }
}
