//! Bearer tokens and API keys from outside.

use vestibule_auth::{ApiKey, Authenticate, Bearer, Identity, Tokens};
use vestibule_core::{App, Failure, Request};

use crate::support::{ask, header, read, request, who};

fn tokens() -> Tokens {
    Tokens::new().with("mF_9.B5f-4.1JqM", Identity::new("example", "Bearer"))
}

#[tokio::test]
async fn rfc6750_2_1_and_3_examples() {
    let app = Authenticate::new(who, Bearer::new(tokens()).realm("example"));
    let answer = ask(&app, "Bearer mF_9.B5f-4.1JqM").await;
    assert_eq!(read(answer).await, (200, "example".to_owned()));
    // Without credentials there is no error code (section 3.1).
    let answer = app.call(Request::default()).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(
        header(&answer, "www-authenticate"),
        ["Bearer realm=\"example\""]
    );
    let answer = ask(&app, "Bearer expired").await;
    assert_eq!(answer.status(), 401);
    let challenge = "Bearer realm=\"example\", error=\"invalid_token\"";
    assert_eq!(header(&answer, "www-authenticate"), [challenge]);
}

#[tokio::test]
async fn rfc6750_3_1_a_field_that_is_no_token() {
    let app = Authenticate::new(who, Bearer::new(tokens()));
    let long = [&b"Bearer "[..], &[b'a'; 1 << 20]].concat();
    let cases: [(&[u8], u16, &str); 6] = [
        (b"Bearer", 400, "Bearer error=\"invalid_request\""),
        (b"Bearer a b", 400, "Bearer error=\"invalid_request\""),
        (b"Bearer a,b", 400, "Bearer error=\"invalid_request\""),
        (b"Bearer \xff", 400, "Bearer error=\"invalid_request\""),
        (
            b"Bearer mF_9.B5f-4.1JqM=",
            401,
            "Bearer error=\"invalid_token\"",
        ),
        (&long, 401, "Bearer error=\"invalid_token\""),
    ];
    for (value, status, challenge) in cases {
        let answer = ask(&app, value).await;
        assert_eq!(answer.status(), status);
        assert_eq!(header(&answer, "www-authenticate").concat(), challenge);
    }
    let token = b"Bearer mF_9.B5f-4.1JqM";
    let twice = request("/", &[("authorization", token), ("authorization", token)]);
    assert_eq!(app.call(twice).await.status(), 400);
    // In the query it is not looked for.
    let query = request("/?access_token=mF_9.B5f-4.1JqM", &[]);
    assert_eq!(app.call(query).await.status(), 401);
}

#[tokio::test]
async fn a_callback_knows_or_fails() {
    let scheme = Bearer::with(|token| async move {
        match &*token {
            "good" => Ok(Some(Identity::new("them", "Bearer"))),
            "down" => Err("no database".into()),
            _ => Ok(None),
        }
    });
    let app = Authenticate::new(who, scheme);
    assert_eq!(ask(&app, "bearer good").await.status(), 200);
    assert_eq!(ask(&app, "Bearer bad").await.status(), 401);
    let down = ask(&app, "Bearer down").await;
    assert_eq!(down.status(), 503);
    assert!(
        Failure::of(&down)
            .unwrap()
            .to_string()
            .ends_with("no database")
    );
}

#[tokio::test]
async fn api_keys() {
    let keys = || Tokens::new().with("k-1", Identity::new("shop", "ApiKey"));
    let app = Authenticate::new(who, ApiKey::new(keys()));
    let with = |key: &'static [u8]| request("/", &[("x-api-key", key)]);
    assert_eq!(app.call(with(b"k-1")).await.status(), 200);
    let refused = app.call(with(b"k-2")).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(header(&refused, "www-authenticate"), ["ApiKey"]);
    assert_eq!(app.call(with(b"")).await.status(), 401);
    assert_eq!(app.call(request("/?key=k-1", &[])).await.status(), 401);
    let app = Authenticate::new(who, ApiKey::new(keys()).query("key"));
    assert_eq!(app.call(request("/?key=k-1", &[])).await.status(), 200);
}
