//! Request fields of proxies: forged values of a client must not pass any code that reads or
//! forwards them.

use std::sync::{Arc, Mutex};

use vestibule::auth::ForwardAuth;
use vestibule::environ::{Environ, Mapping};
use vestibule::gateway::{FastCgi, Server};
use vestibule::http::{HeaderMap, HeaderName, HeaderValue, Version};
use vestibule::prelude::*;
use vestibule::security::ProxyHeaders;
use vestibule::{Address, Peer};

use crate::real_sites::{Connection, Site, VERSIONS};

/// Names that a client may forge, in the spellings of HTTP and of CGI.
const FORGED: &[&str] = &[
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Method",
    "X-Forwarded-Uri",
    "X-Forwarded-Ssl",
    "X-Forwarded-Client-Cert",
    "X-Real-IP",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Client-Cert",
    "X-SSL-Client-Cert",
    "Client-Cert",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X_Forwarded_For",
    "X-Forwarded_Host",
    "X_REAL_IP",
    "X_Original_URL",
    "Client_Cert",
];

/// Names of user fields that `ForwardAuth` is configured to copy, in both spellings.
const USERS: &[&str] = &["Remote-User", "Remote_User"];

/// Fields that a component may set itself, and their valid values.
const SET_FIELDS: &[(&str, &[&str])] = &[
    ("x-forwarded-for", &["192.0.2.7"]),
    ("x-real-ip", &["192.0.2.7"]),
    ("x-forwarded-proto", &["http"]),
    ("x-forwarded-host", &["own.test"]),
    ("x-forwarded-uri", &["/a?b"]),
    ("x-forwarded-method", &["GET"]),
    ("x-original-method", &["GET"]),
    ("x-original-url", &["http://own.test/a?b"]),
    ("forwarded", &["for=192.0.2.7;proto=http"]),
    ("remote-user", &["alice"]),
];

type Seen = Arc<Mutex<HeaderMap>>;

/// Stores the fields of the request that reaches it.
fn keeper() -> (Seen, impl App + Clone) {
    let seen = Seen::default();
    let kept = seen.clone();
    let app = move |request: Request| {
        *kept.lock().unwrap() = request.headers().clone();
        async { ([("remote-user", "alice")], "") }
    };
    (seen, app)
}

fn request(from: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::default();
    *request.uri_mut() = "/a?b".parse().unwrap();
    request
        .headers_mut()
        .insert("host", HeaderValue::from_static("own.test"));
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let peer = Address::Tcp(format!("{from}:4711").parse().unwrap());
    request
        .extensions_mut()
        .insert(Peer::new(peer.clone(), peer));
    request
}

/// Components that read or forward fields. Each gets a request of a client at 192.0.2.7 with forged
/// fields, directly or through a trusted proxy, and returns the fields that it passed on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Component {
    ForwardAuthAsks,
    ForwardAuthLetsIn,
    ForwardAuthBehindProxyHeaders,
    ProxyHeadersOfAClient,
    ProxyHeadersOfAProxy,
    ForwardedOfAProxy,
    FastCgiOfAClient,
    FastCgiBehindProxyHeaders,
    GatewayInsideProxyHeaders,
}

impl Component {
    const ALL: [Self; 9] = [
        Self::ForwardAuthAsks,
        Self::ForwardAuthLetsIn,
        Self::ForwardAuthBehindProxyHeaders,
        Self::ProxyHeadersOfAClient,
        Self::ProxyHeadersOfAProxy,
        Self::ForwardedOfAProxy,
        Self::FastCgiOfAClient,
        Self::FastCgiBehindProxyHeaders,
        Self::GatewayInsideProxyHeaders,
    ];

    /// Returns whether this component does not have to remove fields that name a user.
    fn leaves_users(self) -> bool {
        matches!(self, Self::FastCgiOfAClient)
    }

    async fn pass(self, forged: &[(&str, &str)], responder: &Responder) -> HeaderMap {
        let (seen, app) = keeper();
        let client = || request("192.0.2.7", forged);
        // A proxy appends the client to a received list, or replaces the field with its own value.
        let by_proxy = |name: &str, word: &str| {
            let mut request = request("10.0.0.1", forged);
            for kept in ["x-forwarded-proto", "x-forwarded-host"] {
                request.headers_mut().remove(kept);
            }
            let line = HeaderValue::from_str(word).unwrap();
            let name: HeaderName = name.parse().unwrap();
            if name == "forwarded" {
                request.headers_mut().remove(&name);
            }
            request.headers_mut().append(name, line);
            request
        };
        let nothing = |_: Request| async { "" };
        let check = "http://127.0.0.1:9/check";
        match self {
            Self::ForwardAuthAsks => {
                let app = ForwardAuth::new(nothing, check.parse().unwrap(), app)
                    .user("remote-user".parse().unwrap());
                app.call(client()).await;
            }
            Self::ForwardAuthLetsIn | Self::ForwardAuthBehindProxyHeaders => {
                let judge = |_: Request| async { ([("remote-user", "alice")], "") };
                let app = ForwardAuth::new(app, check.parse().unwrap(), judge)
                    .user("remote-user".parse().unwrap());
                if self == Self::ForwardAuthLetsIn {
                    app.call(client()).await;
                } else {
                    proxies(app)
                        .call(by_proxy("x-forwarded-for", "192.0.2.7"))
                        .await;
                }
            }
            Self::ProxyHeadersOfAClient => drop(proxies(app).call(client()).await),
            Self::ProxyHeadersOfAProxy => {
                proxies(app)
                    .call(by_proxy("x-forwarded-for", "192.0.2.7"))
                    .await;
            }
            Self::ForwardedOfAProxy => {
                let app = proxies(app).forwarded(true);
                app.call(by_proxy("forwarded", "for=192.0.2.7")).await;
            }
            Self::FastCgiOfAClient => return responder.ask(|app| app, client()).await,
            Self::FastCgiBehindProxyHeaders => {
                let request = by_proxy("x-forwarded-for", "192.0.2.7");
                return responder.ask(proxies, request).await;
            }
            Self::GatewayInsideProxyHeaders => {
                let mut environ = Environ::from_iter([
                    ("REQUEST_METHOD", "GET"),
                    ("REQUEST_URI", "/a?b"),
                    ("HTTP_HOST", "own.test"),
                    ("REMOTE_ADDR", "192.0.2.7"),
                ]);
                for (name, value) in forged {
                    let name = name.replace('-', "_").to_ascii_uppercase();
                    environ.push(format!("HTTP_{name}"), value);
                }
                let request = Mapping::new().request(environ).unwrap();
                proxies(app).call(request).await;
            }
        }
        let seen = seen.lock().unwrap();
        seen.clone()
    }
}

fn proxies<A: App>(app: A) -> ProxyHeaders<A> {
    ProxyHeaders::new(app).trust("10.0.0.0/8".parse().unwrap())
}

/// A FastCGI responder that stores its input.
struct Responder {
    address: String,
    seen: Seen,
    folder: std::path::PathBuf,
}

impl Responder {
    async fn start_at(name: &str) -> Self {
        let name = format!("vestibule-forwarding-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let address = format!("unix:{}/s", folder.display());
        let (seen, app) = keeper();
        let server = Server::fastcgi(app).bind(&*address).await.unwrap();
        tokio::spawn(server.run_until(std::future::pending()));
        Self {
            address,
            seen,
            folder,
        }
    }

    async fn ask<B: App>(&self, around: impl Fn(FastCgi) -> B, request: Request) -> HeaderMap {
        self.seen.lock().unwrap().clear();
        let answer = around(FastCgi::new(&*self.address)).call(request).await;
        assert_eq!(answer.status(), 200);
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Sends each name alone, each in two lines, and all of them at once, with and without a
/// `Connection` that lists them.
#[tokio::test]
async fn no_component_passes_forged_fields() {
    let responder = Responder::start_at("forged").await;
    for component in Component::ALL {
        let all: Vec<&str> = FORGED
            .iter()
            .chain(USERS.iter().filter(|_| !component.leaves_users()))
            .copied()
            .collect();
        let mut cases: Vec<Vec<(&str, &str)>> = Vec::new();
        for name in &all {
            cases.push(vec![(name, "evil.test")]);
            cases.push(vec![(name, "evil.test"), (name, "6.6.6.6, evil.test")]);
            cases.push(vec![(name, "evil.test"), ("connection", name)]);
        }
        cases.push(all.iter().map(|name| (*name, "evil.test")).collect());
        for forged in cases {
            // A trusted proxy is responsible for the names of users.
            let trusted = matches!(
                component,
                Component::ProxyHeadersOfAProxy
                    | Component::ForwardedOfAProxy
                    | Component::FastCgiBehindProxyHeaders
            );
            let forged: Vec<(&str, &str)> = forged
                .into_iter()
                .filter(|(name, _)| !(trusted && *name == "Remote-User"))
                .collect();
            let seen = component.pass(&forged, &responder).await;
            for (name, value) in &seen {
                let value = value.to_str().unwrap();
                assert!(
                    name == "connection" || !value.contains("evil") && !value.contains("6.6.6.6"),
                    "{component:?}: {name}: {value} of {forged:?}"
                );
            }
            for (name, allowed) in SET_FIELDS {
                for value in seen.get_all(*name) {
                    let value = value.to_str().unwrap();
                    assert!(allowed.contains(&value), "{component:?}: {name}: {value}");
                }
            }
        }
    }
}

/// A component that sets a field sets it once, for every input of the client.
#[tokio::test]
async fn trusted_fields_are_set_once() {
    let responder = Responder::start_at("told").await;
    let forged: &[(&str, &str)] = &[
        ("x-forwarded-for", "6.6.6.6"),
        ("connection", "x-forwarded-for, x-forwarded-host, x-real-ip"),
    ];
    let told: [(Component, &[&str]); 4] = [
        (
            Component::ForwardAuthAsks,
            &[
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-method",
                "x-forwarded-proto",
                "x-forwarded-uri",
                "x-real-ip",
            ],
        ),
        (
            Component::ProxyHeadersOfAProxy,
            &[
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-proto",
                "x-real-ip",
            ],
        ),
        (
            Component::FastCgiBehindProxyHeaders,
            &[
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-proto",
                "x-real-ip",
            ],
        ),
        (Component::ForwardedOfAProxy, &["forwarded"]),
    ];
    for (component, names) in told {
        for forged in [&[], forged] {
            let seen = component.pass(forged, &responder).await;
            for name in names {
                let values: Vec<_> = seen.get_all(*name).iter().collect();
                let want = SET_FIELDS.iter().find(|(own, _)| own == name).unwrap().1;
                assert_eq!(values, want, "{component:?}: {name} of {forged:?}");
            }
        }
    }
}

/// The auth server gets the same fields with HTTP/1.1 and with HTTP/2, which has no `Host`.
#[tokio::test]
async fn forward_auth_over_sockets_sends_the_requested_host() {
    let (seen, judge) = keeper();
    let nothing = |_: Request| async { "in" };
    let app = ForwardAuth::new(nothing, "/check".parse().unwrap(), judge);
    let site = Site::start(app).await;
    let forged = FORGED
        .iter()
        .map(|name| format!("\n{name}: evil.test"))
        .collect::<String>();
    for version in VERSIONS {
        let head = format!("GET /a%2Fb?c HTTP/1.1{forged}\nconnection: x-forwarded-host, host");
        // Connection fields are malformed in HTTP/2 (RFC 9113, section 8.2.2).
        let head = match version {
            Version::HTTP_2 => head.replace("\nconnection: x-forwarded-host, host", ""),
            _ => head,
        };
        let mut connection = Connection::open(site.address, version).await;
        assert_eq!(connection.send(&head).await.status(), 200, "{version:?}");
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        let host = site.address.to_string();
        let url = format!("http://{host}/a%2Fb?c");
        let told = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", &*host),
            ("x-forwarded-uri", "/a%2Fb?c"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-original-url", &*url),
        ];
        for (name, value) in told {
            let values: Vec<_> = seen.get_all(name).iter().collect();
            assert_eq!(values, [value], "{version:?}: {name}");
        }
        let is_forged = |value: &HeaderValue| value.as_bytes().windows(4).any(|it| it == b"evil");
        assert!(!seen.values().any(is_forged), "{version:?}: {seen:?}");
    }
}
