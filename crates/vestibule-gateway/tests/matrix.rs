//! One list of requests on every route: the same response as without a web server, or a difference
//! that is listed here and explained in the README.

use crate::front::{Ask, ROUTES, Route, WebServers};

pub(crate) fn cases() -> Vec<(&'static str, Ask)> {
    let mega = vec![b'y'; 20 << 20];
    vec![
        ("plain", Ask::get("/a")),
        ("slash", Ask::get("/a%2Fb")),
        ("nul", Ask::get("/a%00b")),
        ("double slash", Ask::get("/a//b")),
        ("plus", Ask::get("/a+b")),
        ("space", Ask::get("/a%20b;x=1")),
        ("utf-8", Ask::get("/caf%C3%A9")),
        ("latin-1", Ask::get("/caf%E9")),
        ("percent", Ask::get("/100%25")),
        ("dots", Ask::get("/x/../y")),
        ("query", Ask::get("/a?q=%20+%26&a=1&a=2")),
        ("query of nothing", Ask::get("/a?")),
        ("query with marks", Ask::get("/a?b?c=/../%2F")),
        (
            "two lines",
            Ask::get("/a").header("X-D", "1").header("X-D", "2"),
        ),
        (
            "two cookies",
            Ask::get("/a")
                .header("Cookie", "a=1")
                .header("Cookie", "b=2"),
        ),
        (
            "one cookie line",
            Ask::get("/a").header("Cookie", "a=1; b=2"),
        ),
        ("latin-1 value", Ask::get("/a").header("X-L", *b"caf\xe9")),
        ("underscore", Ask::get("/a").header("X_Real", "evil")),
        ("httpoxy", Ask::get("/a").header("Proxy", "http://evil/")),
        (
            "post nothing",
            Ask::get("/a").body("").header("Content-Type", "a/b"),
        ),
        (
            "post one",
            Ask::get("/a").body("x").header("Content-Type", "a/b"),
        ),
        ("post 64 KiB", Ask::get("/a").body(vec![b'z'; 65_536])),
        ("post 20 MB", Ask::get("/a").body(mega)),
        (
            "post chunked",
            Ask::get("/a").body(vec![b'c'; 5000]).chunked(),
        ),
        ("slow client", Ask::get("/a").body(vec![b's'; 2000]).slow()),
        ("get 20 MB", Ask::get("/large")),
        ("head", Ask::get("/a").method("HEAD")),
        ("options", Ask::get("/a").method("OPTIONS")),
        (
            "put",
            Ask::get("/a").method("PUT").header("Content-Length", "0"),
        ),
        ("204", Ask::get("/204")),
        ("304", Ask::get("/304")),
        ("206", Ask::get("/206")),
        ("418", Ask::get("/418")),
        ("set-cookie", Ask::get("/cookies")),
        ("redirect", Ask::get("/redirect")),
    ]
}

/// Returns the reason for a different response than without a web server.
fn explained(route: Route, case: &str) -> Option<&'static str> {
    match (route.front, route.prefix, case) {
        ("nginx", _, "nul") => Some("nginx refuses %00 itself: 400"),
        ("apache", _, "nul") => Some("Apache refuses %00 itself: 404"),
        ("apache", _, "two lines") => Some("Apache joins lines by a comma"),
        ("apache", _, "two cookies") => Some("Apache joins lines by a comma, cookies as well"),
        (_, _, "httpoxy") => Some("Proxy never reaches the app"),
        ("apache", "/scgi" | "/scgi-tcp", "post chunked") => {
            Some("mod_proxy_scgi requires a length: 411")
        }
        ("apache", "/uwsgi" | "/uwsgi-tcp", "post chunked") => {
            Some("mod_proxy_uwsgi requires a length: 411")
        }
        _ => None,
    }
}

#[test]
fn every_route_gives_the_same_response() {
    let house = WebServers::start();
    let mut told = String::new();
    for (name, ask) in cases() {
        let direct = ask.send(house.direct_port, "").unwrap();
        for route in ROUTES {
            let answer = house.ask(route, &ask);
            let why = explained(route, name);
            if (answer == direct) != why.is_none() {
                told += &format!("{route:?} {name} {why:?}:\n  {answer:?}\n  direct {direct:?}\n");
            }
        }
    }
    assert!(told.is_empty(), "{told}{}", house.logs());
}

/// A redirect does not read the body: it responds before Apache has sent the end of the body.
#[test]
fn early_responses_arrive() {
    let house = WebServers::start();
    for route in ROUTES {
        for _ in 0..50 {
            let answer = house.ask(route, &Ask::get("/redirect"));
            assert_eq!(answer.status, 302, "{route:?}\n{}", house.logs());
        }
    }
}

/// An app that does not read the body responds at once; the response arrives while the body is
/// still being sent.
#[test]
fn unread_bodies_do_not_lose_the_response() {
    let house = WebServers::start();
    for route in ROUTES {
        let answer = house.ask(route, &Ask::get("/unread").body(vec![b'u'; 5 << 20]));
        let told = (answer.status, &*answer.body);
        assert_eq!(told, (413, "too much"), "{route:?}\n{}", house.logs());
    }
}
