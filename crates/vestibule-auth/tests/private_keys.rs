//! Private keys in the forms that other programs write: JWKs, and the old PEM form of elliptic curves.

use serde_json::{Value, json};
use vestibule_auth::jwt::{Algorithm, Key, Keys};

const ED25519: &str = include_str!("keys/ed25519.jwk");
/// Its private number begins with a zero byte.
const P256: &str = include_str!("keys/p256.jwk");
const P384: &str = include_str!("keys/p384.jwk");
const RSA: &str = include_str!("keys/rsa.jwk");

/// The JWK with other members; `null` removes one.
fn with(jwk: &str, more: &Value) -> String {
    let mut jwk: serde_json::Map<String, Value> = serde_json::from_str(jwk).unwrap();
    jwk.extend(more.as_object().unwrap().clone());
    jwk.retain(|_, value| !value.is_null());
    Value::from(jwk).to_string()
}

/// Checks each signature with the public half of the key, which has no private member.
fn check(key: &Key, name: &str) {
    let claims = json!({ "sub": "alice", "exp": 4_000_000_000_u64 });
    let token = key
        .sign(&claims)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(Keys::from(key.clone()).verify(&token).is_ok(), "{name}");
    if matches!(key.algorithm(), Algorithm::HS256) {
        return;
    }
    let public = Keys::from(key.clone()).public_jwks();
    let set: Value = serde_json::from_str(&public).unwrap();
    let members = set["keys"][0].as_object().unwrap();
    let public_members = ["alg", "crv", "e", "kid", "kty", "n", "use", "x", "y"];
    assert!(
        members.keys().all(|it| public_members.contains(&&**it)),
        "{name}: {public}"
    );
    let public = Keys::from_jwks(public.as_bytes()).unwrap();
    assert!(public.verify(&token).is_ok(), "{name}");
}

#[test]
fn private_jwks_sign() {
    use Algorithm::{ES256, ES384, EdDSA, HS256, PS384, RS256};
    let secret = r#"{"kty":"oct","alg":"HS256","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
    let none = json!({});
    let cases = [
        (ED25519, &none, EdDSA),
        (P256, &none, ES256),
        (P384, &none, ES384),
        (RSA, &none, RS256),
        (secret, &none, HS256),
        (RSA, &json!({ "alg": "PS384" }), PS384),
        (P256, &json!({ "alg": "ES256", "use": "sig" }), ES256),
        (P256, &json!({ "key_ops": ["sign"] }), ES256),
        (P384, &json!({ "key_ops": ["verify", "sign"] }), ES384),
        (secret, &json!({ "key_ops": ["sign", "verify"] }), HS256),
        // Programs that leave out the zero in front, or add one.
        (
            P256,
            &json!({ "d": "7uRMmvjTkreTaisZthqJBqAWs3jjLXKUEHKRMuLkSw" }),
            ES256,
        ),
        (
            P256,
            &json!({ "d": "AADu5Eya-NOSt5NqKxm2GokGoBazeOMtcpQQcpEy4uRL" }),
            ES256,
        ),
        (RSA, &json!({ "e": "AAEAAQ" }), RS256),
    ];
    for (jwk, more, algorithm) in cases {
        let text = with(jwk, more);
        let key = Key::from_private_jwk(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((key.algorithm(), key.id()), (algorithm, None), "{more}");
        check(&key, &more.to_string());
        let named = Key::from_private_jwk(&with(&text, &json!({ "kid": "2026" }))).unwrap();
        assert_eq!(named.id(), Some("2026"));
        check(&named, &more.to_string());
        let shown = format!("{named:?}");
        let private = serde_json::from_str::<Value>(&text).unwrap();
        for member in ["d", "p", "k"]
            .map(|it| private[it].as_str())
            .into_iter()
            .flatten()
        {
            assert!(!shown.contains(member), "{shown}");
        }
    }
}

#[test]
fn private_jwks_that_cannot_be_used_say_why() {
    let cases = [
        ("{}".to_owned(), "it is no JWK"),
        ("[]".to_owned(), "it is no JWK"),
        (with(P256, &json!({ "d": null })), "it is a public key"),
        (with(RSA, &json!({ "d": null })), "it is a public key"),
        (with(P256, &json!({ "d": "?" })), "no base64url"),
        (with(P256, &json!({ "d": "AQ" })), "do not belong together"),
        (with(P256, &json!({ "d": "" })), "do not belong together"),
        (with(P384, &json!({ "d": "AQ" })), "do not belong together"),
        (
            with(ED25519, &json!({ "d": "AQ" })),
            "do not belong together",
        ),
        (
            with(
                ED25519,
                &json!({ "x": "AAAAgYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }),
            ),
            "do not belong together",
        ),
        (with(RSA, &json!({ "q": "AQ" })), "do not belong together"),
        (with(RSA, &json!({ "p": null })), "lacks one of `p`"),
        (with(RSA, &json!({ "qi": null })), "lacks one of `p`"),
        (with(RSA, &json!({ "oth": [{}] })), "two primes"),
        (with(RSA, &json!({ "alg": "ES256" })), "not for RSA"),
        (with(P256, &json!({ "alg": "RS256" })), "not for its curve"),
        (with(P256, &json!({ "crv": "P-384" })), "another length"),
        (with(P256, &json!({ "crv": "secp256k1" })), "not known"),
        (with(P256, &json!({ "use": "enc" })), "`use` is not `sig`"),
        (with(P256, &json!({ "key_ops": ["verify"] })), "no `sign`"),
        (r#"{"kty":"oct","k":"AAAA"}"#.to_owned(), "needs an `alg`"),
        (
            r#"{"kty":"oct","alg":"HS256"}"#.to_owned(),
            "lacks a member",
        ),
    ];
    for (jwk, part) in cases {
        let error = Key::from_private_jwk(&jwk).unwrap_err().to_string();
        assert!(error.contains(part), "{jwk}: {error}");
    }
    // As a public key, a private one only checks; and one that only signs names the function that reads it.
    assert!(
        Key::from_jwk(P256)
            .unwrap()
            .sign(&json!({ "exp": 1 }))
            .is_err()
    );
    let error = Key::from_jwk(&with(P256, &json!({ "key_ops": ["sign"] }))).unwrap_err();
    assert!(error.to_string().contains("from_private_jwk"), "{error}");
}

/// As `openssl ecparam -genkey` and older programs write keys.
#[test]
fn the_old_pem_form_of_elliptic_curves_signs() {
    use Algorithm::{ES256, ES384, EdDSA, RS256};
    let p256 = include_str!("keys/p256-sec1.pem");
    let p384 = include_str!("keys/p384-sec1.pem");
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let with_parameters = format!("{parameters}{p256}");
    for (algorithm, pem) in [(ES256, p256), (ES384, p384), (ES256, &with_parameters)] {
        check(&Key::from_private_pem(algorithm, pem).unwrap(), pem);
    }
    let wrong = [
        (ES384, p256, "not a private key for the algorithm"),
        (ES256, p384, "not a private key for the algorithm"),
        (RS256, p256, "not a private key for the algorithm"),
        (EdDSA, p256, "not a private key for the algorithm"),
        // Without its point: `openssl ec -no_public`.
        (
            ES256,
            "-----BEGIN EC PRIVATE KEY-----\nMDECAQEEIEf90MbZ8avnDzvdjRSe1bevh4w4CuRXjYMtWy/u09JVoAoGCCqGSM49\nAwEH\n-----END EC PRIVATE KEY-----\n",
            "openssl pkcs8",
        ),
        (
            ES256,
            "-----BEGIN EC PRIVATE KEY-----\nMDECAQEE\n-----END EC PRIVATE KEY-----\n",
            "cannot be read",
        ),
    ];
    for (algorithm, pem, part) in wrong {
        let error = Key::from_private_pem(algorithm, pem)
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{algorithm:?} {pem}: {error}");
    }
}
