//! The body of an encoded response: round trips, flushes, slices, ends.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body as _;
use proptest::prelude::*;
use vestibule_compression::{Coding, Compression, Decompression};
use vestibule_core::{App, Body, IntoResponse, Request, Response};
use vestibule_test::Battery;

use crate::support::*;

fn compressed(coding: Coding, steps: Vec<Step>) -> impl App {
    compressed_as(coding, steps, "text/plain")
}

fn compressed_as(coding: Coding, steps: Vec<Step>, kind: &'static str) -> impl App {
    let app = answers(move || {
        let mut response = Response::new(script(steps.clone()));
        let value = kind.parse().unwrap();
        response.headers_mut().insert("content-type", value);
        response
    });
    Compression::new(app).codings(&[coding])
}

/// Decodes with this crate's decoders: fast enough for many cases.
async fn decoded(coding: Coding, bytes: Vec<u8>) -> Vec<u8> {
    let app = |request: Request| async move { request.into_body().collect(1 << 30).await };
    let app = Decompression::new(app).max_ratio(u32::MAX);
    let mut request = Request::new(Body::from(bytes));
    let value = coding.token().parse().unwrap();
    request.headers_mut().insert("content-encoding", value);
    let (response, bytes) = ask(&app, request).await;
    assert_eq!(response.status(), 200);
    bytes
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let data = prop_oneof![
        2 => proptest::collection::vec(any::<u8>(), 0..2000),
        2 => (0_usize..40_000).prop_map(words),
        1 => (0_usize..100_000).prop_map(|length| vec![b'a'; length]),
        1 => Just(Vec::new()),
    ];
    let step = prop_oneof![
        3 => data.prop_map(|data| Step::Data(data.into())),
        1 => Just(Step::Pause),
    ];
    proptest::collection::vec(step, 0..12)
}

fn plain(steps: &[Step]) -> Vec<u8> {
    let data = steps.iter().filter_map(|step| match step {
        Step::Data(data) => Some(data.to_vec()),
        _ => None,
    });
    data.flatten().collect()
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn random_bodies_in_random_frames_come_back(
        steps in steps(),
        level in 0_u8..10,
        is_stream: bool,
        padding in prop_oneof![Just(0_u16), 1_u16..500],
    ) {
        block_on(async {
            let want = plain(&steps);
            for &coding in Coding::ALL {
                let kind = if is_stream { "text/event-stream" } else { "text/plain" };
                let app = Compression::new(answers({
                    let steps = steps.clone();
                    move || {
                        let mut response = Response::new(script(steps.clone()));
                        response.headers_mut().insert("content-type", kind.parse().unwrap());
                        response
                    }
                })).codings(&[coding]).level(coding, level).padding(padding).min_size(1)
                    .only(|_: &Response| true);
                let (response, bytes) = ask(&app, get(&[("accept-encoding", "*, identity;q=0")])).await;
                let found = match header(&response, "content-encoding") {
                    "" => bytes,
                    token => {
                        assert_eq!(token, coding.token());
                        decoded(coding, bytes).await
                    }
                };
                assert!(found == want, "{coding}, level {level}");
            }
        });
    }
}

#[tokio::test]
async fn whole_bodies_keep_a_length_and_stay_plain_when_they_do_not_shrink() {
    for &coding in Coding::ALL {
        let app = Compression::new(text(20_000)).codings(&[coding]);
        let response = app.call(get(&[("accept-encoding", coding.token())])).await;
        let body = response.body().as_bytes().unwrap();
        assert_eq!(header(&response, "content-length"), body.len().to_string());
        assert_eq!(decode(coding, body), words(20_000));

        let mut state = 7_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        })
        .take(5_000)
        .collect();
        let app = Compression::new(answers(move || {
            (
                [("content-type", "text/plain"), ("etag", "\"1\"")],
                noise.clone(),
            )
                .into_response()
        }));
        let (response, bytes) = ask(&app, get(&[("accept-encoding", coding.token())])).await;
        assert_eq!(header(&response, "content-encoding"), "");
        assert_eq!(header(&response, "etag"), "\"1\"");
        assert_eq!(header(&response, "vary"), "accept-encoding");
        assert_eq!(bytes.len(), 5_000);
    }
}

#[tokio::test]
async fn small_bodies_stay_plain_whether_their_size_is_known_or_not() {
    let small = |steps| compressed(Coding::Gzip, steps);
    let data = |bytes| Step::Data(words(bytes).into());
    let cases = [
        (vec![data(800)], false),
        (vec![data(400), data(400)], false),
        (vec![data(400), data(460)], true),
        // It waits, because the size is unknown.
        (vec![data(400), Step::Pause, data(400)], true),
        (vec![Step::Pause, data(10)], true),
        (vec![], false),
        (vec![data(2000)], true),
    ];
    for (steps, is_coded) in cases {
        let want = plain(&steps);
        let (response, bytes) = ask(&small(steps), get(&[("accept-encoding", "gzip")])).await;
        assert_eq!(!header(&response, "content-encoding").is_empty(), is_coded);
        let found = if is_coded {
            decode(Coding::Gzip, &bytes)
        } else {
            bytes
        };
        assert_eq!(found, want);
    }
    let app = Compression::new(text(859));
    let (response, _) = ask(&app, get(&[("accept-encoding", "gzip")])).await;
    assert_eq!(header(&response, "content-encoding"), "");
    assert_eq!(header(&response, "vary"), "");
    // A client that refuses the plain bytes gets the coding for any size.
    let (response, _) = ask(&app, get(&[("accept-encoding", "gzip, identity;q=0")])).await;
    assert_eq!(header(&response, "content-encoding"), "gzip");
}

#[tokio::test]
async fn trailers_pass_without_digests_of_the_plain_bytes() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    trailers.insert("content-digest", "sha-256=:x:".parse().unwrap());
    for &coding in Coding::ALL {
        let steps = vec![
            Step::Data(words(3_000).into()),
            Step::Pause,
            Step::Trailers(trailers.clone()),
        ];
        let app = compressed(coding, steps);
        let response = app.call(get(&[("accept-encoding", coding.token())])).await;
        let (bytes, found) = read(response.into_body()).await.unwrap();
        assert_eq!(decode(coding, &bytes), words(3_000));
        let found = found.unwrap();
        assert_eq!(found["x-sum"], "1");
        assert_eq!(found.len(), 1);
    }
    // And with a body that is small: it stays as it is.
    let steps = vec![Step::Data("x".into()), Step::Trailers(trailers.clone())];
    let app = compressed(Coding::Gzip, steps);
    let response = app.call(get(&[("accept-encoding", "gzip")])).await;
    let (_, found) = read(response.into_body()).await.unwrap();
    assert_eq!(found.unwrap()["x-sum"], "1");
}

#[tokio::test]
async fn an_error_of_the_body_is_an_error_after_encoding() {
    for steps in [
        vec![Step::Data(words(9_000).into()), Step::Pause, Step::Fail],
        vec![Step::Data(words(9_000).into()), Step::Fail],
        vec![Step::Fail],
    ] {
        let app = compressed(Coding::Gzip, steps);
        let response = app.call(get(&[("accept-encoding", "gzip")])).await;
        let error = read(response.into_body()).await.unwrap_err();
        assert_eq!(error.to_string(), "the disk is gone");
    }
}

/// Polls once; `None` is pending.
fn poll_now(body: &mut Body) -> Option<Option<Bytes>> {
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(body).poll_frame(&mut cx) {
        Poll::Ready(Some(frame)) => Some(frame.unwrap().into_data().ok()),
        Poll::Ready(None) => Some(None),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn what_was_written_can_be_read_before_more_comes() {
    for &coding in Coding::ALL {
        for (kind, pause) in [("text/event-stream", false), ("text/plain", true)] {
            let mut steps = Vec::new();
            for _ in 0..5 {
                steps.push(Step::Data(words(1_000).into()));
                if pause {
                    steps.push(Step::Pause);
                }
            }
            let app = compressed_as(coding, steps, kind);
            let response = app.call(get(&[("accept-encoding", coding.token())])).await;
            let mut body = response.into_body();
            let mut wire = Vec::new();
            for event in 1..=5 {
                let data = loop {
                    if let Some(data) = poll_now(&mut body) {
                        break data.unwrap();
                    }
                };
                wire.extend_from_slice(&data);
                // A decoder that sees only what was sent so far has all of it.
                let seen = seen_so_far(coding, &wire);
                assert!(seen >= 1_000 * event, "{coding} {kind}: {seen} of {event}");
            }
        }
    }
}

/// Returns the number of bytes that a decoder gives for the beginning of a stream.
fn seen_so_far(coding: Coding, wire: &[u8]) -> usize {
    let count = Arc::new(Mutex::new(0));
    let seen = count.clone();
    let app = Decompression::new(move |request: Request| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                *seen.lock().unwrap() += frame.data_ref().map_or(0, Bytes::len);
            }
        }
    });
    let mut request = Request::new(script(vec![Step::Data(Bytes::copy_from_slice(wire))]));
    let value = coding.token().parse().unwrap();
    request.headers_mut().insert("content-encoding", value);
    block_on_other_thread(async move { drop(app.call(request).await) });
    *count.lock().unwrap()
}

fn block_on_other_thread<F: Future<Output: Send + 'static> + Send + 'static>(
    future: F,
) -> F::Output {
    std::thread::spawn(move || block_on(future)).join().unwrap()
}

#[tokio::test]
async fn a_body_gives_others_their_turn() {
    // Ready for ever, in frames large, small and empty.
    for size in [1 << 20, 1_000, 0] {
        for &coding in Coding::ALL {
            let frames = match size {
                0 => 10_000,
                size => (4 << 20) / size,
            };
            let data = Step::Data(words(size).into());
            let app = compressed(coding, vec![data; frames]);
            let response = app.call(get(&[("accept-encoding", coding.token())])).await;
            let mut body = response.into_body();
            let (mut turns, mut polls) = (0, 0);
            loop {
                polls += 1;
                match poll_now(&mut body) {
                    None => turns += 1,
                    Some(Some(_)) => {}
                    Some(None) => break,
                }
            }
            let least = match size {
                0 => frames / 128,
                _ => (4 << 20) / (32 << 10),
            };
            assert!(turns + 2 >= least, "{coding}, {size}: {turns} of {polls}");
        }
    }
}

/// The one thread for blocking work is busy. Costly levels wait for it, and the others do not.
#[test]
fn costly_levels_run_on_other_threads() {
    let cases = [
        (Coding::Brotli, 11, true),
        (Coding::Zstd, 19, true),
        (Coding::Gzip, 9, false),
        (Coding::Zstd, 3, false),
    ];
    let streamed = answers(|| {
        let steps = vec![Step::Data(words(40_000).into()), Step::Pause];
        let kind = [("content-type", "text/plain")];
        (kind, Response::new(script(steps))).into_response()
    });
    let apps = [
        ("stream", streamed.boxed()),
        ("whole", text(40_000).boxed()),
    ];
    for (coding, level, is_costly) in cases {
        for (what, app) in &apps {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .max_blocking_threads(1)
                .build();
            runtime.unwrap().block_on(async {
                let want = ask(app, get(&[])).await.1;
                let (free, taken) = std::sync::mpsc::channel::<()>();
                let worker = tokio::task::spawn_blocking(move || taken.recv());
                let app = Compression::new(app.clone())
                    .codings(&[coding])
                    .level(coding, level);
                let asked = tokio::spawn(async move {
                    let response = app.call(get(&[("accept-encoding", coding.token())])).await;
                    read(response.into_body()).await.unwrap().0
                });
                for _ in 0..1000 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(asked.is_finished(), !is_costly, "{coding} {level}, {what}");
                drop(free);
                assert!(worker.await.unwrap().is_err());
                assert_eq!(decode(coding, &asked.await.unwrap()), want);
            });
        }
    }
}

#[tokio::test]
async fn who_waits_for_the_end_of_the_plain_body_hears_it() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = heard.clone();
    let app = Compression::new(answers(move || {
        let told = told.clone();
        let body = Body::from(words(5_000));
        let body = body.on_end(move |end| {
            let line = format!("{:?} {}", end.outcome, end.bytes);
            told.lock().unwrap().push(line);
        });
        ([("content-type", "text/plain")], Response::new(body)).into_response()
    }));
    let response = app.call(get(&[("accept-encoding", "gzip")])).await;
    assert!(heard.lock().unwrap().is_empty());
    read(response.into_body()).await.unwrap();
    drop(app.call(get(&[("accept-encoding", "gzip")])).await);
    assert_eq!(*heard.lock().unwrap(), ["Complete 5000", "Aborted 0"]);
}

#[tokio::test]
async fn passes_the_battery() {
    Battery::new(Compression::new).run().await;
    Battery::new(|app| Compression::new(app).min_size(1).only(|_: &Response| true))
        .header("accept-encoding", "gzip")
        .changes_body()
        .run()
        .await;
    Battery::new(Decompression::new).run().await;
}
