//! Tokens and key sets as identity providers document them, with keys that were made for the tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::{Value, json};
use vestibule_auth::Authenticate;
use vestibule_auth::jwt::{Algorithm, Jwks, Jwt, JwtError, Key, Keys};
use vestibule_core::http::{HeaderName, StatusCode};
use vestibule_core::{App, IntoResponse, Request, Response};

use crate::support::{ask, header, request, who};

const RSA: &str = include_str!("keys/rsa.pem");
const P256: &str = include_str!("keys/p256.pem");
const KID: &str = "1234example=";
const EXP: u64 = 4_000_000_000;

fn key(algorithm: Algorithm) -> Key {
    let pem = match algorithm {
        Algorithm::ES256 => P256,
        _ => RSA,
    };
    Key::from_private_pem(algorithm, pem).unwrap().with_id(KID)
}

/// The key set of a provider: the public key without the members `without`, and with those of `more`.
fn set(key: &Key, without: &[&str], more: &Value) -> Value {
    let mut set: Value = serde_json::from_str(&Keys::from(key.clone()).public_jwks()).unwrap();
    let jwk = set["keys"][0].as_object_mut().unwrap();
    for name in without {
        jwk.remove(*name);
    }
    jwk.extend(more.as_object().unwrap().clone());
    set
}

/// A client that gives metadata and key set of an issuer.
fn provider(issuer: &str, keys: &Value) -> impl App + use<> {
    let metadata = json!({
        "issuer": issuer,
        "jwks_uri": "https://keys.example/jwks",
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    let (metadata, keys) = (metadata.to_string(), keys.to_string());
    move |request: Request| {
        let is_metadata = request
            .uri()
            .path()
            .ends_with("/.well-known/openid-configuration");
        let text = if is_metadata {
            metadata.clone()
        } else {
            keys.clone()
        };
        async move { text }
    }
}

type Scheme = Jwt<IgnoredAny>;

struct Provider {
    name: &'static str,
    issuer: &'static str,
    algorithm: Algorithm,
    /// Members that its keys lack, and those that they have beside the usual ones.
    without: &'static [&'static str],
    more: Value,
    /// The type of its tokens, and their claims beside `iss` and `exp`.
    kind: &'static str,
    claims: Value,
    options: fn(Scheme) -> Scheme,
    /// Subject, scopes, groups.
    known: (
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    ),
}

fn providers() -> Vec<Provider> {
    vec![
        Provider {
            name: "Keycloak",
            issuer: "https://id.example/realms/shop",
            algorithm: Algorithm::RS256,
            without: &[],
            more: json!({ "x5c": ["MIIC"], "x5t": "a", "x5t#S256": "b" }),
            kind: "JWT",
            claims: json!({
                "iat": 1, "jti": "onrtac:1", "aud": ["shop", "account"], "typ": "Bearer", "azp": "web",
                "sub": "36fa0f91", "sid": "2a88c258", "acr": "1", "allowed-origins": ["https://a.example"],
                "realm_access": { "roles": ["offline_access", "staff"] },
                "resource_access": { "shop": { "roles": ["buyer"] }, "account": { "roles": ["view-profile"] } },
                "scope": "email profile", "email_verified": true, "preferred_username": "alice",
            }),
            options: |it| {
                it.audience("shop")
                    .group_claim("realm_access.roles")
                    .group_claim("resource_access.shop.roles")
                    .require_claim("typ", "Bearer")
            },
            known: (
                "36fa0f91",
                &["email", "profile"],
                &["offline_access", "staff", "buyer"],
            ),
        },
        Provider {
            name: "Keycloak, a lightweight token",
            issuer: "https://id.example/realms/shop",
            algorithm: Algorithm::RS256,
            without: &[],
            more: json!({}),
            kind: "JWT",
            claims: json!({ "iat": 1, "jti": "trrtcc:1", "typ": "Bearer", "azp": "robot", "scope": "" }),
            options: |it| it.subject_claim("sub").subject_claim("azp"),
            known: ("robot", &[], &[]),
        },
        Provider {
            name: "Auth0",
            issuer: "https://tenant.auth0.com/",
            algorithm: Algorithm::RS256,
            without: &[],
            more: json!({ "x5c": ["MIIC"], "x5t": "a" }),
            kind: "JWT",
            claims: json!({
                "sub": "auth0|6553da60", "aud": ["https://api.example", "https://tenant.auth0.com/userinfo"],
                "iat": 1, "azp": "K1AUPhZq", "scope": "openid read:orders",
                "permissions": ["write:orders"], "https://example.com/roles": ["admin"],
            }),
            options: |it| {
                it.audience("https://api.example")
                    .scope_claim("scope")
                    .scope_claim("permissions")
                    .group_claim("https://example.com/roles")
            },
            known: (
                "auth0|6553da60",
                &["openid", "read:orders", "write:orders"],
                &["admin"],
            ),
        },
        Provider {
            name: "Entra ID, for a user",
            issuer: "https://login.microsoftonline.com/9122040d/v2.0",
            algorithm: Algorithm::RS256,
            without: &["alg"],
            more: json!({ "x5c": ["MIIC"], "x5t": KID, "cloud_instance_name": "microsoftonline.com",
                "issuer": "https://login.microsoftonline.com/9122040d/v2.0" }),
            kind: "JWT",
            claims: json!({
                "aud": "6e74172b", "iat": 1, "nbf": 1, "aio": "x", "azp": "e90d1a6e", "azpacr": "0",
                "name": "Alice", "oid": "690222be", "rh": "I", "scp": "access_as_user Files.Read",
                "roles": ["Reader"], "sub": "HKZpfaHyWadeOouYlitjrI", "tid": "9122040d", "uti": "f", "ver": "2.0",
            }),
            options: |it| {
                it.audience("6e74172b")
                    .scope_claim("scp")
                    .group_claim("roles")
                    .require_claim("tid", "9122040d")
            },
            known: (
                "HKZpfaHyWadeOouYlitjrI",
                &["access_as_user", "Files.Read"],
                &["Reader"],
            ),
        },
        Provider {
            name: "Entra ID, for a program",
            issuer: "https://login.microsoftonline.com/9122040d/v2.0",
            algorithm: Algorithm::RS256,
            without: &["alg"],
            more: json!({}),
            kind: "JWT",
            claims: json!({ "aud": "6e74172b", "appid": "e90d", "idtyp": "app", "oid": "69", "roles": ["Jobs.Run"], "sub": "69" }),
            options: |it| {
                it.audience("6e74172b")
                    .scope_claim("scp")
                    .group_claim("roles")
            },
            known: ("69", &[], &["Jobs.Run"]),
        },
        Provider {
            name: "Cognito",
            issuer: "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example",
            algorithm: Algorithm::RS256,
            without: &[],
            more: json!({}),
            kind: "JWT",
            claims: json!({
                "sub": "aaaaaaaa-bbbb", "device_key": "d", "cognito:groups": ["admin", "buyers"],
                "version": 2, "client_id": "xxxxexample", "origin_jti": "o", "event_id": "e",
                "token_use": "access", "scope": "phone openid shop/read", "auth_time": 1, "iat": 1,
                "jti": "j", "username": "alice",
            }),
            options: |it| {
                it.group_claim("cognito:groups")
                    .require_claim("token_use", "access")
                    .require_claim("client_id", "other")
                    .require_claim("client_id", "xxxxexample")
            },
            known: (
                "aaaaaaaa-bbbb",
                &["phone", "openid", "shop/read"],
                &["admin", "buyers"],
            ),
        },
        Provider {
            name: "Okta",
            issuer: "https://example.okta.com/oauth2/default",
            algorithm: Algorithm::RS256,
            without: &[],
            more: json!({}),
            kind: "JWT",
            claims: json!({
                "ver": 1, "jti": "AT.0mP4", "aud": "api://default", "iat": 1, "cid": "nmdP1fcyvdVO11AL7ECm",
                "uid": "00ulevfk80Zzs0dDM0h7", "scp": ["openid", "custom"], "sub": "alice@example.com",
                "groups": ["Everyone", "Domain Admins"],
            }),
            options: |it| it.audience("api://default").scope_claim("scp"),
            known: (
                "alice@example.com",
                &["openid", "custom"],
                &["Everyone", "Domain Admins"],
            ),
        },
        Provider {
            name: "Google",
            issuer: "https://accounts.google.com",
            algorithm: Algorithm::RS256,
            without: &[],
            more: json!({}),
            kind: "JWT",
            claims: json!({
                "azp": "1234.apps.googleusercontent.com", "aud": "1234.apps.googleusercontent.com",
                "sub": "10769150350006150715113082367", "at_hash": "HK6E", "hd": "example.com",
                "email": "alice@example.com", "email_verified": "true", "iat": 1, "nonce": "0394852",
            }),
            options: |it| {
                it.audience("1234.apps.googleusercontent.com")
                    .require_claim("hd", "example.com")
                    .require_claim("email_verified", "true")
            },
            known: ("10769150350006150715113082367", &[], &[]),
        },
        Provider {
            name: "GitHub Actions",
            issuer: "https://token.actions.githubusercontent.com",
            algorithm: Algorithm::RS256,
            without: &[],
            more: json!({ "x5c": ["MIIC"], "x5t": "a" }),
            kind: "JWT",
            claims: json!({
                "jti": "example-id", "sub": "repo:octo-org/octo-repo:environment:prod", "environment": "prod",
                "aud": "https://github.com/octo-org", "ref": "refs/heads/main", "sha": "s",
                "repository": "octo-org/octo-repo", "repository_owner": "octo-org", "run_id": "1",
                "run_number": "10", "runner_environment": "github-hosted", "nbf": 1, "iat": 1,
            }),
            options: |it| {
                it.audience("https://github.com/octo-org")
                    .group_claim("repository")
                    .require_claim("repository_owner", "octo-org")
            },
            known: (
                "repo:octo-org/octo-repo:environment:prod",
                &[],
                &["octo-org/octo-repo"],
            ),
        },
        Provider {
            name: "Kubernetes",
            issuer: "https://kubernetes.default.svc.cluster.local",
            algorithm: Algorithm::RS256,
            without: &[],
            more: json!({}),
            kind: "JWT",
            claims: json!({
                "aud": ["https://kubernetes.default.svc.cluster.local"], "iat": 1, "jti": "e51f1fbc", "nbf": 1,
                "kubernetes.io": { "namespace": "default", "node": { "name": "n", "uid": "5" },
                    "pod": { "name": "shell", "uid": "0" }, "serviceaccount": { "name": "bot", "uid": "e" },
                    "warnafter": 2 },
                "sub": "system:serviceaccount:default:bot",
            }),
            options: |it| {
                it.audience("https://kubernetes.default.svc.cluster.local")
                    .group_claim("kubernetes.io.namespace")
                    .require_claim("kubernetes.io.serviceaccount.name", "bot")
            },
            known: ("system:serviceaccount:default:bot", &[], &["default"]),
        },
        Provider {
            name: "Cloudflare Access, for a user",
            issuer: "https://team.cloudflareaccess.com",
            algorithm: Algorithm::RS256,
            without: &[],
            more: json!({}),
            kind: "JWT",
            claims: json!({
                "aud": ["32eafc7626e737914ade3bf8e0e1a1b2"], "email": "alice@example.com", "iat": 1, "nbf": 1,
                "type": "app", "identity_nonce": "6ei6", "sub": "7335d417", "custom": {}, "country": "US",
            }),
            options: |it| {
                it.audience("32eafc7626e737914ade3bf8e0e1a1b2")
                    .subject_claim("email")
                    .subject_claim("common_name")
            },
            known: ("alice@example.com", &[], &[]),
        },
        Provider {
            name: "Cloudflare Access, for a service, whose `sub` is empty",
            issuer: "https://team.cloudflareaccess.com",
            algorithm: Algorithm::RS256,
            without: &[],
            more: json!({}),
            kind: "JWT",
            claims: json!({ "aud": "32eafc", "common_name": "e367826f.access", "iat": 1, "sub": "", "type": "app" }),
            options: |it| {
                it.audience("32eafc")
                    .subject_claim("sub")
                    .subject_claim("common_name")
            },
            known: ("e367826f.access", &[], &[]),
        },
        Provider {
            name: "Google IAP",
            issuer: "https://cloud.google.com/iap",
            algorithm: Algorithm::ES256,
            without: &[],
            more: json!({}),
            kind: "JWT",
            claims: json!({
                "aud": "/projects/123/global/backendServices/456", "email": "alice@example.com", "iat": 1,
                "sub": "accounts.google.com:118133858486581853996", "hd": "example.com",
                "google": { "access_levels": ["accessPolicies/1/accessLevels/recent"] },
            }),
            options: |it| {
                it.audience("/projects/123/global/backendServices/456")
                    .group_claim("google.access_levels")
            },
            known: (
                "accounts.google.com:118133858486581853996",
                &[],
                &["accessPolicies/1/accessLevels/recent"],
            ),
        },
        Provider {
            name: "IdentityServer",
            issuer: "https://demo.identityserver.io",
            algorithm: Algorithm::RS256,
            without: &[],
            more: json!({}),
            kind: "at+jwt",
            claims: json!({
                "nbf": 1, "iat": 1, "aud": "api1", "client_id": "m2m", "jti": "A", "scope": ["openid", "api1"],
                "role": "admin",
            }),
            options: |it| {
                it.audience("api1")
                    .subject_claim("sub")
                    .subject_claim("client_id")
                    .group_claim("role")
            },
            known: ("m2m", &["openid", "api1"], &["admin"]),
        },
        Provider {
            name: "a key without `alg`, and RS512",
            issuer: "https://id.example",
            algorithm: Algorithm::RS512,
            without: &["alg", "use"],
            more: json!({ "key_ops": ["verify"] }),
            kind: "JWT",
            claims: json!({ "sub": "alice" }),
            options: |it| it.algorithms([Algorithm::RS256, Algorithm::RS512]),
            known: ("alice", &[], &[]),
        },
        Provider {
            name: "a key without `alg`, and PS256",
            issuer: "https://id.example",
            algorithm: Algorithm::PS256,
            without: &["alg"],
            more: json!({}),
            kind: "JWT",
            claims: json!({ "sub": "alice" }),
            options: |it| it.algorithms([Algorithm::PS256]),
            known: ("alice", &[], &[]),
        },
    ]
}

fn token(provider: &Provider, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = provider.claims.clone();
    claims["iss"] = provider.issuer.into();
    claims["exp"] = EXP.into();
    change(&mut claims);
    key(provider.algorithm)
        .sign_as(provider.kind, &claims)
        .unwrap()
}

fn scheme(it: &Provider) -> Scheme {
    let keys = set(&key(it.algorithm), it.without, &it.more);
    let scheme = Jwt::with_issuer(it.issuer, provider(it.issuer, &keys)).unwrap();
    (it.options)(scheme)
}

#[tokio::test]
async fn tokens_of_identity_providers() {
    for it in providers() {
        let scheme = scheme(&it);
        let identity = scheme.check(&token(&it, |_| {})).await;
        let identity = identity.unwrap_or_else(|error| panic!("{}: {error}", it.name));
        let (subject, scopes, groups) = it.known;
        assert_eq!(identity.subject(), subject, "{}", it.name);
        assert_eq!(identity.scopes(), scopes, "{}", it.name);
        assert_eq!(identity.groups(), groups, "{}", it.name);

        // An issuer with one character more, and a token that was changed, are refused.
        let other = token(&it, |claims| {
            claims["iss"] = format!("{}/", it.issuer).into()
        });
        assert_eq!(
            scheme.check(&other).await.unwrap_err(),
            JwtError::Issuer,
            "{}",
            it.name
        );
        let audience = token(&it, |claims| claims["aud"] = "other".into());
        assert_eq!(
            scheme.check(&audience).await.unwrap_err(),
            JwtError::Audience,
            "{}",
            it.name
        );
        let good = token(&it, |_| {});
        let at = good.find('.').unwrap() + 5;
        let broken = format!("{}{}", &good[..at], &good[at + 4..]);
        assert_eq!(
            scheme.check(&broken).await.unwrap_err(),
            JwtError::Signature,
            "{}",
            it.name
        );
    }
}

#[tokio::test]
async fn a_claim_that_is_required_decides() {
    let all = providers();
    let cases = [
        ("Keycloak", "typ", json!("ID")),
        ("Entra ID, for a user", "tid", json!("other")),
        ("Cognito", "token_use", json!("id")),
        ("Cognito", "client_id", json!(["another"])),
        ("Cognito", "client_id", json!(null)),
        ("Google", "hd", json!("evil.example")),
        ("Google", "email_verified", json!(false)),
        ("GitHub Actions", "repository_owner", json!("octo-org-evil")),
        (
            "Kubernetes",
            "kubernetes.io",
            json!({ "serviceaccount": "bot" }),
        ),
    ];
    for (name, claim, value) in cases {
        let it = all.iter().find(|it| it.name == name).unwrap();
        let bad = token(it, |claims| claims[claim] = value.clone());
        let error = scheme(it).check(&bad).await.unwrap_err();
        assert_eq!(error, JwtError::Claim, "{name} {claim} {value}");
    }
}

/// Private and loosely defined claims of any shape never refuse a token.
#[tokio::test]
async fn shapes_that_are_not_known_are_no_scopes() {
    let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap();
    let cases: [(Value, &[&str]); 12] = [
        (json!("a b"), &["a", "b"]),
        (json!("  a\tb  "), &["a", "b"]),
        (json!(""), &[]),
        (json!(["a", "b"]), &["a", "b"]),
        (json!(["a b", "c"]), &["a", "b", "c"]),
        (json!([]), &[]),
        (json!(["a", 1, null, ["b"], { "c": "d" }, true]), &["a"]),
        (json!({ "a": true }), &[]),
        (json!(7), &[]),
        (json!(-7.5), &[]),
        (json!(null), &[]),
        (json!(true), &[]),
    ];
    for (scope, want) in cases {
        let claims = json!({ "sub": "a", "exp": EXP, "scope": scope, "groups": scope });
        let token = key.sign(&claims).unwrap();
        let identity = Scheme::new(key.clone()).check(&token).await.unwrap();
        assert_eq!(identity.scopes(), want, "{scope}");
        let words = scope.as_str().map(|_| 1);
        let groups = words.unwrap_or_else(|| {
            scope
                .as_array()
                .map_or(0, |all| all.iter().filter(|it| it.is_string()).count())
        });
        assert_eq!(identity.groups().len(), groups, "{scope}");
    }
    // No member twice, whatever the shape.
    let claims = r#"{"sub":"a","exp":4000000000,"scope":[{"a":1,"a":2}]}"#;
    let token = crate::jwt::signed(crate::jwt::HS256, claims);
    let key = Key::hmac(Algorithm::HS256, crate::jwt::SECRET).unwrap();
    assert_eq!(
        Scheme::new(key).check(&token).await.unwrap_err(),
        JwtError::Claims
    );
}

/// The kind of key bounds what is accepted, whatever the option says.
#[tokio::test]
async fn accepted_algorithms_are_bounded_by_the_kind_of_key() {
    use Algorithm::{ES256, EdDSA, HS256, PS256, RS256, RS384};
    let all = || [HS256, RS256, RS384, PS256, ES256, EdDSA];
    type Case = (
        Algorithm,
        bool,
        Option<Vec<Algorithm>>,
        Result<(), JwtError>,
    );
    // The algorithm that signs, whether the key says its `alg`, and the accepted algorithms.
    let cases: [Case; 10] = [
        (RS256, false, None, Ok(())),
        (RS384, false, None, Err(JwtError::NoKey)),
        (RS384, false, Some(vec![RS384]), Ok(())),
        (RS384, false, Some(all().to_vec()), Ok(())),
        (PS256, false, Some(vec![RS256]), Err(JwtError::Algorithm)),
        (RS384, true, Some(vec![RS256]), Err(JwtError::Algorithm)),
        (RS384, true, Some(all().to_vec()), Ok(())),
        (ES256, false, None, Ok(())),
        (ES256, false, Some(all().to_vec()), Ok(())),
        (ES256, false, Some(vec![]), Err(JwtError::Algorithm)),
    ];
    for (signs, names, accepted, want) in cases {
        let key = key(signs);
        let without: &[&str] = if names { &[] } else { &["alg"] };
        let keys = set(&key, without, &json!({})).to_string();
        let token = key.sign(&json!({ "sub": "a", "exp": EXP })).unwrap();
        let mut scheme = Scheme::new(Keys::from_jwks(keys.as_bytes()).unwrap());
        if let Some(accepted) = accepted.clone() {
            scheme = scheme.algorithms(accepted);
        }
        let got = scheme.check(&token).await.map(drop);
        assert_eq!(got, want, "{signs:?} {names} {accepted:?}");
    }
    // A public key is never taken for a secret, also when HMAC is accepted and the key names nothing.
    let keys = set(&key(RS256), &["alg"], &json!({})).to_string();
    let forged = Key::hmac(HS256, [7; 32]).unwrap().with_id(KID);
    let forged = forged.sign(&json!({ "sub": "a", "exp": EXP })).unwrap();
    let scheme = Scheme::new(Keys::from_jwks(keys.as_bytes()).unwrap()).algorithms(all());
    assert_eq!(scheme.check(&forged).await.unwrap_err(), JwtError::NoKey);
    // A key that names RS256 is for no other algorithm of its kind.
    let keys = set(&key(RS256), &[], &json!({})).to_string();
    let token = key(RS384).sign(&json!({ "sub": "a", "exp": EXP })).unwrap();
    let scheme = Scheme::new(Keys::from_jwks(keys.as_bytes()).unwrap()).algorithms(all());
    assert_eq!(scheme.check(&token).await.unwrap_err(), JwtError::NoKey);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_503_and_never_invalid_token() {
    let token = key(Algorithm::RS256)
        .sign(&json!({ "sub": "a", "exp": EXP }))
        .unwrap();
    let keys = set(&key(Algorithm::RS256), &[], &json!({})).to_string();
    type Answers = fn(&str) -> Response;
    let cases: [(&str, Answers); 8] = [
        ("bad gateway", |_| StatusCode::BAD_GATEWAY.into_response()),
        ("moved", |_| {
            (StatusCode::FOUND, [("location", "/login")], "").into_response()
        }),
        ("a page", |_| "<html>".into_response()),
        ("an empty set", |_| r#"{"keys":[]}"#.into_response()),
        ("keys of an unknown kind", |_| {
            r#"{"keys":[{"kty":"XYZ"}]}"#.into_response()
        }),
        ("no metadata", |_| StatusCode::NOT_FOUND.into_response()),
        ("metadata of another issuer", |_| {
            r#"{"issuer":"https://id.example/","jwks_uri":"https://id.example/k"}"#.into_response()
        }),
        ("keys in the clear", |path| match path {
            "/k" => panic!("it must not be asked"),
            _ => r#"{"issuer":"https://id.example","jwks_uri":"http://id.example/k"}"#
                .into_response(),
        }),
    ];
    for (name, answer) in cases {
        let client = move |request: Request| {
            let answer = answer(request.uri().path());
            async move { answer }
        };
        let by_issuer = Scheme::with_issuer("https://id.example", client)
            .unwrap()
            .any_issuer();
        let by_url = Scheme::with_jwks(Jwks::url("https://id.example/x".parse().unwrap(), client));
        for scheme in [by_issuer, by_url] {
            let app = Authenticate::new(who, scheme);
            let answer = ask(&app, format!("Bearer {token}")).await;
            assert_eq!(answer.status(), 503, "{name}");
            assert_eq!(header(&answer, "retry-after"), ["30"], "{name}");
            assert!(header(&answer, "www-authenticate").is_empty(), "{name}");
            // Text that is not a token is refused without keys.
            assert_eq!(ask(&app, "Bearer a.b.c").await.status(), 401, "{name}");
        }
    }
    // The keys come back, and with them the token.
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let client = move |_: Request| {
        let (n, keys) = (counted.fetch_add(1, Ordering::SeqCst), keys.clone());
        async move {
            match n {
                0 | 2 => StatusCode::BAD_GATEWAY.into_response(),
                _ => keys.into_response(),
            }
        }
    };
    let app = Authenticate::new(
        who,
        Scheme::with_jwks(Jwks::url("https://id.example/x".parse().unwrap(), client)),
    );
    let status = async |token: &str| ask(&app, format!("Bearer {token}")).await.status().as_u16();
    assert_eq!(status(&token).await, 503);
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(status(&token).await, 200);
    // A key that may be new is not refused while its set cannot be fetched; known keys go on.
    let newer = key(Algorithm::RS256).with_id("newer");
    let newer = newer.sign(&json!({ "sub": "a", "exp": EXP })).unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(status(&newer).await, 503);
    assert_eq!(status(&token).await, 200);
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(status(&newer).await, 401);
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

/// A port where nothing listens, asked by a real client.
#[tokio::test]
async fn a_closed_port_is_an_outage() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/jwks", closed.local_addr().unwrap());
    drop(closed);
    let token = key(Algorithm::RS256)
        .sign(&json!({ "sub": "a", "exp": EXP }))
        .unwrap();
    let jwks = Jwks::url(uri.parse().unwrap(), vestibule_client::Client::new());
    let app = Authenticate::new(who, Scheme::with_jwks(jwks));
    assert_eq!(ask(&app, format!("Bearer {token}")).await.status(), 503);
}

#[tokio::test]
async fn the_metadata_of_an_issuer_is_found() {
    let keys = set(&key(Algorithm::RS256), &[], &json!({})).to_string();
    let cases = [
        (
            "https://id.example",
            "https://id.example/.well-known/openid-configuration",
        ),
        (
            "https://id.example/",
            "https://id.example/.well-known/openid-configuration",
        ),
        (
            "https://id.example/a/b",
            "https://id.example/a/b/.well-known/openid-configuration",
        ),
        (
            "https://id.example/a/",
            "https://id.example/a/.well-known/openid-configuration",
        ),
        (
            "https://id.example:8443/a",
            "https://id.example:8443/a/.well-known/openid-configuration",
        ),
        // RFC 8414, section 3.1.
        (
            "https://id.example",
            "https://id.example/.well-known/oauth-authorization-server",
        ),
        (
            "https://id.example/a",
            "https://id.example/.well-known/oauth-authorization-server/a",
        ),
    ];
    for (issuer, place) in cases {
        let keys = keys.clone();
        let client = move |request: Request| {
            let answer = match request.uri().to_string() {
                it if it == place => json!({ "issuer": issuer, "jwks_uri": "https://x.example/k" })
                    .to_string()
                    .into_response(),
                it if it == "https://x.example/k" => keys.clone().into_response(),
                _ => StatusCode::NOT_FOUND.into_response(),
            };
            async move { answer }
        };
        let scheme = Scheme::with_issuer(issuer, client).unwrap();
        let claims = json!({ "iss": issuer, "sub": "a", "exp": EXP });
        let token = key(Algorithm::RS256).sign(&claims).unwrap();
        assert!(scheme.check(&token).await.is_ok(), "{issuer}");
    }
    for bad in [
        "",
        "id.example",
        "/realms/a",
        "ftp://id.example",
        "https://",
        "https://id.example?a=b",
        "https://id.example/#a",
        "https://user@id.example",
        "https://id.example/a b",
    ] {
        assert!(Scheme::with_issuer(bad, who).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn tokens_in_a_header_and_in_a_cookie() {
    let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap();
    let token = key.sign(&json!({ "sub": "alice", "exp": EXP })).unwrap();
    let name = HeaderName::from_static("x-goog-iap-jwt-assertion");
    let by_header = Authenticate::new(who, Scheme::new(key.clone()).header(name));
    let by_cookie = Authenticate::new(who, Scheme::new(key).cookie("CF_Authorization"));
    let with_scheme = format!("bearer {token}");
    let cookie = format!("a=b; CF_Authorization={token}; c=d");
    let twice = format!("CF_Authorization={token}; CF_Authorization={token}");
    let longer = format!("XCF_Authorization={token}");
    let bearer = format!("Bearer {token}");
    let assertion = "x-goog-iap-jwt-assertion";
    type Headers<'a> = Vec<(&'static str, &'a str)>;
    let cases: [(bool, Headers<'_>, u16); 12] = [
        (true, vec![(assertion, &token)], 200),
        (true, vec![(assertion, &with_scheme)], 200),
        (true, vec![(assertion, "a.b.c")], 403),
        (true, vec![(assertion, &token), (assertion, &token)], 403),
        (true, vec![(assertion, "")], 403),
        (true, vec![("authorization", &bearer)], 403),
        (true, vec![], 403),
        (false, vec![("cookie", &cookie)], 200),
        (false, vec![("cookie", &twice)], 403),
        (false, vec![("cookie", &longer)], 403),
        (false, vec![("cookie", "CF_Authorization=")], 403),
        (false, vec![("authorization", &bearer)], 403),
    ];
    for (is_header, headers, status) in cases {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, it)| (*name, it.as_bytes()))
            .collect();
        let request = request("/", &headers);
        let answer = match is_header {
            true => by_header.call(request).await,
            false => by_cookie.call(request).await,
        };
        assert_eq!(answer.status(), status, "{headers:?}");
        assert!(header(&answer, "www-authenticate").is_empty());
    }
}

/// Each kind of key signs what it accepts, and its public half checks it.
#[tokio::test]
async fn every_key_signs_what_it_accepts() {
    use Algorithm::{
        ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512,
    };
    let rsa_pkcs1 = include_str!("keys/rsa-pkcs1.pem");
    let p384 = include_str!("keys/p384.pem");
    let ed25519 = include_str!("keys/ed25519.pem");
    let secret = [7; 64];
    let keys = [
        Key::hmac(HS256, secret),
        Key::hmac(HS384, secret),
        Key::hmac(HS512, secret),
        Key::from_private_pem(RS256, RSA),
        Key::from_private_pem(RS256, rsa_pkcs1),
        Key::from_private_pem(RS384, RSA),
        Key::from_private_pem(RS512, RSA),
        Key::from_private_pem(PS256, RSA),
        Key::from_private_pem(PS384, RSA),
        Key::from_private_pem(PS512, RSA),
        Key::from_private_pem(ES256, P256),
        Key::from_private_pem(ES384, p384),
        Key::from_private_pem(EdDSA, ed25519),
    ];
    for key in keys {
        let key = key.unwrap().with_id("a");
        let token = key.sign(&json!({ "sub": "alice", "exp": EXP })).unwrap();
        let own = Scheme::new(key.clone()).check(&token).await;
        assert_eq!(own.unwrap().subject(), "alice", "{key:?}");
        let public = Keys::from(key.clone()).public_jwks();
        let public = Keys::from_jwks(public.as_bytes()).unwrap();
        let is_secret = matches!(key.algorithm(), HS256 | HS384 | HS512);
        assert_eq!(public.verify(&token).is_ok(), !is_secret, "{key:?}");
    }
    let public = Key::from_pem(RS256, include_str!("keys/rsa-public.pem")).unwrap();
    let same = Key::from_pem(RS256, include_str!("keys/rsa-public-pkcs1.pem")).unwrap();
    let token = key(RS256).sign(&json!({ "sub": "a", "exp": EXP })).unwrap();
    for public in [public, same] {
        assert!(Scheme::new(public.clone()).check(&token).await.is_ok());
        let error = public.sign(&json!({ "exp": EXP })).unwrap_err().to_string();
        assert!(error.contains("from_private_pem"), "{error}");
    }
    let key = Key::hmac(HS256, secret).unwrap();
    let large = json!({ "exp": EXP, "a": "x".repeat(20_000) });
    for (claims, part) in [
        (json!({ "sub": "a" }), "no `exp`"),
        (json!({ "exp": "1" }), "no `exp`"),
        (json!({ "exp": -1 }), "no `exp`"),
        (json!({ "exp": 1.5 }), "no `exp`"),
        (json!([1]), "not a JSON object"),
        (json!("a"), "not a JSON object"),
        (large, "16 KiB"),
    ] {
        let error = key.sign(&claims).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn private_keys_that_cannot_be_used_say_why() {
    use Algorithm::{ES256, ES384, EdDSA, HS256, RS256};
    let cases = [
        (ES256, include_str!("keys/p256-encrypted.pem"), "encrypted"),
        (RS256, include_str!("keys/rsa-public.pem"), "public key"),
        (ES384, P256, "not a private key for the algorithm"),
        (EdDSA, RSA, "not a private key for the algorithm"),
        (HS256, RSA, "not a private key for the algorithm"),
        (RS256, P256, "not a private key for the algorithm"),
        (RS256, "", "not PEM"),
    ];
    for (algorithm, pem, part) in cases {
        let error = Key::from_private_pem(algorithm, pem)
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{algorithm:?}: {error}");
    }
    let error = Key::from_pem(RS256, RSA).unwrap_err().to_string();
    assert!(error.contains("-pubout"), "{error}");
    // Text before a block does not make a secret of it.
    let commented = format!("# prod key\n{}", include_str!("keys/rsa-public.pem"));
    assert!(Key::hmac(HS256, &commented).is_err());
    assert!(Key::from_pem(RS256, &commented).is_ok());
}
