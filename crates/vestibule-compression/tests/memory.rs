//! The memory of encoders, and bodies for which there is none left.

use http_body::Body as _;
use vestibule_compression::{Coding, Compression, EncoderBudget};
use vestibule_core::{App, IntoResponse, Request, Response};

use crate::support::*;

/// A stream of unknown length, with a head as of a file.
fn stream(bytes: usize) -> Response {
    let mut steps = vec![Step::Pause];
    for piece in words(bytes).chunks(30_000) {
        steps.push(Step::Data(piece.to_vec().into()));
        steps.push(Step::Pause);
    }
    let lines = [
        ("content-type", "text/csv"),
        ("etag", "\"v\""),
        ("accept-ranges", "bytes"),
    ];
    (lines, Response::new(script(steps))).into_response()
}

/// Unread bodies hold the memory that they were granted; later ones are plain and whole.
#[tokio::test]
async fn bodies_beyond_the_budget_are_plain() {
    for &coding in Coding::ALL {
        for is_stream in [false, true] {
            let budget = EncoderBudget::new(4 << 20);
            let app = Compression::new(answers(move || match is_stream {
                true => stream(400_000),
                false => {
                    let lines = [
                        ("content-type", "text/csv"),
                        ("etag", "\"v\""),
                        ("accept-ranges", "bytes"),
                    ];
                    (lines, words(400_000)).into_response()
                }
            }));
            let app = app.budget(budget.clone());
            let mut held = Vec::new();
            for _ in 0..40 {
                held.push(app.call(get(&[("accept-encoding", coding.token())])).await);
                assert!(budget.used() <= budget.max_bytes());
            }
            let coded = held
                .iter()
                .filter(|response| header(response, "content-encoding") == coding.token())
                .count();
            assert!((4..=12).contains(&coded), "{coding}: {coded}");
            for response in held {
                let is_coded = header(&response, "content-encoding") == coding.token();
                assert_eq!(header(&response, "vary"), "accept-encoding");
                if !is_coded {
                    assert_eq!(header(&response, "etag"), "\"v\"");
                    assert_eq!(header(&response, "accept-ranges"), "bytes");
                    let length = response.body().size_hint().exact();
                    assert_eq!(length, (!is_stream).then_some(400_000));
                }
                let (bytes, _) = read(response.into_body()).await.unwrap();
                let plain = if is_coded {
                    decode(coding, &bytes)
                } else {
                    bytes
                };
                assert_eq!(plain, words(400_000), "{coding}");
            }
            assert_eq!(budget.used(), 0);
            let again = app.call(get(&[("accept-encoding", coding.token())])).await;
            assert_eq!(header(&again, "content-encoding"), coding.token());
        }
    }
}

/// A client that refuses the plain bytes gets its coding, with nothing in it that takes memory.
#[tokio::test]
async fn a_client_that_refuses_plain_bytes_gets_its_coding() {
    for &coding in Coding::ALL {
        for padding in [0, 300] {
            let budget = EncoderBudget::new(0);
            let app = Compression::new(answers(|| stream(300_000)));
            let app = app.budget(budget.clone()).padding(padding).max_size(1);
            let accept = format!("{coding}, identity;q=0");
            let (response, bytes) = ask(&app, get(&[("accept-encoding", &accept)])).await;
            assert_eq!(header(&response, "content-encoding"), coding.token());
            assert_eq!(decode(coding, &bytes), words(300_000), "{coding}");
            assert!((300_000..302_000).contains(&bytes.len()), "{}", bytes.len());
            let (response, bytes) = ask(&app, get(&[("accept-encoding", coding.token())])).await;
            assert_eq!(header(&response, "content-encoding"), "");
            assert_eq!(bytes, words(300_000));
        }
    }
}

#[tokio::test]
async fn clones_and_others_share_a_budget() {
    async fn app(_: Request) -> Response {
        stream(300_000)
    }
    let budget = EncoderBudget::new(700_000);
    let first = Compression::new(app).budget(budget.clone());
    let gzip = || get(&[("accept-encoding", "gzip")]);
    let other = Compression::new(answers(|| stream(300_000))).budget(budget);
    let held = first.call(gzip()).await;
    assert_eq!(header(&held, "content-encoding"), "gzip");
    for app in [&first.clone(), &first] {
        let response = app.call(gzip()).await;
        assert_eq!(header(&response, "content-encoding"), "");
    }
    assert_eq!(header(&other.call(gzip()).await, "content-encoding"), "");
    drop(held);
    assert_eq!(
        header(&other.call(gzip()).await, "content-encoding"),
        "gzip"
    );
}

/// The state is not kept for a client that has all but the rest to read.
#[tokio::test]
async fn the_end_of_a_body_gives_its_memory_back() {
    let budget = EncoderBudget::default();
    let app = Compression::new(answers(|| stream(1_500))).budget(budget.clone());
    for &coding in Coding::ALL {
        let mut response = app.call(get(&[("accept-encoding", coding.token())])).await;
        assert!(budget.used() > 0);
        while !response.body().is_end_stream() {
            assert!(response.body_mut().frame().await.unwrap().is_ok());
        }
        assert_eq!(budget.used(), 0, "{coding}");
    }
}
