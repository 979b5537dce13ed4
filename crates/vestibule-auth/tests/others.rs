//! Signed URLs, rules by address, and servers that are asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use vestibule_auth::{Authenticate, ForwardAuth, Identity, IpRules, SignedUrl};
use vestibule_core::http::{HeaderName, StatusCode};
use vestibule_core::{Address, App, Failure, IntoResponse, Peer, RemoteUser, Request};

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
    ];
    let answer = app.call(request("POST /a%2F?b", sent)).await;
    assert_eq!(RemoteUser::of(&answer).unwrap().name(), "alice");
    assert_eq!(read(answer).await.1, "alice 1 None");
    let (method, target, headers) = asked.lock().unwrap().pop().unwrap();
    assert_eq!((method.as_str(), target), ("GET", uri()));
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = [
        "cookie",
        "x-forwarded-for",
        "x-forwarded-method",
        "x-forwarded-uri",
    ];
    assert_eq!(names, expected);
    assert_eq!(headers["x-forwarded-method"], "POST");
    assert_eq!(headers["x-forwarded-uri"], "/a%2F?b");
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
