#![no_main]

use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use vestibule_auth::jwt::{Algorithm, Jwt, Key, Keys};

static KEYS: LazyLock<Keys> =
    LazyLock::new(|| Keys::from(Key::hmac(Algorithm::HS256, [7; 32]).unwrap()));
static SCHEME: LazyLock<Jwt<IgnoredAny>> = LazyLock::new(|| Jwt::new(KEYS.clone()));

// Uses the text as a token; its two halves as a token with a valid signature, so that the code
// after the signature check is reached; and the text as a key and as a set of keys.
fuzz_target!(|text: &str| {
    check(text);
    let (header, claims) = text
        .split_once('\n')
        .unwrap_or((r#"{"alg":"HS256"}"#, text));
    check(&signed(header, claims));
    let _ = (Key::from_jwk(text), Keys::from_jwks(text.as_bytes()));
});

fn check(token: &str) {
    let verified = KEYS.verify(token);
    let mut check = pin!(SCHEME.check(token));
    match check.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        // A token without a valid signature is never accepted.
        Poll::Ready(Ok(_)) => assert!(verified.is_ok()),
        Poll::Ready(Err(_)) => {}
        Poll::Pending => panic!("nothing to wait for"),
    }
}

fn signed(header: &str, claims: &str) -> String {
    use base64ct::{Base64UrlUnpadded, Encoding};
    use hmac::{Hmac, KeyInit, Mac};

    let text = [header, claims]
        .map(|part| Base64UrlUnpadded::encode_string(part.as_bytes()))
        .join(".");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&[7; 32]).unwrap();
    mac.update(text.as_bytes());
    format!(
        "{text}.{}",
        Base64UrlUnpadded::encode_string(&mac.finalize().into_bytes())
    )
}
