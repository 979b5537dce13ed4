#![no_main]

use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use http::HeaderValue;
use http::header::{AUTHORIZATION, COOKIE};
use libfuzzer_sys::fuzz_target;
use vestibule_auth::jwt::{Algorithm, Jwt, Key};
use vestibule_auth::{ApiKey, Authenticate, Basic, Bearer, Htpasswd, Identity, Scheme, Tokens};
use vestibule_core::{App, BoxApp, Request};

/// Every scheme that reads fields. The last byte of the input selects one.
static APPS: LazyLock<[BoxApp; 4]> = LazyLock::new(|| {
    let users = Htpasswd::new().with_user("alice", "secret");
    let tokens = || Tokens::new().with("secret", Identity::new("ci", "Bearer"));
    let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap();
    let basic = Basic::new(users).lockout(None);
    let both = basic.clone().or(Bearer::new(tokens()));
    let keys = ApiKey::new(tokens()).cookie("key").query("key");
    let jwt = Jwt::<serde::de::IgnoredAny>::new(key);
    [
        Authenticate::new(who, basic).boxed(),
        Authenticate::new(who, both).optional().boxed(),
        Authenticate::new(who, keys).optional().boxed(),
        Authenticate::new(who, jwt).boxed(),
    ]
});

async fn who(request: Request) -> String {
    // An accepted request has an identity, and its credential is removed.
    if let Some(identity) = Identity::of(&request) {
        assert!(!identity.subject().is_empty());
    }
    String::new()
}

fuzz_target!(|lines: Vec<&[u8]>| {
    for app in &*APPS {
        let mut request = Request::default();
        for line in &lines {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                request.headers_mut().append(AUTHORIZATION, value.clone());
                request.headers_mut().append(COOKIE, value.clone());
                request.headers_mut().append("x-api-key", value);
            }
        }
        let mut call = pin!(app.call(request));
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => {
                assert!(matches!(response.status().as_u16(), 200 | 400 | 401 | 403));
            }
            Poll::Pending => panic!("nothing to wait for"),
        }
    }
});
