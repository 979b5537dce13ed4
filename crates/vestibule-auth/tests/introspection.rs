//! Tokens that their issuer is asked about.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vestibule_auth::{Authenticate, Identity, Introspection};
use vestibule_core::http::{HeaderMap, StatusCode};
use vestibule_core::{App, Failure, IntoResponse, Request, Response};

use crate::support::{ask, header, read, who};

fn uri() -> vestibule_core::http::Uri {
    "https://id.example/introspect".parse().unwrap()
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// An endpoint with one answer, and how often it was asked.
fn endpoint(answer: impl Fn() -> Response + Send + Sync + 'static) -> (impl App, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let app = move |_: Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        let answer = answer();
        async move { answer }
    };
    (app, asked)
}

#[tokio::test]
async fn the_question_is_a_form_with_our_credentials() {
    type Asked = Arc<Mutex<Option<(String, HeaderMap, String)>>>;
    let asked = Asked::default();
    let kept = asked.clone();
    let client = move |request: Request| {
        let kept = kept.clone();
        async move {
            let (parts, body) = request.into_parts();
            let form = body.collect(1000).await.unwrap();
            let form = String::from_utf8(form.to_vec()).unwrap();
            let line = format!("{} {}", parts.method, parts.uri);
            *kept.lock().unwrap() = Some((line, parts.headers, form));
            r#"{"active":true,"username":"alice"}"#
        }
    };
    let scheme = Introspection::new(uri(), client.clone()).credentials("shop:1", "s p");
    let app = Authenticate::new(who, scheme.clone());
    assert_eq!(
        read(ask(&app, "Bearer ab+/c==").await).await,
        (200, "alice".to_owned())
    );
    let (line, headers, form) = asked.lock().unwrap().take().unwrap();
    assert_eq!(line, "POST https://id.example/introspect");
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    // `shop%3A1:s+p`
    assert_eq!(headers["authorization"], "Basic c2hvcCUzQTE6cytw");
    assert_eq!(form, "token=ab%2B%2Fc%3D%3D&token_type_hint=access_token");
    assert!(!format!("{scheme:?} {headers:?}").contains("c2hvc"));

    let app = Authenticate::new(who, Introspection::new(uri(), client).bearer("t").unwrap());
    assert_eq!(ask(&app, "Bearer a").await.status(), 200);
    let (_, headers, _) = asked.lock().unwrap().take().unwrap();
    assert_eq!(headers["authorization"], "Bearer t");
}

#[tokio::test]
async fn answers_and_what_they_mean() {
    let past = now() - 61;
    let future = now() + 600;
    let cases = [
        (r#"{"active":true,"sub":"a","scope":"x y"}"#.to_owned(), 200),
        (r#"{"active":true,"client_id":"robot"}"#.to_owned(), 200),
        (r#"{"active":true,"sub":"","username":"a"}"#.to_owned(), 200),
        (
            format!(r#"{{"active":true,"sub":"a","exp":{future}}}"#),
            200,
        ),
        (format!(r#"{{"active":true,"sub":"a","exp":{past}}}"#), 401),
        (
            format!(r#"{{"active":true,"sub":"a","nbf":{future}}}"#),
            401,
        ),
        (r#"{"active":true}"#.to_owned(), 401),
        (r#"{"active":false}"#.to_owned(), 401),
        (r#"{"active":false,"sub":"a"}"#.to_owned(), 401),
        (r#"{"active":true,"active":true,"sub":"a"}"#.to_owned(), 401),
        // A broken answer does not tell whether the token is active.
        (r#"{"active":"true","sub":"a"}"#.to_owned(), 503),
        (r#"{"sub":"a"}"#.to_owned(), 503),
        ("[]".to_owned(), 503),
        ("<html>".to_owned(), 503),
        (String::new(), 503),
    ];
    for (text, status) in cases {
        let answer = text.clone();
        let (client, _) = endpoint(move || answer.clone().into_response());
        let app = Authenticate::new(who, Introspection::new(uri(), client));
        let answer = ask(&app, "Bearer t").await;
        assert_eq!(answer.status(), status, "{text}");
        let challenge = header(&answer, "www-authenticate");
        match status {
            401 => assert_eq!(challenge, ["Bearer error=\"invalid_token\""], "{text}"),
            _ => assert!(challenge.is_empty(), "{text}"),
        }
    }
}

#[tokio::test]
async fn an_outage_is_503_and_is_not_remembered() {
    for status in [301, 400, 401, 403, 404, 429, 500, 502, 503] {
        let told = Arc::new(AtomicUsize::new(0));
        let client = move |_: Request| {
            let n = told.fetch_add(1, Ordering::SeqCst);
            async move {
                match n {
                    0 => StatusCode::from_u16(status).unwrap().into_response(),
                    _ => r#"{"active":true,"sub":"a"}"#.into_response(),
                }
            }
        };
        let app = Authenticate::new(who, Introspection::new(uri(), client));
        let answer = ask(&app, "Bearer t").await;
        assert_eq!(answer.status(), 503, "{status}");
        assert_eq!(header(&answer, "retry-after").len(), 1, "{status}");
        assert!(header(&answer, "www-authenticate").is_empty(), "{status}");
        let cause = Failure::of(&answer).unwrap().to_string();
        assert!(cause.contains(&status.to_string()), "{cause}");
        assert_eq!(ask(&app, "Bearer t").await.status(), 200, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_says_nothing_is_an_outage() {
    let silent = |_: Request| std::future::pending::<Response>();
    let app = Arc::new(Authenticate::new(who, Introspection::new(uri(), silent)));
    let all: Vec<_> = (0..70)
        .map(|n| {
            let app = app.clone();
            tokio::spawn(async move { ask(&*app, format!("Bearer t{n}")).await })
        })
        .collect();
    let mut waits = Vec::new();
    for one in all {
        let answer = one.await.unwrap();
        assert_eq!(answer.status(), 503);
        waits.push(header(&answer, "retry-after")[0].to_owned());
    }
    // More than 64 are refused at once.
    assert_eq!(waits.iter().filter(|wait| *wait == "1").count(), 6);
}

#[tokio::test]
async fn good_answers_are_remembered_and_others_are_not() {
    let good = || r#"{"active":true,"sub":"a"}"#.into_response();
    let expiring = || format!(r#"{{"active":true,"sub":"a","exp":{}}}"#, now() - 1).into_response();
    let bad = || r#"{"active":false}"#.into_response();
    // The answer, how long it is remembered, the tokens, and how many questions they are.
    type Case = (
        fn() -> Response,
        Option<Duration>,
        &'static [&'static str],
        usize,
    );
    let cases: [Case; 5] = [
        (good, None, &["a", "a", "a"], 1),
        (good, None, &["a", "b", "a", "b"], 2),
        (good, Some(Duration::ZERO), &["a", "a"], 2),
        (expiring, None, &["a", "a"], 2),
        (bad, None, &["a", "a"], 2),
    ];
    for (answer, life, tokens, count) in cases {
        let (client, asked) = endpoint(answer);
        let mut scheme = Introspection::new(uri(), client);
        if let Some(life) = life {
            scheme = scheme.remember(life);
        }
        let app = Authenticate::new(who, scheme);
        for token in tokens {
            ask(&app, format!("Bearer {token}")).await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), count, "{tokens:?} {life:?}");
    }
}

/// The answer of Keycloak's endpoint, as its documentation has it, with the options that fit it.
#[tokio::test]
async fn issuer_audience_and_names_can_be_set() {
    let text = r#"{"exp":4000000000,"iat":1,"jti":"j","iss":"https://id.example/realms/shop","aud":["shop"],
        "sub":"36fa","typ":"Bearer","azp":"web","realm_access":{"roles":["staff"]},"scope":"email",
        "username":"alice","token_type":"Bearer","active":true}"#;
    async fn shown(request: Request) -> String {
        let identity = Identity::of(&request).unwrap();
        format!(
            "{} {:?} {:?}",
            identity.subject(),
            identity.scopes(),
            identity.groups()
        )
    }
    let base = || {
        let (client, _) = endpoint(move || text.into_response());
        Introspection::new(uri(), client)
    };
    let good = base()
        .issuer("https://id.example/realms/shop")
        .audience("shop")
        .subject_claim("username")
        .scope_claim("scope")
        .group_claim("realm_access.roles")
        .require_claim("azp", "web");
    let answer = ask(&Authenticate::new(shown, good), "Bearer t").await;
    assert_eq!(read(answer).await.1, r#"alice ["email"] ["staff"]"#);
    for bad in [
        base().issuer("https://id.example/realms/shop/"),
        base().audience("till"),
        base().require_claim("azp", "other"),
        base().subject_claim("email"),
    ] {
        let answer = ask(&Authenticate::new(shown, bad), "Bearer t").await;
        assert_eq!(answer.status(), 401);
    }
}
