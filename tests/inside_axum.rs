//! Vestibule middleware in axum, and axum in a Vestibule stack, over sockets: `axum::serve` and the
//! Vestibule server.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use axum::extract::{ConnectInfo, OriginalUri};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tower_layer::Layer;
use vestibule::auth::{Authenticate, Basic, Identity, Lockout, Require};
use vestibule::files::StaticFiles;
use vestibule::http::Uri;
use vestibule::hyper::Server;
use vestibule::logging::{AccessLog, Metrics, RequestId, SetRequestId, Sink};
use vestibule::prelude::*;
use vestibule::tower::{from_service, layer, layer_each, service};
use vestibule::{Mount, Peer};

use crate::websocket::echo;

/// Sends one or several requests on a new connection, and returns all output.
async fn ask(address: SocketAddr, requests: &[&str]) -> String {
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut answers = String::new();
    for (index, head) in requests.iter().enumerate() {
        let last = index + 1 == requests.len();
        let connection = if last { "close" } else { "keep-alive" };
        let text = format!("{head}\r\nhost: localhost\r\nconnection: {connection}\r\n\r\n");
        client.write_all(text.as_bytes()).await.unwrap();
    }
    client.read_to_string(&mut answers).await.unwrap();
    answers
}

fn basic(user: &str, password: &str) -> String {
    use base64ct::Encoding;
    let pair = base64ct::Base64::encode_string(format!("{user}:{password}").as_bytes());
    format!("authorization: Basic {pair}")
}

/// Numbers the requests, and counts how often it was built.
struct Numbered<A> {
    app: A,
    count: AtomicU32,
}

impl<A: App> Numbered<A> {
    fn new(app: A, built: &AtomicU32) -> Self {
        built.fetch_add(1, Relaxed);
        Self {
            app,
            count: AtomicU32::new(0),
        }
    }
}

impl<A: App> App for Numbered<A> {
    async fn call(&self, request: Request) -> Response {
        let number = self.count.fetch_add(1, Relaxed) + 1;
        let mut response = self.app.call(request).await;
        response.headers_mut().insert("x-number", number.into());
        response
    }
}

/// Creates ten routes, each with two methods.
fn ten_routes() -> Router {
    (0..10).fold(Router::new(), |router, number| {
        let path = format!("/route/{number}");
        router.route(&path, get(|| async { "got" }).post(|| async { "posted" }))
    })
}

#[tokio::test]
async fn a_layer_is_built_once_in_axum() {
    let built: [Arc<AtomicU32>; 5] = Default::default();
    let count = |index: usize| {
        let built = built[index].clone();
        move || {
            built.fetch_add(1, Relaxed);
        }
    };
    let (lines, log) = Sink::memory();

    let lockout = count(0);
    let users = Basic::with(|user, password| async move {
        Ok((password == "right").then(|| Identity::new(user, "Basic")))
    });
    let users = users.lockout(Lockout::new().by_user(10).by_address(0));
    let authenticate = layer(move |app| {
        lockout();
        Authenticate::new(app, users)
    });
    let metrics = count(1);
    let metrics = layer(move |app| {
        metrics();
        Metrics::new(app).at("/metrics")
    });
    let access_log = count(2);
    let access_log = layer(move |app| {
        access_log();
        AccessLog::new(app).to(log).sample(10)
    });
    let numbered = built[3].clone();
    let stack = Stack::new().with(move |app| Numbered::new(app, &numbered));
    let whole_stack = count(4);
    let stack = layer(move |app| {
        whole_stack();
        stack.app(app)
    });
    let router = ten_routes()
        .layer(authenticate)
        .layer(stack)
        .layer(access_log)
        .layer(metrics);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let make = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async move { axum::serve(listener, make).await });

    // 110 connections over ten routes and two methods: each guesses Alice's password, while Bob
    // logs in.
    let (wrong, bob) = (basic("alice", "wrong"), basic("bob", "right"));
    let (mut refused, mut locked_out, mut welcome) = (0, 0, 0);
    for connection in 0..110 {
        let route = connection % 10;
        let guess = format!("POST /route/{route} HTTP/1.1\r\ncontent-length: 0\r\n{wrong}");
        let visit = format!("GET /route/{route} HTTP/1.1\r\n{bob}");
        let answers = ask(address, &[&guess, &visit]).await;
        refused += answers.matches("HTTP/1.1 401 ").count();
        locked_out += answers.matches("HTTP/1.1 429 ").count();
        welcome += answers.matches("HTTP/1.1 200 ").count();
    }
    assert_eq!((refused, locked_out, welcome), (10, 100, 110));
    // The right password comes too late: Alice is locked out.
    let right = format!("GET /route/0 HTTP/1.1\r\n{}", basic("alice", "right"));
    assert!(ask(address, &[&right]).await.starts_with("HTTP/1.1 429 "));
    let last = ask(address, &[&format!("GET /route/0 HTTP/1.1\r\n{bob}")]).await;
    assert!(last.contains("x-number: 222\r\n"), "{last}");

    let page = ask(address, &["GET /metrics HTTP/1.1"]).await;
    let counted = page
        .lines()
        .filter(|line| line.starts_with("http_server_requests_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap())
        .sum::<u32>();
    assert_eq!(counted, 222, "{page}");

    // Every refusal is logged, and one of ten accepted requests.
    let lines = lines.take();
    assert_eq!(lines.matches(" 401 ").count(), 10);
    assert_eq!(lines.matches(" 429 ").count(), 101);
    assert_eq!(lines.matches(" 200 ").count(), 12);
    for (index, built) in built.iter().enumerate() {
        assert_eq!(built.load(Relaxed), 1, "middleware {index}");
    }
    serving.abort();
}

/// The former behaviour, as an option: a separate state for each route and each connection.
#[tokio::test]
async fn layer_each_builds_each_time() {
    let built = Arc::new(AtomicU32::new(0));
    let counted = built.clone();
    let router = ten_routes().layer(layer_each(move |app| Numbered::new(app, &counted)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    for _ in 0..3 {
        let answer = ask(address, &["GET /route/1 HTTP/1.1"]).await;
        assert!(answer.contains("x-number: 1\r\n"), "{answer}");
    }
    assert!(built.load(Relaxed) > 3);
    serving.abort();
}

/// Returns the properties of a request as a Vestibule app sees them.
async fn ours(request: Request) -> String {
    let mount = Mount::of(&request).map_or((String::new(), String::new()), |mount| {
        (mount.prefix().to_owned(), mount.rest().to_owned())
    });
    let peer = Peer::of(&request).map(|peer| peer.address().ip().unwrap().to_string());
    format!(
        "uri {} mount {} + {} peer {} id {}",
        request.uri(),
        mount.0,
        mount.1,
        peer.unwrap_or_default(),
        RequestId::of(&request).is_some(),
    )
}

/// Returns the properties of a request as an axum handler sees them. `Extension` is the value of an
/// axum middleware.
async fn theirs(
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    OriginalUri(original): OriginalUri,
    Extension(id): Extension<RequestId>,
    uri: Uri,
) -> String {
    let has_id = id.as_str().len() == 36;
    format!(
        "uri {uri} original {original} peer {} id {has_id}",
        client.ip()
    )
}

/// Returns the routes below the prefix, the same for each composition.
fn inner(site: &std::path::Path) -> Router {
    Router::new()
        .route("/theirs", get(theirs))
        .route_service("/ours", service(ours))
        .route_service("/admin", service(ours))
        .route_service("/chat", service(echo))
        .nest_service("/static", service(StaticFiles::new(site)))
}

/// Returns the stack that is part of each composition, and the lines of its log.
fn stack() -> (vestibule::logging::Lines, Stack) {
    let (lines, log) = Sink::memory();
    let stack = Stack::new()
        .with(SetRequestId::new)
        .with(move |app| AccessLog::new(app).to(log.clone()))
        .with(|app| Require::new(app).under("/api/admin"));
    (lines, stack)
}

enum Host {
    Axum(Router),
    Ours(BoxApp),
}

/// A server that stops when it is dropped.
struct Serving(SocketAddr, tokio::task::JoinHandle<()>);

impl Serving {
    async fn start(host: Host) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = match host {
            Host::Axum(router) => Box::pin(async move {
                let make = router.into_make_service_with_connect_info::<SocketAddr>();
                axum::serve(listener, make).await.unwrap();
            }),
            Host::Ours(app) => Box::pin(async move {
                let server = Server::new(app).bind(listener).await.unwrap();
                server.run_until(std::future::pending()).await;
            }),
        };
        Self(address, tokio::spawn(serving))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.1.abort();
    }
}

/// One table for every composition of a Vestibule stack and an axum router.
#[tokio::test]
async fn every_composition_sees_the_same_request() {
    let site = tempdir();
    std::fs::create_dir(site.join("sub")).unwrap();
    std::fs::write(site.join("sub/index.html"), "page").unwrap();
    let inner = || inner(&site);

    type Compose<'a> = &'a dyn Fn(Stack) -> Host;
    let compositions: [(&str, Compose<'_>); 9] = [
        ("layer around nest", &|stack| {
            let router = Router::new().nest("/api", inner());
            Host::Axum(router.layer(layer(|app| stack.app(app))))
        }),
        ("layer in nest", &|stack| {
            let inner = inner().layer(layer(|app| stack.app(app)));
            Host::Axum(Router::new().nest("/api", inner))
        }),
        ("route_layer in nest", &|stack| {
            let inner = inner().route_layer(layer(|app| stack.app(app)));
            Host::Axum(Router::new().nest("/api", inner))
        }),
        ("layer in nest, below another layer", &|stack| {
            let inner = inner().layer(layer(|app| stack.app(app)));
            let router = Router::new().nest("/api", inner);
            Host::Axum(router.layer(layer(vestibule::CatchPanic::new)))
        }),
        ("layer in nest with a capture", &|stack| {
            let inner = inner().layer(layer(|app| stack.app(app)));
            Host::Axum(Router::new().nest("/{version}", inner))
        }),
        ("nest_service", &|stack| {
            let app = stack.app(from_service(inner()));
            Host::Axum(Router::new().nest_service("/api", service(app)))
        }),
        ("stack around a router", &|stack| {
            Host::Ours(stack.app(from_service(Router::new().nest("/api", inner()))))
        }),
        ("stack around a mounted router", &|stack| {
            let router = from_service(inner()).below_mount(true);
            Host::Ours(stack.app(Mounts::new().at("/api", router)))
        }),
        ("layer in a mounted router", &|stack| {
            let inner = inner().layer(layer(|app| stack.app(app)));
            let router = from_service(inner).below_mount(true);
            Host::Ours(Mounts::new().at("/api", router).boxed())
        }),
    ];
    // the request, the status, a header or the body of the response
    let requests = [
        (
            "/api/ours?q=1",
            200,
            "uri /api/ours?q=1 mount /api + /ours peer 127.0.0.1 id true",
        ),
        (
            "/api/theirs?q=1",
            200,
            "uri /theirs?q=1 original /api/theirs?q=1 peer 127.0.0.1 id true",
        ),
        ("/api/admin", 403, ""),
        ("/api/%61dmin", 403, ""),
        ("/api/static/sub?q", 308, "location: /api/static/sub/?q\r\n"),
        ("/api/static/sub/", 200, "page"),
    ];
    for (name, compose) in compositions {
        let (lines, stack) = stack();
        let server = Serving::start(compose(stack)).await;
        for (target, status, part) in requests {
            // axum's routes do not decode escapes, so this path has no route in the nest, and no
            // layer there.
            if target.contains('%') && name.contains("in nest") {
                continue;
            }
            let answer = ask(server.0, &[&format!("GET {target} HTTP/1.1")]).await;
            let is_right =
                answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(part);
            assert!(is_right, "{name}: {target}: {answer}");
            let line = format!("\"GET {target} HTTP/1.1\" {status} ");
            let log = lines.take();
            assert!(
                log.starts_with("127.0.0.1 ") && log.contains(&line),
                "{name}: {log}"
            );
        }

        let client = TcpStream::connect(server.0).await.unwrap();
        let chat = tokio_tungstenite::client_async("ws://localhost/api/chat", client).await;
        let (mut socket, _) = chat.unwrap_or_else(|error| panic!("{name}: {error}"));
        socket.send(Message::text("hello")).await.unwrap();
        let back = socket.next().await.unwrap().unwrap();
        assert_eq!(back.into_text().unwrap(), "hello", "{name}");
        socket.close(None).await.unwrap();
        drop(socket);
    }
    std::fs::remove_dir_all(&site).unwrap();
}

/// Returns the status of a request without identity: 403 from the guard, 200 from the app behind
/// it.
async fn status(host: Host, target: &str) -> String {
    let server = Serving::start(host).await;
    let answer = ask(server.0, &[&format!("GET {target} HTTP/1.1")]).await;
    answer[9..12].to_owned()
}

fn secret() -> Router {
    let secret = || get(|| async { "secret" });
    Router::new()
        .route("/admin", secret())
        .route("/page", secret())
}

fn guard(path: &'static str) -> vestibule::tower::AppLayer<Require<BoxApp>> {
    layer(move |app| Require::new(app).under(path))
}

/// Creates a Vestibule layer that replaces one path by another.
fn rewrite(from: &'static str, to: &'static str) -> Stack {
    Stack::new().map_request(move |mut request| {
        if request.uri().path() == from {
            *request.uri_mut() = to.parse().unwrap();
        }
        request
    })
}

/// Nothing between a router and a guard may hide a path from the guard: more mounts, rewrites on
/// either side, and layers that remove a prefix.
#[tokio::test]
async fn a_guard_sees_through_mounts_and_rewrites() {
    let guarded = || secret().layer(guard("/api/admin"));
    let api = || Router::new().nest("/api", guarded());
    let axum = |router: Router| Host::Axum(router);
    let ours = |app: BoxApp| Host::Ours(app);
    let in_axum = |app: BoxApp| Host::Axum(Router::new().fallback_service(service(app)));
    let timeout = tower_http::timeout::TimeoutLayer::with_status_code(
        vestibule::http::StatusCode::GATEWAY_TIMEOUT,
        std::time::Duration::from_secs(5),
    );
    let limit = tower_http::limit::RequestBodyLimitLayer::new(1000);
    let trim = tower_http::normalize_path::NormalizePathLayer::trim_trailing_slash;
    let require = || {
        let stack = Stack::new().with(|app| Require::new(app).under("/api/admin"));
        stack.app(ours_leaf)
    };
    async fn ours_leaf(_: Request) -> &'static str {
        "secret"
    }
    let de = || rewrite("/de/api/admin", "/api/admin");
    let bridged = {
        let timeout = vestibule::tower::from_layer(timeout);
        let stack = Stack::new().with(move |app| timeout(app).below_mount(true));
        Mounts::new().at("/api", stack.app(require())).boxed()
    };
    // The layer is a router, which removes `/api` from the path.
    let stripped = {
        let router = |app| -> Router { Router::new().nest_service("/api", app) };
        let nested = vestibule::tower::from_layer(tower_layer::layer_fn(router));
        Stack::new().with(nested).app(require())
    };
    let normalized = |app: BoxApp| {
        let stack = Stack::new().with(vestibule::tower::from_layer(trim()));
        stack.app(app)
    };
    let guarded_route = || secret().route_layer(guard("/admin"));
    let cases: Vec<(&str, Host, &str, &str)> = vec![
        ("nest", axum(api()), "/api/admin", "403"),
        ("nest", axum(api()), "/api/page", "200"),
        (
            "one nest more",
            axum(Router::new().nest("/v1", api())),
            "/v1/api/admin",
            "403",
        ),
        (
            "one nest more",
            axum(Router::new().nest("/v1", api())),
            "/v1/api/page",
            "200",
        ),
        (
            "a nest_service more",
            axum(Router::new().nest_service("/v1", api())),
            "/v1/api/admin",
            "403",
        ),
        (
            "a capture more",
            axum(Router::new().nest("/{tenant}", api())),
            "/acme/api/admin",
            "403",
        ),
        (
            "a mount more",
            ours(
                Mounts::new()
                    .at("/v1", from_service(api()).below_mount(true))
                    .boxed(),
            ),
            "/v1/api/admin",
            "403",
        ),
        (
            "a rewrite outside",
            in_axum(de().app(from_service(api()))),
            "/de/api/admin",
            "403",
        ),
        (
            "a rewrite outside",
            ours(de().app(from_service(api()))),
            "/de/api/admin",
            "403",
        ),
        (
            "a rewrite in a mount",
            in_axum(
                rewrite("/admin", "/api/admin")
                    .app(Mounts::new().at("/api", from_service(guarded()).below_mount(true))),
            ),
            "/admin",
            "403",
        ),
        (
            "a rewrite that leaves the nest",
            axum(Router::new().nest_service(
                "/api",
                layer(|app| rewrite("/api/old", "/pub/admin").app(app)).layer(secret()),
            )),
            "/api/old",
            "404",
        ),
        ("below_mount on a layer", ours(bridged), "/api/admin", "403"),
        (
            "a layer that removes a prefix",
            ours(stripped),
            "/api/admin",
            "403",
        ),
        (
            "a body that is wrapped",
            axum(Router::new().nest("/api", guarded().layer(limit))),
            "/api/admin",
            "403",
        ),
        (
            "a slash that is trimmed",
            in_axum(normalized(from_service(guarded_route()).boxed())),
            "/page/",
            "200",
        ),
        (
            "a slash that is trimmed",
            in_axum(normalized(from_service(guarded_route()).boxed())),
            "/admin/",
            "403",
        ),
        (
            "a rewrite and a capture",
            in_axum(rewrite("/old", "/acme/admin").app(from_service(
                Router::new().nest("/{tenant}", secret().layer(guard("/admin"))),
            ))),
            "/old",
            "403",
        ),
        (
            "an exception and a capture",
            axum(Router::new().nest(
                "/{tenant}",
                secret().layer(layer(|app| Require::new(app).except("/page"))),
            )),
            "/page/admin",
            "403",
        ),
        (
            "an exception and a capture",
            axum(Router::new().nest(
                "/{tenant}",
                secret().layer(layer(|app| Require::new(app).except("/page"))),
            )),
            "/acme/page",
            "200",
        ),
    ];
    for (name, host, target, want) in cases {
        assert_eq!(status(host, target).await, want, "{name}: {target}");
    }
}

/// The client is the one that was set last, by a middleware of either side.
#[tokio::test]
async fn both_sides_agree_on_the_client() {
    use vestibule::security::ProxyHeaders;
    async fn both(
        ConnectInfo(theirs): ConnectInfo<SocketAddr>,
        request: axum::extract::Request,
    ) -> String {
        let ours = Peer::of(&request).map(|peer| peer.address().ip());
        format!("{} {:?}", theirs.ip(), ours.flatten())
    }
    let router = || Router::new().route("/", get(both));
    let proxy = || Stack::new().with(|app| ProxyHeaders::new(app).trust_count(1));
    let trace = || vestibule::tower::from_layer(tower_http::trace::TraceLayer::new_for_http());
    let replace = axum::middleware::map_request(|mut request: axum::extract::Request| async move {
        let client: SocketAddr = "192.0.2.9:1".parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(client));
        request
    });
    let hosts: [(&str, Host); 5] = [
        ("around", Host::Ours(proxy().app(from_service(router())))),
        ("around, inside of a bridged layer", {
            let stack = Stack::new().with(trace()).append(proxy());
            Host::Ours(stack.app(from_service(router())))
        }),
        (
            "inside",
            Host::Axum(router().layer(layer(|app| proxy().app(app)))),
        ),
        ("by axum, inside of ours", {
            let inner = router()
                .layer(layer(vestibule::CatchPanic::new))
                .layer(replace.clone());
            Host::Axum(inner.layer(layer(vestibule::CatchPanic::new)))
        }),
        (
            "by axum",
            Host::Axum(
                router()
                    .layer(layer(vestibule::CatchPanic::new))
                    .layer(replace),
            ),
        ),
    ];
    for (name, host) in hosts {
        let server = Serving::start(host).await;
        let head = "GET / HTTP/1.1\r\nx-forwarded-for: 192.0.2.9";
        let answer = ask(server.0, &[head]).await;
        assert!(
            answer.ends_with("192.0.2.9 Some(192.0.2.9)"),
            "{name}: {answer}"
        );
    }
}

fn tempdir() -> std::path::PathBuf {
    let name = format!("vestibule-axum-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    folder
}
