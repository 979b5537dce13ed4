//! HTTP/1 framing, and requests that two servers could read differently.
//!
//! The requests are in `requests.rs`, since others are asked the same; what follows a bad one must never be answered.

use crate::requests::{self, AFTER, Case, SMUGGLED};
use crate::support::{Running, answers, echo};

/// Sends each case, and another request behind it, to one server, all at the same time.
async fn check(cases: &[Case]) {
    let server = Running::brief(echo).await;
    let sent: Vec<_> = cases
        .iter()
        .map(|case| tokio::spawn(server.send(format!("{}{SMUGGLED}", case.request))))
        .collect();
    let mut wrong = Vec::new();
    for (
        Case {
            name,
            request,
            want,
        },
        read,
    ) in cases.iter().zip(sent)
    {
        let (got, closes) = answers(&read.await.unwrap());
        let is_right = got.len() == want.len()
            && got
                .iter()
                .zip(want)
                .all(|(got, want)| got.starts_with(want));
        // Whatever ends the connection says so.
        let keeps = want.last().is_some_and(|last| last == AFTER);
        if !is_right || keeps == closes {
            let request: String = request.chars().take(300).collect();
            wrong.push(format!(
                "{name}: {request:?}\n    want {want:?}\n    got  {got:?}, closes: {closes}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    let alive = server.send("GET /alive HTTP/1.0\r\n\r\n").await;
    assert_eq!(answers(&alive).0, ["200 GET /alive"]);
    server.stop().await;
}

#[tokio::test]
async fn faults_1_to_8_transfer_encoding() {
    check(&requests::transfer_encoding()).await;
}

#[tokio::test]
async fn faults_9_to_11_content_length() {
    check(&requests::content_length()).await;
}

#[tokio::test]
async fn faults_12_to_19_chunks() {
    check(&requests::chunks()).await;
}

#[tokio::test]
async fn faults_20_to_28_lines() {
    check(&requests::lines()).await;
}

#[tokio::test]
async fn faults_29_to_32_target_and_host() {
    check(&requests::target_and_host()).await;
}

#[tokio::test]
async fn faults_34_to_36_bodies_that_nobody_reads() {
    check(&requests::unread_bodies()).await;
}

#[tokio::test]
async fn faults_33_pipelined() {
    let server = Running::brief(echo).await;
    let requests: String = (0..100)
        .map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    let (got, _) = answers(&server.send(requests).await);
    let want: Vec<_> = (0..100).map(|n| format!("200 GET /{n} at a")).collect();
    assert_eq!(got, want);
}

/// Every valid request, cut in two at every byte, and sent byte by byte.
#[tokio::test]
async fn faults_37_a_split_changes_nothing() {
    let fixtures = [
        "GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "\r\nGET http://b/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "PUT / HTTP/1.0\r\nContent-Length: 4\r\n\r\nabcd",
        "PRIME / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 1\r\n\r\n",
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ];
    let server = Running::start(echo).await;
    for fixture in fixtures {
        let whole = answers(&server.send(fixture).await);
        assert!(
            whole.0.iter().all(|answer| answer.starts_with("200")),
            "{whole:?}"
        );
        let mut split = Vec::new();
        for at in 1..fixture.len() {
            let mut client = server.connect().await;
            split.push(tokio::spawn(async move {
                client.pieces([&fixture[..at], &fixture[at..]]).await;
                answers(&client.rest().await)
            }));
        }
        let mut client = server.connect().await;
        split.push(tokio::spawn(async move {
            client.pieces(fixture.as_bytes().chunks(1)).await;
            answers(&client.rest().await)
        }));
        for (at, answered) in split.into_iter().enumerate() {
            assert_eq!(answered.await.unwrap(), whole, "{fixture:?} at {}", at + 1);
        }
    }
}

#[tokio::test]
async fn limits_of_the_head() {
    let server = Running::brief(echo).await;
    let get = |path: &str, fields: &str| format!("GET /{path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let x = |count: usize| "x".repeat(count);
    let cases = [
        ("a target of 8 KiB", get(&x(8191), ""), "200"),
        ("a target above 8 KiB", get(&x(8192), ""), "414"),
        ("a target of 1 MB", get(&x(1_000_000), ""), "431"),
        (
            "a target without end",
            format!("GET /{}", x(1_000_000)),
            "431",
        ),
        ("100 fields", get("", &"X: y\r\n".repeat(99)), "200"),
        ("101 fields", get("", &"X: y\r\n".repeat(100)), "431"),
        ("10,000 fields", get("", &"X: y\r\n".repeat(10_000)), "431"),
        (
            "31 KiB",
            get("", &format!("X: {}\r\n", x(31 * 1024))),
            "200",
        ),
        (
            "33 KiB",
            get("", &format!("X: {}\r\n", x(33 * 1024))),
            "431",
        ),
        (
            "a field without end",
            format!("GET / HTTP/1.1\r\nX: {}", x(1_000_000)),
            "431",
        ),
        (
            "a name of 33 KiB",
            get("", &format!("{}: y\r\n", x(33 * 1024))),
            "431",
        ),
    ];
    for (name, request, status) in cases {
        let (got, _) = answers(&server.send(request).await);
        assert_eq!(got.len(), 1, "{name}: {got:?}");
        assert!(got[0].starts_with(status), "{name}: {got:?}");
    }
}
