//! Tokens, key sets and webhooks as layers of axum's routers: at the top, in a nested router, and around one route.

use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::Extension;
use axum::routing::{any, get, post};
use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use tower::ServiceExt;
use vestibule::auth::jwt::{Algorithm, Jwks, Jwt, Key};
use vestibule::auth::{Authenticate, ForwardAuth, Identity, Require, Webhook, WebhookSignature};
use vestibule::http::{HeaderName, Request as HttpRequest, StatusCode};
use vestibule::prelude::*;
use vestibule::tower::layer;

/// The status and the text of an answer.
async fn ask(router: &Router, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut request = HttpRequest::builder().uri(path);
    if !body.is_empty() {
        request = request.method("POST");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(AxumBody::from(body.to_owned())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    (status, String::from_utf8(bytes.unwrap().to_vec()).unwrap())
}

async fn who(Extension(identity): Extension<Identity>) -> String {
    identity.subject().to_owned()
}

async fn text(body: String) -> String {
    body
}

/// Four routers, with the layer around all routes, in the nested router, or around one route.
fn places(apply: impl Fn(Router) -> Router) -> [(&'static str, Router); 4] {
    let routes = || {
        Router::new()
            .route("/who", get(who))
            .route("/admin/who", get(who))
            .route("/hook", post(text))
    };
    [
        ("around nest", apply(Router::new().nest("/api", routes()))),
        ("in nest", Router::new().nest("/api", apply(routes()))),
        (
            "in two nests",
            Router::new().nest("/api", Router::new().merge(apply(routes()))),
        ),
        (
            "below a capture",
            Router::new().nest("/{version}", apply(routes())),
        ),
    ]
}

#[tokio::test]
async fn tokens_of_a_key_set_and_a_guard_at_every_place() {
    let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap().with_id("1");
    let token = |claims: Value| format!("Bearer {}", key.sign(&claims).unwrap());
    let exp = 4_000_000_000_u64;
    let alice =
        token(json!({ "sub": "alice", "scope": "admin", "exp": exp, "iss": "https://id.example" }));
    let bob = token(json!({ "sub": "bob", "exp": exp, "iss": "https://id.example" }));
    let other = token(json!({ "sub": "eve", "exp": exp, "iss": "https://evil.example" }));
    let old = token(json!({ "sub": "alice", "exp": 1, "iss": "https://id.example" }));
    let set = json!({ "keys": [
        { "kty": "oct", "alg": "HS256", "kid": "1", "k": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc" },
    ] });
    // One is a key that is known, the other a set that is fetched.
    let client = move |_: Request| {
        let set = set.to_string();
        async move { set }
    };
    let uri = || "https://id.example/keys".parse().unwrap();
    let known = Jwt::<Value>::new(key.clone()).issuer("https://id.example");
    let fetched = Jwt::<Value>::with_jwks(Jwks::url(uri(), client)).issuer("https://id.example");
    for (kind, scheme) in [("known", known), ("fetched", fetched)] {
        let apply = |router: Router| {
            let scheme = scheme.clone();
            router
                .layer(layer(|app| {
                    Require::new(app).under("/api/admin").scope("admin")
                }))
                .layer(layer(move |app| Authenticate::new(app, scheme)))
        };
        for (place, router) in places(apply) {
            let status = async |path: &str, token: &str| {
                ask(&router, path, &[("authorization", token)], "").await
            };
            let name = format!("{kind} {place}");
            assert_eq!(
                status("/api/who", &bob).await,
                (200, "bob".into()),
                "{name}"
            );
            assert_eq!(
                status("/api/admin/who", &alice).await,
                (200, "alice".into()),
                "{name}"
            );
            for (path, token, want) in [
                ("/api/admin/who", &bob, 403),
                ("/api/who", &other, 401),
                ("/api/who", &old, 401),
                ("/api/who", &"Bearer a.b.c".to_owned(), 401),
                ("/api/who", &"Basic YTpi".to_owned(), 401),
            ] {
                assert_eq!(status(path, token).await.0, want, "{name} {path} {token}");
            }
            // axum has no route for this spelling, and asks the layer in a nest for nothing then.
            let spelled = status("/api/%61dmin/who", &bob).await.0;
            assert!([403, 404].contains(&spelled), "{name}: {spelled}");
        }
    }
}

#[tokio::test]
async fn webhooks_at_every_place() {
    let signature = WebhookSignature::github(["secret of the hook"]).unwrap();
    let apply = |router: Router| {
        let signature = signature.clone();
        router.layer(layer(move |app| Webhook::new(app, signature)))
    };
    let signed = |text: &str| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"secret of the hook").unwrap();
        mac.update(text.as_bytes());
        let bytes = mac.finalize().into_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256={hex}")
    };
    let body = "{\"action\": \"opened\", \"text\": \"\u{e4}\"}";
    for (place, router) in places(apply) {
        let status = async |signature: &str, body: &str| {
            let headers = [("x-hub-signature-256", signature)];
            ask(&router, "/api/hook", &headers, body).await
        };
        assert_eq!(
            status(&signed(body), body).await,
            (200, body.into()),
            "{place}"
        );
        assert_eq!(status(&signed("other"), body).await.0, 403, "{place}");
        assert_eq!(status("", body).await.0, 403, "{place}");
        assert_eq!(
            status(&Base64::encode_string(b"x"), body).await.0,
            403,
            "{place}"
        );
        assert_eq!(ask(&router, "/api/hook", &[], body).await.0, 403, "{place}");
    }
}

/// The judging server gets the whole path, even if axum has removed a prefix.
#[tokio::test]
async fn forward_auth_at_every_place() {
    async fn judge(request: Request) -> Response {
        let uri = request.headers()["x-forwarded-uri"].to_str().unwrap();
        match (uri, request.headers().get("cookie")) {
            ("/api/who?q=1" | "/api/admin/who", Some(_)) => {
                ([("remote-user", "ann")], "").into_response()
            }
            _ => StatusCode::UNAUTHORIZED.into_response(),
        }
    }
    let apply = |router: Router| {
        router.layer(layer(|app| {
            ForwardAuth::new(app, "http://127.0.0.1:9/check".parse().unwrap(), judge)
                .user(HeaderName::from_static("remote-user"))
        }))
    };
    let cookie = [("cookie", "session=1"), ("host", "site.example")];
    for (place, router) in places(apply) {
        let answer = ask(&router, "/api/who?q=1", &cookie, "").await;
        assert_eq!(answer, (200, "ann".into()), "{place}");
        assert_eq!(
            ask(&router, "/api/admin/who", &cookie, "").await.0,
            200,
            "{place}"
        );
        assert_eq!(
            ask(&router, "/api/who?q=2", &cookie, "").await.0,
            401,
            "{place}"
        );
        assert_eq!(
            ask(&router, "/api/who?q=1", &cookie[1..], "").await.0,
            401,
            "{place}"
        );
    }
    // A route alone, whose neighbours are open.
    let check = layer(|app| {
        ForwardAuth::new(app, "http://127.0.0.1:9/check".parse().unwrap(), judge)
            .user(HeaderName::from_static("remote-user"))
    });
    let router = Router::new()
        .route("/api/who", get(who).layer(check))
        .route("/open", any(async || "open"));
    assert_eq!(
        ask(&router, "/api/who?q=1", &cookie, "").await,
        (200, "ann".into())
    );
    assert_eq!(ask(&router, "/api/who", &[], "").await.0, 401);
    assert_eq!(ask(&router, "/open", &[], "").await, (200, "open".into()));
}
