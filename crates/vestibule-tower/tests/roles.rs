//! tower's layers in the order check.

use std::time::Duration;

use http::StatusCode;
use tower::ServiceBuilder;
use tower_http::auth::AsyncRequireAuthorizationLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestUuid, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use vestibule_core::{App, BoxApp, Outline, Request, Response, Role, Stack, in_role};
use vestibule_tower::{from_layer, from_layer_shared, from_service};

fn roles<A: App>(wrap: impl Fn(BoxApp) -> A + Send + Sync + 'static) -> Vec<Role> {
    Stack::new().with(wrap).outline().roles().to_vec()
}

/// Uses the real layers, so that a new version with other names fails this test.
#[test]
fn well_known_layers_have_roles() {
    let second = Duration::from_secs(1);
    let check = |request: Request| async { Ok::<_, Response>(request) };
    let cases = [
        (roles(from_layer(CorsLayer::new())), Role::CORS),
        (
            roles(from_layer(CompressionLayer::new())),
            Role::COMPRESSION,
        ),
        (
            roles(from_layer(RequestDecompressionLayer::new())),
            Role::DECOMPRESSION,
        ),
        (roles(from_layer(CatchPanicLayer::new())), Role::CATCH_PANIC),
        (
            roles(from_layer(RequestBodyLimitLayer::new(1))),
            Role::BODY_LIMIT,
        ),
        (
            roles(from_layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))),
            Role::REQUEST_ID,
        ),
        (
            roles(from_layer(TimeoutLayer::with_status_code(
                StatusCode::GATEWAY_TIMEOUT,
                second,
            ))),
            Role::TIMEOUT,
        ),
        (
            roles(from_layer(tower::timeout::TimeoutLayer::new(second))),
            Role::TIMEOUT,
        ),
        (
            roles(from_layer(AsyncRequireAuthorizationLayer::new(check))),
            Role::AUTH,
        ),
        (roles(from_layer(CsrfLayer::new())), Role::CSRF),
        (roles(from_layer_shared(CorsLayer::new())), Role::CORS),
    ];
    for (found, role) in cases {
        assert_eq!(found, [role]);
    }
    assert_eq!(roles(from_layer(TraceLayer::new_for_http())), []);
}

#[test]
fn any_layer_can_have_a_role() {
    let header = || {
        let name = http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
        SetResponseHeaderLayer::overriding(name, http::HeaderValue::from_static("*"))
    };
    assert_eq!(roles(from_layer(header())), []);
    assert_eq!(
        roles(in_role(Role::CORS, from_layer(header()))),
        [Role::CORS]
    );
    // A list of layers has the role of its outermost layer, and the roles that `in_role` adds.
    let both = ServiceBuilder::new()
        .layer(CompressionLayer::new())
        .layer(CorsLayer::new());
    assert_eq!(
        roles(in_role(Role::CORS, from_layer(both))),
        [Role::COMPRESSION, Role::CORS]
    );
}

#[test]
fn a_misplaced_tower_layer_is_found() {
    let stack = Stack::new()
        .with(in_role(Role::AUTH, from_layer(TraceLayer::new_for_http())))
        .with(from_layer(CorsLayer::new()));
    let findings = stack.check();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].fix, "move Cors outside of Trace");

    // A service that is an app has its role as well.
    let router = from_service(
        tower::ServiceBuilder::new()
            .layer(CorsLayer::new())
            .service(axum::Router::<()>::new()),
    );
    assert_eq!(Outline::of(&router).roles(), [Role::CORS]);
}
