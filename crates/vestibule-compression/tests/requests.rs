//! Request bodies.

use vestibule_compression::{Coding, Decompression, DecompressionError};
use vestibule_core::{App, Body, Failure, IntoResponse, Request, Response};

use crate::support::*;

/// Responds with the body, and with the head's fields about it.
pub(crate) async fn echo(request: Request) -> Result<Response, Failure> {
    let lines = ["content-encoding", "content-length", "digest"];
    let found = lines
        .iter()
        .filter(|name| request.headers().contains_key(**name))
        .count();
    let bytes = request.into_body().collect(1 << 30).await?;
    Ok(([("x-found", found.to_string())], bytes).into_response())
}

pub(crate) fn post(codings: &str, body: impl Into<Body>) -> Request {
    let mut request = Request::new(body.into());
    let headers = request.headers_mut();
    headers.insert("content-encoding", codings.parse().unwrap());
    headers.insert("content-length", "1".parse().unwrap());
    headers.insert("digest", "x".parse().unwrap());
    request
}

#[tokio::test]
async fn what_the_tools_write_is_read() {
    let app = Decompression::new(echo);
    for &coding in Coding::ALL {
        for size in [0, 1, 1_000, 300_000] {
            let coded = encode(coding, &words(size));
            let (response, bytes) = ask(&app, post(coding.token(), coded.clone())).await;
            assert_eq!(response.status(), 200, "{coding} {size}");
            assert_eq!(header(&response, "x-found"), "0");
            assert!(bytes == words(size), "{coding} {size}");

            // Byte by byte, with pauses.
            if size <= 1_000 {
                let step = |byte: &u8| [Step::Data(vec![*byte].into()), Step::Pause];
                let steps = coded.iter().flat_map(step).collect();
                let (_, bytes) = ask(&app, post(coding.token(), script(steps))).await;
                assert!(bytes == words(size), "{coding} {size}, byte by byte");
            }
        }
    }
}

/// Bodies that are larger than the window with which brotli is tried first, and that look back further.
#[tokio::test]
async fn large_windows_of_brotli_are_kept() {
    let mut state = 1_u64;
    let mut noise = |bytes: usize| -> Vec<u8> {
        let next = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        (0..bytes).map(next).collect()
    };
    let block = noise(3 << 20);
    let far = [&block[..], &words(1 << 20), &block].concat();
    // Just after the end of the small window comes a copy of the first bytes, outside the trial's window.
    let mut edge = noise(40_000);
    edge.resize((2 << 20) - 12, 0);
    edge.extend_from_within(..40_000);
    let encode = "import brotli\nout.write(brotli.compress(data, quality=6, lgwin=24))";
    for plain in [far, edge, words((2 << 20) - 16), words((2 << 20) - 15)] {
        let coded = python(encode, &plain).unwrap();
        for piece in [usize::MAX, 4_096] {
            let data = |piece: &[u8]| Step::Data(piece.to_vec().into());
            let steps = coded.chunks(piece.min(coded.len())).map(data).collect();
            let app = Decompression::new(echo);
            let (response, bytes) = ask(&app, post("br", script(steps))).await;
            assert_eq!(response.status(), 200, "{} of {piece}", plain.len());
            assert!(bytes == plain, "{} of {piece}", plain.len());
        }
        // A truncated body is an error, too.
        let cut = coded[..coded.len() - 1].to_vec();
        let response = Decompression::new(echo).call(post("br", cut)).await;
        assert_eq!(response.status(), 400);
    }
}

#[tokio::test]
async fn codings_are_stacked() {
    let app = Decompression::new(echo);
    let coded = encode(
        Coding::Gzip,
        &encode(Coding::Zstd, &encode(Coding::Brotli, &words(9_000))),
    );
    let (response, bytes) = ask(&app, post("br, zstd, gzip", coded.clone())).await;
    assert_eq!(response.status(), 200);
    assert!(bytes == words(9_000));
    let (response, _) = ask(&app, post("gzip, zstd, br", coded)).await;
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn plain_and_empty_bodies_pass() {
    let app = Decompression::new(echo);
    let (response, bytes) = ask(&app, Request::new(Body::from("plain"))).await;
    assert_eq!(
        (response.status().as_u16(), &bytes[..]),
        (200, &b"plain"[..])
    );
    let (response, bytes) = ask(&app, post("identity", "plain")).await;
    assert_eq!(
        (response.status().as_u16(), &bytes[..]),
        (200, &b"plain"[..])
    );
    assert_eq!(header(&response, "x-found"), "2");
    for body in [Body::empty(), script(vec![Step::Pause])] {
        let (response, bytes) = ask(&app, post("gzip", body)).await;
        assert_eq!((response.status().as_u16(), bytes.len()), (200, 0));
    }
}

#[tokio::test]
async fn trailers_of_requests_pass() {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let app = Decompression::new(|request: Request| async move {
        let (bytes, trailers) = read(request.into_body()).await.unwrap();
        assert_eq!(trailers.unwrap()["x-sum"], "1");
        bytes
    });
    let coded = encode(Coding::Gzip, &words(2_000));
    let steps = vec![Step::Data(coded.into()), Step::Trailers(trailers)];
    let (_, bytes) = ask(&app, post("gzip", script(steps))).await;
    assert_eq!(bytes, words(2_000));
}

#[tokio::test]
async fn an_unread_body_is_not_decoded_and_its_faults_are_nobodys() {
    let app = Decompression::new(|_: Request| async { "unread" });
    let (response, _) = ask(&app, post("gzip", "not gzip")).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn the_cause_is_told_to_the_log() {
    let app = Decompression::new(echo).max_bytes(10);
    let response = app
        .call(post("gzip", encode(Coding::Gzip, &words(11))))
        .await;
    assert_eq!(response.status(), 413);
    let cause = Failure::of(&response).unwrap().error();
    let cause = cause.downcast_ref::<DecompressionError>().unwrap();
    assert_eq!(*cause, DecompressionError::TooLarge { limit: 10 });
    let (response, _) = ask(&app, post("gzip", encode(Coding::Gzip, &words(10)))).await;
    assert_eq!(response.status(), 200);
}
