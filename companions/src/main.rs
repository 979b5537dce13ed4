//! Layers of other crates in Vestibule stacks: the last table of `vestibule_tower::layers`, with
//! each of its lines verbatim.

use std::convert::Infallible;
use std::sync::Arc;

use axum_login::{AuthSession, AuthUser, AuthnBackend};
use http::header::{COOKIE, SET_COOKIE};
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use tower_governor::governor::GovernorConfigBuilder;
use tower_sessions::{MemoryStore, Session};
use vestibule_core::{Address, App, Peer, Request, Response, Stack};
use vestibule_tower::{from_layer, from_layer_with_body};

/// The page with the table.
const TABLES: &str = include_str!("../../crates/vestibule-tower/src/layers.rs");

/// Builds a stack with the middleware, whose line must be in the table.
macro_rules! with {
    ($stack:expr, $code:expr) => {{
        is_in_the_table(stringify!($code));
        $stack.with($code)
    }};
}

fn is_in_the_table(code: &str) {
    let packed = |text: &str| text.split_whitespace().collect::<String>();
    let (_, table) = TABLES.split_once("# Other crates").expect("the heading");
    let code = format!("|`{}`|", packed(code));
    assert!(packed(table).contains(&code), "no line has {code}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    sessions().await;
    login().await;
    governor().await;
    socket_io().await;
    println!("companions: 5 lines of the table work");
}

async fn sessions() {
    let store = MemoryStore::default();
    let stack = with!(
        Stack::new(),
        from_layer(tower_sessions::SessionManagerLayer::new(store))
    );
    let app = stack.app(|request: Request| async move {
        let session: &Session = request.extensions().get().expect("a session");
        let visits: u32 = session
            .get("visits")
            .await
            .expect("it is read")
            .unwrap_or(0);
        let stored = session.insert("visits", visits + 1).await;
        stored.expect("it is stored");
        visits.to_string()
    });
    let first = app.call(get("/")).await;
    let again = as_before(&first, get("/"));
    assert_eq!(text(first).await, "0");
    assert_eq!(text(app.call(again).await).await, "1");
}

#[derive(Clone, Debug)]
struct User;

impl AuthUser for User {
    type Id = u8;

    fn id(&self) -> u8 {
        7
    }

    fn session_auth_hash(&self) -> &[u8] {
        b"hash"
    }
}

#[derive(Clone, Debug)]
struct Users;

impl AuthnBackend for Users {
    type User = User;
    type Credentials = ();
    type Error = Infallible;

    async fn authenticate(&self, (): ()) -> Result<Option<User>, Infallible> {
        Ok(Some(User))
    }

    async fn get_user(&self, _: &u8) -> Result<Option<User>, Infallible> {
        Ok(Some(User))
    }
}

async fn login() {
    use tower_sessions_of_axum_login::{MemoryStore, SessionManagerLayer};
    let sessions = SessionManagerLayer::new(MemoryStore::default());
    let backend = Users;
    let known = with!(
        Stack::new(),
        from_layer(axum_login::AuthManagerLayerBuilder::new(backend, sessions).build())
    );
    let required = with!(
        Stack::new(),
        from_layer_with_body(axum_login::login_required!(Users), axum::body::Body::new)
    );
    let app = known.app(
        vestibule_core::Mounts::new()
            .at("/login", log_in)
            .or(required.app(hello)),
    );

    assert_eq!(app.call(get("/")).await.status(), 401);
    let response = app.call(get("/login")).await;
    let again = as_before(&response, get("/"));
    assert_eq!(text(app.call(again).await).await, "hello");
}

async fn log_in(request: Request) {
    let session: Option<&AuthSession<Users>> = request.extensions().get();
    let mut session = session.expect("a session").clone();
    session.login(&User).await.expect("it is stored");
}

async fn governor() {
    let mut config = GovernorConfigBuilder::default();
    let config = config.per_second(60).burst_size(2).finish();
    let config = Arc::new(config.expect("it is not zero"));
    let stack = with!(
        Stack::new(),
        from_layer_with_body(
            tower_governor::GovernorLayer::new(config),
            axum::body::Body::new
        )
    );
    let app = stack.app(hello);
    for status in [200, 200, 429] {
        assert_eq!(app.call(get("/")).await.status(), status);
    }
    // Another client has its own limit.
    let mut other = get("/");
    other.extensions_mut().insert(from([192, 0, 2, 2]));
    assert_eq!(app.call(other).await.status(), 200);
}

async fn socket_io() {
    let (socket_io, io) = SocketIo::new_layer();
    io.ns("/", async |_: SocketRef| ());
    let stack = with!(Stack::new(), from_layer(socket_io));
    let app = stack.app(hello);
    assert_eq!(text(app.call(get("/")).await).await, "hello");
    let handshake = app.call(get("/socket.io/?EIO=4&transport=polling")).await;
    assert!(
        text(handshake)
            .await
            .contains("\"upgrades\":[\"websocket\"]")
    );
}

async fn hello(_: Request) -> &'static str {
    "hello"
}

fn get(path: &str) -> Request {
    let mut request = Request::default();
    *request.uri_mut() = path.parse().expect("a path");
    request.extensions_mut().insert(from([192, 0, 2, 1]));
    request
}

fn from(client: [u8; 4]) -> Peer {
    let server = Address::Tcp(([192, 0, 2, 9], 80).into());
    Peer::new(Address::Tcp((client, 50_000).into()), server)
}

/// Returns the request with the cookie that the response has set.
fn as_before(response: &Response, mut request: Request) -> Request {
    let cookie = response.headers()[SET_COOKIE].to_str().expect("text");
    let pair = cookie.split(';').next().unwrap_or_default();
    let pair = pair.parse().expect("a value");
    request.headers_mut().insert(COOKIE, pair);
    request
}

async fn text(response: Response) -> String {
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect(1 << 20).await;
    String::from_utf8(body.expect("a body").to_vec()).expect("text")
}
