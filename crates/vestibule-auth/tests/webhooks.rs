//! Webhooks as their senders sign them, and as an attacker would like to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use vestibule_auth::{Webhook, WebhookSignature};
use vestibule_core::http::{HeaderName, HeaderValue};
use vestibule_core::{App, Body, Failure, IntoResponse, Outline, Request, Response};
use vestibule_test::Battery;

use crate::support::read;

const NOW: u64 = 1_531_420_618;
const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

fn mac(secret: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(secret: &str, text: &str) -> String {
    let bytes = mac(secret.as_bytes(), text);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn delivery(headers: &[(&str, &str)], body: impl Into<Body>) -> Request {
    let mut request = Request::new(body.into());
    *request.method_mut() = "POST".parse().unwrap();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().append(name, value);
    }
    request
}

async fn echo(request: Request) -> Response {
    Response::new(request.into_body())
}

async fn status(signature: &WebhookSignature, headers: &[(&str, &str)], body: &'static str) -> u16 {
    let app = Webhook::new(echo, signature.clone()).clock(|| NOW);
    let (status, text) = read(app.call(delivery(headers, body)).await).await;
    assert_eq!(status == 200, text == body && !body.is_empty(), "{text}");
    status
}

/// The vectors of the senders' documentation.
#[tokio::test]
async fn documented_examples() {
    let github = WebhookSignature::github(["It's a Secret to Everybody"]).unwrap();
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = [("X-Hub-Signature-256", signature)];
    assert_eq!(status(&github, &headers, "Hello, World!").await, 200);

    let slack = WebhookSignature::slack([SECRET]).unwrap();
    let headers = [
        ("X-Slack-Request-Timestamp", "1531420618"),
        (
            "X-Slack-Signature",
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        ),
    ];
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    assert_eq!(status(&slack, &headers, body).await, 200);

    let standard = WebhookSignature::standard(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).unwrap();
    let app = Webhook::new(echo, standard).clock(|| 1_614_265_330);
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        (
            "webhook-signature",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
    ];
    let answer = app
        .call(delivery(&headers, r#"{"test": 2432232314}"#))
        .await;
    assert_eq!(answer.status(), 200);
}

/// Each sender's fields with one change.
#[tokio::test]
async fn a_signature_is_good_in_one_form_only() {
    const BODY: &str = "{\"a\":1}";
    let right = hex(SECRET, BODY);
    let upper = right.to_uppercase();
    let old = hex("old", BODY);
    let github = WebhookSignature::github(["new", SECRET]).unwrap();
    let (of_right, of_upper) = (format!("sha256={right}"), format!("sha256={upper}"));
    let (of_old, sha1) = (format!("sha256={old}"), format!("sha1={right}"));
    let (short, long) = (
        format!("sha256={}", &right[1..]),
        format!("sha256={right}0"),
    );
    let name = "x-hub-signature-256";
    let cases: [(&[(&str, &str)], u16); 11] = [
        (&[(name, &of_right)], 200),
        (&[(name, &of_upper)], 200),
        (&[(name, &of_old)], 403),
        (&[(name, &sha1)], 403),
        (&[(name, &right)], 403),
        (&[(name, &short)], 403),
        (&[(name, &long)], 403),
        (&[(name, &of_right), (name, &of_right)], 403),
        (&[(name, "sha256=")], 403),
        (&[("x-hub-signature", &of_right)], 403),
        (&[], 403),
    ];
    for (headers, want) in cases {
        assert_eq!(status(&github, headers, BODY).await, want, "{headers:?}");
    }

    let any = WebhookSignature::in_header(HeaderName::from_static("x-gitea-signature"), [SECRET]);
    let any = any.unwrap();
    let base64 = Base64::encode_string(&mac(SECRET.as_bytes(), BODY));
    for (value, want) in [
        (&right, 200),
        (&base64, 200),
        (&of_right, 200),
        (&old, 403),
        (&sha1, 403),
    ] {
        assert_eq!(
            status(&any, &[("x-gitea-signature", value)], BODY).await,
            want,
            "{value}"
        );
    }

    let stripe = WebhookSignature::stripe(["whsec_a", SECRET]).unwrap();
    let v1 = hex(SECRET, &format!("{NOW}.{BODY}"));
    let unsigned_time = hex(SECRET, BODY);
    let late = NOW - 301;
    let of_late = hex(SECRET, &format!("{late}.{BODY}"));
    let edge = NOW + 300;
    let of_edge = hex(SECRET, &format!("{edge}.{BODY}"));
    let many = format!("t={NOW},{}v1={v1}", format!("v1={old},").repeat(15));
    let too_many = format!("t={NOW},{}v1={v1}", format!("v1={old},").repeat(16));
    let cases = [
        (format!("t={NOW},v1={v1}"), 200),
        (format!("t={NOW},v1={old},v1={v1},v0={old}"), 200),
        (format!("v1={v1}, t={NOW}"), 200),
        (many, 200),
        (too_many, 403),
        (format!("t={NOW},v0={v1}"), 403),
        (format!("t={NOW},v1={unsigned_time}"), 403),
        (format!("t={late},v1={of_late}"), 403),
        (format!("t={edge},v1={of_edge}"), 200),
        (format!("t={},v1={v1}", NOW + 1), 403),
        (format!("t={NOW},t={late},v1={v1}"), 403),
        (format!("t=+{NOW},v1={v1}"), 403),
        (format!("t=-1,v1={v1}"), 403),
        (format!("t=99999999999999999999,v1={v1}"), 403),
        (format!("v1={v1}"), 403),
        ("t=".to_owned(), 403),
        (String::new(), 403),
    ];
    for (value, want) in cases {
        let headers = [("stripe-signature", &*value)];
        assert_eq!(status(&stripe, &headers, BODY).await, want, "{value}");
    }

    let slack = WebhookSignature::slack([SECRET]).unwrap();
    let (now, late) = (NOW.to_string(), late.to_string());
    let v0 = format!("v0={}", hex(SECRET, &format!("v0:{NOW}:{BODY}")));
    let of_late = format!("v0={}", hex(SECRET, &format!("v0:{late}:{BODY}")));
    let time = "x-slack-request-timestamp";
    let signature = "x-slack-signature";
    let cases: [(&[(&str, &str)], u16); 6] = [
        (&[(time, &now), (signature, &v0)], 200),
        (&[(time, &late), (signature, &of_late)], 403),
        (&[(time, &late), (signature, &v0)], 403),
        (&[(signature, &v0)], 403),
        (&[(time, &now)], 403),
        (&[(time, &now), (time, &late), (signature, &v0)], 403),
    ];
    for (headers, want) in cases {
        assert_eq!(status(&slack, headers, BODY).await, want, "{headers:?}");
    }

    let key = [7; 32];
    let secret = format!("whsec_{}", Base64::encode_string(&key));
    let standard = WebhookSignature::standard([secret]).unwrap();
    let v1 = Base64::encode_string(&mac(&key, &format!("msg_1.{NOW}.{BODY}")));
    let other = Base64::encode_string(&mac(&[8; 32], &format!("msg_1.{NOW}.{BODY}")));
    let (one, two) = (format!("v1,{v1}"), format!("v1a,AAAA v1,{other} v1,{v1}"));
    let (wrong, wrong_version) = (format!("v1,{other}"), format!("v2,{v1}"));
    let fields = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let cases = [
        (fields, "msg_1", &now, &one, 200),
        (fields, "msg_1", &now, &two, 200),
        (
            ["svix-id", "svix-timestamp", "svix-signature"],
            "msg_1",
            &now,
            &one,
            200,
        ),
        (fields, "msg_2", &now, &one, 403),
        (fields, "msg_1", &late, &one, 403),
        (fields, "msg_1", &now, &wrong, 403),
        (fields, "msg_1", &now, &wrong_version, 403),
        (fields, "msg_1", &now, &v1, 403),
        (
            ["webhook-id", "svix-timestamp", "svix-signature"],
            "msg_1",
            &now,
            &one,
            403,
        ),
    ];
    for (names, id, time, signature, want) in cases {
        let headers = [
            (names[0], id),
            (names[1], &**time),
            (names[2], &**signature),
        ];
        assert_eq!(status(&standard, &headers, BODY).await, want, "{headers:?}");
    }
}

/// A body that is too large is not read to its end, and one without a signature is not read at all.
#[tokio::test]
async fn bodies_are_bounded() {
    let body = "x".repeat(1000);
    let signature = format!("sha256={}", hex(SECRET, &body));
    let called = Arc::new(AtomicUsize::new(0));
    let counted = called.clone();
    let app = move |request: Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        echo(request)
    };
    let github = WebhookSignature::github([SECRET]).unwrap();
    let app = Webhook::new(app, github).max_bytes(1000);
    let headers = [("x-hub-signature-256", &*signature)];
    let answer = app.call(delivery(&headers, body.clone())).await;
    assert_eq!(read(answer).await, (200, body.clone()));
    let answer = app.call(delivery(&headers, body.clone() + "x")).await;
    assert_eq!(answer.status(), 413);
    let (mut sender, endless) = Body::channel();
    let answer = app.call(delivery(&[], endless)).await;
    assert_eq!(answer.status(), 403);
    sender.closed().await;
    let (mut sender, broken) = Body::channel();
    sender.abort("gone");
    assert_eq!(app.call(delivery(&headers, broken)).await.status(), 400);
    assert_eq!(called.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_wrong_is_said_to_the_log_alone() {
    let github = WebhookSignature::github([SECRET]).unwrap();
    let app = Webhook::new(echo.boxed(), github).tolerance(Duration::from_secs(1));
    let answer = app.call(delivery(&[], "a")).await;
    let cause = Failure::of(&answer).unwrap().to_string();
    assert_eq!(cause, "the webhook has no signature");
    assert!(!format!("{app:?} {cause}").contains(SECRET));
    let (_, text) = read(answer).await;
    assert!(!text.contains("signature"), "{text}");
}

#[test]
fn secrets_that_cannot_be_are_refused_at_build_with_all_faults() {
    let none: [&str; 0] = [];
    let github = |all: &[&str]| {
        WebhookSignature::github(all)
            .map(drop)
            .map_err(|it| it.to_string())
    };
    assert_eq!(github(&none), Err("there is no secret".to_owned()));
    assert_eq!(
        github(&["", "a", "b\n"]),
        Err("secret 1 is empty; secret 3 begins or ends with a space or a newline".to_owned())
    );
    let short = WebhookSignature::standard(["whsec_AAAA", "not base64"]).unwrap_err();
    assert_eq!(
        short.to_string(),
        "secret 1 is shorter than 24 bytes; secret 2 is not Base64"
    );
}

/// Signs each request, as its sender would.
struct Signing<A>(A);

impl<A: App> App for Signing<A> {
    async fn call(&self, request: Request) -> Response {
        let (mut parts, body) = request.into_parts();
        let bytes = match body.collect(1 << 30).await {
            Ok(bytes) => bytes,
            Err(error) => return error.into_response(),
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(&bytes);
        let signature = Base64::encode_string(&mac.finalize().into_bytes());
        let value = HeaderValue::from_str(&signature).unwrap();
        parts.headers.insert("x-signature", value);
        self.0
            .call(Request::from_parts(parts, Body::from(bytes)))
            .await
    }

    fn describe(&self, outline: &mut Outline) {
        outline.wraps(&self.0);
    }
}

#[tokio::test]
async fn battery() {
    let name = HeaderName::from_static("x-signature");
    let signature = move || WebhookSignature::in_header(name.clone(), [SECRET]).unwrap();
    Battery::new(move |app| Signing(Webhook::new(app, signature())))
        // A signature is over the whole body, so the app is called when all of it has come.
        .skip("upload")
        .skip("unread-upload")
        .skip("tunnel")
        .run()
        .await;
}
