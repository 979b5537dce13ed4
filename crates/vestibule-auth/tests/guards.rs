//! 401 against 403, and guards that see the path that is served.

use vestibule_auth::{
    Authenticate, Basic, Bearer, ClientCertificate, ForwardAuth, Htpasswd, Identity, Require,
    Scheme, SignedUrl, Tokens,
};
use vestibule_core::{
    App, BoxApp, Failure, Mounts, Request, Role, Stack, in_role, map_request, map_response,
};

use crate::support::{ask, basic, header, request, who};

struct Claims {
    level: u32,
}

fn stack(guard: impl Fn(BoxApp) -> Require<BoxApp> + Send + Sync + 'static) -> BoxApp {
    Stack::new()
        .with(|app| {
            let users = Htpasswd::new()
                .with_user("admin", "a")
                .with_user("user", "u")
                .with_group("admins", ["admin"]);
            let tokens = Tokens::new()
                .with("r", Identity::new("r", "Bearer").with_scopes(["read"]))
                .with(
                    "c",
                    Identity::new("c", "Bearer").with_claims(Claims { level: 3 }),
                );
            Authenticate::new(app, Basic::new(users).or(Bearer::new(tokens))).optional()
        })
        .with(guard)
        .app(who)
}

#[tokio::test]
async fn nobody_is_401_and_somebody_else_403() {
    let app = stack(|app| Require::new(app).under("/admin").group("admins"));
    let ask = async |target: &str, user: Option<&str>| {
        let credential = user.map(|user| basic(user, &user[..1]));
        let headers: Vec<_> = credential
            .iter()
            .map(|it| ("authorization", &it[..]))
            .collect();
        app.call(request(target, &headers)).await
    };
    let nobody = ask("/admin", None).await;
    assert_eq!(nobody.status(), 401);
    assert_eq!(header(&nobody, "www-authenticate").len(), 2);
    let user = ask("/admin/x", Some("user")).await;
    assert_eq!(user.status(), 403);
    assert!(header(&user, "www-authenticate").is_empty());
    let cause = Failure::of(&user).unwrap().to_string();
    assert_eq!(cause, "\"user\" lacks the group `admins`");
    assert_eq!(ask("/admin/x", Some("admin")).await.status(), 200);
    assert_eq!(ask("/public", None).await.status(), 200);
    for path in ["//admin", "/x/../admin", "/admin%00", "/%2e/admin"] {
        assert_eq!(ask(path, None).await.status(), 400, "{path}");
    }
    for path in ["/%61dmin", "/admin%2Fx", "/x%2f..%2fadmin"] {
        assert_eq!(ask(path, None).await.status(), 401, "{path}");
        assert_eq!(ask(path, Some("user")).await.status(), 403, "{path}");
    }
}

#[tokio::test]
async fn rfc6750_3_1_insufficient_scope() {
    let app = stack(|app| Require::new(app).scope("write"));
    let refused = ask(&app, "Bearer r").await;
    assert_eq!(refused.status(), 403);
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"write\"";
    assert_eq!(header(&refused, "www-authenticate"), [challenge]);
    let app = stack(|app| Require::new(app).scope("read"));
    assert_eq!(ask(&app, "Bearer r").await.status(), 200);
}

#[tokio::test]
async fn claims_and_predicates() {
    let app = stack(|app| Require::new(app).claim("level 3", |claims: &Claims| claims.level >= 3));
    assert_eq!(ask(&app, "Bearer c").await.status(), 200);
    assert_eq!(ask(&app, "Bearer r").await.status(), 403);
    let app = stack(|app| Require::new(app).that("a short name", |it| it.subject().len() == 1));
    assert_eq!(ask(&app, "Bearer c").await.status(), 200);
    assert_eq!(ask(&app, basic("user", "u")).await.status(), 403);
}

#[tokio::test]
async fn methods() {
    use vestibule_core::http::Method;
    let app = stack(|app| Require::new(app).methods([Method::GET]));
    for (target, status) in [("GET /", 401), ("HEAD /", 401), ("POST /", 200)] {
        assert_eq!(app.call(request(target, &[])).await.status(), status);
    }
}

#[tokio::test]
async fn a_guard_below_a_mount_sees_the_rest() {
    let guarded = Require::new(who).under("/secret");
    let app = Mounts::new().at("/app", guarded.boxed());
    assert_eq!(app.call(request("/app/secret", &[])).await.status(), 403);
    assert_eq!(app.call(request("/app/open", &[])).await.status(), 200);
}

/// Without challenges there is no 401: it must have one (RFC 9110 section 15.5.2).
#[tokio::test]
async fn a_guard_that_stands_alone_is_403() {
    let app = Require::new(who);
    assert_eq!(app.call(Request::default()).await.status(), 403);
}

#[test]
fn what_the_outline_says() {
    let app = stack(|app| Require::new(app).under("/admin").group("admins"));
    let outline = app.outline();
    assert_eq!(outline.roles(), [Role::AUTH, Role::IDENTITY]);
    let text = outline.to_string();
    assert!(
        text.contains("scheme: Basic") && text.contains("requires: the group `admins`"),
        "{text}"
    );
}

/// The check of the order finds a guard that has no layer for identity around it.
#[test]
fn a_guard_wants_an_identity_around_it() {
    let basic = |app| Authenticate::new(app, Basic::new(Htpasswd::new().with_user("a", "a")));
    let tls = |app| Authenticate::new(app, ClientCertificate::new(|_| None));
    let link = |app| Authenticate::new(app, SignedUrl::new([7; 32]));
    let forward = |app| ForwardAuth::new(app, "http://127.0.0.1:9/".parse().unwrap(), who);
    let named = move |app| forward(app).user("remote-user".parse().unwrap());
    let own = || {
        map_request(|mut request| {
            request.extensions_mut().insert(Identity::new("me", "Own"));
            request
        })
    };
    let guard = Require::new;
    let reason = "Require: it needs a layer for identity outside of it, and without one it refuses every \
                  request that it guards (`Authenticate` is one, or `ForwardAuth` with `user`)";
    let add = "add a layer for identity outside of Require";
    let stack = Stack::new;
    let cases = [
        (stack().with(basic).with(guard), None),
        (stack().with(basic).with(guard).with(guard), None),
        (stack().with(tls).with(guard), None),
        (stack().with(link).with(guard), None),
        (stack().with(named).with(guard), None),
        (
            stack().with(in_role(Role::IDENTITY, own())).with(guard),
            None,
        ),
        (stack().with(guard), Some(add)),
        (stack().with(map_response(|it| it)).with(guard), Some(add)),
        (stack().with(own()).with(guard), Some(add)),
        // It lets requests in, and does not say who sends them.
        (stack().with(forward).with(guard), Some(add)),
        (
            stack().with(guard).with(basic),
            Some("move Authenticate outside of Require"),
        ),
        (
            stack().with(guard).with(named),
            Some("move ForwardAuth outside of Require"),
        ),
    ];
    for (stack, fix) in cases {
        let found: Vec<_> = stack.check().iter().map(ToString::to_string).collect();
        let expected: Vec<_> = fix.iter().map(|fix| format!("{reason}; {fix}")).collect();
        assert_eq!(found, expected, "{stack:?}");
    }
    let mounted = Mounts::new().at("/staff", Require::new(who).boxed());
    assert_eq!(stack().app(mounted).outline().check().len(), 1);
}
