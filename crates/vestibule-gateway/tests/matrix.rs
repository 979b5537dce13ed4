//! One list of requests, by every way: the same answer as without a web server, or a difference that
//! is listed here and explained in the README.

use crate::front::{Ask, House, WAYS, Way};

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

/// Why an answer is another one than without a web server; each of these is so.
fn explained(way: Way, case: &str) -> Option<&'static str> {
    match (way.front, way.prefix, case) {
        ("nginx", _, "nul") => Some("nginx refuses %00 itself: 400"),
        ("apache", _, "nul") => Some("Apache refuses %00 itself: 404"),
        ("apache", _, "two lines") => Some("Apache joins lines by a comma"),
        ("apache", _, "two cookies") => Some("Apache joins lines by a comma, cookies as well"),
        (_, _, "httpoxy") => Some("Proxy never reaches the app"),
        ("apache", "/scgi" | "/scgi-tcp", "post chunked") => {
            Some("mod_proxy_scgi wants a length: 411")
        }
        ("apache", "/uwsgi" | "/uwsgi-tcp", "post chunked") => {
            Some("mod_proxy_uwsgi wants a length: 411")
        }
        _ => None,
    }
}

#[test]
fn the_same_answer_by_every_way() {
    let house = House::start();
    let mut told = String::new();
    for (name, ask) in cases() {
        let direct = ask.send(house.direct_port, "").unwrap();
        for way in WAYS {
            let answer = house.ask(way, &ask);
            let why = explained(way, name);
            if (answer == direct) != why.is_none() {
                told += &format!("{way:?} {name} {why:?}:\n  {answer:?}\n  direct {direct:?}\n");
            }
        }
    }
    assert!(told.is_empty(), "{told}{}", house.logs());
}

/// A redirect knows nothing of a body: it is answered before Apache has said that there is none.
#[test]
fn early_answers_are_heard() {
    let house = House::start();
    for way in WAYS {
        for _ in 0..50 {
            let answer = house.ask(way, &Ask::get("/redirect"));
            assert_eq!(answer.status, 302, "{way:?}\n{}", house.logs());
        }
    }
}

/// An app that wants no body answers at once; the answer is heard while the body is still on its way.
#[test]
fn bodies_that_nobody_reads_cost_no_answer() {
    let house = House::start();
    for way in WAYS {
        let answer = house.ask(way, &Ask::get("/unread").body(vec![b'u'; 5 << 20]));
        let told = (answer.status, &*answer.body);
        assert_eq!(told, (413, "too much"), "{way:?}\n{}", house.logs());
    }
}
