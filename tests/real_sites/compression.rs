//! Compression when its memory is used up, and HEAD: the same in both HTTP versions.

use std::sync::Arc;

use tokio::sync::Notify;
use vestibule::compression::{Coding, Compression, Decompression, EncoderBudget};
use vestibule::files::StaticFiles;
use vestibule::prelude::*;
use vestibule_test::Answer;

use super::{Connection, Folder, Site, VERSIONS};

/// Returns compressible lines.
fn text(bytes: usize) -> Vec<u8> {
    let lines =
        (0_usize..).map(|number| format!("{},{},passed the door\n", number, number * 7919 % 9973));
    lines.flat_map(String::into_bytes).take(bytes).collect()
}

/// Returns the decoded bytes.
async fn plain(answer: &Answer) -> Vec<u8> {
    let coding = answer.header("content-encoding").to_owned();
    let mut request = Request::new(Body::from(answer.body.clone()));
    if !coding.is_empty() {
        let coding = coding.parse().unwrap();
        request.headers_mut().insert("content-encoding", coding);
    }
    let echo = async |request: Request| request.into_body().collect(1 << 30).await.unwrap();
    let response = Decompression::new(echo).call(request).await;
    Answer::read(response).await.body.to_vec()
}

/// Serves the files of a folder, and at `/held` a stream that continues after a notification.
async fn site(folder: &Folder, compressed: impl Fn(BoxApp) -> BoxApp, go_on: &Arc<Notify>) -> Site {
    let files = StaticFiles::new(folder.path()).boxed();
    let go_on = go_on.clone();
    let app = move |request: Request| {
        let (files, go_on) = (files.clone(), go_on.clone());
        async move {
            if request.uri().path() != "/held" {
                return files.call(request).await;
            }
            let (mut sender, body) = Body::channel();
            tokio::spawn(async move {
                let _ = sender.send(text(20_000)).await;
                go_on.notified().await;
                let _ = sender.send(text(20_000)).await;
                sender.finish();
            });
            ([("content-type", "text/csv")], Response::new(body)).into_response()
        }
    };
    Site::start(compressed(app.boxed())).await
}

#[tokio::test]
async fn a_client_that_occupies_the_encoders_blocks_no_other() {
    let content = text(400_000);
    let folder = Folder::with(&[("big.csv", &content), ("small.csv", &content[..10_000])]);
    let go_on = Arc::new(Notify::new());
    for version in VERSIONS {
        for &coding in Coding::ALL {
            let budget = EncoderBudget::new(1_300_000);
            let own = budget.clone();
            let compressed = move |app| Compression::new(app).budget(own.clone()).boxed();
            let site = site(&folder, compressed, &go_on).await;
            let mut connection = Connection::open(site.address, version).await;
            let mut held = Vec::new();
            while budget.used() + 500_000 <= budget.max_bytes() {
                let ask = format!("GET /held HTTP/1.1\naccept-encoding: {coding}");
                if version == vestibule::http::Version::HTTP_11 {
                    connection = Connection::open(site.address, version).await;
                }
                let response = connection.send(&ask).await;
                assert_eq!(response.headers()["content-encoding"], coding.token());
                held.push(response);
            }
            let cases = [
                // request, status, whether it is encoded, length
                ("GET /big.csv", "", 200, false, 400_000),
                ("GET /big.csv", ", identity;q=0.5", 200, false, 400_000),
                ("GET /big.csv", ", identity;q=0", 200, true, 400_000),
                ("GET /small.csv", "", 200, true, 10_000),
                ("GET /big.csv", "\nrange: bytes=10-19", 206, false, 10),
                ("GET /big.csv", "\nrange: bytes=399990-", 206, false, 10),
            ];
            for (line, fields, status, is_coded, length) in cases {
                let ask = format!("{line} HTTP/1.1\naccept-encoding: {coding}{fields}");
                for answer in site.ask(&ask).await {
                    let name = format!("{ask}: {:?}", answer.headers);
                    assert_eq!(answer.status, status, "{name}");
                    assert_eq!(answer.header("vary"), "accept-encoding", "{name}");
                    let found = answer.header("content-encoding");
                    assert_eq!(found, if is_coded { coding.token() } else { "" }, "{name}");
                    if !is_coded {
                        assert_eq!(
                            answer.header("content-length"),
                            length.to_string(),
                            "{name}"
                        );
                        assert_eq!(answer.header("accept-ranges"), "bytes", "{name}");
                        assert!(answer.header("etag").starts_with('"'), "{name}");
                    }
                    assert_eq!(plain(&answer).await.len(), length, "{name}");
                }
            }
            // The clients that occupy the encoders get their whole responses, and then the next
            // ones are served.
            for response in held {
                go_on.notify_one();
                let answer = Answer::read(response).await;
                assert!(plain(&answer).await == [text(20_000), text(20_000)].concat());
            }
            while budget.used() > 0 {
                tokio::task::yield_now().await;
            }
            for answer in site
                .ask(&format!("GET /big.csv HTTP/1.1\naccept-encoding: {coding}"))
                .await
            {
                assert_eq!(answer.header("content-encoding"), coding.token());
                assert!(plain(&answer).await == content);
            }
        }
    }
}

/// A HEAD has no header that its GET may not have.
#[tokio::test]
async fn a_head_agrees_with_its_get() {
    let content = text(3_000_000);
    let folder = Folder::with(&[
        ("tiny.csv", &content[..16]),
        ("page.html", &content[..5_000]),
        ("big.csv", &content[..400_000]),
        ("huge.csv", &content),
        ("noise.csv", &noise(5_000)),
        ("picture.png", &content[..5_000]),
    ]);
    let go_on = Arc::new(Notify::new());
    let compressed = |app| Compression::new(app).max_size(2_000_000).boxed();
    let site = site(&folder, compressed, &go_on).await;
    for path in [
        "/tiny.csv",
        "/page.html",
        "/big.csv",
        "/huge.csv",
        "/noise.csv",
        "/picture.png",
        "/none",
    ] {
        for accept in [
            "",
            "identity",
            "gzip",
            "br, zstd",
            "deflate, *;q=0",
            "snappy",
        ] {
            let fields = format!("{path} HTTP/1.1\naccept-encoding: {accept}");
            let heads = site.ask(&format!("HEAD {fields}")).await;
            let gets = site.ask(&format!("GET {fields}")).await;
            for (head, get) in heads.iter().zip(&gets) {
                let name = format!("{fields}: {:?}, {:?}", head.headers, get.headers);
                assert_eq!(head.status, get.status, "{name}");
                assert!(head.body.is_empty(), "{name}");
                assert_eq!(head.header("vary"), get.header("vary"), "{name}");
                for field in [
                    "content-encoding",
                    "content-length",
                    "accept-ranges",
                    "content-type",
                ] {
                    let said = head.header(field);
                    assert!(
                        said.is_empty() || said == get.header(field),
                        "{field} of {name}"
                    );
                }
                let (said, sent) = (head.header("etag"), get.header("etag"));
                assert!(said == sent || said.starts_with("W/"), "{name}");
            }
        }
    }
}

/// Returns bytes that are not compressible.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..bytes).map(|_| next()).collect()
}
