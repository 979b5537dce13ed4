//! Signed URLs, rules by address, and servers that are asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use vestibule_auth::{Authenticate, ForwardAuth, Identity, IpRules, SignedUrl};
use vestibule_core::http::{HeaderName, StatusCode};
use vestibule_core::{
    Address, App, Failure, IntoResponse, Peer, RemoteUser, Request, Response, Scheme,
};

use crate::support::{header, read, request, who};

#[tokio::test]
async fn signed_urls() {
    async fn target(request: Request) -> String {
        request.uri().to_string()
    }
    let links = SignedUrl::new([7; 32]);
    let link = links.sign("/a?b=c", Duration::from_secs(60));
    let app = Authenticate::new(target, links);
    let (status, seen) = read(app.call(request(&link, &[])).await).await;
    assert_eq!(status, 200);
    assert!(
        seen.starts_with("/a?b=c&expires=") && !seen.contains("signature"),
        "{seen}"
    );
    for bad in [
        "/a?b=c".to_owned(),
        link.replace("/a", "/b"),
        format!("{link}A"),
    ] {
        let refused = app.call(request(&bad, &[])).await;
        assert_eq!(refused.status(), 403, "{bad}");
        assert!(header(&refused, "www-authenticate").is_empty());
        assert!(
            !Failure::of(&refused)
                .unwrap()
                .to_string()
                .contains("signature=")
        );
    }
}

/// The address is the connection's: nothing that a client says of itself counts.
#[tokio::test]
async fn fault_131_forwarded_addresses_are_not_believed() {
    let app = IpRules::new(who).allow("192.0.2.0/24".parse().unwrap());
    let from = async |peer: Option<&str>, headers: &[(&'static str, &[u8])]| {
        let mut request = request("/", headers);
        if let Some(peer) = peer {
            let peer = Address::Tcp(peer.parse().unwrap());
            request
                .extensions_mut()
                .insert(Peer::new(peer.clone(), peer));
        }
        app.call(request).await.status().as_u16()
    };
    assert_eq!(from(Some("192.0.2.1:1"), &[]).await, 200);
    assert_eq!(from(Some("[::ffff:192.0.2.1]:1"), &[]).await, 200);
    assert_eq!(from(None, &[]).await, 403);
    let many = "192.0.2.1, ".repeat(1000) + "192.0.2.1";
    let spoofed: [&[(&'static str, &[u8])]; 9] = [
        &[("x-forwarded-for", b"192.0.2.1")],
        &[("x-forwarded-for", b"192.0.2.1:80")],
        &[("x-forwarded-for", b"unknown, 192.0.2.1")],
        &[("x-forwarded-for", many.as_bytes())],
        &[
            ("x-forwarded-for", b"1.1.1.1"),
            ("x-forwarded-for", b"192.0.2.1"),
        ],
        &[("x_forwarded_for", b"192.0.2.1")],
        &[("x-real-ip", b"192.0.2.1")],
        &[("forwarded", b"for=192.0.2.1")],
        &[("forwarded", b"for=\"192.0.2.1;host=evil\"")],
    ];
    for headers in spoofed {
        assert_eq!(
            from(Some("198.51.100.1:1"), headers).await,
            403,
            "{headers:?}"
        );
        assert_eq!(from(Some("192.0.2.1:1"), headers).await, 200);
        assert_eq!(from(None, headers).await, 403);
    }
}

fn uri() -> vestibule_core::http::Uri {
    "http://127.0.0.1:9000/check?x=1".parse().unwrap()
}

#[tokio::test]
async fn forward_auth_asks_and_copies() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let judge = move |request: Request| {
        heard.lock().unwrap().push((
            request.method().clone(),
            request.uri().clone(),
            request.headers().clone(),
        ));
        async { ([("remote-user", "alice"), ("x-team", "red")], "") }
    };
    async fn app(request: Request) -> String {
        let user = Identity::of(&request).unwrap().subject().to_owned();
        let team = request.headers().get_all("x-team").iter().count();
        format!("{user} {team} {:?}", request.headers().get("x-role"))
    }
    let app = ForwardAuth::new(app, uri(), judge)
        .user(HeaderName::from_static("remote-user"))
        .copy(HeaderName::from_static("x-team"))
        .copy(HeaderName::from_static("x-role"));
    let sent: &[(&'static str, &[u8])] = &[
        ("cookie", b"a=b"),
        ("remote-user", b"root"),
        ("x-team", b"blue"),
        ("x-role", b"admin"),
        ("content-length", b"7"),
        ("transfer-encoding", b"chunked"),
        // What says who asks cannot be kept from the judge: he would see another client than the app.
        ("connection", b"keep-alive, x-hop, Cookie, X-Forwarded-For"),
        ("x-forwarded-for", b"192.0.2.1"),
        ("x-hop", b"1"),
        ("host", b"site.example"),
        ("x-forwarded-uri", b"/spoofed"),
        ("X_Forwarded_Host", b"public.example"),
        ("x-original-url", b"https://public.example/"),
        ("Remote_User", b"root"),
    ];
    let mut asking = request("POST /a%2F?b", sent);
    let peer = Address::Tcp("[::ffff:198.51.100.7]:4711".parse().unwrap());
    asking
        .extensions_mut()
        .insert(Peer::new(peer, Address::Unix(None)));
    asking.extensions_mut().insert(Scheme::Https);
    let answer = app.call(asking).await;
    assert_eq!(RemoteUser::of(&answer).unwrap().name(), "alice");
    assert_eq!(read(answer).await.1, "alice 1 None");
    let (method, target, headers) = asked.lock().unwrap().pop().unwrap();
    assert_eq!((method.as_str(), target), ("GET", uri()));
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = [
        "cookie",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-method",
        "x-forwarded-proto",
        "x-forwarded-uri",
        "x-original-method",
        "x-original-url",
        "x-real-ip",
    ];
    assert_eq!(names, expected);
    assert_eq!(headers["x-forwarded-method"], "POST");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(headers["x-forwarded-host"], "site.example");
    assert_eq!(headers["x-forwarded-uri"], "/a%2F?b");
    assert_eq!(headers["x-forwarded-for"], "198.51.100.7");
    assert_eq!(headers["x-original-url"], "https://site.example/a%2F?b");
}

/// Compares the hosts that a client sends with the host that the auth server receives.
#[tokio::test]
async fn forward_auth_names_one_valid_host_or_none() {
    async fn judge(request: Request) -> Result<&'static str, StatusCode> {
        match request.headers().get("x-forwarded-host") {
            Some(host) if host == "public.test" => Ok(""),
            _ => Err(StatusCode::UNAUTHORIZED),
        }
    }
    let app = ForwardAuth::new(who, uri(), judge);
    type Headers = &'static [(&'static str, &'static [u8])];
    let cases: [(&str, Headers, u16); 9] = [
        ("/", &[("host", b"public.test")], 200),
        (
            "/",
            &[
                ("host", b"secret.test"),
                ("x-forwarded-host", b"public.test"),
            ],
            401,
        ),
        (
            "/",
            &[
                ("host", b"secret.test"),
                ("X_Forwarded_Host", b"public.test"),
            ],
            401,
        ),
        ("/", &[("x-forwarded-host", b"public.test")], 401),
        (
            "/",
            &[("host", b"public.test"), ("host", b"secret.test")],
            401,
        ),
        ("/", &[("host", b"a@public.test")], 401),
        (
            "/",
            &[("host", b"public.test"), ("connection", b"host")],
            200,
        ),
        ("http://public.test/", &[], 200),
        ("http://public.test/", &[("host", b"secret.test")], 401),
    ];
    for (target, headers, status) in cases {
        let answer = app.call(request(target, headers)).await;
        assert_eq!(answer.status(), status, "{target} {headers:?}");
    }
}

/// Authelia's endpoint `/api/authz/forward-auth`, by its documentation: it answers 400 without one of
/// four fields, and takes the policy from the URL that they make.
async fn authelia(request: Request) -> Response {
    let told = |name: &str| {
        let value = request.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned()).filter(|it| !it.is_empty())
    };
    let (Some(method), Some(scheme), Some(host), Some(uri)) = (
        told("x-forwarded-method"),
        told("x-forwarded-proto"),
        told("x-forwarded-host"),
        told("x-forwarded-uri"),
    ) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let url = format!("{scheme}://{host}{uri}");
    let is_known = told("cookie").is_some_and(|it| it.contains("authelia_session=alice"));
    if is_known && scheme == "https" && host == "app.example.com" {
        let headers = [
            ("remote-user", "alice"),
            ("remote-groups", "admins"),
            ("set-cookie", "authelia_session=alice2; Path=/; Secure"),
        ];
        return (headers, "").into_response();
    }
    let is_page = told("accept").is_some_and(|it| it.contains("text/html"));
    match is_page {
        true => {
            let to = format!("https://auth.example.com/?rd={url}&rm={method}");
            (StatusCode::FOUND, [("location", to)], "").into_response()
        }
        false => StatusCode::UNAUTHORIZED.into_response(),
    }
}

/// The endpoint `/oauth2/auth` of oauth2-proxy with `--reverse-proxy --set-xauthrequest`, by its
/// documentation: 202 with `X-Auth-Request-*`, or 401.
async fn oauth2_proxy(request: Request) -> Response {
    let headers = request.headers();
    let is_known = headers
        .get("cookie")
        .is_some_and(|it| it == "_oauth2_proxy=alice");
    let is_near = headers.get("x-real-ip").is_some_and(|it| it == "192.0.2.7");
    match is_known && is_near {
        true => {
            let headers = [
                ("x-auth-request-user", "alice"),
                ("x-auth-request-email", "alice@example.com"),
                ("set-cookie", "_oauth2_proxy=alice; Path=/"),
            ];
            (StatusCode::ACCEPTED, headers, "").into_response()
        }
        false => StatusCode::UNAUTHORIZED.into_response(),
    }
}

#[tokio::test]
async fn forward_auth_with_the_endpoints_of_authelia_and_oauth2_proxy() {
    async fn inside(request: Request) -> Response {
        let headers = [
            ("cache-control", "public, max-age=60"),
            ("set-cookie", "own=1"),
        ];
        (headers, who(request).await).into_response()
    }
    let name = HeaderName::from_static;
    let authelia = ForwardAuth::new(inside, uri(), authelia).user(name("remote-user"));
    let oauth2 = ForwardAuth::new(inside, uri(), oauth2_proxy)
        .user(name("x-auth-request-user"))
        .copy_to_response(name("x-auth-request-email"));
    let app = (authelia, oauth2);
    type Headers = &'static [(&'static str, &'static [u8])];
    let cases: [(&str, Headers, u16, &str); 7] = [
        (
            "authelia",
            &[("cookie", b"authelia_session=alice")],
            200,
            "alice",
        ),
        (
            "authelia",
            &[("accept", b"text/html")],
            302,
            "https://auth.example.com/?rd=https://app.example.com/a?b&rm=GET",
        ),
        ("authelia", &[], 401, ""),
        (
            "authelia",
            &[("x-forwarded-proto", b"https"), ("remote-user", b"root")],
            401,
            "",
        ),
        (
            "oauth2",
            &[("cookie", b"_oauth2_proxy=alice")],
            200,
            "alice",
        ),
        (
            "oauth2",
            &[
                ("cookie", b"_oauth2_proxy=alice"),
                ("x-real-ip", b"6.6.6.6"),
                ("x-auth-request-user", b"root"),
            ],
            200,
            "alice",
        ),
        ("oauth2", &[("x-auth-request-user", b"root")], 401, ""),
    ];
    for (server, headers, status, want) in cases {
        let mut asking = request("/a?b", headers);
        asking
            .headers_mut()
            .insert("host", "app.example.com".parse().unwrap());
        let peer = Address::Tcp("192.0.2.7:1".parse().unwrap());
        let extensions = asking.extensions_mut();
        extensions.insert(Peer::new(peer.clone(), peer));
        extensions.insert(Scheme::Https);
        let answer = match server {
            "authelia" => app.0.call(asking).await,
            _ => app.1.call(asking).await,
        };
        assert_eq!(answer.status(), status, "{server} {headers:?}");
        match status {
            200 => {
                // The renewed session goes to the client, beside the app's own cookie, and to no cache.
                assert_eq!(header(&answer, "set-cookie").len(), 2);
                assert_eq!(
                    header(&answer, "cache-control"),
                    ["public, max-age=60", "no-cache=\"set-cookie\""]
                );
                let email = header(&answer, "x-auth-request-email").len();
                assert_eq!(email, usize::from(server == "oauth2"));
                assert_eq!(read(answer).await.1, want);
            }
            302 => assert_eq!(header(&answer, "location"), [want]),
            _ => {}
        }
    }
}

#[tokio::test]
async fn forward_auth_lets_nobody_in_by_mistake() {
    let cases = [
        (StatusCode::UNAUTHORIZED, 401, 1),
        (StatusCode::FORBIDDEN, 403, 1),
        (StatusCode::FOUND, 302, 1),
        (StatusCode::NOT_MODIFIED, 502, 0),
        (StatusCode::SWITCHING_PROTOCOLS, 502, 0),
        (StatusCode::NOT_FOUND, 502, 0),
        (StatusCode::INTERNAL_SERVER_ERROR, 502, 0),
        (StatusCode::TOO_MANY_REQUESTS, 502, 0),
    ];
    for (told, status, cookies) in cases {
        let judge = move |_: Request| async move {
            let headers = [
                ("location", "/login"),
                ("set-cookie", "a=b"),
                ("www-authenticate", "Basic realm=\"x\""),
                ("x-secret", "1"),
            ];
            (told, headers, "their page").into_response()
        };
        let app = ForwardAuth::new(who, uri(), judge).copy(HeaderName::from_static("x-secret"));
        let answer = app.call(Request::default()).await;
        assert_eq!(answer.status(), status, "{told}");
        assert_eq!(header(&answer, "set-cookie").len(), cookies);
        assert!(header(&answer, "x-secret").is_empty());
        let cause = Failure::of(&answer).unwrap().to_string();
        assert!(cause.contains(told.as_str()), "{cause}");
        assert!(!read(answer).await.1.contains("their page"));
    }
}
