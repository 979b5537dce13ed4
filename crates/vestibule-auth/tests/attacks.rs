//! Attacks on JSON Web Tokens, each by its name, and each refused for its own reason.
//!
//! Source: RFC 8725; RFC 7515 section 10; CVE-2015-9235 (`none`), CVE-2016-5431 (a public key as a secret),
//! CVE-2018-0114 (keys that a token brings along), CVE-2018-1000531 (keys by path), CVE-2022-23529 and -23540,
//! CVE-2024-33663 (confusion).

use std::collections::HashSet;

use vestibule_auth::Authenticate;
use vestibule_auth::jwt::{Algorithm, Jwt, JwtError, Key, Keys};
use vestibule_core::Failure;

use crate::jwt::{Claims, HS256, NOW, SECRET, b64, claims, mac, outcome, signed};
use crate::support::{ask, header, who};

/// The public half of a key for EdDSA, which everyone knows.
const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
const JWK: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
/// By that key, of RFC 8037 section A.4.
const BY_ED25519: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

/// Knows a secret for HS256, called `2026`, and a public key for EdDSA.
fn scheme() -> Jwt<Claims> {
    let secret = Key::hmac(Algorithm::HS256, SECRET).unwrap().with_id("2026");
    let public = Key::from_pem(Algorithm::EdDSA, PEM).unwrap();
    Jwt::new(Keys::from(secret).with(public)).clock(|| NOW)
}

/// What would be good, were it not for its header.
fn with_header(header: impl AsRef<str>) -> String {
    signed(header.as_ref(), claims(""))
}

fn with_algorithm(name: &str) -> String {
    with_header(format!(r#"{{"alg":"{name}"}}"#))
}

fn with_kid(json: &str) -> String {
    with_header(format!(r#"{{"alg":"HS256","kid":{json}}}"#))
}

/// What would be good, were it not for its claims.
fn with_claims(claims: impl AsRef<[u8]>) -> String {
    signed(HS256, claims)
}

/// What would be good, were it not for these members as well.
fn with_more(members: &str) -> String {
    with_claims(claims(members))
}

fn with_time(name: &str, json: &str) -> String {
    match name {
        "exp" => with_claims(format!(r#"{{"sub":"alice","exp":{json}}}"#)),
        _ => with_more(&format!(r#","{name}":{json}"#)),
    }
}

/// Signed with a secret that is none.
fn signed_by(secret: &[u8], header: &str) -> String {
    let text = format!("{}.{}", b64(header), b64(claims("")));
    format!("{text}.{}", mac(secret, &text))
}

fn attacks() -> Vec<(&'static str, String, JwtError)> {
    use JwtError::*;
    let good = with_more("");
    let (text, signature) = good.rsplit_once('.').unwrap();
    let unsigned = |algorithm: &str| {
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        format!("{}.{}.", b64(header), b64(claims("")))
    };
    // The last digit of 32 bytes has two bits that mean nothing.
    let twin = |digit: char| char::from_u32(u32::from(digit) + 1).unwrap();
    let last = signature.chars().next_back().unwrap();
    let with_own_key = |member: &str| {
        let header = format!(r#"{{"alg":"HS256",{member}}}"#);
        signed_by(b"a key of the attacker's, 32 long", &header)
    };
    let own = b64("a key of the attacker's, 32 long");
    let deep = format!(r#","x":{}{}"#, "[".repeat(5000), "]".repeat(5000));
    let wide: String = (0..1000).map(|n| format!(r#","{n}":0"#)).collect();
    let long = format!(r#","x":"{}""#, "x".repeat(1 << 20));
    vec![
        // No algorithm, or another.
        ("none, unsigned", unsigned("none"), NotSigned),
        ("None, unsigned", unsigned("None"), NotSigned),
        ("HS256, unsigned", unsigned("HS256"), NotSigned),
        ("none, signed", with_algorithm("none"), Algorithm),
        ("None", with_algorithm("None"), Algorithm),
        ("NONE", with_algorithm("NONE"), Algorithm),
        ("nOnE", with_algorithm("nOnE"), Algorithm),
        ("none and a space", with_algorithm("none "), Algorithm),
        ("none in escapes", with_algorithm("\\u006eone"), Algorithm),
        ("no name", with_algorithm(""), Algorithm),
        ("the name null", with_algorithm("null"), Algorithm),
        ("lower case", with_algorithm("hs256"), Algorithm),
        ("a space after it", with_algorithm("HS256 "), Algorithm),
        ("SHA-1", with_algorithm("HS1"), Algorithm),
        (
            "a curve that is not supported",
            with_algorithm("ES512"),
            Algorithm,
        ),
        ("encryption", with_algorithm("dir"), Algorithm),
        (
            "a longer hash than the key's",
            with_algorithm("HS512"),
            NoKey,
        ),
        (
            "RSA, of which there is no key",
            with_algorithm("RS256"),
            NoKey,
        ),
        // One kind of key taken for another.
        (
            "a public key in PEM as a secret",
            signed_by(PEM.as_bytes(), HS256),
            Signature,
        ),
        (
            "without its last line end",
            signed_by(PEM.trim().as_bytes(), HS256),
            Signature,
        ),
        (
            "a public JWK as a secret",
            signed_by(JWK.as_bytes(), HS256),
            Signature,
        ),
        ("an empty secret", signed_by(b"", HS256), Signature),
        ("a secret of zeros", signed_by(&[0; 32], HS256), Signature),
        ("an HMAC for EdDSA", with_algorithm("EdDSA"), Signature),
        (
            "EdDSA's signature for HS256",
            BY_ED25519.replacen("eyJhbGciOiJFZERTQSJ9", &b64(HS256), 1),
            Signature,
        ),
        // Keys by name.
        ("kid: a path", with_kid(r#""../../../../dev/null""#), NoKey),
        (
            "kid: a file",
            with_kid(r#""/proc/sys/kernel/randomize_va_space""#),
            NoKey,
        ),
        ("kid: SQL", with_kid(r#""x' UNION SELECT 'key'--""#), NoKey),
        ("kid: a command", with_kid(r#""2026|id""#), NoKey),
        (
            "kid: a URL",
            with_kid(r#""https://evil.example/key""#),
            NoKey,
        ),
        ("kid: nothing", with_kid(r#""""#), NoKey),
        ("kid: NUL", with_kid(r#""2026\u0000""#), NoKey),
        ("kid: another", with_kid(r#""2025""#), NoKey),
        ("kid: a number", with_kid("2026"), Header),
        ("kid: null", with_kid("null"), Header),
        ("kid: a list", with_kid(r#"["2026"]"#), Header),
        ("kid: an object", with_kid("{}"), Header),
        // Keys that a token brings along.
        (
            "jwk",
            with_own_key(&format!(
                r#""jwk":{{"kty":"oct","alg":"HS256","k":"{own}"}}"#
            )),
            Signature,
        ),
        (
            "jku",
            with_own_key(r#""jku":"https://evil.example/jwks""#),
            Signature,
        ),
        (
            "x5u",
            with_own_key(r#""x5u":"https://evil.example/cert""#),
            Signature,
        ),
        ("x5c", with_own_key(r#""x5c":["MIIB"]"#), Signature),
        // Signatures.
        ("an empty signature", format!("{text}."), NotSigned),
        ("no signature", text.to_owned(), Form),
        ("a signature of one byte", format!("{text}.AA"), Signature),
        (
            "half a signature",
            format!("{text}.{}", &signature[..20]),
            Signature,
        ),
        (
            "a signature of zeros",
            format!("{text}.{}", b64([0; 32])),
            Signature,
        ),
        (
            "a signature and more",
            format!("{text}.{signature}AAAA"),
            Signature,
        ),
        (
            "a signature twice",
            format!("{text}.{signature}{signature}"),
            Form,
        ),
        (
            "the twin of a signature",
            format!("{text}.{}{}", &signature[..42], twin(last)),
            Form,
        ),
        (
            "other claims",
            format!(
                "{}.{}.{signature}",
                b64(HS256),
                b64(claims(r#","plan":"gold""#))
            ),
            Signature,
        ),
        (
            "another header",
            format!(
                "{}.{}.{signature}",
                b64(r#"{"alg":"HS256" }"#),
                b64(claims(""))
            ),
            Signature,
        ),
        // Forms.
        ("nothing", String::new(), Form),
        ("a dot", ".".to_owned(), Form),
        ("two dots", "..".to_owned(), NotSigned),
        ("three dots", "...".to_owned(), Form),
        ("four parts", format!("{good}.x"), Form),
        ("five parts", "a.b.c.d.e".to_owned(), Form),
        ("a part before", format!(".{good}"), Form),
        ("padding at its end", format!("{good}="), Form),
        ("padding in it", good.replacen('.', "=.", 1), Form),
        ("a space at its end", format!("{good} "), Form),
        ("a line end in it", good.replacen('.', "\n.", 1), Form),
        ("other Base64", good.replacen('.', "+/+/.", 1), Form),
        (
            "JSON",
            format!(r#"{{"payload":"{}","signatures":[]}}"#, b64(claims(""))),
            Form,
        ),
        // Sizes.
        ("a megabyte of claims", with_more(&long), TooLong),
        ("a million dots", ".".repeat(1 << 20), TooLong),
        ("five thousand levels", with_more(&deep), Claims),
        (
            "a thousand members, one twice",
            with_more(&format!(r#"{wide},"7":1"#)),
            Claims,
        ),
        // Members that stand twice: who reads the first and who reads the last believe different tokens.
        ("sub twice", with_more(r#","sub":"admin""#), Claims),
        (
            "sub twice, once in escapes",
            with_more(r#","s\u0075b":"admin""#),
            Claims,
        ),
        ("exp twice", with_more(r#","exp":9999999999"#), Claims),
        (
            "a private claim twice",
            with_more(r#","role":"a","role":"b""#),
            Claims,
        ),
        ("twice inside", with_more(r#","x":{"a":1,"a":2}"#), Claims),
        (
            "twice deep inside",
            with_more(r#","x":[{"a":1,"\u0061":2}]"#),
            Claims,
        ),
        (
            "alg twice",
            with_header(r#"{"alg":"HS256","alg":"none"}"#),
            Header,
        ),
        (
            "alg twice, the first is none",
            with_header(r#"{"alg":"none","alg":"HS256"}"#),
            Header,
        ),
        (
            "kid twice",
            with_header(r#"{"alg":"HS256","kid":"2026","kid":"2025"}"#),
            Header,
        ),
        (
            "twice inside the header",
            with_header(r#"{"alg":"HS256","x":{"a":1,"a":1}}"#),
            Header,
        ),
        // Headers that are none.
        ("an empty header", with_header(""), Header),
        ("a header without members", with_header("{}"), Header),
        ("a header that is a list", with_header("[]"), Header),
        ("a header that is null", with_header("null"), Header),
        ("a header that is text", with_header("\"HS256\""), Header),
        ("alg: null", with_header(r#"{"alg":null}"#), Header),
        ("alg: a list", with_header(r#"{"alg":["HS256"]}"#), Header),
        (
            "text after the header",
            with_header(r#"{"alg":"HS256"}x"#),
            Header,
        ),
        (
            "a comma too many",
            with_header(r#"{"alg":"HS256",}"#),
            Header,
        ),
        ("a comment", with_header(r#"{"alg":"HS256"/**/}"#), Header),
        // What the reader has to know, and does not.
        (
            "crit: exp",
            with_header(r#"{"alg":"HS256","crit":["exp"]}"#),
            Critical,
        ),
        (
            "crit: b64",
            with_header(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#),
            Critical,
        ),
        (
            "crit: nothing",
            with_header(r#"{"alg":"HS256","crit":[]}"#),
            Critical,
        ),
        (
            "crit: null",
            with_header(r#"{"alg":"HS256","crit":null}"#),
            Critical,
        ),
        (
            "crit: text",
            with_header(r#"{"alg":"HS256","crit":"x"}"#),
            Critical,
        ),
        // Tokens for something else.
        (
            "typ: a proof",
            with_header(r#"{"alg":"HS256","typ":"dpop+jwt"}"#),
            Kind,
        ),
        (
            "typ: a logout",
            with_header(r#"{"alg":"HS256","typ":"logout+jwt"}"#),
            Kind,
        ),
        (
            "typ: an event",
            with_header(r#"{"alg":"HS256","typ":"secevent+jwt"}"#),
            Kind,
        ),
        (
            "typ: nothing",
            with_header(r#"{"alg":"HS256","typ":""}"#),
            Kind,
        ),
        // Times that are none.
        ("exp: text", with_time("exp", "\"1700000600\""), Claims),
        ("exp: a float", with_time("exp", "1700000600.0"), Claims),
        ("exp: a fraction", with_time("exp", "1700000600.5"), Claims),
        ("exp: an exponent", with_time("exp", "1e10"), Claims),
        ("exp: beyond floats", with_time("exp", "1e400"), Claims),
        (
            "exp: beyond 64 bits",
            with_time("exp", "18446744073709551616"),
            Claims,
        ),
        ("exp: negative", with_time("exp", "-1"), Claims),
        ("exp: null", with_time("exp", "null"), Claims),
        ("exp: true", with_time("exp", "true"), Claims),
        ("exp: a list", with_time("exp", "[9999999999]"), Claims),
        ("exp: leading zero", with_time("exp", "09999999999"), Claims),
        (
            "exp: a minute ago",
            with_time("exp", &(NOW - 60).to_string()),
            Expired,
        ),
        ("exp: 1970", with_time("exp", "0"), Expired),
        ("no exp", with_claims(r#"{"sub":"alice"}"#), NoExpiry),
        (
            "nbf: to come",
            with_time("nbf", &(NOW + 61).to_string()),
            NotYet,
        ),
        ("nbf: text", with_time("nbf", "\"0\""), Claims),
        ("nbf: a float", with_time("nbf", "0.5"), Claims),
        ("nbf: null", with_time("nbf", "null"), Claims),
        (
            "iat: to come",
            with_time("iat", &(NOW + 61).to_string()),
            NotYet,
        ),
        ("iat: text", with_time("iat", "\"0\""), Claims),
        // Claims that are none, and those of someone else.
        ("no claims", with_claims(""), Claims),
        ("claims that are a list", with_claims("[]"), Claims),
        ("claims that are null", with_claims("null"), Claims),
        ("claims that are a number", with_claims("1"), Claims),
        (
            "claims that are no UTF-8",
            with_claims(b"{\"sub\":\"\xff\",\"exp\":9999999999}"),
            Claims,
        ),
        ("half a surrogate", with_more(r#","x":"\ud800""#), Claims),
        ("no sub", with_claims(r#"{"exp":9999999999}"#), Subject),
        (
            "an empty sub",
            with_claims(r#"{"sub":"","exp":9999999999}"#),
            Subject,
        ),
        (
            "a sub that is a number",
            with_claims(r#"{"sub":7,"exp":9999999999}"#),
            Subject,
        ),
        (
            "iss: someone",
            with_more(r#","iss":"https://evil.example""#),
            Issuer,
        ),
        (
            "aud: something",
            with_more(r#","aud":"another service""#),
            Audience,
        ),
        (
            "aud: an object",
            with_more(r#","aud":{"shop":true}"#),
            Claims,
        ),
    ]
}

#[tokio::test]
async fn figure_21_and_fault_126_every_attack_is_refused() {
    let scheme = scheme();
    // It would let in what is good: by its secret, with its name, and by its public key.
    for good in [
        with_more(""),
        with_kid(r#""2026""#),
        with_header(r#"{"alg":"HS256","typ":"at+jwt"}"#),
    ] {
        assert_eq!(outcome(&scheme, &good).await.as_deref(), Ok("alice"));
    }
    let public = Keys::from(Key::from_pem(Algorithm::EdDSA, PEM).unwrap());
    assert!(public.verify(BY_ED25519).is_ok());
    let attacks = attacks();
    let names: HashSet<_> = attacks.iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), attacks.len(), "each has a name of its own");
    assert!(attacks.len() >= 40);
    let app = Authenticate::new(who, scheme.clone());
    for (name, token, error) in attacks {
        assert_eq!(outcome(&scheme, &token).await, Err(error), "{name}");
        if token.contains('\n') || token.trim() != token || token.is_empty() {
            continue; // no field can hold it as it is
        }
        // The client hears that it is refused, and nothing else.
        let answer = ask(&app, format!("Bearer {token}")).await;
        let told = header(&answer, "www-authenticate").concat();
        match answer.status().as_u16() {
            401 => assert_eq!(told, r#"Bearer error="invalid_token""#, "{name}"),
            400 => assert_eq!(told, r#"Bearer error="invalid_request""#, "{name}"),
            status => panic!("{name}: {status}"),
        }
        assert!(Failure::of(&answer).is_some(), "{name}");
    }
}

/// Nor can a secret be set up by mistake that everyone knows.
#[test]
fn a_public_key_is_no_secret() {
    assert!(Key::hmac(Algorithm::HS256, PEM).is_err());
    assert!(Key::from_pem(Algorithm::ES256, PEM).is_err());
    assert!(Key::from_pem(Algorithm::HS256, PEM).is_err());
}
