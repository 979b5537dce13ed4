//! HTTP/1 framing, and requests that two servers could read differently.
//!
//! The requests are in `requests.rs`, since others are asked the same; what follows a bad one must never be answered.

use crate::requests::{self, Case, SMUGGLED, VALID};
use crate::support::{Running, answers, echo};

/// Sends each case, and another request behind it, to one server, all at the same time.
async fn check(cases: Vec<Case>) {
    let server = Running::brief(echo).await;
    let sent: Vec<_> = cases
        .iter()
        .map(|case| tokio::spawn(server.send(format!("{}{SMUGGLED}", case.request))))
        .collect();
    let mut wrong = Vec::new();
    for (case, read) in cases.iter().zip(sent) {
        let (got, closes) = answers(&read.await.unwrap());
        let is_ours = got.len() == case.want.len()
            && got
                .iter()
                .zip(&case.want)
                .all(|(got, want)| got.starts_with(want));
        // Whatever ends the connection says so.
        if !is_ours || !case.is_right(&got) || !closes {
            let request: String = case.request.chars().take(300).collect();
            wrong.push(format!(
                "{}: {request:?}\n    want {:?}\n    got  {got:?}, closes: {closes}",
                case.name, case.want
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
    check(requests::transfer_encoding()).await;
}

#[tokio::test]
async fn faults_9_to_11_content_length() {
    check(requests::content_length()).await;
}

#[tokio::test]
async fn faults_12_to_19_chunks() {
    check(requests::chunks()).await;
}

#[tokio::test]
async fn faults_20_to_28_lines() {
    check(requests::lines()).await;
}

#[tokio::test]
async fn faults_29_to_32_target_and_host() {
    check(requests::target_and_host()).await;
}

#[tokio::test]
async fn faults_33_and_large_heads() {
    check(requests::many_and_large()).await;
}

#[tokio::test]
async fn faults_34_to_36_bodies_that_nobody_reads() {
    check(requests::unread_bodies()).await;
}

/// Every valid request, cut in two at every byte, and sent byte by byte.
#[tokio::test]
async fn faults_37_a_split_changes_nothing() {
    let server = Running::start(echo).await;
    for request in VALID {
        let whole = answers(&server.send(request).await);
        assert!(
            whole.0.iter().all(|answer| answer.starts_with("200")),
            "{whole:?}"
        );
        let mut split = Vec::new();
        for at in 1..request.len() {
            let mut client = server.connect().await;
            split.push(tokio::spawn(async move {
                client.pieces([&request[..at], &request[at..]]).await;
                answers(&client.rest().await)
            }));
        }
        let mut client = server.connect().await;
        split.push(tokio::spawn(async move {
            client.pieces(request.as_bytes().chunks(1)).await;
            answers(&client.rest().await)
        }));
        for (at, answered) in split.into_iter().enumerate() {
            assert_eq!(answered.await.unwrap(), whole, "{request:?} at {}", at + 1);
        }
    }
}
