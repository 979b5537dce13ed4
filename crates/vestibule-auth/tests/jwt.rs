//! JSON Web Tokens: the RFCs' vectors, Wycheproof's, and every known attack, each by its name.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use vestibule_auth::jwt::{Algorithm, Jwks, Jwt, JwtError, Key, Keys};
use vestibule_auth::{Authenticate, Identity};
use vestibule_core::http::StatusCode;
use vestibule_core::{App, Failure, IntoResponse, Request};

use crate::support::{ask, header, read};

pub(crate) const SECRET: &[u8; 32] = b"a secret of thirty-two bytes....";
pub(crate) const NOW: u64 = 1_700_000_000;
pub(crate) const HS256: &str = r#"{"alg":"HS256"}"#;

#[derive(Deserialize)]
pub(crate) struct Claims {
    plan: Option<String>,
}

fn key() -> Key {
    Key::hmac(Algorithm::HS256, SECRET).unwrap()
}

fn jwt(keys: impl Into<Keys>) -> Jwt<Claims> {
    Jwt::new(keys).clock(|| NOW)
}

pub(crate) fn b64(text: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(text.as_ref())
}

pub(crate) fn mac(secret: &[u8], text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(text.as_bytes());
    b64(mac.finalize().into_bytes())
}

/// A token with a good HS256 signature, whatever its header says.
pub(crate) fn signed(header: &str, claims: impl AsRef<[u8]>) -> String {
    let text = format!("{}.{}", b64(header), b64(claims));
    format!("{text}.{}", mac(SECRET, &text))
}

/// Good claims and what else is wanted.
pub(crate) fn claims(more: &str) -> String {
    format!(r#"{{"sub":"alice","exp":{}{more}}}"#, NOW + 600)
}

pub(crate) async fn outcome(scheme: &Jwt<Claims>, token: &str) -> Result<String, JwtError> {
    let checked = scheme.check(token).await;
    checked.map(|identity| identity.subject().to_owned())
}

async fn refused(token: &str, error: JwtError) {
    assert_eq!(
        outcome(&jwt(key()), token).await,
        Err(error),
        "{token:.200}"
    );
}

#[tokio::test]
async fn a_good_token_is_an_identity() {
    async fn plan(request: Request) -> String {
        let identity = Identity::of(&request).unwrap();
        let plan = identity.claims::<Claims>().unwrap().plan.as_deref();
        format!(
            "{} {:?} {:?} {plan:?}",
            identity.subject(),
            identity.scopes(),
            identity.groups()
        )
    }
    let app = Authenticate::new(plan, jwt(key()));
    let more = r#","plan":"gold","scope":"a b","groups":["staff"],"nested":{"a":[1,{"b":null}]}"#;
    let token = signed(HS256, claims(more));
    let answer = read(ask(&app, format!("Bearer {token}")).await).await;
    assert_eq!(answer.1, r#"alice ["a", "b"] ["staff"] Some("gold")"#);
    let answer = ask(&app, "Bearer a.b.c").await;
    assert_eq!(answer.status(), 401);
    assert_eq!(
        header(&answer, "www-authenticate"),
        ["Bearer error=\"invalid_token\""]
    );
    let cause = Failure::of(&answer).unwrap().to_string();
    assert_eq!(
        cause,
        "Bearer: the token is refused: it is not three parts of unpadded base64url"
    );
}

const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn is_joe(payload: &[u8]) -> bool {
    payload.starts_with(b"{\"iss\":\"joe\",\r\n \"exp\":1300819380,")
}

#[test]
fn rfc7515_a_1_hs256_and_rfc7519_3_1() {
    let key = Key::from_jwk(
        r#"{"kty":"oct","alg":"HS256","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
    );
    let token = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let keys = Keys::from(key.unwrap());
    assert!(is_joe(&keys.verify(&token).unwrap()));
    assert_eq!(
        keys.verify(&token.replace("dBjf", "eBjf")),
        Err(JwtError::Signature)
    );
}

#[test]
fn rfc7515_a_2_rs256() {
    let key = Key::from_jwk(
        r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#,
    );
    let token = format!(
        "eyJhbGciOiJSUzI1NiJ9.{JOE}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    assert!(is_joe(&Keys::from(key.unwrap()).verify(&token).unwrap()));
}

#[test]
fn rfc7515_a_3_es256() {
    let key = Key::from_jwk(
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    );
    let token = format!(
        "eyJhbGciOiJFUzI1NiJ9.{JOE}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    assert!(is_joe(&Keys::from(key.unwrap()).verify(&token).unwrap()));
}

/// P-521 is not supported: a key for it says so, a token with it is refused.
#[test]
fn rfc7515_a_4_es512_is_not_supported() {
    let key = Key::from_jwk(r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#);
    assert!(key.is_err());
    let token = format!("{}.{}.AA", b64(r#"{"alg":"ES512"}"#), b64("Payload"));
    assert_eq!(
        Keys::from(self::key()).verify(&token),
        Err(JwtError::Algorithm)
    );
}

#[tokio::test]
async fn rfc7515_a_5_and_rfc7519_6_1_unsecured_is_refused() {
    refused(&format!("eyJhbGciOiJub25lIn0.{JOE}."), JwtError::NotSigned).await;
}

#[tokio::test]
async fn rfc7515_a_6_json_serialization_is_refused() {
    let token = format!(r#"{{"payload":"{JOE}","signatures":[]}}"#);
    refused(&token, JwtError::Form).await;
}

#[test]
fn rfc8037_a_4_ed25519() {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let keys = Keys::from(Key::from_jwk(jwk).unwrap());
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(keys.verify(token).unwrap(), b"Example of Ed25519 signing");
    assert_eq!(
        keys.verify(&token.replace("hgyY", "hgyZ")),
        Err(JwtError::Signature)
    );
}

#[test]
fn figure_21_wycheproof() {
    let text = include_str!("vectors/json_web_signature_test.json");
    let all: serde_json::Value = serde_json::from_str(text).unwrap();
    let (mut refused, mut verified) = (0, 0);
    let (mut twins, mut not_verified) = (0, Vec::new());
    for group in all["testGroups"].as_array().unwrap() {
        let jwk = group.get("public").unwrap_or(&group["private"]);
        let keys = Key::from_jwk(&jwk.to_string()).map(Keys::from);
        let verify = |test: &serde_json::Value| {
            // Those that are objects are the JSON serialization, as text.
            let jws = test["jws"].as_str().map(str::to_owned);
            let jws = jws.unwrap_or_else(|| test["jws"].to_string());
            keys.as_ref().is_ok_and(|keys| keys.verify(&jws).is_ok())
        };
        let tests = group["tests"].as_array().unwrap();
        for test in tests {
            match (test["result"].as_str().unwrap(), verify(test)) {
                ("valid", true) => verified += 1,
                ("valid", false) => not_verified.push(test),
                ("invalid", false) => refused += 1,
                // It has a twin: the same bytes under the same key, called valid. Nothing can refuse
                // the one and take the other.
                ("invalid", true) => {
                    let is_twin = |other: &&serde_json::Value| {
                        other["result"] == "valid"
                            && other["jws"].as_str().unwrap().as_bytes()
                                == test["jws"].as_str().unwrap().as_bytes()
                    };
                    assert!(tests.iter().any(|other| is_twin(&other)), "{test}");
                    twins += 1;
                }
                (result, _) => panic!("{result}"),
            }
        }
    }
    assert_eq!((refused, twins, refused + twins), (353, 2, 355));
    // What is called valid and is refused here: what needs P-521, what has a character in its Base64 that
    // is none of it, and tokens whose `alg` is another than that of their own key.
    assert_eq!((verified, not_verified.len()), (40, 6));
    for test in not_verified {
        let jws = test["jws"].as_str().unwrap();
        let header = jws.split('.').next().unwrap();
        let header = Base64UrlUnpadded::decode_vec(header).unwrap_or_default();
        let header = String::from_utf8(header).unwrap();
        let why = [
            header.contains(r#""alg":"ES512""#),
            header.contains(r#""alg":"PS384""#), // their keys say PS256
            jws.contains('?'),
        ];
        assert!(why.contains(&true), "{test}");
    }
}

#[tokio::test]
async fn rfc7519_4_1_times_at_the_edge_of_the_leeway() {
    let at = |exp: u64, more: &str| signed(HS256, format!(r#"{{"sub":"a","exp":{exp}{more}}}"#));
    let cases = [
        (at(NOW - 59, ""), Ok(())),
        (at(NOW - 60, ""), Err(JwtError::Expired)),
        (at(NOW - 61, ""), Err(JwtError::Expired)),
        (at(0, ""), Err(JwtError::Expired)),
        (at(u64::MAX, ""), Ok(())),
        (at(NOW + 1, &format!(r#","nbf":{}"#, NOW + 59)), Ok(())),
        (at(NOW + 1, &format!(r#","nbf":{}"#, NOW + 60)), Ok(())),
        (
            at(NOW + 1, &format!(r#","nbf":{}"#, NOW + 61)),
            Err(JwtError::NotYet),
        ),
        (
            at(NOW + 1, &format!(r#","iat":{}"#, NOW + 61)),
            Err(JwtError::NotYet),
        ),
        (
            at(NOW + 1, &format!(r#","nbf":{}"#, u64::MAX)),
            Err(JwtError::NotYet),
        ),
    ];
    for (token, expected) in cases {
        assert_eq!(outcome(&jwt(key()), &token).await.map(drop), expected);
    }
}

#[tokio::test]
async fn rfc7519_4_1_issuer_audience_subject() {
    let plain = jwt(key());
    let strict = jwt(key()).issuer("me").audience("shop").audience("till");
    let any = jwt(key()).any_issuer().any_audience();
    use JwtError::{Audience, Claims as Broken, Issuer};
    let cases = [
        (&plain, "", Ok(())),
        (&plain, r#","iss":"me""#, Err(Issuer)),
        (&plain, r#","aud":"shop""#, Err(Audience)),
        (&any, r#","iss":"x","aud":"y""#, Ok(())),
        (&strict, "", Err(Issuer)),
        (&strict, r#","iss":"me""#, Err(Audience)),
        (&strict, r#","iss":"you","aud":"shop""#, Err(Issuer)),
        (&strict, r#","iss":"me","aud":"shop""#, Ok(())),
        (&strict, r#","iss":"me","aud":["x","till"]"#, Ok(())),
        (&strict, r#","iss":"me","aud":["x"]"#, Err(Audience)),
        (&strict, r#","iss":"me","aud":[]"#, Err(Audience)),
        (&strict, r#","iss":"me","aud":["shop",1]"#, Err(Broken)),
        (&strict, r#","iss":["me"],"aud":"shop""#, Err(Broken)),
        (&strict, r#","iss":"me","aud":"sho""#, Err(Audience)),
    ];
    for (scheme, more, expected) in cases {
        let token = signed(HS256, claims(more));
        assert_eq!(outcome(scheme, &token).await.map(drop), expected, "{more}");
    }
    let nobody = |sub: &str| signed(HS256, format!(r#"{{"exp":{}{sub}}}"#, NOW + 1));
    refused(&nobody(""), JwtError::Subject).await;
    refused(&nobody(r#","sub":"""#), JwtError::Subject).await;
    refused(&nobody(r#","sub":7"#), JwtError::Subject).await;
    refused(&nobody(r#","sub":["alice"]"#), JwtError::Subject).await;
    refused(&signed(HS256, claims(r#","plan":7"#)), JwtError::Claims).await;
}

#[test]
fn keys_that_cannot_be() {
    for jwk in [
        "",
        "{}",
        "[]",
        r#"{"kty":"oct","k":"AAAA"}"#,
        r#"{"kty":"oct","alg":"none","k":"AAAA"}"#,
        r#"{"kty":"oct","alg":"HS256","k":"AAAA"}"#,
        r#"{"kty":"oct","alg":"RS256","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
        r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#,
        r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
        r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
    ] {
        assert!(Key::from_jwk(jwk).is_err(), "{jwk}");
    }
    assert!(Key::hmac(Algorithm::RS256, SECRET).is_err());
    assert!(Key::hmac(Algorithm::HS512, SECRET).is_err());
    assert!(!format!("{:?}", Keys::from(key())).contains("secret of"));
}

fn set(id: &str) -> String {
    format!(
        r#"{{"keys":[{{"kty":"EC","crv":"P-521"}},{{"kty":"oct","alg":"HS256","kid":"{id}","k":"{}"}}]}}"#,
        b64(SECRET)
    )
}

fn token_of(id: &str) -> String {
    signed(&format!(r#"{{"alg":"HS256","kid":"{id}"}}"#), claims(""))
}

#[tokio::test]
async fn fault_126_unknown_kids_do_not_flood_the_source_of_keys() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let client = move |_: Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { ([("cache-control", "max-age=600")], set("1")) }
    };
    let uri = "https://id.example/jwks".parse().unwrap();
    let scheme = Jwt::<Claims>::with_jwks(Jwks::url(uri, client)).clock(|| NOW);
    assert_eq!(
        outcome(&scheme, &token_of("1")).await.as_deref(),
        Ok("alice")
    );
    for n in 0..200 {
        let token = token_of(&format!("unknown{n}"));
        assert_eq!(outcome(&scheme, &token).await, Err(JwtError::NoKey));
    }
    assert_eq!(
        outcome(&scheme, &token_of("1")).await.as_deref(),
        Ok("alice")
    );
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn one_fetch_serves_all_who_wait_and_outlives_who_leaves() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let closed = gate.clone();
    let client = move |_: Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        let gate = closed.clone();
        async move {
            let _open = gate.acquire().await;
            set("1")
        }
    };
    let scheme = Jwt::<Claims>::with_jwks(Jwks::url("/".parse().unwrap(), client)).clock(|| NOW);
    let scheme = Arc::new(scheme);
    let all: Vec<_> = (0..20)
        .map(|_| {
            let scheme = scheme.clone();
            tokio::spawn(async move { outcome(&scheme, &token_of("1")).await })
        })
        .collect();
    tokio::task::yield_now().await;
    all[0].abort();
    gate.add_permits(100);
    for one in all.into_iter().skip(1) {
        assert_eq!(one.await.unwrap().as_deref(), Ok("alice"));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// A source of keys whose answers are told, and how often it was asked.
fn source(
    answer: impl Fn(usize) -> vestibule_core::Response + Send + Sync + 'static,
) -> (Jwt<Claims>, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let client = move |_: Request| {
        let answer = answer(counted.fetch_add(1, Ordering::SeqCst));
        async move { answer }
    };
    let jwks = Jwks::url("https://id.example/jwks".parse().unwrap(), client);
    (Jwt::with_jwks(jwks).clock(|| NOW), asked)
}

#[tokio::test(start_paused = true)]
async fn keys_are_fresh_as_long_as_their_cache_control_says() {
    let lives = [
        (Some("max-age=600"), 600),
        (None, 300),
        (Some("max-age=1"), 60),
        (Some("max-age=31536000"), 86_400),
        (Some("no-store"), 300),
    ];
    for (told, life) in lives {
        let (scheme, asked) = source(move |_| match told {
            Some(told) => ([("cache-control", told)], set("1")).into_response(),
            None => set("1").into_response(),
        });
        for (at, count) in [(0, 1), (life - 1, 1), (1, 2)] {
            tokio::time::advance(Duration::from_secs(at)).await;
            assert!(outcome(&scheme, &token_of("1")).await.is_ok());
            assert_eq!(asked.load(Ordering::SeqCst), count, "{told:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_kid_is_asked_for_again_after_half_a_minute() {
    let (scheme, asked) = source(|n| set(if n == 0 { "1" } else { "2" }).into_response());
    assert!(outcome(&scheme, &token_of("1")).await.is_ok());
    assert_eq!(outcome(&scheme, &token_of("2")).await, Err(JwtError::NoKey));
    tokio::time::advance(Duration::from_secs(30)).await;
    // The keys were changed meanwhile: the new one is known, the old one no longer.
    assert!(outcome(&scheme, &token_of("2")).await.is_ok());
    assert_eq!(outcome(&scheme, &token_of("1")).await, Err(JwtError::NoKey));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn when_the_source_fails_the_old_keys_count_for_a_day() {
    let (scheme, asked) = source(|n| match n {
        0 => set("1").into_response(),
        _ => StatusCode::BAD_GATEWAY.into_response(),
    });
    let ask = async || outcome(&scheme, &token_of("1")).await;
    assert!(ask().await.is_ok());
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(300)).await;
        assert!(ask().await.is_ok(), "the old keys count");
    }
    assert_eq!(
        asked.load(Ordering::SeqCst),
        4,
        "and the source was asked each time"
    );
    tokio::time::advance(Duration::from_secs(86_400)).await;
    assert_eq!(ask().await, Err(JwtError::Unavailable));
}

/// A real server, asked by a real client.
#[tokio::test]
async fn keys_are_fetched_over_http() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let server = vestibule_hyper::Server::new(move |request: Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        assert_eq!(request.uri().path(), "/.well-known/jwks.json");
        async { ([("cache-control", "max-age=600")], set("1")) }
    });
    let bound = server.bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/.well-known/jwks.json", bound.address());
    tokio::spawn(bound.run_until(std::future::pending()));
    let jwks = Jwks::url(uri.parse().unwrap(), vestibule_client::Client::new());
    let scheme = Jwt::<Claims>::with_jwks(jwks).clock(|| NOW);
    for _ in 0..3 {
        assert!(outcome(&scheme, &token_of("1")).await.is_ok());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_source_that_fails_is_an_outage_and_is_not_asked_again_at_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let client = move |_: Request| {
        let n = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match n % 3 {
                0 => StatusCode::BAD_GATEWAY.into_response(),
                1 => "{}".into_response(),
                _ => "{\"keys\":[]}".into_response(),
            }
        }
    };
    let jwks = Jwks::url("/".parse().unwrap(), client);
    let scheme = Jwt::<Claims>::with_jwks(jwks).clock(|| NOW);
    for _ in 0..5 {
        assert_eq!(
            outcome(&scheme, &token_of("1")).await,
            Err(JwtError::Unavailable)
        );
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_set_in_a_file() {
    let scratch = crate::support::Scratch::new();
    let file = scratch.file("jwks.json");
    std::fs::write(&file, set("1")).unwrap();
    let scheme = Jwt::<Claims>::with_jwks(Jwks::file(&file)).clock(|| NOW);
    assert_eq!(
        outcome(&scheme, &token_of("1")).await.as_deref(),
        Ok("alice")
    );
}

#[tokio::test]
async fn fault_144_no_token_is_in_what_is_said_of_it() {
    let app = Authenticate::new(crate::support::who.boxed(), jwt(key()));
    let token = signed(HS256, r#"{"sub":"planted","exp":1}"#);
    let answer = ask(&app, format!("Bearer {token}")).await;
    let failure = Failure::of(&answer).unwrap();
    let said = format!("{failure} {failure:?} {app:?} {:?}", answer.headers());
    assert!(token.split('.').all(|part| !said.contains(part)), "{said}");
}
